"""The accounts in a file, so that a process that starts while the database is away can still check webhooks.

Configuration and the references of secrets, as the table holds them; never a secret.
"""

import os
import re
import secrets
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

import orjson

from core.errors import ConfigInvalid
from core.tables import AccountRow

_VERSION = 1
_REFERENCE = re.compile("(env|file|keep):.*")


def write(path: Path, rows: Iterable[AccountRow]) -> None:
    """Replace the file as a whole, readable by the hub's own user alone. Raises OSError."""
    content = orjson.dumps({"version": _VERSION, "accounts": [_shown(row) for row in rows]})
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise


def read(path: Path) -> list[AccountRow]:
    """The accounts as they were written last. Raises ConfigInvalid where there is no such file that can be read."""
    try:
        held = orjson.loads(path.read_bytes())
        if held["version"] != _VERSION:
            raise ConfigInvalid("The accounts' snapshot is another version's; start once with the database.")
        return [_row(shown) for shown in held["accounts"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigInvalid(
            "The accounts cannot be read from their snapshot; start once while the database is there.",
            file=str(path),
        ) from error


def _shown(row: AccountRow) -> dict[str, object]:
    return {
        "slug": row.slug,
        "provider": row.provider,
        "title": row.title,
        "config": row.config,
        # Somebody may have pasted a secret where its reference belongs.
        "secrets": {name: value for name, value in row.secrets.items() if _REFERENCE.fullmatch(value)},
        "is_enabled": row.is_enabled,
        "updated_at": row.updated_at.isoformat(),
    }


def _row(shown: dict[str, object]) -> AccountRow:
    return AccountRow.model_validate(
        {**shown, "updated_at": datetime.fromisoformat(str(shown["updated_at"]))}
    )
