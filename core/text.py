"""Folding text for search: the same word in traditional or simplified, full or half width, upper or lower case."""

import unicodedata
from functools import cache
from itertools import pairwise

import opencc

_BLANKS = ("Zs", "Zl", "Zp", "Cc")
_VARIANTS = range(0xFE00, 0xFE10)  # selectors of another drawing of the same sign


@cache
def _simplifier() -> opencc.OpenCC:
    return opencc.OpenCC("t2s")


class _Letters(dict[int, str]):
    """What each code point folds to, worked out when it is first met: for `str.translate`.

    Letter by letter and not by phrases: a phrase table would fold a word differently from a part of it, and people
    search for parts.
    """

    def __missing__(self, code: int) -> str:
        self[code] = letter = _letter(chr(code))
        return letter


def _letter(char: str) -> str:
    category = unicodedata.category(char)
    if category in _BLANKS:
        return " "
    if category == "Cf" or ord(char) in _VARIANTS:  # Cf: zero-width joiners, soft hyphens, direction marks
        return ""
    return unicodedata.normalize("NFKC", _simplifier().convert(char).casefold())


_LETTERS = _Letters()


def spaced(text: str) -> str:
    """The folded text with every blank as one space, so that its words still stand apart."""
    return _composed(text).translate(_LETTERS)


def folded(text: str) -> str:
    """The folded text without blanks: for names, which people space as they like."""
    return spaced(text).replace(" ", "")


def aligned(text: str) -> tuple[str, list[tuple[int, int]]]:
    """`spaced(text)` and, for each of its characters, the code points [start, end) of `text` that it came from."""
    letters: list[str] = []
    places: list[tuple[int, int]] = []
    for start, end in _clusters(text):
        letter = spaced(text[start:end])
        letters.append(letter)
        places += [(start, end)] * len(letter)
    return "".join(letters), places


def _composed(text: str) -> str:
    if text.isascii():
        return text
    # Cluster by cluster where the text is not composed yet, so that `aligned` folds exactly alike.
    if unicodedata.is_normalized("NFKC", text):
        return text
    return "".join(unicodedata.normalize("NFKC", text[start:end]) for start, end in _clusters(text))


def _clusters(text: str) -> list[tuple[int, int]]:
    """Spans of a letter with the marks that follow it, which Unicode may compose into one."""
    starts = [at for at, char in enumerate(text) if at == 0 or not _is_mark(char)]
    return list(pairwise([*starts, len(text)]))


def _is_mark(char: str) -> bool:
    # The decomposition finds marks that only look like letters, such as the half-width voicing sign of kana.
    return char > "\u02ff" and unicodedata.combining(unicodedata.normalize("NFKD", char)[0]) != 0
