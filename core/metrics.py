"""The metrics of one process, as Prometheus reads them; their series stay few whatever is sent to us."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from core.log.appenders import Prepared


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


Row = tuple[tuple[str, ...], float]
"""The values of a gauge's labels, and the gauge's."""


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
        self.watch_rows(name, about, (label,), lambda: [((value,), number) for value, number in read()])

    def watch_rows(
        self, name: str, about: str, labels: Sequence[str], read: Callable[[], Iterable[Row]]
    ) -> None:
        """Gauges by several labels, read as a whole at each scrape: what is not given is not shown any more."""
        self._states.families.append((f"switchboard_{name}", about, tuple(labels), read))

    def page(self) -> tuple[bytes, str]:
        """What `/metrics` answers, and its content type."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST


_MOST_ROWS = 100
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class _States:
    """Collects the gauges that are read as a whole, so that a state nobody is in any more goes away."""

    def __init__(self) -> None:
        self.families: list[tuple[str, str, tuple[str, ...], Callable[[], Iterable[Row]]]] = []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        for name, about, labels, read in self.families:
            family = GaugeMetricFamily(name, about, labels=labels)
            for values, number in islice(read(), _MOST_ROWS):
                family.add_metric(values, number)
            yield family
