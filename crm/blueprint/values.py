"""The small values every part of a blueprint is written with: ids, labels, durations, references, conditions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from typing import Annotated, Any, Final, Self

import opencc
from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, model_serializer, model_validator
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

LOCALES: Final = ("zh-Hans", "zh-Hant", "en")


class Entry(BaseModel):
    """Base of all parts of a blueprint: nothing unknown is taken, nothing changes later."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


# Ids are stored in records and exports, so they are ASCII and never change; titles may.
Id = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,62}$")]
# Codes may begin with a digit, since the trade's own codes often do.
CodeId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]


@dataclass(frozen=True, slots=True)
class Ref:
    """Marks a text as the id of an entry in `section`; the checks resolve it."""

    section: str
    or_any: bool = False  # "*" stands for all


@dataclass(frozen=True, slots=True)
class Cel:
    """Marks a text as a condition; `scope` says which names it may use."""

    scope: str


@dataclass(frozen=True, slots=True)
class Pattern:
    """Marks a text as a regular expression."""


PatternText = Annotated[str, Field(min_length=1, max_length=200), Pattern()]


class Label(Entry):
    """A text for people. Simplified Chinese is always there; traditional is converted where absent."""

    hans: str = Field(alias="zh-Hans", min_length=1, max_length=2000)
    hant: str | None = Field(default=None, alias="zh-Hant", max_length=2000)
    en: str | None = Field(default=None, max_length=2000)

    @model_validator(mode="before")
    @classmethod
    def _accept_plain_text(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = {"zh-Hans": value}
        if isinstance(value, dict) and not str(value.get("zh-Hans", value.get("hans")) or "").strip():
            raise PydanticCustomError("label_missing", "the label has no text in zh-Hans")
        return value

    @model_serializer
    def _short(self) -> str | dict[str, str]:
        if self.hant is None and self.en is None:
            return self.hans
        texts = {"zh-Hans": self.hans, "zh-Hant": self.hant, "en": self.en}
        return {locale: text for locale, text in texts.items() if text is not None}

    def text(self, locale: str = "zh-Hans") -> str:
        """The text in `locale`, or the nearest there is: a reader always gets a word."""
        if locale == "zh-Hant" or locale.startswith(("zh-TW", "zh-HK", "zh-MO")):
            return self.hant if self.hant is not None else to_traditional(self.hans)
        if locale.split("-")[0] == "en" and self.en is not None:
            return self.en
        return self.hans

    def __str__(self) -> str:
        return self.hans


@cache
def _converter() -> Any:
    return opencc.OpenCC("s2t")


@cache
def to_traditional(text: str) -> str:
    converted: str = _converter().convert(text)
    return converted


_DURATION: Final = re.compile(
    r"P(?=.)(?:(?P<weeks>\d{1,4})W)?(?:(?P<days>\d{1,4})D)?"
    r"(?:T(?=.)(?:(?P<hours>\d{1,4})H)?(?:(?P<minutes>\d{1,5})M)?(?:(?P<seconds>\d{1,6})S)?)?\Z"
)


@dataclass(frozen=True, slots=True)
class Duration:
    """An ISO 8601 duration such as PT4H or P3D.

    Days and clock time stay apart, because against a working calendar a day is one working day,
    however many hours that one has.
    """

    text: str
    days: int
    clock: timedelta

    @classmethod
    def parse(cls, text: str) -> Self:
        match = _DURATION.match(text)
        if match is None:
            raise ValueError("a duration is written like PT30M, PT4H, P3D or P1DT4H")
        part = {name: int(value or 0) for name, value in match.groupdict().items()}
        clock = timedelta(hours=part["hours"], minutes=part["minutes"], seconds=part["seconds"])
        return cls(text, part["weeks"] * 7 + part["days"], clock)

    @property
    def elapsed(self) -> timedelta:
        """The duration by the wall clock, with days of 24 hours."""
        return timedelta(days=self.days) + self.clock

    def __str__(self) -> str:
        return self.text

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def check(value: object) -> Duration:
            if isinstance(value, Duration):
                return value
            if not isinstance(value, str):
                raise ValueError("a duration is written like PT30M, PT4H, P3D or P1DT4H")
            return cls.parse(value)

        return core_schema.no_info_plain_validator_function(
            check, serialization=core_schema.to_string_ser_schema()
        )


class Dated(Entry):
    """Something that holds for a time only; it is closed with valid_to and never deleted."""

    valid_from: date | None = None
    valid_to: date | None = None

    def is_valid_on(self, day: date) -> bool:
        """Both ends are included."""
        return (self.valid_from is None or self.valid_from <= day) and (
            self.valid_to is None or day <= self.valid_to
        )
