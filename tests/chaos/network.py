"""A network namespace with two lines to this machine, of which one can be cut: by iproute2, as root on Linux."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_PREFIX = "sbchaos"  # the process that made it follows


class NetworkRefused(Exception):
    """The machine lets us make no namespace; the text is what it said."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Two lines: by the one everything is reached but the database, by the other the database and nothing else."""

    name: str
    net: str

    @property
    def outside(self) -> str:
        return f"{self.net}.1"

    @property
    def inside(self) -> str:
        return f"{self.net}.2"

    @property
    def outside_database(self) -> str:
        return f"{self.net}.5"

    @property
    def inside_database(self) -> str:
        return f"{self.net}.6"

    @staticmethod
    def is_possible() -> bool:
        """Whether a namespace can be made here: root, iproute2, and a kernel that allows it."""
        if os.geteuid() != 0 or shutil.which("ip") is None:
            return False
        name = f"{_PREFIX}{os.getpid()}"
        try:
            _ip("netns", "add", name)
            _ip("netns", "delete", name)
        except NetworkRefused:
            return False
        return True

    @classmethod
    @contextmanager
    def made(cls) -> Iterator["Cut"]:
        _clear_away()
        pid = os.getpid()
        cut = cls(f"{_PREFIX}{pid}", f"10.213.{pid % 254 + 1}")
        try:
            _ip("netns", "add", cut.name)
            cut._lay(f"{cut._line}a", cut.outside, cut.inside)
            cut._lay(f"{cut._line}d", cut.outside_database, cut.inside_database)
            cut._inside("link", "set", "lo", "up")
            yield cut
        finally:
            # The lines go with the namespace.
            subprocess.run(["ip", "netns", "delete", cut.name], check=False, capture_output=True)

    @property
    def prefix(self) -> tuple[str, ...]:
        """What a command begins with to run inside."""
        return ("ip", "netns", "exec", self.name)

    @property
    def _line(self) -> str:
        return f"sb{self.name.removeprefix(_PREFIX)}"  # a line's name is short: 15 characters

    def cut(self) -> None:
        """Take the line to the database down; packets vanish, nobody is told."""
        _ip("link", "set", f"{self._line}d0", "down")

    def mend(self) -> None:
        _ip("link", "set", f"{self._line}d0", "up")

    def _lay(self, line: str, outside: str, inside: str) -> None:
        _ip("link", "add", f"{line}0", "type", "veth", "peer", "name", f"{line}1")
        _ip("link", "set", f"{line}1", "netns", self.name)
        _ip("address", "add", f"{outside}/30", "dev", f"{line}0")
        _ip("link", "set", f"{line}0", "up")
        self._inside("address", "add", f"{inside}/30", "dev", f"{line}1")
        self._inside("link", "set", f"{line}1", "up")

    def _inside(self, *words: str) -> None:
        _ip("-n", self.name, *words)


def _clear_away() -> None:
    """Namespaces of runs that were killed, which would answer to our addresses."""
    for line in _ip("netns", "list").splitlines():
        name = line.partition(" ")[0]
        if name.startswith(_PREFIX) and not os.path.exists(f"/proc/{name.removeprefix(_PREFIX)}"):
            _ip("netns", "delete", name)


def _ip(*words: str) -> str:
    ran = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        raise NetworkRefused(f"ip {' '.join(words)}: {ran.stderr.strip()}")
    return ran.stdout
