"""Events become entries: nothing of them is lost, and what cannot be stored is repaired and said to be."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.database import Database
from core.errors import BadInput
from core.intake import NOBODY, Intake, act_entry, entry_of
from core.log import reader
from core.log.verify import verify
from core.log.writer import LogWriter
from core.storable import storable, storable_json, storable_key
from core.values import (
    Accepted,
    Address,
    Attachment,
    CallEvent,
    CallPhase,
    ChannelEvent,
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


async def _accept(intake: Intake, event: ChannelEvent) -> Accepted:
    taken = await intake.accept("main", event)
    assert isinstance(taken, Accepted), "there is no spool here"
    return taken


def _data(event: Inbound) -> Any:
    return orjson.loads(entry_of("main", ChannelKind.SMS, event, NOON).data)


async def test_an_accepted_event_stands_in_the_log(db: Database, writer: LogWriter) -> None:
    intake = Intake(writer, {"main": ChannelKind.SMS}.__getitem__, lambda: NOON)
    accepted = await _accept(intake, _inbound())
    again = await _accept(intake, _inbound())
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


@pytest.mark.parametrize(
    ("claimed", "defects"),
    [
        (datetime(2026, 11, 18, 4, 0), ["date_without_zone"]),
        (datetime.min, ["date_without_zone", "date_implausible:0001-01-01T00:00:00"]),
        (datetime(1980, 1, 6, tzinfo=UTC), ["date_implausible:1980-01-06T00:00:00+00:00"]),
        (
            datetime.max.replace(tzinfo=timezone(timedelta(hours=-14))),
            ["date_implausible:9999-12-31T23:59:59.999999-14:00"],
        ),
    ],
)
def test_a_date_that_no_clock_can_mean_is_replaced_by_ours(claimed: datetime, defects: list[str]) -> None:
    event = _inbound(occurred_at=claimed)
    assert entry_of("main", ChannelKind.SMS, event, NOON).occurred_at == NOON
    assert _data(event) == {"defects": defects}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a\x00b", "a\ufffdb"),
        ("\ud800", "\ud801"),
        ("x" * 600, "x" * 601),
        ("x" * 600 + "1", "x" * 600 + "2"),
    ],
)
def test_keys_that_differ_never_become_one(one: str, other: str) -> None:
    assert storable_key(one) != storable_key(other)
    assert storable_key(one) == storable_key(one)


@pytest.mark.parametrize("key", ["", "in:SM1", "st:SM1:delivered:", "文" * 500])
def test_an_ordinary_key_stays_as_it_is(key: str) -> None:
    assert storable_key(key) == key


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        ({"a\x00": ["\ud83d", 1, None, True, 1.5]}, {"a\ufffd": ["\ufffd", 1, None, True, 1.5]}),
        ({1: {"deep": ("x",)}}, {"1": {"deep": ["x"]}}),
    ],
)
def test_json_is_repaired_at_every_depth(value: object, stored: object) -> None:
    assert storable_json(value) == stored


def test_a_number_that_no_column_holds_is_refused() -> None:
    with pytest.raises(BadInput, match="64 bits"):
        act_entry("note", "u1", _SHOP, "k1", {"seen": 1 << 64}, "", NOON)


# Everything that an adapter could hand in, with all that a database might choke on.
_CHARACTERS = st.one_of(
    st.characters(codec=None, exclude_categories=()), st.sampled_from("\x00\ud800\udfff\ufffe\u202e'\"\\")
)
_STRINGS = st.one_of(
    st.text(_CHARACTERS, max_size=12), st.builds(lambda one, n: one * n, _CHARACTERS, st.integers(0, 4_000))
)
_DATES = st.datetimes(
    timezones=st.sampled_from([None, UTC, timezone(timedelta(hours=14)), timezone(timedelta(hours=-14))])
)
_ADDRESSES = st.builds(Address, _STRINGS, _STRINGS, _STRINGS)
_EVENTS = st.one_of(
    st.builds(
        Inbound,
        external_id=_STRINGS,
        dedupe_key=_STRINGS,
        sender=_ADDRESSES,
        recipient=_ADDRESSES,
        occurred_at=_DATES,
        text=_STRINGS,
        raw=st.binary(max_size=20),
        raw_type=_STRINGS,
        attachments=st.lists(
            st.builds(Attachment, name=_STRINGS, content_type=_STRINGS, url=_STRINGS), max_size=2
        ).map(tuple),
        thread=_STRINGS,
        meta=st.dictionaries(_STRINGS, _STRINGS, max_size=2),
        defects=st.lists(_STRINGS, max_size=2).map(tuple),
    ),
    st.builds(
        StatusUpdate,
        external_id=_STRINGS,
        dedupe_key=_STRINGS,
        state=st.sampled_from(DeliveryState),
        occurred_at=_DATES,
        raw=st.binary(max_size=20),
        raw_type=_STRINGS,
        recipient=st.none() | _ADDRESSES,
        error=_STRINGS,
        provider_error=_STRINGS,
    ),
)


@given(events=st.lists(_EVENTS, min_size=1, max_size=8))
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
)
async def test_both_engines_take_whatever_an_adapter_hands_in(
    db: Database, writer: LogWriter, events: list[Inbound | StatusUpdate]
) -> None:
    intake = Intake(writer, lambda slug: ChannelKind.SMS, lambda: NOON)
    accepted = [await _accept(intake, event) for event in events]
    keys = {event.dedupe_key: taken.seq for event, taken in zip(events, accepted, strict=True)}
    assert len(set(keys.values())) == len(keys)
    async with db.read() as session:
        stored = {entry.seq: entry for entry in await reader.at(session, [each.seq for each in accepted])}
    assert all(
        stored[taken.seq].text == storable(event.text)
        for event, taken in zip(events, accepted, strict=True)
        if taken.is_new and isinstance(event, Inbound)
    )


async def test_a_log_of_hostile_entries_verifies(db: Database, writer: LogWriter) -> None:
    intake = Intake(writer, lambda slug: ChannelKind.SMS, lambda: NOON)
    for number, odd in enumerate(["\x00", "\ud800", "\ufffe", "\u202e", "x" * 100_001, "𝕏" * 3_000]):
        await intake.accept(
            "main",
            _inbound(
                dedupe_key=f"{number}{odd}",
                external_id=odd,
                sender=Address("tel", odd),
                text=odd,
                thread=odd,
                raw_type=odd,
            ),
        )
    assert (await verify(db)).problems == ()
