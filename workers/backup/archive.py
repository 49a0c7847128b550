"""A backup's file: a plain tar of the parts and, at its end, the manifest that says what must be in it."""

import hashlib
import io
import os
import re
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from core.errors import BadInput, Conflict, Unavailable

MANIFEST = "manifest.json"
LEDGER = "erasures.jsonl"
SQLITE = "database.sqlite"
POSTGRES = "database.dump"  # as pg_dump --format=custom writes it

_BLOCK = 1024 * 1024
# Whatever else stands in a tar, it is not ours to unpack.
_KNOWN = re.compile(
    rf"{re.escape(SQLITE)}|{re.escape(POSTGRES)}|{re.escape(LEDGER)}|secrets/[a-z0-9][a-z0-9._-]{{0,63}}"
    r"|files/[0-9a-f]{2}/[0-9a-f]{2}/(?P<digest>[0-9a-f]{64})"
)


class Part(BaseModel):
    model_config = ConfigDict(frozen=True)

    name: str
    size: int
    sha256: str


class ChainEnd(BaseModel):
    """An account's newest seal at the backup's time: the restored log must still contain it."""

    model_config = ConfigDict(frozen=True)

    account: str
    number: int
    last_seq: int
    hash: str


class Manifest(BaseModel):
    """What the backup holds. Files are named by their own digest, so they are only counted here."""

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    made_at: datetime
    version: str  # of the program
    revision: str  # of the tables
    engine: Literal["sqlite", "postgresql"]
    engine_version: str
    head: int
    chains: tuple[ChainEnd, ...]
    parts: tuple[Part, ...]
    files: int
    file_bytes: int
    missing_files: int  # named by the database and not there: erased meanwhile, or lost before
    has_secrets: bool


class ArchiveWriter:
    """Adds parts to an open archive, and remembers what they were."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self.parts: list[Part] = []
        self.files = 0
        self.file_bytes = 0

    def add(self, path: Path, name: str) -> None:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            hashed = _Hashed(file)
            self._tar.addfile(_member(name, size), hashed)
        self.parts.append(Part(name=name, size=size, sha256=hashed.hexdigest()))

    def add_file(self, path: Path, digest: str) -> bool:
        """One of the file store's; says whether it is there."""
        try:
            file = path.open("rb")
        except FileNotFoundError:
            return False
        with file:
            size = os.fstat(file.fileno()).st_size
            self._tar.addfile(_member(f"files/{digest[:2]}/{digest[2:4]}/{digest}", size), file)
        self.files += 1
        self.file_bytes += size
        return True

    def finish(self, manifest: Manifest) -> None:
        document = manifest.model_dump_json(indent=2).encode()
        self._tar.addfile(_member(MANIFEST, len(document)), io.BytesIO(document))


class _Hashed:
    """A file that is digested while it is read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._digest.update(data)
        return data

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


@contextmanager
def writing(target: Path) -> Iterator[ArchiveWriter]:
    """An archive that has its name only once it is whole and on the disk. Only we may read it: secrets lie in it."""
    if target.exists():
        raise Conflict(f"{target} exists already; name another file, or a folder.")
    draft = target.with_name(f".{target.name}.part")
    try:
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as file:
            with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
                yield ArchiveWriter(tar)
            file.flush()
            os.fsync(file.fileno())
        draft.rename(target)
        _sync(target.parent)
    except OSError as error:
        raise Unavailable(f"{target} could not be written: {error.strerror or error}.") from error
    finally:
        draft.unlink(missing_ok=True)


def read_manifest(source: Path) -> Manifest:
    """What a backup says of itself; its parts are checked by `unpack`. Raises BadInput for what is no backup."""
    with _opened(source, "r:") as tar:
        member = next((each for each in tar if each.name == MANIFEST), None)
        content = tar.extractfile(member) if member is not None else None
        if content is None:
            raise BadInput(
                f"{source} is not a whole backup: its manifest, which is written last, is missing."
            )
        return _manifest(source, content.read())


def unpack(source: Path, folder: Path) -> Manifest:
    """Write the parts into an empty folder and check each. Raises BadInput where one is damaged or missing."""
    found: dict[str, Part] = {}
    files = file_bytes = 0
    manifest = None
    with _opened(source, "r|") as tar:
        for member in tar:
            content = tar.extractfile(member) if member.isfile() else None
            known = _KNOWN.fullmatch(member.name)
            if content is not None and member.name == MANIFEST:
                manifest = _manifest(source, content.read())
            elif content is None or known is None:
                raise BadInput(f"{source} holds {member.name!r}, which no backup of ours does.")
            else:
                part = _write(content, member.name, folder / member.name)
                if known["digest"] is None:
                    found[part.name] = part
                    continue
                if part.sha256 != known["digest"]:
                    raise BadInput(f"{source} is damaged: {part.name} is not the file that was stored.")
                files, file_bytes = files + 1, file_bytes + part.size
    if manifest is None:
        raise BadInput(f"{source} is not a whole backup: its manifest, which is written last, is missing.")
    wrong = [part.name for part in manifest.parts if found.get(part.name) != part]
    if (files, file_bytes) != (manifest.files, manifest.file_bytes):
        wrong.append(f"files ({files} of {manifest.files})")
    if wrong:
        raise BadInput(f"{source} is damaged: {', '.join(wrong)}. Use another backup.")
    return manifest


@contextmanager
def _opened(source: Path, mode: Literal["r:", "r|"]) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(source, mode=mode) as tar:
            yield tar
    except FileNotFoundError as error:
        raise BadInput(f"There is no file {source}.") from error
    except (tarfile.TarError, EOFError) as error:
        raise BadInput(f"{source} is no backup, or only a piece of one: {error}.") from error


def _manifest(source: Path, document: bytes) -> Manifest:
    try:
        return Manifest.model_validate_json(document)
    except ValidationError as error:
        raise BadInput(
            f"The manifest of {source} is of another version of Switchboard, or damaged."
        ) from error


def _write(content: IO[bytes], name: str, path: Path) -> Part:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    hashed = _Hashed(content)
    size = 0
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        while block := hashed.read(_BLOCK):
            file.write(block)
            size += len(block)
    return Part(name=name, size=size, sha256=hashed.hexdigest())


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o600
    member.mtime = int(datetime.now(UTC).timestamp())
    return member


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
