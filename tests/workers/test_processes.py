"""The process table, and what is made from it: the compose file, the image, the proxy's configuration."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.conftest import skip_unless_ci
from tests.support.compose_file import ComposeFile
from workers import compose, proxy
from workers.processes import TABLE, WEB, Keeps, Process
from workers.proxy import Proxy, nginx_conf

BY_NAME = {process.name: process for process in TABLE}
FILE = yaml.safe_load((compose.ROOT / compose.COMPOSE).read_text(encoding="utf-8"))
DOCUMENT = ComposeFile.model_validate(
    {name: part for name, part in FILE.items() if not name.startswith("x-")}
)


def test_the_committed_files_are_those_that_the_table_makes() -> None:
    assert (compose.ROOT / compose.COMPOSE).read_text(encoding="utf-8") == compose.compose_text()
    assert (compose.ROOT / compose.PROXY).read_text(encoding="utf-8") == compose.proxy_text()


def test_what_is_merged_in_the_file_is_what_was_meant() -> None:
    assert ComposeFile.model_validate(compose.compose()) == DOCUMENT


def test_every_name_in_the_file_stands_for_something() -> None:
    for service in DOCUMENT.services.values():
        assert set(service.depends_on) <= set(DOCUMENT.services)
        assert set(service.networks) <= set(DOCUMENT.networks)
        assert set(service.secrets) <= set(DOCUMENT.secrets)
        named = {mount.partition(":")[0] for mount in service.volumes if not mount.startswith("./")}
        assert named <= set(DOCUMENT.volumes)


def test_who_is_waited_for_can_say_that_it_is_there() -> None:
    for service in DOCUMENT.services.values():
        for name, depends in service.depends_on.items():
            waited_for = DOCUMENT.services[name]
            says = {
                "service_healthy": waited_for.healthcheck is not None,
                "service_completed_successfully": waited_for.restart == "no",
            }
            assert says[depends.condition]


def test_who_is_waited_for_starts_in_every_profile() -> None:
    assert all(not BY_NAME[name].is_for_trying for process in TABLE for name in process.after)


def test_the_table_names_each_process_once_and_has_an_order() -> None:
    assert len(BY_NAME) == len(TABLE)
    before: set[str] = set()
    for process in TABLE:
        assert set(process.after) <= before
        before.add(process.name)


def test_the_grown_size_is_what_its_decision_says() -> None:
    roles = [process.role for process in TABLE if process.role]
    assert {role: roles.count(role) for role in roles} == {
        "web": 2,
        "jobs": 2,
        "digest": 2,
        "listeners": 1,
        "schedule": 1,
    }


def test_each_web_process_spools_on_its_own() -> None:
    mounts = [mount for process in WEB for mount in DOCUMENT.services[process.name].volumes]
    spools = [mount for mount in mounts if mount.endswith(":/spool")]
    assert len(spools) == len(set(spools)) == len(WEB)
    assert not [process for process in TABLE if Keeps.SPOOL in process.keeps and process not in WEB]


def test_no_password_stands_in_the_file() -> None:
    written = (compose.ROOT / compose.COMPOSE).read_text(encoding="utf-8")
    assert not re.search(r"://[^\s:/@]+:[^\s/@]+@", written)
    assert not re.search(r"PASSWORD: ", written)


@pytest.mark.parametrize("process", [each for each in TABLE if each.is_ours], ids=lambda each: each.name)
def test_our_processes_can_write_only_where_they_keep_something(process: Process) -> None:
    service = DOCUMENT.services[process.name]
    assert service.read_only
    assert service.cap_drop == ["ALL"]
    assert not service.cap_add
    assert not service.ports  # only the proxy is reached from outside


def test_the_servers_that_keep_the_data_see_nothing_outside() -> None:
    assert DOCUMENT.networks["data"].internal
    assert DOCUMENT.services["postgresql"].networks == ["data"]
    assert DOCUMENT.services["redis"].networks == ["data"]
    assert DOCUMENT.services["proxy"].networks == ["front"]


def test_the_image_is_built_in_stages_and_runs_as_nobody_special() -> None:
    lines = (compose.ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    assert len([line for line in lines if line.startswith("FROM ")]) >= 3
    assert [line for line in lines if line.startswith("USER ")] == ["USER 10001:10001"]
    last_stage = lines[max(at for at, line in enumerate(lines) if line.startswith("FROM ")) :]
    assert not [line for line in last_stage if "pip" in line or "npm" in line]
    for folder in ("/data", "/spool"):
        assert any(folder in line for line in last_stage)


def test_the_proxy_lets_through_what_the_hub_takes() -> None:
    from workers.web import webhooks

    assert proxy.LARGEST_BODY == webhooks.LARGEST_BODY


@pytest.fixture
def nginx() -> str:
    found = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
    if found is None:
        skip_unless_ci(FileNotFoundError("nginx is not installed: 'apt-get install nginx-light' on Debian"))
    return found


def test_nginx_takes_the_configuration(nginx: str, tmp_path: Path) -> None:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
         "-subj", "/CN=localhost", "-keyout", tmp_path / "key", "-out", tmp_path / "certificate"],
        check=True, capture_output=True,
    )  # fmt: skip
    (tmp_path / "nginx.conf").write_text(
        nginx_conf(
            Proxy(
                port=8443,
                web=["127.0.0.1:1", "127.0.0.1:2"],
                certificate=str(tmp_path / "certificate"),
                key=str(tmp_path / "key"),
                scratch=str(tmp_path),
            )
        )
    )
    ran = subprocess.run(
        [nginx, "-t", "-c", tmp_path / "nginx.conf"], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
