"""Receipts name reports in four characters."""

from itertools import pairwise

from crm.receipts import receipt


def test_neighbours_look_different_and_nothing_repeats_soon() -> None:
    receipts = [receipt(seq) for seq in range(1, 50_001)]
    assert len(set(receipts)) == len(receipts)
    assert all(a[:2] != b[:2] for a, b in pairwise(receipts))


def test_a_receipt_has_no_letters_that_look_like_others() -> None:
    assert not set("".join(receipt(seq) for seq in range(2_000))) & set("01IO")


def test_the_whole_space_is_used_before_one_comes_again() -> None:
    assert receipt(7) == receipt(7 + 32**4)
    assert len(receipt(0)) == 4
