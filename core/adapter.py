"""The contract between a channel adapter and the hub: what an adapter may be, and what it is given."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, Protocol, TypeGuard, TypeVar, runtime_checkable

import aiohttp
from pydantic import BaseModel, ConfigDict, Field

from core.values import Attachment, ChannelEvent, ChannelKind, Outbound, Receipt, Taken

ConfigT = TypeVar("ConfigT", bound=BaseModel)


class Limits(BaseModel):
    """What every account may have beside its provider's own configuration: how much it sends, over all processes."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    rate: float | None = Field(default=None, gt=0, le=10_000, description="Messages a second.")
    window: int | None = Field(default=None, ge=1, description="Messages under way at once.")

    @property
    def is_set(self) -> bool:
        return self.rate is not None or self.window is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Account(Generic[ConfigT]):
    """One of our lines: a number, a mailbox, a bot. `config` is typed, `secrets` are resolved, never stored."""

    slug: str
    provider: str  # the ChannelSpec's name, such as "sms.twilio"
    title: str
    config: ConfigT
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """A webhook request as it came. `url` is the public one that the provider signed."""

    method: str
    url: str
    headers: Mapping[str, str]  # case-insensitive
    query: Mapping[str, str]
    body: bytes
    received_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class HookAnswer:
    """What the provider is told once every event is durable."""

    status: int = 200
    content_type: str = "text/plain; charset=utf-8"
    body: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    events: tuple[ChannelEvent, ...]
    answer: HookAnswer = HookAnswer()


@runtime_checkable
class Receives(Protocol):
    def receive(self, action: str, hook: Hook) -> Decoded:
        """Check and decode one webhook. Pure: no clock, no network.

        Raises SignatureInvalid (nothing is kept), BadInput (not from this protocol at all); an authentic request
        that cannot be decoded is returned as an `Unreadable` event with a 4xx answer that says why.
        """
        ...


@runtime_checkable
class Sends(Protocol):
    async def send(self, out: Outbound) -> Receipt:
        """Hand one message to the provider, or raise a SendError that says whether it may be offered again."""
        ...


@runtime_checkable
class Fetches(Protocol):
    async def fetch(self, attachment: Attachment, limit: int) -> bytes:
        """Get an attachment's bytes from the provider; at most `limit` bytes. Raises SendError like `send`."""
        ...


class Intake(Protocol):
    async def accept(self, account: str, event: ChannelEvent) -> Taken:
        """Return when the event is durable: in the log, or in the spool while the database is away."""
        ...


@runtime_checkable
class Listens(Protocol):
    async def listen(self, intake: Intake) -> None:
        """Hold a connection and hand in what comes, until cancelled."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CallCommand:
    id: str  # chosen and stored before it is sent
    verb: str
    args: Mapping[str, str] = field(default_factory=dict)


@runtime_checkable
class Controls(Protocol):
    async def control(self, call: str, command: CallCommand) -> None: ...


Adapter = Receives | Sends | Fetches | Listens | Controls


def receives(adapter: object) -> TypeGuard[Receives]:
    """Whether it takes webhooks, remembered for each type: asking a protocol costs more than checking a signature."""
    kind = type(adapter)
    if kind not in _RECEIVES:
        _RECEIVES[kind] = isinstance(adapter, Receives)
    return _RECEIVES[kind]


_RECEIVES: dict[type, bool] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterTools:
    """What the hub lends an adapter: one shared HTTP session and the clock."""

    http: aiohttp.ClientSession
    now: Callable[[], datetime]
    public_url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelSpec(Generic[ConfigT]):
    """A provider in the catalog. `name` is stored with every account: never renamed once released."""

    name: str
    kind: ChannelKind
    title: str
    config: type[ConfigT]
    build: Callable[
        [Account[ConfigT], AdapterTools], Any
    ]  # an object that fulfils one or more of the protocols
    secrets: tuple[str, ...] = ()  # names of the secrets that the adapter needs
    optional_secrets: tuple[str, ...] = ()  # and of those that it uses where they are given
    names_secrets: bool = False  # its configuration names further ones
    actions: tuple[str, ...] = ()  # webhook actions: /hooks/<account>/<action>
    is_demo: bool = False


Sleep = Callable[[float], Awaitable[None]]
