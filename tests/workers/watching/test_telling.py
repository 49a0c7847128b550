"""Alarms reach a mailbox over real SMTP and an address over HTTP, signed; a password never goes in the clear."""

import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web

from core.errors import ConfigInvalid, SecretMissing
from core.secrets import Secrets
from core.settings import Settings
from tests.support.entries import NOON
from tests.support.mailbox import PASSWORD, USER, Mailbox, certificate, mail_server
from workers.watching.alarms import CONSUMER_BEHIND, SENDS_UNKNOWN, Alarm
from workers.watching.judging import Standing, State, Word
from workers.watching.telling import MOMENT, SIGNED, Teller, ways

UNKNOWN = Word(State.GROWS, Standing(alarm=Alarm(SENDS_UNKNOWN, "", {"number": 3}), since=NOON))
BEHIND = Word(
    State.BEGINS,
    Standing(alarm=Alarm(CONSUMER_BEHIND, "crm", {"entries": 90_000, "seconds": 75}), since=NOON),
)


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def mailbox() -> AsyncIterator[Mailbox]:
    async with mail_server() as box:
        yield box


def _settings(folder: Path, **more: Any) -> Settings:
    return Settings(data=folder, public_url="https://hub.test", **more)


def _by_mail(folder: Path, port: int, **more: Any) -> Settings:
    return _settings(
        folder,
        **{
            "alarm_mail_to": "anna@house.test, ben@house.test",
            "alarm_mail_from": "hub@house.test",
            "alarm_smtp": f"smtp://127.0.0.1:{port}",
            **more,
        },
    )


def _teller(settings: Settings, http: aiohttp.ClientSession) -> Teller:
    return Teller(ways(settings, Secrets(settings.data / "secrets"), http), lambda: NOON)


async def test_several_alarms_are_one_mail_to_everybody(
    tmp_path: Path, http: aiohttp.ClientSession, mailbox: Mailbox
) -> None:
    assert await _teller(_by_mail(tmp_path, mailbox.port), http).tell([UNKNOWN, BEHIND])
    (mail,) = mailbox.mails
    assert mailbox.recipients == [["anna@house.test", "ben@house.test"]]
    assert mail["Subject"] == "[Switchboard] Alarm: The consumer crm is behind (+1)"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail.get_content().replace("\r\n", "\n") == (
        "https://hub.test\n"
        "\n"
        "Alarm: The consumer crm is behind\n"
        "  Messages are in the log and nobody has read them yet: no figures, no answers, no search.\n"
        "  entries 90000, seconds 75\n"
        "  Since 2026-11-18 04:00:00 UTC\n"
        "  docs/watching.md#consumer_behind\n"
        "\n"
        "Alarm, more of it: Messages may or may not have been sent\n"
        "  A provider never said whether it took them; they are not sent again until a person decides.\n"
        "  number 3\n"
        "  Since 2026-11-18 04:00:00 UTC\n"
        "  docs/watching.md#sends_unknown\n"
    )


async def test_it_speaks_the_language_of_the_house(
    tmp_path: Path, http: aiohttp.ClientSession, mailbox: Mailbox
) -> None:
    settings = _by_mail(tmp_path, mailbox.port, alarm_language="zh-Hans")
    await _teller(settings, http).tell([BEHIND])
    assert mailbox.mails[0]["Subject"] == "[Switchboard] 告警: crm 消费者落后"
    assert "消息已入日志但还没有被读取" in mailbox.mails[0].get_content()


async def test_a_password_goes_over_tls(
    tmp_path: Path, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
    (tmp_path / "smtp.secret").write_text(PASSWORD)
    async with mail_server(context) as box:
        settings = _by_mail(
            tmp_path,
            box.port,
            alarm_smtp=f"smtp://{USER}@localhost:{box.port}",
            alarm_smtp_password=f"file:{tmp_path / 'smtp.secret'}",
        )
        assert await _teller(settings, http).tell([BEHIND])
    assert box.was_encrypted == [True]


async def test_a_password_does_not_go_to_a_server_without_tls(
    tmp_path: Path, http: aiohttp.ClientSession, mailbox: Mailbox
) -> None:
    (tmp_path / "smtp.secret").write_text(PASSWORD)
    settings = _by_mail(
        tmp_path,
        mailbox.port,
        alarm_smtp=f"smtp://{USER}@127.0.0.1:{mailbox.port}",
        alarm_smtp_password=f"file:{tmp_path / 'smtp.secret'}",
    )
    assert not await _teller(settings, http).tell([BEHIND])
    assert mailbox.mails == []


async def test_a_server_that_refuses_has_not_been_told(
    tmp_path: Path, http: aiohttp.ClientSession, mailbox: Mailbox
) -> None:
    mailbox.refuses = True
    assert not await _teller(_by_mail(tmp_path, mailbox.port), http).tell([BEHIND])
    nobody_there = _by_mail(tmp_path, 9)
    assert not await _teller(nobody_there, http).tell([BEHIND])


# The webhook.


@dataclass(slots=True)
class Receiver:
    url: str = ""
    status: int = 204
    seen: list[tuple[bytes, dict[str, str]]] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        self.seen.append((await request.read(), dict(request.headers)))
        return web.Response(status=self.status, headers={"Location": "/elsewhere"})


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/{path:.*}", receiver.take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/alarms"
        yield receiver
    finally:
        await runner.cleanup()


async def test_a_webhook_is_signed_json(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    async with receiving() as receiver:
        assert await _teller(_settings(tmp_path, alarm_webhook=receiver.url), http).tell([BEHIND])
    ((body, headers),) = receiver.seen
    key = (tmp_path / "secrets" / "alarm-webhook").read_text()
    expected = hmac.new(key.encode(), headers[MOMENT].encode() + b"." + body, sha256).hexdigest()
    assert headers[SIGNED] == f"sha256={expected}"
    assert headers[MOMENT] == str(int(NOON.timestamp()))
    assert orjson.loads(body) == {
        "hub": "https://hub.test",
        "at": "2026-11-18T04:00:00+00:00",
        "alarms": [
            {
                "name": "consumer_behind:crm",
                "kind": "consumer_behind",
                "subject": "crm",
                "severity": "urgent",
                "state": "begins",
                "since": "2026-11-18T04:00:00+00:00",
                "title": "The consumer crm is behind",
                "meaning": "Messages are in the log and nobody has read them yet:"
                " no figures, no answers, no search.",
                "figures": {"entries": 90_000, "seconds": 75},
                "guide": "docs/watching.md#consumer_behind",
            }
        ],
    }


@pytest.mark.parametrize("status", [302, 404, 500])
async def test_a_webhook_is_taken_with_a_2xx_only(
    tmp_path: Path, http: aiohttp.ClientSession, status: int
) -> None:
    async with receiving() as receiver:
        receiver.status = status
        assert not await _teller(_settings(tmp_path, alarm_webhook=receiver.url), http).tell([BEHIND])
    assert len(receiver.seen) == 1


async def test_one_way_is_enough(tmp_path: Path, http: aiohttp.ClientSession, mailbox: Mailbox) -> None:
    settings = _by_mail(tmp_path, mailbox.port, alarm_webhook="http://127.0.0.1:9/nobody")
    assert await _teller(settings, http).tell([BEHIND])
    assert len(mailbox.mails) == 1


async def test_with_no_way_the_log_is_told(
    tmp_path: Path, http: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    assert await _teller(_settings(tmp_path), http).tell([BEHIND])
    (record,) = caplog.records
    assert (record.message, record.__dict__["alarm"]) == ("alarm", "consumer_behind:crm")


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"alarm_mail_to": "a@b", "alarm_mail_from": ""}, ConfigInvalid),
        ({"alarm_mail_to": "a@b", "alarm_mail_from": "h@b", "alarm_smtp": "mail.house.test"}, ConfigInvalid),
        ({"alarm_mail_to": "a@b", "alarm_mail_from": "h@b", "alarm_smtp": "smtp://u:p@m"}, ConfigInvalid),
        ({"alarm_mail_to": "a@b", "alarm_mail_from": "h@b", "alarm_smtp": "smtp://u@m"}, SecretMissing),
        ({"alarm_webhook": "ftp://house.test"}, ConfigInvalid),
        ({"alarm_webhook": "https://house.test", "alarm_webhook_key": "env:NOT_SET"}, SecretMissing),
    ],
)
async def test_what_could_tell_nobody_is_refused_at_the_start(
    tmp_path: Path, http: aiohttp.ClientSession, wrong: dict[str, str], error: type[Exception]
) -> None:
    with pytest.raises(error):
        _teller(_settings(tmp_path, **wrong), http)
