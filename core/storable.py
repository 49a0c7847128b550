"""What a database can hold: strings and JSON from outside, repaired where one of the engines would refuse them."""

import re
from hashlib import sha256
from typing import Any

from core.errors import BadInput
from core.values import Address

# NUL, which PostgreSQL cannot store, and halves of surrogate pairs, which are no UTF-8.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")

_LONGEST_TEXT = 100_000
# A key of an index on PostgreSQL may have 2,704 bytes; a character takes up to four.
_LONGEST_KEY = 500
_KEPT_OF_KEY = 200
_LARGEST_INT = (1 << 63) - 1


def storable(text: str) -> str:
    """The text without what a database cannot hold, and not endless; the raw bytes keep the rest."""
    if _UNSTORABLE.search(text):
        text = _UNSTORABLE.sub("\ufffd", text)
    return text[:_LONGEST_TEXT]


def storable_key(key: str) -> str:
    """A name that tells things apart, as an index can hold it: different names never become the same one."""
    if len(key) <= _LONGEST_KEY and not _UNSTORABLE.search(key):
        return key
    digest = sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{_UNSTORABLE.sub(chr(0xFFFD), key[:_KEPT_OF_KEY])}#{digest}"


def storable_address(address: Address) -> Address:
    scheme, value, display = (
        storable_key(address.scheme),
        storable_key(address.value),
        storable(address.display),
    )
    if (scheme, value, display) == (address.scheme, address.value, address.display):
        return address
    return Address(scheme, value, display)


def storable_json(value: Any) -> Any:
    """A JSON value whose strings and whole numbers both engines and every later reader can hold. Raises BadInput."""
    match value:
        case str():
            return storable(value)
        case bool() | None:
            return value
        case int() if not -_LARGEST_INT <= value <= _LARGEST_INT:
            raise BadInput("A whole number has at most 64 bits.")
        case dict():
            return {storable(str(key)): storable_json(item) for key, item in value.items()}
        case list() | tuple():
            return [storable_json(item) for item in value]
        case _:
            return value
