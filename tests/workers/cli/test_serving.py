"""Commands beside a running hub, and how a hub starts and stops."""

import json
import os
import socket
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.workers.cli.conftest import PASSWORD, ROOT, TOBACCO, Run, serving
from workers.control import only_writer, socket_path


def opened(address: str) -> int:
    with urllib.request.urlopen(address, timeout=10) as answer:
        return int(answer.status)


def test_a_hub_without_an_administrator_says_how_to_make_one(data: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "workers.cli", "up"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 1
    assert "switchboard users add --admin LOGIN" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_commands_go_through_the_running_hub(with_administrator: Run, data: Path) -> None:
    run = with_administrator
    with serving("up") as (process, address):
        assert opened(f"{address}/healthz") == 200
        assert run("users", "add", "ben", "--role", "agent", given=PASSWORD).code == 0
        assert run("blueprint", "publish", str(TOBACCO)).code == 0
        assert run("accounts", "add", "line", "--provider", "sms.simulator", "--set", "number=10690000",
                   "--secret", "signing_key=keep:line").code == 0  # fmt: skip
        assert opened(f"{address}/readyz") == 200  # it knows of the blueprint without a restart
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(urllib.request.Request(f"{address}/hooks/line/message", data=b"{}"))
        assert refused.value.code == 403  # and of the account
        assert run("users", "add", "ben", given=PASSWORD).err.startswith("switchboard: This login is taken")
        assert stat.S_IMODE(socket_path(data).stat().st_mode) == 0o600
        acts = [json.loads(line)["data"]["act"] for line in run("log", "tail", "--json").out.splitlines()]
        assert acts == ["user.added", "user.added", "blueprint.published", "account.added"]
        process.terminate()
        assert process.wait(15) == 0
    assert not socket_path(data).exists()
    assert run("users", "password", "ben", given="another long secret").code == 0


def test_a_second_hub_in_the_same_folder_is_refused(with_administrator: Run) -> None:
    with serving("up"):
        ran = subprocess.run(
            [sys.executable, "-m", "workers.cli", "up"], cwd=ROOT, capture_output=True, text=True, check=False
        )
    assert ran.returncode == 1
    assert "Another Switchboard works in" in ran.stderr


def test_a_port_that_is_taken_is_told_before_anything_is_done(
    run: Run, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        monkeypatch.setenv("SWITCHBOARD_PORT", str(other.getsockname()[1]))
        for command in ("up", "demo"):
            ran = run(command)
            assert ran.code == 1
            assert "is taken" in ran.err
    assert not data.exists()


def test_a_hub_that_was_killed_leaves_a_folder_that_can_be_used(with_administrator: Run, data: Path) -> None:
    run = with_administrator
    with serving("up") as (process, _):
        process.kill()
        process.wait(15)
    assert socket_path(data).exists()
    assert run("users", "add", "ben", given=PASSWORD).code == 0
    with serving("up") as (_, address):
        assert opened(f"{address}/healthz") == 200


def test_while_another_process_writes_a_command_waits_its_turn_elsewhere(run: Run, data: Path) -> None:
    with only_writer(data):
        ran = run("users", "add", "--admin", "anna", given=PASSWORD)
    assert ran.code == 1
    assert "Another Switchboard works in" in ran.err


def test_a_folder_with_a_long_name_has_its_socket_elsewhere(tmp_path: Path) -> None:
    assert socket_path(tmp_path) == tmp_path.resolve() / "control.sock"
    long = tmp_path / ("x" * 120)
    assert len(os.fsencode(socket_path(long))) < 100
    assert socket_path(long) != socket_path(tmp_path / ("y" * 120))
