"""A process whose clock can be moved while it runs, by libfaketime."""

from pathlib import Path
from typing import Final

_LIBRARIES: Final = tuple(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))


def can_be_faked() -> bool:
    """Whether libfaketime is installed."""
    return bool(_LIBRARIES)


def faked(path: Path) -> dict[str, str]:
    """The environment of a process that reads its clock's offset from `path`.

    Only the clock on the wall moves: a step of the system's clock leaves the monotonic one alone as well.
    """
    set_clock(path, "+0")
    return {
        "LD_PRELOAD": str(_LIBRARIES[0]),
        "FAKETIME_TIMESTAMP_FILE": str(path),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }


def set_clock(path: Path, offset: str) -> None:
    """`offset` such as "+3600" or "-3600", in seconds; the process follows within a second."""
    draft = path.with_suffix(".draft")
    draft.write_text(offset)
    draft.rename(path)
