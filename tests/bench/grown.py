"""The grown size: ingest on PostgreSQL by one web process and by two, with others digesting and sending."""

import asyncio
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from tests.bench.live import by_sender
from tests.bench.processes import Process
from tests.bench.results import Bar, Section
from tests.bench.senders import percentile
from tests.bench.world import ENVIRONMENT, World, make
from tests.support.postgres import Cluster
from tests.support.redis import RedisServer

_SENDERS = 128
_MOST = 8_000  # requests a second that are made ready
_SHOPS = 300
_OPEN_RATE = 1_000
_BACKLOG = 50_000
_REPLY_RATE = 50
_ANSWERS = 8
_PATIENCE = 20

LARGER = {"shared_buffers": "256MB", "max_wal_size": "2GB"}


@dataclass(frozen=True, slots=True)
class Place:
    """Where the processes of one point find their database and each other."""

    folder: Path
    env: Mapping[str, str]

    def server(self, mode: str) -> Process:
        return Process("tests.bench.server", mode, str(self.folder), env=self.env)


def measure(folder: Path, provider: Process, seconds: float) -> Section:
    load_before = os.getloadavg()[0]
    raw: dict[str, Any] = {}
    with Cluster(settings=LARGER) as cluster, RedisServer() as redis:
        env = ENVIRONMENT | {
            "SWITCHBOARD_REDIS": redis.url,
            "SWITCHBOARD_DATABASE": cluster.url(cluster.create_database()),
        }
        _made(folder / "world", provider.ready["port"], env)
        template = env["SWITCHBOARD_DATABASE"].rpartition("/")[2]

        @contextmanager
        def place() -> Iterator[Place]:
            name = cluster.create_database(template)
            redis.flush()
            yield Place(folder / "world", env | {"SWITCHBOARD_DATABASE": cluster.url(name)})
            cluster.discard_database(name)

        with place() as there:
            before = _closed([there.server("nothing")], seconds / 2, again=True)
        with place() as there:
            raw["one"] = _working(there, 1, seconds)
        with place() as there:
            after = _closed([there.server("nothing")], seconds / 2, again=True)
        raw["nothing"] = {key: (before[key] + after[key]) / 2 for key in ("rate", "p50_ms", "p99_ms")}
        with place() as there:
            raw["orm"] = _closed([there.server("orm")], seconds, again=False)
        for name, count in (
            ("one_alone", 1),
            ("two_alone", 2),
            ("two_alone_again", 2),
            ("one_alone_again", 1),
        ):
            with place() as there:
                raw[name] = _closed([there.server("web") for _ in range(count)], seconds / 2, again=False)
        with place() as there:
            raw["open"] = _open(there, seconds)
        with place() as there:
            raw["reply"] = _replies_over_a_backlog(there, provider, seconds)
    return _section(raw, seconds, load_before)


def _made(world: Path, provider: int, env: Mapping[str, str]) -> None:
    """The world is made through the embedded parts, on the grown database."""
    os.environ.update(env)
    try:
        asyncio.run(make(world, World(shops=_SHOPS), provider))
    finally:
        for name in ("SWITCHBOARD_REDIS", "SWITCHBOARD_DATABASE"):
            os.environ.pop(name)


def _working(place: Place, webs: int, seconds: float) -> dict[str, Any]:
    """Web processes under load beside one that digests and one that sends; then until nothing is left."""
    with ExitStack() as stack:
        digest = stack.enter_context(place.server("digest"))
        stack.enter_context(place.server("jobs"))
        found = _closed([place.server("web") for _ in range(webs)], seconds, again=False)
        lag = digest.ask("state")["lag"]
        began = perf_counter()
        digest.tell("caught_up")
        digest.answer(within=max(120.0, _PATIENCE * seconds))
        return found | {"lag": lag, "drain_s": perf_counter() - began}


def _closed(webs: list[Process], seconds: float, *, again: bool) -> dict[str, Any]:
    """The senders are shared out among the web processes, each with a generator of its own."""
    with ExitStack() as stack:
        servers = [stack.enter_context(web) for web in webs]
        loads = [stack.enter_context(Process("tests.bench.senders")) for _ in servers]
        for load in loads:
            count = 20_000 if again else int(_MOST * (seconds + 2) / len(servers))
            load.ask("make", within=300, count=count, shops=_SHOPS, seed=int.from_bytes(os.urandom(4)))
        found = _side_by_side(
            [
                (load, {"port": server.ready["port"], "senders": _SENDERS // len(servers), "again": again})
                for load, server in zip(loads, servers, strict=True)
            ],
            seconds,
        )
    return {
        "rate": sum(each["rate"] for each in found),
        "p50_ms": max(each["p50_ms"] for each in found),
        "p99_ms": max(each["p99_ms"] for each in found),
        "refused": sum(sum(each["refused"].values()) + each["unanswered"] for each in found),
    }


def _side_by_side(asked: list[tuple[Process, dict[str, Any]]], seconds: float) -> list[dict[str, Any]]:
    answers: list[dict[str, Any]] = [{} for _ in asked]

    def ask(number: int) -> None:
        load, more = asked[number]
        answers[number] = load.ask("closed", within=seconds + 60, seconds=seconds, **more)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(asked))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def _open(place: Place, seconds: float) -> dict[str, Any]:
    with (
        place.server("digest"),
        place.server("jobs"),
        place.server("web") as web,
        Process("tests.bench.senders") as load,
    ):
        load.ask("make", within=300, count=int(_OPEN_RATE * seconds), shops=_SHOPS, seed=31)
        found = load.ask(
            "open", within=seconds + 60, port=web.ready["port"], rate=_OPEN_RATE, seconds=seconds, senders=64
        )
    del found["due"]
    return found


def _replies_over_a_backlog(place: Place, provider: Process, seconds: float) -> dict[str, Any]:
    """Low-priority messages drain while shops write and get their answers."""
    with (
        place.server("digest"),
        place.server("jobs") as jobs,
        place.server("web") as web,
        Process("tests.bench.senders") as load,
    ):
        load.ask("make", within=300, count=int(_REPLY_RATE * seconds), shops=_SHOPS, seed=32)
        jobs.ask("backlog", within=120, count=_BACKLOG)
        provider.ask("given")
        sent = load.ask(
            "open", within=seconds + 60, port=web.ready["port"], rate=_REPLY_RATE, seconds=seconds, senders=16
        )
        left = jobs.ask("state")["waiting"]
        taken = provider.ask("given", within=60)["taken"]
    due, told = by_sender(map(tuple, sent["due"])), by_sender(map(tuple, taken))
    latencies = [
        at - since
        for shop, times in due.items()
        for since, at in zip(times, told.get(shop, ()), strict=False)
    ]
    return {
        "p50_ms": percentile(latencies, 0.5) * 1000,
        "p99_ms": percentile(latencies, 0.99) * 1000,
        "replies": len(latencies),
        "asked": len(sent["due"]),
        "others": len(taken) - len(latencies),
        "left": left,
    }


def _section(raw: dict[str, Any], seconds: float, load_before: float) -> Section:
    one, nothing, orm = raw["one"], raw["nothing"], raw["orm"]
    alone = (raw["one_alone"]["rate"] + raw["one_alone_again"]["rate"]) / 2
    two = (raw["two_alone"]["rate"] + raw["two_alone_again"]["rate"]) / 2
    table = [["", "messages/s", "p50", "p99", "lag after", "back to 0"]]
    for title, found in (
        ("one web process, others digest and send", one),
        ("the same without a database (N)", nothing),
        ("one ORM commit a request (O)", orm),
        ("one web process alone", raw["one_alone"] | {"rate": alone}),
        ("two web processes alone", raw["two_alone"] | {"rate": two}),
    ):
        drained = f"{found['drain_s']:.0f} s" if "drain_s" in found else ""
        table.append(
            [
                title,
                f"{found['rate']:,.0f}",
                f"{found['p50_ms']:.1f} ms",
                f"{found['p99_ms']:.1f} ms",
                f"{found['lag']:,}" if "lag" in found else "",
                drained,
            ]
        )
    opened, reply = raw["open"], raw["reply"]
    return Section(
        name="grown",
        title="The grown size: PostgreSQL, Redis, several processes",
        how=(
            f"As the ingest above, {_SENDERS} senders, on PostgreSQL (fsync on, 256 MB of buffers) and Redis of the "
            "same two cores. Web, digest and jobs are processes of their own; whoever answers no webhook has a "
            "niceness of 10. One and two web processes alone: nobody digests, twice each in turn."
        ),
        table=table,
        bars=[
            Bar(
                "PostgreSQL: one web process at 128 senders, of the same without a database",
                "≥ 75 %",
                f"{one['rate'] / nothing['rate']:.0%}",
                one["rate"] >= 0.75 * nothing["rate"],
            ),
            Bar(
                "PostgreSQL: times one ORM commit a request",
                "≥ 12",
                f"{one['rate'] / orm['rate']:.1f}",
                one["rate"] >= 12 * orm["rate"],
            ),
            Bar("PostgreSQL: p99 at 128 senders", "≤ 60 ms", f"{one['p99_ms']:.1f} ms", one["p99_ms"] <= 60),
            Bar(
                "PostgreSQL: two web processes, times one", "≥ 1.3", f"{two / alone:.2f}", two >= 1.3 * alone
            ),
            Bar(
                f"PostgreSQL: answered at {_OPEN_RATE:,}/s open loop, p99",
                "≤ 15 ms",
                f"{opened['p99_ms']:.1f} ms",
                opened["p99_ms"] <= 15 and not opened["unanswered"],
            ),
            Bar(
                f"PostgreSQL: SMS in → reply handed over while {_BACKLOG:,} others drain, p99",
                "≤ 1 s",
                f"{reply['p99_ms']:.0f} ms",
                reply["p99_ms"] <= 1000 and reply["left"] > 0,
            ),
        ],
        notes=[
            f"While the replies were measured ({reply['replies']:,} of {reply['asked']:,} messages had one), "
            f"{reply['others']:,} of the backlog left; {reply['left']:,} were still waiting at the end.",
            f"Refused or unanswered: {one['refused'] + raw['two_alone']['refused']}.",
        ],
        seconds=seconds,
        raw=raw,
        load_before=load_before,
    )
