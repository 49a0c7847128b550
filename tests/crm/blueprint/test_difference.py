"""What changes between two versions is said in words, with what it does to what is already there."""

from __future__ import annotations

import pytest

from crm.blueprint.difference import Change, ChangeKind, Weight, difference, refusals
from crm.blueprint.model import Blueprint
from tests.crm.blueprint.conftest import Folder

DATA, ORG, PROCESS = "data/data.yaml", "org/org.yaml", "process/process.yaml"
FUNCTION, FORM, MESSAGES = "function/function.yaml", "info/shelf_visit.yaml", "info/messages.yaml"


def after(folder: Folder, *edits: tuple[str, str, str]) -> tuple[Change, ...]:
    before = folder.blueprint()
    for file, old, new in edits:
        folder.edit(file, old, new)
    return difference(before, folder.blueprint())


@pytest.mark.parametrize(
    ("file", "old", "new", "sentence"),
    [
        (PROCESS, "first_answer: PT4H", "first_answer: PT2H",
         "queues › 服务 (service) › due › first_answer: PT4H becomes PT2H."
         " Open cases keep the times they were given."),
        (FORM, "confirm_above: 480", "confirm_above: 720",
         "forms › 货架巡访 (shelf_visit) › lines › fields › 库存瓶数 (sv_bottles) › confirm_above: 480 becomes 720."),
        (FORM, "title: 标价", "title: 零售价",
         "forms › 货架巡访 (shelf_visit) › lines › fields › 零售价 (sv_price) › title: 标价 becomes 零售价."
         " The data stay with the field's id."),
        (MESSAGES, "words: [报修, BX]", "words: [报修, BXU]",
         "messages › commands › broken_cooler › words: removed BX."),
        (MESSAGES, 'E_UNKNOWN: "没看懂"', "E_UNKNOWN: 未看懂",
         "messages › errors › E_UNKNOWN: 没看懂 becomes 未看懂."),
        (DATA, "- {code: market, label: 商超}", "- {code: market, label: 商超}\n      - {code: bar, label: 酒吧}",
         "code tables › 门店类型 (shop_kind) › values › 酒吧 (bar): added."),
        (DATA, "label: 商超}", "label: 商超, valid_to: 2026-12-31}",
         "code tables › 门店类型 (shop_kind) › values › 商超 (market) › valid_to: added 2026-12-31."),
        (DATA, "      - {id: shop_kind, type: choice, title: 门店类型, code_table: shop_kind}\n", "",
         "customer kinds › 门店 (outlet) › fields › 门店类型 (shop_kind): removed."
         " It is no longer asked; its values stay in old records and in exports."),
        (DATA, "title: 冰柜数, least: 0}", "title: 冰柜数, least: 0, required: true}",
         "customer kinds › 门店 (outlet) › fields › 冰柜数 (coolers) › required: added yes."
         " From now on it must be answered; old records stay as they are."),
        (ORG, "{role: rep, allow: [case.read]}", "{role: rep, allow: [case.read, case.close]}",
         "permissions › 业务员 (rep) › 办结 (case.close): added always. The role gains it."),
        (ORG, "{role: agent, allow: [case.read, case.take, case.close]}",
         "{role: agent, allow: [case.read, case.close]}\n    - {role: rep, allow: [case.take]}",
         "permissions › 坐席 (agent) › 领取 (case.take): removed. The role loses it at once."),
        (ORG, "hide: [coolers]", "hide: [coolers, name]",
         "permissions › 业务员 (rep) › sees outlet: outlet.territory in user.territories, without coolers becomes"
         " outlet.territory in user.territories, without coolers、name."),
    ],
)  # fmt: skip
def test_a_change_reads_as_a_sentence(folder: Folder, file: str, old: str, new: str, sentence: str) -> None:
    changes = after(folder, (file, old, new))
    assert sentence in [str(change) for change in changes]


PRODUCT = (
    '  "5002":\n    {brand: qingquan, title: 清泉(1500), aliases: [清泉大, 大清泉, QQD], unit_set: bottles,'
    ' values: {millilitres: 1500},\n     barcodes: {瓶: "6900000050026"}, prices: {guide: {amount: 4.50, per: 瓶}}}\n'
)


@pytest.mark.parametrize(
    "edits",
    [
        [(DATA, "      - {code: market, label: 商超}\n", "")],
        [(DATA, "- {code: market, label: 商超}", "- {code: super, label: 商超}")],
        [(DATA, "type: integer, title: 冰柜数", "type: decimal, title: 冰柜数")],
        [(DATA, ', {sku: "5002"}', ""), (DATA, PRODUCT, "")],
        [(FORM, "      result: shelf_price_cents\n", "      result: shelf_price_tenths\n")],
    ],
    ids=["code removed", "code renamed", "type changed", "product removed", "stored otherwise"],
)
def test_what_would_make_old_records_unreadable_is_refused(
    folder: Folder, edits: list[tuple[str, str, str]]
) -> None:
    assert [change.weight for change in refusals(after(folder, *edits))] == [Weight.REFUSED]


def test_the_same_blueprint_has_no_difference(beverage: Blueprint) -> None:
    assert difference(beverage, beverage.numbered(9)) == ()


def test_a_change_has_its_path_in_ids(folder: Folder) -> None:
    (change,) = after(folder, (PROCESS, "solve: P2D", "solve: P3D"))
    assert change.path == ("queues", "service", "due", "solve")
    assert (change.kind, change.before, change.after) == (ChangeKind.CHANGED, "P2D", "P3D")


def test_a_new_order_of_the_menu_is_one_change(folder: Folder) -> None:
    folder.edit(
        FUNCTION,
        "    items: [{id: inbox, title: 收件, needs: case.read}]",
        "    items: [{id: inbox, title: 收件, needs: case.read}, {id: wall, title: 看板}]",
    )
    (change,) = after(
        folder,
        (
            FUNCTION,
            "[{id: inbox, title: 收件, needs: case.read}, {id: wall, title: 看板}]",
            "[{id: wall, title: 看板}, {id: inbox, title: 收件, needs: case.read}]",
        ),
    )
    assert str(change) == "functions › 工作台 (desk) › items › order: inbox、wall becomes wall、inbox."


def test_the_two_packages_differ_in_everything_and_nothing_breaks(
    beverage: Blueprint, tobacco: Blueprint
) -> None:
    changes = difference(beverage, tobacco)
    assert len(changes) > 100
    assert all(str(change) for change in changes)
