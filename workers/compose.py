"""docker-compose.yml and the proxy's configuration, made from the process table: `python -m workers.compose`."""

import re
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from workers.processes import TABLE, WEB, Keeps, Process, Program, Secret, environment
from workers.proxy import Proxy, nginx_conf

ROOT: Final = Path(__file__).parent.parent
COMPOSE: Final = Path("docker-compose.yml")
PROXY: Final = Path("ops/nginx/nginx.conf")

_HEAD = """\
# The grown size: PostgreSQL, Redis and several processes of Switchboard behind a proxy with TLS.
# Made from workers/processes.py by `python -m workers.compose`: change it there. Checked by tests/workers against the
# parts of the compose schema that it uses; it has not been run by a container engine where it was made.
#
# Once, before the first start:
#   mkdir -m 0700 secrets && (cd secrets && openssl rand -hex 24 >database_password
#       and put the certificate with its chain into certificate.pem, its key into certificate_key.pem;
#       chmod 0444 *: the processes run as users of their own, and the folder keeps everybody else out)
#   export SWITCHBOARD_PUBLIC_URL=https://the.name.of.this.hub
#   docker compose run --rm -it migrate users add --admin anna
#   docker compose up --build --detach
# With `--profile try` a mail server and a telephone exchange start beside it. docs/operations.md says the rest.
"""

_PAGES: Final = 8080
_HEALTH: Final = 9100
_HTTPS: Final = 8443
_POSTGRESQL: Final = 5432
_REDIS: Final = 6379

IMAGES: Final[Mapping[Program, str]] = {
    Program.SWITCHBOARD: "switchboard",
    Program.PROXY: "nginx:1.28",
    Program.DATABASE: "postgres:15",
    Program.WAKER: "redis:7",
    Program.MAIL: "greenmail/standalone:2.1.8",
    Program.TELEPHONY: "andrius/asterisk:22",
}

_FOLDERS: Final[Mapping[Keeps, str]] = {
    Keeps.DATA: "/data",
    Keeps.SPOOL: "/spool",
    Keeps.ROWS: "/var/lib/postgresql/data",
}


@dataclass(frozen=True, slots=True)
class _Containers:
    """Every process has its own address, so all use the same ports."""

    public_url: str = "${SWITCHBOARD_PUBLIC_URL:?say how providers and browsers reach this hub}"
    database: str = f"postgresql+asyncpg://switchboard@postgresql:{_POSTGRESQL}/switchboard"
    redis: str = f"redis://redis:{_REDIS}/0"
    host: str = "0.0.0.0"

    def port(self, process: Process) -> int:
        return _PAGES

    def health_port(self, process: Process) -> int:
        return _HEALTH

    def folder(self, process: Process, kept: Keeps) -> str:
        return _FOLDERS[kept]

    def secret(self, process: Process, secret: Secret) -> str:
        return f"/run/secrets/{secret}"


def compose() -> dict[str, Any]:
    """The document, as plain values."""
    return {
        "name": "switchboard",
        "services": {process.name: _service(process) for process in TABLE},
        "volumes": {name: {} for process in TABLE for name in map(_volume_of(process), process.keeps)},
        "secrets": {secret.value: {"file": f"./secrets/{secret}"} for secret in Secret},
        # The proxy does not see the servers that keep the data, and those see nothing outside.
        "networks": {"front": {}, "data": {"internal": True}},
    }


def _service(process: Process) -> dict[str, Any]:
    service: dict[str, Any] = {"image": IMAGES[process.program]}
    if process.is_for_trying:
        service["profiles"] = ["try"]
    service |= _of_program(process)
    if process.after:
        service["depends_on"] = {name: {"condition": _condition(name)} for name in process.after}
    volume = _volume_of(process)
    mounts = [f"{volume(kept)}:{_FOLDERS[kept]}" for kept in process.keeps]
    if mounts or "volumes" in service:
        service["volumes"] = [*mounts, *service.get("volumes", [])]
    if process.secrets:
        service["secrets"] = [secret.value for secret in process.secrets]
    return service | {
        "networks": service.get("networks", ["front"]),
        "restart": "no" if process.runs_once else "unless-stopped",
        "stop_grace_period": f"{process.stops_within}s",
        "mem_limit": f"{process.memory}m",
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
    }


def _condition(name: str) -> str:
    process = next(each for each in TABLE if each.name == name)
    return "service_completed_successfully" if process.runs_once else "service_healthy"


def _volume_of(process: Process) -> Any:
    """How what it keeps is named: a spool is its own, all else is shared."""
    return lambda kept: f"{kept}-{process.name}" if kept is Keeps.SPOOL else str(kept)


def _of_program(process: Process) -> dict[str, Any]:
    match process.program:
        case Program.SWITCHBOARD:
            return _ours(process)
        case Program.PROXY:
            return {
                "user": "nginx",
                "command": ["nginx", "-c", "/etc/switchboard/nginx.conf"],
                "ports": [f"443:{_HTTPS}"],
                "volumes": [f"./{PROXY}:/etc/switchboard/nginx.conf:ro"],
                "read_only": True,
                "tmpfs": ["/tmp"],
                "healthcheck": _health(
                    ["CMD", "curl", "-fsk", "-o", "/dev/null", f"https://127.0.0.1:{_HTTPS}/healthz"]
                ),
            }
        case Program.DATABASE:
            return {
                "command": [
                    "postgres",
                    *(f"--{name}={value}" for name, value in _POSTGRESQL_SETTINGS.items()),
                ],
                "environment": {
                    "POSTGRES_USER": "switchboard",
                    "POSTGRES_DB": "switchboard",
                    "POSTGRES_PASSWORD_FILE": f"/run/secrets/{Secret.DATABASE_PASSWORD}",
                    "POSTGRES_INITDB_ARGS": "--encoding=UTF8 --locale=C.UTF-8 --data-checksums",
                },
                "networks": ["data"],
                "read_only": True,
                "tmpfs": ["/tmp", "/run/postgresql"],
                "shm_size": "256m",
                # It begins as root, takes its folder into possession and becomes its own user.
                "cap_add": ["CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"],
                "healthcheck": _health(
                    ["CMD", "pg_isready", "-q", "-h", "127.0.0.1", "-U", "switchboard", "-d", "switchboard"]
                ),
            }
        case Program.WAKER:
            return {
                "user": "redis",
                "command": ["redis-server", "--save", "", "--appendonly", "no"],
                "networks": ["data"],
                "read_only": True,
                "tmpfs": ["/data", "/tmp"],
                "healthcheck": _health(["CMD", "redis-cli", "ping"]),
            }
        case Program.MAIL:
            # Any address is a mailbox, and its password is its name: SMTP at mail:3025, IMAP at mail:3143.
            return {
                "environment": {
                    "GREENMAIL_OPTS": "-Dgreenmail.setup.test.smtp -Dgreenmail.setup.test.imap "
                    "-Dgreenmail.hostname=0.0.0.0 -Dgreenmail.auth.disabled"
                },
            }
        case Program.TELEPHONY:
            return {}


_POSTGRESQL_SETTINGS: Final = {
    "max_connections": 300,
    "shared_buffers": "512MB",
    "effective_cache_size": "1GB",
    "max_wal_size": "4GB",
    "timezone": "UTC",
}


def _ours(process: Process) -> dict[str, Any]:
    service: dict[str, Any] = {
        "build": ".",
        "command": list(process.arguments),
        "environment": {
            **environment(process, _Containers()),
            "SWITCHBOARD_TIMEZONE": "${SWITCHBOARD_TIMEZONE:-Asia/Shanghai}",
            "SWITCHBOARD_REGION": "${SWITCHBOARD_REGION:-CN}",
        },
        "networks": ["front", "data"],
        "init": True,
        "read_only": True,
        "tmpfs": ["/tmp"],
    }
    if process.role:
        ask = f"import urllib.request as r; r.urlopen('http://127.0.0.1:{_HEALTH}/healthz', timeout=3)"
        service["healthcheck"] = _health(["CMD", "python", "-c", ask])
    return service


def _health(test: list[str]) -> dict[str, Any]:
    return {
        "test": test,
        "interval": "5s",
        "timeout": "5s",
        "start_period": "30s",
        "retries": 5,
    }


class _Dumper(yaml.SafeDumper):
    """Lists on one line; what is repeated is merged by `_told` and not by anchors of the dumper's own."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _on_one_line(dumper: yaml.SafeDumper, data: list[object]) -> yaml.Node:
    return dumper.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=True)


_Dumper.add_representer(list, _on_one_line)


_MERGE: Final = "merge"


def compose_text() -> str:
    """The file. What all of our own processes share is written once and merged into each."""
    document = compose()
    services = document.pop("services")
    ours = [services[process.name] for process in TABLE if process.role]
    told = _shared([service["environment"] for service in ours])
    common = _without(_shared(ours), {"environment"})
    parts = [
        _HEAD + _yaml({"name": document.pop("name")}),
        _anchored("told", told),
        _anchored("ours", common),
        "services:",
    ]
    for process in TABLE:
        service = services[process.name]
        if process.role:
            own = {_MERGE: "told"} | _without(service["environment"], told)
            service = {_MERGE: "ours"} | _without(service, common) | {"environment": own}
        parts.append(_indented(_yaml({process.name: service})))
    return "\n".join([*parts, _yaml(document)]).replace("services:\n\n", "services:\n")


def _shared(documents: list[dict[str, Any]]) -> dict[str, Any]:
    first, *others = documents
    return {name: value for name, value in first.items() if all(other.get(name) == value for other in others)}


def _without(document: Mapping[str, Any], common: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name not in common}


def _anchored(name: str, document: dict[str, Any]) -> str:
    return _yaml({f"x-{name}": document}).replace(":", f": &{name}", 1)


def _yaml(value: object) -> str:
    text = str(yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110))
    return re.sub(rf"\b{_MERGE}: (\w+)$", r"<<: *\1", text, flags=re.MULTILINE)


def _indented(text: str) -> str:
    return "".join(f"  {line}" for line in text.splitlines(keepends=True))


def proxy_text() -> str:
    return nginx_conf(
        Proxy(
            port=_HTTPS,
            web=[f"{process.name}:{_PAGES}" for process in WEB],
            certificate=f"/run/secrets/{Secret.CERTIFICATE}",
            key=f"/run/secrets/{Secret.CERTIFICATE_KEY}",
            scratch="/tmp",
        )
    )


def main() -> int:
    for path, text in ((COMPOSE, compose_text()), (PROXY, proxy_text())):
        (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / path).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
