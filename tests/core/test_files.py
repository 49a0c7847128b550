"""Files are kept once, under their digest, with the type that their bytes show."""

import hashlib
from pathlib import Path

import pytest
from sqlalchemy import select

from core import files
from core.database import Database
from core.errors import NotFound, PayloadTooLarge, Unavailable
from core.files import FileStore, disposition, safe_name, sniffed
from core.tables import File

_PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 100


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "files", limit=10_000)


def _kept(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "files").rglob("*") if path.is_file()]


async def test_the_same_bytes_are_kept_once(store: FileStore, tmp_path: Path) -> None:
    first = await store.store(_PNG, "image/png", "shelf.png")
    second = await store.store(_PNG, "text/html", "other.png")
    assert first.sha256 == second.sha256 == hashlib.sha256(_PNG).hexdigest()
    assert (first.size, first.name, first.content_type) == (len(_PNG), "shelf.png", "image/png")
    assert [path.name for path in _kept(tmp_path)] == [first.sha256]
    assert await store.get(first.sha256) == _PNG


async def test_a_torn_file_is_written_anew(store: FileStore) -> None:
    kept = await store.store(_PNG, "", "x")
    store.path(kept.sha256).write_bytes(b"torn")
    await store.store(_PNG, "", "x")
    assert await store.get(kept.sha256) == _PNG


async def test_too_much_is_refused_before_it_is_written(store: FileStore, tmp_path: Path) -> None:
    with pytest.raises(PayloadTooLarge):
        await store.store(b"x" * 10_001, "", "x")
    assert _kept(tmp_path) == []


async def test_a_full_disk_says_so_and_leaves_nothing(
    store: FileStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("core.files.os.fsync", full)
    with pytest.raises(Unavailable, match="disk"):
        await store.store(_PNG, "", "x")
    assert _kept(tmp_path) == []


async def test_what_was_deleted_is_not_found(store: FileStore) -> None:
    kept = await store.store(_PNG, "", "x")
    store.delete(kept.sha256)
    store.delete(kept.sha256)
    with pytest.raises(NotFound):
        await store.get(kept.sha256)


@pytest.mark.parametrize("digest", ["", "../../etc/passwd", "A" * 64, "a" * 63])
def test_only_a_digest_is_a_place(store: FileStore, digest: str) -> None:
    with pytest.raises(NotFound):
        store.path(digest)


_XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


@pytest.mark.parametrize(
    ("data", "declared", "found", "shown"),
    [
        (_PNG, "text/html", "image/png", "inline"),
        (b"\xff\xd8\xff\xe0", "", "image/jpeg", "inline"),
        (b"RIFF1234WAVEfmt ", "", "audio/wav", "inline"),
        (b"12345678WEBP\xff", "", "application/octet-stream", "attachment"),
        (b"<html><script>alert(1)</script>", "text/html", "text/plain", "inline"),
        (b"<svg onload='alert(1)'/>", "image/svg+xml", "text/plain", "inline"),
        ("库存".encode(), "image/png", "text/plain", "inline"),
        (b"MZ\x90\x00", "image/png", "application/octet-stream", "attachment"),
        (b"%PDF-1.7", "", "application/pdf", "attachment"),
        (b"PK\x03\x04", _XLSX, _XLSX, "attachment"),
        (b"PK\x03\x04", "image/png", "application/zip", "attachment"),
        (b"\x00\x01\x02", "text/plain", "application/octet-stream", "attachment"),
        (b"a\x00b", "text/plain", "application/octet-stream", "attachment"),
    ],
)
def test_a_type_is_looked_up_and_not_believed(data: bytes, declared: str, found: str, shown: str) -> None:
    assert sniffed(data, declared) == found
    assert disposition(found) == shown


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("货架 1.jpg", "货架 1.jpg"),
        ("../../etc/passwd", "etc_passwd"),
        ("C:\\temp\\x.exe", "C_temp_x.exe"),
        ("a\u202egpj.exe", "a_gpj.exe"),
        (".htaccess", "htaccess"),
        ("", "file"),
        ("...", "file"),
        ("x" * 300 + ".jpg", "x" * 116 + ".jpg"),
        ("a\ud800.txt", "a_.txt"),
    ],
)
def test_a_name_is_only_a_name(given: str, kept: str) -> None:
    assert safe_name(given) == kept


async def test_rows_are_noted_or_filled(db: Database, store: FileStore) -> None:
    kept = await store.store(_PNG, "image/png", "shelf.png")
    async with db.begin() as tx:
        waiting = File(seq=7, part=1, name="?", content_type="?")
        tx.session.add(waiting)
        await tx.session.flush()
        filled = await files.record(tx, 7, 1, kept, id=waiting.id)
        noted = await files.record(tx, 8, 0, kept)
    assert filled.id == waiting.id
    async with db.read() as session:
        rows = list(await session.scalars(select(File).order_by(File.seq)))  # type: ignore[arg-type]  # a column
    assert [(row.id, row.seq, row.state, row.sha256) for row in rows] == [
        (waiting.id, 7, "stored", kept.sha256),
        (noted.id, 8, "stored", kept.sha256),
    ]


async def test_bytes_stay_while_another_entry_holds_them(db: Database, store: FileStore) -> None:
    kept = await store.store(_PNG, "image/png", "shelf.png")
    async with db.begin() as tx:
        await files.record(tx, 7, 0, kept)
        await files.record(tx, 8, 0, kept)
    async with db.begin() as tx:
        assert await files.erase(tx, store, [7]) == 1
    assert await store.get(kept.sha256) == _PNG
    async with db.begin() as tx:
        await files.erase(tx, store, [7, 8])
        assert store.path(kept.sha256).exists()
    assert not store.path(kept.sha256).exists()
    async with db.read() as session:
        rows = list(await session.scalars(select(File)))
    assert {(row.name, row.sha256, row.state) for row in rows} == {("", "", "erased")}
