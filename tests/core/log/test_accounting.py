"""A provider's own list against the log: what they offered and we have not, what we have and they do not list."""

from dataclasses import replace
from typing import Any

import pytest

from core.database import Database
from core.errors import BadInput
from core.log.accounting import Account, Listed, Stranger, account_for, read_list
from core.log.writer import LogWriter
from core.values import Direction, EntryKind
from tests.support.entries import message


@pytest.mark.parametrize(
    ("document", "listed"),
    [
        ("id\na\nb\n", [Listed("a"), Listed("b")]),
        ("\ufeffSid;Direction\na;outbound-api\n", [Listed("a", "out")]),
        ("time,message_id,direction\n2026,a,inbound\n", [Listed("a", "in")]),
        ('{"id": "a"}\n\n{"id": 7, "direction": "out"}\n', [Listed("a"), Listed("7", "out")]),
        ("MessageSid\tdirection\na\tsideways\n", [Listed("a")]),
    ],
)
def test_lists_of_many_kinds_are_read(document: str, listed: list[Listed]) -> None:
    assert read_list(document.encode()) == listed


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (b"name,text\nx,y\n", "no column with the provider's ids: it has name, text"),
        (b"id,text\n,y\n", "Line 2 of the list has no id"),
        (b'{"id": "a"}\nnonsense\n', "Line 2 of the list is no JSON object"),
        (b"\xff\xfe", "not UTF-8"),
    ],
)
def test_a_list_that_cannot_be_read_is_told_with_its_line(document: bytes, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        read_list(document)


async def _logged(writer: LogWriter, *ids: str, **more: Any) -> None:
    for id in ids:
        await writer.write(message(account="a", external_id=id, **more))


def _names(ids: str, direction: str = "") -> list[Listed]:
    return [Listed(id, direction) for id in ids]


async def test_a_list_that_agrees_leaves_nothing_unaccounted(db: Database, writer: LogWriter) -> None:
    await _logged(writer, *"xyz")
    assert await account_for(db, "a", _names("xyz")) == Account(
        offered=3, found=3, repeated=0, missing=(), unlisted=()
    )


async def test_what_is_missing_is_named_once(db: Database, writer: LogWriter) -> None:
    await _logged(writer, *"xz")
    found = await account_for(db, "a", _names("xyyz"))
    assert (found.missing, found.repeated, found.unaccounted) == (("y",), 1, 1)


async def test_another_accounts_entry_of_that_name_does_not_count(db: Database, writer: LogWriter) -> None:
    await writer.write(replace(message(external_id="x"), account="b"))
    assert (await account_for(db, "a", _names("x"))).missing == ("x",)


async def test_ours_between_the_listed_ones_are_named_and_those_around_are_not(
    db: Database, writer: LogWriter
) -> None:
    await _logged(writer, *"abcde")
    found = await account_for(db, "a", _names("bd"))
    assert found.unlisted == (Stranger(3, "c"),)


async def test_a_list_of_what_came_in_says_nothing_of_what_went_out(db: Database, writer: LogWriter) -> None:
    await _logged(writer, "x")
    await _logged(writer, "sent", direction=Direction.OUT, kind=EntryKind.STATUS)
    await _logged(writer, "y")
    assert (await account_for(db, "a", _names("xy", "in"))).unaccounted == 0
    assert (await account_for(db, "a", _names("xy"))).unlisted == (Stranger(2, "sent"),)


async def test_a_report_on_a_message_is_no_message_of_its_own(db: Database, writer: LogWriter) -> None:
    await _logged(writer, "x", "y")
    await _logged(writer, "report", kind=EntryKind.STATUS)
    await _logged(writer, "z")
    assert (await account_for(db, "a", _names("xyz"))).unaccounted == 0


async def test_the_log_is_read_in_pieces(
    db: Database, writer: LogWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.log.accounting._SCANNED", 2)
    await _logged(writer, *"abcde")
    steps: list[tuple[int, int]] = []
    found = await account_for(db, "a", _names("abcde"), lambda done, end: steps.append((done, end)))
    assert (found.found, steps) == (5, [(2, 5), (4, 5), (5, 5)])
