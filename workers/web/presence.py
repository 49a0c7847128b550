"""Presence: who looks at a customer or writes to them, at this process's consoles and at those of the others."""

import logging
import time
from collections import defaultdict
from collections.abc import Callable
from uuid import UUID, uuid4

import orjson

from core.bus import Bus, Topic
from core.users import User

log = logging.getLogger(__name__)

BEAT = 5.0
"""Seconds between two full words of each process: after so long what was lost on the way is known."""

_FORGOTTEN_AFTER = 3 * BEAT  # a process that says nothing for so long has taken its consoles with it

Seen = dict[str, str]  # id, name, state


class Presence:
    """One process's view. `changed` is told each party whose people changed, here or elsewhere."""

    def __init__(self, bus: Bus, changed: Callable[[UUID], None]) -> None:
        self._bus = bus
        self._changed = changed
        self._process = uuid4().hex
        self._here: dict[UUID, dict[str, tuple[User, str]]] = defaultdict(dict)
        self._elsewhere: dict[str, dict[UUID, list[Seen]]] = {}
        self._heard_at: dict[str, float] = {}
        bus.hear(Topic.PRESENCE, self._hear)

    def put(self, console: str, user: User, party: UUID, state: str) -> None:
        """A console looks at one party at a time; `gone` takes it away."""
        there = self._here[party]
        if state == "gone":
            there.pop(console, None)
            if not there:
                del self._here[party]
        else:
            for other in [
                other for other, known in self._here.items() if other != party and console in known
            ]:
                self.put(console, user, other, "gone")
            self._here[party][console] = (user, state)
        self._changed(party)
        self._say({party: self._people_here(party)}, is_all=False)

    def leave(self, console: str, user: User) -> None:
        for party in [party for party, there in self._here.items() if console in there]:
            self.put(console, user, party, "gone")

    def of(self, party: UUID) -> list[Seen]:
        """Each person once, typing before looking."""
        found: dict[str, Seen] = {}
        everywhere = [self._people_here(party), *(there.get(party, []) for there in self._elsewhere.values())]
        for seen in (seen for people in everywhere for seen in people):
            if seen["id"] not in found or seen["state"] == "typing":
                found[seen["id"]] = seen
        return list(found.values())

    def beat(self) -> None:
        """Say everything anew, and forget the processes that say nothing any more."""
        self._say({party: self._people_here(party) for party in self._here}, is_all=True)
        late = time.monotonic() - _FORGOTTEN_AFTER
        for process in [process for process, at in self._heard_at.items() if at < late]:
            del self._heard_at[process]
            for party in self._elsewhere.pop(process, {}):
                self._changed(party)

    def _people_here(self, party: UUID) -> list[Seen]:
        return [
            {"id": str(user.id), "name": user.name, "state": state}
            for user, state in self._here.get(party, {}).values()
        ]

    def _say(self, people: dict[UUID, list[Seen]], *, is_all: bool) -> None:
        word = {
            "process": self._process,
            "all": is_all,
            "people": {str(party): seen for party, seen in people.items()},
        }
        self._bus.say(Topic.PRESENCE, orjson.dumps(word))

    def _hear(self, payload: bytes) -> None:
        if not payload:
            return
        word = orjson.loads(payload)
        process = word["process"]
        if process == self._process:
            return
        self._heard_at[process] = time.monotonic()
        told = {UUID(party): seen for party, seen in word["people"].items()}
        known = self._elsewhere.get(process, {})
        merged = {party: seen for party, seen in (told if word["all"] else {**known, **told}).items() if seen}
        self._elsewhere[process] = merged
        for party in {*known, *merged}:
            if known.get(party) != merged.get(party):
                self._changed(party)
