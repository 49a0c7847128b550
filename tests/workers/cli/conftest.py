"""The command line in its own folder: run in this process, or a whole hub beside it."""

import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from workers.cli import main

ROOT = Path(__file__).parents[3]
TOBACCO = ROOT / "blueprints" / "tobacco"
PASSWORD = "seven green umbrellas"


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "data"
    monkeypatch.setenv("SWITCHBOARD_DATA", str(folder))
    monkeypatch.setenv("SWITCHBOARD_PORT", "0")
    monkeypatch.delenv("SWITCHBOARD_DATABASE", raising=False)
    return folder


@pytest.fixture
def run(data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run one command; `given` comes on its standard input."""

    def act(*words: str, given: str = "") -> Ran:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given.encode()), encoding="utf-8"))
        try:
            code = main(words)
        except SystemExit as misused:
            code = int(misused.code or 0)
        said = capsys.readouterr()
        return Ran(code, said.out, said.err)

    return act


@pytest.fixture
def with_administrator(run: Run) -> Run:
    assert run("users", "add", "--admin", "anna", given=PASSWORD).code == 0
    return run


@contextmanager
def serving(*words: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A hub of its own process, and the address that it says is open; stopped as an operator stops it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "workers.cli", *words],
        cwd=ROOT,
        env=dict(os.environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        address = next((line.split()[1] for line in lines if "Open http" in line), "")
        assert address, process.communicate()[1]
        yield process, address
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
