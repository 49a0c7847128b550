"""Requests sealed with a secret that both sides know: the seal is checked on what comes and made on what leaves."""

from base64 import b64encode
from collections.abc import Callable, Mapping
from datetime import datetime
from hashlib import sha1, sha256, sha512
from hmac import compare_digest
from hmac import digest as hmac_digest
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from core.adapter import Hook
from core.errors import SignatureInvalid

_HASHES: Mapping[str, Callable[[], Any]] = {"hmac-sha256": sha256, "hmac-sha512": sha512, "hmac-sha1": sha1}

Part = Literal["timestamp", "nonce", "url", "body"]


class SealRules(BaseModel):
    """How a request is sealed: the HMAC of its `signed` parts, joined by `joiner`, in the header `header`.

    With "timestamp" among the parts a request older or newer than `window_seconds` is refused, so that a copied one
    is of no use later. Within the window the log's keys make a copy harmless.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    algorithm: Literal["hmac-sha256", "hmac-sha512", "hmac-sha1"] = "hmac-sha256"
    encoding: Literal["hex", "base64"] = "hex"
    header: str = Field("X-Signature", pattern=r"^[A-Za-z0-9-]{1,60}$")
    prefix: str = Field("", max_length=40)
    signed: tuple[Part, ...] = ("body",)
    joiner: str = Field("", max_length=4)
    timestamp_header: str = Field("", pattern=r"^[A-Za-z0-9-]{0,60}$")
    timestamp_unit: Literal["s", "ms"] = "s"
    nonce_header: str = Field("", pattern=r"^[A-Za-z0-9-]{0,60}$")
    window_seconds: int = Field(300, gt=0, le=86_400)

    @model_validator(mode="after")
    def _is_sound(self) -> "SealRules":
        if "body" not in self.signed:
            raise ValueError("the body must be among the signed parts")
        for part, header in (("timestamp", self.timestamp_header), ("nonce", self.nonce_header)):
            if (part in self.signed) != bool(header):
                raise ValueError(f"name {part}_header and put {part} among the signed parts, or neither")
        return self


def check(rules: SealRules, secret: str, hook: Hook) -> None:
    """Raises SignatureInvalid unless whoever made the request knows `secret`."""
    given = hook.headers.get(rules.header, "").strip()
    if not given or len(given) > 300:
        raise SignatureInvalid(f"The request carries no {rules.header}.")
    parts = {"url": hook.url, "timestamp": "", "nonce": ""}
    if rules.timestamp_header:
        parts["timestamp"] = hook.headers.get(rules.timestamp_header, "")
        if not _is_fresh(parts["timestamp"], rules, hook.received_at):
            raise SignatureInvalid(f"{rules.timestamp_header} is missing or too far from this hub's clock.")
    if rules.nonce_header:
        parts["nonce"] = hook.headers.get(rules.nonce_header, "")
    made = _mac(rules, secret, parts, hook.body)
    if rules.encoding == "hex":
        given = rules.prefix + given.removeprefix(rules.prefix).lower()
    if not compare_digest(made.encode(), given.encode("utf-8", "replace")):
        raise SignatureInvalid(
            "The signature does not fit; check the shared secret and the rules of its making."
        )


def seal(rules: SealRules, secret: str, *, url: str, body: bytes, at: datetime, nonce: str) -> dict[str, str]:
    """The headers that make the other side believe `body`."""
    stamp = str(int(at.timestamp() * (1000 if rules.timestamp_unit == "ms" else 1)))
    headers = {rules.header: _mac(rules, secret, {"url": url, "timestamp": stamp, "nonce": nonce}, body)}
    if rules.timestamp_header:
        headers[rules.timestamp_header] = stamp
    if rules.nonce_header:
        headers[rules.nonce_header] = nonce
    return headers


def _mac(rules: SealRules, secret: str, parts: Mapping[str, str], body: bytes) -> str:
    signed = rules.joiner.encode().join(
        body if part == "body" else parts[part].encode("utf-8", "replace") for part in rules.signed
    )
    mac = hmac_digest(secret.encode(), signed, _HASHES[rules.algorithm])
    return rules.prefix + (mac.hex() if rules.encoding == "hex" else b64encode(mac).decode())


def _is_fresh(stamp: str, rules: SealRules, received_at: datetime) -> bool:
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 16):
        return False
    seconds = int(stamp) / (1000 if rules.timestamp_unit == "ms" else 1)
    return abs(received_at.timestamp() - seconds) <= rules.window_seconds
