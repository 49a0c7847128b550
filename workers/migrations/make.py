"""Draft the next migration from what the tables' declarations say: `python -m workers.migrations.make MESSAGE`."""

import sys
import tempfile
from pathlib import Path

from alembic import command
from sqlalchemy import create_engine

from workers.migrations import newest, upgrade
from workers.migrations.environment import configuration


def make(message: str) -> str:
    """Write a draft into versions/ and return its path. Read and tidy it: it knows nothing of partitions or data."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "draft.db"
        upgrade(f"sqlite+aiosqlite:///{path}")
        engine = create_engine(f"sqlite:///{path}")
        number = f"{int(newest()) + 1:04}"
        with engine.connect() as connection:
            config = configuration(connection)
            config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
            script = command.revision(config, message, autogenerate=True, rev_id=number)
        engine.dispose()
    return "" if script is None or isinstance(script, list) else str(script.path)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit('Say in a few words what changes: python -m workers.migrations.make "cases have a deadline"')
    print(make(sys.argv[1]))
