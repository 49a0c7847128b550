"""Accounting for an account: a provider's own list of messages against what stands in the log."""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import select
from sqlmodel import col

from core.database import Database
from core.errors import BadInput
from core.log import reader
from core.storable import storable_key
from core.tables import LogEntry
from core.values import Direction, EntryKind

_SCANNED = 20_000  # entries a read
# What providers call the two columns that we need; compared without case, blanks, - and _.
_IDS = ("id", "messageid", "externalid", "sid", "messagesid", "smssid", "callsid", "msgid", "uuid")
_DIRECTIONS = ("direction", "type")

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Listed:
    """A line of the provider's list; `direction` is empty where the list does not tell."""

    external_id: str
    direction: str = ""


@dataclass(frozen=True, slots=True)
class Stranger:
    """An entry of ours whose name the provider does not list."""

    seq: int
    external_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """`missing` are offered and in no entry; `unlisted` stand between entries that the list knows."""

    offered: int
    found: int
    repeated: int
    missing: tuple[str, ...]
    unlisted: tuple[Stranger, ...]

    @property
    def unaccounted(self) -> int:
        return len(self.missing) + len(self.unlisted)


def read_list(document: bytes) -> list[Listed]:
    """The provider's list: CSV with a head, or one JSON object a line. Raises BadInput with the line that is wrong."""
    try:
        text = document.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput("The list is not UTF-8 text; save it as such.") from error
    rows = _json_lines(text) if text.lstrip().startswith("{") else _csv_lines(text)
    return [_listed(number, row) for number, row in rows]


def _json_lines(text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                row = orjson.loads(line)
            except orjson.JSONDecodeError as error:
                raise BadInput(f"Line {number} of the list is no JSON object.") from error
            if not isinstance(row, dict):
                raise BadInput(f"Line {number} of the list is no JSON object.")
            yield number, row


def _csv_lines(text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    first = text.partition("\n")[0]
    separator = max(",;\t", key=first.count)
    rows = csv.DictReader(io.StringIO(text), delimiter=separator)
    for row in rows:
        yield rows.line_num, row


def _listed(number: int, row: Mapping[str, Any]) -> Listed:
    plain = {_plain(str(name)): str(value or "").strip() for name, value in row.items()}
    name = next((each for each in _IDS if each in plain), None)
    if name is None:
        raise BadInput(
            f"The list has no column with the provider's ids: it has {', '.join(map(str, row))}; name one of them id."
        )
    if not plain[name]:
        raise BadInput(f"Line {number} of the list has no id.")
    said = next((plain[each].lower() for each in _DIRECTIONS if each in plain), "")
    direction = next(
        (each.value for each in (Direction.IN, Direction.OUT) if said.startswith(each.value)), ""
    )
    return Listed(storable_key(plain[name]), direction)


def _plain(name: str) -> str:
    return "".join(char for char in name.lower() if char.isalnum())


async def account_for(
    db: Database, account: str, listed: Iterable[Listed], progress: Progress = lambda done, end: None
) -> Account:
    """Compare the list with the account's entries. Reads the whole log, in pieces, beside a working hub."""
    rows = list(listed)
    ids = {row.external_id for row in rows}
    directions = {row.direction for row in rows} - {""} or {Direction.IN.value, Direction.OUT.value}
    found: set[str] = set()
    ours: dict[str, int] = {}
    first = last = 0
    async with db.read() as session:
        head = await reader.head(session)
    for low in range(1, head + 1, _SCANNED):
        high = min(low + _SCANNED - 1, head)
        query = (
            select(col(LogEntry.seq), col(LogEntry.external_id), col(LogEntry.direction), col(LogEntry.kind))
            .where(
                col(LogEntry.seq).between(low, high),
                col(LogEntry.account) == account,
                col(LogEntry.external_id) != "",
            )
            .order_by(col(LogEntry.seq))
        )
        async with db.read() as session:
            for seq, external_id, direction, kind in await session.execute(query):
                if external_id in ids:
                    found.add(external_id)
                    first, last = first or seq, seq
                elif direction in directions and _names_a_message(direction, kind):
                    ours.setdefault(external_id, seq)
        progress(high, head)
    return Account(
        offered=len(ids),
        found=len(found),
        repeated=len(rows) - len(ids),
        missing=tuple(dict.fromkeys(row.external_id for row in rows if row.external_id not in found)),
        unlisted=tuple(Stranger(seq, id) for id, seq in ours.items() if first <= seq <= last),
    )


def _names_a_message(direction: str, kind: str) -> bool:
    """A message of ours gets its name by the status that says that it was handed over."""
    if direction == Direction.OUT.value:
        return kind in (EntryKind.STATUS.value, EntryKind.CALL.value)
    return kind in (EntryKind.MESSAGE.value, EntryKind.CALL.value)
