"""A form as the blueprint defines it, and the words and texts of messages: one definition for every channel."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from crm.blueprint.values import Entry, Id, Label

Word = Annotated[str, Field(min_length=1, max_length=40)]
Words = tuple[Word, ...]
Units = Annotated[Mapping[Word, Annotated[int, Field(ge=1)]], Field(min_length=1)]


# Fields. `id` never changes, so that a renamed key or title keeps its data; `result` is the name under which a
# value leaves the form (observations, exports, the JSON of a reading), `key` where none is given.


class FieldBase(Entry):
    id: Id
    key: Id
    title: Label
    result: Id | None = None
    required: bool = False
    words: Words = ()  # how people name the field in a text

    @property
    def name(self) -> str:
        return self.result or self.key


class QuantityField(FieldBase):
    """A count in trade units, stored as a whole number of the smallest one."""

    type: Literal["quantity"]
    unit: Word  # what a bare number counts
    units: Units  # how many of the stored unit one of these holds
    store_as: Word
    ambiguous_units: Mapping[Word, Word] = {}  # people mean different sizes: held, proposed as this unit
    zero_words: Words = ()
    min: Annotated[int, Field(ge=0)] = 0
    confirm_above: Annotated[int, Field(ge=0)] | None = None  # in stored units; more is asked back
    scale_by: Id | None = None  # a factor of the party that stretches confirm_above

    @model_validator(mode="after")
    def _units_fit(self) -> Self:
        for name in (self.unit, self.store_as, *self.ambiguous_units.values()):
            if name not in self.units:
                raise ValueError(f"the unit {name} is not among `units` of the field {self.key}")
        if self.units[self.store_as] != 1:
            raise ValueError(f"the field {self.key} stores {self.store_as}, so that unit must count 1")
        if twice := set(self.ambiguous_units) & set(self.units):
            raise ValueError(f"{'、'.join(sorted(twice))} cannot be both a unit and an ambiguous unit")
        return self


class IntegerField(FieldBase):
    """A plain whole number; its units are only ways to say it."""

    type: Literal["integer"]
    units: Mapping[Word, Annotated[int, Field(ge=1)]] = {}
    zero_words: Words = ()
    min: int = 0
    confirm_above: int | None = None
    scale_by: Id | None = None


class Band(Entry):
    """Plausible amounts as multiples of a reference amount of the product; outside is asked back."""

    of: Id
    low: Annotated[Decimal, Field(ge=0)] = Field(alias="from")
    high: Annotated[Decimal, Field(gt=0)] = Field(alias="to")

    @model_validator(mode="after")
    def _runs_upwards(self) -> Self:
        if self.low >= self.high:
            raise ValueError("`from` of a band must be below `to`")
        return self


class MoneyField(FieldBase):
    """An amount for one unit, stored in the smallest coin for the unit that `per` counts as 1, rounded half up."""

    type: Literal["money"]
    currency: Word | None = None  # as answers write it; the vocabulary's first word where none is given
    unit: Word  # what a bare amount pays for
    per: Units
    decimals: Annotated[int, Field(ge=0, le=4)] = 2
    band: Band | None = None
    # An amount without a unit that only fits the band when it pays for this larger unit is held and proposed so.
    unit_doubt: Word | None = None

    @model_validator(mode="after")
    def _units_fit(self) -> Self:
        for name in (self.unit, self.unit_doubt):
            if name is not None and name not in self.per:
                raise ValueError(f"the unit {name} is not among `per` of the field {self.key}")
        return self

    @property
    def store_per(self) -> str:
        # Of several words for the smallest unit the field's own: the stored blueprint keeps no order of words.
        return min(self.per, key=lambda name: (self.per[name], name != self.unit, name))


class Option(Entry):
    code: Id
    title: Label
    words: Words = ()


class ChoiceField(FieldBase):
    type: Literal["choice"]
    options: Annotated[tuple[Option, ...], Field(min_length=1)]


class TextField(FieldBase):
    type: Literal["text"]
    max_length: Annotated[int, Field(ge=1, le=4000)] = 200


FormField = Annotated[
    QuantityField | IntegerField | MoneyField | ChoiceField | TextField, Field(discriminator="type")
]


# The form.


class Period(Entry):
    every: Literal["day", "week", "month", "quarter", "year", "once"]
    starts: str | None = None
    late_until: str | None = None
    backdate_days: Annotated[int, Field(ge=0, le=366)] = 0


class Who(Entry):
    roles: tuple[Id, ...]
    per: Literal["period", "day", "event"] = "period"
    max_submissions: Annotated[int, Field(ge=1)] | None = None
    later: Literal["amend", "refuse", "add"] = "amend"


class ProductColumn(Entry):
    type: Literal["product"]
    title: Label
    source: str | None = Field(default=None, alias="from")  # which products a channel offers, and their order


class Lines(Entry):
    """The part of a form that repeats: one line a product."""

    key: Id
    product: ProductColumn
    fields: Annotated[tuple[FormField, ...], Field(min_length=1)]
    at_least_one: tuple[Id, ...] = ()

    @model_validator(mode="after")
    def _keys_fit(self) -> Self:
        _refuse_repeats([each.id for each in self.fields], "the field id")
        _refuse_repeats([each.key for each in self.fields], "the field key")
        _refuse_repeats([each.name for each in self.fields], "the result name")
        _require_known(self.at_least_one, {each.key for each in self.fields}, "at_least_one")
        return self

    def field(self, key: str) -> FormField:
        for each in self.fields:
            if each.key == key:
                return each
        raise KeyError(key)


class Mode(Entry):
    """What a message is about when it begins with one of these words."""

    key: Id
    words: Annotated[Words, Field(min_length=1)]
    positional: tuple[Id, ...] = ()  # the fields that bare numbers fill, in order
    every_line: Mapping[Id, int] = {}  # values that every named product gets without a number


class SmsHints(Entry):
    """How the form travels in short messages; no field may be defined here."""

    grammar: Literal["lines"] = "lines"
    positional: tuple[Id, ...] = ()  # of a message without a command, and of a correction
    modes: tuple[Mode, ...] = ()


class IvrHints(Entry):
    menu_title: Label
    ask_products: Annotated[int, Field(ge=1)] = 5
    skip_key: str = "*"
    end_key: str = "#"


class EmailHints(Entry):
    subject_tag: Word
    accepts: tuple[Literal["lines", "xlsx"], ...] = ("lines",)


class ForumHints(Entry):
    board: Id
    tag: Word
    accepts: tuple[Literal["lines", "webform"], ...] = ("webform",)


class PortalHints(Entry):
    layout: Literal["table", "cards"] = "table"
    offline: bool = False


class Channels(Entry):
    sms: SmsHints | None = None
    ivr: IvrHints | None = None
    email: EmailHints | None = None
    forum: ForumHints | None = None
    portal: PortalHints | None = None


class Check(Entry):
    """A rule beyond those of the fields, as a CEL condition."""

    id: Id
    when: str
    action: Literal["confirm", "refuse", "mark"]
    text: Label


class OnAccept(Entry):
    when: str | None = None
    do: Id | None = None
    emit: Id | None = None


class Merge(Entry):
    """Which of several reports is shown for the same key; all of them are kept."""

    key: tuple[Id, ...]
    policy: Literal["last_wins", "first_wins", "rank"] = "last_wins"
    keep_history: bool = True
    rank: tuple[Id, ...] = ()


class Dialogue(Entry):
    """How long an answer, a repeat or a correction still belongs to a report."""

    correct_hours: Annotated[int, Field(ge=0)] = 48
    repeat_minutes: Annotated[int, Field(ge=0)] = 10
    pending_hours: Annotated[int, Field(ge=0)] = 24
    # A value the party once confirmed is its normal; up to this many times more or less is not asked again.
    normal_factor: Annotated[Decimal, Field(ge=1)] = Decimal(3)


class FormDef(Entry):
    form: Id
    title: Label
    about: Id  # the kind of record the answers belong to
    period: Period | None = None
    who: Who
    header: tuple[FormField, ...] = ()
    lines: Lines | None = None
    dialogue: Dialogue = Dialogue()
    checks: tuple[Check, ...] = ()
    on_accept: tuple[OnAccept, ...] = ()
    merge: Merge | None = None
    channels: Channels = Channels()

    @model_validator(mode="after")
    def _references_fit(self) -> Self:
        sms = self.channels.sms
        if sms is None:
            return self
        keys = {each.key for each in self.lines.fields} if self.lines else set()
        _require_known(sms.positional, keys, "channels.sms.positional")
        for mode in sms.modes:
            _require_known((*mode.positional, *mode.every_line), keys, f"channels.sms.modes.{mode.key}")
        _refuse_repeats([mode.key for mode in sms.modes], "the mode")
        return self

    @property
    def backdate_days(self) -> int:
        return self.period.backdate_days if self.period else 0

    @property
    def keywords(self) -> tuple[str, ...]:
        """Every word that opens this form in a message."""
        sms = self.channels.sms
        return tuple(word for mode in sms.modes for word in mode.words) if sms else ()


# The vocabulary of messages: what is said around the forms.


class Act(StrEnum):
    """What the hub does on a command."""

    CORRECT = "correct"
    CANCEL = "cancel"
    CASE = "case"
    BIND = "bind"
    HELP = "help"
    CONSENT = "consent"
    REFUSE = "refuse"
    REPEAT = "repeat"
    YES = "yes"
    NO = "no"


class Command(Entry):
    key: Id
    words: Annotated[Words, Field(min_length=1)]
    act: Act
    intent: Id | None = None  # what the interaction is counted as; the key where none is given
    whole: bool = False  # counts only when it is the whole message
    open_to_all: bool = False  # works for senders nobody knows
    case: Id | None = None  # CASE: the kind of case it opens
    effect: str | None = None  # CONSENT: what else happens
    error: str | None = None  # REFUSE: the code it is refused with

    @model_validator(mode="after")
    def _says_enough(self) -> Self:
        wanted = {Act.CASE: self.case, Act.CONSENT: self.effect, Act.REFUSE: self.error}
        if wanted.get(self.act, "") is None:
            names = {Act.CASE: "case", Act.CONSENT: "effect", Act.REFUSE: "error"}
            raise ValueError(f"the command {self.key} needs `{names[self.act]}`")
        return self


class MoneyWords(Entry):
    signs: Words = ()
    major: Words = ()
    tenth: Words = ()
    hundredth: Words = ()
    filler: Words = ()  # may follow the currency and says nothing
    per: Words = ()  # "for each", between an amount and its unit


class Binding(Entry):
    """How a sender says who it is. It never binds by itself: the number hangs on the wall."""

    key: Id
    digits: Annotated[int, Field(ge=4, le=20)]


class Matching(Entry):
    """When a misspelt name still counts."""

    ratio: Annotated[int, Field(ge=50, le=100)] = 75
    lead: Annotated[int, Field(ge=0, le=100)] = 10
    attempts: Annotated[int, Field(ge=1)] = 24  # unknown words looked up in one message


# What the texts may name; anything else in braces is a mistake.
REPLY_PLACEHOLDERS: Final = frozenset({"receipt", "items", "held", "errors", "n"})
ERROR_PLACEHOLDERS: Final = frozenset({"token", "options", "n"})


class MessageVocabulary(Entry):
    messages: Id
    signature: Word
    default_form: Id
    unknown_case: Id | None = None  # the kind of case that a message nobody can read opens
    commands: tuple[Command, ...]
    polite: Words = ()
    fillers: Words = ()  # stand between items and say nothing
    dates: Mapping[Word, int] = {}  # word -> days back; a day to come is negative, and refused as one
    placeholder: Words = ()
    foreign_units: Words = ()  # units of other trades: a number with one is refused, not guessed
    money: MoneyWords = MoneyWords()
    binding: Binding | None = None
    matching: Matching = Matching()
    max_items: Annotated[int, Field(ge=1, le=2000)] = 200
    # A message without command, product or number of its own that holds a longer word than this is a sentence.
    sentence_length: Annotated[int, Field(ge=2)] = 8
    replies: Mapping[str, str]
    errors: Mapping[str, str]

    @model_validator(mode="after")
    def _words_fit(self) -> Self:
        _refuse_repeats([each.key for each in self.commands], "the command")
        for each in self.commands:
            if each.error is not None and each.error not in self.errors:
                raise ValueError(f"the command {each.key} is refused with {each.error}, which has no text")
        return self

    def texts(self) -> Iterator[tuple[str, str]]:
        """Every reply and error text with its code, for the checks of length and placeholders."""
        yield from self.replies.items()
        yield from self.errors.items()


def _refuse_repeats(names: list[str], what: str) -> None:
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(f"{what} {', '.join(sorted(twice))} stands twice")


def _require_known(names: tuple[str, ...], known: set[str], where: str) -> None:
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"{where} names {', '.join(unknown)}, which is not a field of the lines")
