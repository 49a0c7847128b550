"""Whatever stands in a package, checking it ends with problems or a blueprint, never with an exception."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm.blueprint.conditions import LEAF, Names, check_condition, holds
from crm.blueprint.problems import Place
from crm.blueprint.reading import check_source
from crm.blueprint.source import DataPath, Source, read_folder, read_text
from crm.blueprint.store import dump, load
from tests.crm.blueprint.conftest import BEVERAGE

SOURCE = read_folder(BEVERAGE)
ODD: list[Any] = [None, 7, -1, 1e9, True, "", "x", "*", "{", "(", "2026-01-01", "a" * 3000, [], {}, [[]], [{}],
                  ["x", "x"], {"id": "x"}, {"zh-Hans": ""}]  # fmt: skip


def paths(value: Any, path: DataPath = ()) -> list[DataPath]:
    inside: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        inside = list(value.items())
    elif isinstance(value, list):
        inside = list(enumerate(value))
    return [path, *(deeper for key, item in inside for deeper in paths(item, (*path, key)))]


def replaced(value: Any, path: DataPath, odd: Any) -> Any:
    if not path:
        return odd
    key, rest = path[0], path[1:]
    if isinstance(value, dict):
        return {each: replaced(item, rest, odd) if each == key else item for each, item in value.items()}
    return [replaced(item, rest, odd) if index == key else item for index, item in enumerate(value)]


SPOTS = [(index, path) for index, document in enumerate(SOURCE.documents) for path in paths(document.data)]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(spot=st.sampled_from(SPOTS), odd=st.sampled_from(ODD))
def test_any_value_anywhere_is_taken_or_refused_with_a_reason(spot: tuple[int, DataPath], odd: Any) -> None:
    index, path = spot
    documents = list(SOURCE.documents)
    data = replaced(documents[index].data, path, odd)
    documents[index] = dataclasses.replace(documents[index], data=data)
    checked = check_source(Source(tuple(documents), ()))
    assert (checked.blueprint is None) == bool(checked.problems)
    assert all(problem.file and problem.reason and problem.fix for problem in checked.problems)
    assert checked.blueprint is None or load(dump(checked.blueprint)) == checked.blueprint


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    document, problems = read_text(content, "data/x.yaml", "data")
    assert document is not None or problems


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.text(alphabet="ab.()[]{}!&|<>=+-*/?:,'\"\\ 019\n😀字", max_size=60))
def test_any_text_is_a_condition_or_refused(text: str) -> None:
    check_condition(text, Names.of("a"), Place("x", 1, 1))
    holds(text, {"a": "b"})


@pytest.mark.parametrize(
    "text",
    [
        "(" * 240 + "a" + ")" * 240,
        "!" * 400 + "a",
        "[" * 200 + "]" * 200,
        " && ".join(["a"] * 90),
        "a ? " * 60,
    ],
    ids=["brackets", "negations", "lists", "chain", "choices"],
)
def test_a_condition_made_to_be_slow_is_refused_at_once(text: str) -> None:
    started = time.perf_counter()
    (problem,) = check_condition(text, Names({"a": LEAF}), Place("x", 1, 1))
    assert problem.code == "condition_too_complex"
    assert not holds(text, {})
    assert time.perf_counter() - started < 1


def test_the_longest_chain_that_is_allowed_ends_quickly_when_a_name_is_missing() -> None:
    started = time.perf_counter()
    assert not holds(" && ".join(["missing"] * 13), {})
    assert time.perf_counter() - started < 1
