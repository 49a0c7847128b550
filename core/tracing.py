"""Traces: what each process did with an entry of the log, as OpenTelemetry spans of one trace; off unless configured.

Nothing is carried from process to process. An entry's id is a UUIDv7, 128 bits of which 62 are random: it *is* the
trace's id, so whoever holds the entry, its number or its outbox item makes spans of the same trace, and the id that a
console or `switchboard log tail --json` shows finds the trace. A span's own id is made from the entry and the step, so
a span may name its parent without having met it, and a step that ran twice is one span. Whether an entry is traced is
read from its id too: all processes decide alike.

    receive                  from the moment the event was handed to the log until it was durable
    ├─ append                the commit that carried it; a link leads to the batch it shared
    ├─ digest crm            its turn at a consumer, until that is committed
    │  ├─ outbox             how long an answer waited
    │  └─ send               the offer to the provider
    └─ frame                 one frame that showed its line, to so many consoles

Attributes are names, numbers and codes of our own: never a text, an address or a secret. When tracing is off there is
nothing in the way: `consumer` and `job` give back what they were given, and no listener is registered.
"""

import asyncio
import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Any, Literal, Protocol
from uuid import UUID

from sqlalchemy import select
from sqlmodel import col

from core.database import Database, Tx
from core.log.appenders import Prepared
from core.log.entries import Logged
from core.outbox import Item, ItemState, Outcome, Settled
from core.tables import LogEntry
from core.values import Direction

log = logging.getLogger(__name__)

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_RANDOM_BITS = (
    56  # the part of a trace id that is random for everybody (W3C Trace Context 2); in a UUIDv7 it is
)
_DIGEST = "digest crm"

Attributes = Mapping[str, str | int]
Kind = Literal["internal", "server", "client", "producer", "consumer"]


class Consumer(Protocol):
    name: str

    async def digest(self, tx: Tx, batch: Sequence[Logged]) -> None: ...


Job = Callable[[Item], Awaitable[Outcome]]


def is_configured(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether a collector is named, in the variables that OpenTelemetry gives it; OTEL_SDK_DISABLED=true wins."""
    return environ.get("OTEL_SDK_DISABLED", "").lower() != "true" and any(
        environ.get(name) for name in _ENDPOINTS
    )


def open_traces(db: Database, process: str, share: float = 1.0) -> "Traces":
    """The traces of the process of that name. Without a collector they cost nothing, not even the library's import."""
    if not is_configured():
        return Traces(db, None)
    from core.spans import otlp_recorder

    return Traces(db, otlp_recorder(process or f"{socket.gethostname()}:{os.getpid()}"), share)


@dataclass(frozen=True, slots=True)
class Step:
    """What was done with an entry. `name` is shown; `again` tells repeats apart that are not the same doing."""

    entry: UUID
    name: str
    again: str = ""

    @property
    def span_id(self) -> int:
        made_from = f"{self.name}\0{self.again}".encode()
        return int.from_bytes(blake2b(self.entry.bytes + made_from, digest_size=8).digest(), "big") or 1


class Recorder(Protocol):
    """Writes down spans that are over and has them sent: core/spans.py."""

    def record(
        self,
        step: Step,
        started: int,
        ended: int,
        attributes: Attributes,
        *,
        parent: Step | None = None,
        kind: Kind = "internal",
        failure: str = "",
        linked: Step | None = None,
    ) -> None:
        """Times are nanoseconds since 1970; the steps of one trace may come from the clocks of several machines."""
        ...

    def close(self) -> None:
        """Send what is left; blocks for some seconds when the collector is away."""
        ...


class Traces:
    """What the parts of the hub are wrapped in. Without a recorder everything stays as it is."""

    def __init__(self, db: Database, recorder: Recorder | None, share: float = 1.0) -> None:
        self._db = db
        self._recorder = recorder
        self._bound = int(share * (1 << _RANDOM_BITS))

    @property
    def is_on(self) -> bool:
        return self._recorder is not None

    def has(self, entry: UUID) -> bool:
        """Whether this entry is among those that are traced."""
        return entry.int & ((1 << _RANDOM_BITS) - 1) < self._bound

    async def close(self) -> None:
        if self._recorder is not None:
            await asyncio.to_thread(self._recorder.close)

    # The steps.

    def committed(self, entries: Sequence[Prepared], recorded_at: datetime) -> None:
        """A commit listener of the log's writer, to be registered when tracing is on."""
        recorder = self._recorder
        traced = [item for item in entries if item.entry.direction is not Direction.OUT and self.has(item.id)]
        if recorder is None or not traced:
            return
        ended = time.time_ns()
        committing = _nanos(recorded_at)
        first = Step(traced[0].id, "append")
        for item in traced:
            root, append = Step(item.id, "receive"), Step(item.id, "append")
            attributes: dict[str, str | int] = {
                "switchboard.account": item.entry.account,
                "switchboard.channel": item.entry.channel.value,
                "switchboard.kind": item.entry.kind.value,
                "switchboard.seq": item.seq,
            }
            recorder.record(root, min(_made_at(item.id), committing), ended, attributes, kind="server")
            recorder.record(
                append,
                committing,
                ended,
                {"switchboard.batch": len(entries)},
                parent=root,
                linked=first if append != first else None,
            )

    def consumer(self, consumer: Consumer) -> Consumer:
        """The consumer, with each entry's turn written down once it is committed."""
        return consumer if self._recorder is None else _TracedConsumer(consumer, self, self._recorder)

    def job(self, job: Job) -> Job:
        """The job that sends, with its waiting and its outcome written down."""
        return job if self._recorder is None else _TracedJob(job, self, self._recorder, self._db)

    def shown(self, consoles: Mapping[UUID, int], started: int) -> None:
        """Frames with the lines of these entries went to so many consoles each, in one go that began at `started`."""
        if self._recorder is None:
            return
        ended = time.time_ns()
        for entry, count in consoles.items():
            if self.has(entry):
                self._recorder.record(
                    Step(entry, "frame", f"{os.getpid()}:{started}"),
                    started,
                    ended,
                    {"switchboard.consoles": count},
                    parent=Step(entry, "receive"),
                    kind="producer",
                )


class _TracedConsumer:
    def __init__(self, consumer: Consumer, traces: Traces, recorder: Recorder) -> None:
        self._consumer = consumer
        self._traces = traces
        self._recorder = recorder
        self.name = consumer.name

    async def digest(self, tx: Tx, batch: Sequence[Logged]) -> None:
        started = time.time_ns()
        await self._consumer.digest(tx, batch)
        # A batch that is rolled back and taken again one by one is written down as it came to be.
        tx.after_commit(lambda: self._digested(batch, started))

    def _digested(self, batch: Sequence[Logged], started: int) -> None:
        ended = time.time_ns()
        name = f"digest {self.name}"
        traced = [entry for entry in batch if entry.direction != Direction.OUT and self._traces.has(entry.id)]
        for entry in traced:
            step, first = Step(entry.id, name), Step(traced[0].id, name)
            self._recorder.record(
                step,
                started,
                ended,
                {"switchboard.consumer": self.name, "switchboard.batch": len(batch)},
                parent=Step(entry.id, "receive"),
                kind="consumer",
                linked=first if step != first else None,
            )


class _TracedJob:
    def __init__(self, job: Job, traces: Traces, recorder: Recorder, db: Database) -> None:
        self._job = job
        self._traces = traces
        self._recorder = recorder
        self._db = db

    async def __call__(self, item: Item) -> Outcome:
        started = time.time_ns()
        outcome = await self._job(item)
        ended = time.time_ns()
        # What nobody's message caused, such as a broadcast, is a trace of its own.
        entry = item.id if item.cause_seq is None else await self._cause(item.cause_seq)
        if entry is not None and self._traces.has(entry):
            self._record(entry, item, outcome, started, ended)
        return outcome

    def _record(self, entry: UUID, item: Item, outcome: Outcome, started: int, ended: int) -> None:
        parent = None if item.cause_seq is None else Step(entry, _DIGEST)
        told: dict[str, str | int] = {
            "switchboard.account": item.account,
            "switchboard.outbox": str(item.id),
            "switchboard.attempt": item.attempts,
        }
        if item.attempts == 1:
            waited = Step(entry, "outbox", str(item.id))
            self._recorder.record(waited, _made_at(item.id), started, told, parent=parent, kind="producer")
        said = outcome.state.value if isinstance(outcome, Settled) else "retry"
        self._recorder.record(
            Step(entry, "send", f"{item.id}:{item.attempts}"),
            started,
            ended,
            {**told, "switchboard.outcome": said},
            parent=parent,
            kind="client",
            failure="" if said in (ItemState.DONE, "retry") else said,
        )

    async def _cause(self, seq: int) -> UUID | None:
        try:
            async with self._db.read() as session:
                found: Any = await session.scalar(select(col(LogEntry.id)).where(col(LogEntry.seq) == seq))
        except Exception as error:
            # The message is sent; that its span is missing must not change what is noted of it.
            log.info("send not traced", extra={"reason": type(error).__name__})
            return None
        return found if isinstance(found, UUID) else None


def _made_at(id: UUID) -> int:
    """When a UUIDv7 was made, to the millisecond, in nanoseconds."""
    return (id.int >> 80) * 1_000_000


def _nanos(at: datetime) -> int:
    return int(at.timestamp() * 1_000_000) * 1_000
