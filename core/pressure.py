"""Pressure: how busy the intake is, here and in other processes of a small machine, so that the rest makes room."""

import os
import time
from collections.abc import Callable

from core.bus import Bus, Topic

SAID_EVERY = 0.2  # seconds
_HOLDS = 3 * SAID_EVERY
_ENOUGH_CORES = 4
"""From so many on each process has a core: those that digest and send need not make room for the others."""


class Pressure:
    """Inbound entries a second. `own` is this process's rate; the others say theirs while it is high."""

    def __init__(self, own: Callable[[], float], bus: Bus) -> None:
        self._own = own
        self._bus = bus
        self._heard: dict[bytes, tuple[float, float]] = {}
        self._name = os.urandom(4)
        if (os.cpu_count() or 1) < _ENOUGH_CORES:
            bus.hear(Topic.PRESSURE, self._hear)

    def __call__(self) -> float:
        late = time.monotonic() - _HOLDS
        return self._own() + sum(rate for rate, at in self._heard.values() if at > late)

    def say(self, above: float) -> None:
        if (rate := self._own()) > above:
            self._bus.say(Topic.PRESSURE, self._name + str(int(rate)).encode())

    def _hear(self, payload: bytes) -> None:
        name, rate = payload[:4], payload[4:]
        if rate and name != self._name:
            self._heard[name] = float(rate), time.monotonic()
