"""The process's settings, read from SWITCHBOARD_… variables."""

from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy.engine import make_url

from core.errors import ConfigInvalid
from core.values import EntryKind


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="SWITCHBOARD_", frozen=True, extra="ignore")

    data: Path = Field(default=Path("var"), description="Folder of everything that the hub keeps.")
    port: int = Field(default=8080, ge=0, le=65535)
    host: str = Field(default="127.0.0.1")
    public_url: str = Field(
        default="", description="How providers and browsers reach us; signatures are made over it."
    )
    database: str = Field(default="", description="SQLAlchemy URL; empty: SQLite in the data folder.")
    database_password_file: Path | None = Field(
        default=None, description="File with the password for that URL, which then stands in no environment."
    )
    redis: str = Field(
        default="",
        description="Redis URL of the grown size, redis://host:port/0; empty: one process does it all.",
    )
    spool: Path | None = Field(
        default=None, description="Folder on this host's own disk for messages while the database is away."
    )
    spool_bytes: int = Field(
        default=1 << 30,
        ge=1 << 20,
        description="How much of the disk the spool may take; full, it refuses (503).",
    )
    name: str = Field(default="", description="This process's name among those of the hub, such as web-1.")
    retention: dict[EntryKind, Annotated[int, Field(ge=1)]] = Field(
        default={},
        description='Years after which kinds of entries are emptied, {"message": 7}; empty: never.',
    )
    metrics_port: int = Field(
        default=0,
        ge=0,
        le=65535,
        description="Port of /healthz, /readyz and /metrics; 0: web processes have them on their own, others nowhere.",
    )
    metrics_token: str = Field(
        default="",
        description="Reference to a token that /metrics then asks for, such as file:/run/secrets/metrics.",
    )
    trace_share: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="Share of entries that are traced, where OTEL_EXPORTER_OTLP_ENDPOINT names a collector.",
    )
    alarm_mail_to: str = Field(default="", description="Who is told of alarms by mail; several with commas.")
    alarm_mail_from: str = Field(default="", description="The address that those mails come from.")
    alarm_smtp: str = Field(
        default="smtp://localhost:25",
        description="smtp://[user@]host[:port]; smtps:// is TLS from the start.",
    )
    alarm_smtp_password: str = Field(
        default="", description="Reference to that user's password, such as file:/run/secrets/smtp."
    )
    alarm_webhook: str = Field(default="", description="Address that alarms are posted to as JSON.")
    alarm_webhook_key: str = Field(
        default="keep:alarm-webhook", description="Reference to the key that signs those requests."
    )
    alarm_language: str = Field(default="en", pattern="^(en|zh-Hans|zh-Hant)$")
    region: str = Field(default="CN", description="Where telephone numbers without a country code belong.")
    timezone: str = Field(default="Asia/Shanghai")
    log_level: str = Field(default="INFO")
    is_demo: bool = False

    @property
    def database_url(self) -> str:
        """With its password. Raises ConfigInvalid when the file that holds it cannot be read."""
        if not self.database:
            return f"sqlite+aiosqlite:///{(self.data / 'switchboard.db').resolve()}"
        if self.database_password_file is None:
            return self.database
        try:
            password = self.database_password_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigInvalid(
                f"The file in SWITCHBOARD_DATABASE_PASSWORD_FILE cannot be read: {error}."
            ) from error
        return make_url(self.database).set(password=password).render_as_string(hide_password=False)

    @property
    def spool_folder(self) -> Path:
        return self.spool or self.data / "spool"

    @property
    def is_grown(self) -> bool:
        """Several processes on PostgreSQL and Redis."""
        return bool(self.redis)

    @property
    def origin(self) -> str:
        return (self.public_url or f"http://localhost:{self.port}").rstrip("/")
