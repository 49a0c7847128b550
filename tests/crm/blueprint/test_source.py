"""Reading YAML: hostile or broken files are refused with their line, and none hides another."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from crm.blueprint.source import MAX_FILE_BYTES, read_folder, read_text
from tests.crm.blueprint.conftest import Folder

LAUGHS = "a0: &a0 [x, x]\n" + "".join(
    f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}, *a{n - 1}]\n" for n in range(1, 30)
)


def refused(content: bytes) -> list[tuple[int, int, str]]:
    document, problems = read_text(content, "data/x.yaml", "data")
    assert document is None
    return [(problem.line, problem.column, problem.code) for problem in problems]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (LAUGHS.encode(), (1, 5, "yaml_alias")),
        (b"a: 1\nb: *a\n", (2, 4, "yaml_alias")),
        (b"a: {}\nb:\n  <<: {x: 1}\n", (3, 3, "yaml_alias")),
        (b"a: !!python/object/apply:os.system [ls]\n", (1, 4, "yaml_tag")),
        (b"a: !include /etc/passwd\n", (1, 4, "yaml_tag")),
        (b"!!set {a}\n", (1, 1, "yaml_tag")),
        (b"{!!python/name:os.system x: 1}\n", (1, 2, "yaml_tag")),
        (b"a: " + b"[" * 20_000, (1, 28, "yaml_too_deep")),
        (b"x" * (MAX_FILE_BYTES + 1), (0, 0, "file_too_large")),
        (b"[" + b"1," * 70_000 + b"1]", (1, 120_000, "yaml_too_many")),
        (b"a: 1\nb: x\x00y\n", (2, 5, "control_character")),
        ("a: 1\nb: \u202etxt\n".encode(), (2, 4, "control_character")),
        (b"a: 1\nb:\n\tc: 1\n", (3, 1, "tab")),
        (b"a: 1\nbc: \xff\xfe\n", (2, 5, "not_utf8")),
        (b"a: [1, 2\nb: 3\n", (2, 2, "yaml_syntax")),
        (b"a: 1\n---\nb: 2\n", (2, 1, "yaml_documents")),
        (b"# only a word\n", (1, 1, "yaml_empty")),
        (b"", (1, 1, "yaml_empty")),
        (b"? [a, b]\n: 1\n", (1, 3, "yaml_key")),
        (b"a: 99999999999999999999999\n", (1, 4, "number_too_large")),
    ],
)  # fmt: skip
def test_a_hostile_or_broken_file_is_refused_at_its_line(
    content: bytes, problem: tuple[int, int, str]
) -> None:
    assert refused(content) == [problem]


def test_ten_megabytes_are_refused_before_they_are_read(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/big.yaml").write_bytes(b"a: " + b"x" * 10_000_000)
    assert ("data/big.yaml", "file_too_large") in [
        (problem.file, problem.code) for problem in read_folder(tmp_path).problems
    ]


def test_hostile_text_is_refused_quickly() -> None:
    started = time.perf_counter()
    for content in (LAUGHS.encode(), b"[" * 900_000, b'"' * 900_000, b"- " * 450_000, b"{a: " * 200_000):
        read_text(content, "data/x.yaml", "data")
    assert time.perf_counter() - started < 5


def test_every_duplicate_key_is_reported_and_the_first_counts() -> None:
    document, problems = read_text(b"a: 1\na: {b: 1, b: 2}\nc: 1\nc: 2\n", "data/x.yaml", "data")
    assert document is not None
    assert document.data == {"a": 1, "c": 1}
    assert [(problem.line, problem.column) for problem in problems] == [(2, 1), (2, 11), (4, 1)]
    assert "the first is on line 3" in problems[-1].reason


def test_words_hours_and_codes_stay_what_they_look_like() -> None:
    text = b"[NO, yes, Y, on, 08:30, 010, 0x1f, 1_000, 2026-10-01, '7', 7, 2.50, true, null, ~, 1e5, .inf]"
    document, _ = read_text(text, "data/x.yaml", "data")
    assert document is not None
    assert document.data == [
        "NO", "yes", "Y", "on", "08:30", "010", "0x1f", "1_000", "2026-10-01", "7", 7, 2.5, True, None, None,
        "1e5", ".inf",
    ]  # fmt: skip


def test_every_key_and_value_has_its_place() -> None:
    document, _ = read_text(b"a:\n  - {b: 1}\n  - x\n", "data/x.yaml", "data")
    assert document is not None
    assert (document.place(("a", 0, "b")).line, document.place(("a", 0, "b")).column) == (2, 9)
    assert (document.place(("a", 0, "b"), key=True).line, document.place(("a", 0, "b"), key=True).column) == (
        2,
        6,
    )
    assert document.place(("a", 1)).line == 3
    assert document.place(("a", 0, "missing", "deep")).line == 2


def test_a_byte_order_mark_and_windows_lines_are_fine() -> None:
    document, problems = read_text("\ufeffa: 一\r\nb: 2\r\n".encode(), "data/x.yaml", "data")
    assert problems == []
    assert document is not None
    assert document.data == {"a": "一", "b": 2}


def test_all_tabs_of_a_file_are_reported_at_once() -> None:
    assert refused(b"a:\n\tb: 1\n \tc: 1\n") == [(2, 1, "tab"), (3, 2, "tab")]


def test_what_does_not_belong_into_a_package_is_named(folder: Folder) -> None:
    folder.write("data/list.xlsx", b"PK")
    folder.write("sql/a.yaml", "a: 1\n")
    folder.write("README.md", "# About\n")
    folder.write(".gitkeep", "")
    assert [(problem.file, problem.code) for problem in folder.check().problems] == [
        ("data/list.xlsx", "file_unknown"),
        ("sql", "file_unknown"),
    ]


def test_a_link_out_of_the_package_is_not_followed(folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "secret.yaml").write_text("a: 1\n")
    (folder.path / "data/link.yaml").symlink_to(tmp_path / "secret.yaml")
    assert [(problem.file, problem.code) for problem in folder.check().problems] == [
        ("data/link.yaml", "file_outside")
    ]


def test_a_missing_folder_and_a_missing_package_file_are_said(tmp_path: Path, folder: Folder) -> None:
    assert [problem.code for problem in read_folder(tmp_path / "nowhere").problems] == ["folder_missing"]
    (folder.path / "package.yaml").unlink()
    assert [(problem.file, problem.code) for problem in folder.check().problems] == [
        ("package.yaml", "package_missing")
    ]
