"""A small package of a beverage maker to break, and the place of the break marked in its text."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from crm.blueprint.model import Blueprint
from crm.blueprint.problems import Problem
from crm.blueprint.reading import Checked, check_folder

ROOT = Path(__file__).parents[3]
BEVERAGE = ROOT / "tests/support/blueprints/beverage"
TOBACCO = ROOT / "blueprints/tobacco"
# Stands in a test's text where the problem is to be reported, and is taken out before the file is written.
HERE = "¦"


@dataclass(frozen=True)
class Folder:
    path: Path

    def check(self) -> Checked:
        return check_folder(self.path)

    def blueprint(self) -> Blueprint:
        checked = self.check()
        assert checked.blueprint is not None, [str(problem) for problem in checked.problems]
        return checked.blueprint

    def write(self, file: str, content: str | bytes) -> None:
        path = self.path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    def append(self, file: str, text: str) -> None:
        self.write(file, (self.path / file).read_text() + text)

    def edit(self, file: str, old: str, new: str) -> tuple[int, int]:
        """Replaces a text that stands there once; answers the line and column of the mark in `new`."""
        content = (self.path / file).read_text()
        assert content.count(old) == 1, f"{old!r} stands {content.count(old)} times in {file}"
        edited = content.replace(old, new)
        before = edited[: edited.index(HERE)] if HERE in edited else ""
        self.write(file, edited.replace(HERE, ""))
        return before.count("\n") + 1, len(before) - before.rfind("\n")


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    shutil.copytree(BEVERAGE, tmp_path / "package")
    return Folder(tmp_path / "package")


@pytest.fixture(scope="session")
def beverage() -> Blueprint:
    return Folder(BEVERAGE).blueprint()


@pytest.fixture(scope="session")
def tobacco() -> Blueprint:
    return Folder(TOBACCO).blueprint()


def said(problems: tuple[Problem, ...]) -> list[tuple[str, int, int, str]]:
    return [(problem.file, problem.line, problem.column, problem.code) for problem in problems]
