"""The grammar of messages, compiled once from the forms, the vocabulary and the catalogue."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from crm.blueprint.forms import (
    Act,
    ChoiceField,
    Command,
    FormDef,
    FormField,
    IntegerField,
    MessageVocabulary,
    Mode,
    MoneyField,
    QuantityField,
    TextField,
)
from crm.forms.catalogue import Catalogue
from crm.forms.numerals import NUMERALS
from crm.forms.readings import Intent
from crm.forms.text import fold

CountField = QuantityField | IntegerField
BARE_MODE_KEY: Final = "positional"


class GrammarConflict(ValueError):
    """The forms and the vocabulary contradict each other; the message lists every contradiction."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """All that one word can mean inside the lines of a form; where it stands decides."""

    word: str
    label: str | None = None  # names this field
    zero: str | None = None  # says that this field is none
    mode: Mode | None = None
    choice: tuple[str, str] | None = None  # field, code
    filler: bool = False
    polite: bool = False
    days_back: int | None = None
    placeholder: bool = False
    per: bool = False


@dataclass(frozen=True, slots=True)
class FormGrammar:
    """One form, ready to read lines with."""

    definition: FormDef
    fields: Mapping[str, FormField]  # their units as in a matching copy
    bare_mode: Mode  # of a message without a command, and of a correction
    meanings: Mapping[str, tuple[Meaning, ...]]  # first character -> words, longest first
    units: Mapping[str, tuple[str, ...]]  # first character -> units of counts, longest first
    unit_fields: Mapping[str, tuple[str, ...]]  # unit -> the counts that know it
    per_units: Mapping[str, tuple[str, ...]]
    foreign_units: Mapping[str, tuple[str, ...]]
    count_keys: tuple[str, ...]
    money_keys: tuple[str, ...]
    mode_of_zero: Mapping[str, Mode]  # field -> the mode that reports it as none

    @property
    def form(self) -> str:
        return self.definition.form

    def unit_size(self, key: str, unit: str) -> int | None:
        """How many stored units one `unit` is in that field; ambiguous ones as they are proposed."""
        definition = self.fields[key]
        if not isinstance(definition, QuantityField | IntegerField):
            return None
        if isinstance(definition, QuantityField) and unit in definition.ambiguous_units:
            unit = definition.ambiguous_units[unit]
        return definition.units.get(unit)

    def is_ambiguous(self, key: str, unit: str) -> bool:
        definition = self.fields[key]
        return isinstance(definition, QuantityField) and unit in definition.ambiguous_units


@dataclass(frozen=True, slots=True)
class MoneyForms:
    """The currency words as the matching copy shows them."""

    signs: tuple[str, ...]
    major: tuple[str, ...]
    tenth: tuple[str, ...]
    hundredth: tuple[str, ...]
    filler: tuple[str, ...]
    per: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Opening:
    """A word that may begin a message: a command of the vocabulary or a mode of a form."""

    word: str
    command: Command | None = None
    form: str | None = None
    mode: Mode | None = None


@dataclass(frozen=True, slots=True)
class Grammar:
    vocabulary: MessageVocabulary
    catalogue: Catalogue
    forms: Mapping[str, FormGrammar]
    openings: Mapping[str, tuple[Opening, ...]]  # first character -> words, longest first
    polite: frozenset[str]
    polite_words: Mapping[str, tuple[str, ...]]
    fillers: Mapping[str, tuple[str, ...]]
    money: MoneyForms
    default_form: str
    tokens_shown: frozenset[str] = field(default_factory=frozenset)  # error codes whose text names the token

    @property
    def default(self) -> FormGrammar:
        return self.forms[self.default_form]

    def command(self, act: Act) -> Command | None:
        return next((each for each in self.vocabulary.commands if each.act is act), None)


def compile_grammar(forms: Iterable[FormDef], vocabulary: MessageVocabulary, catalogue: Catalogue) -> Grammar:
    """Raises GrammarConflict with all that does not fit together."""
    lined = [form for form in forms if form.lines is not None and form.channels.sms is not None]
    openings, conflicts = _openings(lined, vocabulary)
    conflicts += _unknown_intents(vocabulary)
    compiled = {form.form: _compile_form(form, vocabulary) for form in lined}
    if vocabulary.default_form not in compiled:
        conflicts.append(f"default_form names {vocabulary.default_form}, which no form with lines for SMS is")
    if conflicts:
        raise GrammarConflict("; ".join(conflicts))
    catalogue.warm()
    money = vocabulary.money
    return Grammar(
        vocabulary=vocabulary,
        catalogue=catalogue,
        forms=compiled,
        openings=_index_openings(openings),
        polite=frozenset(map(fold, vocabulary.polite)),
        polite_words=index_words(vocabulary.polite),
        fillers=index_words(vocabulary.fillers),
        money=MoneyForms(
            signs=_folded(money.signs),
            major=_folded(money.major),
            tenth=_folded(money.tenth),
            hundredth=_folded(money.hundredth),
            filler=_folded(money.filler),
            per=_folded(money.per),
        ),
        default_form=vocabulary.default_form,
        tokens_shown=frozenset(code for code, text in vocabulary.errors.items() if "{token}" in text),
    )


def index_words(words: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Words by their first character, the longest first, so that the longest wins."""
    index: dict[str, list[str]] = {}
    for word in dict.fromkeys(map(fold, words)):
        if word:
            index.setdefault(word[0], []).append(word)
    return {first: tuple(sorted(group, key=len, reverse=True)) for first, group in index.items()}


def word_at(index: Mapping[str, Sequence[str]], text: str, start: int) -> str | None:
    """The longest word of `index` that begins at `start`; a Latin word must end where its letters end."""
    for word in index.get(text[start : start + 1], ()):
        if text.startswith(word, start) and is_word_end(text, start + len(word)):
            return word
    return None


def is_word_end(text: str, end: int) -> bool:
    return not (end < len(text) and "A" <= text[end] <= "Z" and "A" <= text[end - 1] <= "Z")


def _folded(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(dict.fromkeys(map(fold, words)), key=len, reverse=True))


def _openings(
    forms: Sequence[FormDef], vocabulary: MessageVocabulary
) -> tuple[dict[str, Opening], list[str]]:
    openings: dict[str, Opening] = {}
    owners: dict[str, str] = {}
    conflicts: list[str] = []

    def claim(word: str, owner: str, opening: Opening) -> None:
        if opening.word in openings and owners[opening.word] != owner:
            conflicts.append(f"the word {word} means both {owners[opening.word]} and {owner}")
        openings.setdefault(opening.word, opening)
        owners.setdefault(opening.word, owner)

    for command in vocabulary.commands:
        for word in command.words:
            claim(word, f"the command {command.key}", Opening(fold(word), command=command))
    for form in forms:
        sms = form.channels.sms
        for mode in sms.modes if sms else ():
            for word in mode.words:
                owner = f"{form.form}.{mode.key}"
                claim(word, owner, Opening(fold(word), form=form.form, mode=mode))
    return openings, conflicts


def _unknown_intents(vocabulary: MessageVocabulary) -> list[str]:
    known = {str(each) for each in Intent}
    counted = [each for each in vocabulary.commands if each.act in (Act.CASE, Act.CONSENT, Act.REFUSE)]
    return [
        f"the command {each.key} counts as {each.intent or each.key}; use one of {', '.join(sorted(known))}"
        for each in counted
        if (each.intent or each.key) not in known
    ]


def _index_openings(openings: Mapping[str, Opening]) -> dict[str, tuple[Opening, ...]]:
    index: dict[str, list[Opening]] = {}
    for word, opening in openings.items():
        index.setdefault(word[0], []).append(opening)
    return {
        first: tuple(sorted(group, key=lambda each: len(each.word), reverse=True))
        for first, group in index.items()
    }


def _compile_form(form: FormDef, vocabulary: MessageVocabulary) -> FormGrammar:
    sms, lines = form.channels.sms, form.lines
    if sms is None or lines is None:
        raise GrammarConflict(f"the form {form.form} has no lines that a message could report")
    fields = {each.key: each for each in lines.fields}
    unit_fields: dict[str, list[str]] = {}
    per_units: list[str] = []
    for key, each in fields.items():
        if isinstance(each, QuantityField | IntegerField):
            ambiguous = each.ambiguous_units if isinstance(each, QuantityField) else {}
            for unit in (*each.units, *ambiguous):
                unit_fields.setdefault(fold(unit), []).append(key)
        elif isinstance(each, MoneyField):
            per_units += each.per
    known = {*unit_fields, *map(fold, per_units)}
    zero_modes = {
        key: mode for mode in reversed(sms.modes) for key, value in mode.every_line.items() if value == 0
    }
    return FormGrammar(
        definition=form,
        fields={key: _fold_units(each) for key, each in fields.items()},
        bare_mode=Mode.model_construct(key=BARE_MODE_KEY, words=(), positional=sms.positional, every_line={}),
        meanings=_meanings(fields, sms.modes, vocabulary),
        units=index_words(unit_fields),
        unit_fields={unit: tuple(keys) for unit, keys in unit_fields.items()},
        per_units=index_words(per_units),
        foreign_units=index_words(unit for unit in vocabulary.foreign_units if fold(unit) not in known),
        count_keys=tuple(k for k, each in fields.items() if isinstance(each, QuantityField | IntegerField)),
        money_keys=tuple(k for k, each in fields.items() if isinstance(each, MoneyField)),
        mode_of_zero=zero_modes,
    )


def _fold_units(definition: FormField) -> FormField:
    """The field with its units as a matching copy shows them, so that tokens can be compared as they are."""
    match definition:
        case QuantityField():
            return definition.model_copy(
                update={
                    "unit": fold(definition.unit),
                    "store_as": fold(definition.store_as),
                    "units": {fold(unit): size for unit, size in definition.units.items()},
                    "ambiguous_units": {fold(k): fold(v) for k, v in definition.ambiguous_units.items()},
                }
            )
        case IntegerField():
            return definition.model_copy(
                update={"units": {fold(unit): size for unit, size in definition.units.items()}}
            )
        case MoneyField():
            doubt = definition.unit_doubt
            return definition.model_copy(
                update={
                    "unit": fold(definition.unit),
                    "per": {fold(unit): size for unit, size in definition.per.items()},
                    "unit_doubt": None if doubt is None else fold(doubt),
                }
            )
    return definition


def _meanings(
    fields: Mapping[str, FormField], modes: Sequence[Mode], vocabulary: MessageVocabulary
) -> dict[str, tuple[Meaning, ...]]:
    found: dict[str, dict[str, object]] = {}

    def learn(words: Iterable[str], **meaning: object) -> None:
        for word in map(fold, words):
            entry = found.setdefault(word, {})
            for name, value in meaning.items():
                entry.setdefault(name, value)

    for key, definition in fields.items():
        learn(definition.words, label=key)
        match definition:
            case QuantityField() | IntegerField():
                learn(definition.zero_words, zero=key)
            case ChoiceField():
                for option in definition.options:
                    learn(option.words, choice=(key, option.code))
            case TextField() | MoneyField():
                pass
    for mode in modes:
        learn(mode.words, mode=mode)
    learn(vocabulary.fillers, filler=True)
    learn(vocabulary.polite, polite=True)
    learn(vocabulary.placeholder, placeholder=True)
    learn(
        (word for word in vocabulary.money.per if fold(word) not in NUMERALS and not word.isdigit()), per=True
    )
    for word, days in vocabulary.dates.items():
        learn([word], days_back=days)
    index: dict[str, list[Meaning]] = {}
    for word, meaning in found.items():
        if word:
            index.setdefault(word[0], []).append(Meaning(word, **meaning))  # type: ignore[arg-type]  # see learn
    return {
        first: tuple(sorted(group, key=lambda each: len(each.word), reverse=True))
        for first, group in index.items()
    }
