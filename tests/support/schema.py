"""The hub's tables in an empty database, as a migration would leave them."""

from sqlalchemy import text
from sqlmodel import SQLModel

import core.tables  # noqa: F401  # declares the base's tables
from core.database import Database


async def create_schema(db: Database) -> None:
    """Make every table that is declared so far; import the modules that declare others first."""
    async with db.engine.begin() as connection:
        await connection.run_sync(SQLModel.metadata.create_all)
        if not db.is_sqlite:
            await connection.execute(text("CREATE TABLE IF NOT EXISTS log_default PARTITION OF log DEFAULT"))
        await connection.execute(
            text("INSERT INTO log_head (id, seq) VALUES (1, 0) ON CONFLICT DO NOTHING"),
        )
