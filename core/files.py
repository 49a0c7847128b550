"""Stored files: bytes under their own digest, with a type that was looked up in them and not believed."""

import asyncio
import hashlib
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from sqlalchemy import func, select
from sqlmodel import col

from core.database import Tx
from core.errors import NotFound, PayloadTooLarge, Unavailable
from core.tables import File

_DIGEST = re.compile(r"[0-9a-f]{64}")
_LONGEST_NAME = 120
_UNSAFE_IN_NAMES = re.compile(r'[\x00-\x1f\x7f\ud800-\udfff/\\:*?"<>|\u202a-\u202e\u2066-\u2069]+')

UNKNOWN_TYPE = "application/octet-stream"

# What stands at the beginning of a file: (offset, bytes, type).
_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (8, b"WEBP", "image/webp"),
    (8, b"WAVE", "audio/wav"),
    (0, b"BM", "image/bmp"),
    (0, b"%PDF-", "application/pdf"),
    (0, b"OggS", "audio/ogg"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"\xff\xfb", "audio/mpeg"),
    (0, b"\xff\xf3", "audio/mpeg"),
    (0, b"#!AMR", "audio/amr"),
    (0, b"fLaC", "audio/flac"),
    (4, b"ftyp3g", "video/3gpp"),
    (4, b"ftypM4A", "audio/mp4"),
    (4, b"ftyp", "video/mp4"),
    (0, b"\x1a\x45\xdf\xa3", "video/webm"),
    (0, b"PK\x03\x04", "application/zip"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage"),
)

# Containers whose inside only the declared type names; none of these is shown in a browser.
_INSIDE = {
    "application/zip": (
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ),
    "application/x-ole-storage": (
        "application/msword",
        "application/vnd.ms-excel",
        "application/vnd.ms-powerpoint",
        "application/vnd.ms-outlook",
    ),
}

# What a browser may show in our pages; everything else is handed over as a download.
_SHOWN = frozenset(
    {
        "image/png",
        "image/jpeg",
        "image/gif",
        "image/webp",
        "image/bmp",
        "audio/wav",
        "audio/ogg",
        "audio/mpeg",
        "audio/amr",
        "audio/flac",
        "audio/mp4",
        "video/3gpp",
        "video/mp4",
        "video/webm",
        "text/plain",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    sha256: str
    size: int
    name: str
    content_type: str


def sniffed(data: bytes, declared_type: str = "") -> str:
    """The type that the bytes show; the declared one only chooses among what they allow."""
    declared = declared_type.partition(";")[0].strip().lower()
    for offset, magic, content_type in _MAGIC:
        if data.startswith(magic, offset):
            # RIFF files carry their kind at byte 8, which other files may hold by chance.
            if offset == 8 and not data.startswith(b"RIFF"):
                continue
            return declared if declared in _INSIDE.get(content_type, ()) else content_type
    if _is_plain_text(data):
        return "text/plain"
    return UNKNOWN_TYPE


def disposition(content_type: str) -> str:
    """`inline` for what is harmless in a page, `attachment` for the rest. Markup and scripts count as text here."""
    return "inline" if content_type in _SHOWN else "attachment"


def safe_name(name: str) -> str:
    """A file name that is only a name: no folders, no control or direction marks, not hidden, not endless."""
    plain = _UNSAFE_IN_NAMES.sub("_", name).strip(" ._")
    stem, dot, ending = plain.rpartition(".")
    if dot and len(ending) <= 10:
        plain = f"{stem[: _LONGEST_NAME - len(ending) - 1]}.{ending}"
    return plain[:_LONGEST_NAME] or "file"


class FileStore:
    """Keeps each content once, under its SHA-256, in `folder`. What `store` returned is on the disk."""

    def __init__(self, folder: Path, limit: int = 25 * 1024 * 1024) -> None:
        self._folder = folder
        self.limit = limit

    def path(self, sha256: str) -> Path:
        if not _DIGEST.fullmatch(sha256):
            raise NotFound("There is no such file.")
        return self._folder / sha256[:2] / sha256[2:4] / sha256

    async def store(self, data: bytes, declared_type: str, name: str) -> StoredFile:
        """Keep the bytes; the same bytes again change nothing. Raises PayloadTooLarge, Unavailable (disk)."""
        if len(data) > self.limit:
            raise PayloadTooLarge(
                f"The file is larger than {self.limit // 1_048_576} MiB; send a smaller one.", size=len(data)
            )
        sha256 = await asyncio.to_thread(self._write, data)
        return StoredFile(
            sha256=sha256, size=len(data), name=safe_name(name), content_type=sniffed(data, declared_type)
        )

    async def get(self, sha256: str) -> bytes:
        path = self.path(sha256)
        try:
            return await asyncio.to_thread(path.read_bytes)
        except FileNotFoundError as error:
            raise NotFound("The file is not there; it was erased or never arrived.") from error

    def delete(self, sha256: str) -> None:
        """Remove the bytes; when they are gone already, that is as well."""
        self.path(sha256).unlink(missing_ok=True)

    def _write(self, data: bytes) -> str:
        sha256 = hashlib.sha256(data).hexdigest()
        path = self.path(sha256)
        # A file of the right size was complete when it was renamed to its name.
        if path.exists() and path.stat().st_size == len(data):
            return sha256
        draft = self._folder / f".{secrets.token_hex(8)}.part"
        try:
            path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            draft.rename(path)
            for folder in (path.parent, path.parent.parent, self._folder):
                _sync_folder(folder)
        except OSError as error:
            raise Unavailable(
                "The file could not be kept; is the disk full?", reason=error.strerror
            ) from error
        finally:
            draft.unlink(missing_ok=True)
        return sha256


async def record(tx: Tx, seq: int, part: int, stored: StoredFile, *, id: UUID | None = None) -> File:
    """Note a stored file beside its entry, or fill the row `id` that was waiting for it."""
    row = await tx.session.get(File, id) if id is not None else None
    if row is None:
        row = File(seq=seq, part=part, name=stored.name, content_type=stored.content_type)
        row.id = id or row.id
        tx.session.add(row)
    row.name, row.content_type = stored.name, stored.content_type
    row.size, row.sha256, row.state, row.error = stored.size, stored.sha256, "stored", ""
    await tx.session.flush()
    return row


async def erase(tx: Tx, store: FileStore, seqs: list[int]) -> int:
    """Forget the files of these entries; bytes that no other entry holds are deleted after the commit."""
    rows = list(await tx.session.scalars(select(File).where(col(File.seq).in_(seqs))))
    digests = {row.sha256 for row in rows if row.sha256}
    for row in rows:
        row.name, row.sha256, row.size, row.state = "", "", 0, "erased"
    await tx.session.flush()
    for sha256 in sorted(digests):
        others = await tx.session.scalar(
            select(func.count()).select_from(File).where(col(File.sha256) == sha256)
        )
        if not others:
            tx.after_commit(lambda sha256=sha256: store.delete(sha256))  # type: ignore[misc]  # bound early
    return len(rows)


def _is_plain_text(data: bytes) -> bool:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return False
    return not any(char < " " and char not in "\t\n\r\f\v" for char in text)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
