"""A small disk in memory, that can be filled and emptied: by mount, as root on Linux."""

import errno
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_SIZE = "160m"  # the spool leaves 64 MiB free
_BLOCK = bytes(64 * 1024)


@dataclass(frozen=True, slots=True)
class SmallDisk:
    path: Path

    @staticmethod
    def is_possible() -> bool:
        if os.geteuid() != 0:
            return False
        with tempfile.TemporaryDirectory() as folder:
            try:
                with SmallDisk.mounted(Path(folder) / "try"):
                    return True
            except subprocess.CalledProcessError:
                return False

    @classmethod
    @contextmanager
    def mounted(cls, path: Path) -> Iterator["SmallDisk"]:
        path.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "switchboard-chaos", str(path)]
        subprocess.run(mount, check=True, capture_output=True)
        try:
            disk = cls(path)
            disk.spool.mkdir()
            yield disk
        finally:
            # Lazily: a process that was killed may hold it for a moment yet.
            subprocess.run(["umount", "--lazy", str(path)], check=False, capture_output=True)

    @property
    def spool(self) -> Path:
        return self.path / "spool"

    def fill(self) -> None:
        """Leave no byte."""
        with self._ballast.open("ab", buffering=0) as file:
            for size in (len(_BLOCK), 4096, 512, 1):
                try:
                    while True:
                        file.write(_BLOCK[:size])
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise

    def empty(self) -> None:
        self._ballast.unlink(missing_ok=True)

    @property
    def _ballast(self) -> Path:
        return self.path / "ballast"
