"""The server: one process with everything in it, or with one role of the grown size, until it is told to stop."""

import asyncio
import errno
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import uvloop
from aiohttp import web

from core.errors import ConfigInvalid
from core.settings import Settings
from core.telemetry import set_up_logging
from core.users import ADMINISTRATOR, all_users
from workers import commands
from workers.assemble import Hub, assemble, running
from workers.control import listening, only_writer
from workers.roles import ALL, Role
from workers.watching.parts import LEASE, WATCHING, stand, watching_of
from workers.web.app import create_app
from workers.web.health import metrics_site

if TYPE_CHECKING:
    from workers.demo.traffic import Traffic

Told = Callable[[str], None]

MODESTY = 3
"""The niceness of processes that nobody waits for: neither senders, nor consoles, nor those who look at figures."""


def serve(
    settings: Settings,
    *,
    demo: bool,
    traffic: bool = True,
    roles: frozenset[Role] = ALL,
    ready: Told = lambda url: None,
) -> None:
    """Serve until SIGTERM or SIGINT. `ready` is told the address once pages can be opened."""
    uvloop.run(run(settings.model_copy(update={"is_demo": demo}), ready, traffic=traffic, roles=roles))


def check_port(settings: Settings) -> None:
    """Raise ConfigInvalid at once where the port is taken, before long work is done for nothing."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise _unbound(settings, error) from error


async def run(
    settings: Settings,
    ready: Told,
    stop: asyncio.Event | None = None,
    *,
    traffic: bool = True,
    roles: frozenset[Role] = ALL,
) -> None:
    stop = stop or _stopped_by_signals()
    is_sqlite = settings.database_url.startswith("sqlite")
    if is_sqlite and roles != ALL:
        raise ConfigInvalid("Several processes need PostgreSQL; name it in SWITCHBOARD_DATABASE.")
    if roles != ALL and not settings.is_grown:
        raise ConfigInvalid("Several processes need Redis to wake each other; name it in SWITCHBOARD_REDIS.")
    if not roles & {Role.WEB, Role.DIGEST}:
        os.nice(MODESTY)
    with only_writer(settings.data) if is_sqlite else nullcontext():
        async with assemble(settings, roles=roles) as assembled:
            writers = _traffic(assembled, traffic)
            hub = replace(assembled, traffic=writers)
            set_up_logging(
                settings.log_level, as_json=not sys.stderr.isatty(), secrets=lambda: hub.secrets.seen
            )
            if not settings.is_demo and not settings.is_grown:
                await _require_administrator(hub)
            async with AsyncExitStack() as stack:
                await stack.enter_async_context(running(hub))
                await stack.enter_async_context(
                    _beside([*_watched(hub), *([writers.run()] if writers else [])])
                )
                if settings.metrics_port:
                    await stack.enter_async_context(metrics_site(hub, settings.metrics_port))
                if not settings.is_grown:  # its commands go to the database, whichever process is there
                    await stack.enter_async_context(listening(settings.data, partial(commands.run, hub)))
                if Role.WEB in roles:
                    ready(await stack.enter_async_context(_pages(hub)))
                await stop.wait()


def _watched(hub: Hub) -> list[Coroutine[Any, Any, None]]:
    """This process is heard of; those of two roles ask for the lease to watch all others."""
    watching = watching_of(hub, hub.spool)
    parts = [watching.heartbeat.run()]
    if hub.roles & WATCHING:
        parts.append(watching.watch.run())
        if hub.settings.is_grown:
            parts.append(hub.leases.hold(LEASE, stand))
    return parts


@asynccontextmanager
async def _pages(hub: Hub) -> AsyncIterator[str]:
    runner = web.AppRunner(create_app(hub), handle_signals=False, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        yield await _listen(hub.settings, runner)
    finally:
        await runner.cleanup()


def _traffic(hub: Hub, running: bool) -> "Traffic | None":
    """The demo's customers. What they need is imported only where they write."""
    if not hub.settings.is_demo or hub.roles != ALL:
        return None
    from workers.demo.traffic import Traffic

    return Traffic(hub, running=running)


async def _require_administrator(hub: Hub) -> None:
    async with hub.db.read() as session:
        users = await all_users(session)
    if not any(ADMINISTRATOR in user.roles for user in users):
        raise ConfigInvalid(
            "There is no administrator yet; make the first one with: switchboard users add --admin LOGIN"
        )


@asynccontextmanager
async def _beside(parts: Sequence[Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Run what only a server has: its heartbeat, the watch, the demo's customers."""
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _listen(settings: Settings, runner: web.AppRunner) -> str:
    """Bind and return the address that a person opens."""
    site = web.TCPSite(runner, settings.host, settings.port)
    try:
        await site.start()
    except OSError as error:
        raise _unbound(settings, error) from error
    port = runner.addresses[0][1]
    return settings.public_url or f"http://localhost:{port}"


def _unbound(settings: Settings, error: OSError) -> ConfigInvalid:
    if error.errno == errno.EADDRINUSE:
        said = f"Port {settings.port} is taken; choose another, such as SWITCHBOARD_PORT={settings.port + 1}."
    elif error.errno == errno.EACCES:
        said = f"Port {settings.port} needs more rights; choose one above 1023 in SWITCHBOARD_PORT."
    else:
        why = os.strerror(error.errno or 0)
        said = f"{settings.host}:{settings.port} cannot be used ({why}); see SWITCHBOARD_HOST and _PORT."
    return ConfigInvalid(said)


def _stopped_by_signals() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop
