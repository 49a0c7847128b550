"""A network namespace with two lines to this machine, of which one can be cut: by iproute2, as root on Linux."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_NET = "10.213.77"  # of two lines: .1–.2 for all, .5–.6 for the database


class NetworkRefused(Exception):
    """The machine lets us make no namespace; the text is what it said."""


@dataclass(frozen=True, slots=True)
class Cut:
    name: str
    outside: str = f"{_NET}.1"
    inside: str = f"{_NET}.2"
    outside_database: str = f"{_NET}.5"
    inside_database: str = f"{_NET}.6"

    @staticmethod
    def is_possible() -> bool:
        """Whether a namespace can be made here: root, iproute2, and a kernel that allows it."""
        if os.geteuid() != 0 or shutil.which("ip") is None:
            return False
        name = f"sb-try-{os.getpid()}"
        try:
            _ip("netns", "add", name)
            _ip("netns", "delete", name)
        except NetworkRefused:
            return False
        return True

    @classmethod
    @contextmanager
    def made(cls) -> Iterator["Cut"]:
        cut = cls(f"sb{os.getpid() % 100000}")
        try:
            _ip("netns", "add", cut.name)
            cut._lay(f"{cut.name}a", cut.outside, cut.inside)
            cut._lay(f"{cut.name}d", cut.outside_database, cut.inside_database)
            cut._inside("link", "set", "lo", "up")
            yield cut
        finally:
            # The lines go with the namespace.
            subprocess.run(["ip", "netns", "delete", cut.name], check=False, capture_output=True)

    @property
    def prefix(self) -> tuple[str, ...]:
        """What a command begins with to run inside."""
        return ("ip", "netns", "exec", self.name)

    def cut(self) -> None:
        """Take the line to the database down; packets vanish, nobody is told."""
        _ip("link", "set", f"{self.name}d0", "down")

    def mend(self) -> None:
        _ip("link", "set", f"{self.name}d0", "up")

    def _lay(self, line: str, outside: str, inside: str) -> None:
        _ip("link", "add", f"{line}0", "type", "veth", "peer", "name", f"{line}1")
        _ip("link", "set", f"{line}1", "netns", self.name)
        _ip("address", "add", f"{outside}/30", "dev", f"{line}0")
        _ip("link", "set", f"{line}0", "up")
        self._inside("address", "add", f"{inside}/30", "dev", f"{line}1")
        self._inside("link", "set", f"{line}1", "up")

    def _inside(self, *words: str) -> None:
        _ip("-n", self.name, *words)


def _ip(*words: str) -> None:
    ran = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        raise NetworkRefused(f"ip {' '.join(words)}: {ran.stderr.strip()}")
