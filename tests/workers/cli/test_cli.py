"""The command line as an operator types it: help, users, accounts, blueprints, and what it says when it refuses."""

import json
import subprocess
import sys
import time
from pathlib import Path
from shutil import copytree

import pytest

from tests.workers.cli.conftest import PASSWORD, ROOT, TOBACCO, Run

COMMANDS = [
    ["demo"],
    ["up"],
    ["migrate"],
    ["read", "sms"],
    *(["blueprint", each] for each in ("check", "publish", "diff", "rollback", "list")),
    *(["users", each] for each in ("add", "list", "disable", "password", "roles")),
    *(["accounts", each] for each in ("add", "list", "show", "disable", "test")),
    *(["outbox", each] for each in ("list", "retry", "discard")),
    ["erase"],
    ["log", "tail"],
    *([each] for each in ("replay", "verify", "backup", "restore", "move", "retention")),
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(run: Run, words: list[str]) -> None:
    ran = run(*words, "--help")
    assert ran.code == 0
    assert f"switchboard {' '.join(words)}" in ran.out


@pytest.mark.parametrize("words", [[], ["users"], ["log"]])
def test_a_command_that_is_not_complete_shows_what_can_follow(run: Run, words: list[str]) -> None:
    ran = run(*words)
    assert ran.code == 0
    assert "commands:" in ran.out


def test_help_needs_nothing_of_the_hub() -> None:
    code = (
        "import sys; from workers.cli import main\n"
        "try: main(['--help'])\n"
        "finally: print(sorted(n for n in sys.modules if n in ('sqlalchemy', 'aiohttp', 'pydantic', 'rich')))"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.stdout.rstrip().endswith("[]")


def test_a_word_that_is_no_command_is_misuse(run: Run) -> None:
    assert run("dance").code == 2


# Users.


def test_the_first_administrator_is_made_by_a_command(run: Run) -> None:
    ran = run("users", "add", "--admin", "Anna", "--name", "Anna Li", given=PASSWORD)
    assert (ran.code, ran.out) == (0, "anna can sign in; roles: admin.\n")
    [user] = json.loads(run("users", "list", "--json").out)
    assert (user["login"], user["name"], user["roles"]) == ("anna", "Anna Li", ["admin"])


def test_users_are_disabled_and_let_in_again(with_administrator: Run) -> None:
    run = with_administrator
    run("users", "add", "ben", "--role", "agent", given=PASSWORD)
    assert run("users", "disable", "ben").code == 0
    assert [user["login"] for user in json.loads(run("users", "list", "--json").out)] == ["anna"]
    assert "ben" in run("users", "list", "--all").out
    assert run("users", "disable", "ben", "--undo").code == 0
    assert run("users", "roles", "ben", "agent", "agent_lead").code == 0
    users = json.loads(run("users", "list", "--json").out)
    assert users[1]["roles"] == ["agent", "agent_lead"]


@pytest.mark.parametrize(
    ("words", "given", "says"),
    [
        (["users", "add", "ben"], "short", "at least 10 characters"),
        (["users", "add", "ben"], "", "No password came"),
        (["users", "add", "anna"], PASSWORD, "taken"),
        (["users", "add", "x y"], PASSWORD, "begins with a letter"),
        (["users", "password", "nobody"], PASSWORD, "no user nobody"),
        (["users", "disable", "anna"], "", "last administrator"),
    ],
)
def test_what_cannot_be_done_with_users_is_said_in_one_line(
    with_administrator: Run, words: list[str], given: str, says: str
) -> None:
    ran = with_administrator(*words, given=given)
    assert ran.code in (1, 2)
    assert says in ran.err
    assert "Traceback" not in ran.err


def test_a_role_that_the_blueprint_has_not_is_refused(with_administrator: Run) -> None:
    run = with_administrator
    assert run("blueprint", "publish", str(TOBACCO)).code == 0
    ran = run("users", "add", "ben", "--role", "wizard", given=PASSWORD)
    assert ran.code == 1
    assert "no role wizard" in ran.err
    assert "agent" in ran.err


def test_reading_where_there_is_nothing_says_where_it_looked(run: Run, data: Path) -> None:
    ran = run("users", "list")
    assert ran.code == 1
    assert str(data) in ran.err
    assert not data.exists()


# Accounts.

GATEWAY = ["accounts", "add", "line", "--provider", "sms.simulator", "--set", "number=10690000"]


def test_an_account_is_added_shown_tested_and_disabled(run: Run) -> None:
    ran = run(*GATEWAY, "--secret", "signing_key=keep:line", "--title", "Our line")
    assert ran.code == 0
    assert "/hooks/line/message" in ran.out
    shown = json.loads(run("accounts", "show", "line").out)
    assert shown["config"] == {"number": "10690000"}
    assert shown["secrets"] == {"signing_key": "keep:line"}
    assert run("accounts", "test", "line").code == 0
    assert run("accounts", "disable", "line").code == 0
    assert json.loads(run("accounts", "list", "--json").out)[0]["enabled"] is False
    ran = run("accounts", "test", "line")
    assert ran.code == 1
    assert "disabled" in ran.err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--secret", "signing_key=hunter2hunter2"], "env:NAME"),
        (["--secret", "signing_key"], "NAME=VALUE"),
        ([], "signing_key: is missing"),
        (["--secret", "signing_key=env:SWITCHBOARD_NOT_SET"], "SWITCHBOARD_NOT_SET is not set"),
        (["--config", "/nowhere/at/all.json"], "cannot be read"),
    ],
)
def test_an_account_that_could_not_work_is_not_added(run: Run, words: list[str], says: str) -> None:
    ran = run(*GATEWAY, *words)
    assert ran.code == 1
    assert says in ran.err
    assert "hunter2" not in ran.err


def test_a_provider_that_is_not_in_the_catalog_is_refused_with_those_that_are(run: Run) -> None:
    ran = run("accounts", "add", "line", "--provider", "sms.pigeon")
    assert ran.code == 1
    assert "sms.simulator" in ran.err


def test_the_demo_account_and_a_real_one_do_not_meet(run: Run, tmp_path: Path) -> None:
    assert run(*GATEWAY, "--secret", "signing_key=keep:line").code == 0
    ran = run("demo", "--seed-only")
    assert ran.code == 1
    assert "SWITCHBOARD_DATA" in ran.err


# Blueprints.


def changed(folder: Path) -> Path:
    """The default blueprint with one number changed."""
    copytree(TOBACCO, folder)
    form = folder / "info" / "weekly_terminal.yaml"
    text = form.read_text(encoding="utf-8")
    assert "confirm_above: 600" in text
    form.write_text(text.replace("confirm_above: 600", "confirm_above: 900"), encoding="utf-8")
    return folder


def test_a_blueprint_is_published_compared_and_rolled_back(run: Run, tmp_path: Path) -> None:
    other = changed(tmp_path / "other")
    assert "Version 1 is in force" in run("blueprint", "publish", str(TOBACCO), "--note", "first").out
    assert "says the same" in run("blueprint", "diff", str(TOBACCO)).out
    ran = run("blueprint", "diff", str(other))
    assert "600" in ran.out
    assert "900" in ran.out
    assert run("blueprint", "publish", str(other), "--author", "ben", "--approved-by", "anna").code == 0
    assert run("blueprint", "rollback", "1").code == 0
    listed = json.loads(run("blueprint", "list", "--json").out)
    assert [each["version"] for each in listed] == [3, 2, 1]
    assert listed[0]["hash"] == listed[2]["hash"]
    assert listed[1]["approved_by"] == "anna"


def test_what_is_in_force_is_not_published_twice(run: Run) -> None:
    run("blueprint", "publish", str(TOBACCO))
    ran = run("blueprint", "publish", str(TOBACCO))
    assert ran.code == 1
    assert "already in force" in ran.err


def test_nobody_approves_their_own_blueprint(run: Run) -> None:
    ran = run("blueprint", "publish", str(TOBACCO), "--author", "ben", "--approved-by", "ben")
    assert ran.code == 1
    assert "second person" in ran.err


def test_a_blueprint_with_problems_is_told_with_place_and_reason(run: Run, tmp_path: Path) -> None:
    folder = changed(tmp_path / "other")
    form = folder / "info" / "weekly_terminal.yaml"
    form.write_text(form.read_text(encoding="utf-8").replace("unit: 条 ", "unit: 桶 "), encoding="utf-8")
    ran = run("blueprint", "check", str(folder))
    assert ran.code == 3
    assert "info/weekly_terminal.yaml:" in ran.out
    assert run("blueprint", "publish", str(folder)).code == 1
    assert json.loads(run("blueprint", "check", str(folder), "--json").out)["problems"]


def test_a_sound_blueprint_is_said_to_be_so(run: Run) -> None:
    assert run("blueprint", "check", str(TOBACCO)).code == 0


# Reading, migrating.


def test_messages_are_read_as_the_hub_reads_them(run: Run, tmp_path: Path) -> None:
    fixture = tmp_path / "fixture.json"
    fixture.write_text(
        json.dumps(
            {
                "now": "2026-09-23T10:15:00+08:00",
                "form": {"id": "weekly_terminal"},
                "senders": {"+8613900000001": {"retailer": "R-1"}},
                "products": [{"sku": "101", "name": "楚岚(硬)", "alias": ["楚岚硬"], "guide_pack": 10.0}],
            }
        )
    )
    lines = '{"id": "a", "text": "KC 101 3", "ctx": {}}\n\nnonsense\n'
    ran = run("read", "sms", "--fixture", str(fixture), given=lines)
    first, second = [json.loads(line) for line in ran.out.splitlines()]
    assert first["id"] == "a"
    assert first["expect"]["items"] == [{"sku": "101", "stock_packs": 30}]
    assert "JSON" in second["error"]["reason"]
    assert ran.code == 3


@pytest.mark.parametrize(("content", "says"), [("{", "JSON"), ("{}", "lacks")])
def test_a_fixture_that_does_not_fit_is_told(run: Run, tmp_path: Path, content: str, says: str) -> None:
    fixture = tmp_path / "fixture.json"
    fixture.write_text(content)
    ran = run("read", "sms", "--fixture", str(fixture))
    assert ran.code == 1
    assert says in ran.err


def test_migrate_makes_the_database_and_a_second_time_changes_nothing(run: Run, data: Path) -> None:
    first, second = run("migrate"), run("migrate")
    assert (first.code, second.code) == (0, 0)
    assert first.out == second.out
    assert (data / "switchboard.db").is_file()


def test_settings_that_do_not_fit_are_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWITCHBOARD_PORT", "eighty")
    ran = run("users", "list")
    assert ran.code == 1
    assert "SWITCHBOARD_PORT" in ran.err


def test_help_comes_at_once() -> None:
    subprocess.run([sys.executable, "-m", "workers.cli", "--help"], cwd=ROOT, capture_output=True, check=True)
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "workers.cli", "--help"], cwd=ROOT, capture_output=True, check=True)
    assert time.perf_counter() - started < 2  # 0.06 s on an idle machine; this one may be busy
