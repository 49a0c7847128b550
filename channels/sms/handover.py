"""One request that hands a message to a provider, and what each way that it can end means for the message."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from urllib.parse import urlsplit

import aiohttp

from core.errors import (
    OutcomeUnknown,
    ProviderRefused,
    ProviderRejectedUs,
    ProviderThrottled,
    ProviderUnreachable,
    SendError,
)

# A provider's answer to one message is a few hundred bytes.
MOST_ANSWER_BYTES = 256 * 1024
LONGEST_PAUSE = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a provider may take: to be reached at all, then to answer."""

    connect: float = 5.0
    answer: float = 20.0


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes = field(repr=False)
    retry_after: timedelta | None = None


def checked_url(url: str, *, plain_http: bool = False) -> str:
    """An address that messages and credentials may be sent to, as an account's configuration names it.

    Raises ValueError, which says what to write instead. Plain HTTP is taken on this machine, or where it is allowed.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise ValueError("write a whole URL, such as https://sms.example.com/send")
    if parts.username is not None or parts.fragment:
        raise ValueError("the URL holds a name, a password or a fragment; put passwords among the secrets")
    if parts.scheme == "http" and not plain_http and not is_loopback(parts.hostname):
        raise ValueError("plain http would show messages and passwords to the network; use https")
    return url


def is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


async def post(
    http: aiohttp.ClientSession,
    url: str,
    *,
    body: bytes,
    headers: Mapping[str, str],
    patience: Patience,
    now: datetime,
) -> Answer:
    """POST once, follow nothing, and return what was answered, whatever its status.

    Raises ProviderUnreachable when the request cannot have been read, OutcomeUnknown when it may have been.
    """
    limits = aiohttp.ClientTimeout(
        total=patience.connect + 2 * patience.answer, connect=patience.connect, sock_read=patience.answer
    )
    host = urlsplit(url).netloc
    try:
        async with http.post(
            url, data=body, headers=headers, timeout=limits, allow_redirects=False
        ) as response:
            answered = await _read(response)
            pause = retry_after(response.headers.get("Retry-After"), now)
            return Answer(response.status, answered, pause)
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
        raise ProviderUnreachable(
            "The provider cannot be reached; the message is offered again later.",
            host=host,
            cause=type(error).__name__,
        ) from error
    except (aiohttp.ClientError, TimeoutError) as error:
        # The connection stood, so the request may have been read before it broke.
        raise OutcomeUnknown(
            "The provider took the request and gave no answer; look there before sending again.",
            host=host,
            cause=type(error).__name__,
        ) from error


async def _read(response: aiohttp.ClientResponse) -> bytes:
    read = bytearray()
    async for chunk in response.content.iter_chunked(16_384):
        read += chunk
        if len(read) > MOST_ANSWER_BYTES:
            break
    return bytes(read)


def failure(answer: Answer, said: str = "") -> SendError:
    """What an answer other than 2xx means when its body names no error that we know. `said` is the provider's own."""
    detail = {"status": answer.status, "provider_error": said[:200]}
    match answer.status:
        case 401 | 403 | 404 | 407:
            return ProviderRejectedUs(
                "The provider rejects our credentials or address; check the account.", **detail
            )
        case 429:
            return ProviderThrottled(
                "The provider asks us to send more slowly.", retry_after=answer.retry_after, **detail
            )
        case 503:
            # By its definition (RFC 9110, 15.6.4) the server could not handle the request: nothing was taken.
            return ProviderUnreachable("The provider is out of service.", **detail)
        case status if status >= 500:
            return OutcomeUnknown(
                "The provider failed while it handled the message; look there first.", **detail
            )
        case status if 300 <= status < 400:
            return ProviderRejectedUs(
                "The provider answers with a redirect; correct the account's URL.", **detail
            )
        case _:
            return ProviderRefused("The provider refused the message.", **detail)


def retry_after(value: str | None, now: datetime) -> timedelta | None:
    """The pause that a Retry-After header asks for, in seconds or as a date; None when it is absent or makes no sense.

    Never less than nothing or more than an hour, since a mistaken date would silence the account.
    """
    if not value or len(value) > 64:
        return None
    try:
        if value.strip().isascii() and value.strip().isdigit():
            pause = timedelta(seconds=min(int(value), 86_400))
        else:
            moment = parsedate_to_datetime(value)
            pause = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now
    except (ValueError, OverflowError):
        return None
    return min(max(pause, timedelta()), LONGEST_PAUSE)
