"""The spool's folder, one for all processes of a host: appending, locks, room. Calls block, so use a thread."""

import errno
import fcntl
import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from core.errors import Unavailable
from core.spool.records import HEADER, Whole, scan

log = logging.getLogger(__name__)

MIB = 1024 * 1024
LIMIT = 1024 * MIB

_KEPT_FREE = 64 * MIB  # of the disk: whatever else lives on it must still be able to write
_FILE = 4 * MIB  # a file of this size is followed by a new one, so that what was drained can be given back
DAMAGED = "bad"
REFUSED = "refused"
_SET_ASIDE = (f".{DAMAGED}", f".{REFUSED}")

_PATIENCE = 5.0  # seconds for a lock that others hold for milliseconds; a frozen process may hold it for ever
_LOOKS = 0.002

_BEGUN = "begun"
_APPEND = "append.lock"
_DRAIN = "drain.lock"


@dataclass(frozen=True, slots=True)
class Contents:
    """What lies in the folder, of all processes of the host. Drained records count until their file goes."""

    entries: int = 0
    bytes: int = 0
    oldest: datetime | None = None
    set_aside: int = 0  # files that somebody has to look at


@dataclass(slots=True)
class _Counted:
    """As much of a file as was counted already."""

    end: int = len(HEADER)
    entries: int = 0
    oldest: datetime | None = None


class SpoolFolder:
    """Files of records in one order: that of their numbers, then that of their bytes.

    All processes of the host append to the newest file, one at a time, under a lock. So there is one order over
    all of them, and a process that died leaves nothing behind that the others would not read anyway.
    The spool is *begun* while the file of that name exists: then everything that comes in has to pass it.
    """

    def __init__(
        self, path: Path, *, limit: int = LIMIT, kept_free: int = _KEPT_FREE, file_size: int = _FILE
    ) -> None:
        self.path = path
        self._limit = limit
        self._kept_free = kept_free
        self._file_size = file_size
        self._left: tuple[int, int] = (0, 0)  # the file and its size after our own last append
        self._distrusted: set[int] = set()
        self._counted: dict[int, _Counted] = {}
        self._begun = str(path / _BEGUN)

    def open(self) -> None:
        """Make the folder where it is missing; what an earlier process left in it is taken up. Raises OSError."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self.appending():
            if self.files():
                self._begin()

    def is_begun(self) -> bool:
        """Two microseconds, so that every commit to the log may ask."""
        return os.path.exists(self._begun)

    def files(self) -> list[int]:
        """The numbers of the files, oldest first."""
        return sorted(int(name[:-6]) for name in os.listdir(self.path) if name.endswith(".spool"))

    def file(self, number: int) -> Path:
        return self.path / f"{number:020d}.spool"

    # Locks between processes. They end with the process that holds them.

    @contextmanager
    def appending(self) -> Iterator[None]:
        """Nobody else appends, begins or ends the spool meanwhile. Raises Unavailable when somebody does for long."""
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            with self._alone(_APPEND) as is_ours:
                if is_ours:
                    yield
                    return
            time.sleep(_LOOKS)
        raise Unavailable("Another process holds the spool; send the same again in a moment.")

    @contextmanager
    def ending(self) -> Iterator[bool]:
        """Like `appending`, but does not wait: whether nobody else appends now."""
        with self._alone(_APPEND) as is_ours:
            yield is_ours

    @contextmanager
    def draining(self) -> Iterator[bool]:
        """Whether this is the one process that drains now."""
        with self._alone(_DRAIN) as is_ours:
            yield is_ours

    @contextmanager
    def _alone(self, name: str) -> Iterator[bool]:
        handle = os.open(self.path / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            yield _locked(handle)
        finally:
            os.close(handle)

    # Appending.

    def append(self, records: Sequence[bytes], *, begin: bool) -> bool:
        """Return True once the records are on the disk; False, and nothing done, when the spool is not begun.

        With `begin` it is begun where needed. Raises OSError or Unavailable when they may not be on the disk; then
        they are there or not, but nothing before them is touched.
        """
        if not begin and not self.is_begun():
            return False
        data = b"".join(records)
        with self.appending():
            if begin:
                self._begin()
            elif not self.is_begun():
                return False
            self._check_room(len(data))
            self._append(data)
        return True

    def _begin(self) -> None:
        os.close(os.open(self._begun, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))

    def _check_room(self, more: int) -> None:
        used = sum(self._size(number) for number in self.files())
        disk = os.statvfs(self.path)
        if used + more > self._limit or disk.f_bavail * disk.f_frsize - more < self._kept_free:
            raise Unavailable("The spool is full; send the same again in a moment.", bytes=used)

    def _append(self, data: bytes) -> None:
        number = self._place()
        if number is None:
            number = self._begin_file()
        handle = os.open(self.file(number), os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        try:
            size = os.fstat(handle).st_size
            self._write(handle, number, size, data)
            try:
                os.fsync(handle)
                if number != self._left[0]:  # its beginner may have died before this
                    self._sync_folder()
            except OSError:
                # What the kernel could not write it may have forgotten, and says so only once.
                self._give_up(number)
                raise
        finally:
            os.close(handle)
        self._left = (number, size + len(data))

    def _write(self, handle: int, number: int, size: int, data: bytes) -> None:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(handle, rest) :]
        except OSError:
            try:
                os.ftruncate(handle, size)
            except OSError:
                self._give_up(number)
            raise

    def _place(self) -> int | None:
        """The file to append to, with its torn end cut off; None where a new one has to begin."""
        files = self.files()
        if not files or files[-1] in self._distrusted:
            return None
        number = files[-1]
        size = self._size(number)
        if size >= self._file_size:
            return None
        if (number, size) != self._left:
            # Others have written since, or died while they did.
            known = self._left[1] if self._left[0] == number and self._left[1] <= size else len(HEADER)
            data = self.read(number)
            if not data.startswith(HEADER):
                return None
            end = max((found.end for found in scan(data, known)), default=known)
            if end < size:
                log.warning("torn end of the spool cut off", extra={"file": number, "bytes": size - end})
                os.truncate(self.file(number), end)
        return number

    def _give_up(self, number: int) -> None:
        """No further append goes to this file, of no process: they all take the newest."""
        self._distrusted.add(number)
        try:
            self._begin_file()
        except OSError:
            log.exception("the spool cannot begin a new file", extra={"after": number})

    def _begin_file(self) -> int:
        number = self._next_number()
        path = self.file(number)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            written = os.write(handle, HEADER)
        except OSError:
            path.unlink()
            raise
        finally:
            os.close(handle)
        if written < len(HEADER):
            path.unlink()
            raise OSError(errno.ENOSPC, "the spool's new file could not be begun")
        return number

    def _next_number(self) -> int:
        # By the clock, so that a number is not used again; by the newest, so that a clock set back changes no order.
        return max([time.time_ns(), *(number + 1 for number in self.files()[-1:])])

    def _sync_folder(self) -> None:
        handle = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    # What the drainer does with what it has read.

    def remove(self, number: int) -> None:
        self.file(number).unlink(missing_ok=True)
        self._distrusted.discard(number)

    def end(self) -> None:
        """All of it is in the log. Only while `appending`."""
        for number in self.files():
            self.remove(number)
        Path(self._begun).unlink(missing_ok=True)

    def set_aside(self, number: int, start: int, data: bytes, *, ending: str) -> Path:
        """Keep bytes that cannot be entered for somebody to look at. Twice the same makes one file."""
        path = self.path / f"{number:020d}-{start:08d}.{ending}"
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(handle)
        self._sync_folder()
        return path

    # Counting.

    def contents(self) -> Contents:
        """Count what is new since the last call; the rest is remembered."""
        files = self.files()
        for gone in set(self._counted) - set(files):
            del self._counted[gone]
        for number in files:
            counted = self._counted.setdefault(number, _Counted())
            if self._size(number) > counted.end:
                self._count(number, counted)
        oldest = [counted.oldest for counted in self._counted.values() if counted.oldest is not None]
        return Contents(
            entries=sum(counted.entries for counted in self._counted.values()),
            bytes=sum(self._size(number) for number in files),
            oldest=min(oldest, default=None),
            set_aside=sum(1 for name in os.listdir(self.path) if name.endswith(_SET_ASIDE)),
        )

    def _count(self, number: int, counted: _Counted) -> None:
        start = counted.end
        for found in scan(self.read(number, start)):
            counted.end = start + found.end
            if isinstance(found, Whole):
                counted.entries += 1
                counted.oldest = counted.oldest or found.spooled_at

    def read(self, number: int, start: int = 0) -> bytes:
        """The file from there on; nothing when it is gone."""
        try:
            with self.file(number).open("rb") as file:
                file.seek(start)
                return file.read()
        except FileNotFoundError:
            return b""

    def _size(self, number: int) -> int:
        try:
            return self.file(number).stat().st_size
        except FileNotFoundError:
            return 0  # drained meanwhile


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
