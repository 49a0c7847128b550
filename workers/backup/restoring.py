"""Restoring: a backup is unpacked and checked beside the data, brought up to date, and only then put in their place."""

import asyncio
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy.engine import make_url

from core.erasure import LedgerEntry, append_ledger, read_ledger
from core.errors import BadInput, ConfigInvalid, Conflict
from core.settings import Settings
from workers.backup import postgres_restore
from workers.backup.archive import LEDGER, POSTGRES, SQLITE, Manifest, read_manifest, unpack
from workers.backup.copying import Told
from workers.backup.settling import Settled, settle
from workers.migrations import newest

_STAGE = ".restoring"
_NAME = "switchboard.db"


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What was put in place. `aside` is where the data lie that were there before."""

    manifest: Manifest
    settled: Settled
    aside: str


def check(file: Path, settings: Settings, *, replace: bool) -> Manifest:
    """What the backup says of itself. Raises BadInput or Conflict where it cannot be restored here."""
    manifest = read_manifest(file)
    engine = "sqlite" if _is_sqlite(settings) else "postgresql"
    if manifest.engine != engine:
        raise BadInput(
            f"This is a backup of {manifest.engine}, and SWITCHBOARD_DATABASE names {engine}: restore it on its own"
            " engine; `switchboard move` brings SQLite to PostgreSQL afterwards."
        )
    if int(manifest.revision) > int(newest()):
        raise BadInput(
            f"The backup was made by a newer Switchboard ({manifest.version}, tables of revision {manifest.revision});"
            " install that version first."
        )
    if not replace and (lying := _lying_there(settings)):
        raise Conflict(
            f"{settings.data} is not empty ({', '.join(lying)}): name another folder in SWITCHBOARD_DATA, or set"
            " aside what lies there with --replace."
        )
    return manifest


async def restore(
    file: Path, settings: Settings, at: datetime, *, replace: bool, ledgers: Sequence[Path], told: Told
) -> Restored:
    """Restore into a folder whose lock the caller holds; nothing in place is touched before all parts are checked.

    Whom the backup's ledger, the folder's own or one of `ledgers` names is erased again before anything is shown.
    """
    stage = settings.data / _STAGE
    try:
        manifest = await asyncio.to_thread(_staged, file, stage, settings, replace, ledgers, told)
        mark = f"{at:%Y%m%dT%H%M%SZ}"
        aside = ""
        if not _is_sqlite(settings):
            aside = await postgres_restore.load(
                settings.database_url, stage / POSTGRES, manifest, mark, replace
            )
            (stage / POSTGRES).unlink()
        settled = await settle(_on_stage(settings, stage), manifest, told)
        moved = await asyncio.to_thread(_put_in_place, stage, settings, mark)
        return Restored(manifest=manifest, settled=settled, aside=" and ".join(filter(None, (aside, moved))))
    finally:
        await asyncio.to_thread(shutil.rmtree, stage, True)


def _is_sqlite(settings: Settings) -> bool:
    return settings.database_url.startswith("sqlite")


def _database_file(settings: Settings) -> Path | None:
    return Path(make_url(settings.database_url).database or "") if _is_sqlite(settings) else None


def _lying_there(settings: Settings) -> list[str]:
    """What a restore would write over. Secrets and a ledger may wait there already."""
    database, files = _database_file(settings), settings.data / "files"
    found = [database] if database is not None and database.exists() else []
    return [path.name for path in (*found, *([files] if files.is_dir() and any(files.iterdir()) else []))]


# The stage: a data folder in the making.


def _staged(
    file: Path, stage: Path, settings: Settings, replace: bool, ledgers: Sequence[Path], told: Told
) -> Manifest:
    shutil.rmtree(stage, ignore_errors=True)
    stage.mkdir(mode=0o700)
    told("Checking the backup", 0, 1)
    manifest = unpack(file, stage)
    told("Checking the backup", 1, 1)
    if manifest.engine == "sqlite":
        (stage / SQLITE).rename(stage / _NAME)
    _bring_secrets(stage / "secrets", settings.data / "secrets", replace)
    named = [stage / LEDGER, settings.data / LEDGER, *ledgers]
    entries = _united([read_ledger(path) for path in named])
    if entries and not (stage / "secrets" / "hub").exists():
        raise ConfigInvalid(
            "The hub's key is neither in the backup nor in place, and without it nobody can tell whom the ledger of"
            f" erasures means: put the kept secrets into {settings.data / 'secrets'}, then restore again."
        )
    (stage / LEDGER).unlink(missing_ok=True)
    for entry in entries:
        append_ledger(stage / LEDGER, entry)
    os.sync()
    return manifest


def _bring_secrets(stage: Path, present: Path, replace: bool) -> None:
    """Secrets that wait in place and are not in the backup come along. Raises Conflict where two differ."""
    stage.mkdir(mode=0o700, exist_ok=True)
    for path in sorted(present.glob("[a-z0-9]*")):
        restored = stage / path.name
        if not restored.exists():
            shutil.copy2(path, restored)
        elif restored.read_bytes() != path.read_bytes() and not replace:
            raise Conflict(
                f"{path} is another secret than the backup's: take away the wrong one, or restore with --replace."
            )


def _united(ledgers: Sequence[Sequence[LedgerEntry]]) -> list[LedgerEntry]:
    entries = dict.fromkeys(entry for ledger in ledgers for entry in ledger)
    return sorted(entries, key=lambda entry: entry.at)


def _on_stage(settings: Settings, stage: Path) -> Settings:
    """The settings of a hub that works on the stage alone: no other process hears of it."""
    database = f"sqlite+aiosqlite:///{stage / _NAME}" if _is_sqlite(settings) else settings.database
    return settings.model_copy(update={"data": stage, "database": database, "redis": "", "spool": None})


# In place.


def _put_in_place(stage: Path, settings: Settings, mark: str) -> str:
    """Set aside what is there, then rename everything; returns where the old data lie."""
    aside = settings.data / f"replaced-{mark}"
    moves = [(stage / name, settings.data / name) for name in ("files", "secrets")]
    database = _database_file(settings)
    if database is not None:
        # The log first: beside another database it would be read as its own.
        moves = [
            *((stage / f"{_NAME}{end}", Path(f"{database}{end}")) for end in ("-wal", "-shm", "")),
            *moves,
        ]
    for source, target in moves:
        if target.exists():
            aside.mkdir(mode=0o700, exist_ok=True)
            shutil.move(target, aside / target.name)
        if source.exists():
            shutil.move(source, target)
    # The ledger only grows; the one that was here is part of it.
    if (stage / LEDGER).exists():
        os.replace(stage / LEDGER, settings.data / LEDGER)
    os.sync()
    return str(aside) if aside.exists() else ""
