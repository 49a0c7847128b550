"""One machine as the place of all processes: its ports, folders and secrets, and how each process is started there."""

import os
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from core.errors import ConfigInvalid
from workers.grown import postgres
from workers.grown.health import http_answers, https_answers, redis_answers
from workers.grown.postgres import OURSELVES, choose_user
from workers.grown.supervisor import Command
from workers.processes import TABLE, WEB, Keeps, Process, Program, Secret, environment
from workers.proxy import Proxy, nginx_conf

ROOT: Final = Path(__file__).parents[2]
PROCESSES: Final = tuple(process for process in TABLE if not process.is_for_trying)
_BY_NAME: Final = {process.name: process for process in PROCESSES}
_DATABASE: Final = "switchboard"
_CERTIFICATE_DAYS: Final = 397  # browsers take none that is valid for longer

POSTGRESQL_SETTINGS: Final = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "300",
    "shared_buffers": "128MB",
    "max_wal_size": "1GB",
    "timezone": "UTC",
    "logging_collector": "off",
    "log_min_messages": "warning",
    "log_checkpoints": "off",
    "log_line_prefix": "",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Ports count up from that of the proxy; what is kept lies below `root`."""

    root: Path
    https: int = 8443
    url: str = ""
    host: str = "127.0.0.1"

    @property
    def public_url(self) -> str:
        return self.url or f"https://localhost:{self.https}"

    @property
    def database(self) -> str:
        port = self.port(_BY_NAME["postgresql"])
        return f"postgresql+asyncpg://{_DATABASE}@{self.host}:{port}/{_DATABASE}"

    @property
    def redis(self) -> str:
        return f"redis://{self.host}:{self.port(_BY_NAME['redis'])}/0"

    def port(self, process: Process) -> int:
        if process.program is Program.PROXY:
            return self.https
        return self.https + 1 + 2 * PROCESSES.index(process)

    def health_port(self, process: Process) -> int:
        return self.port(process) + 1

    def folder(self, process: Process, kept: Keeps) -> str:
        return str(self.root / (f"{kept}-{process.name}" if kept is Keeps.SPOOL else kept))

    def secret(self, process: Process, secret: Secret) -> str:
        return str(self.root / "secrets" / secret)


def prepare(machine: Machine) -> None:
    """Make what is missing: folders, the password, a certificate, a cluster. Raises ConfigInvalid with what to do."""
    _check_programs()
    _check_ports(machine)
    machine.root.mkdir(parents=True, exist_ok=True)
    machine.root.chmod(0o711)  # the servers' own users pass through; what is ours is closed one level below
    (machine.root / "secrets").mkdir(mode=0o700, exist_ok=True)
    for process in PROCESSES:
        for kept in process.keeps:
            Path(machine.folder(process, kept)).mkdir(mode=0o700, exist_ok=True)
    for name in ("redis", "nginx"):
        (machine.root / name).mkdir(exist_ok=True)
    password = Path(machine.secret(_BY_NAME["postgresql"], Secret.DATABASE_PASSWORD))
    if not password.exists():
        _write_secret(password, secrets.token_hex(24))
    _keep_certificate(machine)
    (machine.root / "nginx" / "nginx.conf").write_text(nginx_conf(proxy_of(machine)), encoding="utf-8")
    rows = machine.root / Keeps.ROWS
    if not (rows / "data" / "PG_VERSION").exists():
        shutil.rmtree(rows / "data", ignore_errors=True)
        postgres.initialise(rows, choose_user(), wants_passwords=True)


def _check_programs() -> None:
    postgres.find_programs()
    packages = {"redis-server": "redis-server", "nginx": "nginx-light", "openssl": "openssl"}
    missing = [package for program, package in packages.items() if _program(program) is None]
    if missing:
        raise ConfigInvalid(
            f"Not installed: {', '.join(missing)}; scripts/system-packages installs it on Debian."
        )


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")


def _check_ports(machine: Machine) -> None:
    ports = {machine.port(process): process.name for process in PROCESSES}
    ports |= {machine.health_port(process): process.name for process in PROCESSES if process.role}
    for port, name in ports.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((machine.host, port))
            except OSError as error:
                raise ConfigInvalid(
                    f"Port {port}, for {name}, cannot be had ({error.strerror}); choose others with --port, "
                    f"such as --port {machine.https + 1000}: the ports count up from there."
                ) from error


def _write_secret(path: Path, value: str) -> None:
    draft = path.with_name(f".{path.name}.draft")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(value)
    draft.rename(path)


def _keep_certificate(machine: Machine) -> None:
    """A certificate that this machine signs for itself; made anew in the month before it ends."""
    proxy = _BY_NAME["proxy"]
    certificate, key = (machine.secret(proxy, each) for each in (Secret.CERTIFICATE, Secret.CERTIFICATE_KEY))
    openssl = str(_program("openssl"))
    if Path(certificate).exists() and Path(key).exists():
        month = str(30 * 24 * 3600)
        lasts = [openssl, "x509", "-checkend", month, "-noout", "-in", certificate]
        if subprocess.run(lasts, capture_output=True, check=False).returncode == 0:
            return
    made = subprocess.run(
        [
            *(openssl, "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-days", str(_CERTIFICATE_DAYS), "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
            *("-keyout", key, "-out", certificate),
        ],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: os.umask(0o077),
    )
    if made.returncode != 0:
        raise ConfigInvalid(f"openssl could not make a certificate: {made.stderr.strip()}")


def proxy_of(machine: Machine) -> Proxy:
    proxy = _BY_NAME["proxy"]
    return Proxy(
        port=machine.https,
        web=[f"{machine.host}:{machine.port(process)}" for process in WEB],
        certificate=machine.secret(proxy, Secret.CERTIFICATE),
        key=machine.secret(proxy, Secret.CERTIFICATE_KEY),
        scratch=str(machine.root / "nginx"),
        user=choose_user().names,
    )


def commands(
    machine: Machine, *, more: Mapping[str, str] | None = None, demo_weeks: int = 0
) -> list[Command]:
    """How each process of the table is started here. `more` is told to all of ours; weeks load the demo first."""
    told = dict(more or {})
    found = [_command(machine, process, told) for process in PROCESSES]
    if demo_weeks:
        found = _with_demo(found, demo_weeks)
    return found


def _with_demo(found: Sequence[Command], weeks: int) -> list[Command]:
    """The demo's data are loaded after the tables are there and before anybody works with them; then come its doors."""
    migrate = next(command for command in found if command.name == "migrate")
    seed = replace(
        migrate,
        name="demo",
        argv=_switchboard("demo", "--seed-only", "--weeks", str(weeks)),
        after=("migrate",),
        healthy_within=900.0,
    )
    web = {process.name for process in WEB}
    opened = [
        replace(command, argv=(*command.argv, "--demo")) if command.name in web else command
        for command in found
    ]
    after_it = [
        replace(command, after=(*command.after, "demo")) if "migrate" in command.after else command
        for command in opened
    ]
    return [*after_it, seed]


def _command(machine: Machine, process: Process, told: Mapping[str, str]) -> Command:
    started = _started(machine, process, told)
    return replace(started, after=process.after, stops_within=process.stops_within)


def _started(machine: Machine, process: Process, told: Mapping[str, str]) -> Command:
    port = machine.port(process)
    match process.program:
        case Program.SWITCHBOARD:
            return Command(
                name=process.name,
                argv=_switchboard(*process.arguments),
                environment={**environment(process, machine), **_bytecode(machine), **told},
                cwd=ROOT,
                is_healthy=http_answers(machine.host, machine.health_port(process), "/healthz"),
                runs_once=process.runs_once,
            )
        case Program.DATABASE:
            rows = machine.root / Keeps.ROWS
            return Command(
                name=process.name,
                argv=tuple(postgres.server_command(rows, port, POSTGRESQL_SETTINGS)),
                cwd=rows,
                user=choose_user(),
                is_healthy=postgres.serves(rows, port, _DATABASE, _password(machine)),
                stop_signal=postgres.STOP_SIGNAL,
            )
        case Program.WAKER:
            folder = machine.root / "redis"
            return Command(
                name=process.name,
                argv=(
                    str(_program("redis-server")),
                    *("--bind", machine.host, "--port", str(port), "--dir", str(folder)),
                    *("--save", "", "--appendonly", "no", "--loglevel", "warning"),
                ),
                is_healthy=redis_answers(port),
                user=OURSELVES,
            )
        case Program.PROXY:
            folder = machine.root / "nginx"
            return Command(
                name=process.name,
                argv=(
                    str(_program("nginx")),
                    "-e",
                    "stderr",
                    "-p",
                    str(folder),
                    "-c",
                    str(folder / "nginx.conf"),
                ),
                is_healthy=https_answers(port, "/healthz"),
            )
        case Program.MAIL | Program.TELEPHONY:
            raise ConfigInvalid(f"{process.name} is only started in a container.")


def _bytecode(machine: Machine) -> dict[str, str]:
    """What one process has compiled serves all others, and itself when it begins again."""
    return {"PYTHONPYCACHEPREFIX": str(machine.root / "bytecode"), "PYTHONDONTWRITEBYTECODE": ""}


def _switchboard(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "workers.cli", *arguments)


def _password(machine: Machine) -> str:
    return Path(machine.secret(_BY_NAME["postgresql"], Secret.DATABASE_PASSWORD)).read_text().strip()
