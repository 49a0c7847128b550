"""An administrator's change and the act that tells of it: committed together, so that neither stands alone."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from core import outbox
from core.database import Tx
from core.errors import Unavailable
from workers.assemble import Hub
from workers.jobs import NOTE, note

log = logging.getLogger(__name__)

_NOTED_BY_ITSELF = timedelta(seconds=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who administers: a signed-in person, or whoever sits at the machine, known by the system's name for them."""

    user: UUID | None = None
    os_user: str = ""

    @property
    def by(self) -> str:
        return str(self.user) if self.user else ""


@dataclass(slots=True)
class Change:
    """An open change. `detail` goes into the log for ever: no secret, no hash, no telephone number."""

    tx: Tx
    detail: dict[str, Any] = field(default_factory=dict)


@asynccontextmanager
async def changing(hub: Hub, actor: Actor, name: str) -> AsyncIterator[Change]:
    """A transaction whose change stands in the log as the act `name`.

    The act is a row of the outbox, committed with the change, and is logged right after; should the process die in
    between, the job logs it. Both use one key, so it stands there once.
    """
    key = f"{name}:{uuid4()}"
    async with hub.db.begin() as tx:
        change = Change(tx)
        yield change
        if actor.os_user:
            change.detail["os_user"] = actor.os_user
        payload = {"act": name, "by": actor.by, "key": key, "detail": change.detail}
        due = hub.clock() + _NOTED_BY_ITSELF
        outbox.put(tx, key=f"{NOTE}:{key}", job=NOTE, payload=payload, due_at=due)
    try:
        await note(hub.intake, payload)
    except Unavailable:
        log.warning("act is logged later", extra={"act": name})
