"""A process whose clock can be moved while it runs, by libfaketime."""

from pathlib import Path
from typing import Final

_LIBRARIES: Final = tuple(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))


def faked(offset: str, path: Path) -> dict[str, str] | None:
    """The environment of a process that reads its clock's offset from `path`; None where libfaketime is missing.

    Only the clock on the wall moves: a step of the system's clock leaves the monotonic one alone as well.
    """
    if not _LIBRARIES:
        return None
    if offset:
        set_clock(path, offset)
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
