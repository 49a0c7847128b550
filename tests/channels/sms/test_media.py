"""Attachments are fetched from the provider, and from nowhere that is not for the public."""

import socket
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from channels.sms import media
from channels.sms.handover import Patience
from channels.sms.media import Home, is_public
from channels.sms.twilio import Twilio
from core.adapter import AdapterTools
from core.errors import ProviderRefused, ProviderRejectedUs, ProviderThrottled, ProviderUnreachable, SendError
from core.values import Attachment
from tests.channels.sms.specimens import TwilioSpecimen
from tests.support.channel_kit import NOW
from tests.support.fake_provider import Behaviour, nobody_listens
from tests.support.fake_twilio import FakeTwilio

PATIENCE = Patience(connect=10.0, answer=10.0)
HARDLY_ANY = Patience(connect=10.0, answer=0.1)
PICTURE = b"\xff\xd8 a picture"


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def twilio() -> AsyncIterator[FakeTwilio]:
    async with FakeTwilio() as provider:
        provider.media["/picture"] = PICTURE
        yield provider


class Everywhere(AbstractResolver):
    """Every name is this machine, or the address that is given."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        self._address = address

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = ResolveResult(
            hostname=host, host=self._address, port=port, family=socket.AF_INET, proto=0, flags=0
        )
        return [found]

    async def close(self) -> None:
        pass


async def fetch(
    http: aiohttp.ClientSession,
    twilio: FakeTwilio,
    path: str,
    resolver: AbstractResolver | None = None,
    patience: Patience = PATIENCE,
) -> bytes:
    home = Home(url=twilio.base_url, headers={"Authorization": "Basic secret"})
    url = path if "://" in path else twilio.base_url + path
    return await media.fetch(http, url, home=home, limit=100, patience=patience, now=NOW, resolver=resolver)


async def test_an_account_fetches_its_own_media(http: aiohttp.ClientSession, twilio: FakeTwilio) -> None:
    account = TwilioSpecimen().account(twilio.base_url)
    line = Twilio(account, AdapterTools(http=http, now=lambda: NOW))
    file = Attachment(name="media-0", content_type="image/jpeg", url=f"{twilio.base_url}/picture")
    assert await line.fetch(file, 100) == PICTURE
    assert twilio.seen[0].headers["Authorization"].startswith("Basic ")


async def test_a_redirect_elsewhere_gets_no_credentials(
    http: aiohttp.ClientSession, twilio: FakeTwilio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(media, "is_public", lambda address: True)
    port = twilio.base_url.rpartition(":")[2]
    twilio.media["/moved"] = f"http://files.example.com:{port}/picture"
    assert await fetch(http, twilio, "/moved", Everywhere()) == PICTURE
    assert [seen.headers.get("Authorization") for seen in twilio.seen] == ["Basic secret", None]


async def test_a_redirect_at_home_keeps_them(http: aiohttp.ClientSession, twilio: FakeTwilio) -> None:
    twilio.media["/moved"] = "/picture"
    assert await fetch(http, twilio, "/moved") == PICTURE
    assert [seen.headers.get("Authorization") for seen in twilio.seen] == ["Basic secret"] * 2


@pytest.mark.parametrize(
    "elsewhere",
    [
        "http://169.254.169.254/latest/meta-data",
        "http://10.0.0.1/",
        "http://127.0.0.1:1/",
        "http://127.1/",
        "http://2130706433/",
        "http://0.0.0.0/",
        "http://[::1]/",
        "http://[::ffff:10.0.0.1]/",
        "http://[64:ff9b::a00:1]/",
        "http://localhost/",
        "http://inside.example.com/",
        "ftp://files.example.com/",
        "file:///etc/passwd",
        "http://user:word@[/",
        "//inside.example.com:99999/",
        "gopher:",
    ],
)
async def test_nobody_leads_us_into_a_private_network(
    http: aiohttp.ClientSession, twilio: FakeTwilio, elsewhere: str
) -> None:
    twilio.media["/moved"] = elsewhere
    with pytest.raises(ProviderRefused):
        await fetch(http, twilio, "/moved", Everywhere("10.0.0.7"))
    assert len(twilio.seen) == 1


async def test_a_name_that_changes_its_mind_is_not_followed(
    http: aiohttp.ClientSession, twilio: FakeTwilio
) -> None:
    # What was checked is what is connected to: the resolver is asked once, by the connection itself.
    port = twilio.base_url.rpartition(":")[2]
    with pytest.raises(ProviderRefused, match="private"):
        await fetch(http, twilio, f"http://rebound.example.com:{port}/picture", Everywhere())
    assert twilio.seen == []


async def test_an_attachment_larger_than_allowed_is_not_read_to_its_end(
    http: aiohttp.ClientSession, twilio: FakeTwilio
) -> None:
    twilio.media["/large"] = b"x" * 1_000_000
    with pytest.raises(ProviderRefused, match="larger than 100"):
        await fetch(http, twilio, "/large")


async def test_a_redirect_in_a_circle_ends(http: aiohttp.ClientSession, twilio: FakeTwilio) -> None:
    twilio.media["/moved"] = "/moved"
    with pytest.raises(ProviderRefused, match="redirects"):
        await fetch(http, twilio, "/moved")
    assert len(twilio.seen) == 5


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [
        (Behaviour.IS_AWAY, ProviderUnreachable),
        (Behaviour.FAILS, ProviderUnreachable),
        (Behaviour.TEARS, ProviderUnreachable),
        (Behaviour.THROTTLES, ProviderThrottled),
    ],
)
async def test_a_download_that_failed_may_be_repeated(
    http: aiohttp.ClientSession, twilio: FakeTwilio, behaviour: Behaviour, error: type[SendError]
) -> None:
    twilio.behaviour = behaviour
    with pytest.raises(SendError) as refused:
        await fetch(http, twilio, "/picture")
    assert type(refused.value) is error
    assert refused.value.retryable


async def test_a_download_ends_though_nobody_answers(http: aiohttp.ClientSession, twilio: FakeTwilio) -> None:
    twilio.behaviour = Behaviour.SAYS_NOTHING
    with pytest.raises(ProviderUnreachable):
        await fetch(http, twilio, "/picture", patience=HARDLY_ANY)


async def test_a_provider_that_nobody_reaches_is_tried_later(
    http: aiohttp.ClientSession, twilio: FakeTwilio
) -> None:
    with nobody_listens() as url, pytest.raises(ProviderUnreachable):
        await media.fetch(http, url, home=Home(url=url, headers={}), limit=9, patience=PATIENCE, now=NOW)


async def test_credentials_that_are_refused_are_named(
    http: aiohttp.ClientSession, twilio: FakeTwilio
) -> None:
    with pytest.raises(ProviderRejectedUs):
        await fetch(http, twilio, "/unknown")


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1::1", True),
        ("::ffff:93.184.216.34", True),
        ("127.0.0.1", False),
        ("192.168.1.1", False),
        ("100.64.0.1", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("fe80::1", False),
        ("fd00::1", False),
        ("2002:a00:1::", False),
        ("64:ff9b::7f00:1", False),
        ("example.com", False),
        ("", False),
    ],
)
def test_what_is_public(address: str, public: bool) -> None:
    assert is_public(address) is public
