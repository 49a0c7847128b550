"""Attachments fetched from where a provider keeps them, without being led to places that are not for the public."""

import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv6Address, ip_address, ip_network
from urllib.parse import urljoin, urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from channels.sms.handover import Answer, Patience, failure, retry_after
from core.errors import OutcomeUnknown, ProviderRefused, ProviderUnreachable

MOST_REDIRECTS = 4
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# An IPv4 address inside an IPv6 one (RFC 6052).
_NAT64 = ip_network("64:ff9b::/96")


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """The provider's own place: the only one that gets its credentials, and the only one that may be private."""

    url: str
    headers: Mapping[str, str]

    def holds(self, url: str) -> bool:
        return _origin(url) == _origin(self.url)


async def fetch(
    http: aiohttp.ClientSession,
    url: str,
    *,
    home: Home,
    limit: int,
    patience: Patience,
    now: datetime,
    resolver: AbstractResolver | None = None,
) -> bytes:
    """The bytes at `url`, at most `limit` of them, over at most four redirects. Raises SendError.

    `resolver` finds the hosts away from home; what it finds is connected to only where it is public.
    """
    limits = aiohttp.ClientTimeout(
        total=patience.connect + 4 * patience.answer, connect=patience.connect, sock_read=patience.answer
    )
    for _ in range(MOST_REDIRECTS + 1):
        at_home = home.holds(url)
        headers = home.headers if at_home else {}
        try:
            async with (
                _session(http, url, home, at_home, resolver) as session,
                session.get(url, headers=headers, timeout=limits, allow_redirects=False) as response,
            ):
                if response.status in _REDIRECTS:
                    url = urljoin(url, response.headers.get("Location", ""))
                    continue
                if response.status != 200:
                    pause = retry_after(response.headers.get("Retry-After"), now)
                    raise _refusal(Answer(response.status, b"", pause))
                return await _read(response, limit)
        except ValueError as error:
            raise ProviderRefused("The attachment's address is not a URL.") from error
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, _NotPublic):
                raise ProviderRefused("The attachment's address leads to a private network.") from error
            raise _later(url, error) from error
        except (aiohttp.ClientError, TimeoutError) as error:
            raise _later(url, error) from error
    raise ProviderRefused(f"The attachment's address redirects more than {MOST_REDIRECTS} times.")


@asynccontextmanager
async def _session(
    http: aiohttp.ClientSession, url: str, home: Home, at_home: bool, resolver: AbstractResolver | None
) -> AsyncIterator[aiohttp.ClientSession]:
    if at_home:
        yield http
        return
    scheme, host, _ = _origin(url)
    if scheme != "https" and scheme != _origin(home.url)[0]:
        raise ProviderRefused("The attachment's address is not https.")
    if _is_literal(host) and not is_public(host):
        raise ProviderRefused("The attachment's address leads to a private network.")
    # A session of its own: the shared one neither checks what a name resolves to nor leaves its cookies at home.
    connector = aiohttp.TCPConnector(
        resolver=PublicResolver(resolver or aiohttp.ThreadedResolver()), use_dns_cache=False
    )
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield session


async def _read(response: aiohttp.ClientResponse, limit: int) -> bytes:
    read = bytearray()
    async for chunk in response.content.iter_chunked(65_536):
        read += chunk
        if len(read) > limit:
            raise ProviderRefused(f"The attachment is larger than {limit} bytes.")
    return bytes(read)


def _refusal(answer: Answer) -> Exception:
    error = failure(answer)
    # A download may be repeated, and one that is gone says nothing about our credentials.
    if isinstance(error, OutcomeUnknown):
        return ProviderUnreachable("The provider failed to give the attachment.", status=answer.status)
    if answer.status == 404:
        return ProviderRefused("The provider no longer has the attachment.", status=answer.status)
    return error


def _later(url: str, error: Exception) -> ProviderUnreachable:
    return ProviderUnreachable(
        "The attachment cannot be reached; it is fetched again later.",
        host=urlsplit(url).netloc,
        cause=type(error).__name__,
    )


class _NotPublic(OSError):
    pass


class PublicResolver(AbstractResolver):
    """Finds public addresses only; what it returns is what is connected to, so a name cannot change its mind."""

    def __init__(self, inner: AbstractResolver) -> None:
        self._inner = inner

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = [
            result for result in await self._inner.resolve(host, port, family) if is_public(result["host"])
        ]
        if not found:
            raise _NotPublic(f"{host} has no public address")
        return found

    async def close(self) -> None:
        await self._inner.close()


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the public internet; names and garbage do not."""
    if not _is_literal(address):
        return False
    found = ip_address(address)
    if isinstance(found, IPv6Address):
        if found.sixtofour or found.teredo or found in _NAT64:
            # Each hides an IPv4 address that the gateway beyond would connect to.
            return False
        found = found.ipv4_mapped or found
    return found.is_global and not found.is_multicast


def _is_literal(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _origin(url: str) -> tuple[str, str, int | None]:
    try:
        parts = urlsplit(url)
        port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    except ValueError as error:
        raise ProviderRefused("The attachment's address is not a URL.") from error
    return parts.scheme, parts.hostname or "", port
