"""Erasing a person from the command line: what they said is gone, what they reported stays, the log is whole."""

import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from tests.workers.cli.conftest import Run, serving

SHOP = "+8613900000001"


@pytest.fixture
def story(data: Path, loaded: Path, run: Run) -> Run:
    shutil.copytree(loaded, data)
    return run


def count(data: Path, query: str) -> int:
    with sqlite3.connect(data / "switchboard.db") as db:
        found = int(db.execute(query).fetchone()[0])
    db.close()
    return found


def test_a_person_is_erased_and_the_figures_and_the_chain_stay(story: Run, data: Path) -> None:
    figures = count(data, "SELECT count(*) FROM figure")
    ran = story("erase", SHOP, "--yes", "--reason", "asked for it")
    assert ran.code == 0, ran.err
    assert ran.out.startswith("Erased: ")
    assert count(data, f"SELECT count(*) FROM content WHERE address = '{SHOP}'") == 0
    assert count(data, "SELECT count(*) FROM party WHERE name = '顺发便民店'") == 0
    assert count(data, "SELECT count(*) FROM figure") == figures
    assert story("verify").code == 0
    assert story("erase", SHOP, "--yes").code == 1
    [line] = (data / "erasures.jsonl").read_text().splitlines()
    assert SHOP not in line


def test_an_erasure_is_applied_again_after_a_restore(story: Run, data: Path, loaded: Path) -> None:
    assert story("erase", SHOP, "--yes").code == 0
    for name in ("switchboard.db", "switchboard.db-wal", "switchboard.db-shm"):
        (data / name).unlink(missing_ok=True)
    shutil.copy(loaded / "switchboard.db", data / "switchboard.db")
    assert count(data, f"SELECT count(*) FROM content WHERE address = '{SHOP}'") > 0
    assert story("erase", "--reapply").out.startswith("1 persons")
    assert count(data, f"SELECT count(*) FROM content WHERE address = '{SHOP}'") == 0


def test_the_running_hub_erases_for_the_command_line(story: Run, data: Path) -> None:
    with serving("demo", "--no-traffic"):
        ran = story("erase", SHOP, "--yes")
    assert ran.code == 0, ran.err
    assert count(data, f"SELECT count(*) FROM content WHERE address = '{SHOP}'") == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["+8613900099999", "--yes"], "Nobody is known under +86139****9999"),
        (["00000000-0000-4000-8000-000000000000", "--yes"], "no such party"),
        (["nonsense at all", "--yes"], "number"),
        ([], "Name whom to erase"),
        ([SHOP], "--yes"),
    ],
)
def test_an_erasure_that_cannot_be_is_refused(story: Run, words: list[str], says: str) -> None:
    ran = story("erase", *words)
    assert ran.code == 1
    assert says in ran.err


def test_the_act_of_erasing_stands_in_the_log(story: Run) -> None:
    story("erase", SHOP, "--yes")
    told = [json.loads(line) for line in story("log", "tail", "-n", "3", "--json").out.splitlines()]
    assert "erase" in [entry["data"].get("act") for entry in told]
