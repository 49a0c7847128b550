"""What the checks look at: the parts that could be read, all ids that are declared, and where each stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Protocol, get_args, get_origin

from pydantic import BaseModel

from crm.blueprint.problems import Place, Problem, problem
from crm.blueprint.source import DataPath
from crm.blueprint.values import Cel, Pattern, Ref
from crm.forms.readings import Intent

# Records of the hub itself; parties come as the customer kinds that the package defines.
RECORDS: Final = frozenset(
    {"party", "case", "interaction", "submission", "observation", "topic", "report", "audit"}
)


class FindsPlace(Protocol):
    def __call__(self, path: DataPath, *, key: bool = False) -> Place: ...


@dataclass(frozen=True, slots=True)
class Subject:
    """`models` holds only entries of the right shape; `declared` also the ids of the others, so that
    what refers to them is not blamed."""

    models: Mapping[str, tuple[Any, ...]]
    declared: Mapping[str, frozenset[str]]
    unsure: frozenset[str]  # sections that a file which could not be read may have belonged to
    place: FindsPlace

    def of(self, section: str) -> tuple[Any, ...]:
        return self.models.get(section, ())

    def known(self, section: str) -> frozenset[str]:
        if section == "entities":
            return RECORDS | self.known("customer_kinds")
        if section == "intents":
            return frozenset(intent.value for intent in Intent)
        return self.declared.get(section, frozenset())

    def is_whole(self, section: str) -> bool:
        """Whether all of its entries are in `models`; else what seems missing may be in the others."""
        return section not in self.unsure and len(self.of(section)) == len(self.known(section))

    def is_unsure(self, section: str) -> bool:
        return {"entities": "customer_kinds"}.get(section, section) in self.unsure


class Unique:
    """Tells when a name is used a second time, and where the first one stands."""

    def __init__(self, subject: Subject, code: str = "not_unique", what: str = "") -> None:
        self._subject, self._code, self._what = subject, code, what
        self._first: dict[str, tuple[str, Place]] = {}

    def see(self, name: str, owner: str, path: DataPath, shown: str = "") -> Problem | None:
        """One owner may use a name as often as it likes."""
        place = self._subject.place(path)
        other, first = self._first.setdefault(name, (owner, place))
        if other == owner:
            return None
        return problem(
            self._code,
            place,
            name=shown or name,
            what=self._what,
            other=other,
            file=first.file,
            line=first.line,
        )

    def owner(self, name: str) -> tuple[str, Place] | None:
        """Who uses the name, and where it stands first."""
        return self._first.get(name)


Marker = Ref | Cel | Pattern


def marked(model: BaseModel, path: DataPath) -> Iterator[tuple[DataPath, Marker, str]]:
    """Every text in `model` that is marked as a reference, a condition or a pattern, with its path."""
    for name, info in type(model).model_fields.items():
        value = getattr(model, name)
        if value is not None:
            yield from _marked(info.annotation, info.metadata, value, (*path, info.alias or name))


def _marked(
    annotation: Any, metadata: Any, value: Any, path: DataPath
) -> Iterator[tuple[DataPath, Marker, str]]:
    if isinstance(value, BaseModel):
        yield from marked(value, path)
    elif isinstance(value, str):
        found = [*metadata, *_marks(annotation)]
        for mark in found:
            if isinstance(mark, Ref | Cel | Pattern):
                yield path, mark, value
                break
    elif isinstance(value, tuple | list):
        inner = next((argument for argument in _arguments(annotation) if argument is not Ellipsis), Any)
        for index, item in enumerate(value):
            yield from _marked(inner, (), item, (*path, index))
    elif isinstance(value, Mapping):
        inner = _arguments(annotation)[-1] if _arguments(annotation) else Any
        for key, item in value.items():
            yield from _marked(inner, (), item, (*path, str(key)))


def _arguments(annotation: Any) -> tuple[Any, ...]:
    """The arguments of the container in an annotation, looking through Annotated and optional ones."""
    if get_origin(annotation) is Annotated:
        return _arguments(get_args(annotation)[0])
    if get_origin(annotation) in (tuple, list) or isinstance(get_origin(annotation), type):
        return get_args(annotation)
    for argument in get_args(annotation):
        if argument is not type(None) and (found := _arguments(argument)):
            return found
    return ()


def _marks(annotation: Any) -> list[Any]:
    if get_origin(annotation) is Annotated:
        return [*get_args(annotation)[1:], *_marks(get_args(annotation)[0])]
    return [mark for argument in get_args(annotation) for mark in _marks(argument)]


def walk_models(model: BaseModel, path: DataPath) -> Iterator[tuple[DataPath, BaseModel]]:
    """The model and every model inside it, with paths."""
    yield path, model
    for name, info in type(model).model_fields.items():
        value = getattr(model, name)
        here = (*path, info.alias or name)
        if isinstance(value, BaseModel):
            yield from walk_models(value, here)
        elif isinstance(value, tuple | list):
            for index, item in enumerate(value):
                if isinstance(item, BaseModel):
                    yield from walk_models(item, (*here, index))
        elif isinstance(value, Mapping):
            for key, item in value.items():
                if isinstance(item, BaseModel):
                    yield from walk_models(item, (*here, str(key)))
