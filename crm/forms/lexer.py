"""The words of a message's lines: at each place the first kind that fits, in the grammar's order."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final

from crm.blueprint.forms import TextField
from crm.forms.catalogue import BRACKETS, squeeze
from crm.forms.grammar import FormGrammar, Grammar, Meaning, word_at
from crm.forms.measures import Measures
from crm.forms.numerals import HALF, NUMERALS, Number, digits_of, number_at, numeral_run_end
from crm.forms.sight import ASCII_DIGITS, ITEM_ENDS
from crm.forms.tokens import Kind, Token, Tokens

# Letters that stand for digits on many keyboards and in many hands; only in codes.
_LOOKALIKES: Final = str.maketrans("OLI", "011")
_LOOKALIKE_CODE: Final = re.compile(r"[0-9OLI]+(?![0-9A-Z])")
_DIGIT_RUN: Final = re.compile(r"[0-9]+")
_HAN_DAY: Final = "[0-9]{1,2}|[〇零一二三四五六七八九十廿卅]{1,3}"
_DATE: Final = re.compile(rf"({_HAN_DAY}) ?月 ?({_HAN_DAY}) ?(?:[日号]|(?![0-9.点]))")
_SHORT_DATE: Final = re.compile(r"(1[0-2]|0?[1-9])[-/](3[01]|[12][0-9]|0?[1-9])(?![0-9.点]|[-/][0-9])")
# Tokens are plenty for every honest message; the items behind the limit are refused, not read.
_TOKENS_AN_ITEM: Final = 6


def tokenise(
    grammar: Grammar, form: FormGrammar, text: str, start: int, *, after_command: bool, wanted: int = 1
) -> Tokens:
    """`wanted` is how many bare numbers an item may hold."""
    return _Lexer(grammar, form, text, wanted).run(start, after_command=after_command)


class _Lexer(Measures):
    __slots__ = ("found", "has_month", "limit", "wanted")

    def __init__(self, grammar: Grammar, form: FormGrammar, text: str, wanted: int) -> None:
        super().__init__(grammar, form, text)
        self.wanted = wanted
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
        if after in ASCII_DIGITS and before in " \n":
            number = number_at(self.text, end)
            stop = number.end if number else end + 1
            unit = self._unit_after(stop)
            stop += len(unit) if unit else 0
            return self._add(Token(Kind.BAD_NUMBER, place, stop, self.text[place:stop]))
        if not before.isalnum() and not after.isalnum():
            return self._add(Token(Kind.PLACEHOLDER, place, end, self.text[place:end]))
        return end

    def _word(self, place: int, char: str) -> int:
        if self.has_month and (char in ASCII_DIGITS or char in NUMERALS):
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
        # 万能 begins with a numeral and is none; a single character may be either, so the number goes first.
        is_word = meaning is not None and len(meaning.word) > 1
        if char in ASCII_DIGITS or (char in NUMERALS and not is_word):
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
        if char in "OLI" or char in ASCII_DIGITS:
            match = _LOOKALIKE_CODE.match(self.text, place)
            if match and len(match[0]) in catalogue.code_lengths and not match[0].isdigit():
                sku = catalogue.codes.get(match[0].translate(_LOOKALIKES))
                if sku is not None:
                    return Token(Kind.PRODUCT, place, match.end(), match[0], sku=sku)
        if char in ASCII_DIGITS:
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
            and self.text[end + 1 : end + 2] in ASCII_DIGITS
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
            if char in ASCII_DIGITS or self._starts_known(end):
                break
            end = max(end + 1, numeral_run_end(self.text, end))
        return Token(Kind.UNKNOWN, place, end, squeeze(self.text[place:end]))

    def _stands_between_digits(self, place: int) -> bool:
        return (
            bool(self.found)
            and self.found[-1].end == place
            and self.text[place + 1 : place + 2] in ASCII_DIGITS
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
