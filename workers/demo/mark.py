"""The mark that the demo leaves in its database: which story lies there, and whether it is whole."""

import asyncio
import json
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import select
from sqlmodel import col

from core.database import Database
from core.errors import Conflict
from core.log import reader
from core.settings import Settings
from core.tables import AccountRow, Setting
from workers.migrations import upgrade

SEED: Final = 20_260_923
WEEKS: Final = 6
_KEY: Final = "demo"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    seed: int
    weeks: int
    began: str  # the story's present, fixed by the first attempt to load it
    complete: bool = False

    @property
    def present(self) -> datetime:
        return datetime.fromisoformat(self.began)


async def is_loaded(settings: Settings) -> bool:
    """Whether the demo lies here, whole. Raises Conflict where other data lie."""
    path = settings.data / "switchboard.db"
    if settings.database_url.startswith("sqlite") and not await asyncio.to_thread(path.is_file):
        return False
    await asyncio.to_thread(upgrade, settings.database_url)
    db = Database(settings.database_url)
    try:
        mark = await found(db)
    finally:
        await db.close()
    return mark is not None and mark.complete


async def found(db: Database) -> Mark | None:
    """The mark; None in an empty database. Raises Conflict where other data lie."""
    async with db.read() as session:
        row = await session.get(Setting, _KEY)
        head = await reader.head(session)
        accounts = (await session.scalars(select(col(AccountRow.provider)))).all()
    if row is None and (head or accounts):
        raise Conflict(
            "Here lie other data than the demo's: name another folder in SWITCHBOARD_DATA, or run `switchboard up`."
        )
    return None if row is None else Mark(**json.loads(row.value))


async def leave(db: Database, mark: Mark) -> None:
    async with db.begin() as tx:
        await tx.session.merge(Setting(key=_KEY, value=json.dumps(asdict(mark))))
