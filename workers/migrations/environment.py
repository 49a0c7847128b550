"""Alembic's configuration, made by the program instead of an ini file."""

from typing import Any, Literal

from alembic.autogenerate.api import AutogenContext
from alembic.config import Config
from sqlalchemy import JSON
from sqlmodel import SQLModel

import core.tables  # noqa: F401  # declares the base's tables
import crm.tables  # noqa: F401  # declares the CRM's
from core.columns import Big, Id, Instant
from workers.migrations import FOLDER

METADATA = SQLModel.metadata


def configuration(connection: Any) -> Config:
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def render_item(kind: str, item: Any, context: AutogenContext) -> str | Literal[False]:
    """Our own column types by their names, so that a migration says `Instant()` and not what SQLite makes of it."""
    if kind != "type":
        return False
    if isinstance(item, Id | Instant):
        context.imports.add(f"from core.columns import {type(item).__name__}")
        return f"{type(item).__name__}()"
    if isinstance(item, JSON):
        context.imports.add("from core.columns import Json")
        return "Json"
    if item is Big:
        context.imports.add("from core.columns import Big")
        return "Big"
    return False
