"""Segments are counted and cut as the network does."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.sms.segments import GSM7_BASIC, GSM7_EXTENSION, LIMITS, Encoding, segments

# The browser's counter is tested with the same two files.
FIXTURES = Path(__file__).parent / "fixtures"
CASES: list[dict[str, Any]] = json.loads((FIXTURES / "segments.json").read_text("utf-8"))
MOBILE = st.text(st.sampled_from(GSM7_BASIC.replace("\x1b", "") + GSM7_EXTENSION * 8), max_size=500)
ANY = st.text(st.sampled_from("a€中😀𠮷\n"), max_size=300)


@pytest.mark.parametrize("case", CASES, ids=lambda case: ascii(case["text"])[:30])
def test_a_text_has_the_units_and_parts_that_the_operator_counts(case: dict[str, Any]) -> None:
    cut = segments(case["text"])
    assert (cut.encoding, cut.units, len(cut.parts), cut.left) == (
        case["encoding"],
        case["units"],
        case["parts"],
        case["left"],
    )


def test_the_exported_table_is_the_one_in_use() -> None:
    table = json.loads((FIXTURES / "gsm7.json").read_text("utf-8"))
    assert table == {
        "basic": GSM7_BASIC,
        "extension": GSM7_EXTENSION,
        "limits": {str(encoding): list(limits) for encoding, limits in LIMITS.items()},
    }
    assert len(set(GSM7_BASIC)) == 128


@given(MOBILE)
def test_no_escape_pair_falls_on_two_parts(text: str) -> None:
    cut = segments(text)
    sizes = [sum(2 if letter in GSM7_EXTENSION else 1 for letter in part) for part in cut.parts]
    assert cut.encoding is Encoding.GSM7
    assert "".join(cut.parts) == text
    assert sum(sizes) == cut.units
    assert all(size <= 160 for size in sizes[:1])
    assert all(size <= 153 for size in sizes[1:])


@given(ANY)
def test_no_surrogate_pair_falls_on_two_parts(text: str) -> None:
    cut = segments(text + "中")
    sizes = [len(part.encode("utf-16-be")) // 2 for part in cut.parts]
    assert "".join(cut.parts) == text + "中"
    assert sum(sizes) == cut.units
    assert max(sizes) <= (70 if len(sizes) == 1 else 67)
    assert cut.left == LIMITS[Encoding.UCS2][len(sizes) > 1] - sizes[-1]


@given(st.text())
def test_any_text_can_be_cut(text: str) -> None:
    assert "".join(segments(text).parts) == text
