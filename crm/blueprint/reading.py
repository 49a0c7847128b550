"""From a package folder to a blueprint, with everything that is wrong with it, all at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from crm.blueprint.checks import check
from crm.blueprint.model import ENGINE, SECTIONS, Blueprint, Package, Section, entry_id, in_order
from crm.blueprint.problems import Place, Problem, listed, problem
from crm.blueprint.source import DataPath, Document, Source, read_folder
from crm.blueprint.subject import Subject
from crm.blueprint.values import LOCALES
from crm.forms.grammar import GrammarConflict
from crm.forms.published import grammar_of

# A file that has one of these keys is, as a whole, one entry of that section.
_WHOLE_FILE: Final[Mapping[str, str]] = {"form": "forms", "messages": "messages"}
_NEEDED: Final = ("messages", "permissions")


@dataclass(frozen=True, slots=True)
class Checked:
    """The blueprint, if nothing stands against it, and otherwise the reasons, in the order of the files."""

    blueprint: Blueprint | None
    problems: tuple[Problem, ...]


@dataclass(slots=True)
class Assembly:
    """All files laid together: for every section its entries by id, and where each came from."""

    package: Any = None
    entries: dict[str, dict[str, Any]] = field(default_factory=dict)  # section -> id ("" if single) -> data
    origins: dict[DataPath, tuple[Document, DataPath]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def place(self, path: DataPath, *, key: bool = False) -> Place:
        """Where a path such as ("queues", "complaint", "due", "solve") is written."""
        for length in range(len(path), 0, -1):
            if (origin := self.origins.get(path[:length])) is not None:
                document, start = origin
                return document.place((*start, *path[length:]), key=key)
        return Place(str(path[0]) if path else "package.yaml")

    def add(self, section: Section, id: str, data: Any, document: Document, path: DataPath) -> None:
        whole: DataPath = (section.name, id) if section.key else (section.name,)
        if whole in self.origins:
            first = self.place(whole, key=True)
            name = f"{section.name}.{id}" if id else section.name
            here = document.place(path, key=True)
            self.problems.append(problem("section_twice", here, name=name, file=first.file, line=first.line))
            return
        self.origins[whole] = (document, path)
        self.entries.setdefault(section.name, {})[id] = data


def check_folder(path: Path) -> Checked:
    """Reads and checks a package folder. The blueprint comes back only when it has no problem at all."""
    return check_source(read_folder(path))


def check_source(source: Source) -> Checked:
    assembly = assemble(source)
    models, problems = _validated(assembly)
    problems += assembly.problems
    problems += source.problems
    package, complaints = _package(assembly, source)
    problems += complaints
    for name in _NEEDED:
        layer = SECTIONS[name].layer
        if name not in assembly.entries and layer not in source.broken_layers:
            problems.append(problem("document_missing", Place(layer), name=name, layer=layer))
    subject = Subject(
        models={name: tuple(in_order(name, list(entries.values()))) for name, entries in models.items()},
        declared={name: frozenset(entries) for name, entries in assembly.entries.items()},
        unsure=frozenset(name for name, section in SECTIONS.items() if section.layer in source.broken_layers),
        place=assembly.place,
    )
    problems += check(subject)
    if problems:
        return Checked(None, tuple(sorted(set(problems))))
    assert package is not None
    parts: dict[str, Any] = {
        name: entries if SECTIONS[name].key else entries[0] for name, entries in subject.models.items()
    }
    blueprint = Blueprint(package=package, **parts)
    try:
        grammar_of(blueprint)
    except GrammarConflict as conflict:
        place = assembly.place(("messages",), key=True)
        return Checked(None, (problem("grammar_conflict", place, why=str(conflict)),))
    return Checked(blueprint, ())


def assemble(source: Source) -> Assembly:
    assembly = Assembly()
    for document in source.documents:
        if document.layer == "":
            assembly.package = document.data
            assembly.origins["package",] = (document, ())
        elif not isinstance(document.data, dict):
            place = document.place(())
            assembly.problems.append(
                problem("value_invalid", place, why="The file is not a list of `key: value`", name="the file")
            )
        elif (kind := next((key for key in _WHOLE_FILE if key in document.data), None)) is not None:
            _add_whole(assembly, SECTIONS[_WHOLE_FILE[kind]], document)
        else:
            for name in document.data:
                _add_section(assembly, name, document)
    return assembly


def _add_whole(assembly: Assembly, section: Section, document: Document) -> None:
    if document.layer != section.layer:
        place = document.place((), key=True)
        assembly.problems.append(_misplaced(section.name, document.layer, place))
        return
    assembly.add(section, entry_id(section, document.data) or "", document.data, document, ())


def _add_section(assembly: Assembly, name: str, document: Document) -> None:
    place = document.place((name,), key=True)
    section = SECTIONS.get(name)
    if section is None or section.layer != document.layer or name in _WHOLE_FILE.values():
        assembly.problems.append(_misplaced(name, document.layer, place))
        return
    data = document.data[name]
    if section.key is None:
        assembly.add(section, "", data, document, (name,))
        return
    if not isinstance(data, dict):
        why = f"{name} is not a list of `id: …` entries"
        assembly.problems.append(problem("value_invalid", place, why=why, name=name))
        return
    for id, body in data.items():
        # A bare text or label is an entry that has a title and nothing else.
        entry = {"title": body} if _is_label(body) else body
        if isinstance(entry, dict):
            if section.key in entry:
                complaint = problem(
                    "field_unknown", document.place((name, id, section.key), key=True), name=section.key
                )
                assembly.problems.append(complaint)
            entry = {**entry, section.key: id}
        assembly.add(section, id, entry, document, (name, id))


def _is_label(body: Any) -> bool:
    return isinstance(body, str) or (isinstance(body, dict) and bool(body) and body.keys() <= set(LOCALES))


def _misplaced(name: str, layer: str, place: Place) -> Problem:
    known = [section.name for section in SECTIONS.values() if section.layer == layer]
    known += [kind for kind, section in _WHOLE_FILE.items() if SECTIONS[section].layer == layer]
    known = [name for name in known if name not in _WHOLE_FILE.values()]
    return problem("section_unknown", place, name=name, layer=layer, known=listed(known, 20))


def _package(assembly: Assembly, source: Source) -> tuple[Package | None, list[Problem]]:
    if ("package",) not in assembly.origins:
        return None, []
    package, problems = _model(Package, assembly.package, ("package",), assembly)
    if package is not None and not package.suits:
        place = assembly.place(("package", "engine"))
        problems.append(problem("engine_unsuited", place, wanted=package.engine, engine=ENGINE))
    return package, problems


def _validated(assembly: Assembly) -> tuple[dict[str, dict[str, Any]], list[Problem]]:
    """Entry by entry, so that a bad one neither hides the others nor what refers to them."""
    models: dict[str, dict[str, Any]] = {}
    problems: list[Problem] = []
    for name, entries in assembly.entries.items():
        section = SECTIONS[name]
        for id, data in entries.items():
            path: DataPath = (name, id) if section.key else (name,)
            model, complaints = _model(section.entry, data, path, assembly)
            problems += complaints
            if model is not None:
                models.setdefault(name, {})[id] = model
    return models, problems


def _model(entry: type[Any], data: Any, path: DataPath, assembly: Assembly) -> tuple[Any, list[Problem]]:
    try:
        return TypeAdapter(entry).validate_python(data), []
    except ValidationError as error:
        found = (_problem(dict(each), data, path, assembly) for each in error.errors(include_url=False))
        return None, list(found)


def _problem(error: Mapping[str, Any], data: Any, path: DataPath, assembly: Assembly) -> Problem:
    """A pydantic error as a problem at the place it speaks of."""
    where = (*path, *_written(error["loc"], data))
    name = str(where[-1]) if len(where) > len(path) else str(path[-1])
    match error["type"]:
        case "missing":
            return problem("field_missing", assembly.place(where[:-1], key=True), name=name)
        case "extra_forbidden":
            return problem("field_unknown", assembly.place(where, key=True), name=name)
        case "string_type" if isinstance(error["input"], int | float):
            return problem("text_expected", assembly.place(where), name=name)
        case "label_missing":
            return problem("label_missing", assembly.place(where))
        case _:
            why = str(error["msg"]).removeprefix("Value error, ")
            code = "number_pattern" if path[0] == "case_kinds" and "number" in where else "value_invalid"
            return problem(code, assembly.place(where), why=f"{name}: {why}".rstrip("."), name=name)


def _written(loc: tuple[str | int, ...], data: Any) -> DataPath:
    """An error's location in what the author wrote, without what pydantic adds, such as the tag of a
    union or the mark of a mapping's key."""
    path: list[str | int] = []
    for index, part in enumerate(loc):
        if (isinstance(data, dict) and part in data) or (isinstance(data, list) and part in range(len(data))):
            data = data[part]  # type: ignore[index]  # the line above tells which of the two it is
            path.append(part)
        elif index == len(loc) - 1 and part != "[key]":
            path.append(part)
    return tuple(path)
