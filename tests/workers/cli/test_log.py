"""Looking into the log from the command line: its end, whether it is whole, and what a replay would change."""

import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from tests.workers.cli.conftest import Run
from tests.workers.cli.test_cli import changed


@pytest.fixture
def story(data: Path, loaded: Path, run: Run) -> Run:
    """Commands in the folder of a loaded demo."""
    shutil.copytree(loaded, data)
    return run


def test_the_newest_entries_are_printed_with_their_numbers_masked(story: Run) -> None:
    ran = story("log", "tail", "-n", "40")
    assert ran.code == 0
    assert len(ran.out.splitlines()) == 40
    assert "+86139****" in ran.out
    assert "+86139000" not in ran.out


def test_numbers_within_texts_are_masked_too(story: Run) -> None:
    assert "429901100033" not in story("log", "tail", "-n", "400").out
    assert "429901100033" in story("log", "tail", "-n", "400", "--reveal").out


def test_whole_numbers_are_printed_when_asked_for(story: Run) -> None:
    first = json.loads(story("log", "tail", "-n", "5", "--json", "--reveal").out.splitlines()[0])
    assert first["address"].startswith("tel:+86139000")


def test_a_log_that_is_whole_is_said_to_be(story: Run) -> None:
    ran = story("verify")
    assert ran.code == 0
    assert "The log is whole." in ran.out


def test_a_log_that_was_tampered_with_is_found_out(story: Run, data: Path) -> None:
    with sqlite3.connect(data / "switchboard.db") as db:
        db.execute("UPDATE content SET text = 'KC 101 99' WHERE seq = 400")
    db.close()
    ran = story("verify", "--json")
    assert ran.code == 3
    assert [(each["seq"], each["code"]) for each in json.loads(ran.out)["problems"]] == [
        (400, "content_altered")
    ]


def test_a_replay_with_what_is_in_force_changes_nothing(story: Run) -> None:
    ran = story("replay", "--dry-run")
    assert "says what stands now" in ran.out
    assert ran.code == 0


def test_a_replay_shows_what_another_blueprint_would_change(story: Run, tmp_path: Path, data: Path) -> None:
    draft = changed(tmp_path / "draft")
    form = draft / "info" / "weekly_terminal.yaml"
    form.write_text(
        form.read_text(encoding="utf-8").replace("confirm_above: 900", "confirm_above: 90"), encoding="utf-8"
    )
    before = (data / "switchboard.db").read_bytes()
    ran = story("replay", "--dry-run", "--blueprint", str(draft), "--json")
    assert ran.code == 3
    found = {each["kind"]: each for each in json.loads(ran.out)["differences"]}
    assert found["readings"]["changed"] > 10
    assert len(found["readings"]["first"]) == 20
    assert found["cases"]["changed"] == 0
    assert (data / "switchboard.db").read_bytes() == before


def test_a_replay_is_only_ever_a_trial(story: Run) -> None:
    assert story("replay").code == 2


def test_a_providers_list_is_compared_with_the_log(story: Run, data: Path, tmp_path: Path) -> None:
    with sqlite3.connect(data / "switchboard.db") as db:
        [(account,)] = db.execute("SELECT DISTINCT account FROM log WHERE kind = 'message'")
        ids = db.execute(
            "SELECT external_id FROM log WHERE direction = 'in' AND kind = 'message' LIMIT 5"
        ).fetchall()
    db.close()
    listed = tmp_path / "list.csv"
    listed.write_text("id,direction\n" + "".join(f"{id},inbound\n" for (id,) in ids))
    ran = story("verify", "--against", str(listed), "--account", account)
    assert (ran.code, ran.out) == (0, "offered 5, in the log 5, unaccounted: 0\n")
    with listed.open("a") as file:
        file.write("never-arrived,inbound\n")
    ran = story("verify", "--against", str(listed), "--account", account, "--json")
    assert ran.code == 3
    assert json.loads(ran.out)["missing"] == ["never-arrived"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--against", "x.csv"], "say both"),
        (["--against", "/nowhere/x.csv", "--account", "a"], "cannot be read"),
        (["--against", __file__, "--account", "a"], "no column"),
    ],
)
def test_a_comparison_that_cannot_be_made_says_why(story: Run, words: list[str], says: str) -> None:
    ran = story("verify", *words)
    assert ran.code == 1
    assert says in ran.err


def test_retention_is_shown_before_it_is_applied(story: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "names no kind" in story("retention", "--dry-run").out
    monkeypatch.setenv("SWITCHBOARD_RETENTION", '{"message": 1}')
    ran = story("retention", "--apply", "--json")
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["entries"] == {"message": 0}
    monkeypatch.setenv("SWITCHBOARD_RETENTION", '{"gossip": 1}')
    ran = story("retention", "--dry-run")
    assert ran.code == 1
    assert "SWITCHBOARD_RETENTION" in ran.err
