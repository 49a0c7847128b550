"""Queues, case kinds with their numbers, and the flow of states that a case goes through."""

from __future__ import annotations

import re
from datetime import date
from enum import StrEnum
from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from crm.blueprint.customers import FieldDef
from crm.blueprint.values import Cel, Duration, Entry, Id, Label, Ref


class DueTimes(Entry):
    """Counted in the queue's calendar; a day is one working day."""

    first_answer: Duration
    solve: Duration
    warn: Annotated[float, Field(gt=0, lt=1)] = 0.8  # the share of the time after which it is shown as near
    when: Annotated[str, Cel("case")] | None = None


class Queue(Entry):
    id: Id
    title: Label
    intents: tuple[Annotated[str, Ref("intents")], ...] = ()
    case_kinds: tuple[Annotated[Id, Ref("case_kinds")], ...] = ()
    org_unit: Annotated[Id, Ref("org_units")]
    roles: Annotated[tuple[Annotated[Id, Ref("roles")], ...], Field(min_length=1)]
    calendar: Annotated[Id, Ref("calendars")]
    priority: Annotated[int, Field(ge=1, le=9)] = 5  # 1 goes first
    due: DueTimes
    skills: tuple[str, ...] = ()


_PLACEHOLDER: Final = re.compile(r"\{([a-z]+)(?::(\d))?\}")


class Restart(StrEnum):
    NEVER = "never"
    YEAR = "year"
    MONTH = "month"
    DAY = "day"


class NumberPattern(Entry):
    """A short number that can be said on the telephone, such as T{yy}{mm}-{n:4}."""

    pattern: Annotated[str, Field(max_length=40)]
    restart: Restart = Restart.NEVER

    @model_validator(mode="after")
    def _can_work(self) -> Self:
        rest = _PLACEHOLDER.sub("", self.pattern)
        names = [match[1] for match in _PLACEHOLDER.finditer(self.pattern)]
        if not re.fullmatch(r"[A-Z0-9-]*", rest) or set(names) - {"yyyy", "yy", "mm", "dd", "n"}:
            raise ValueError("it may hold capital letters, digits, - and {yyyy} {yy} {mm} {dd} {n:4}")
        if names.count("n") != 1:
            raise ValueError("it needs {n:4}, the running number, exactly once")
        year = "yy" in names or "yyyy" in names
        told = {Restart.NEVER: True, Restart.YEAR: year, Restart.MONTH: year and "mm" in names,
                Restart.DAY: year and {"mm", "dd"} <= set(names)}  # fmt: skip
        if not told[self.restart]:
            raise ValueError(f"numbers repeat when they restart each {self.restart} and do not show it")
        return self

    @property
    def prefix(self) -> str:
        """What stands before the first placeholder: it tells kinds of cases apart."""
        return self.pattern.split("{", 1)[0]

    def number(self, day: date, count: int) -> str:
        values = {"yyyy": f"{day:%Y}", "yy": f"{day:%y}", "mm": f"{day:%m}", "dd": f"{day:%d}"}

        def fill(match: re.Match[str]) -> str:
            return values[match[1]] if match[1] != "n" else str(count).zfill(int(match[2] or 1))

        return _PLACEHOLDER.sub(fill, self.pattern)

    def span(self, day: date) -> str:
        """What the running number counts within; a new span starts at one."""
        return {Restart.NEVER: "", Restart.YEAR: f"{day:%Y}", Restart.MONTH: f"{day:%Y-%m}",
                Restart.DAY: f"{day:%Y-%m-%d}"}[self.restart]  # fmt: skip


class State(Entry):
    id: Id
    title: Label
    clock: bool = True  # False while the case waits for somebody outside
    ends: bool = False


class Transition(Entry):
    id: Id
    title: Label
    start: Annotated[tuple[Id, ...], Field(alias="from", min_length=1)]
    to: Id
    action: Annotated[Id, Ref("actions")] | None = None  # None: only the system does it
    when: Annotated[str, Cel("case")] | None = None
    within: Duration | None = None  # since the case came into the state it leaves
    at_most: Annotated[int, Field(ge=1)] | None = None
    reply: Annotated[Id, Ref("canned_replies")] | None = None


class Flow(Entry):
    """The first state is where a new case begins."""

    id: Id
    title: Label
    states: Annotated[tuple[State, ...], Field(min_length=2)]
    transitions: tuple[Transition, ...]

    def leaving(self, state: str) -> tuple[Transition, ...]:
        return tuple(step for step in self.transitions if state in step.start)


class CaseKind(Entry):
    id: Id
    title: Label
    flow: Annotated[Id, Ref("flows")]
    number: NumberPattern
    fields: tuple[FieldDef, ...] = ()
    due: tuple[DueTimes, ...] = ()  # the first whose `when` holds counts; else the queue's
    replies: tuple[Annotated[Id, Ref("canned_replies")], ...] = ()
    ask_satisfaction: bool = False
