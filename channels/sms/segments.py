"""How a text is cut into the segments that the network carries and the operator charges for (3GPP TS 23.038)."""

from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

# The default alphabet of 6.2.1, in the order of its codes. Code 0x1B is the escape: no character of its own.
GSM7_BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅå"
    "Δ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ"
    " !\"#¤%&'()*+,-./"
    "0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNO"
    "PQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmno"
    "pqrstuvwxyzäöñüà"
)
# The extension table of 6.2.1.1: each is sent as the escape and a second code, so it counts as two.
GSM7_EXTENSION = "\f^{}\\[~]|€"

_ONE = frozenset(GSM7_BASIC) - {"\x1b"}
_TWO = frozenset(GSM7_EXTENSION)


class Encoding(StrEnum):
    GSM7 = "gsm7"
    UCS2 = "ucs2"


# (alone, in a chain): a chain gives six bytes of each segment to the header that joins the parts again.
LIMITS = {Encoding.GSM7: (160, 153), Encoding.UCS2: (70, 67)}


@dataclass(frozen=True, slots=True)
class Segments:
    """`units` are septets (GSM-7) or UTF-16 code units (UCS-2) of the whole text; an empty text has no parts.

    `left` is how many units the last part still takes before another part begins.
    """

    encoding: Encoding
    units: int
    parts: tuple[str, ...]
    left: int


def segments(text: str) -> Segments:
    """Cut `text` as a handset will receive it; no escape pair and no surrogate pair falls on two parts."""
    letters = frozenset(text)
    if letters <= _ONE:
        encoding, units = Encoding.GSM7, len(text)
    elif letters <= _ONE | _TWO:
        encoding, units = Encoding.GSM7, len(text) + sum(text.count(letter) for letter in letters & _TWO)
    else:
        # A code point beyond the basic plane takes a surrogate pair.
        encoding, units = Encoding.UCS2, len(text) + sum(letter > "\uffff" for letter in text)
    alone, chained = LIMITS[encoding]
    if units <= alone:
        return Segments(encoding, units, (text,) if text else (), alone - units)
    return _chain(text, encoding, units, chained)


def _chain(text: str, encoding: Encoding, units: int, limit: int) -> Segments:
    cuts, used = [0], 0
    for at, letter in enumerate(text):
        wide = letter in _TWO if encoding is Encoding.GSM7 else letter > "\uffff"
        size = 2 if wide else 1
        if used + size > limit:
            cuts.append(at)
            used = 0
        used += size
    cuts.append(len(text))
    return Segments(encoding, units, tuple(text[start:end] for start, end in pairwise(cuts)), limit - used)
