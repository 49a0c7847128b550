"""Where commands are carried out: by the running hub when there is one, else here, as the folder's only writer."""

import asyncio
import os
import pwd
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

from core.database import Database
from core.errors import NotFound
from core.settings import Settings
from workers.control import NotRunning, ask, only_writer


def carry_out(settings: Settings, command: str, args: dict[str, Any]) -> Any:
    return asyncio.run(_carry_out(settings, command, {**args, "os_user": _os_user()}))


def _os_user() -> str:
    """Who sits here, for the log: by the number, not by variables that anybody may set."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container's user often has no name
        return f"uid {os.getuid()}"


async def _carry_out(settings: Settings, command: str, args: dict[str, Any]) -> Any:
    try:
        return await ask(settings.data, command, args)
    except NotRunning:
        return await _here(settings, command, args)


async def _here(settings: Settings, command: str, args: dict[str, Any]) -> Any:
    from workers import commands
    from workers.assemble import assemble
    from workers.roles import WORKING, Role

    is_sqlite = settings.database_url.startswith("sqlite")
    with only_writer(settings.data) if is_sqlite else nullcontext():
        # In the grown size other processes digest; this one only looks how far they are.
        roles = frozenset[Role]() if settings.is_grown else WORKING
        async with assemble(settings, roles=roles) as hub:
            parts = [hub.bus.run(), hub.writer.run()]
            if command in commands.DIGESTING:
                parts = [*(consumer.run() for consumer in hub.consumers), *parts]
            tasks = [asyncio.create_task(part) for part in parts]
            try:
                return await commands.run(hub, command, args)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def looking(settings: Settings) -> AsyncIterator[Database]:
    """The database for reading, beside whoever writes. Raises NotFound where there is none."""
    url = settings.database_url
    if url.startswith("sqlite") and not await asyncio.to_thread(Path(url.partition(":///")[2]).is_file):
        raise NotFound(
            f"There are no data in {settings.data}; name their folder in SWITCHBOARD_DATA, or run `switchboard up`."
        )
    db = Database(url)
    try:
        yield db
    finally:
        await db.close()
