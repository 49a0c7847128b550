"""The processes of the grown size, once: docker-compose.yml and `make up-grown` are both made from this table."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol


class Program(StrEnum):
    SWITCHBOARD = "switchboard"
    PROXY = "nginx"
    DATABASE = "postgresql"
    WAKER = "redis"
    MAIL = "mail"
    TELEPHONY = "asterisk"


class Keeps(StrEnum):
    """A folder that outlives the process."""

    DATA = "data"  # of all processes of the hub: files, secrets that it made itself
    SPOOL = "spool"  # of one web process, on its own host's disk: what came in while the database was away
    ROWS = "postgresql"


class Secret(StrEnum):
    """A file that the operator puts there; what is in it stands in no environment and no configuration."""

    DATABASE_PASSWORD = "database_password"
    CERTIFICATE = "certificate.pem"
    CERTIFICATE_KEY = "certificate_key.pem"


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One row. `after` names those that must be healthy, or done when they run once, before it starts."""

    name: str
    program: Program
    arguments: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    keeps: tuple[Keeps, ...] = ()
    secrets: tuple[Secret, ...] = ()
    memory: int  # MiB that it may have at most
    stops_within: int = 20  # seconds until it is ended the hard way
    runs_once: bool = False
    is_for_trying: bool = False

    @property
    def role(self) -> str:
        """What `switchboard run` runs; empty for what is none of ours, and for what runs once."""
        return self.arguments[1] if self.arguments[:1] == ("run",) else ""

    @property
    def is_ours(self) -> bool:
        return self.program is Program.SWITCHBOARD


_NEEDED: Final = ("migrate", "redis")


def _runs(role: str, count: int, *, memory: int, keeps: tuple[Keeps, ...] = (Keeps.DATA,)) -> list[Process]:
    names = [role] if count == 1 else [f"{role}-{number}" for number in range(1, count + 1)]
    return [
        Process(
            name=name,
            program=Program.SWITCHBOARD,
            arguments=("run", role, "--name", name),
            after=_NEEDED,
            keeps=keeps,
            secrets=(Secret.DATABASE_PASSWORD,),
            memory=memory,
        )
        for name in names
    ]


WEB: Final = _runs("web", 2, memory=768, keeps=(Keeps.DATA, Keeps.SPOOL))

# The memory is several times what each was seen to need (about 130 MiB), so that a limit means a leak.
TABLE: Final[tuple[Process, ...]] = (
    Process(
        name="postgresql",
        program=Program.DATABASE,
        keeps=(Keeps.ROWS,),
        secrets=(Secret.DATABASE_PASSWORD,),
        memory=2048,
        stops_within=60,
    ),
    # It only wakes: nothing that it holds is missed when it is empty after a restart.
    Process(name="redis", program=Program.WAKER, memory=384),
    Process(
        name="migrate",
        program=Program.SWITCHBOARD,
        arguments=("migrate",),
        after=("postgresql",),
        keeps=(Keeps.DATA,),
        secrets=(Secret.DATABASE_PASSWORD,),
        memory=512,
        runs_once=True,
    ),
    *WEB,
    *_runs("jobs", 2, memory=512),
    *_runs("digest", 2, memory=768),  # one works, the other stands by
    *_runs("listeners", 1, memory=512),
    *_runs("schedule", 1, memory=512),
    Process(
        name="proxy",
        program=Program.PROXY,
        after=tuple(process.name for process in WEB),
        secrets=(Secret.CERTIFICATE, Secret.CERTIFICATE_KEY),
        memory=256,
    ),
    Process(name="mail", program=Program.MAIL, memory=512, is_for_trying=True),
    Process(name="asterisk", program=Program.TELEPHONY, memory=512, is_for_trying=True),
)


class Places(Protocol):
    """Where the processes find each other: names in a network of containers, or ports and folders of one machine."""

    @property
    def public_url(self) -> str: ...

    @property
    def database(self) -> str:
        """SQLAlchemy's URL, without the password."""
        ...

    @property
    def redis(self) -> str: ...

    @property
    def host(self) -> str:
        """The address that our own servers bind to."""
        ...

    def port(self, process: Process) -> int:
        """Of pages, webhooks and sockets, or of whatever a server that is none of ours serves."""
        ...

    def health_port(self, process: Process) -> int:
        """Of /healthz, /readyz and /metrics."""
        ...

    def folder(self, process: Process, kept: Keeps) -> str: ...

    def secret(self, process: Process, secret: Secret) -> str: ...


def environment(process: Process, places: Places) -> Mapping[str, str]:
    """What one of our own processes is told. How it is started, and all else, is the same everywhere."""
    told = {
        "SWITCHBOARD_PUBLIC_URL": places.public_url,
        "SWITCHBOARD_DATABASE": places.database,
        "SWITCHBOARD_DATABASE_PASSWORD_FILE": places.secret(process, Secret.DATABASE_PASSWORD),
        "SWITCHBOARD_REDIS": places.redis,
        "SWITCHBOARD_DATA": places.folder(process, Keeps.DATA),
    }
    if Keeps.SPOOL in process.keeps:
        told["SWITCHBOARD_SPOOL"] = places.folder(process, Keeps.SPOOL)
    if process.role:
        told["SWITCHBOARD_HOST"] = places.host
        told["SWITCHBOARD_METRICS_PORT"] = str(places.health_port(process))
    if process.role == "web":
        told["SWITCHBOARD_PORT"] = str(places.port(process))
    return told
