"""Twilio's side of the wire: its Messages resource, its media, and webhooks signed as it signs them."""

from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Mapping
from itertools import count
from urllib.parse import parse_qs, urlencode

from aiohttp import web
from twilio.request_validator import RequestValidator

from tests.support.fake_provider import Behaviour, FakeProvider, Seen

ACCOUNT_SID = "AC" + "5" * 32
AUTH_TOKEN = "the-auth-token-0123456789abcdef"
NUMBER = "+15005550006"
FORM = "application/x-www-form-urlencoded; charset=UTF-8"


def sid(number: int) -> str:
    return f"SM{number:032x}"


def message_fields(message_sid: str, text: str, sender: str, **others: str) -> dict[str, str]:
    """An incoming message as Twilio sends it, blank fields and all."""
    return {
        "ToCountry": "US",
        "ToState": "",
        "SmsMessageSid": message_sid,
        "NumMedia": "0",
        "ToCity": "",
        "FromZip": "",
        "SmsSid": message_sid,
        "FromState": "",
        "SmsStatus": "received",
        "FromCity": "",
        "Body": text,
        "FromCountry": "CN",
        "To": NUMBER,
        "ToZip": "",
        "NumSegments": "1",
        "MessageSid": message_sid,
        "AccountSid": ACCOUNT_SID,
        "From": sender,
        "ApiVersion": "2010-04-01",
    } | others


def status_fields(message_sid: str, status: str, recipient: str, code: str = "") -> dict[str, str]:
    fields = {
        "SmsSid": message_sid,
        "SmsStatus": status,
        "MessageStatus": status,
        "To": recipient,
        "MessageSid": message_sid,
        "AccountSid": ACCOUNT_SID,
        "From": NUMBER,
        "ApiVersion": "2010-04-01",
    }
    return fields | ({"ErrorCode": code} if code else {})


def signed_webhook(
    url: str, fields: Mapping[str, str], token: str = AUTH_TOKEN
) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a webhook to `url`."""
    signature = RequestValidator(token).compute_signature(url, dict(fields))
    return urlencode(fields).encode(), {"Content-Type": FORM, "X-Twilio-Signature": signature}


class FakeTwilio(FakeProvider):
    """`media` maps a path to what is there: bytes, or a URL that it redirects to."""

    def __init__(self) -> None:
        super().__init__()
        self.media: dict[str, bytes | str] = {}
        self._numbers = count(1)

    def answer(self, seen: Seen) -> web.Response:
        if seen.path in self.media:
            return self._give(self.media[seen.path])
        if self.behaviour is Behaviour.REJECTS_US or not _is_us(seen):
            return _error(401, 20003, "Authenticate")
        if seen.method != "POST" or seen.path != f"/2010-04-01/Accounts/{ACCOUNT_SID}/Messages.json":
            return _error(404, 20404, f"The requested resource {seen.path} was not found")
        fields = {
            name: values[0] for name, values in parse_qs(seen.body.decode(), strict_parsing=True).items()
        }
        recipient = fields.get("To", "")
        if self.behaviour is Behaviour.RECIPIENT_LEFT:
            return _error(400, 21610, "Attempt to send to unsubscribed recipient")
        if self.behaviour is Behaviour.NO_SUCH_RECIPIENT or not recipient.startswith("+"):
            return _error(400, 21211, f"Invalid 'To' Phone Number: {recipient[:5]}XXXX")
        if not fields.get("From") and not fields.get("MessagingServiceSid"):
            return _error(400, 21603, "A 'From' phone number is required")
        if not fields.get("Body") and not fields.get("MediaUrl"):
            return _error(400, 21602, "Message body is required.")
        taken = {
            "sid": sid(next(self._numbers)),
            "account_sid": ACCOUNT_SID,
            "to": recipient,
            "from": fields.get("From"),
            "messaging_service_sid": fields.get("MessagingServiceSid"),
            "body": fields.get("Body", ""),
            "status": "queued",
            "num_segments": "1",
            "direction": "outbound-api",
            "error_code": None,
            "error_message": None,
        }
        return web.json_response(taken, status=201)

    def _give(self, kept: bytes | str) -> web.Response:
        if isinstance(kept, str):
            return web.Response(status=307, headers={"Location": kept})
        return web.Response(body=kept, content_type="image/jpeg")


def _is_us(seen: Seen) -> bool:
    try:
        scheme, _, given = seen.headers.get("Authorization", "").partition(" ")
        return scheme == "Basic" and b64decode(given).decode() == f"{ACCOUNT_SID}:{AUTH_TOKEN}"
    except (NotBase64, UnicodeDecodeError):
        return False


def _error(status: int, code: int, message: str) -> web.Response:
    said = {
        "code": code,
        "message": message,
        "more_info": f"https://www.twilio.com/docs/errors/{code}",
        "status": status,
    }
    return web.json_response(said, status=status)
