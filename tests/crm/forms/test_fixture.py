"""Messages read from a list: one result a line, a clear word about a line or fixture that cannot be read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from crm.forms.fixture import FixtureInvalid, load_fixture, read_lines
from tests.crm.forms.telling import HERE, ROOT, blueprint_info, tobacco

INFO = blueprint_info(ROOT / "blueprints" / "tobacco" / "info")


def results(*lines: str) -> list[dict[str, Any]]:
    return list(read_lines(tobacco(), lines))


def data() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((HERE / "fixtures" / "sms_fixture.json").read_text(encoding="utf-8"))
    return loaded


def test_a_line_that_cannot_be_read_is_named_and_the_next_is_read() -> None:
    good = '{"id": "2", "text": "KC 101 3"}'

    assert [sorted(each) for each in results("{", good)] == [["error", "id"], ["expect", "id"]]


@pytest.mark.parametrize(
    ("line", "ident", "reason"),
    [
        ("{", None, "no valid JSON"),
        ("[]", None, "a line is an object"),
        ('{"id": 7}', 7, "the key text is missing"),
        ('{"id": 7, "text": 3}', 7, "the key text is missing or no string"),
        ('{"id": 7, "text": "Y", "ctx": []}', None, ""),
        ('{"id": 7, "text": "Y", "ctx": [1]}', 7, "the key ctx is no object"),
        ('{"id": 7, "text": "Y", "ctx": {"pending": [{}]}}', 7, "the key 'sku' is missing"),
        ('{"id": 7, "text": "Y", "ctx": {"now": "today"}}', 7, "today"),
        ('{"id": 7, "text": "Y", "ctx": {"now": "2026-09-23T10:15:00"}}', 7, "has no offset"),
        ("[" * 100_000, None, ""),
    ],
)
def test_what_is_wrong_with_a_line_is_said(line: str, ident: object, reason: str) -> None:
    (result,) = results(line)

    assert reason in result.get("error", {"reason": ""})["reason"]
    assert ident in (result["id"], None)


def test_blank_lines_are_passed_over() -> None:
    assert results("", "  \n") == []


@pytest.mark.parametrize(
    "told",
    [
        {"last_report": "8K3Q"},
        {"last_report": {"receipt": "8K3Q"}},
        {"last_report": {"id": "8K3Q", "at": "2026-09-22T10:15:00+08:00"}},
        {"last_report": {"receipt": "8K3Q", "hours_ago": 30}},
        {"last_report": "8K3Q", "last_report_hours_ago": 30},
    ],
)
def test_a_last_report_is_told_in_several_ways(told: dict[str, Any]) -> None:
    (result,) = results(json.dumps({"id": 1, "text": "QX", "ctx": told}))

    assert result["expect"]["effects"] == ["withdraw:8K3Q"]


@pytest.mark.parametrize(
    "told",
    [{"awaiting": ["101", "102"]}, {"reminder": ["101", "102"]}, {"reminder": {"products": ["101", "102"]}}],
)
def test_a_reminder_is_told_in_several_ways(told: dict[str, Any]) -> None:
    (result,) = results(json.dumps({"id": 1, "text": "3 5", "ctx": told}))

    assert [item["stock_packs"] for item in result["expect"]["items"]] == [30, 50]


@pytest.mark.parametrize(
    ("key", "value", "text", "status"),
    [
        ("max_stock_packs", 20, "KC 101 3", "pending"),
        ("stock_default_unit", "件", "KC 101 1", "accepted"),
        ("price_band", [0.5, 3.0], "JG 101 29", "accepted"),
        ("backdate_days", 30, "KC 9月1日 101 3", "accepted"),
    ],
)
def test_the_fixtures_numbers_replace_the_forms(key: str, value: object, text: str, status: str) -> None:
    changed = data()
    changed["form"][key] = value
    fixture = load_fixture(changed, *INFO)

    (result,) = read_lines(fixture, [json.dumps({"id": 1, "text": text})])

    assert result["expect"]["status"] == status


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"now": None}, "'now'"),
        ({"form": {"id": "nothing"}}, "the blueprint has weekly_terminal"),
        ({"products": [{"name": "x"}]}, "'sku'"),
        ({"form": {"stock_default_unit": "斤"}}, "斤"),
        ({"senders": []}, "cannot be read"),
    ],
)
def test_a_fixture_that_cannot_be_used_says_what_to_do(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(FixtureInvalid, match=reason):
        load_fixture({**data(), **change}, *INFO)
