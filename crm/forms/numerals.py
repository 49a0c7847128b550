"""Numbers as people type them: digits, Chinese numerals in every-day and banking characters, decimals with 点."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final, NamedTuple

_DIGITS: Final = {
    **{char: value for value, char in enumerate("零一二三四五六七八九")},
    **{char: value for value, char in enumerate("〇壹贰叁肆伍陆柒捌玖")},
    **{"○": 0, "两": 2, "俩": 2, "仨": 3, "参": 3, "弍": 2, "弌": 1, "弎": 3, "幺": 1},
}
_TENS: Final = {"廿": 20, "卅": 30, "卌": 40}
_UNITS: Final = {"十": 10, "拾": 10, "百": 100, "佰": 100, "千": 1000, "仟": 1000}
_MYRIADS: Final = {"万": 10**4, "亿": 10**8}

NUMERALS: Final = frozenset({*_DIGITS, *_TENS, *_UNITS, *_MYRIADS})
HALF: Final = "半"
# Said after a numeral they make it a guess: 十几, 二十多, 十来.
VAGUE: Final = frozenset("几多来余数")

# More digits than this are no count and no amount, whatever they are (and int() must not be fed a novel).
MOST_DIGITS: Final = 15

_HAN: Final = "".join(sorted(NUMERALS))
_NUMBER: Final = re.compile(
    rf"(?P<ascii>[0-9]+(?:[.点][0-9]+)?)(?P<scale>[百千万]?)"
    rf"|(?P<han>[{_HAN}]+(?:点[{''.join(sorted(_DIGITS))}]+)?)"
    r"|(?P<point>\.[0-9]+)"
)
_RUN: Final = re.compile(rf"[{_HAN}]+")


class Number(NamedTuple):
    end: int
    value: Fraction | None  # None: looks like a number, says none
    is_plain: bool  # ASCII digits and nothing else, so that it may be a code


def number_at(text: str, start: int) -> Number | None:
    """The number that begins exactly at `start`. A point before the digits counts only after a blank."""
    match = _NUMBER.match(text, start)
    if match is None:
        return None
    ascii_part, han, point = match["ascii"], match["han"], match["point"]
    if han is not None:
        return Number(match.end(), _value_of_han(han), False)
    if point is not None:
        if start and text[start - 1] not in " \n":
            return None
        return Number(match.end(), _decimal("0" + point), False)
    value = _decimal(ascii_part)
    scale = match["scale"]
    if scale and value is not None:
        value *= _UNITS.get(scale) or _MYRIADS[scale]
    return Number(match.end(), value, not scale and ascii_part.isdigit())


def numeral_run_end(text: str, start: int) -> int:
    match = _RUN.match(text, start)
    return match.end() if match else start


def digits_of(text: str) -> str | None:
    """Chinese digits read out one by one as ASCII digits (一〇一 → 101); None when a 十 or the like is among them."""
    if any(char not in _DIGITS for char in text):
        return None
    return "".join(str(_DIGITS[char]) for char in text)


def _decimal(text: str) -> Fraction | None:
    if len(text) > MOST_DIGITS + 1:
        return None
    whole, _, rest = text.replace("点", ".").partition(".")
    if not rest:
        return Fraction(int(whole))
    return Fraction(int(whole + rest), 10 ** len(rest))


def _value_of_han(text: str) -> Fraction | None:
    if len(text) > MOST_DIGITS * 2:
        return None
    whole, _, rest = text.partition("点")
    value = _whole_of_han(whole)
    if value is None or not rest:
        return None if value is None else Fraction(value)
    digits = digits_of(rest)
    return None if digits is None else Fraction(value) + Fraction(int(digits), 10 ** len(digits))


def _whole_of_han(text: str) -> int | None:
    """一百零五, 一百五 (150), 一万五 (15000), 廿三, and digits in a row (二〇〇); None when the order is impossible."""
    digits = digits_of(text)
    if digits is not None:
        return int(digits) if len(digits) <= MOST_DIGITS else None
    total = section = 0
    digit: int | None = None
    last, after_zero, biggest = 10**4, False, 10**9
    for char in text:
        if char in _DIGITS:
            if digit is not None and digit != 0:
                return None
            digit = _DIGITS[char]
            after_zero = after_zero or digit == 0
        elif char in _TENS or char in _UNITS:
            size = 10 if char in _TENS else _UNITS[char]
            if size >= last or (char in _TENS and digit):
                return None
            section += _TENS[char] if char in _TENS else (digit or 1) * size
            digit, last, after_zero = None, size, False
        else:
            size = _MYRIADS[char]
            section += digit or 0
            if size >= biggest or not section:
                return None
            total = (total + section) * size if total == 0 else total + section * size
            section, digit, last, after_zero, biggest = 0, None, 10**4, False, size
    if digit:
        # 一百五 leaves out the last unit; 一百零五 says that it does not.
        short_of = last if section or not total else biggest
        section += digit * short_of // 10 if short_of >= 100 and not after_zero else digit
    return total + section
