"""All processes on one machine: who listens where, what each is told, and what is left alone."""

import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.errors import ConfigInvalid
from tests.conftest import skip_unless_ci
from workers.grown.__main__ import throw_away
from workers.grown.machine import PROCESSES, Machine, commands, prepare
from workers.grown.postgres import OURSELVES, PostgresMissing, RunsAs, find_programs
from workers.processes import Keeps, Secret


@pytest.fixture
def machine() -> Iterator[Machine]:
    try:
        find_programs()
    except PostgresMissing as missing:
        skip_unless_ci(missing)
    # Not below pytest's own folder, which is closed to the user that PostgreSQL runs as.
    with tempfile.TemporaryDirectory(prefix="switchboard-grown-") as folder:
        made = Machine(root=Path(folder), https=_free_range())
        (made.root / "secrets").mkdir()
        Path(made.secret(PROCESSES[0], Secret.DATABASE_PASSWORD)).write_text("hidden away")
        yield made


def _free_range() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return 25_000 + port % 5_000


def test_no_two_servers_share_a_port(machine: Machine) -> None:
    ports = [machine.port(process) for process in PROCESSES]
    ports += [machine.health_port(process) for process in PROCESSES if process.role]
    assert len(ports) == len(set(ports))
    assert machine.https in ports


def test_each_web_process_has_a_spool_and_all_share_the_data(machine: Machine) -> None:
    told = {command.name: command.environment for command in commands(machine)}
    assert told["web-1"]["SWITCHBOARD_SPOOL"] != told["web-2"]["SWITCHBOARD_SPOOL"]
    assert "SWITCHBOARD_SPOOL" not in told["jobs-1"]
    assert len({told[process.name]["SWITCHBOARD_DATA"] for process in PROCESSES if process.is_ours}) == 1


def test_the_password_stands_in_no_environment_and_no_arguments(machine: Machine) -> None:
    for command in commands(machine, demo_weeks=1):
        assert not [each for each in (*command.argv, *command.environment.values()) if "hidden away" in each]


def test_processes_start_in_an_order_that_exists(machine: Machine) -> None:
    found = commands(machine, demo_weeks=1)
    names = {command.name for command in found}
    assert all(set(command.after) <= names for command in found)


def test_the_demo_is_loaded_before_anybody_works_and_only_web_processes_have_its_doors(
    machine: Machine,
) -> None:
    found = {command.name: command for command in commands(machine, demo_weeks=2)}
    assert found["demo"].argv[-3:] == ("--seed-only", "--weeks", "2")
    assert found["demo"].after == ("migrate",)
    assert all("demo" in found[process.name].after for process in PROCESSES if process.role)
    assert {name for name, command in found.items() if "--demo" in command.argv} == {"web-1", "web-2"}


def test_a_port_that_is_taken_is_told_with_who_wanted_it(machine: Machine) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", machine.https + 3))
        taken.listen()
        with pytest.raises(ConfigInvalid, match=r"for redis, cannot be had .* --port"):
            prepare(machine)


def test_what_is_made_once_is_kept(machine: Machine) -> None:
    prepare(machine)
    kept = [machine.root / Keeps.ROWS / "data" / "PG_VERSION", *(machine.root / "secrets").iterdir()]
    before = [path.stat().st_mtime_ns for path in kept]
    prepare(machine)
    assert [path.stat().st_mtime_ns for path in kept] == before
    assert {path.name for path in kept[1:]} == set(Secret)


def test_only_what_an_earlier_run_left_is_thrown_away(tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    with pytest.raises(ConfigInvalid, match="holds something else"):
        throw_away(tmp_path)
    assert (tmp_path / "letters").is_dir()


def test_a_folder_that_is_closed_to_others_is_none_for_another_user(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    assert not RunsAs(uid=closed.stat().st_uid + 1, gid=1).can_enter(closed / "within")
    assert OURSELVES.can_enter(closed / "within")
