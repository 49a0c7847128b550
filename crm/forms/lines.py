"""From words to items: a product opens an item, values go to its fields, and what does not fit is refused alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from crm.blueprint.forms import IntegerField, Mode, MoneyField, QuantityField
from crm.forms.catalogue import BRACKETS, Guess
from crm.forms.drafts import Draft, Line, Value, stored_value
from crm.forms.grammar import FormGrammar, Grammar
from crm.forms.readings import FieldValue, MatchedBy, ReadError, Refusal
from crm.forms.text import MatchingCopy
from crm.forms.tokens import VALUES, Kind, Token, Tokens

_INSIDE_NAMES: Final = BRACKETS | {" "}
_OPENS_ITEM: Final = frozenset({Kind.PRODUCT, Kind.CODE, Kind.UNKNOWN})


@dataclass(frozen=True, slots=True)
class Lines:
    found: tuple[Line, ...]
    errors: tuple[ReadError, ...]
    dates: tuple[Token, ...]
    knows_product: bool  # a product or a brand was named
    has_number: bool
    longest_unknown: int


def build_lines(grammar: Grammar, form: FormGrammar, mode: Mode, copy: MatchingCopy, tokens: Tokens) -> Lines:
    return _Builder(grammar, form, mode, copy, tokens).run()


class _Builder:
    def __init__(
        self, grammar: Grammar, form: FormGrammar, mode: Mode, copy: MatchingCopy, tokens: Tokens
    ) -> None:
        self.grammar, self.form, self.mode, self.copy = grammar, form, mode, copy
        self.tokens = _turned_round(tokens.found)
        self.is_cut = tokens.is_cut
        self.drafts: list[Draft] = []
        self.item: Draft | None = None
        self.label: str | None = None
        self.per: str | None = None
        self.last_money: Value | None = None
        self.errors: list[tuple[int, ReadError]] = []
        self.dates: list[Token] = []
        self.guesses: dict[str, Guess] = {}
        self.attempts = grammar.vocabulary.matching.attempts
        self.knows_product = False
        self.has_number = False
        self.longest_unknown = 0

    def run(self) -> Lines:
        place = 0
        while place < len(self.tokens):
            token = self.tokens[place]
            if len(self.drafts) >= self.grammar.vocabulary.max_items and token.kind in _OPENS_ITEM:
                self._refuse(Refusal.EXTRA, token)
                break
            place += self._step(place, token)
        else:
            if self.is_cut and self.tokens:
                self._refuse(Refusal.EXTRA, self.tokens[-1])
        found = self._finish()
        self.errors.sort(key=lambda each: each[0])
        return Lines(
            found=found,
            errors=tuple(error for _, error in self.errors),
            dates=tuple(self.dates),
            knows_product=self.knows_product,
            has_number=self.has_number,
            longest_unknown=self.longest_unknown,
        )

    def _step(self, place: int, token: Token) -> int:
        """Takes the token at `place`; returns how many were used up."""
        match token.kind:
            case Kind.END:
                self._close()
            case Kind.DATE:
                self.dates.append(token)
            case Kind.PLACEHOLDER:
                self._skip_position(token)
            case Kind.PRODUCT:
                return self._named(place, token)
            case Kind.CODE:
                self._code(place, token)
            case Kind.NUMBER:
                self._number(token)
            case Kind.COUNT:
                self._count(place, token)
            case Kind.MONEY:
                self._money(token)
            case Kind.ZERO | Kind.LABEL | Kind.MODE:
                self._word(place, token)
            case Kind.CHOICE | Kind.TEXT:
                self._said(token)
            case Kind.PER:
                self.per = token.unit
            case Kind.BAD_NUMBER:
                self._bad(Refusal.NUM, token)
            case Kind.BAD_UNIT:
                self._bad(Refusal.UNIT, token)
            case Kind.UNKNOWN:
                return self._unknown(place, token)
        return 1

    # Products.

    def _open(self, token: Token, sku: str | None, end: int | None = None, shown: str | None = None) -> Draft:
        self._close()
        stop = token.end if end is None else end
        self.item = Draft(sku, shown or token.text, token.start, stop, self.mode)
        self.drafts.append(self.item)
        self.knows_product = self.knows_product or sku is not None
        return self.item

    def _close(self) -> None:
        self.item = self.label = self.per = self.last_money = None

    def _named(self, place: int, token: Token) -> int:
        following = self._peek(place + 1)
        if following is not None and following.kind is Kind.UNKNOWN and following.start == token.end:
            # 青山红叶 may begin like a shorter name, 青山红; the whole may still sound like one.
            sku = self._sounds_like(token.text + following.text)
            if sku is not None:
                item = self._open(token, sku, following.end, token.text + following.text)
                item.matched_by = MatchedBy.PINYIN
                return 2
        self._open(token, token.sku)
        return 1

    def _code(self, place: int, token: Token) -> None:
        """Where the first value is still open a code is a product only if a value follows it."""
        item = self.item
        may_be_value = (
            item is not None and not item.is_nameless and (item.first_is_open or self.label is not None)
        )
        if may_be_value and not self._value_follows(place + 1):
            self._number(token)
        else:
            self._open(token, token.sku)

    def _unknown(self, place: int, token: Token) -> int:
        used, end, word = 1, token.end, token.text
        guess = self._guess(word)
        if guess.sku is None:
            joined, last = self._joined(place)
            if last > place:
                whole = self._guess(joined)
                if whole.sku is not None:
                    guess, word, used, end = whole, joined, last - place + 1, self.tokens[last].end
        item = self._open(token, guess.sku, end, word)
        item.matched_by = guess.matched_by
        if guess.sku is None:
            self.longest_unknown = max(self.longest_unknown, len(word))
            self.knows_product = self.knows_product or bool(guess.options)
            code = Refusal.PRODUCT_AMBIG if guess.options else Refusal.PRODUCT
            self._refuse(code, token, word, guess.options)
        return used

    def _joined(self, place: int) -> tuple[str, int]:
        """The unknown words from `place` on that only blanks and brackets part, as one."""
        word, last = self.tokens[place].text, place
        limit = 2 * self.grammar.catalogue.longest_name
        while (following := self._peek(last + 1)) is not None and len(word) <= limit:
            between = self.copy.text[self.tokens[last].end : following.start]
            if following.kind is not Kind.UNKNOWN or any(char not in _INSIDE_NAMES for char in between):
                break
            word, last = word + following.text, last + 1
        return word, last

    def _guess(self, word: str) -> Guess:
        if word not in self.guesses:
            if self.attempts <= 0:
                return Guess()
            self.attempts -= 1
            matching = self.grammar.vocabulary.matching
            self.guesses[word] = self.grammar.catalogue.guess(word, matching.ratio, matching.lead)
        return self.guesses[word]

    def _sounds_like(self, word: str) -> str | None:
        if self.attempts <= 0 or len(word) > 2 * self.grammar.catalogue.longest_name:
            return None
        self.attempts -= 1
        return self.grammar.catalogue.by_sound(word)

    # Values.

    def _number(self, token: Token) -> None:
        self.has_number = True
        catalogue = self.grammar.catalogue
        item = self.item
        is_code_long = token.is_plain and len(token.text) in catalogue.code_lengths
        if token.is_plain and len(token.text) in catalogue.barcode_lengths:
            self._refuse_code(token)
        elif item is None or item.is_nameless:
            if is_code_long:
                self._refuse_code(token)
            else:
                self._without_product(token)
        elif self.per is not None and self.label is None and self.form.money_keys:
            self._money(token)
        elif self.label is not None:
            self._assign_bare(item, self.label, token)
        elif positions := item.open_positions():
            self._assign_bare(item, positions[0], token)
        elif is_code_long:
            self._refuse_code(token)
        elif item.sku is not None:
            self._refuse(Refusal.EXTRA, token)

    def _refuse_code(self, token: Token) -> None:
        self._open(token, None)
        self._refuse(Refusal.PRODUCT, token)

    def _without_product(self, token: Token) -> None:
        """One error for all values up to the next product: they are missing the same name."""
        if self.item is None:
            self._open(token, None).is_nameless = True
            self._refuse(Refusal.NOPRODUCT, token)

    def _assign_bare(self, item: Draft, key: str, token: Token) -> None:
        number = token.number or Fraction(0)
        match self.form.fields[key]:
            case QuantityField() as counted:
                value = Value(number * counted.units[counted.unit], token.start, token.end)
            case IntegerField():
                value = Value(number, token.start, token.end)
            case MoneyField():
                unit, self.per = self.per, None
                self._assign_money(item, key, token, unit)
                return
            case _:
                self._break(Refusal.NUM, token)
                return
        self._assign(item, key, value)

    def _count(self, place: int, token: Token) -> None:
        self.has_number = True
        item = self.item
        if item is None or item.is_nameless:
            self._without_product(token)
            return
        if self._is_paid_unit(item, token) or self._leads_amount(item, place, token):
            return
        key = self._count_key(item, token)
        if key is None:
            self._bad(Refusal.UNIT, token)
            return
        sizes = [self.form.unit_size(key, unit) or 1 for _, unit in token.parts]
        value = Value(
            sum((count * size for (count, _), size in zip(token.parts, sizes, strict=True)), Fraction(0)),
            token.start,
            token.end,
            smallest=min(sizes),
            is_ambiguous=any(self.form.is_ambiguous(key, unit) for _, unit in token.parts),
        )
        self._assign(item, key, value, biggest=max(sizes))

    def _is_paid_unit(self, item: Draft, token: Token) -> bool:
        """Behind an amount, and where no count is missing, one unit is what the amount pays for."""
        money = self.last_money
        if money is None or not money.is_unmarked or len(token.parts) != 1 or token.parts[0][0] != 1:
            return False
        if self.copy.text[money.end : token.start].strip(" "):
            return False
        if any(key in self.form.count_keys for key in item.open_positions()):
            return False
        unit = token.parts[0][1]
        for key in self.form.money_keys:
            definition = self.form.fields[key]
            if (
                isinstance(definition, MoneyField)
                and item.values.get(key) is money
                and unit in definition.per
            ):
                money.total /= Fraction(definition.per[unit], definition.per[definition.unit])
                money.is_unmarked, money.end = False, token.end
                return True
        return False

    def _leads_amount(self, item: Draft, place: int, token: Token) -> bool:
        """In front of an amount, and where no count is wanted, one unit is what the amount pays for."""
        following = self._peek(place + 1)
        if following is None or following.kind is not Kind.MONEY or following.unit is not None:
            return False
        if any(key in self.form.count_keys for key in item.mode.positional) or self.label is not None:
            return False
        if len(token.parts) != 1 or token.parts[0][0] != 1 or item.values:
            return False
        unit = token.parts[0][1]
        definitions = [self.form.fields[key] for key in self.form.money_keys]
        if not any(isinstance(each, MoneyField) and unit in each.per for each in definitions):
            return False
        self.per = unit
        return True

    def _count_key(self, item: Draft, token: Token) -> str | None:
        """The field that knows all the units: the labelled one, one it continues, else the first still open."""
        keys = [
            key
            for key in self.form.count_keys
            if all(key in self.form.unit_fields.get(unit, ()) for _, unit in token.parts)
        ]
        if self.label is not None:
            return self.label if self.label in keys else None
        biggest = {key: max(self.form.unit_size(key, unit) or 1 for _, unit in token.parts) for key in keys}
        for key in keys:
            if key in item.values and item.values[key].smallest > biggest[key]:
                return key
        still_open = [
            key for key in (*item.open_positions(), *keys) if key in keys and key not in item.values
        ]
        return next(iter(still_open or keys), None)

    def _money(self, token: Token) -> None:
        self.has_number = True
        item = self.item
        if item is None or item.is_nameless:
            self._without_product(token)
            return
        keys = self.form.money_keys
        if self.label is not None:
            if self.label not in keys:
                self._bad(Refusal.UNIT, token)
                return
            key = self.label
        else:
            still_open = [
                each for each in (*item.open_positions(), *keys) if each in keys and each not in item.values
            ]
            key = (still_open or list(keys))[0]
        unit = token.unit or self.per
        self.per = None
        self._assign_money(item, key, token, unit)

    def _assign_money(self, item: Draft, key: str, token: Token, unit: str | None) -> None:
        definition = self.form.fields[key]
        if not isinstance(definition, MoneyField) or (unit is not None and unit not in definition.per):
            self._bad(Refusal.UNIT, token)
            return
        amount = (token.number or Fraction(0)) * 10**definition.decimals
        total = amount / definition.per[unit or definition.unit]
        value = Value(total, token.start, token.end, is_unmarked=unit is None)
        self._assign(item, key, value)
        self.last_money = value

    def _assign(self, item: Draft, key: str, value: Value, biggest: int = 0) -> None:
        self.label = self.last_money = None
        item.skipped.discard(key)
        before = item.values.get(key)
        if before is None:
            item.values[key] = value
        elif biggest and biggest < before.smallest:
            # Large and small units say the same with a separator between them as without.
            before.total += value.total
            before.end, before.smallest = value.end, value.smallest
            before.is_ambiguous = before.is_ambiguous or value.is_ambiguous
        elif (before.total, before.code) != (value.total, value.code) and item.is_good:
            item.is_broken = True
            self._refuse_item(Refusal.DUP, item)

    def _skip_position(self, token: Token) -> None:
        item = self.item
        if item is None or self.label is not None:
            self.label = None
            return
        # With a single position a dash is but a dash (青山 - 3); only a word for "empty" leaves it out.
        if token.text[0] == "-" and len(item.mode.positional) < 2:
            return
        if positions := item.open_positions():
            item.skipped.add(positions[0])

    # Words.

    def _word(self, place: int, token: Token) -> None:
        meaning = token.meaning
        if meaning is None:
            return
        item = self.item if self.item is not None and not self.item.is_nameless else None
        opens = self._product_follows(place + 1)
        if token.kind is Kind.ZERO and meaning.zero is not None:
            mode = meaning.mode or self.form.mode_of_zero.get(meaning.zero)
            is_said = item is not None and meaning.zero in item.values
            if mode is not None and opens and (item is None or is_said):
                self._switch(mode)
            elif item is not None:
                self._assign(item, meaning.zero, Value(Fraction(0), token.start, token.end))
            else:
                self._without_product(token)
        elif token.kind is Kind.LABEL:
            if meaning.mode is not None and opens:
                self._switch(meaning.mode)
            elif item is not None:
                self.label = meaning.label
        elif meaning.mode is not None:
            if item is None or opens:
                self._switch(meaning.mode)
            elif meaning.mode.positional:
                self.label = meaning.mode.positional[0]
            else:
                for key, fixed in meaning.mode.every_line.items():
                    self._assign(item, key, Value(Fraction(fixed), token.start, token.end))

    def _switch(self, mode: Mode) -> None:
        self._close()
        self.mode = mode

    def _said(self, token: Token) -> None:
        meaning, item = token.meaning, self.item
        if meaning is None:
            return
        if item is None:
            self._without_product(token)
        elif token.kind is Kind.TEXT and meaning.label is not None:
            item.values[meaning.label] = Value(Fraction(0), token.start, token.end, code=token.text)
        elif meaning.choice is not None:
            key, code = meaning.choice
            self._assign(item, key, Value(Fraction(0), token.start, token.end, code=code))

    # What is refused.

    def _bad(self, code: Refusal, token: Token) -> None:
        self.has_number = True
        nobody = self.item is None or self.item.is_nameless
        if nobody and code is Refusal.NUM and _looks_like_code(token, self.grammar.catalogue.code_lengths):
            self._refuse_code(token)
            return
        if self.item is None:
            self._open(token, None).is_nameless = True
            self._refuse(code, token)
        else:
            self._break(code, token)

    def _break(self, code: Refusal, token: Token) -> None:
        item = self.item
        self.label = None
        if item is not None and item.is_good:
            item.is_broken = True
            self._refuse(code, token)
        if item is not None and (positions := item.open_positions()):
            item.skipped.add(positions[0])

    def _refuse(
        self, code: Refusal, token: Token, shown: str | None = None, options: tuple[str, ...] = ()
    ) -> None:
        span = self.copy.span(token.start, token.end)
        self.errors.append((token.start, ReadError(code, shown or token.text, span, options)))

    def _refuse_item(self, code: Refusal, item: Draft) -> None:
        span = self.copy.span(item.start, item.end)
        self.errors.append((item.start, ReadError(code, item.token, span)))

    # Looking ahead.

    def _peek(self, place: int) -> Token | None:
        return self.tokens[place] if place < len(self.tokens) else None

    def _value_follows(self, place: int) -> bool:
        following = self._peek(place)
        return following is not None and following.kind in VALUES

    def _product_follows(self, place: int) -> bool:
        """Whether a product comes next; a code that could be a value is one when a value or nothing open follows."""
        following = self._peek(place)
        if following is None or following.kind not in _OPENS_ITEM:
            return False
        if following.kind is Kind.CODE and self.item is not None and not self.item.is_nameless:
            after = self._peek(place + 1)
            return after is not None and after.kind in VALUES | _OPENS_ITEM
        return True

    # The end.

    def _finish(self) -> tuple[Line, ...]:
        mentions: dict[str, list[Draft]] = {}
        for draft in self.drafts:
            if draft.sku is not None:
                self._fill(draft)
                mentions.setdefault(draft.sku, []).append(draft)
        lines = []
        for sku, drafts in mentions.items():
            line = self._settle(sku, drafts)
            if line is not None:
                lines.append(line)
        return tuple(lines)

    def _fill(self, draft: Draft) -> None:
        for key, fixed in draft.mode.every_line.items():
            self.item = draft
            self._assign(draft, key, Value(Fraction(fixed), draft.start, draft.end))
        self.item = None

    def _settle(self, sku: str, drafts: list[Draft]) -> Line | None:
        """All mentions of one product as one line: equal values are one, different ones refuse the product."""
        if any(draft.is_broken for draft in drafts):
            return None
        first = drafts[0]
        merged: dict[str, Value] = {}
        for draft in drafts:
            for key, value in draft.values.items():
                before = merged.setdefault(key, value)
                if (before.total, before.code) != (value.total, value.code):
                    self._refuse_item(Refusal.DUP, first)
                    return None
        if not self._says_enough(merged):
            for draft in drafts:
                self._refuse_item(Refusal.QTY, draft)
            return None
        stored: dict[str, tuple[FieldValue, Value]] = {}
        for key, definition in self.form.fields.items():
            if key not in merged:
                continue
            value = merged[key]
            figure = stored_value(definition, value)
            if figure is None:
                span = self.copy.span(value.start, value.end)
                token = self.copy.text[value.start : value.end]
                self.errors.append((value.start, ReadError(Refusal.NUM, token, span)))
                return None
            stored[key] = (figure, value)
        return Line(
            sku=sku,
            token=first.token,
            start=first.start,
            product_end=first.end,
            end=max(first.end, *(value.end for value in merged.values())),
            values=stored,
            matched_by=next((draft.matched_by for draft in drafts if draft.matched_by), None),
        )

    def _says_enough(self, values: Mapping[str, Value]) -> bool:
        lines = self.form.definition.lines
        if lines is None or not values:
            return False
        if lines.at_least_one and not any(key in values for key in lines.at_least_one):
            return False
        return all(each.key in values for each in lines.fields if each.required)


def _looks_like_code(token: Token, lengths: frozenset[int]) -> bool:
    """1O9: digits and letters as long as a code, where a code would stand."""
    return len(token.text) in lengths and token.text.isascii() and token.text.isalnum()


def _turned_round(tokens: list[Token]) -> list[Token]:
    """Counts in front of every product, where the usual order would shift them all by one.

    Only where nothing else is said, every count clings to its product, and there are two at least.
    """
    said = [token for token in tokens if token.kind is not Kind.END]
    counts, products = said[::2], said[1::2]
    if len(counts) != len(products) or len(counts) < 2:
        return tokens
    if any(token.kind is not Kind.COUNT for token in counts):
        return tokens
    if any(
        token.kind is not Kind.PRODUCT or token.start != count.end
        for count, token in zip(counts, products, strict=True)
    ):
        return tokens
    return [token for pair in zip(products, counts, strict=True) for token in pair]
