"""Addresses have one spelling each, whoever writes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.addresses import SHARDS, masked, parse, shard_of, telephone
from core.errors import BadInput
from core.values import Address


@pytest.mark.parametrize(
    ("typed", "means"),
    [
        ("13800138000", "tel:+8613800138000"),
        ("+86 138 0013 8000", "tel:+8613800138000"),
        ("0086-138-0013-8000", "tel:+8613800138000"),
        ("８６１３８００１３８０００", "tel:+8613800138000"),
        ("tel:+8613800138000", "tel:+8613800138000"),
        ("010-65000000", "tel:+861065000000"),
        ("+1 (202) 555-0143", "tel:+12025550143"),
        ("106900001234", "short:106900001234"),
        ("+86106900001234", "short:106900001234"),
        ("10086", "short:10086"),
        ("short:12313", "short:12313"),
        ("ChinaMobile", "short:CHINAMOBILE"),
    ],
)
def test_a_telephone_number_has_one_form(typed: str, means: str) -> None:
    assert str(parse(typed)) == means


@pytest.mark.parametrize("typed", ["", " ", "+", "12", "烟草局", "A", "x" * 40, "+99912345"])
def test_what_is_no_number_is_refused(typed: str) -> None:
    with pytest.raises(BadInput, match="country code"):
        telephone(typed)


def test_a_number_without_a_country_code_is_read_where_it_belongs() -> None:
    assert str(telephone("2025550143", "US")) == "tel:+12025550143"


@pytest.mark.parametrize(
    ("typed", "means"),
    [
        ("mailto:Li@Example.TEST", "mailto:Li@example.test"),
        ("telegram:42", "telegram:42"),
        ("forum:li", "forum:li"),
        ("portal:rep7", "portal:rep7"),
        ("hub:nobody", "hub:nobody"),
    ],
)
def test_other_schemes_keep_their_own_form(typed: str, means: str) -> None:
    assert str(parse(typed)) == means


@pytest.mark.parametrize("typed", ["mailto:li", "mailto:@x", "mailto:li@", "telegram:", "fax:1234"])
def test_what_is_no_address_is_refused(typed: str) -> None:
    with pytest.raises(BadInput):
        parse(typed)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("tel:+8613800138000", "+86138****8000"),
        ("mailto:li@example.test", "l***@example.test"),
        ("short:10690000", "10690000"),
        ("telegram:42", "42"),
    ],
)
def test_who_may_not_see_an_address_sees_its_ends(address: str, shown: str) -> None:
    assert masked(parse(address)) == shown


def test_a_display_name_makes_no_other_address() -> None:
    assert Address("tel", "+1", "Li") == Address("tel", "+1")
    assert shard_of(Address("tel", "+1", "Li")) == shard_of(Address("tel", "+1"))


def test_shards_are_stored_and_so_never_change() -> None:
    assert [shard_of(Address("tel", f"+861380013800{n}")) for n in range(5)] == [58, 57, 42, 19, 52]


@given(st.text(), st.text())
def test_any_address_has_a_shard(scheme: str, value: str) -> None:
    assert 0 <= shard_of(Address(scheme, value)) < SHARDS


def test_addresses_spread_over_the_shards() -> None:
    used = {shard_of(Address("tel", f"+86138{n:08}")) for n in range(2_000)}
    assert len(used) == SHARDS
