"""Whether a server on this machine answers: HTTP, HTTPS or Redis. Each gives what a supervisor asks."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable

Healthy = Callable[[int], Awaitable[bool]]

_PATIENCE = 2.0  # seconds


def http_answers(host: str, port: int, path: str) -> Healthy:
    request = f"GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n"
    return lambda pid: _says(host, port, request.encode(), b"HTTP/1.1 200")


def https_answers(port: int, path: str) -> Healthy:
    """The certificate is not looked at: it is our own, and only whether somebody answers is asked."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    request = f"GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n"
    return lambda pid: _says("127.0.0.1", port, request.encode(), b"HTTP/1.1 200", context)


def redis_answers(port: int) -> Healthy:
    return lambda pid: _says("127.0.0.1", port, b"PING\r\n", b"+PONG")


async def _says(
    host: str, port: int, asked: bytes, expected: bytes, context: ssl.SSLContext | None = None
) -> bool:
    try:
        async with asyncio.timeout(_PATIENCE):
            reader, writer = await asyncio.open_connection(host, port, ssl=context)
            try:
                writer.write(asked)
                return await reader.readexactly(len(expected)) == expected
            finally:
                writer.close()
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        return False
