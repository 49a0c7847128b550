"""Folded texts: what people spell differently and mean alike becomes the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.text import aligned, folded, spaced


@pytest.mark.parametrize(
    ("typed", "means"),
    [
        ("軟中華 香煙", "软中华香烟"),
        ("ＫＣ　５", "kc5"),
        ("e\u0301cole", "école"),
        ("ﾊﾞｽ", "バス"),
        ("STRASSE ß", "strassess"),
        ("库\u200b存\ufe0f", "库存"),
        ("库\t存\n", "库存"),
        ("①", "1"),
        ("", ""),
    ],
)
def test_spellings_of_one_word_fold_alike(typed: str, means: str) -> None:
    assert folded(typed) == means


def test_a_part_folds_as_it_does_within_the_whole() -> None:
    assert folded("乾隆") == folded("乾") + folded("隆")


def test_words_still_stand_apart_in_spaced_text() -> None:
    assert spaced("Zhong\u3000Hua") == "zhong hua"


def test_each_folded_letter_knows_where_it_came_from() -> None:
    text, places = aligned("aﾊﾞ㎏軟")
    assert text == "aバkg软"
    assert places == [(0, 1), (1, 3), (3, 4), (3, 4), (4, 5)]


@given(st.text())
def test_alignment_changes_nothing_of_the_text(text: str) -> None:
    plain, places = aligned(text)
    assert plain == spaced(text)
    assert len(places) == len(plain)
