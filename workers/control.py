"""One writer for a data folder: a lock says who it is, and a socket beside the data takes commands for it."""

import asyncio
import contextlib
import fcntl
import hashlib
import logging
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

import orjson

from core.errors import BadInput, Conflict, SwitchboardError, Unavailable

log = logging.getLogger(__name__)

_LONGEST_PATH: Final = 100  # a socket's address holds 107 bytes
_LARGEST: Final = 32 * 1024 * 1024
_PATIENCE: Final = 600.0

Answerer = Callable[[str, dict[str, Any]], Awaitable[Any]]


class RemoteError(SwitchboardError):
    """What the running hub said of a command."""

    def __init__(self, code: str, message: str, detail: dict[str, Any]) -> None:
        super().__init__(message, **detail)
        self.remote_code = code


def socket_path(data: Path) -> Path:
    """Where the hub of this folder listens; a folder with a long name has its socket among the temporary files."""
    path = data.resolve() / "control.sock"
    if len(os.fsencode(path)) <= _LONGEST_PATH:
        return path
    name = hashlib.sha256(os.fsencode(path)).hexdigest()[:24]
    return Path(tempfile.gettempdir()) / f"switchboard-{os.getuid()}-{name}.sock"


@contextmanager
def only_writer(data: Path) -> Iterator[None]:
    """Hold the folder's lock. Raises Conflict when another process has it; a killed one has left it."""
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = os.open(data / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Conflict(
                f"Another Switchboard works in {data}; stop it first, or name another folder in SWITCHBOARD_DATA."
            ) from error
        yield
    finally:
        os.close(handle)


@asynccontextmanager
async def listening(data: Path, answer: Answerer) -> AsyncIterator[None]:
    """Take commands on the folder's socket beside the block; the caller holds the folder's lock."""
    path = socket_path(data)
    path.unlink(missing_ok=True)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            writer.write(await _answered(answer, await reader.readline()))
            await writer.drain()
        writer.close()

    before = os.umask(0o177)  # nobody else may connect, not even for the moment until a chmod
    try:
        server = await asyncio.start_unix_server(serve, path, limit=_LARGEST)
    finally:
        os.umask(before)
    try:
        yield
    finally:
        server.close()
        path.unlink(missing_ok=True)


async def _answered(answer: Answerer, line: bytes) -> bytes:
    try:
        asked = orjson.loads(line)
        said = {"result": await answer(asked["command"], asked["args"])}
    except SwitchboardError as error:
        said = {"error": {"code": error.code, "message": error.message, "detail": error.detail}}
    except (ValueError, KeyError, TypeError):
        log.exception("command failed")
        said = {"error": {"code": BadInput.code, "message": "The command was not understood.", "detail": {}}}
    except Exception:
        log.exception("command failed")
        message = "Something went wrong in the running hub; its log says what."
        said = {"error": {"code": SwitchboardError.code, "message": message, "detail": {}}}
    return orjson.dumps(said, default=str) + b"\n"


async def ask(data: Path, command: str, args: dict[str, Any]) -> Any:
    """Let the running hub do it. Raises NotRunning when there is none, RemoteError when it refused."""
    try:
        reader, writer = await asyncio.open_unix_connection(socket_path(data), limit=_LARGEST)
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise NotRunning("No hub is running here.") from error
    try:
        writer.write(orjson.dumps({"command": command, "args": args}) + b"\n")
        async with asyncio.timeout(_PATIENCE):
            await writer.drain()
            line = await reader.readline()
    finally:
        writer.close()
    if not line:
        raise Unavailable("The running hub stopped before it answered; look whether the command took effect.")
    said = orjson.loads(line)
    if "error" in said:
        raise RemoteError(**said["error"])
    return said["result"]


class NotRunning(Unavailable):
    """Nobody listens at the folder's socket."""
