"""Events become entries: nothing of them is lost, and what cannot be stored is repaired and said to be."""

from datetime import timedelta
from typing import Any

import orjson
import pytest

from core.database import Database
from core.intake import NOBODY, Intake, entry_of, storable
from core.log import reader
from core.log.writer import LogWriter
from core.values import (
    Address,
    Attachment,
    CallEvent,
    CallPhase,
    ChannelKind,
    DeliveryState,
    Direction,
    EntryKind,
    Inbound,
    StatusUpdate,
    Unreadable,
)
from tests.support.entries import NOON

_SHOP = Address("tel", "+8613800000001")
_PORT = Address("short", "10690000")


def _inbound(**changes: Any) -> Inbound:
    given: dict[str, Any] = {
        "external_id": "SM1",
        "dedupe_key": "SM1",
        "sender": _SHOP,
        "recipient": _PORT,
        "occurred_at": NOON,
        "text": "你好",
        "raw": b"Body=...",
    }
    return Inbound(**{**given, **changes})


def _data(event: Inbound) -> Any:
    return orjson.loads(entry_of("main", ChannelKind.SMS, event, NOON).data)


async def test_an_accepted_event_stands_in_the_log(db: Database, writer: LogWriter) -> None:
    intake = Intake(writer, {"main": ChannelKind.SMS}.__getitem__, lambda: NOON)
    accepted = await intake.accept("main", _inbound())
    again = await intake.accept("main", _inbound())
    assert (again.id, again.is_new) == (accepted.id, False)
    async with db.read() as session:
        (entry,) = await reader.after(session, 0, 10)
    assert (entry.account, entry.channel, entry.direction, entry.kind) == ("main", "sms", "in", "message")
    assert (entry.address, entry.own, entry.text, entry.data) == (_SHOP, "short:10690000", "你好", {})


async def test_an_act_is_logged_once_by_its_key(db: Database, writer: LogWriter) -> None:
    intake = Intake(writer, lambda slug: ChannelKind.SMS, lambda: NOON)
    for _ in range(2):
        await intake.act("note", by="u1", about=_SHOP, key="k1", detail={"queue": "retail"}, text="记下")
    async with db.read() as session:
        (entry,) = await reader.after(session, 0, 10)
    assert (entry.account, entry.kind, entry.direction, entry.text) == ("hub", "act", "none", "记下")
    assert entry.data == {"act": "note", "by": "u1", "queue": "retail"}
    assert entry.address == _SHOP


def test_attachments_and_fields_are_kept_beside_the_text() -> None:
    photo = Attachment(name="a.jpg", content_type="image/jpeg", url="https://example.test/1")
    assert _data(_inbound(attachments=(photo,), meta={"subject": "问"}, defects=("charset_guessed",))) == {
        "attachments": [{"name": "a.jpg", "type": "image/jpeg", "url": "https://example.test/1"}],
        "meta": {"subject": "问"},
        "defects": ["charset_guessed"],
    }


@pytest.mark.parametrize(
    ("ahead", "kept"),
    [
        (timedelta(days=-400), timedelta(days=-400)),
        (timedelta(minutes=9), timedelta(minutes=9)),
        (timedelta(days=1), timedelta(0)),
    ],
)
def test_nobody_has_written_tomorrow(ahead: timedelta, kept: timedelta) -> None:
    entry = entry_of("main", ChannelKind.SMS, _inbound(occurred_at=NOON + ahead), NOON)
    assert entry.occurred_at == NOON + kept


def test_an_implausible_date_is_kept_as_a_defect() -> None:
    assert _data(_inbound(occurred_at=NOON + timedelta(days=1))) == {
        "defects": ["date_implausible:2026-11-19T04:00:00+00:00"]
    }


@pytest.mark.parametrize(
    ("text", "stored"), [("a\x00b", "a\ufffdb"), ("\ud83d", "\ufffd"), ("😀", "😀"), ("", "")]
)
def test_what_a_database_cannot_hold_is_replaced(text: str, stored: str) -> None:
    assert storable(text) == stored


def test_an_endless_text_is_cut_and_said_to_be() -> None:
    event = _inbound(text="x" * 100_001)
    assert len(entry_of("main", ChannelKind.SMS, event, NOON).text) == 100_000
    assert _data(event) == {"defects": ["text_repaired"]}


def test_a_status_belongs_to_the_one_it_was_sent_to() -> None:
    event = StatusUpdate(
        external_id="SM1",
        dedupe_key="SM1:delivered",
        state=DeliveryState.FAILED,
        occurred_at=NOON,
        raw=b"r",
        recipient=_SHOP,
        error="recipient_invalid",
        provider_error="30005 \x00",
    )
    entry = entry_of("main", ChannelKind.SMS, event, NOON)
    assert (entry.kind, entry.direction, entry.address) == (EntryKind.STATUS, Direction.IN, _SHOP)
    assert orjson.loads(entry.data) == {
        "state": "failed",
        "error": "recipient_invalid",
        "provider_error": "30005 \ufffd",
    }


@pytest.mark.parametrize(
    ("direction", "other_side"), [(Direction.IN, _SHOP), (Direction.OUT, Address("tel", "+861065000000"))]
)
def test_a_call_belongs_to_the_other_side(direction: Direction, other_side: Address) -> None:
    event = CallEvent(
        external_id="c1",
        dedupe_key="c1:keys:1",
        phase=CallPhase.KEYS,
        caller=_SHOP,
        called=Address("tel", "+861065000000"),
        direction=direction,
        occurred_at=NOON,
        raw=b"{}",
        meta={"digits": "12"},
    )
    entry = entry_of("line", ChannelKind.CALL, event, NOON)
    assert (entry.kind, entry.address, entry.external_id) == (EntryKind.CALL, other_side, "c1")
    assert orjson.loads(entry.data) == {"phase": "keys", "digits": "12"}


@pytest.mark.parametrize(("sender", "about"), [(None, NOBODY), (_SHOP, _SHOP)])
def test_an_unreadable_request_is_kept_whole(sender: Address | None, about: Address) -> None:
    event = Unreadable(
        dedupe_key="u1",
        reason="no Body",
        occurred_at=NOON,
        raw=b"\xff",
        raw_type="text/plain",
        sender=sender,
    )
    entry = entry_of("main", ChannelKind.SMS, event, NOON)
    assert (entry.kind, entry.address, entry.raw) == (EntryKind.UNREADABLE, about, b"\xff")
    assert orjson.loads(entry.data) == {"reason": "no Body"}
