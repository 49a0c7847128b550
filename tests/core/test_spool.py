"""The spool on the disk: whole records come back, torn ends go, damage is set aside, and no room is said to be none."""

import asyncio
import errno
import os
from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Unavailable
from core.log.entries import Entry
from core.spool import folder as folders
from core.spool.draining import Drainer
from core.spool.folder import Contents, SpoolFolder
from core.spool.reading import SpoolReader
from core.spool.records import HEADER, Damaged, Whole, decode, encode, scan
from core.values import Accepted, Address, ChannelKind, Direction, EntryKind
from tests.support.entries import NOON, message, running


@pytest.fixture
def folder(tmp_path: Path) -> SpoolFolder:
    return _opened(tmp_path / "spool")


def _opened(path: Path, **limits: Any) -> SpoolFolder:
    """One process's view of the folder."""
    opened = SpoolFolder(path, **{"kept_free": 0, **limits})
    opened.open()
    return opened


def _spool(folder: SpoolFolder, *texts: str) -> None:
    assert folder.append([encode(message(text=text), NOON) for text in texts], begin=True)


def _texts(folder: SpoolFolder) -> list[str]:
    """Everything that can be read back, in order, by a drainer that begins anew."""
    reader = SpoolReader(folder)
    texts = []
    portion = reader.next()
    while portion.records:
        texts += [record.entry.text for record in portion.records]
        reader.passed(portion)
        portion = reader.next()
    return texts


def _newest(folder: SpoolFolder) -> Path:
    return folder.file(folder.files()[-1])


# Records.

_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_ENTRIES = st.builds(
    Entry,
    account=_TEXTS,
    dedupe_key=_TEXTS,
    channel=st.sampled_from(ChannelKind),
    direction=st.sampled_from(Direction),
    kind=st.sampled_from(EntryKind),
    occurred_at=st.datetimes(timezones=st.just(UTC)),
    address=st.builds(Address, _TEXTS, _TEXTS, _TEXTS),
    own=_TEXTS,
    external_id=_TEXTS,
    text=_TEXTS,
    data=st.binary(max_size=20),
    raw=st.binary(max_size=20),
    raw_type=_TEXTS,
    thread=_TEXTS,
    in_reply_to=st.none() | st.uuids(),
)


@given(entries=st.lists(_ENTRIES, max_size=4), moment=st.datetimes(timezones=st.just(UTC)))
def test_every_field_of_an_entry_comes_back(entries: list[Entry], moment: datetime) -> None:
    found = list(scan(b"".join(encode(entry, moment) for entry in entries)))
    assert [_all_of(decode(each.payload)) for each in found if isinstance(each, Whole)] == [
        _all_of(entry) for entry in entries
    ]
    assert all(isinstance(each, Whole) and each.spooled_at == moment for each in found)


def _all_of(entry: Entry) -> list[object]:
    """Also what does not count when entries are compared."""
    return [*(getattr(entry, field.name) for field in fields(Entry)), entry.address.display]


_RECORDS = [encode(message(text=text, dedupe_key=text), NOON) for text in ("one", "two", "three")]


@pytest.mark.parametrize("kept", range(1, len(_RECORDS[2])))
def test_a_record_of_which_a_part_is_missing_is_not_told(kept: int) -> None:
    assert len(list(scan(b"".join(_RECORDS[:2]) + _RECORDS[2][:kept]))) == 2


@pytest.mark.parametrize("at", range(len(_RECORDS[1])))
def test_one_wrong_byte_costs_one_record_and_no_more(at: int) -> None:
    second = bytearray(_RECORDS[1])
    second[at] ^= 0x55
    first, *damage, third = scan(_RECORDS[0] + second + _RECORDS[2])
    assert isinstance(first, Whole)
    assert isinstance(third, Whole)
    assert damage == [Damaged(first.end, third.start)]
    assert [decode(first.payload).text, decode(third.payload).text] == ["one", "three"]


def test_a_whole_record_at_the_end_with_a_wrong_byte_is_damage_and_not_torn() -> None:
    wrong = _RECORDS[1][:-1] + bytes([_RECORDS[1][-1] ^ 1])
    assert list(scan(_RECORDS[0] + wrong))[1:] == [Damaged(len(_RECORDS[0]), len(_RECORDS[0]) + len(wrong))]


@pytest.mark.parametrize(
    "payload", [b"", b"\x00" * 20, encode(message(), NOON)[12:40]], ids=["empty", "zeros", "cut"]
)
def test_a_payload_of_another_kind_is_refused(payload: bytes) -> None:
    with pytest.raises(ValueError, match="not a record"):
        decode(payload)


# The folder.


def test_nothing_is_spooled_where_no_spool_is_begun(folder: SpoolFolder) -> None:
    assert not folder.append([encode(message(), NOON)], begin=False)
    assert not folder.is_begun()
    assert folder.files() == []


def test_what_was_spooled_is_read_back_in_order(folder: SpoolFolder) -> None:
    _spool(folder, "a", "b")
    assert folder.append([encode(message(text="c"), NOON)], begin=False)
    assert folder.is_begun()
    assert _texts(folder) == ["a", "b", "c"]


def test_processes_of_one_host_write_into_one_order(tmp_path: Path) -> None:
    one, other = _opened(tmp_path), _opened(tmp_path)
    for turn in range(5):
        _spool(one, f"one {turn}")
        _spool(other, f"other {turn}")
    assert _texts(one) == [f"{who} {turn}" for turn in range(5) for who in ("one", "other")]
    assert len(one.files()) == 1


def test_a_new_file_is_begun_when_one_is_full_and_drained_ones_are_given_back(tmp_path: Path) -> None:
    folder = _opened(tmp_path, file_size=600)
    for number in range(12):
        _spool(folder, str(number))
    assert len(folder.files()) > 2
    assert _texts(folder) == [str(number) for number in range(12)]
    assert len(folder.files()) == 1


def test_a_portion_is_offered_again_until_it_is_passed(folder: SpoolFolder) -> None:
    _spool(folder, "a", "b")
    reader = SpoolReader(folder)
    assert [record.entry.text for record in reader.next().records] == ["a", "b"]
    assert [record.entry.text for record in reader.next().records] == ["a", "b"]


def test_a_long_spool_is_offered_in_portions(folder: SpoolFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.spool.reading._LARGEST", 3)
    _spool(folder, *map(str, range(8)))
    reader = SpoolReader(folder)
    sizes = []
    for _ in range(3):
        portion = reader.next()
        sizes.append((len(portion.records), portion.is_all))
        reader.passed(portion)
    assert sizes == [(3, False), (3, False), (2, True)]


def test_a_process_that_starts_takes_up_what_another_left(folder: SpoolFolder) -> None:
    _spool(folder, "left")
    (folder.path / "begun").unlink()  # as after a power cut: that file is not synced
    again = _opened(folder.path)
    assert again.is_begun()
    assert _texts(again) == ["left"]


@pytest.mark.parametrize("kept", [1, 11, 12, 13, 100])
def test_a_torn_end_is_cut_off_before_the_next_is_written(
    folder: SpoolFolder, kept: int, caplog: pytest.LogCaptureFixture
) -> None:
    _spool(folder, "whole")
    with _newest(folder).open("ab") as file:
        file.write(encode(message(text="torn"), NOON)[:kept])
    assert _texts(folder) == ["whole"]
    _spool(_opened(folder.path), "next")
    assert _texts(folder) == ["whole", "next"]
    assert _set_aside(folder) == []
    assert "torn end" in caplog.text


def test_a_torn_end_of_another_process_is_cut_off_too(tmp_path: Path) -> None:
    one, other = _opened(tmp_path), _opened(tmp_path)
    _spool(one, "mine")
    _spool(other, "theirs")
    with _newest(other).open("ab") as file:
        file.write(encode(message(), NOON)[:20])
    _spool(one, "mine again")
    assert _texts(one) == ["mine", "theirs", "mine again"]


def test_a_damaged_record_is_set_aside_and_the_rest_goes_on(
    folder: SpoolFolder, caplog: pytest.LogCaptureFixture
) -> None:
    _spool(folder, "before", "damaged", "after")
    whole = _newest(folder).read_bytes()
    _newest(folder).write_bytes(whole.replace(b"damaged", b"DAMAGED"))
    assert _texts(folder) == ["before", "after"]
    assert _texts(folder) == ["before", "after"]
    (aside,) = _set_aside(folder)
    assert aside.suffix == ".bad"
    assert b"DAMAGED" in aside.read_bytes()
    assert "damaged record" in caplog.text
    assert folder.contents().set_aside == 1


def test_a_file_that_is_none_of_ours_is_set_aside_whole(folder: SpoolFolder) -> None:
    folder.file(1).write_bytes(b"switchboard spool 9\n and what a later version writes")
    _spool(folder, "ours")
    assert _texts(folder) == ["ours"]
    assert [path.read_bytes()[:19] for path in _set_aside(folder)] == [b"switchboard spool 9"]


@pytest.mark.parametrize("held", [b"", HEADER[:7]])
def test_a_file_whose_writer_died_at_its_beginning_holds_nothing(folder: SpoolFolder, held: bytes) -> None:
    folder.file(1).write_bytes(held)
    _spool(folder, "ours")
    assert _texts(folder) == ["ours"]
    assert _set_aside(folder) == []


def _set_aside(folder: SpoolFolder) -> list[Path]:
    return [path for path in folder.path.iterdir() if path.suffix in (".bad", ".refused")]


def test_the_contents_are_counted(folder: SpoolFolder) -> None:
    assert folder.contents() == Contents()
    later = NOON.replace(year=2027)
    _spool(folder, "a", "b")
    folder.append([encode(message(), later)], begin=False)
    size = _newest(folder).stat().st_size
    assert folder.contents() == Contents(entries=3, bytes=size, oldest=NOON)
    assert folder.contents() == Contents(entries=3, bytes=size, oldest=NOON)
    folder.end()
    assert folder.contents() == Contents()
    folder.append([encode(message(), later)], begin=True)
    assert (folder.contents().entries, folder.contents().oldest) == (1, later)


# No room, no disk.


def test_a_spool_beyond_its_limit_takes_no_more_and_keeps_what_it_has(tmp_path: Path) -> None:
    folder = _opened(tmp_path, limit=1_000)
    _spool(folder, "taken")
    with pytest.raises(Unavailable, match="full"):
        _spool(folder, "x" * 2_000)
    _spool(folder, "small enough")
    assert _texts(folder) == ["taken", "small enough"]


def test_some_of_the_disk_is_left_to_others(tmp_path: Path) -> None:
    folder = _opened(tmp_path, kept_free=1 << 60)
    with pytest.raises(Unavailable, match="full"):
        _spool(folder, "a")


class Disk:
    """`os` with a disk that fails: writes stop half way, or a sync is refused."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._write = os.write
        self._fsync = os.fsync
        self.room: int | None = None  # bytes
        self.synced: Sequence[bool] = ()  # what becomes of the next syncs
        monkeypatch.setattr("core.spool.folder.os.write", self.write)
        monkeypatch.setattr("core.spool.folder.os.fsync", self.fsync)

    def write(self, handle: int, data: Any) -> int:
        if self.room is None:
            return self._write(handle, data)
        if self.room == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = self._write(handle, bytes(data)[: self.room])
        self.room -= written
        return written

    def fsync(self, handle: int) -> None:
        works, *self.synced = self.synced or (True,)
        if not works:
            raise OSError(errno.EIO, "Input/output error")
        self._fsync(handle)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


@pytest.mark.parametrize("room", [0, 5, 20, 100])
def test_a_disk_that_is_full_half_way_leaves_no_half_record(
    folder: SpoolFolder, disk: Disk, room: int
) -> None:
    _spool(folder, "first")
    disk.room = room
    with pytest.raises(OSError, match="No space"):
        _spool(folder, "second", "third")
    disk.room = None
    _spool(folder, "second again")
    assert _texts(folder) == ["first", "second again"]
    assert _set_aside(folder) == []


@pytest.mark.parametrize("room", [0, 5, 20, 100])
def test_a_disk_that_is_full_from_the_first_leaves_no_files(
    folder: SpoolFolder, disk: Disk, room: int
) -> None:
    disk.room = room
    for _ in range(3):
        with pytest.raises(OSError, match=r"No space|new file"):
            _spool(folder, "a")
    assert len(folder.files()) <= 1
    disk.room = None
    _spool(folder, "b")
    assert _texts(folder) == ["b"]


def test_a_file_that_could_not_be_synced_is_not_appended_to(tmp_path: Path, disk: Disk) -> None:
    one, other = _opened(tmp_path), _opened(tmp_path)
    _spool(one, "synced")
    _spool(other, "synced too")
    disk.synced = [False]
    with pytest.raises(OSError, match="Input/output"):
        _spool(one, "perhaps")
    distrusted = one.files()[0]
    size = one.file(distrusted).stat().st_size
    _spool(other, "other's next")
    _spool(one, "next")
    assert one.file(distrusted).stat().st_size == size
    assert len(one.files()) == 2
    # What was not acknowledged may be entered: its sender repeats it, and the log takes it once.
    assert _texts(one) == ["synced", "synced too", "perhaps", "other's next", "next"]


def test_a_folder_that_cannot_be_synced_acknowledges_nothing(folder: SpoolFolder, disk: Disk) -> None:
    disk.synced = [True, False]
    with pytest.raises(OSError, match="Input/output"):
        _spool(folder, "perhaps")
    _spool(folder, "next")
    assert _texts(folder) == ["perhaps", "next"]


def test_the_folder_is_synced_for_each_file_that_a_process_comes_upon(tmp_path: Path, disk: Disk) -> None:
    """Also for a file that another one began and may have died before it was synced."""
    _spool(_opened(tmp_path), "a")
    other = _opened(tmp_path)
    disk.synced = [True, False]
    with pytest.raises(OSError, match="Input/output"):
        _spool(other, "b")


def test_a_holder_that_is_frozen_is_not_waited_for_for_ever(
    folder: SpoolFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "_PATIENCE", 0.05)
    with folder.appending(), pytest.raises(Unavailable, match="holds the spool"):
        _spool(folder, "a")


def test_one_drains_at_a_time(tmp_path: Path) -> None:
    one, other = _opened(tmp_path), _opened(tmp_path)
    with one.draining() as first, other.draining() as second:
        assert (first, second) == (True, False)
    with other.draining() as then:
        assert then


def test_the_folder_and_its_files_are_for_the_hub_alone(folder: SpoolFolder) -> None:
    _spool(folder, str(uuid4()))
    assert folder.path.stat().st_mode & 0o777 == 0o700
    assert _newest(folder).stat().st_mode & 0o777 == 0o600


async def test_nothing_is_drained_before_the_process_is_ready(
    folder: SpoolFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.spool.draining._LOOKS_EVERY", 0.001)
    _spool(folder, "a", "b")
    asked, entered = asyncio.Event(), asyncio.Event()
    answers = iter([False, False])
    written: list[str] = []

    def is_ready() -> bool:
        answer = next(answers, True)
        asked.set()
        return answer

    async def write(entries: Sequence[Entry]) -> list[Accepted | Unavailable]:
        written.extend(entry.text for entry in entries)
        entered.set()
        return [Accepted(id=uuid4(), seq=1, is_new=True) for _ in entries]

    async with running(Drainer(folder, write, is_ready).run()), asyncio.timeout(10):
        await asked.wait()
        assert written == []
        await entered.wait()
        assert written == ["a", "b"]
