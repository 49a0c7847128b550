"""Alarms: which figures are one, decided by plain rules over a snapshot; and what each one means.

What to do about each stands in docs/watching.md, under a heading of the alarm's own name.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from workers.watching.figures import Figures, ProcessSeen


class Severity(StrEnum):
    URGENT = "urgent"  # messages wait, or soon will: somebody has to act now
    WARNING = "warning"  # nothing is lost or late yet: today is soon enough


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A sort of alarm. `name` is stored and shown outside, so it never changes."""

    name: str
    severity: Severity
    title: str  # English, the id of its translations; {subject} says which
    meaning: str
    after: timedelta = timedelta()  # how long it has to hold before anybody is told
    counts: bool = False  # told again when the number has grown


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something that is so now. `figures` hold names, numbers and moments of our own: they leave by mail."""

    kind: Kind
    subject: str = ""
    figures: Mapping[str, int | float | str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.kind.name}:{self.subject}" if self.subject else self.kind.name

    @property
    def number(self) -> int:
        return int(self.figures.get("number", 0))


Rule = Callable[[Figures], Iterable[Alarm]]

_MINUTE = timedelta(minutes=1)

DATABASE_AWAY = Kind(
    name="database_away",
    severity=Severity.URGENT,
    title="The database is away",
    meaning="Nothing is read, answered or sent; what comes in goes to the spools.",
    after=timedelta(seconds=20),
)
REDIS_AWAY = Kind(
    name="redis_away",
    severity=Severity.WARNING,
    title="Redis is away",
    meaning="Processes do not wake each other: everything goes on, up to a second later.",
    after=_MINUTE,
)
CONSUMER_BEHIND = Kind(
    name="consumer_behind",
    severity=Severity.URGENT,
    title="The consumer {subject} is behind",
    meaning="Messages are in the log and nobody has read them yet: no figures, no answers, no search.",
    after=_MINUTE,
)
REPLIES_WAIT = Kind(
    name="replies_wait",
    severity=Severity.URGENT,
    title="Replies wait to be sent",
    meaning="An answer has been due for more than a minute; people wait for it.",
)
JOBS_WAIT = Kind(
    name="jobs_wait",
    severity=Severity.WARNING,
    title="Jobs wait to be done",
    meaning="A job other than a reply has been due for more than fifteen minutes.",
)
SENDS_UNKNOWN = Kind(
    name="sends_unknown",
    severity=Severity.WARNING,
    title="Messages may or may not have been sent",
    meaning="A provider never said whether it took them; they are not sent again until a person decides.",
    counts=True,
)
ENTRIES_PARKED = Kind(
    name="entries_parked",
    severity=Severity.WARNING,
    title="The consumer {subject} has put entries aside",
    meaning="It failed on them three times; the rest goes on and these wait for a person.",
    counts=True,
)
SPOOL_IN_USE = Kind(
    name="spool_in_use",
    severity=Severity.WARNING,
    title="The spool of {subject} holds messages",
    meaning="They are safe on that host's disk and not in the log yet.",
    after=timedelta(seconds=30),
)
SPOOL_FILLING = Kind(
    name="spool_filling",
    severity=Severity.URGENT,
    title="The spool of {subject} is half full",
    meaning="When it is full, providers are refused and have to send again.",
)
SPOOL_SET_ASIDE = Kind(
    name="spool_set_aside",
    severity=Severity.WARNING,
    title="The spool of {subject} has set records aside",
    meaning="They were damaged or the log refused them; they lie in its folder for a person.",
    counts=True,
)
PROCESS_MISSING = Kind(
    name="process_missing",
    severity=Severity.URGENT,
    title="The process {subject} is missing",
    meaning="It did not stop in order, and has not been heard of since.",
    after=timedelta(seconds=15),
)
LEASE_FREE = Kind(
    name="lease_free",
    severity=Severity.URGENT,
    title="Nobody holds {subject}",
    meaning="What only one process may do is done by none.",
    after=timedelta(seconds=10),
)
DEFAULT_PARTITION = Kind(
    name="default_partition",
    severity=Severity.WARNING,
    title="Entries lie in the log's default partition",
    meaning="They are safe and found, but their month had no partition when they came.",
)
PARTITION_MISSING = Kind(
    name="partition_missing",
    severity=Severity.WARNING,
    title="A partition of the log is missing",
    meaning="The schedule makes them two months ahead and could not.",
    after=10 * _MINUTE,
)
DISK_FULL = Kind(
    name="disk_full",
    severity=Severity.URGENT,
    title="The disk of {subject} is nearly full",
    meaning="Less than a tenth is free where the hub keeps its data or its spool.",
    after=_MINUTE,
)
SEALS_BEHIND = Kind(
    name="seals_behind",
    severity=Severity.WARNING,
    title="The newest entries are not sealed",
    meaning="They are in the log, and their chain does not prove them yet.",
    after=_MINUTE,
)
ACCOUNT_SILENT = Kind(
    name="account_silent",
    severity=Severity.WARNING,
    title="Nothing comes in on {subject}",
    meaning="In the same hour of the last two weeks something did.",
)

KINDS: tuple[Kind, ...] = (
    DATABASE_AWAY,
    REDIS_AWAY,
    CONSUMER_BEHIND,
    REPLIES_WAIT,
    JOBS_WAIT,
    SENDS_UNKNOWN,
    ENTRIES_PARKED,
    SPOOL_IN_USE,
    SPOOL_FILLING,
    SPOOL_SET_ASIDE,
    PROCESS_MISSING,
    LEASE_FREE,
    DEFAULT_PARTITION,
    PARTITION_MISSING,
    DISK_FULL,
    SEALS_BEHIND,
    ACCOUNT_SILENT,
)
BY_NAME: Mapping[str, Kind] = {kind.name: kind for kind in KINDS}

LATE = 60.0
"""Seconds after which what should be at once is late: digesting, a reply, a seal."""

_JOBS_LATE = 15 * 60.0
_UNHEARD = 20.0  # seconds; a process says every five that it is there
_LEASE_OVER = 15.0  # seconds; a lease lasts six, and who stands by asks each second
_HALF = 0.5
_LEAST_FREE = 0.1  # of a disk


def alarms(figures: Figures) -> list[Alarm]:
    """Everything that is an alarm now. Without a database only that can be known."""
    return [alarm for rule in RULES for alarm in rule(figures)]


def _database(figures: Figures) -> Iterable[Alarm]:
    if not figures.database_is_up:
        yield Alarm(DATABASE_AWAY)


def _redis(figures: Figures) -> Iterable[Alarm]:
    if not figures.bus_is_up:
        yield Alarm(REDIS_AWAY)


def _consumers(figures: Figures) -> Iterable[Alarm]:
    for name, behind in figures.consumers.items():
        if behind.seconds > LATE:
            yield Alarm(CONSUMER_BEHIND, name, {"entries": behind.number, "seconds": round(behind.seconds)})


def _outbox(figures: Figures) -> Iterable[Alarm]:
    for lane, kind, late in (("reply", REPLIES_WAIT, LATE), ("job", JOBS_WAIT, _JOBS_LATE)):
        if (seconds := figures.due.get(lane, 0.0)) > late:
            waiting = figures.outbox.get(("waiting", lane), 0)
            yield Alarm(kind, "", {"waiting": waiting, "seconds": round(seconds)})


def _unknown(figures: Figures) -> Iterable[Alarm]:
    if number := figures.sends("unknown"):
        yield Alarm(SENDS_UNKNOWN, "", {"number": number})


def _parked(figures: Figures) -> Iterable[Alarm]:
    for consumer, number in figures.parked.items():
        if number:
            yield Alarm(ENTRIES_PARKED, consumer, {"number": number})


def _spools(figures: Figures) -> Iterable[Alarm]:
    """Processes of one host share a spool, so the host is the subject."""
    for host, detail in _by_host(figures.processes, "spool").items():
        if entries := detail.get("entries", 0):
            yield Alarm(SPOOL_IN_USE, host, {"entries": entries, "bytes": detail.get("bytes", 0)})
        if (limit := detail.get("limit", 0)) and detail.get("bytes", 0) > limit * _HALF:
            yield Alarm(SPOOL_FILLING, host, {"bytes": detail["bytes"], "limit": limit})
        if number := detail.get("set_aside", 0):
            yield Alarm(SPOOL_SET_ASIDE, host, {"number": number})


def _disks(figures: Figures) -> Iterable[Alarm]:
    for host, detail in _by_host(figures.processes, "disk").items():
        worst = min(detail.items(), key=lambda each: float(each[1]), default=None)
        if worst is not None and worst[1] < _LEAST_FREE:
            yield Alarm(DISK_FULL, host, {"free": f"{worst[1]:.0%}", "where": worst[0]})


def _by_host(processes: Iterable[ProcessSeen], what: str) -> dict[str, dict[str, float]]:
    """What the process that was heard of last says for its host."""
    said = sorted((each for each in processes if what in each.detail), key=lambda each: -each.seconds)
    return {process.host: process.detail[what] for process in said}


def _processes(figures: Figures) -> Iterable[Alarm]:
    for process in figures.processes:
        if process.seconds > _UNHEARD:
            yield Alarm(
                PROCESS_MISSING,
                process.name,
                {"role": process.role, "host": process.host, "seconds": round(process.seconds)},
            )


def _leases(figures: Figures) -> Iterable[Alarm]:
    """The line of an account that is not in use any more needs no owner."""
    for lease in figures.leases:
        what, _, account = lease.name.partition(":")
        if lease.over_for > _LEASE_OVER and (what != "line" or account in figures.accounts):
            yield Alarm(LEASE_FREE, lease.name, {"seconds": round(lease.over_for)})


def _partitions(figures: Figures) -> Iterable[Alarm]:
    if figures.default_partition:
        yield Alarm(DEFAULT_PARTITION, "", {"rows": figures.default_partition})
    if figures.missing_partitions:
        yield Alarm(PARTITION_MISSING, "", {"partitions": ", ".join(figures.missing_partitions)})


def _seals(figures: Figures) -> Iterable[Alarm]:
    if figures.unsealed.seconds > LATE:
        told = {"entries": figures.unsealed.number, "seconds": round(figures.unsealed.seconds)}
        yield Alarm(SEALS_BEHIND, "", told)


def _silence(figures: Figures) -> Iterable[Alarm]:
    for account in figures.silent:
        yield Alarm(ACCOUNT_SILENT, account)


RULES: tuple[Rule, ...] = (
    _database,
    _redis,
    _consumers,
    _outbox,
    _unknown,
    _parked,
    _spools,
    _disks,
    _processes,
    _leases,
    _partitions,
    _seals,
    _silence,
)
