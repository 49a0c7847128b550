"""Second factor: time-based one-time codes (RFC 6238), each good for one sign-in."""

import base64
import hashlib
import hmac
import secrets
import struct
from datetime import datetime
from urllib.parse import quote

_STEP = 30  # seconds, and SHA-1 with six digits: what every authenticator app assumes
_WINDOW = 1  # steps that a clock may be off, either way


def new_secret() -> str:
    """160 random bits (RFC 4226, section 4, R6) in base 32."""
    return base64.b32encode(secrets.token_bytes(20)).decode()


def provisioning_uri(secret: str, login: str, issuer: str) -> str:
    """What an authenticator app reads from a QR code."""
    return f"otpauth://totp/{quote(issuer)}:{quote(login)}?secret={secret}&issuer={quote(issuer)}"


def step_at(moment: datetime) -> int:
    return int(moment.timestamp()) // _STEP


def code_at(secret: str, step: int) -> str:
    digest = hmac.digest(base64.b32decode(secret), struct.pack(">Q", step), hashlib.sha1)
    offset = digest[-1] & 0x0F
    (number,) = struct.unpack(">I", digest[offset : offset + 4])
    return f"{(number & 0x7FFFFFFF) % 1_000_000:06d}"


def matching_step(secret: str, code: str, moment: datetime, last_step: int) -> int | None:
    """The step whose code this is, if it is later than `last_step`; None otherwise.

    The caller stores the step it was given: a code that was read over a shoulder is worth nothing any more.
    """
    typed = "".join(code.split()).encode("utf-8", "replace")
    current = step_at(moment)
    found = None
    for step in range(current - _WINDOW, current + _WINDOW + 1):
        if hmac.compare_digest(code_at(secret, step).encode(), typed) and step > last_step:
            found = step
    return found
