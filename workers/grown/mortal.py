"""Processes that do not outlive the one that started them, however that one ends."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def end_with_parent(how: signal.Signals = signal.SIGTERM) -> Callable[[], None] | None:
    """What a child does before it becomes another program (Linux only): ask to be told when its parent is gone.

    It is bound to the parent's thread, so start processes from the one that lives longest. A child that changes its
    user afterwards loses it; changing users before, as subprocess does, is fine.
    """
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    parent = os.getpid()

    def ask() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, how)
        if os.getppid() != parent:
            os._exit(1)  # it died before we asked

    return ask
