"""Fills the empty database of a house: the blueprint, one line with its provider, shops, and people who look on.

Started as a process of its own, in the environment that all processes of the house get.
"""

import asyncio
import sys
from pathlib import Path

from core.settings import Settings
from tests.bench.world import World, make


def main() -> None:
    folder, provider, shops, consoles = Path(sys.argv[1]), *map(int, sys.argv[2:])
    # Alone: without Redis nobody else is told, and everything runs in this process until it is done.
    settings = Settings(redis="", log_level="WARNING")
    folder.mkdir(exist_ok=True)
    asyncio.run(make(folder, World(shops=shops, consoles=consoles), provider, settings))


if __name__ == "__main__":
    main()
