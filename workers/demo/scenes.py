"""The scenes of the demo: what waits in the inbox on the first day, and the dialogues that were settled before."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from crm.blueprint.model import Blueprint
from crm.cases import due_times
from workers.demo.story import Step
from workers.demo.world import Actor, World, said, telephone

_AGO: Final = re.compile(r"-(\d+)m")
_DAY: Final = re.compile(r"-(\d+)d (\d\d):(\d\d)")
_AFTER: Final = re.compile(r"(\d+)([ms])")


class Scenes:
    """Turns the scenes' file into steps, with moments that make sense whenever the demo begins."""

    def __init__(
        self, blueprint: Blueprint, world: World, silent: Sequence[Actor], now: datetime, zone: ZoneInfo
    ) -> None:
        self._blueprint = blueprint
        self._world = world
        self._silent = silent
        self._now = now.astimezone(zone)
        self._zone = zone

    def steps(self) -> Iterator[Step]:
        scenes = said("scenes")
        for number, scene in enumerate(scenes["settled"]):
            yield from self._scene(f"settled:{number}", scene, f"-{scene['days']}d ")
        for number, scene in enumerate(scenes["open"]):
            yield from self._scene(f"open:{number}", scene, "")

    def actors(self) -> set[Actor]:
        """Who plays a part in what is still open."""
        return {self._actor(scene["who"]) for scene in said("scenes")["open"]}

    def _scene(self, key: str, scene: Mapping[str, Any], day: str) -> Iterator[Step]:
        actor = self._actor(scene["who"])
        at = self._now
        for number, step in enumerate(scene["steps"]):
            at = self._moment(step, at, day)
            yield self._step(f"{key}:{number}", actor, at, step)

    def _actor(self, who: str) -> Actor:
        kind, _, which = who.partition(":")
        match kind:
            case "shop":
                return self._world.phones[telephone(int(which))]
            case "form":
                return [shop for shop in self._world.shops if shop.fields["form"] == which][3]
            case "silent":
                return self._silent[int(which) - 1]
            case "consumer":
                return self._world.consumers[int(which) - 1]
            case "unknown":
                return self._world.strangers[int(which) - 1]
            case _:
                raise ValueError(f"a scene is played by {who}, and nobody is called so")

    def _moment(self, step: Mapping[str, Any], before: datetime, day: str) -> datetime:
        if "after" in step:
            amount, unit = _AFTER.fullmatch(step["after"]).groups()  # type: ignore[union-attr]  # our own file
            return before + timedelta(**{"minutes" if unit == "m" else "seconds": int(amount)})
        said_at = f"{day}{step['at']}"
        if said_at == "overdue":
            return self._overdue(step["of"])
        if ago := _AGO.fullmatch(said_at):
            return self._now - timedelta(minutes=int(ago[1]))
        if named := _DAY.fullmatch(said_at):
            date = self._now.date() - timedelta(days=int(named[1]))
            return datetime.combine(date, time(int(named[2]), int(named[3])), self._zone)
        raise ValueError(f"a scene happens at {said_at}, which is no moment")

    def _overdue(self, kind: str) -> datetime:
        """The latest hour of the day for which the first answer should have been given half an hour ago."""
        case_kind = self._blueprint.case_kind(kind)
        queue = self._blueprint.queue_for_case_kind(kind)
        wanted = self._now - timedelta(minutes=30)
        at = self._now - timedelta(minutes=45)
        while not 8 <= at.hour < 20 or due_times(self._blueprint, case_kind, queue, at)[0] > wanted:
            at -= timedelta(minutes=20)
        return at

    def _step(self, key: str, actor: Actor, at: datetime, step: Mapping[str, Any]) -> Step:
        if "say" in step:
            return Step(at=at, actor=actor, key=key, text=step["say"])
        by = step.get("by", step.get("user", ""))
        if "reply" in step:
            return Step(at=at, actor=actor, key=key, text=step["reply"], act="reply", by=by)
        if "note" in step:
            return Step(at=at, actor=actor, key=key, text=step["note"], act="note", by=by)
        if "case" in step:
            detail = {"kind": step["case"]}
            return Step(at=at, actor=actor, key=key, text=step["title"], act="case.open", detail=detail)
        return Step(at=at, actor=actor, key=key, act=step["act"], by=by, detail=self._detail(step))

    def _detail(self, step: Mapping[str, Any]) -> dict[str, Any]:
        match step["act"]:
            case "assign":
                return {"user": step["user"]}  # a key of the demo's users, until they exist
            case "case.state":
                return {"state": step["to"]}
            case "snooze":
                day = self._now.date() + timedelta(days=step["days"])
                return {"until": datetime.combine(day, time(9, 30), self._zone).isoformat()}
            case _:
                return {}
