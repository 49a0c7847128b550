"""Reading the spool back, oldest first, for the one process that drains. Every call blocks, so use a thread."""

import logging
from dataclasses import dataclass, field, replace
from datetime import datetime

import orjson

from core.log.entries import Entry
from core.spool.folder import DAMAGED, REFUSED, SpoolFolder
from core.spool.records import HEADER, Damaged, Whole, decode, scan

log = logging.getLogger(__name__)

_LARGEST = 500  # records of a portion, which the log takes in one commit
_LARGEST_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Stored:
    """One record on its way into the log; `start` names it within its file."""

    start: int
    payload: bytes
    entry: Entry


@dataclass(slots=True)
class Portion:
    """The next records of one file."""

    file: int = 0
    end: int = 0
    records: list[Stored] = field(default_factory=list)
    is_rest: bool = True  # nothing stands behind them in this file
    is_last: bool = True  # no file stands behind this one

    @property
    def is_all(self) -> bool:
        return self.is_rest and self.is_last


class SpoolReader:
    """A position in the spool. It is forgotten with the reader: to enter a record again adds nothing to the log."""

    def __init__(self, folder: SpoolFolder) -> None:
        self._folder = folder
        self._file = 0
        self._at = len(HEADER)

    def next(self) -> Portion:
        """What to enter next; the same again until `passed`. Sets aside what is damaged and gives back empty files."""
        while files := self._folder.files():
            number, *later = files
            if number != self._file:
                self._file, self._at = number, len(HEADER)
            portion = self._portion(number, is_last=not later)
            if portion.records or portion.is_all:
                return portion
            if portion.is_rest:
                self._folder.remove(number)
            else:
                self.passed(portion)
        return Portion()

    def passed(self, portion: Portion) -> None:
        """All of the portion is in the log or set aside."""
        self._at = portion.end

    def refuse(self, portion: Portion, record: Stored, reason: str) -> None:
        """Set an entry aside that the log does not take, though it takes others."""
        path = self._folder.set_aside(portion.file, record.start, record.payload, ending=REFUSED)
        log.error(
            "spooled entry refused and set aside",
            extra={"file": str(path), "account": record.entry.account, "reason": reason},
        )

    def _portion(self, number: int, *, is_last: bool) -> Portion:
        data = self._folder.read(number)
        portion = Portion(number, self._at, is_last=is_last)
        if not data.startswith(HEADER):
            if len(data) > len(HEADER):
                self._damaged(number, Damaged(0, len(data)), data)
            return portion
        for found in scan(data, self._at):
            if len(portion.records) >= _LARGEST or portion.end - self._at >= _LARGEST_BYTES:
                portion.is_rest = False
                break
            portion.end = found.end
            match found:
                case Whole():
                    self._add(portion, found, data)
                case Damaged():
                    self._damaged(number, found, data)
        return portion

    def _add(self, portion: Portion, found: Whole, data: bytes) -> None:
        try:
            entry = _told(decode(found.payload), found.spooled_at)
        except (ValueError, TypeError):
            self._damaged(portion.file, Damaged(found.start, found.end), data)
            return
        portion.records.append(Stored(found.start, found.payload, entry))

    def _damaged(self, number: int, found: Damaged, data: bytes) -> None:
        path = self._folder.set_aside(number, found.start, data[found.start : found.end], ending=DAMAGED)
        log.error(
            "damaged record of the spool set aside",
            extra={"file": str(path), "bytes": found.end - found.start},
        )


def _told(entry: Entry, spooled_at: datetime) -> Entry:
    """The entry says when it was received, since the log will only know when it was entered."""
    return replace(entry, data=orjson.dumps({**orjson.loads(entry.data), "spooled_at": spooled_at}))
