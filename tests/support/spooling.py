"""A process that has no database and spools: `python -m tests.support.spooling FOLDER SENDER`, until it is killed."""

import asyncio
import sys
from pathlib import Path

from core.log.appenders import PostgresAppender
from core.log.writer import LogWriter
from core.spool.folder import SpoolFolder
from core.spool.taking import Spool
from core.values import Spooled
from tests.support.entries import message, running

_AWAY = "postgresql://switchboard@127.0.0.1:9/none"  # the discard port: nobody answers


async def spool_on(path: Path, sender: int) -> None:
    folder = SpoolFolder(path, kept_free=0)
    folder.open()
    spool = Spool(folder)
    writer = LogWriter(PostgresAppender(_AWAY), lambda: 1, spool=spool)
    async with running(spool.run()), running(writer.run()):
        number = 0
        while True:
            name = f"{sender}:{number}"
            assert await writer.receive(message(dedupe_key=name, text=name)) == Spooled()
            print(number, flush=True)
            number += 1


if __name__ == "__main__":
    asyncio.run(spool_on(Path(sys.argv[1]), int(sys.argv[2])))
