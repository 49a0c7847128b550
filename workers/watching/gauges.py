"""Gauges: what Prometheus reads of one process, and of the whole hub from the process that watches it."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from core.metrics import Metrics, Row
from workers.watching.figures import Backlog, Figures
from workers.watching.judging import Standing

# Of one process. Nothing here asks the database: a scrape costs what it takes to write the page.


class Queued(Protocol):
    @property
    def queued(self) -> int: ...


class Lagging(Protocol):
    @property
    def lag(self) -> int: ...


class Consuming(Protocol):
    name: str
    parked: int

    @property
    def lag(self) -> int: ...


class Spooled(Protocol):
    @property
    def entries(self) -> int: ...

    @property
    def bytes(self) -> int: ...


def watch_process(
    metrics: Metrics,
    *,
    log: Queued,
    consumers: Sequence[Consuming],
    sealer: Lagging,
    consoles: Callable[[], int],
    bus_is_up: Callable[[], bool],
    leases: Callable[[], Collection[str]],
    connections: Callable[[], Mapping[str, int]],
    spool: Callable[[], Spooled | None] = lambda: None,
    jobs_under_way: Callable[[], int] = lambda: 0,
) -> None:
    """What this process knows of itself; each is read at the scrape."""

    def spooled(read: Callable[[Spooled], int]) -> float:
        return 0.0 if (found := spool()) is None else float(read(found))

    for name, about, value in (
        ("log_queue", "Entries that wait for the next commit.", lambda: log.queued),
        ("seal_lag", "Entries that are not sealed yet, as this process last saw.", lambda: sealer.lag),
        ("consoles", "Open live sockets.", consoles),
        ("bus_up", "Whether wake-ups between processes work.", lambda: int(bus_is_up())),
        ("jobs_under_way", "Jobs under way in this process.", jobs_under_way),
    ):
        metrics.watch(name, about, value)
    metrics.watch(
        "spool_entries",
        "Messages on this host's disk that are not in the log yet.",
        lambda: spooled(lambda found: found.entries),
    )
    metrics.watch("spool_bytes", "What they take of that disk.", lambda: spooled(lambda found: found.bytes))
    metrics.watch_states(
        "consumer_lag",
        "Entries that a consumer has not digested yet, as this process sees it.",
        "consumer",
        lambda: [(each.name, float(each.lag)) for each in consumers],
    )
    metrics.watch_states(
        "consumer_parked",
        "Entries that a consumer could not digest, as this process sees it.",
        "consumer",
        lambda: [(each.name, float(each.parked)) for each in consumers],
    )
    metrics.watch_states(
        "lease_held",
        "What only one process may do and this one does.",
        "lease",
        lambda: [(name, 1.0) for name in sorted(leases())],
    )
    metrics.watch_states(
        "database_connections",
        "Connections to the database by state.",
        "state",
        lambda: [(state, float(number)) for state, number in connections().items()],
    )


# Of the whole hub. The watch measures every few seconds; a scrape shows what it last found.


@dataclass(frozen=True, slots=True)
class _Shown:
    name: str
    about: str
    labels: tuple[str, ...]
    read: Callable[[Figures], Iterable[Row]]


def watch_hub(
    metrics: Metrics,
    latest: Callable[[], Figures | None],
    standing: Callable[[], Mapping[str, Standing]],
    rounds: Callable[[], int],
) -> None:
    """Shown by the process that watches and by no other, so that sums over processes are right."""
    for shown in _HUB:
        metrics.watch_rows(shown.name, shown.about, shown.labels, _reading(shown, latest))
    metrics.watch("watch_rounds", "Rounds of the watch in this process; 0 where another watches.", rounds)
    metrics.watch_rows(
        "database_up",
        "Whether the database answers whoever watches.",
        (),
        lambda: [] if (figures := latest()) is None else _one(figures.database_is_up),
    )
    metrics.watch_rows(
        "alarm", "Alarms that stand.", ("alarm", "severity"), lambda: _alarms(latest(), standing())
    )


def _reading(shown: _Shown, latest: Callable[[], Figures | None]) -> Callable[[], Iterable[Row]]:
    def read() -> Iterable[Row]:
        figures = latest()
        return [] if figures is None or not figures.database_is_up else shown.read(figures)

    return read


def _one(value: float) -> list[Row]:
    return [((), float(value))]


def _by(values: Mapping[str, float]) -> list[Row]:
    return [((name,), float(value)) for name, value in values.items()]


def _numbers(backlogs: Mapping[str, Backlog]) -> list[Row]:
    return [((name,), float(each.number)) for name, each in backlogs.items()]


def _seconds(backlogs: Mapping[str, Backlog]) -> list[Row]:
    return [((name,), each.seconds) for name, each in backlogs.items()]


def _outbox(figures: Figures) -> list[Row]:
    return [(state_and_lane, float(number)) for state_and_lane, number in figures.outbox.items()]


def _processes(figures: Figures) -> list[Row]:
    return [((each.name, each.role), each.seconds) for each in figures.processes]


def _alarms(figures: Figures | None, standing: Mapping[str, Standing]) -> list[Row]:
    if figures is None:
        return []
    return [
        ((name, each.alarm.kind.severity.value), 1.0)
        for name, each in standing.items()
        if each.has_begun(figures.at)
    ]


_HUB = (
    _Shown("log_head", "The newest sequence number of the log.", (), lambda f: _one(f.head)),
    _Shown(
        "consumer_behind_entries",
        "Entries that a consumer has not digested.",
        ("consumer",),
        lambda f: _numbers(f.consumers),
    ),
    _Shown(
        "consumer_behind_seconds",
        "How long the oldest of them has waited.",
        ("consumer",),
        lambda f: _seconds(f.consumers),
    ),
    _Shown(
        "channel_behind_entries",
        "What came in by a channel and nobody has read.",
        ("channel",),
        lambda f: _numbers(f.channels),
    ),
    _Shown(
        "channel_behind_seconds",
        "How long the oldest of it has waited.",
        ("channel",),
        lambda f: _seconds(f.channels),
    ),
    _Shown(
        "queue_waiting_conversations",
        "Open conversations that wait for an answer.",
        ("queue",),
        lambda f: _numbers(f.queues),
    ),
    _Shown(
        "queue_waiting_seconds",
        "How long the customer has waited who has waited longest.",
        ("queue",),
        lambda f: _seconds(f.queues),
    ),
    _Shown("outbox_items", "What is to be sent or done, by state and lane.", ("state", "lane"), _outbox),
    _Shown(
        "outbox_due_seconds", "How long the oldest of a lane has been due.", ("lane",), lambda f: _by(f.due)
    ),
    _Shown(
        "sends_unknown",
        "Messages of which nobody knows whether they left.",
        (),
        lambda f: _one(f.sends("unknown")),
    ),
    _Shown("parked_entries", "Entries put aside for a person.", ("consumer",), lambda f: _by(f.parked)),
    _Shown("unsealed_entries", "Entries that no chain proves yet.", (), lambda f: _one(f.unsealed.number)),
    _Shown(
        "unsealed_seconds", "How long the oldest of them has waited.", (), lambda f: _one(f.unsealed.seconds)
    ),
    _Shown(
        "default_partition_rows",
        "Entries in no month's partition, counted up to 1000.",
        (),
        lambda f: _one(f.default_partition),
    ),
    _Shown(
        "process_unheard_seconds",
        "How long ago a process was last heard of.",
        ("process", "role"),
        _processes,
    ),
)
