"""Telling: what begins, grows, goes on or is over reaches the persons named in the settings, by mail and by webhook."""

import asyncio
import hmac
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from hashlib import sha256
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

import aiohttp
import aiosmtplib
import orjson

from core.clock import Clock, now
from core.errors import ConfigInvalid, SwitchboardError
from core.secrets import Secrets
from core.settings import Settings
from core.words import say
from workers.watching.alarms import Severity
from workers.watching.judging import State, Word

log = logging.getLogger(__name__)

GUIDE = "docs/watching.md"
"""Where each alarm has its section, under its name."""

SIGNED = "X-Switchboard-Signature"
MOMENT = "X-Switchboard-Timestamp"

_PATIENCE = 20.0  # seconds for one mail or one request
_ORDER = {State.BEGINS: 0, State.GROWS: 1, State.GOES_ON: 2, State.OVER: 3}


Tell = Callable[[Sequence[Word]], Awaitable[bool]]
"""Tells, and returns whether somebody has been told."""


class Way(Protocol):
    """One way of telling. Raises when the other side has not taken it."""

    @property
    def name(self) -> str: ...

    async def tell(self, words: Sequence[Word], at: datetime) -> None: ...


class Teller:
    """Tells by all ways. What none of them took is said again later; with no way at all, the log is told."""

    def __init__(self, ways: Sequence[Way], clock: Clock = now) -> None:
        self._ways = ways
        self._clock = clock

    async def tell(self, words: Sequence[Word]) -> bool:
        """Whether somebody has been told."""
        for word in words:
            log.warning(
                "alarm",
                extra={"alarm": word.alarm.name, "state": word.state.value, **word.alarm.figures},
            )
        if not self._ways:
            return True
        ordered = sorted(
            words, key=lambda word: (_ORDER[word.state], word.alarm.kind.severity != Severity.URGENT)
        )
        taken = await asyncio.gather(*(self._tell(way, ordered) for way in self._ways))
        return any(taken)

    async def _tell(self, way: Way, words: Sequence[Word]) -> bool:
        try:
            async with asyncio.timeout(_PATIENCE):
                await way.tell(words, self._clock())
        except (
            aiosmtplib.SMTPException,
            aiohttp.ClientError,
            SwitchboardError,
            OSError,
            TimeoutError,
        ) as error:
            log.error(
                "nobody was told of the alarm by this way",
                extra={"way": way.name, "reason": repr(error)[:300]},
            )
            return False
        return True


def ways(settings: Settings, secrets: Secrets, http: aiohttp.ClientSession) -> list[Way]:
    """The ways that the settings name. Raises ConfigInvalid for what cannot work, so that it is known at the start."""
    found: list[Way] = []
    if settings.alarm_mail_to:
        found.append(Mail.of(settings, secrets))
    if settings.alarm_webhook:
        found.append(Webhook.of(settings, secrets, http))
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """By SMTP. A password goes only over TLS: from the first byte (smtps) or after STARTTLS (smtp)."""

    hub: str
    sender: str
    recipients: tuple[str, ...]
    host: str
    port: int
    is_tls: bool
    user: str
    password: Callable[[], str]
    locale: str
    name: str = "mail"

    @classmethod
    def of(cls, settings: Settings, secrets: Secrets) -> "Mail":
        url = urlsplit(settings.alarm_smtp)
        if url.scheme not in ("smtp", "smtps") or not url.hostname:
            raise ConfigInvalid(
                "SWITCHBOARD_ALARM_SMTP must be smtp://[user@]host[:port], or smtps:// for TLS from the start."
            )
        if not settings.alarm_mail_from:
            raise ConfigInvalid("SWITCHBOARD_ALARM_MAIL_FROM must say whose address alarms come from.")
        if url.password:
            raise ConfigInvalid(
                "SWITCHBOARD_ALARM_SMTP holds a password; name it in SWITCHBOARD_ALARM_SMTP_PASSWORD, as file:/PATH."
            )
        reference = settings.alarm_smtp_password
        if url.username:
            secrets.resolve(reference)
        return cls(
            hub=settings.origin,
            sender=settings.alarm_mail_from,
            recipients=tuple(each.strip() for each in settings.alarm_mail_to.split(",") if each.strip()),
            host=url.hostname,
            port=url.port or (465 if url.scheme == "smtps" else 25),
            is_tls=url.scheme == "smtps",
            user=unquote(url.username or ""),
            # Read each time, so that a new password needs no restart.
            password=lambda: secrets.resolve(reference),
            locale=settings.alarm_language,
        )

    async def tell(self, words: Sequence[Word], at: datetime) -> None:
        await aiosmtplib.send(
            self._message(words, at),
            hostname=self.host,
            port=self.port,
            username=self.user or None,
            password=self.password() if self.user else None,
            use_tls=self.is_tls,
            # Without a password what the server offers is taken; with one there must be TLS.
            start_tls=False if self.is_tls else (True if self.user else None),
            timeout=_PATIENCE,
        )

    def _message(self, words: Sequence[Word], at: datetime) -> EmailMessage:
        message = EmailMessage()
        message["From"] = self.sender
        message["To"] = ", ".join(self.recipients)
        message["Subject"] = subject(words, self.locale)
        message["Date"] = format_datetime(at.astimezone(UTC))
        message["Message-ID"] = make_msgid(domain="switchboard.invalid")
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(body(words, self.locale, self.hub))
        return message


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """By a POST of JSON, signed with HMAC-SHA-256 over the timestamp, a dot and the body."""

    hub: str
    url: str
    key: Callable[[], str]
    http: aiohttp.ClientSession
    locale: str
    name: str = "webhook"

    @classmethod
    def of(cls, settings: Settings, secrets: Secrets, http: aiohttp.ClientSession) -> "Webhook":
        if urlsplit(settings.alarm_webhook).scheme not in ("http", "https"):
            raise ConfigInvalid("SWITCHBOARD_ALARM_WEBHOOK must be an https:// address.")
        reference = settings.alarm_webhook_key
        secrets.resolve(reference)
        return cls(
            hub=settings.origin,
            url=settings.alarm_webhook,
            key=lambda: secrets.resolve(reference),
            http=http,
            locale=settings.alarm_language,
        )

    async def tell(self, words: Sequence[Word], at: datetime) -> None:
        content = orjson.dumps({"hub": self.hub, "at": at, "alarms": [self._plain(word) for word in words]})
        moment = str(int(at.timestamp()))
        headers = {
            "Content-Type": "application/json",
            MOMENT: moment,
            SIGNED: signature(self.key(), moment, content),
        }
        async with self.http.post(self.url, data=content, headers=headers, allow_redirects=False) as answer:
            if not 200 <= answer.status < 300:
                raise aiohttp.ClientResponseError(answer.request_info, (), status=answer.status)

    def _plain(self, word: Word) -> dict[str, Any]:
        alarm = word.alarm
        return {
            "name": alarm.name,
            "kind": alarm.kind.name,
            "subject": alarm.subject,
            "severity": alarm.kind.severity,
            "state": word.state,
            "since": word.standing.since,
            "title": title(word, self.locale),
            "meaning": say(self.locale, alarm.kind.meaning),
            "figures": dict(alarm.figures),
            "guide": guide(word),
        }


def signature(key: str, moment: str, content: bytes) -> str:
    """What the receiver computes too, and compares in constant time; a moment that is long past is a repeat."""
    return "sha256=" + hmac.digest(key.encode(), moment.encode() + b"." + content, sha256).hex()


# The words.


def title(word: Word, locale: str) -> str:
    return say(locale, word.alarm.kind.title, subject=word.alarm.subject)


def guide(word: Word) -> str:
    return f"{GUIDE}#{word.alarm.kind.name}"


def subject(words: Sequence[Word], locale: str) -> str:
    """Of the first word, and how many others there are."""
    first = words[0]
    said = f"{_called(first.state, locale)}: {title(first, locale)}"
    return f"[Switchboard] {said}" + (f" (+{len(words) - 1})" if len(words) > 1 else "")


def body(words: Sequence[Word], locale: str, hub: str) -> str:
    return "\n".join([hub, "", *(_paragraph(word, locale) for word in words)])


def _paragraph(word: Word, locale: str) -> str:
    alarm = word.alarm
    lines = [f"{_called(word.state, locale)}: {title(word, locale)}", f"  {say(locale, alarm.kind.meaning)}"]
    if alarm.figures and word.state is not State.OVER:
        lines.append("  " + ", ".join(f"{name} {value}" for name, value in alarm.figures.items()))
    moment = word.standing.since.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    since = say(locale, "Since {moment}", moment=moment)
    lines += [f"  {since}", f"  {guide(word)}", ""]
    return "\n".join(lines)


def _called(state: State, locale: str) -> str:
    match state:
        case State.BEGINS:
            return say(locale, "Alarm")
        case State.GROWS:
            return say(locale, "Alarm, more of it")
        case State.GOES_ON:
            return say(locale, "Alarm, still")
        case State.OVER:
            return say(locale, "Over")
