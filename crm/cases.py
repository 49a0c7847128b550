"""Service cases: opened by a message or a person, numbered, moved through the states that the blueprint allows."""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import col

from core.consumers import ActRefused
from core.database import Tx
from crm.blueprint.codes import CodeTable
from crm.blueprint.conditions import holds
from crm.blueprint.customers import FieldType
from crm.blueprint.model import Blueprint
from crm.blueprint.publishing import Published
from crm.blueprint.service import CaseKind, Flow, Queue, Transition
from crm.tables import Case, CaseCounter

_TITLE = 80


async def open_case(
    tx: Tx,
    published: Published,
    *,
    kind: str,
    subkind: str = "",
    party_id: UUID,
    text: str,
    seq: int,
    at: datetime,
    severity: int | None = None,
    assignee: UUID | None = None,
) -> Case:
    """Open the case that the entry `seq` asks for. The same entry always opens the same case."""
    blueprint = published.blueprint
    case_kind = blueprint.case_kind(kind)
    queue = blueprint.queue_for_case_kind(kind)
    subkind = subkind or classify(blueprint, kind, text)
    severity = severity or least_severity(blueprint, kind, subkind)
    due_first, due_solve = due_times(blueprint, case_kind, queue, at, severity=severity, subkind=subkind)
    case = Case(
        id=seq,
        number=await next_number(tx, published, case_kind, at),
        kind=kind,
        subkind=subkind,
        severity=severity,
        title=title_of(text),
        party_id=party_id,
        state=first_state(blueprint.flow(case_kind.flow)),
        queue=queue.id,
        assignee=assignee,
        opened_at=at,
        state_since=at,
        due_first=due_first,
        due_solve=due_solve,
        blueprint=published.version,
    )
    tx.session.add(case)
    return case


def first_state(flow: Flow) -> str:
    return flow.states[0].id


def title_of(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _TITLE else line[: _TITLE - 1] + "…"


def subkind_table(blueprint: Blueprint, kind: str) -> tuple[str, CodeTable] | None:
    """The field that tells cases of a kind apart, and its codes: the first that offers a table of its own."""
    for field in blueprint.case_kind(kind).fields:
        if field.type is FieldType.CHOICE and field.code_table is not None:
            table = blueprint.code_table(field.code_table)
            if table.parent is None:
                return field.id, table
    return None


def subkinds(
    blueprint: Blueprint, kind: str
) -> list[tuple[str, str, Mapping[str, str | int | float | bool]]]:
    """The codes that a case of this kind may have: code, label, extra."""
    found = subkind_table(blueprint, kind)
    return [(value.code, value.label.hans, value.extra) for value in found[1].values] if found else []


def classify(blueprint: Blueprint, kind: str, text: str) -> str:
    """The first subkind one of whose `words` stands in the text; a person may choose another."""
    for code, _, extra in subkinds(blueprint, kind):
        words = str(extra.get("words", "")).split()
        if any(word in text for word in words):
            return code
    return ""


def least_severity(blueprint: Blueprint, kind: str, subkind: str) -> int:
    for code, _, extra in subkinds(blueprint, kind):
        if code == subkind:
            return int(extra.get("severity_min", 1))
    return 1


def due_times(
    blueprint: Blueprint, kind: CaseKind, queue: Queue, at: datetime, *, severity: int = 1, subkind: str = ""
) -> tuple[datetime, datetime]:
    """When the first answer and the solution are due, on the queue's working calendar."""
    found = subkind_table(blueprint, kind.id)
    case = {"kind": kind.id, "severity": severity, **({found[0]: subkind} if found else {})}
    due = next(
        (each for each in kind.due if each.when is None or holds(each.when, {"case": case})), queue.due
    )
    working = blueprint.working_time(queue.calendar)
    return working.due(at, due.first_answer), working.due(at, due.solve)


async def next_number(tx: Tx, published: Published, kind: CaseKind, at: datetime) -> str:
    """The next number of this kind in the span that the moment falls into; a number is never given twice."""
    day = at.astimezone(published.timezone).date()
    span = kind.number.span(day)
    insert = (sqlite.insert if tx.is_sqlite else postgresql.insert)(CaseCounter)
    statement = (
        insert.values(kind=kind.id, span=span, count=1)
        .on_conflict_do_update(index_elements=["kind", "span"], set_={"count": col(CaseCounter.count) + 1})
        .returning(col(CaseCounter.count))
    )
    count = (await tx.write(statement)).scalar_one()
    return kind.number.number(day, count)


async def case_named(tx: Tx, id: int) -> Case:
    case = await tx.session.get(Case, id)
    if case is None:
        raise ActRefused("not_found", "There is no such case.", case=id)
    return case


def step(flow: Flow, case: Case, to: str, at: datetime) -> Transition:
    """The transition that leads to the wanted state. Raises ActRefused with what is possible instead."""
    for transition in flow.leaving(case.state):
        if transition.to != to:
            continue
        if transition.within is not None and at - case.state_since > transition.within.elapsed:
            raise ActRefused("too_late", "The time for this step is over.", state=case.state, to=to)
        if transition.at_most is not None and case.reopen_count >= transition.at_most:
            raise ActRefused(
                "too_often", "This step was taken as often as it may be.", state=case.state, to=to
            )
        return transition
    possible = sorted({transition.to for transition in flow.leaving(case.state)})
    raise ActRefused(
        "no_such_step", "The case cannot go there from its state.", state=case.state, possible=possible
    )


def move(blueprint: Blueprint, case: Case, to: str, at: datetime) -> None:
    """Take a step that the flow allows; an ended case that moves on was reopened."""
    flow = blueprint.flow(blueprint.case_kind(case.kind).flow)
    step(flow, case, to, at)
    ends = {state.id for state in flow.states if state.ends}
    if case.closed_at is not None and to not in ends:
        case.reopen_count += 1
        case.closed_at = None
    elif to in ends:
        case.closed_at = at
    case.state = to
    case.state_since = at


def is_open(case: Case) -> bool:
    return case.closed_at is None


async def open_cases(tx: Tx, party_ids: list[UUID]) -> list[Case]:
    rows = await tx.session.execute(
        select(Case)
        .where(col(Case.party_id).in_(party_ids), col(Case.closed_at).is_(None))
        .order_by(col(Case.severity).desc(), col(Case.id))
    )
    return list(rows.scalars())
