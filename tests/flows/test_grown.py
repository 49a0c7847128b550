"""The grown size: several web parts, one that digests, one that sends; whoever looks anywhere sees the same."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select
from sqlmodel import col

from core.database import Database
from core.leases import all_leases
from core.log.verify import verify
from core.tables import LogEntry
from tests.support.fake_twilio import FakeTwilio, sid
from tests.support.grown import PATIENCE, Console, Part, part, prepare, settings_of
from tests.support.postgres import Cluster
from tests.support.redis import RedisServer
from workers.roles import Role
from workers.web.session_api import COOKIE

SHOP = "+8613900000077"


@dataclass(slots=True)
class Hub:
    """Two web parts, one that digests and one that sends, all running."""

    first: Part
    second: Part
    digest: Part
    provider: FakeTwilio
    token: str
    folder: Path
    database: str
    redis: str


@pytest.fixture
async def grown(tmp_path: Path, postgres_url: str, redis_url: str) -> AsyncIterator[Hub]:
    async with AsyncExitStack() as stack:
        provider = await stack.enter_async_context(FakeTwilio())
        token = await prepare(tmp_path, postgres_url, redis_url, provider.base_url)

        async def started(name: str, *roles: Role) -> Part:
            return await stack.enter_async_context(
                part(settings_of(tmp_path, postgres_url, redis_url, name), *roles)
            )

        yield Hub(
            await started("web-1", Role.WEB),
            await started("web-2", Role.WEB),
            await started("digest-1", Role.DIGEST),
            provider,
            token,
            tmp_path,
            postgres_url,
            redis_url,
        )


async def line_of(console: Console, text: str) -> dict[str, Any]:
    """The line with this text once the CRM has read it."""
    frame = await console.until(
        lambda frame: any(line["text"] == text and line.get("reading") for line in frame.get("lines", ()))
    )
    return next(line for line in frame["lines"] if line["text"] == text)


async def replies(hub: Hub, count: int) -> int:
    async with asyncio.timeout(PATIENCE):
        while len(hub.provider.seen) < count:
            hub.provider.asked.clear()
            await hub.provider.asked.wait()
    return len(hub.provider.seen)


async def test_a_message_at_one_web_part_is_seen_read_at_the_other(grown: Hub) -> None:
    async with grown.second.console(grown.token) as console:
        assert await grown.first.sms(sid(1), "投诉 烟有霉味", SHOP) == 200
        frame = await console.until(lambda frame: bool(frame.get("rows")))
        assert frame["rows"][0]["preview"] == "投诉 烟有霉味"
        line = await line_of(console, "投诉 烟有霉味")
        assert line["reading"]["intent"] == "complaint"


async def test_an_answer_given_at_one_part_leaves_once_and_is_seen_at_the_other(grown: Hub) -> None:
    async with (
        part(settings_of(grown.folder, grown.database, grown.redis, "jobs-1"), Role.JOBS),
        part(settings_of(grown.folder, grown.database, grown.redis, "jobs-2"), Role.JOBS),
        grown.second.console(grown.token) as console,
    ):
        assert await grown.first.sms(sid(2), "投诉 烟有霉味", SHOP) == 200
        row = (await console.until(lambda frame: bool(frame.get("rows"))))["rows"][0]
        await line_of(console, "投诉 烟有霉味")
        assert await replies(grown, 1) == 1, "the receipt"
        csrf = await session_token(grown.first, grown.token)
        said = {"text": "我们马上派人来看。", "act_id": str(uuid4())}
        async with grown.first.http.post(
            f"{grown.first.url}/api/parties/{row['party']}/reply",
            json=said,
            headers={"Cookie": f"{COOKIE}={grown.token}", "X-CSRF": csrf},
        ) as answer:
            assert answer.status == 200, await answer.text()
        assert await replies(grown, 2) == 2
        await console.until(
            lambda frame: any(line["text"] == said["text"] for line in frame.get("lines", ()))
        )


async def session_token(at: Part, token: str) -> str:
    async with at.http.get(f"{at.url}/api/session", headers={"Cookie": f"{COOKIE}={token}"}) as answer:
        csrf: str = (await answer.json())["csrf"]
        return csrf


async def test_who_looks_at_a_customer_is_seen_at_every_part_until_gone(grown: Hub) -> None:
    party = str(uuid4())
    async with grown.second.console(grown.token) as console:
        await console.socket.send_json({"op": "watch", "party": party})
        async with grown.first.console(grown.token) as other:
            await other.socket.send_json({"op": "presence", "party": party, "state": "typing"})
            seen = await console.until(lambda frame: bool(frame.get("presence", {}).get(party)))
            assert [each["state"] for each in seen["presence"][party]] == ["typing"]
            console.frames.clear()
        await console.until(lambda frame: frame.get("presence", {}).get(party) == [])


async def test_a_console_resumes_at_another_part_without_losing_a_row(grown: Hub) -> None:
    async with grown.first.console(grown.token) as console:
        await grown.first.sms(sid(3), "投诉 一", SHOP)
        await line_of(console, "投诉 一")
        head = console.frames[-1]["head"]
    await grown.first.sms(sid(4), "投诉 二", SHOP)
    async with asyncio.timeout(PATIENCE):
        await grown.second.hub.caught_up()
    async with grown.second.console(grown.token, since=head) as console:
        frame = await console.until(lambda frame: bool(frame.get("rows")))
        assert frame["rows"][0]["preview"] == "投诉 二"


async def test_two_writers_leave_no_gap_and_whoever_follows_misses_nothing(grown: Hub) -> None:
    seen: list[int] = []

    async def follow() -> None:
        while len(seen) < 400:
            async with grown.second.hub.db.read() as session:
                newest = select(col(LogEntry.seq)).where(col(LogEntry.seq) > (seen[-1] if seen else 0))
                seen.extend(await session.scalars(newest.order_by(col(LogEntry.seq))))
            await asyncio.sleep(0)

    async def send(at: Part, numbers: range) -> None:
        for number in numbers:
            assert await at.sms(sid(number), f"KC 101 {number % 40}", f"+86139000{number % 50:05}") == 200

    async with asyncio.timeout(60):
        await asyncio.gather(
            follow(),
            *(send(grown.first, range(1_000 + 50 * lot, 1_050 + 50 * lot)) for lot in range(4)),
            *(send(grown.second, range(2_000 + 50 * lot, 2_050 + 50 * lot)) for lot in range(4)),
        )
    assert seen[:400] == list(range(1, 401))
    verdict = await verify(grown.first.hub.db)
    assert verdict.is_sound


async def test_another_part_digests_on_when_the_first_one_ends(grown: Hub) -> None:
    settings = settings_of(grown.folder, grown.database, grown.redis, "digest-2")
    async with part(settings, Role.DIGEST), grown.second.console(grown.token) as console:
        await grown.first.sms(sid(5), "投诉 一", SHOP)
        await line_of(console, "投诉 一")
        before = await owner(grown.first.hub.db)
        await grown.digest.end()
        await grown.first.sms(sid(6), "投诉 二", SHOP)
        await line_of(console, "投诉 二")
        after = await owner(grown.first.hub.db)
    assert before[0].startswith("digest-1:")
    assert after[0].startswith("digest-2:")
    assert after[1] > before[1]


async def owner(db: Database) -> tuple[str, int]:
    leases = {row.name: row for row in await all_leases(db)}
    return leases["consumer:crm"].holder, leases["consumer:crm"].epoch


async def test_without_redis_everything_goes_on_a_little_later(
    tmp_path: Path, postgres_url: str, redis_server: RedisServer
) -> None:
    with RedisServer() as redis:
        token = await prepare(tmp_path, postgres_url, redis.url, "http://127.0.0.1:9")
        settings = settings_of(tmp_path, postgres_url, redis.url)
        async with (
            part(settings, Role.WEB) as web,
            part(settings, Role.DIGEST),
            web.console(token) as console,
        ):
            redis.kill()
            assert await web.sms(sid(7), "投诉 烟有霉味", SHOP) == 200
            await line_of(console, "投诉 烟有霉味")


async def test_what_was_changed_at_one_part_is_taken_up_by_the_others(grown: Hub) -> None:
    await grown.second.hub.refresher.look()
    assert grown.second.hub.book.version == 1
    async with grown.first.hub.db.begin() as tx:
        await grown.first.hub.accounts.disable(tx, "sms-twilio", grown.first.hub.clock())
    await grown.second.hub.refresher.look()
    assert "sms-twilio" not in grown.second.hub.accounts.slugs()


async def test_webhooks_are_taken_while_the_database_is_away_and_enter_the_log_afterwards(
    tmp_path: Path, redis_url: str
) -> None:
    with Cluster() as cluster:
        database = cluster.url(cluster.create_database())
        token = await prepare(tmp_path, database, redis_url, "http://127.0.0.1:9")
        settings = settings_of(tmp_path, database, redis_url)
        async with (
            part(settings, Role.WEB) as web,
            part(settings, Role.DIGEST),
            web.console(token) as console,
        ):
            await asyncio.to_thread(cluster.kill)
            assert await web.sms(sid(8), "投诉 烟有霉味", SHOP) == 200
            assert web.hub.spool is not None
            assert web.hub.spool.taken == 1
            away = await console.until(lambda frame: frame.get("service", {}).get("database") == "away")
            assert away["service"]["spooled"] == 1
            # Also one that begins just now can check signatures and take messages.
            async with part(settings, Role.WEB) as late:
                assert await late.sms(sid(9), "投诉 二", SHOP) == 200
                await asyncio.to_thread(cluster.start)
                await line_of(console, "投诉 烟有霉味")
                await line_of(console, "投诉 二")
