"""Addresses in canonical form: telephone numbers as E.164, short codes and service ports as a scheme of their own."""

import re
import unicodedata
from functools import lru_cache
from hashlib import blake2b

import phonenumbers

from core.errors import BadInput
from core.values import Address

SHARDS = 64
"""Into how many shards addresses fall. Stored with every log entry, so it is never changed."""

# Service ports of Chinese carriers: 106 and 1069 with up to 21 digits; 10086-like and 12313-like short numbers.
_SERVICE_PORT = re.compile(r"\+?(?:86)?(106\d{3,18})")
_SHORT_CODE = re.compile(r"\d{3,6}")
_ALPHANUMERIC = re.compile(r"[A-Za-z][A-Za-z0-9 ._-]{1,10}")
_FILLERS = re.compile(r"[\s\-().\u2010-\u2015]+")


@lru_cache(maxsize=65_536)
def telephone(text: str, region: str = "CN") -> Address:
    """The address that a telephone network names `text`, read in `region` when it has no country code.

    A number that can be dialled becomes `tel:+…` (E.164); a short code, a 1069… port or an alphanumeric sender
    becomes `short:…`, which is never parsed as a number. Raises BadInput.
    """
    folded = _FILLERS.sub("", unicodedata.normalize("NFKC", text).strip().removeprefix("tel:"))
    if port := _SERVICE_PORT.fullmatch(folded):
        return Address("short", port[1])
    if _SHORT_CODE.fullmatch(folded):
        return Address("short", folded)
    try:
        number = phonenumbers.parse(folded, region)
    except phonenumbers.NumberParseException:
        return _alphanumeric(text)
    if not phonenumbers.is_possible_number(number):
        return _alphanumeric(text)
    return Address("tel", phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))


def _alphanumeric(text: str) -> Address:
    name = text.strip()
    if _ALPHANUMERIC.fullmatch(name):
        return Address("short", name.upper())
    raise BadInput(
        "This is no telephone number; write it with its country code, such as +8613800000000.", text=text[:40]
    )


def parse(text: str, region: str = "CN") -> Address:
    """An address as a person or a file writes it: `scheme:value`, or a bare telephone number."""
    scheme, colon, value = text.strip().partition(":")
    if not colon or scheme in ("tel", "short"):
        return telephone(value if colon else scheme, region)
    if scheme == "mailto":
        local, at, domain = value.rpartition("@")
        if not at or not local or not domain:
            raise BadInput("This is no mail address; it needs a name, @ and a domain.", text=text[:80])
        return Address("mailto", f"{local}@{domain.lower()}")
    if scheme in ("telegram", "forum", "portal", "hub") and value:
        return Address(scheme, value)
    raise BadInput("This is no address; write scheme:value, such as tel:+8613800000000.", text=text[:80])


def shard_of(address: Address) -> int:
    """The shard of the address: equal addresses always fall into the same one."""
    digest = blake2b(str(address).encode("utf-8", "surrogatepass"), digest_size=2).digest()
    return int.from_bytes(digest, "big") % SHARDS


def masked(address: Address) -> str:
    """How the address is shown to somebody who may not see it whole."""
    value = address.value
    if address.scheme == "tel" and len(value) > 7:
        return f"{value[:-8]}****{value[-4:]}"
    if address.scheme == "mailto":
        local, _, domain = value.rpartition("@")
        return f"{local[:1]}***@{domain}"
    return value
