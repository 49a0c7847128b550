"""Every sentence of the grammar, told by messages: what was sent, what was known, what was read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from crm.forms.fixture import read_lines
from tests.crm.forms.telling import HERE, brief, read_as, tobacco

_HELD = {"sku": "101", "stock_packs": 880, "warn": "W_RANGE"}
_HELD_TOO = {"sku": "102", "price_fen": 1000, "warn": "W_PRICE_UNIT"}
KNOWN: dict[str, dict[str, Any]] = {
    "": {},
    "held": {"pending": [_HELD]},
    "two held": {"pending": [_HELD, _HELD_TOO]},
    "reported": {"last_report": "8K3Q"},
    "reported items": {"last_report": {"receipt": "8K3Q", "items": [{"sku": "101", "stock_packs": 30}]}},
    "reminded": {"awaiting": ["101", "102", "103", "104"]},
    "stranger": {"sender": "+8613900000099"},
}


def _rows() -> Iterator[Any]:
    lines = (HERE / "fixtures" / "grammar_cases.tsv").read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, start=1):
        text, _, rest = line.partition("\t")
        told, _, expected = rest.partition("\t")
        known = KNOWN[told] if told in KNOWN else json.loads(told)
        if expected:
            yield pytest.param(
                json.loads(text) if text.startswith('"') else text, known, expected, id=f"line-{number}"
            )


def _agreed() -> Iterator[Any]:
    for line in (HERE / "fixtures" / "sms_cases.jsonl").read_text(encoding="utf-8").splitlines():
        case = json.loads(line)
        yield pytest.param(case, id=case["id"])


@pytest.mark.parametrize(("text", "known", "expected"), list(_rows()))
def test_a_message_is_read_as_its_sender_means_it(text: str, known: dict[str, Any], expected: str) -> None:
    assert brief(read_as(tobacco(), text, known)) == expected


@pytest.mark.parametrize("case", list(_agreed()))
def test_the_agreed_cases_give_exactly_the_agreed_result(case: dict[str, Any]) -> None:
    assert list(read_lines(tobacco(), [json.dumps(case)])) == [{"id": case["id"], "expect": case["expect"]}]
