"""Looking ahead in a message: what begins at a place, without taking it."""

from __future__ import annotations

from typing import Final

from crm.forms.grammar import FormGrammar, Grammar, Meaning, word_at
from crm.forms.numerals import HALF, NUMERALS, VAGUE, numeral_run_end

ITEM_ENDS: Final = frozenset(";\n。|!")
ASCII_DIGITS: Final = frozenset("0123456789")
_BLANKS: Final = " "
_MOST_BLANKS: Final = 3


class Sight:
    """The matching copy seen with the eyes of one form."""

    __slots__ = ("catalogue", "form", "grammar", "size", "text")

    def __init__(self, grammar: Grammar, form: FormGrammar, text: str) -> None:
        self.grammar, self.form, self.text = grammar, form, text
        self.catalogue = grammar.catalogue
        self.size = len(text)

    def _skip_blanks(self, place: int) -> int:
        end = min(self.size, place + _MOST_BLANKS)
        while place < end and self.text[place] in _BLANKS:
            place += 1
        return place

    def _letter_at(self, place: int) -> bool:
        """Whether a letter or Chinese character (no ASCII digit) stands here."""
        char = self.text[place : place + 1]
        return char.isalnum() and char not in ASCII_DIGITS

    def _one_of(self, words: tuple[str, ...], place: int) -> str | None:
        for word in words:
            if self.text.startswith(word, place):
                return word
        return None

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

    def _meaning(self, place: int) -> Meaning | None:
        for meaning in self.form.meanings.get(self.text[place : place + 1], ()):
            word = meaning.word
            if self.text.startswith(word, place):
                end = place + len(word)
                if not ("A" <= word[-1] <= "Z" and "A" <= self.text[end : end + 1] <= "Z"):
                    return meaning
        return None

    def _runs_on(self, end: int) -> bool:
        """Whether a bare numeral is only the front of a word (三 in 三亚)."""
        return self._letter_at(end) and not self._starts_known(end)

    def _starts_known(self, place: int) -> bool:
        """Whether a product, a value or a word of the form begins here; what stands before it ends here."""
        char = self.text[place : place + 1]
        if not char.isalnum() or char in ASCII_DIGITS:
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
        if char in ASCII_DIGITS and char:
            return True
        end = place + 1
        if char in NUMERALS and char:
            end = numeral_run_end(self.text, place)
            if not self._letter_at(end) or self.text[end] in (*ASCII_DIGITS, HALF, *VAGUE, "点"):
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
