"""The hub's tables in an empty database, made as the program makes them: by its migrations."""

import asyncio

from core.database import Database
from workers.migrations import upgrade


async def create_schema(db: Database) -> None:
    await asyncio.to_thread(upgrade, db.url.render_as_string(hide_password=False))
