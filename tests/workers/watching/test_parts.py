"""A whole hub is watched: its page has what the dashboard shows, and its row in the database says how it is."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from core.errors import ConfigInvalid
from core.ids import uuid7
from core.metrics import Metrics
from core.outbox import Item, ItemState, Outcome, Settled
from core.settings import Settings
from core.tables import ProcessRow
from core.values import Address
from tests.support.entries import NOON
from workers.assemble import Hub, assemble
from workers.watching.parts import measured, watching_of

OPS = Path(__file__).parents[3] / "ops"


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Hub]:
    async with assemble(Settings(data=tmp_path, name="hub-1")) as hub:
        yield replace(hub, metrics=Metrics())  # a page of its own, on which nothing stands yet


async def test_the_page_of_a_hub_has_what_is_looked_at(hub: Hub) -> None:
    watching = watching_of(hub)
    await watching.heartbeat.beat()
    await watching.watch.round()
    page = hub.metrics.page()[0].decode()
    known = set(re.findall(r"^# TYPE (\w+) ", page, re.MULTILINE))
    looked_at = "".join(file.read_text() for file in OPS.rglob("*.*"))
    named = {
        re.sub(r"_(bucket|sum|count)$", "", name) for name in re.findall(r"\bswitchboard_\w+", looked_at)
    }
    assert named - known == set()
    for line in (
        'switchboard_process_unheard_seconds{process="hub-1",role="digest+jobs+web"}',
        'switchboard_consumer_behind_seconds{consumer="crm"} 0.0',
        'switchboard_channel_behind_entries{channel="sms"} 0.0',
        'switchboard_outbox_items{lane="reply",state="waiting"} 0.0',
        'switchboard_database_connections{state="used"}',
        "switchboard_database_up 1.0",
        "switchboard_watch_rounds 1.0",
    ):
        assert line in page


async def test_a_hub_says_how_it_is(hub: Hub) -> None:
    watching = watching_of(hub)
    await watching.heartbeat.beat()
    async with hub.db.read() as session:
        row = await session.get(ProcessRow, "hub-1")
    assert row is not None
    assert {"version", "head", "lag", "log_queue", "jobs", "consoles", "bus", "leases", "disk"} <= set(
        row.detail
    )
    assert 0 < row.detail["disk"]["data"] <= 1


async def test_who_could_tell_nobody_does_not_start(hub: Hub) -> None:
    settings = hub.settings.model_copy(update={"alarm_mail_to": "a@b", "alarm_mail_from": ""})
    with pytest.raises(ConfigInvalid):
        watching_of(replace(hub, settings=settings))


@pytest.mark.parametrize(
    ("outcome", "shown"),
    [
        (Settled(ItemState.DONE), "done"),
        (Settled(ItemState.FAILED, "recipient_invalid"), "recipient_invalid"),
        (Settled(ItemState.UNKNOWN, "outcome_unknown"), "outcome_unknown"),
    ],
)
async def test_sends_are_counted_by_what_came_of_them(outcome: Outcome, shown: str) -> None:
    async def job(item: Item) -> Outcome:
        return outcome

    metrics = Metrics()
    item = Item(
        id=uuid7(),
        job="send",
        lane=1,
        account="main",
        address=Address("tel", "+8613900000001"),
        payload={"key": str(uuid4())},
        attempts=1,
        due_at=NOON,
        deadline=None,
        cause_seq=None,
        was_interrupted=False,
        starts_at=NOON,
        claimed_until=NOON + timedelta(minutes=1),
    )
    assert await measured(job, metrics)(item) is outcome
    page = metrics.page()[0].decode()
    assert f'switchboard_sends_total{{account="main",outcome="{shown}"}} 1.0' in page
