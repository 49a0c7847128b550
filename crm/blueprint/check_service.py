"""Checks of queues, case kinds and flows: everything has a queue, every state can be reached and left."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from crm.blueprint.problems import Problem, listed, problem
from crm.blueprint.service import DueTimes, Flow
from crm.blueprint.source import DataPath
from crm.blueprint.subject import Subject, Unique


def check_service(subject: Subject) -> Iterator[Problem]:
    yield from _check_queues(subject)
    yield from _check_numbers(subject)
    for flow in subject.of("flows"):
        yield from _check_flow(subject, flow)
    for queue in subject.of("queues"):
        yield from _check_due(subject, queue.due, ("queues", queue.id, "due"))
    for kind in subject.of("case_kinds"):
        for index, due in enumerate(kind.due):
            yield from _check_due(subject, due, ("case_kinds", kind.id, "due", index))


def _check_queues(subject: Subject) -> Iterator[Problem]:
    taken: dict[tuple[str, str], str] = {}
    for queue in subject.of("queues"):
        for part in ("intents", "case_kinds"):
            for index, name in enumerate(getattr(queue, part)):
                other = taken.setdefault((part, name), queue.id)
                if other != queue.id:
                    place = subject.place(("queues", queue.id, part, index))
                    yield problem("queue_twice", place, name=name, other=other)
    if subject.is_whole("queues"):
        for kind in subject.of("case_kinds"):
            if ("case_kinds", kind.id) not in taken:
                yield problem("queue_missing", subject.place(("case_kinds", kind.id), key=True), name=kind.id)


def _check_numbers(subject: Subject) -> Iterator[Problem]:
    prefixes: dict[str, str] = {}
    for kind in subject.of("case_kinds"):
        other = prefixes.setdefault(kind.number.prefix, kind.id)
        if other != kind.id:
            place = subject.place(("case_kinds", kind.id, "number", "pattern"))
            yield problem("number_collision", place, other=other)


def _check_due(subject: Subject, due: DueTimes, path: DataPath) -> Iterator[Problem]:
    # Days of a working calendar are shorter than 24 hours, so only like is compared with like.
    first, solve = due.first_answer, due.solve
    if (first.days, first.clock) > (solve.days, solve.clock) and first.elapsed > solve.elapsed:
        yield problem("due_reversed", subject.place((*path, "first_answer")))


def _check_flow(subject: Subject, flow: Flow) -> Iterator[Problem]:
    path = ("flows", flow.id)
    states = {state.id: state for state in flow.states}
    yield from _twice(
        subject, "a state", ((state.id, (*path, "states", i)) for i, state in enumerate(flow.states))
    )
    yield from _twice(
        subject,
        "a transition",
        ((step.id, (*path, "transitions", i)) for i, step in enumerate(flow.transitions)),
    )
    for index, step in enumerate(flow.transitions):
        here = (*path, "transitions", index)
        ends = [(step.to, (*here, "to")), *((id, (*here, "from", i)) for i, id in enumerate(step.start))]
        for id, where in ends:
            if id not in states:
                known = listed(set(states))
                yield problem("reference_unknown", subject.place(where), target="State", name=id, known=known)
    reached = _reached(flow)
    for index, state in enumerate(flow.states):
        place = subject.place((*path, "states", index))
        if state.id not in reached:
            yield problem("state_unreachable", place, name=state.id)
        if not state.ends and not flow.leaving(state.id):
            yield problem("state_without_exit", place, name=state.id)
    if not any(state.ends and state.id in reached for state in flow.states):
        yield problem("flow_without_end", subject.place(path, key=True))


def _twice(subject: Subject, what: str, ids: Iterable[tuple[str, DataPath]]) -> Iterator[Problem]:
    seen = Unique(subject, what=what)
    for index, (id, path) in enumerate(ids):
        if complaint := seen.see(id, str(index), (*path, "id")):
            yield complaint


def _reached(flow: Flow) -> set[str]:
    reached, open_ = {flow.states[0].id}, [flow.states[0].id]
    while open_:
        for step in flow.leaving(open_.pop()):
            if step.to not in reached:
                reached.add(step.to)
                open_.append(step.to)
    return reached
