"""A hub with a blueprint, two providers' accounts and three users, served over real HTTP: here or as a process."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from hashlib import sha1, sha256
from hmac import digest as hmac_digest
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import uvloop
from aiohttp import web

from core.settings import Settings
from core.users import ADMINISTRATOR
from crm.blueprint.publishing import publish
from tests.support.fake_twilio import ACCOUNT_SID, AUTH_TOKEN, FORM, NUMBER, message_fields
from tests.support.hub import TOBACCO, blueprint_of
from workers import up
from workers.assemble import Hub, assemble, running
from workers.web.app import create_app

ORIGIN = "http://switchboard.test"
"""How providers and browsers name the hub: signatures are made over it, whatever port it listens on."""

TWILIO = "sms-twilio"
GATEWAY = "sms-gateway"
GATEWAY_KEY = "the-gateway-key-0123456789"
PASSWORD = "correct horse battery"
USERS: Mapping[str, Sequence[str]] = {
    "chief": [ADMINISTRATOR],
    "agent": ["agent"],
    "shopkeeper": ["retailer"],
}

_START_SECONDS = 60
_NOWHERE = "http://127.0.0.1:9"  # the discard port: nobody listens, so every send is refused at once


def settings_for(data: Path, port: int = 0) -> Settings:
    return Settings(data=data, port=port, public_url=ORIGIN, log_level="WARNING")


async def prepare(data: Path) -> None:
    """Make a hub in an empty folder. It can be copied: its secrets stay where they were made."""
    secrets = {"twilio": AUTH_TOKEN, "gateway": GATEWAY_KEY}
    for name, value in secrets.items():
        keep_secret(data / f"{name}.secret", value)
    async with assemble(settings_for(data)) as hub, running(hub):
        async with hub.db.begin() as tx:
            blueprint = blueprint_of(TOBACCO)
            await publish(tx, blueprint, author="a", approved_by="b", note="", at=hub.clock())
        await hub.book.load(hub.db)
        async with hub.db.begin() as tx:
            await hub.accounts.create(
                tx,
                slug=TWILIO,
                provider="sms.twilio",
                title="Twilio",
                config={"account_sid": ACCOUNT_SID, "sender": NUMBER, "api_base": _NOWHERE},
                secrets={"auth_token": f"file:{data / 'twilio.secret'}"},
                at=hub.clock(),
            )
            await hub.accounts.create(
                tx,
                slug=GATEWAY,
                provider="sms.gateway",
                title="Gateway",
                config=_GATEWAY,
                secrets={"inbound_key": f"file:{data / 'gateway.secret'}"},
                at=hub.clock(),
            )
        hashed = await hub.sign_ins._hasher.hash(PASSWORD)
        async with hub.db.begin() as tx:
            for login, roles in USERS.items():
                await hub.users.create(tx, login=login, name=login, password_hash=hashed, roles=roles)


_GATEWAY: Mapping[str, Any] = {
    "number": "10690000",
    "receiving": {
        "message": {"id": "id", "sender": "from", "text": "text", "time": "at", "time_form": "iso"},
        "report": {"id": "id", "state": "state", "recipient": "to"},
    },
}


def keep_secret(path: Path, value: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value)


# Served here.


@dataclass(frozen=True, slots=True)
class Served:
    hub: Hub
    url: str
    http: aiohttp.ClientSession

    def hook(self, account: str = TWILIO, action: str = "message") -> str:
        return f"{self.url}/hooks/{account}/{action}"


@asynccontextmanager
async def serving(prepared: Path, data: Path) -> AsyncIterator[Served]:
    """The prepared hub, copied to `data` and served by this process until the block ends."""
    shutil.copytree(prepared, data)
    async with assemble(settings_for(data)) as hub, running(hub):
        runner = web.AppRunner(create_app(hub), access_log=None, shutdown_timeout=1)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
                yield Served(hub, f"http://127.0.0.1:{runner.addresses[0][1]}", http)
        finally:
            await runner.cleanup()


# Served by a process of its own.


class Server:
    """`python -m tests.support.serve`, over a prepared folder. Started again it keeps its port and its data."""

    def __init__(self, data: Path, *, under: Sequence[str] = ()) -> None:
        self.data = data
        self.port = _free_port()
        self._under = under
        self._process: subprocess.Popen[str] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [*self._under, sys.executable, "-m", "tests.support.serve", str(self.data), str(self.port)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
        # A server that does not come up says nothing, so the wait for its word has an end.
        timer = threading.Timer(_START_SECONDS, self._process.kill)
        timer.start()
        assert self._process.stdout is not None
        said = self._process.stdout.readline()
        timer.cancel()
        assert said == f"ready {self.port}\n", f"the server did not start: {said!r}"

    def kill(self) -> None:
        """`kill -9`: nothing of the process runs any further."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        # The group: a tracer in front would survive the signal to the server alone, and the other way round.
        os.killpg(self._process.pid, number)
        self._process.wait(_START_SECONDS)
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._process = None


@contextmanager
def served(data: Path, *, under: Sequence[str] = ()) -> Iterator[Server]:
    server = Server(data, under=under)
    try:
        server.start()
        yield server
    finally:
        server.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


# What providers send.


def signed_sms(sid: str, text: str, sender: str, **others: str) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a message by Twilio, signed as Twilio signs it."""
    return signed_fields(message_fields(sid, text, sender, **others))


def signed_fields(
    fields: Mapping[str, str], action: str = "message", token: str = AUTH_TOKEN
) -> tuple[bytes, dict[str, str]]:
    url = f"{ORIGIN}/hooks/{TWILIO}/{action}"
    told = url + "".join(name + fields[name] for name in sorted(fields))
    mac = b64encode(hmac_digest(token.encode(), told.encode(), sha1)).decode()
    return urlencode(fields).encode(), {"Content-Type": FORM, "X-Twilio-Signature": mac}


def sealed(body: bytes | Mapping[str, object]) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a request by the gateway."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    mac = hmac_digest(GATEWAY_KEY.encode(), raw, sha256).hex()
    return raw, {"Content-Type": "application/json", "X-Signature": mac}


def main() -> None:
    data, port = Path(sys.argv[1]), int(sys.argv[2])
    uvloop.run(up.run(settings_for(data, port), lambda url: print(f"ready {port}", flush=True)))


if __name__ == "__main__":
    main()
