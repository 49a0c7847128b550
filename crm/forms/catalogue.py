"""The products that messages may name: by code, barcode, name, nearly the name, or the sound of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from pypinyin import lazy_pinyin
from rapidfuzz import fuzz, process

from crm.forms.readings import MatchedBy
from crm.forms.text import fold

# Inside a name they say nothing: 青 山（红） is 青山红.
BRACKETS: Final = frozenset("()[]{}<>【】《》〈〉「」『』〔〕“”\"'‘’·・")
_SKIPPED: Final = BRACKETS | {" "}
_MOST_SKIPPED: Final = 3
_END: Final = ""
# Shorter ASCII words are initials rather than typed pinyin.
_LEAST_TYPED_PINYIN: Final = 4
_LETTERS_A_SYLLABLE: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    sku: str
    name: str
    aliases: tuple[str, ...] = ()
    barcodes: tuple[str, ...] = ()
    own: bool = True
    guides: Mapping[str, int] = field(default_factory=dict)  # reference amounts, as the form stores them
    brand: str | None = None
    spec: str = ""


@dataclass(frozen=True, slots=True)
class Match:
    """A product by its sku; `crossed` is where the first blank inside the name stands, if one does."""

    end: int
    sku: str
    word: str
    crossed: int | None = None


@dataclass(frozen=True, slots=True)
class Guess:
    """What an unknown word may mean: one product, several of a brand, or nothing."""

    sku: str | None = None
    matched_by: MatchedBy | None = None
    options: tuple[str, ...] = ()


class Catalogue:
    """Built once for a set of products and shared by every message; never changes."""

    def __init__(
        self, products: Iterable[Product], brands: Mapping[str, Iterable[str]] | None = None
    ) -> None:
        self.products: dict[str, Product] = {each.sku: each for each in products}
        self.codes: dict[str, str] = {}
        self.barcodes: dict[str, str] = {}
        meant: dict[str, dict[str, None]] = {}
        for product in self.products.values():
            for code in product.barcodes:
                self.barcodes[code] = product.sku
            for word in (product.sku, product.name, *product.aliases):
                key = squeeze(fold(word))
                if key.isascii() and key.isdigit():
                    self.codes.setdefault(key, product.sku)
                elif key:
                    meant.setdefault(key, {})[product.sku] = None
        self.code_lengths = frozenset(len(code) for code in self.codes)
        self.barcode_lengths = frozenset(len(code) for code in self.barcodes)
        # A name that two products share names neither: it is answered like a brand, with the choice.
        self._names = {key: next(iter(skus)) for key, skus in meant.items() if len(skus) == 1}
        self._name_list = list(self._names)
        self._trie: dict[str, Any] = {}
        for key, sku in self._names.items():
            node = self._trie
            for char in key:
                node = node.setdefault(char, {})
            node[_END] = (sku, key)
        self.brands = {key: tuple(skus) for key, skus in meant.items() if len(skus) > 1}
        for prefix, listed in (brands if brands is not None else self._brands_of_products()).items():
            known = tuple(sku for sku in listed if sku in self.products)
            key = squeeze(fold(prefix))
            if known and key not in self._names:
                self.brands.setdefault(key, known)

    def _brands_of_products(self) -> dict[str, list[str]]:
        brands: dict[str, list[str]] = {}
        for product in self.products.values():
            if product.brand:
                brands.setdefault(product.brand, []).append(product.sku)
        return {name: skus for name, skus in brands.items() if len(skus) > 1}

    def match(self, text: str, start: int) -> Match | None:
        """The longest name that begins at `start`."""
        found = self._walk(text, start)
        if found is None or found.crossed is None:
            return found
        # 青山 红绿水 must not be read as 青山红 and a rest: a name that begins at the blank and reaches further
        # has the better claim, provided that the part before the blank is a name of its own.
        later = found.crossed
        while later < len(text) and text[later] in _SKIPPED:
            later += 1
        rest = self._walk(text, later)
        if rest is None or rest.end <= found.end:
            return found
        return self._walk(text, start, until=found.crossed) or found

    def _walk(self, text: str, start: int, until: int | None = None) -> Match | None:
        node = self._trie
        best: Match | None = None
        crossed: int | None = None
        skipped = 0
        limit = len(text) if until is None else until
        place = start
        while place < limit:
            char = text[place]
            following = node.get(char)
            if following is None:
                if place == start or char not in _SKIPPED or skipped >= _MOST_SKIPPED:
                    break
                skipped += 1
                if char == " " and crossed is None:
                    crossed = place
                place += 1
                continue
            node, place, skipped = following, place + 1, 0
            ending = node.get(_END)
            if ending is not None and _is_whole(text, place):
                best = Match(place, ending[0], ending[1], crossed)
        return best

    @cached_property
    def _by_pinyin(self) -> dict[str, set[str]]:
        sounds: dict[str, set[str]] = {}
        for name, sku in self._names.items():
            syllables = lazy_pinyin(name, errors="ignore")
            if syllables and not name.isascii():
                for key in (" ".join(syllables), "".join(syllables).upper()):
                    sounds.setdefault(key, set()).add(sku)
        return sounds

    def warm(self) -> None:
        """Does now what the first unknown word would have to wait for."""
        self.by_sound("")

    def by_sound(self, word: str) -> str | None:
        """The only product with a name that sounds like `word`, tones apart."""
        if word.isascii():
            key = word if len(word) >= _LEAST_TYPED_PINYIN else ""
        else:
            syllables = lazy_pinyin(word, errors="ignore")
            # Letters and signs that have no sound must not vanish from the comparison.
            key = " ".join(syllables) if len(syllables) == len(word) else ""
        skus = self._by_pinyin.get(key, set())
        return next(iter(skus)) if len(skus) == 1 else None

    def by_spelling(self, word: str, ratio: int, lead: int) -> str | None:
        """The product with a name spelt nearly so, if no other product comes close."""
        best: dict[str, float] = {}
        for name, score, _ in process.extract(
            word, self._name_list, scorer=fuzz.ratio, processor=None, limit=None, score_cutoff=ratio - lead
        ):
            sku = self._names[name]
            best[sku] = max(best.get(sku, 0.0), score)
        ranked = sorted(best.items(), key=lambda each: -each[1])
        if not ranked or ranked[0][1] < ratio:
            return None
        if len(ranked) > 1 and ranked[0][1] - ranked[1][1] < lead:
            return None
        return ranked[0][0]

    @cached_property
    def longest_name(self) -> int:
        return max(map(len, self._names), default=0)

    def longest_guess(self, word: str) -> int:
        """A word beyond this length is not worth comparing; typed pinyin takes up to six letters a character."""
        return (_LETTERS_A_SYLLABLE if word.isascii() else 2) * self.longest_name

    def guess(self, word: str, ratio: int, lead: int) -> Guess:
        """What a word that is no name may mean. A brand alone is several products and never one of them."""
        if word in self.brands:
            return Guess(options=self.brands[word])
        if len(word) <= self.longest_guess(word):
            if (sku := self.by_sound(word)) is not None:
                return Guess(sku, MatchedBy.PINYIN)
            if (sku := self.by_spelling(word, ratio, lead)) is not None:
                return Guess(sku, MatchedBy.SPELLING)
        for prefix, skus in self.brands.items():
            if word.startswith(prefix):
                return Guess(options=skus)
        return Guess()


def squeeze(word: str) -> str:
    return "".join(char for char in word if char not in _SKIPPED)


def _is_whole(text: str, end: int) -> bool:
    """A name that ends in a Latin letter or a digit must not run on into another."""
    if end >= len(text):
        return True
    last, after = text[end - 1], text[end]
    if last.isdigit() and last.isascii():
        return not (after.isdigit() and after.isascii())
    return not ("A" <= last <= "Z" and "A" <= after <= "Z")
