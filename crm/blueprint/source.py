"""Reads a package folder of YAML into plain data and remembers where every value stands."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from crm.blueprint.problems import Place, Problem, problem

LAYERS: Final = ("data", "info", "resource", "function", "org", "process")
PACKAGE_FILE: Final = "package.yaml"

MAX_FILE_BYTES: Final = 1_000_000
MAX_PACKAGE_BYTES: Final = 8_000_000
MAX_FILES: Final = 300
MAX_DEPTH: Final = 24
MAX_VALUES: Final = 60_000
# Larger integers are codes that somebody forgot to quote; JSON readers lose their last digits.
MAX_INTEGER: Final = 2**53

DataPath = tuple[str | int, ...]

_BLANK_THEN_TAB: Final = re.compile(r"^ *\t")
# YAML 1.2's core schema. The 1.1 rules that PyYAML follows read NO as false, 08:30 as 510 and
# 010 as 8: words, hours and codes in a blueprint must stay what they look like.
_INTEGER: Final = re.compile(r"[-+]?(0|[1-9][0-9]*)\Z")
_DECIMAL: Final = re.compile(r"[-+]?(0|[1-9][0-9]*)\.[0-9]+\Z")
_CONSTANTS: Final[Mapping[str, bool | None]] = {
    "true": True, "True": True, "false": False, "False": False, "null": None, "~": None, "": None,
}  # fmt: skip
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Document:
    """One file: plain data (dict, list, str, int, float, bool, None) and the place of every path in it."""

    file: str
    layer: str  # "" for package.yaml
    data: Any
    values: Mapping[DataPath, Place]
    keys: Mapping[DataPath, Place]

    def place(self, path: DataPath, *, key: bool = False) -> Place:
        """Where `path` stands, or the nearest thing around it that is written down."""
        wanted, other = (self.keys, self.values) if key else (self.values, self.keys)
        for length in range(len(path), -1, -1):
            part = path[:length]
            if (found := wanted.get(part) or other.get(part)) is not None:
                return found
        return Place(self.file, 1, 1)


@dataclass(frozen=True, slots=True)
class Source:
    """All files that could be read, and a problem for each that could not."""

    documents: tuple[Document, ...]
    problems: tuple[Problem, ...]
    broken_layers: frozenset[str] = frozenset()  # layers with a file missing from `documents`


def read_folder(folder: Path) -> Source:
    """Reads everything there is; one broken file hides none of the others."""
    if not folder.is_dir():
        return Source((), (problem("folder_missing", Place(folder.name)),))
    documents: list[Document] = []
    problems: list[Problem] = []
    broken: set[str] = set()
    total = 0
    if not (folder / PACKAGE_FILE).exists():
        problems.append(problem("package_missing", Place(PACKAGE_FILE)))
    for count, (name, layer) in enumerate(_files(folder, problems)):
        content, complaint = _content(folder / name, name)
        total += len(content)
        if count >= MAX_FILES or total > MAX_PACKAGE_BYTES:
            limit = f"{MAX_FILES} files or {MAX_PACKAGE_BYTES} bytes"
            problems.append(problem("package_too_large", Place(name), limit=limit))
            broken.update(LAYERS)
            break
        if complaint is None:
            document, complaints = read_text(content, name, layer)
        else:
            document, complaints = None, [complaint]
        problems += complaints
        if document is not None:
            documents.append(document)
        else:
            broken.add(layer)
    return Source(tuple(documents), tuple(problems), frozenset(broken))


def _files(folder: Path, problems: list[Problem]) -> Iterator[tuple[str, str]]:
    for entry in sorted(folder.iterdir()):
        name = entry.name
        if name.startswith(".") or name.upper().startswith("README"):
            continue
        if name == PACKAGE_FILE:
            yield name, ""
        elif name in LAYERS and entry.is_dir() and not entry.is_symlink():
            for file in sorted(entry.iterdir()):
                if file.suffix == ".yaml" and (file.is_file() or file.is_symlink()):
                    yield f"{name}/{file.name}", name
                elif not file.name.startswith("."):
                    problems.append(_stranger(f"{name}/{file.name}"))
        else:
            problems.append(_stranger(name))


def _stranger(name: str) -> Problem:
    return problem("file_unknown", Place(name), name=name, layers=", ".join(LAYERS))


def _content(path: Path, name: str) -> tuple[bytes, Problem | None]:
    if path.is_symlink():
        return b"", problem("file_outside", Place(name))
    try:
        size = os.stat(path).st_size
        if size > MAX_FILE_BYTES:
            return b"", problem("file_too_large", Place(name), size=size, limit=MAX_FILE_BYTES)
        return path.read_bytes(), None
    except OSError as error:
        return b"", problem("file_unreadable", Place(name), why=error.strerror or "unknown reason")


def read_text(content: bytes, file: str, layer: str) -> tuple[Document | None, list[Problem]]:
    """One file's bytes to data. A document comes back only if all of it could be understood,
    save for duplicate keys, where the first counts."""
    if len(content) > MAX_FILE_BYTES:
        return None, [problem("file_too_large", Place(file), size=len(content), limit=MAX_FILE_BYTES)]
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        column = error.start - (before.rfind(b"\n") + 1) + 1
        return None, [problem("not_utf8", Place(file, before.count(b"\n") + 1, column))]
    if complaints := _bad_characters(text, file):
        return None, complaints
    builder = _Builder(file)
    try:
        data = builder.build(text)
    except _Refused as refusal:
        return None, [*builder.problems, refusal.problem]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(file, mark.line + 1, mark.column + 1) if mark else Place(file, 1, 1)
        why = " ".join((error.problem or error.context or "unknown reason").split())
        return None, [*builder.problems, problem("yaml_syntax", place, why=why)]
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        why = " ".join(str(error).split())[:120]
        return None, [*builder.problems, problem("yaml_syntax", Place(file, 1, 1), why=why)]
    return Document(file, layer, data, builder.values, builder.keys), builder.problems


def _bad_characters(text: str, file: str) -> list[Problem]:
    """Tabs in indentation and control characters, every line that has one."""
    found: list[Problem] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if match := _BLANK_THEN_TAB.match(line):
            found.append(problem("tab", Place(file, number, match.end())))
        for column, character in enumerate(line.rstrip("\r"), start=1):
            # Everything that is invisible and not a blank; bidirectional marks (Cf) could make a
            # condition read other than it runs.
            if character < " " or character > "~":
                kind = unicodedata.category(character)
                if kind in ("Cc", "Cf", "Cs", "Zl", "Zp") and character != "\t":
                    found.append(
                        problem(
                            "control_character", Place(file, number, column), name=f"U+{ord(character):04X}"
                        )
                    )
                    break
    return found


class _Refused(Exception):
    def __init__(self, problem: Problem) -> None:
        self.problem = problem


@dataclass(slots=True)
class _Builder:
    """Builds data from parser events, so that aliases, tags and depth are refused before anything grows."""

    file: str
    problems: list[Problem] = field(default_factory=list)
    values: dict[DataPath, Place] = field(default_factory=dict)
    keys: dict[DataPath, Place] = field(default_factory=dict)
    count: int = 0

    def build(self, text: str) -> Any:
        events = iter(yaml.parse(text, Loader=_LOADER))
        documents = 0
        data: Any = None
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise _Refused(problem("yaml_documents", self._place(event)))
                data = self._value(next(events), events, ())
        if data is None:
            raise _Refused(problem("yaml_empty", Place(self.file, 1, 1)))
        return data

    def _value(self, event: yaml.Event, events: Iterator[yaml.Event], path: DataPath) -> Any:
        place = self._place(event)
        self.count += 1
        if self.count > MAX_VALUES:
            raise _Refused(problem("yaml_too_many", place, limit=MAX_VALUES))
        if len(path) > MAX_DEPTH:
            raise _Refused(problem("yaml_too_deep", place, limit=MAX_DEPTH))
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise _Refused(problem("yaml_alias", place))
        if tag := getattr(event, "tag", None):
            raise _Refused(problem("yaml_tag", place, tag=tag[:60]))
        self.values[path] = place
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(events, path)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(events, path)
        return self._scalar(event, place)

    def _mapping(self, events: Iterator[yaml.Event], path: DataPath) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            place = self._place(event)
            if not isinstance(event, yaml.ScalarEvent):
                raise _Refused(
                    problem("yaml_alias" if isinstance(event, yaml.AliasEvent) else "yaml_key", place)
                )
            if event.anchor or event.tag:
                raise _Refused(problem("yaml_alias" if event.anchor else "yaml_tag", place, tag=event.tag))
            key = event.value
            if key == "<<":
                raise _Refused(problem("yaml_alias", place))
            if key in mapping:
                first = self.keys[(*path, key)].line
                self.problems.append(problem("duplicate_key", place, key=key[:60], line=first))
                # Read on, so that what is wrong inside is found as well, but keep the first.
                shadow = _Builder(self.file, self.problems, count=self.count)
                shadow._value(next(events), events, (*path, key))
                self.count = shadow.count
                continue
            self.keys[(*path, key)] = place
            mapping[key] = self._value(next(events), events, (*path, key))
        return mapping

    def _sequence(self, events: Iterator[yaml.Event], path: DataPath) -> list[Any]:
        sequence: list[Any] = []
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            sequence.append(self._value(event, events, (*path, len(sequence))))
        return sequence

    def _scalar(self, event: yaml.Event, place: Place) -> str | int | float | bool | None:
        assert isinstance(event, yaml.ScalarEvent)
        text: str = event.value
        if event.style in ("'", '"', "|", ">"):  # quoted or block text is never anything else
            return text
        if text in _CONSTANTS:
            return _CONSTANTS[text]
        if len(text) > 40:
            return text
        if _INTEGER.match(text):
            number = int(text)
            if abs(number) > MAX_INTEGER:
                raise _Refused(problem("number_too_large", place, value=text))
            return number
        return float(text) if _DECIMAL.match(text) else text

    def _place(self, event: yaml.Event) -> Place:
        mark = event.start_mark
        assert mark is not None
        return Place(self.file, mark.line + 1, mark.column + 1)
