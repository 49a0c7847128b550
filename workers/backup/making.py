"""Making a backup of a working hub: the database first, then the files that it names, at last the ledger."""

import asyncio
import shutil
import tempfile
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

from core.errors import Unavailable
from core.files import FileStore
from core.keys import HubKey
from core.secrets import Secrets
from core.settings import Settings
from workers.backup.archive import LEDGER, ArchiveWriter, Manifest, writing
from workers.backup.copying import Copied, Told, copy_database


def target_of(named: Path, at: datetime) -> Path:
    """The file itself, or one in the named folder whose name says when it was made."""
    return named / f"switchboard-{at:%Y%m%dT%H%M%SZ}.tar" if named.is_dir() else named


async def make_backup(
    settings: Settings, target: Path, at: datetime, *, with_secrets: bool, told: Told
) -> Manifest:
    """Write the backup, whole or not at all. Beside it there must be room for one more copy of the database."""
    # The key that ledgers are written with is made now at the latest: an erasure after this backup uses the same.
    HubKey.of(Secrets(settings.data / "secrets"))
    workshop = await asyncio.to_thread(_workshop, target)
    try:
        copied = await copy_database(settings.database_url, workshop, told)
        return await asyncio.to_thread(_write, settings, copied, target, at, with_secrets, told)
    finally:
        await asyncio.to_thread(shutil.rmtree, workshop, True)


def _workshop(target: Path) -> Path:
    try:
        return Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise Unavailable(f"Nothing can be written into {target.parent}: {error.strerror}.") from error


def _write(
    settings: Settings, copied: Copied, target: Path, at: datetime, with_secrets: bool, told: Told
) -> Manifest:
    with writing(target) as archive:
        archive.add(copied.path, copied.name)
        missing = _add_files(archive, FileStore(settings.data / "files"), copied, told)
        if with_secrets:
            for path in sorted((settings.data / "secrets").glob("[a-z0-9]*")):
                archive.add(path, f"secrets/{path.name}")
        # After everything else: whoever was erased while we copied stands in it.
        ledger = settings.data / LEDGER
        if ledger.exists():
            archive.add(ledger, LEDGER)
        manifest = Manifest(
            made_at=at,
            version=version("switchboard"),
            revision=copied.revision,
            engine=copied.engine,
            engine_version=copied.engine_version,
            head=copied.head,
            chains=copied.chains,
            parts=tuple(archive.parts),
            files=archive.files,
            file_bytes=archive.file_bytes,
            missing_files=missing,
            has_secrets=with_secrets,
        )
        archive.finish(manifest)
    return manifest


def _add_files(archive: ArchiveWriter, store: FileStore, copied: Copied, told: Told) -> int:
    """The stored files that the copy names; returns how many are not there."""
    missing = 0
    for number, digest in enumerate(copied.files, 1):
        missing += not archive.add_file(store.path(digest), digest)
        told("Copying files", number, len(copied.files))
    return missing
