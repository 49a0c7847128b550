"""The parts of the compose schema that docker-compose.yml uses, written by hand; anything else in it is refused."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Name = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9._-]+$")]
# No host in front: which registry is asked is the operator's choice.
Image = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_-]+(/[a-z0-9_-]+)?(:[\w.-]+)?$")]
Duration = Annotated[str, StringConstraints(pattern=r"^(\d+(us|ms|s|m|h))+$")]
Bytes = Annotated[str, StringConstraints(pattern=r"^\d+(b|k|m|g|kb|mb|gb)$")]
Absolute = Annotated[str, StringConstraints(pattern=r"^/[\w./-]*$")]
Mount = Annotated[str, StringConstraints(pattern=r"^(\./)?[\w./-]+:/[\w./-]+(:ro|:rw)?$")]
Port = Annotated[str, StringConstraints(pattern=r"^(\d{1,3}(\.\d{1,3}){3}:)?\d{1,5}:\d{1,5}(/(tcp|udp))?$")]


class Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Health(Part):
    test: Annotated[list[str], Field(min_length=2)]
    interval: Duration
    timeout: Duration
    start_period: Duration
    retries: Annotated[int, Field(ge=1)]


class Depends(Part):
    condition: Literal["service_started", "service_healthy", "service_completed_successfully"]


class Service(Part):
    image: Image
    build: str | None = None
    user: str | None = None
    command: list[str] | None = None
    environment: dict[Name, str] = {}
    profiles: list[Name] = []
    depends_on: dict[Name, Depends] = {}
    healthcheck: Health | None = None
    ports: list[Port] = []
    volumes: list[Mount] = []
    secrets: list[Name] = []
    networks: list[Name]
    tmpfs: list[Absolute] = []
    init: bool = False
    read_only: bool = False
    restart: Literal["no", "always", "on-failure", "unless-stopped"]
    stop_grace_period: Duration
    mem_limit: Bytes
    shm_size: Bytes | None = None
    cap_drop: list[Literal["ALL"]]
    cap_add: list[Annotated[str, StringConstraints(pattern=r"^[A-Z_]+$")]] = []
    security_opt: list[Literal["no-new-privileges:true"]]


class Volume(Part):
    pass


class SecretFile(Part):
    file: str


class Network(Part):
    internal: bool = False


class ComposeFile(Part):
    name: Name
    services: dict[Name, Service]
    volumes: dict[Name, Volume]
    secrets: dict[Name, SecretFile]
    networks: dict[Name, Network]
