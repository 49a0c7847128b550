"""The matching copy of a message: one width, one script, one case, with the way back to the characters typed.

The raw text is what is stored. The copy exists to be compared, so it may lose what a reader would miss; every one
of its characters still knows which raw character it came from.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import opencc

Span = tuple[int, int]

# Zero-width characters and the emoji presentation selector. U+20E3 puts a key cap around a digit; without it the
# digit is read. Joiners, bidi marks and soft hyphens are as invisible and arrive with copied text.
_DROPPED: Final = frozenset(
    "\u200b\u200c\u200d\ufeff\ufe0f\u20e3\u200e\u200f\u2060\u00ad\u202a\u202b\u202c\u202d\u202e"
)
_DASHES: Final = frozenset("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58")
_LINE_ENDS: Final = frozenset("\n\u2028\u2029\u0085")


@dataclass(frozen=True, slots=True)
class MatchingCopy:
    """`text` to compare; `at[i]` is the raw place of its character i, None when both have the same places."""

    text: str
    raw: str
    at: tuple[int, ...] | None = None
    lead: int = 0  # blanks trimmed from the front, when `at` is None

    def span(self, start: int, end: int) -> Span:
        """The raw characters that the copy's [start, end) came from."""
        if end <= start:
            return (0, 0)
        if self.at is None:
            return (start + self.lead, end + self.lead)
        return (self.at[start], self.at[end - 1] + 1)


def matching_copy(raw: str) -> MatchingCopy:
    if raw.isascii() and raw.isprintable():
        stripped = raw.lstrip(" ")
        return MatchingCopy(stripped.rstrip(" ").upper(), raw, None, len(raw) - len(stripped))
    letters: list[str] = []
    places: list[int] = []
    for place, char in enumerate(raw):
        folded = _fold(char)
        if len(folded) == 1:
            letters.append(folded)
            places.append(place)
        elif folded:
            letters.extend(folded)
            places.extend([place] * len(folded))
    text = _simplify("".join(letters))
    start, end = 0, len(text)
    while start < end and text[start] in " \n":
        start += 1
    while end > start and text[end - 1] in " \n":
        end -= 1
    return MatchingCopy(text[start:end], raw, tuple(places[start:end]))


def fold(word: str) -> str:
    """A word as it looks in a matching copy."""
    return matching_copy(word).text


@cache
def _fold_uncached(char: str) -> str:
    if char in _DROPPED or unicodedata.category(char) == "Cs":
        return ""
    if char in _LINE_ENDS:
        return "\n"
    if char in _DASHES:
        return "-"
    folded = []
    for each in unicodedata.normalize("NFKC", char):
        category = unicodedata.category(each)
        if category == "Nd":
            folded.append(str(unicodedata.decimal(each)))
        elif each in _DASHES:
            folded.append("-")
        elif category[0] == "Z" or category in ("Cc", "Cf"):
            folded.append("\n" if each == "\n" else " ")
        elif "a" <= each <= "z":
            folded.append(each.upper())
        elif category != "Mn" or each not in _DROPPED:
            folded.append(each)
    return "".join(folded)


# Most characters of most messages; the rest goes through the cache above.
_PLAIN: Final = {chr(code): chr(code).upper() for code in range(0x20, 0x7F)}


def _fold(char: str) -> str:
    return _PLAIN.get(char) or _fold_uncached(char)


@cache
def _converter() -> Any:
    return opencc.OpenCC("t2s")


def _simplify(text: str) -> str:
    if text.isascii():
        return text
    simple: str = _converter().convert(text)
    if len(simple) == len(text):
        return simple
    # A phrase whose conversion has another length would shift every place behind it.
    return "".join(converted if len(converted := _converter().convert(char)) == 1 else char for char in text)
