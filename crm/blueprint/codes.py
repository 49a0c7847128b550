"""Code tables: the closed lists of a business, where a code is retired but never deleted."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Annotated

from pydantic import Field

from crm.blueprint.values import CodeId, Dated, Entry, Id, Label, Ref


class Code(Dated):
    code: CodeId
    label: Label
    parent: str | None = None  # a code of the parent table; without one the table's `parent_code`
    extra: Mapping[str, str | int | float | bool] = {}


class CodeTable(Entry):
    """`parent` makes it a child table: its codes are offered only under their code of the parent table."""

    id: Id
    title: Label
    parent: Annotated[Id, Ref("code_tables")] | None = None
    parent_code: str | None = None
    values: Annotated[tuple[Code, ...], Field(min_length=1)]

    def label(self, code: str, locale: str = "zh-Hans") -> str:
        """A retired code keeps its label; an unknown one is shown as it is stored."""
        for value in self.values:
            if value.code == code:
                return value.label.text(locale)
        return code

    def offered(self, day: date, parent: str | None = None) -> tuple[Code, ...]:
        return tuple(
            value
            for value in self.values
            if value.is_valid_on(day) and parent in (None, value.parent or self.parent_code or parent)
        )
