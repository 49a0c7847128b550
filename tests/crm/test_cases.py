"""Service cases: the steps that a flow allows, due times by the queue's calendar, kinds found by words."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core.consumers import ActRefused
from crm import cases
from crm.tables import Case
from tests.support.hub import AGENT, CLERK, TOBACCO, DeskHub, blueprint_of

FRIDAY_AFTERNOON = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)  # 16:00 in Shanghai


def a_case(state: str = "new", **more: Any) -> Case:
    return Case(
        id=1, number="T2611-0001", kind="complaint", state=state, state_since=FRIDAY_AFTERNOON,
        opened_at=FRIDAY_AFTERNOON, party_id=AGENT, reopen_count=0, **more,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("from_", "to"),
    [
        ("new", "triaged"),
        ("new", "in_work"),
        ("in_work", "solved"),
        ("solved", "closed"),
        ("solved", "reopened"),
    ],
)
def test_a_case_goes_where_its_flow_leads(from_: str, to: str) -> None:
    case = a_case(from_)
    cases.move(blueprint_of(TOBACCO), case, to, FRIDAY_AFTERNOON + timedelta(hours=1))
    assert (case.state, case.state_since) == (to, FRIDAY_AFTERNOON + timedelta(hours=1))


def test_a_step_that_the_flow_does_not_know_is_refused_with_those_it_knows() -> None:
    with pytest.raises(ActRefused) as refused:
        cases.move(blueprint_of(TOBACCO), a_case("new"), "closed", FRIDAY_AFTERNOON)
    assert refused.value.code == "no_such_step"
    assert "in_work" in refused.value.detail["possible"]  # type: ignore[operator]  # a list of states


def test_a_closed_case_reopens_within_its_days_only() -> None:
    case = a_case("closed", closed_at=FRIDAY_AFTERNOON)
    with pytest.raises(ActRefused) as refused:
        cases.move(blueprint_of(TOBACCO), case, "reopened", FRIDAY_AFTERNOON + timedelta(days=8))
    assert refused.value.code == "too_late"
    cases.move(blueprint_of(TOBACCO), case, "reopened", FRIDAY_AFTERNOON + timedelta(days=6))
    assert (case.closed_at, case.reopen_count, cases.is_open(case)) == (None, 1, True)


def test_a_case_reopens_only_so_many_times() -> None:
    case = a_case("solved")
    case.reopen_count = 2
    with pytest.raises(ActRefused) as refused:
        cases.move(blueprint_of(TOBACCO), case, "reopened", FRIDAY_AFTERNOON)
    assert refused.value.code == "too_often"


def test_a_state_that_ends_closes_the_case() -> None:
    case = a_case("solved")
    cases.move(blueprint_of(TOBACCO), case, "closed", FRIDAY_AFTERNOON)
    assert case.closed_at == FRIDAY_AFTERNOON
    assert not cases.is_open(case)


def test_due_times_run_on_the_queues_working_hours() -> None:
    blueprint = blueprint_of(TOBACCO)
    kind = blueprint.case_kind("complaint")
    first, solve = cases.due_times(
        blueprint, kind, blueprint.queue_for_case_kind("complaint"), FRIDAY_AFTERNOON
    )
    assert FRIDAY_AFTERNOON < first < solve
    assert blueprint.working_time("service_desk").is_open(first - timedelta(seconds=1))


@pytest.mark.parametrize(
    ("severity", "subkind", "is_urgent"), [(1, "service", False), (3, "service", True), (1, "fake", True)]
)
def test_what_is_grave_is_due_sooner(severity: int, subkind: str, is_urgent: bool) -> None:
    blueprint = blueprint_of(TOBACCO)
    kind, queue = blueprint.case_kind("complaint"), blueprint.queue_for_case_kind("complaint")
    usual, _ = cases.due_times(blueprint, kind, queue, FRIDAY_AFTERNOON)
    first, _ = cases.due_times(blueprint, kind, queue, FRIDAY_AFTERNOON, severity=severity, subkind=subkind)
    assert (first < usual) is is_urgent


@pytest.mark.parametrize(
    ("text", "subkind", "severity"),
    [("102 有几盒受潮", "quality", 2), ("买到假烟了", "fake", 3), ("没什么，就是想投诉", "", 1)],
)
def test_the_words_of_a_complaint_say_its_kind_and_how_grave_it_is(
    text: str, subkind: str, severity: int
) -> None:
    blueprint = blueprint_of(TOBACCO)
    assert cases.classify(blueprint, "complaint", text) == subkind
    assert cases.least_severity(blueprint, "complaint", subkind) == severity


@pytest.mark.parametrize(
    ("text", "title"), [("受潮\n两盒", "受潮 两盒"), ("长" * 100, "长" * 79 + "…"), ("长" * 80, "长" * 80)]
)
def test_a_title_is_one_short_line(text: str, title: str) -> None:
    assert cases.title_of(text) == title


def test_subkinds_come_with_the_kind_of_case() -> None:
    codes = [code for code, _, _ in cases.subkinds(blueprint_of(TOBACCO), "complaint")]
    assert {"quality", "fake"} <= set(codes)
    assert cases.subkinds(blueprint_of(TOBACCO), "care") == []


async def test_a_person_opens_moves_and_hands_over_a_case(hub: DeskHub) -> None:
    shop = await hub.shop()
    seq = await hub.act("case.open", party=shop, kind="consult", text="问新品什么时候到货", severity=2)
    (case,) = await hub.cases()
    assert (case.id, case.number, case.severity, case.title) == (seq, "Z2611-0001", 2, "问新品什么时候到货")
    row = await hub.conversation(shop)
    assert (row.state, row.case_id, row.queue) == ("open", seq, "consult")
    await hub.act("case.assign", party=shop, case=seq, user=str(CLERK))
    for state in ("in_work", "solved", "closed"):
        await hub.act("case.state", party=shop, case=seq, state=state)
    (case,) = await hub.cases()
    assert (case.assignee, case.state, case.closed_at) == (CLERK, "closed", hub.clock())
    row = await hub.conversation(shop)
    assert (row.case_id, row.due_at) == (None, None)


async def test_the_conversation_names_the_most_severe_open_case(hub: DeskHub) -> None:
    shop = await hub.shop()
    light = await hub.act("case.open", party=shop, kind="consult", text="问新品", severity=1)
    grave = await hub.act("case.open", party=shop, kind="complaint", text="假烟", severity=3)
    await hub.act("case.state", party=shop, case=light, state="in_work")
    assert (await hub.conversation(shop)).case_id == grave


async def test_a_refused_step_leaves_the_case_as_it_was(hub: DeskHub) -> None:
    shop = await hub.shop()
    case_id = await hub.act("case.open", party=shop, kind="consult", text="问新品")
    seq = await hub.act("case.state", party=shop, case=case_id, state="closed")
    refusal = await hub.refusal(seq)
    assert refusal is not None
    assert refusal.code == "no_such_step"
    (case,) = await hub.cases()
    assert case.state == "new"


async def test_a_case_that_is_not_there_cannot_be_moved(hub: DeskHub) -> None:
    shop = await hub.shop()
    refusal = await hub.refusal(await hub.act("case.state", party=shop, case=999, state="in_work"))
    assert refusal is not None
    assert refusal.code == "not_found"
