"""Every check finds its fault, at its line and column, and says what to do."""

from __future__ import annotations

import pytest

from crm.blueprint.problems import TEXTS
from tests.crm.blueprint.conftest import Folder, said

DATA, ORG, PROCESS = "data/data.yaml", "org/org.yaml", "process/process.yaml"
FUNCTION, RESOURCE = "function/function.yaml", "resource/resource.yaml"
FORM, MESSAGES, PACKAGE = "info/shelf_visit.yaml", "info/messages.yaml", "package.yaml"

# (file, text that stands there, text instead with ¦ where the problem is reported, code)
FAULTS = [
    # Shape.
    (PACKAGE, "currency: CNY", "¦money: CNY\ncurrency: CNY", "field_unknown"),
    (PACKAGE, "timezone: Asia/Shanghai", "timezone: ¦Asia/Nowhere", "value_invalid"),
    (PACKAGE, '">=1,<2"', '¦">=2,<3"', "engine_unsuited"),
    (PACKAGE, "title: {zh-Hans: 饮料客户关系模型, ", "title: ¦{", "label_missing"),
    (DATA, "brands:\n", "¦cakes: {}\nbrands:\n", "section_unknown"),
    (DATA, "brands:\n", "¦queues: {}\nbrands:\n", "section_unknown"),
    (DATA, "{title: 云溪, own: false}", "¦[云溪]", "value_invalid"),
    (DATA, "yunxi:    {title: 云溪, own: false}", "¦yunxi:    {title: 云溪}", "field_missing"),
    (DATA, "- {code: kiosk,  label: 小卖部}", "- {code: ¦7,  label: 小卖部}", "text_expected"),
    (DATA, "{code: kiosk,  label: 小卖部}", "{code: kiosk,  label: ¦{en: Kiosk}}", "label_missing"),
    (DATA, "{code: kiosk,  label: 小卖部}", '{code: kiosk,  label: ¦""}', "label_missing"),
    (DATA, "amount: 2.00", "amount: ¦2.005", "value_invalid"),
    (DATA, "{id: coolers,   type: integer,", "{id: coolers,   type: ¦sql,", "value_invalid"),
    (DATA, "  yunxi:", "  ¦qingquan: {title: 清泉, own: true}\n  yunxi:", "duplicate_key"),
    # References.
    (DATA, "    parent: fault\n", "    parent: ¦nowhere\n", "reference_unknown"),
    (DATA, "code_table: shop_kind", "code_table: ¦shop_kinds", "reference_unknown"),
    (DATA, "    role: outlet\n", "    role: ¦owner\n", "reference_unknown"),
    (DATA, "key: outlet_no", "key: ¦number", "reference_unknown"),
    (DATA, "to: [closed]", "to: [¦gone]", "reference_unknown"),
    (DATA, "{brand: yunxi,", "{brand: ¦yunxy,", "reference_unknown"),
    (DATA, "aliases: [云溪, YX], unit_set: bottles", "aliases: [云溪, YX], unit_set: ¦cans", "reference_unknown"),
    (DATA, "{amount: 2.00, per: 瓶}", "{amount: 2.00, per: ¦罐}", "reference_unknown"),
    (DATA, '{瓶: "6900000050026"}', '{¦罐: "6900000050026"}', "reference_unknown"),
    (DATA, "customer_kind: outlet", "customer_kind: ¦bar", "reference_unknown"),
    (DATA, '{sku: "5002"}', '{sku: ¦"5003"}', "reference_unknown"),
    (RESOURCE, "holidays: festive", "holidays: ¦lunar", "reference_unknown"),
    (RESOURCE, 'parent: "10"', 'parent: ¦"11"', "reference_unknown"),
    (FUNCTION, "needs: case.read", "needs: ¦case.look", "reference_unknown"),
    (FUNCTION, "approves: model.submit", "approves: ¦model.ask", "reference_unknown"),
    (FUNCTION, "case_kinds: [repair]", "case_kinds: [¦praise]", "reference_unknown"),
    (FUNCTION, "parent: answered", "parent: ¦solved", "reference_unknown"),
    (ORG, "parent: HQ,", "parent: ¦HO,", "reference_unknown"),
    (ORG, 'territories: ["10"]', 'territories: [¦"20"]', "reference_unknown"),
    (ORG, "start: desk", "start: ¦table", "reference_unknown"),
    (ORG, "{role: rep, allow: [case.read]}", "{role: ¦reps, allow: [case.read]}", "reference_unknown"),
    (ORG, "entity: outlet,", "entity: ¦outlets,", "reference_unknown"),
    (ORG, "allow: [case.read, case.take,", "allow: [case.read, ¦case.steal,", "reference_unknown"),
    (ORG, "hide: [coolers]", "hide: [¦fridges]", "reference_unknown"),
    (PROCESS, "org_unit: HQ.DESK", "org_unit: ¦HQ.DISK", "reference_unknown"),
    (PROCESS, "roles: [agent]", "roles: [¦agents]", "reference_unknown"),
    (PROCESS, "calendar: desk", "calendar: ¦night", "reference_unknown"),
    (PROCESS, "intents: [complaint, unknown]", "intents: [complaint, ¦praise]", "reference_unknown"),
    (PROCESS, "flow: simple\n    number: {pattern: \"R", "flow: ¦hard\n    number: {pattern: \"R", "reference_unknown"),
    (PROCESS, "to: waiting,", "to: ¦resting,", "reference_unknown"),
    (PROCESS, "replies: [received]", "replies: [¦sent]", "reference_unknown"),
    (PROCESS, "code_table: fault", "code_table: ¦faults", "reference_unknown"),
    (FORM, "about: outlet\n", "about: ¦bar\n", "reference_unknown"),
    (FORM, "roles: [outlet, rep]", "roles: [outlet, ¦reps]", "reference_unknown"),
    (FORM, "channels:\n", "merge: {key: [outlet, sku], rank: [rep, ¦boss]}\nchannels:\n", "reference_unknown"),
    (FORM, "scale_by: coolers", "scale_by: ¦size", "reference_unknown"),
    (FORM, "{of: guide,", "{of: ¦list,", "reference_unknown"),
    (MESSAGES, "case: repair,", "case: ¦praise,", "reference_unknown"),
    (MESSAGES, "unknown_case: question", "unknown_case: ¦riddle", "reference_unknown"),
    (MESSAGES, "intent: complaint,", "intent: ¦grumble,", "reference_unknown"),
    (MESSAGES, "{key: broken_cooler, words: [报修, BX], act: case, case: repair, intent: complaint,",
     "{key: ¦broken_cooler, words: [报修, BX], act: case, case: repair,", "reference_unknown"),
    (MESSAGES, "default_form: shelf_visit", "default_form: ¦shelf", "reference_unknown"),
    # Codes, products, units.
    (DATA, "{code: market, label: 商超}", "{code: ¦kiosk, label: 商超}", "not_unique"),
    (DATA, "{code: cap,  label: 瓶盖, parent: leak}", "{code: cap,  label: 瓶盖, parent: ¦smell}", "code_hierarchy"),
    (DATA, "valid_to: 2027-12-31", "valid_to: ¦2025-12-31", "dates_reversed"),
    (DATA, '"6900000050026"', '¦"6900000050027"', "barcode_check_digit"),
    (DATA, '"6900000050026"', '¦"6900000050019"', "not_unique"),
    (DATA, "[清泉大, 大清泉, QQD]", "[清泉大, ¦ｑｑｘ]", "alias_ambiguous"),
    (DATA, "[清泉大, 大清泉, QQD]", "[清泉大, ¦清 泉550]", "alias_ambiguous"),
    (DATA, "[清泉大, 大清泉, QQD]", "[清泉大, ¦PD]", "words_collide"),
    (DATA, "{id: 瓶, size: 1}", "{id: 瓶, size: 2}", "unit_without_base"),
    (DATA, "- {id: 箱, size: 24}", "- {id: 箱, size: 24, words: ¦[瓶]}", "not_unique"),
    (DATA, "values: {millilitres: 550}", "values: {millilitres: 550, ¦sugar: 1}", "value_not_declared"),
    (DATA, "values: {millilitres: 550}", "values: {millilitres: ¦many}", "value_type"),
    (DATA, "values: {millilitres: 550}", "values: {millilitres: ¦50}", "value_type"),
    (DATA, "{id: coolers,   type: integer", "{id: ¦outlet_no,   type: integer", "not_unique"),
    (DATA, "{id: shop_kind, type: choice, title: 门店类型, code_table: shop_kind}",
     "¦{id: shop_kind, type: choice, title: 门店类型}", "field_missing"),
    (DATA, "'^\\d{6}$'", "¦'^(\\d{6}$'", "pattern_invalid"),
    # Conditions.
    (DATA, '"record.coolers >= 0"', '¦"record.coolers >="', "condition_syntax"),
    (DATA, '"record.coolers > 0"', '¦"record.freezers > 0"', "condition_name"),
    (DATA, '"record.coolers > 0"', '¦"shell(\'ls\') == 0"', "condition_function"),
    (DATA, '"record.coolers > 0"', '¦"' + "1 + " * 200 + '1 > 0"', "condition_too_long"),
    (ORG, '"case.unit in user.units_below"', '¦"case.unit in user.salary"', "condition_name"),
    (ORG, '"case.unit in user.units_below"', '¦"ticket.unit in user.units"', "condition_name"),
    (PROCESS, '"case.severity < 3"', '¦"case.heaviness < 3"', "condition_name"),
    (FORM, "channels:\n", 'on_accept: [{when: ¦"line.cans == 0 && product.own", emit: gone}]\nchannels:\n',
     "condition_name"),
    (FORM, "channels:\n", 'checks: [{id: c, when: ¦"product.taste > 3", action: mark, text: x}]\nchannels:\n',
     "condition_name"),
    # Messages.
    (FORM, "words: [盘点, PD]", "words: [盘点, ¦bx]", "words_collide"),
    (MESSAGES, "words: [报修, BX]", "words: [报修, ¦ｕｎｄｏ]", "words_collide"),
    (MESSAGES, "words: [报修, BX]", "words: [报修, ¦改]", "words_collide"),
    (FORM, "words: [盘点, PD]", "words: [盘点, ¦報修]", "words_collide"),
    (FORM, "words: [排面]", "words: [¦标价]", "words_collide"),
    (MESSAGES, '"收到#{receipt}：{items}"', '¦"收到#{number}"', "placeholder_unknown"),
    (MESSAGES, '"收到#{receipt}：{items}"', '¦"收到#{receipt!r}"', "placeholder_unknown"),
    (MESSAGES, '"{token}没写数"', '¦"{token没写数"', "text_unreadable"),
    (MESSAGES, 'E_UNKNOWN: "没看懂"', "E_UNKNOWN: ¦" + "看" * 131, "message_too_long"),
    (FUNCTION, '"报修{case}已受理"', '¦"报修{number}已受理"', "placeholder_unknown"),
    (FUNCTION, '"报修{case}已受理"', '¦"' + "受" * 131 + '"', "message_too_long"),
    # Rights.
    (ORG, "allow: [model.publish]", "allow: [¦model.publish, model.submit]", "applies_and_approves"),
    (ORG, "  outlet:    {title: 门店, external: true}",
     "  ¦cook:      {title: 厨师}\n  outlet:    {title: 门店, external: true}", "role_without_rights"),
    (FUNCTION, "  case.take: 领取", "  ¦case.split: 拆分\n  case.take: 领取", "role_without_holder"),
    (ORG, "show: [number, state]", "show: [number, state], hide: [¦state]", "fields_shown_and_hidden"),
    # Service.
    (PROCESS, "case_kinds:\n  question:\n",
     'case_kinds:\n  ¦praise: {title: 表扬, flow: simple, number: {pattern: "P{n:4}"}}\n  question:\n',
     "queue_missing"),
    (PROCESS, "{id: waiting, title: 等待, clock: false}",
     "{id: waiting, title: 等待, clock: false}\n      - ¦{id: lost, title: 遗失, ends: true}", "state_unreachable"),
    (PROCESS, "from: [new, waiting], to: closed", "from: [new], to: closed", "state_without_exit"),
    (PROCESS, "{id: closed, title: 办结, ends: true}", "¦{id: closed, title: 办结}", "state_without_exit"),
    (PROCESS, '{pattern: "R{yy}-{n:4}", restart: year}', '¦{pattern: "R{yy}-{n:4}", restart: month}', "number_pattern"),
    (PROCESS, "first_answer: PT1H, solve: P1D", "first_answer: PT1H, solve: ¦1 day", "value_invalid"),
    (PROCESS, "first_answer: PT1H, solve: P1D", "first_answer: ¦P2D, solve: P1D", "due_reversed"),
    (PROCESS, "to: waiting, action", "to: waiting, at_most: ¦0, action", "value_invalid"),
    (RESOURCE, '["08:30-12:00", "13:30-17:30"]', '["08:30-12:00", "11:30-17:30"]', "value_invalid"),
    (RESOURCE, "mon-fri:", "mon-sat:", "value_invalid"),
    (RESOURCE, "to: 2026-10-07", "to: 2026-09-07", "value_invalid"),
]  # fmt: skip


@pytest.mark.parametrize(("file", "old", "new", "code"), FAULTS)
def test_a_fault_is_reported_at_its_place(folder: Folder, file: str, old: str, new: str, code: str) -> None:
    line, column = folder.edit(file, old, new)
    checked = folder.check()
    assert checked.blueprint is None
    found = [problem for problem in checked.problems if problem.code == code and problem.file == file]
    assert found, [str(problem) for problem in checked.problems]
    marked = "¦" in new
    assert not marked or (line, column) in [(problem.line, problem.column) for problem in found], [
        str(problem) for problem in checked.problems
    ]
    assert all(problem.line and problem.reason and problem.fix for problem in found)


@pytest.mark.parametrize("name", ["beverage", "tobacco"])
def test_the_packages_have_no_fault(name: str, request: pytest.FixtureRequest) -> None:
    assert request.getfixturevalue(name) is not None


def test_one_fault_of_each_file_is_reported_in_one_run(folder: Folder) -> None:
    edits = [
        (PACKAGE, "currency: CNY", "currency: ¦yuan"),
        (DATA, "code_table: shop_kind", "code_table: ¦shop_kinds"),
        (FORM, "scale_by: coolers", "scale_by: ¦size"),
        (FUNCTION, "parent: answered", "parent: ¦solved"),
        (MESSAGES, "case: repair,", "case: ¦praise,"),
        (ORG, "parent: HQ,", "parent: ¦HO,"),
        (PROCESS, "calendar: desk", "calendar: ¦night"),
        (RESOURCE, "holidays: festive", "holidays: ¦lunar"),
    ]
    places = {(file, *folder.edit(file, old, new)) for file, old, new in edits}
    assert {(problem.file, problem.line, problem.column) for problem in folder.check().problems} == places


def test_several_faults_of_one_entry_are_all_reported(folder: Folder) -> None:
    folder.edit(PROCESS, "    org_unit: HQ.DESK\n", "    org_unit: 7\n    colour: red\n    priority: 99\n")
    assert [problem.code for problem in folder.check().problems] == [
        "text_expected",
        "field_unknown",
        "value_invalid",
    ]


def test_a_broken_entry_does_not_make_those_who_name_it_wrong(folder: Folder) -> None:
    folder.edit(DATA, "yunxi:    {title: 云溪, own: false}", "yunxi:    {title: 云溪, own: perhaps}")
    folder.edit(DATA, "title: 冰柜数, least: 0", "title: 冰柜数, least: none")
    folder.edit(DATA, "title: 毫升, required: true", "title: 毫升, required: much")
    folder.edit(PROCESS, 'number: {pattern: "R', 'number: {form: "R')
    assert [problem.code for problem in folder.check().problems] == [
        "value_invalid", "value_invalid", "value_invalid", "field_missing", "field_unknown",
    ]  # fmt: skip


@pytest.mark.parametrize("file", [DATA, ORG, PROCESS, FUNCTION, RESOURCE, FORM, MESSAGES])
def test_a_file_that_cannot_be_read_is_the_only_thing_reported(folder: Folder, file: str) -> None:
    folder.append(file, "oops: [\n")
    problems = folder.check().problems
    assert {(problem.file, problem.code) for problem in problems} == {(file, "yaml_syntax")}


def test_a_section_may_be_spread_over_files_but_an_id_stands_once(folder: Folder) -> None:
    folder.write(
        "data/more.yaml", "brands:\n  third: {title: 三, own: false}\n  yunxi: {title: 二, own: false}\n"
    )
    assert said(folder.check().problems) == [("data/more.yaml", 3, 3, "section_twice")]


def test_circles_of_parents_are_found(folder: Folder) -> None:
    folder.edit(ORG, "HQ:      {title: 总部}", "HQ:      {title: 总部, parent: HQ.DESK}")
    assert [(problem.code, problem.line) for problem in folder.check().problems] == [
        ("reference_circle", 2),
        ("reference_circle", 3),
    ]


def test_two_queues_for_one_case_kind_are_refused(folder: Folder) -> None:
    folder.edit(
        PROCESS,
        "queues:\n",
        "queues:\n  other: {title: 其他, case_kinds: [repair], org_unit: HQ, roles: [agent], calendar: desk,"
        " due: {first_answer: PT1H, solve: P1D}}\n",
    )
    assert [problem.code for problem in folder.check().problems] == ["queue_twice"]


def test_case_numbers_of_two_kinds_never_look_alike(folder: Folder) -> None:
    folder.edit(PROCESS, "case_kinds: [repair, question]", "case_kinds: [repair, question, praise]")
    folder.append(PROCESS, '  praise: {title: 表扬, flow: simple, number: {pattern: "R{n:4}"}}\n')
    assert [problem.code for problem in folder.check().problems] == ["number_collision"]


def test_two_forms_with_one_keyword_subject_or_tag_collide(folder: Folder) -> None:
    folder.append(FORM, "  email: {subject_tag: 巡访}\n  forum: {board: shops, tag: 巡访}\n")
    form = (folder.path / FORM).read_text().replace("form: shelf_visit", "form: second")
    folder.write("info/second.yaml", form)
    problems = folder.check().problems
    assert {problem.code for problem in problems} == {"words_collide"}
    assert {problem.reason.split()[2] for problem in problems} == {
        "盘点", "PD", "陈列", "CL", "卖空", "MK", "巡访",
    }  # fmt: skip


def test_the_form_of_bare_messages_must_have_lines(folder: Folder) -> None:
    line, column = folder.edit(MESSAGES, "default_form: shelf_visit", "default_form: ¦inspection")
    folder.write(
        "info/inspection.yaml", "form: inspection\ntitle: 检查\nabout: outlet\nwho: {roles: [rep]}\n"
    )
    assert said(folder.check().problems) == [(MESSAGES, line, column, "default_form_unsuited")]


@pytest.mark.parametrize("file", [MESSAGES])
def test_a_needed_document_that_is_absent_is_missed(folder: Folder, file: str) -> None:
    (folder.path / file).unlink()
    assert [problem.code for problem in folder.check().problems] == ["document_missing"]


def test_problems_read_as_sentences_with_their_place() -> None:
    assert all(reason.endswith(".") and fix.endswith((".", ":`.")) for reason, fix in TEXTS.values())


def test_a_problem_says_file_line_reason_and_fix(folder: Folder) -> None:
    folder.edit(PROCESS, "calendar: desk", "calendar: night")
    assert str(folder.check().problems[0]) == (
        "process/process.yaml:8:15: Calendar night does not exist. Use one of desk, or define night."
        " [reference_unknown]"
    )
