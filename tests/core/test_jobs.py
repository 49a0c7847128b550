"""The job runner: shares a backlog, lets replies pass it, keeps to an account's pace, adopts what others left."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from core import outbox
from core.adapter import Limits
from core.claims import Head, claim
from core.clock import now
from core.database import Database
from core.errors import ProviderThrottled, ProviderUnreachable, SendError
from core.jobs import JobRunner
from core.log.writer import LogWriter
from core.outbox import CLAIM, Item, ItemState, Lane, Outcome, Settled
from core.places import Taken, share
from core.sending import Sender
from core.values import ChannelKind, Outbound, Receipt
from tests.support.entries import NOON, running
from tests.support.outbox import fill, put, settled, until

REPLY, JOB, BROADCAST = 1, 5, 9


def head(lane: int, account: str) -> Head:
    return Head(lane, account, NOON)


@pytest.mark.parametrize(
    ("due", "taken", "given"),
    [
        ([], {}, []),
        ([(REPLY, "a")], {}, [192]),
        ([(BROADCAST, "a")], {}, [128]),
        ([(BROADCAST, "a"), (BROADCAST, "b"), (BROADCAST, "c")], {}, [64, 64, 64]),
        # A backlog takes no place that is kept for replies.
        ([(REPLY, "a"), (BROADCAST, "a")], {(False, "a"): 128, (False, "b"): 64}, [64]),
        ([(BROADCAST, "c")], {(False, "a"): 128, (False, "b"): 64}, []),
        # A few free places are not worth a transaction, but for a reply.
        ([(BROADCAST, "b")], {(False, "a"): 128, (False, "b"): 1}, []),
        ([(REPLY, "a")], {(True, "b"): 192, (False, "a"): 48}, [16]),
        ([(REPLY, "a")], {(True, "b"): 192, (False, "a"): 49}, []),
        # Who runs much already gives way to who runs little.
        ([(REPLY, "a"), (REPLY, "b")], {(True, "a"): 192}, [64]),
        ([(JOB, "a"), (BROADCAST, "b")], {}, [128, 64]),
    ],
)
def test_places_are_shared_out(due: list[tuple[int, str]], taken: Taken, given: list[int]) -> None:
    assert [number for _, number in share([head(*each) for each in due], taken)] == given


class Line:
    """A job that does nothing but take its time, and remembers when it began with what."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.began: list[tuple[str, datetime]] = []
        self.early: list[timedelta] = []  # how long before its moment each began
        self.moments: list[datetime] = []

    async def __call__(self, item: Item) -> Outcome:
        at = now()
        self.began.append((item.payload["text"], at))
        self.moments.append(item.starts_at)
        self.early.append(item.starts_at - at)
        await asyncio.sleep(self.seconds)
        return Settled(ItemState.DONE)


@asynccontextmanager
async def runners(url: str, count: int, line: Line, limits: Limits) -> AsyncIterator[None]:
    """As many as there are processes: each with connections of its own."""
    async with AsyncExitStack() as stack:
        for _ in range(count):
            db = Database(url)
            stack.push_async_callback(db.close)
            await stack.enter_async_context(
                running(JobRunner(db, {"send": line}, limits=lambda _: limits).run())
            )
        yield


async def test_two_runners_share_a_backlog_and_do_each_item_once(database_url: str, db: Database) -> None:
    await fill(db, 2_000)
    line = Line()
    async with runners(database_url, 2, line, Limits()):
        await settled(db, {"done": 2_000})
    assert Counter(said for said, _ in line.began) == Counter(str(number) for number in range(2_000))


async def test_two_runners_keep_an_accounts_rate_together(database_url: str, db: Database) -> None:
    await fill(db, 60)
    line = Line()
    async with runners(database_url, 2, line, Limits(rate=40)):
        await settled(db, {"done": 60})
    steps = [after - before for before, after in pairwise(sorted(line.moments))]
    assert min(steps) == timedelta(seconds=1 / 40)
    assert sum(steps, timedelta()) < 10 * 59 * timedelta(seconds=1 / 40)  # and it does not idle
    assert max(line.early) < timedelta(milliseconds=2)


async def test_two_runners_keep_an_accounts_window_together(database_url: str, db: Database) -> None:
    await fill(db, 40)
    line = Line(0.02)
    most = 0

    async def count(item: Item) -> Outcome:
        nonlocal most
        most = max(most, (await outbox.counts(db))["running"])
        return await line(item)

    async with AsyncExitStack() as stack:
        for _ in range(2):
            runner = JobRunner(db, {"send": count}, limits=lambda _: Limits(window=3))
            await stack.enter_async_context(running(runner.run()))
        await settled(db, {"done": 40})
    assert most == 3


async def test_a_reply_passes_a_backlog_of_fifty_thousand(db: Database) -> None:
    await fill(db, 50_000)
    line = Line(0.05)
    runner = JobRunner(db, {"send": line})
    waits: list[float] = []
    async with running(runner.run()):
        await until(lambda: len(line.began) > 500)
        for number in range(60):
            committed = await _reply(db, f"reply {number}")
            runner.wake()
            await until(lambda said=f"reply {number}": said in _said(line))  # type: ignore[misc]
            began = next(at for said, at in line.began if said == f"reply {number}")
            waits.append((began - committed).total_seconds())
        await runner.stop()
    assert len(line.began) < 50_000, "the backlog was gone before the replies were"
    assert sorted(waits)[-1] < 1.0


async def _reply(db: Database, said: str) -> datetime:
    await put(db, said, lane=Lane.REPLY)
    return now()


def _said(line: Line) -> set[str]:
    return {said for said, _ in line.began[-2_000:]}


async def test_only_replies_leave_while_the_log_is_behind(db: Database) -> None:
    await put(db, "b1", "b2", lane=Lane.BROADCAST)
    await put(db, "r1", lane=Lane.REPLY)
    line, behind = Line(), [10_000]
    runner = JobRunner(db, {"send": line}, backlog=lambda: behind[0])
    async with running(runner.run()):
        await settled(db, {"done": 1, "waiting": 2})
        behind[0] = 0
        runner.wake()
        await settled(db, {"done": 3})
    assert [said for said, _ in line.began] == ["r1", "b1", "b2"]


async def test_a_provider_that_hangs_does_not_hold_up_the_others(db: Database) -> None:
    await fill(db, 1_000, account="hanging")
    await fill(db, 1_000, account="fine")
    hung = asyncio.Event()

    async def act(item: Item) -> Outcome:
        if item.account == "hanging":
            await hung.wait()
        return Settled(ItemState.DONE)

    async with running(JobRunner(db, {"send": act}).run()):
        await settled(db, {"done": 1_000, "running": 96, "waiting": 904})
        hung.set()
        await settled(db, {"done": 2_000})


async def test_a_job_that_breaks_is_kept_as_failed_with_its_reason(db: Database) -> None:
    await put(db, "one")

    async def act(item: Item) -> Outcome:
        raise ValueError("no such form")

    runner = JobRunner(db, {"send": act})
    async with running(runner.run()):
        await settled(db, {"failed": 1})
    assert runner.finished == {"failed": 1}


class Provider:
    """Takes messages, or answers as it is told."""

    def __init__(self, *answers: SendError) -> None:
        self.answers = list(answers)
        self.sent: list[str] = []

    async def send(self, out: Outbound) -> Receipt:
        if self.answers:
            raise self.answers.pop()
        self.sent.append(out.text)
        return Receipt(external_id=f"p-{out.id}")


def sender(db: Database, writer: LogWriter, provider: object, clock: Callable[[], datetime]) -> Sender:
    return Sender(db, writer, lambda account: provider, lambda account: ChannelKind.SMS, clock)


async def test_what_a_dead_worker_had_in_hand_is_unknown_and_what_it_had_not_begun_is_sent(
    db: Database, writer: LogWriter
) -> None:
    await put(db, "in the log", "not begun")
    claimed = (await claim(db, NOON + timedelta(seconds=1), 10)).items
    provider = Provider()
    dead = sender(db, writer, provider, lambda: NOON)
    await writer.write(dead._message(claimed[0]))

    later = NOON + 2 * CLAIM
    runner = JobRunner(db, {"send": sender(db, writer, provider, lambda: later)}, lambda: later)
    async with running(runner.run()):
        await settled(db, {"unknown": 1, "done": 1})
    assert provider.sent == ["not begun"]
    assert runner.finished == {"unknown": 1, "done": 1}


async def test_a_process_that_was_frozen_sends_nothing_that_others_may_have(
    db: Database, writer: LogWriter
) -> None:
    await put(db, "late")
    (item,) = (await claim(db, NOON, 10)).items
    provider = Provider()
    await sender(db, writer, provider, lambda: NOON + CLAIM)(item)
    assert provider.sent == []


async def test_a_message_whose_deadline_passed_in_the_line_is_not_sent(
    db: Database, writer: LogWriter
) -> None:
    await put(db, "stale", deadline=NOON - timedelta(seconds=1))
    (item,) = (await claim(db, NOON, 10)).items
    provider = Provider()
    outcome = await sender(db, writer, provider, lambda: NOON)(item)
    assert outcome == Settled(ItemState.FAILED, "too_late")
    assert provider.sent == []


async def test_an_account_that_cannot_be_used_lets_its_messages_wait(db: Database, writer: LogWriter) -> None:
    await put(db, "patient")
    (item,) = (await claim(db, NOON, 10)).items
    outcome = await sender(db, writer, object(), lambda: NOON)(item)
    assert isinstance(outcome, outbox.Retry)


async def test_a_throttled_account_rests_as_a_whole_and_then_goes_on(db: Database, writer: LogWriter) -> None:
    await put(db, "first", due_at=NOON)
    provider = Provider(ProviderThrottled(retry_after=timedelta(seconds=0.5)))
    runner = JobRunner(db, {"send": sender(db, writer, provider, now)})
    async with running(runner.run()):
        await until(lambda: runner.finished.get("retry") == 1)
        rested = now()
        await put(db, "second", due_at=NOON + timedelta(seconds=1))
        runner.wake()
        await settled(db, {"done": 2})
    assert sorted(provider.sent) == ["first", "second"]
    assert (now() - rested).total_seconds() > 0.2


async def test_a_provider_that_could_not_be_reached_is_tried_again_later(
    db: Database, writer: LogWriter
) -> None:
    await put(db, "one")
    at = NOON
    provider = Provider(ProviderUnreachable())
    runner = JobRunner(db, {"send": sender(db, writer, provider, lambda: at)}, lambda: at)
    async with running(runner.run()):
        await until(lambda: runner.finished.get("retry") == 1)
        at = NOON + timedelta(seconds=7)
        runner.wake()
        await settled(db, {"done": 1})
