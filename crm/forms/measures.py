"""Numbers with what belongs to them: units, halves, currency, and the unit that an amount pays for."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final

from crm.forms.grammar import word_at
from crm.forms.numerals import HALF, NUMERALS, VAGUE, Number, digits_of, number_at
from crm.forms.sight import ASCII_DIGITS, Sight
from crm.forms.tokens import Kind, Token

_LATIN_RUN: Final = re.compile(r"[0-9A-Z]+(?:\.[0-9]+)?")


class Measures(Sight):
    """Reads the value that a number at a place begins."""

    __slots__ = ()

    def _value(self, place: int, number: Number) -> Token:
        end = number.end
        following = self.text[end : end + 1]
        if following in VAGUE and following and not self._meaning(end):
            unit = self._unit_after(end + 1)
            stop = self._skip_blanks(end + 1) + len(unit) if unit else end + 1
            return self._bad(Kind.BAD_NUMBER, place, stop)
        if self.form.money_keys:
            money = self._money(place, number)
            if money is not None:
                return money
        if unit := self._unit_after(end):
            return self._count(place, number, unit)
        if number.value is None:
            return self._bad(Kind.BAD_NUMBER, place, end)
        if following == HALF:
            return self._bad(Kind.BAD_NUMBER, place, end + 1)
        return self._glued(place, number, following)

    def _glued(self, place: int, number: Number, following: str) -> Token:
        """A bare number, unless what clings to it shows that it is none."""
        end = number.end
        plain = Token(
            Kind.NUMBER, place, end, self.text[place:end], number=number.value, is_plain=number.is_plain
        )
        where = self._skip_blanks(end)
        foreign = word_at(self.form.foreign_units, self.text, where)
        if foreign is not None and not self._starts_product(where):
            stop = where + len(foreign)
            if where == end or not self._letter_at(stop):
                return self._bad(Kind.BAD_UNIT, place, stop)
        if not following.isalnum() or self._starts_known(end):
            return plain
        if following.isascii() and following.isalpha():
            if following == "X" and self.text[end + 1 : end + 2] in ASCII_DIGITS:
                return plain
            match = _LATIN_RUN.match(self.text, place)
            return self._bad(Kind.BAD_NUMBER, place, match.end() if match else end + 1)
        after = self.text[end + 1 : end + 2]
        if following not in NUMERALS and (not after.isalnum() or after in ASCII_DIGITS):
            return self._bad(Kind.BAD_UNIT, place, end + 1)
        return plain

    def _bad(self, kind: Kind, place: int, end: int) -> Token:
        return Token(kind, place, end, self.text[place:end])

    def _count(self, place: int, number: Number, unit: str) -> Token:
        """Different units side by side, the last of which may have its half."""
        parts: list[tuple[Fraction, str]] = []
        current: Number | None = number
        end = number.end
        while current is not None and unit:
            if current.value is None:
                return self._bad(Kind.BAD_NUMBER, place, self._skip_blanks(current.end) + len(unit))
            parts.append((current.value, unit))
            end = self._skip_blanks(current.end) + len(unit)
            if self.text[end : end + 1] == HALF and not self._unit_after(end + 1):
                parts.append((Fraction(1, 2), unit))
                end += 1
                break
            following = number_at(self.text, end)
            smaller = self._unit_after(following.end) if following else None
            if following is None or smaller is None or any(smaller == used for _, used in parts):
                break
            if not self._are_of_one_field(unit, smaller):
                break
            if self.form.money_keys and self._money(end, following) is not None:
                break
            current, unit = following, smaller
        return Token(Kind.COUNT, place, end, self.text[place:end], parts=tuple(parts))

    def _are_of_one_field(self, unit: str, other: str) -> bool:
        return any(key in self.form.unit_fields.get(other, ()) for key in self.form.unit_fields.get(unit, ()))

    def _half(self, place: int) -> Token | None:
        unit = self._unit_after(place + 1)
        if unit:
            end = self._skip_blanks(place + 1) + len(unit)
            return Token(Kind.COUNT, place, end, self.text[place:end], parts=((Fraction(1, 2), unit),))
        if self.text[place + 1 : place + 2].isalnum():
            return None
        return Token(Kind.NUMBER, place, place + 1, HALF, number=Fraction(1, 2))

    def _money(self, place: int, number: Number) -> Token | None:
        """The amount whose number ends at `number.end`, if a currency or the unit it pays for follows."""
        words = self.grammar.money
        where = self._skip_blanks(number.end)
        if self._starts_product(where):
            return None
        amount = number.value
        if word := self._one_of(words.major, where):
            end = self._filler(where + len(word))
            rest, end = self._minor(end)
        elif word := self._one_of(words.tenth, where):
            rest, end = self._hundredths(where + len(word))
            amount = None if amount is None else amount / 10
        elif word := self._one_of(words.hundredth, where):
            rest, end = Fraction(0), where + len(word)
            amount = None if amount is None else amount / 100
        elif self.text[where : where + 1] == "/" and (found := self._per(number.end)):
            return self._amount(place, found[1], amount, found[0])
        elif self.text[where : where + 1] == "/" and (stranger := self._stranger(number.end)):
            return self._bad(Kind.BAD_UNIT, place, stranger)
        else:
            return None
        end = self._filler(end)
        if stranger := self._stranger(end):
            return self._bad(Kind.BAD_UNIT, place, stranger)
        unit, end = self._per(end) or (None, end)
        return self._amount(place, end, None if amount is None else amount + rest, unit)

    def _signed_money(self, place: int, number: Number) -> Token:
        spelt = self._money(place, number)
        if spelt is not None:
            return spelt
        unit, end = self._per(number.end) or (None, number.end)
        return self._amount(place, end, number.value, unit)

    def _amount(self, place: int, end: int, amount: Fraction | None, unit: str | None) -> Token:
        if amount is None:
            return self._bad(Kind.BAD_NUMBER, place, end)
        return Token(Kind.MONEY, place, end, self.text[place:end], number=amount, unit=unit)

    def _minor(self, place: int) -> tuple[Fraction, int]:
        """The part behind the currency word: a coin, a half or bare digits (5 are tenths, 05 hundredths).

        A number that a unit follows is another value.
        """
        if self.text[place : place + 1] == HALF and not self._unit_after(place + 1):
            return Fraction(1, 2), place + 1
        number = number_at(self.text, place)
        if number is None or number.value is None or self._unit_after(number.end):
            return Fraction(0), place
        digits = self.text[place : number.end]
        words = self.grammar.money
        if number.value < 10 and (word := self._one_of(words.tenth, number.end)):
            rest, end = self._hundredths(number.end + len(word))
            return number.value / 10 + rest, end
        if number.value < 100 and (word := self._one_of(words.hundredth, number.end)):
            return number.value / 100, number.end + len(word)
        if self._one_of(words.major, number.end) or number.value.denominator != 1:
            return Fraction(0), place
        if len(digits) > 2 or (len(digits) == 2 and not number.is_plain and digits_of(digits) is None):
            return Fraction(0), place
        if self._runs_on(number.end):
            return Fraction(0), place
        return number.value / 10 ** len(digits), number.end

    def _hundredths(self, place: int) -> tuple[Fraction, int]:
        number = number_at(self.text, place)
        if number is None or number.value is None or number.value >= 10 or number.value.denominator != 1:
            return Fraction(0), place
        if self._unit_after(number.end) or self._one_of(self._currency_words(), number.end):
            return Fraction(0), place
        word = self._one_of(self.grammar.money.hundredth, number.end)
        if not word and self._runs_on(number.end):
            return Fraction(0), place
        return number.value / 100, number.end + len(word or "")

    def _filler(self, place: int) -> int:
        word = self._one_of(self.grammar.money.filler, place)
        return place + len(word) if word else place

    def _per(self, place: int) -> tuple[str, int] | None:
        """What the amount pays for. A bare "one" must cling to it, since a blank may make that a count."""
        where = self._skip_blanks(place)
        if self.text[where : where + 1] == "/":
            where = self._skip_blanks(where + 1)
            word = self._one_of(self.grammar.money.per, where) or ""
            unit = word_at(self.form.per_units, self.text, where) or None
            if unit is None and word:
                where += len(word)
                unit = word_at(self.form.per_units, self.text, where)
            return None if unit is None else (unit, where + len(unit))
        found = self._one_of(self.grammar.money.per, where)
        if not found or (where > place and (found.isdigit() or found in NUMERALS)):
            return None
        where = self._skip_blanks(where + len(found))
        unit = word_at(self.form.per_units, self.text, where)
        return None if unit is None else (unit, where + len(unit))

    def _stranger(self, place: int) -> int | None:
        """Where a unit ends that no amount can be for, if one follows."""
        where = self._skip_blanks(place)
        mark = "/" if self.text[where : where + 1] == "/" else self._one_of(self.grammar.money.per, where)
        if not mark or mark in NUMERALS or mark.isdigit():
            return None
        where = self._skip_blanks(where + len(mark))
        if self._starts_product(where) or word_at(self.form.per_units, self.text, where):
            return None
        unit = word_at(self.form.units, self.text, where) or word_at(
            self.form.foreign_units, self.text, where
        )
        return where + len(unit) if unit else None
