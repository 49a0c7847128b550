"""The words of a message's lines: at each place the first kind that fits, in the grammar's order."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto
from fractions import Fraction
from typing import Final

from crm.blueprint.forms import TextField
from crm.forms.catalogue import BRACKETS, squeeze
from crm.forms.grammar import FormGrammar, Grammar, Meaning, word_at
from crm.forms.numerals import HALF, NUMERALS, VAGUE, Number, digits_of, number_at, numeral_run_end

ITEM_ENDS: Final = frozenset(";\n。|!")
_ASCII_DIGITS: Final = frozenset("0123456789")
# Letters that stand for digits on many keyboards and in many hands; only in codes.
_LOOKALIKES: Final = str.maketrans("OLI", "011")
_LOOKALIKE_CODE: Final = re.compile(r"[0-9OLI]+(?![0-9A-Z])")
_LATIN_RUN: Final = re.compile(r"[0-9A-Z]+(?:\.[0-9]+)?")
_DIGIT_RUN: Final = re.compile(r"[0-9]+")
_HAN_DAY: Final = "[0-9]{1,2}|[〇零一二三四五六七八九十廿卅]{1,3}"
_DATE: Final = re.compile(rf"({_HAN_DAY}) ?月 ?({_HAN_DAY}) ?(?:[日号]|(?![0-9.点]))")
_SHORT_DATE: Final = re.compile(r"(1[0-2]|0?[1-9])[-/](3[01]|[12][0-9]|0?[1-9])(?![0-9.点]|[-/][0-9])")
_BLANKS: Final = " "
_MOST_BLANKS: Final = 3
# Tokens are plenty for every honest message; the items behind the limit are refused, not read.
_TOKENS_AN_ITEM: Final = 6


class Kind(Enum):
    END = auto()
    DATE = auto()
    PLACEHOLDER = auto()
    PRODUCT = auto()
    CODE = auto()  # a known short code, which may yet be a number
    NUMBER = auto()
    COUNT = auto()  # with units
    MONEY = auto()
    ZERO = auto()
    LABEL = auto()
    MODE = auto()
    CHOICE = auto()
    TEXT = auto()
    PER = auto()
    BAD_NUMBER = auto()
    BAD_UNIT = auto()
    UNKNOWN = auto()


VALUES: Final = frozenset(
    {Kind.CODE, Kind.NUMBER, Kind.COUNT, Kind.MONEY, Kind.ZERO, Kind.LABEL, Kind.PLACEHOLDER, Kind.CHOICE}
    | {Kind.BAD_NUMBER, Kind.BAD_UNIT, Kind.PER}
)


@dataclass(frozen=True, slots=True)
class Token:
    kind: Kind
    start: int
    end: int
    text: str
    number: Fraction | None = None  # NUMBER, CODE: its value; MONEY: the amount
    is_plain: bool = False  # ASCII digits only
    parts: tuple[tuple[Fraction, str], ...] = ()  # COUNT: how many of which unit
    unit: str | None = None  # MONEY, PER: what the amount is for
    sku: str = ""
    meaning: Meaning | None = None
    month_day: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Tokens:
    found: list[Token]
    is_cut: bool = False  # the message went on past the limit


def tokenise(
    grammar: Grammar, form: FormGrammar, text: str, start: int, *, after_command: bool, wanted: int = 1
) -> Tokens:
    """`wanted` is how many bare numbers an item may hold."""
    return _Lexer(grammar, form, text, wanted).run(start, after_command=after_command)


class _Lexer:
    __slots__ = ("catalogue", "form", "found", "grammar", "has_month", "limit", "size", "text", "wanted")

    def __init__(self, grammar: Grammar, form: FormGrammar, text: str, wanted: int) -> None:
        self.grammar, self.form, self.text = grammar, form, text
        self.catalogue = grammar.catalogue
        self.size, self.wanted = len(text), wanted
        self.has_month = "月" in text
        self.found: list[Token] = []
        self.limit = grammar.vocabulary.max_items * _TOKENS_AN_ITEM

    def run(self, start: int, *, after_command: bool) -> Tokens:
        place = start
        if after_command:
            while place < self.size and not self.text[place].isalnum() and self.text[place] not in ITEM_ENDS:
                place += 1
            match = _SHORT_DATE.match(self.text, place)
            if match and not self._unit_after(match.end()):
                month_day = (int(match[1]), int(match[2]))
                self.found.append(Token(Kind.DATE, place, match.end(), match[0], month_day=month_day))
                place = match.end()
            else:
                place = start
        while place < self.size:
            if len(self.found) >= self.limit:
                return Tokens(self.found, is_cut=True)
            char = self.text[place]
            if char in ITEM_ENDS:
                self.found.append(Token(Kind.END, place, place + 1, char))
                place += 1
            elif char.isalnum():
                place = self._word(place, char)
            else:
                place = self._sign(place, char)
        return Tokens(self.found)

    # Signs: separators, place holders, currency signs.

    def _sign(self, place: int, char: str) -> int:
        if char == "-":
            return self._dash(place)
        if char == "." and (number := number_at(self.text, place)) is not None:
            return self._add(self._value(place, number))
        for sign in self.grammar.money.signs:
            if self.text.startswith(sign, place):
                number = number_at(self.text, self._skip_blanks(place + len(sign)))
                if number is not None and self.form.money_keys:
                    return self._add(self._signed_money(place, number))
                return place + len(sign)
        return place + 1

    def _dash(self, place: int) -> int:
        end = place
        while end < self.size and self.text[end] == "-":
            end += 1
        before = self.text[place - 1] if place else " "
        after = self.text[end] if end < self.size else " "
        if after in _ASCII_DIGITS and before in " \n":
            number = number_at(self.text, end)
            stop = number.end if number else end + 1
            unit = self._unit_after(stop)
            stop += len(unit) if unit else 0
            return self._add(Token(Kind.BAD_NUMBER, place, stop, self.text[place:stop]))
        if not before.isalnum() and not after.isalnum():
            return self._add(Token(Kind.PLACEHOLDER, place, end, self.text[place:end]))
        return end

    # Words and numbers.

    def _word(self, place: int, char: str) -> int:
        if self.has_month and (char in _ASCII_DIGITS or char in NUMERALS):
            match = _DATE.match(self.text, place)
            if match is not None and not self._is_unmarked_and_glued(match):
                return self._add(_date_token(match))
        meaning = self._meaning(place)
        if meaning is not None and meaning.days_back is not None:
            return self._add(self._meant(Kind.DATE, place, meaning))
        if meaning is not None and meaning.placeholder and not self._letter_at(place + len(meaning.word)):
            return self._add(self._meant(Kind.PLACEHOLDER, place, meaning))
        named = self.catalogue.match(self.text, place)
        if named is not None:
            return self._add(Token(Kind.PRODUCT, place, named.end, named.word, sku=named.sku))
        coded = self._code(place, char)
        if coded is not None:
            return self._add(coded)
        # 零售价 begins with a numeral and is none; a single character may be either, so the number goes first.
        is_word = meaning is not None and len(meaning.word) > 1
        if char in _ASCII_DIGITS or (char in NUMERALS and not is_word):
            number = self._number_in_row(place)
            if number is not None:
                token = self._value(place, number)
                if token.kind is not Kind.NUMBER or number.is_plain or not self._runs_on(token.end):
                    return self._add(token)
        elif char == HALF:
            half = self._half(place)
            if half is not None:
                return self._add(half)
        if meaning is not None:
            taken = self._take(place, meaning)
            if taken is not None:
                return taken
        if char == "X" and self._stands_between_digits(place):
            return place + 1
        return self._add(self._unknown(place))

    def _number_in_row(self, place: int) -> Number | None:
        """In 101.3.10 the dots part two values; 101.3.5 where only one is wanted ends in a decimal."""
        number = number_at(self.text, place)
        if number is None or self.wanted < 2 or not self.found or place == 0 or self.text[place - 1] != ".":
            return number
        if self.found[-1].end != place - 1 or self.found[-1].kind not in (
            Kind.CODE,
            Kind.PRODUCT,
            Kind.NUMBER,
        ):
            return number
        match = _DIGIT_RUN.match(self.text, place)
        return number_at(self.text[: match.end()], place) if match else number

    def _add(self, token: Token) -> int:
        self.found.append(token)
        return token.end

    def _meant(self, kind: Kind, place: int, meaning: Meaning) -> Token:
        return Token(kind, place, place + len(meaning.word), meaning.word, meaning=meaning)

    def _code(self, place: int, char: str) -> Token | None:
        """A known code: not where it runs on into a longer number, nor where a unit or currency follows."""
        catalogue = self.catalogue
        if char in "OLI" or char in _ASCII_DIGITS:
            match = _LOOKALIKE_CODE.match(self.text, place)
            if match and len(match[0]) in catalogue.code_lengths and not match[0].isdigit():
                sku = catalogue.codes.get(match[0].translate(_LOOKALIKES))
                if sku is not None:
                    return Token(Kind.PRODUCT, place, match.end(), match[0], sku=sku)
        if char in _ASCII_DIGITS:
            match = _DIGIT_RUN.match(self.text, place)
            digits = match[0] if match else ""
            end = place + len(digits)
            if digits in catalogue.barcodes:
                return Token(Kind.PRODUCT, place, end, digits, sku=catalogue.barcodes[digits])
            shown = digits
        elif char in NUMERALS:
            end = numeral_run_end(self.text, place)
            shown = self.text[place:end]
            digits = digits_of(shown) or ""
        else:
            return None
        sku = catalogue.codes.get(digits)
        if sku is None or self._is_measured(end):
            return None
        # 101.3 is code and value in a row of dots, but 102 101.5 is an amount behind its product.
        is_behind_name = bool(self.found) and self.found[-1].kind in (Kind.PRODUCT, Kind.CODE, Kind.LABEL)
        if (
            is_behind_name
            and self.text[end : end + 1] == "."
            and self.text[end + 1 : end + 2] in _ASCII_DIGITS
        ):
            return None
        return Token(
            Kind.CODE, place, end, shown, number=Fraction(int(digits)), is_plain=digits == shown, sku=sku
        )

    def _is_measured(self, end: int) -> bool:
        """Whether a unit, a currency word or a fraction makes what ends here a number."""
        following = self.text[end : end + 1]
        if following in ("点", HALF):
            return True
        place = self._skip_blanks(end)
        if self._starts_product(place):
            return False
        if self._unit_after(end):
            return True
        if self.form.money_keys and self._one_of(self._currency_words(), place):
            return True
        return self.text[place : place + 1] == "/" and bool(
            word_at(self.form.per_units, self.text, self._skip_blanks(place + 1))
        )

    def _currency_words(self) -> tuple[str, ...]:
        money = self.grammar.money
        return (*money.major, *money.tenth)

    def _unit_after(self, end: int) -> str | None:
        """The unit of a count right behind a number; a product's name that begins like one is none."""
        place = self._skip_blanks(end)
        unit = word_at(self.form.units, self.text, place)
        if unit is None or self._starts_product(place, longer_than=len(unit)):
            return None
        return unit

    def _starts_product(self, place: int, longer_than: int = 0) -> bool:
        named = self.catalogue.match(self.text, place)
        return named is not None and named.end - place > longer_than

    # Values.

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
            if following == "X" and self.text[end + 1 : end + 2] in _ASCII_DIGITS:
                return plain
            match = _LATIN_RUN.match(self.text, place)
            return self._bad(Kind.BAD_NUMBER, place, match.end() if match else end + 1)
        after = self.text[end + 1 : end + 2]
        if following not in NUMERALS and (not after.isalnum() or after in _ASCII_DIGITS):
            return self._bad(Kind.BAD_UNIT, place, end + 1)
        return plain

    def _bad(self, kind: Kind, place: int, end: int) -> Token:
        return Token(kind, place, end, self.text[place:end])

    def _count(self, place: int, number: Number, unit: str) -> Token:
        """12条5包, 两条半: different units side by side, the last of which may have its half."""
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

    # Money.

    def _money(self, place: int, number: Number) -> Token | None:
        """The amount whose number ends at `number.end`, if a currency or a price unit follows."""
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
        """The part behind the currency word: 5, 5角, 半, 05. A number that a unit follows is another value."""
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
        """/条, 每条, and 一条 where it clings to the amount; a blank before 一条 may make it a count."""
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
        """Where a unit ends that no price is for (元/件), if one follows."""
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

    # Words.

    def _take(self, place: int, meaning: Meaning) -> int | None:
        """What a known word that is neither product nor number means here, or None where it means nothing."""
        end = place + len(meaning.word)
        is_bounded = not self._letter_at(end)
        if meaning.per:
            unit = word_at(self.form.per_units, self.text, self._skip_blanks(end))
            if unit is not None:
                stop = self._skip_blanks(end) + len(unit)
                return self._add(Token(Kind.PER, place, stop, self.text[place:stop], unit=unit))
        if meaning.zero is not None and (len(meaning.word) > 1 or is_bounded):
            return self._add(self._meant(Kind.ZERO, place, meaning))
        if meaning.label is not None and (len(meaning.word) > 1 or self._value_at(end)):
            return self._add(self._labelled(place, meaning))
        if meaning.mode is not None:
            return self._add(self._meant(Kind.MODE, place, meaning))
        if meaning.choice is not None and (len(meaning.word) > 1 or is_bounded):
            return self._add(self._meant(Kind.CHOICE, place, meaning))
        if meaning.filler or (meaning.polite and is_bounded):
            return end
        return None

    def _labelled(self, place: int, meaning: Meaning) -> Token:
        end = place + len(meaning.word)
        if not isinstance(self.form.fields[meaning.label or ""], TextField):
            return self._meant(Kind.LABEL, place, meaning)
        while end < self.size and (self.text[end].isspace() or self.text[end] in ":=,、*"):
            end += 1
        stop = end
        while stop < self.size and self.text[stop] not in ITEM_ENDS:
            stop += 1
        return Token(Kind.TEXT, place, max(stop, end), self.text[end:stop].strip(), meaning=meaning)

    def _unknown(self, place: int) -> Token:
        """A word nobody knows, up to where something known or a separator begins."""
        end = place + 1
        while end < self.size:
            char = self.text[end]
            if not char.isalnum():
                inner = end + 1
                if char in BRACKETS and self._letter_at(inner) and not self._starts_known(inner):
                    end = inner + 1
                    continue
                break
            if char in _ASCII_DIGITS or self._starts_known(end):
                break
            end = max(end + 1, numeral_run_end(self.text, end))
        return Token(Kind.UNKNOWN, place, end, squeeze(self.text[place:end]))

    def _runs_on(self, end: int) -> bool:
        """Whether a bare numeral is only the front of a word (七 in 七匹狼)."""
        return self._letter_at(end) and not self._starts_known(end)

    def _starts_known(self, place: int) -> bool:
        """Whether a product, a value or a word of the form begins here; what stands before it ends here."""
        char = self.text[place : place + 1]
        if not char.isalnum() or char in _ASCII_DIGITS:
            return True
        named = self.catalogue.match(self.text, place)
        if named is not None and len(named.word) > 1:
            return True
        if char in NUMERALS or char == HALF:
            return self._value_at(place)
        meaning = self._meaning(place)
        if meaning is None:
            return False
        end = place + len(meaning.word)
        if len(meaning.word) > 1:
            return True
        if meaning.per:
            return word_at(self.form.per_units, self.text, end) is not None
        if meaning.zero or meaning.choice:
            return not self._letter_at(end)
        return meaning.label is not None and self._value_at(end)

    def _value_at(self, place: int) -> bool:
        """Whether a number, measured or at the end of its word, begins here, separators apart."""
        steps = 0
        while place < self.size and not self.text[place].isalnum() and self.text[place] not in ITEM_ENDS:
            if any(self.text.startswith(sign, place) for sign in self.grammar.money.signs):
                return True
            place, steps = place + 1, steps + 1
            if steps > _MOST_BLANKS:
                return False
        char = self.text[place : place + 1]
        if char in _ASCII_DIGITS and char:
            return True
        end = place + 1
        if char in NUMERALS and char:
            end = numeral_run_end(self.text, place)
            if not self._letter_at(end) or self.text[end] in (*_ASCII_DIGITS, HALF, *VAGUE, "点"):
                return True
            if self._starts_product(end) or self._meaning(end) is not None:
                return True
        elif char != HALF:
            meaning = self._meaning(place)
            return meaning is not None and (meaning.zero is not None or meaning.placeholder)
        elif not self._letter_at(end):
            return True
        return bool(self._unit_after(end)) or bool(
            self.form.money_keys and self._one_of(self._currency_words(), end)
        )

    def _meaning(self, place: int) -> Meaning | None:
        for meaning in self.form.meanings.get(self.text[place : place + 1], ()):
            word = meaning.word
            if self.text.startswith(word, place):
                end = place + len(word)
                if not ("A" <= word[-1] <= "Z" and "A" <= self.text[end : end + 1] <= "Z"):
                    return meaning
        return None

    # Small looks ahead.

    def _skip_blanks(self, place: int) -> int:
        end = min(self.size, place + _MOST_BLANKS)
        while place < end and self.text[place] in _BLANKS:
            place += 1
        return place

    def _letter_at(self, place: int) -> bool:
        """Whether a letter or Chinese character (no ASCII digit) stands here."""
        char = self.text[place : place + 1]
        return char.isalnum() and char not in _ASCII_DIGITS

    def _one_of(self, words: tuple[str, ...], place: int) -> str | None:
        for word in words:
            if self.text.startswith(word, place):
                return word
        return None

    def _stands_between_digits(self, place: int) -> bool:
        return (
            bool(self.found)
            and self.found[-1].end == place
            and self.text[place + 1 : place + 2] in _ASCII_DIGITS
        )

    def _is_unmarked_and_glued(self, match: re.Match[str]) -> bool:
        """9月20 without 日 is a date only where the number ends there."""
        return match[0][-1] not in "日号" and bool(
            self._letter_at(match.end()) or self._unit_after(match.end())
        )


def _date_token(match: re.Match[str]) -> Token:
    numbers = []
    for group in match.groups():
        number = number_at(group, 0)
        numbers.append(
            int(number.value) if number and number.value is not None and number.end == len(group) else 0
        )
    return Token(Kind.DATE, match.start(), match.end(), match[0], month_day=(numbers[0], numbers[1]))
