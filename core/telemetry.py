"""Telemetry: log lines as JSON or for people, free of secrets; and the metrics that Prometheus reads."""

import logging
import os
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TextIO

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from core.log.appenders import Prepared

_SECRET_NAMES = re.compile(
    r"passw|secret|token|authori[sz]ation|cookie|api_?key|csrf|totp|salt|private", re.IGNORECASE
)
_IN_URLS = re.compile(r"(://[^\s:/@]*:)[^\s/@]+(?=@)")
_HIDDEN = "[hidden]"
_SHORTEST_SECRET = 6  # shorter values stand in ordinary text too often
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")


def set_up_logging(
    level: str,
    *,
    as_json: bool,
    secrets: Callable[[], Collection[str]] = tuple,
    stream: TextIO | None = None,
) -> None:
    """Send every log line of this process through one form. `secrets` gives values that no line may show."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        Redactor(secrets),
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False, default=str)
        if as_json
        else structlog.dev.ConsoleRenderer(colors=False)
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # It logs every request at INFO, which the access metrics say better.
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)


@contextmanager
def request_context(given_id: str = "", **fields: object) -> Iterator[str]:
    """Put one request id on every line that is logged inside; a proxy's own id is kept when it is well formed."""
    request_id = given_id if _REQUEST_ID.fullmatch(given_id) else os.urandom(16).hex()
    with structlog.contextvars.bound_contextvars(request_id=request_id, **fields):
        yield request_id


class Redactor:
    """Takes secrets out of a log line: fields by their names, known values and URL passwords wherever they stand."""

    def __init__(self, secrets: Callable[[], Collection[str]]) -> None:
        self._secrets = secrets

    def __call__(self, logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        # The longest first: one secret may begin with another.
        known = sorted(
            (secret for secret in self._secrets() if len(secret) >= _SHORTEST_SECRET), key=len, reverse=True
        )
        for name, value in event.items():
            if not name.startswith("_"):
                event[name] = _HIDDEN if _SECRET_NAMES.search(name) else self._clean(value, known)
        return event

    def _clean(self, value: Any, known: Sequence[str]) -> Any:
        match value:
            case str():
                for secret in known:
                    value = value.replace(secret, _HIDDEN)
                return _IN_URLS.sub(rf"\1{_HIDDEN}", value)
            case Mapping():
                return {
                    name: _HIDDEN if _SECRET_NAMES.search(str(name)) else self._clean(inner, known)
                    for name, inner in value.items()
                }
            case list() | tuple() | set() | frozenset():
                return [self._clean(inner, known) for inner in value]
            case None | bool() | int() | float():
                return value
            case _:
                return self._clean(str(value), known)


class BoundedLabel:
    """Lets the first `most` different values through and calls the rest `other`, so that no sender makes series."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._seen: set[str] = set()

    def __call__(self, value: str) -> str:
        if value not in self._seen:
            if len(self._seen) >= self._most:
                return "other"
            self._seen.add(value)
        return value


class Metrics:
    """The metrics of one process. What others own is read from them when Prometheus asks (`watch`)."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._account = BoundedLabel(200)
        self._route = BoundedLabel(300)
        self._states = _States()
        self.registry.register(self._states)
        self.logged = Counter(
            "switchboard_log_entries",
            "Entries that this process committed to the log.",
            ["account", "direction", "kind"],
            registry=self.registry,
        )
        self.commits = Counter(
            "switchboard_log_commits", "Commits that carried new entries.", registry=self.registry
        )
        self.batch = Histogram(
            "switchboard_log_batch_entries",
            "New entries in one commit.",
            buckets=(1, 2, 5, 10, 25, 50, 100, 250, 500, 1000),
            registry=self.registry,
        )
        self.refused = Counter(
            "switchboard_intake_refused",
            "Inbound requests that were not taken, by error code.",
            ["account", "code"],
            registry=self.registry,
        )
        self.sent = Counter(
            "switchboard_sends",
            "Messages offered to providers, by what came of it.",
            ["account", "outcome"],
            registry=self.registry,
        )
        self.send_seconds = Histogram(
            "switchboard_send_seconds", "How long providers took.", ["account"], registry=self.registry
        )
        self.requests = Histogram(
            "switchboard_http_seconds",
            "Answers by route and status.",
            ["method", "route", "status"],
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
            registry=self.registry,
        )

    def committed(self, entries: Sequence[Prepared], recorded_at: datetime) -> None:
        """A commit listener of the log writer."""
        self.commits.inc()
        self.batch.observe(len(entries))
        counts: dict[tuple[str, str, str], int] = {}
        for item in entries:
            entry = item.entry
            key = (self._account(entry.account), entry.direction.value, entry.kind.value)
            counts[key] = counts.get(key, 0) + 1
        for labels, number in counts.items():
            self.logged.labels(*labels).inc(number)

    def intake_refused(self, account: str, code: str) -> None:
        self.refused.labels(self._account(account), code).inc()

    def send_done(self, account: str, outcome: str, seconds: float) -> None:
        """`outcome` is a delivery state or an error code."""
        label = self._account(account)
        self.sent.labels(label, outcome).inc()
        self.send_seconds.labels(label).observe(seconds)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """`route` is the pattern, never the path: paths hold ids."""
        method = method if method in _METHODS else "other"
        self.requests.labels(method, self._route(route), f"{status // 100}xx").observe(seconds)

    def watch(self, name: str, about: str, read: Callable[[], float]) -> None:
        """A gauge whose value is asked for at each scrape: queue lengths, lags, open consoles."""
        Gauge(f"switchboard_{name}", about, registry=self.registry).set_function(read)

    def watch_states(
        self, name: str, about: str, label: str, read: Callable[[], Iterable[tuple[str, float]]]
    ) -> None:
        """Gauges by one label, such as the outbox by state or the consumers' lags by name."""
        self._states.families.append((f"switchboard_{name}", about, label, read))

    def page(self) -> tuple[bytes, str]:
        """What `/metrics` answers, and its content type."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class _States:
    """Collects the gauges that are read as a whole, so that a state nobody is in any more goes away."""

    def __init__(self) -> None:
        self.families: list[tuple[str, str, str, Callable[[], Iterable[tuple[str, float]]]]] = []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        for name, about, label, read in self.families:
            family = GaugeMetricFamily(name, about, labels=[label])
            bounded = BoundedLabel(50)
            for value, number in read():
                if (shown := bounded(value)) == value:
                    family.add_metric([shown], number)
            yield family
