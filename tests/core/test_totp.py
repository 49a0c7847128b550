"""One-time codes as RFC 6238 computes them, each taken once."""

import base64
from datetime import UTC, datetime, timedelta

import pyotp
import pytest

from core import totp

_SECRET = base64.b32encode(b"12345678901234567890").decode()
_AT = datetime(2026, 11, 18, 4, 0, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("moment", "code"),
    [(59, "287082"), (1111111109, "081804"), (1234567890, "005924"), (20000000000, "353130")],
)
def test_codes_are_those_of_the_standard(moment: int, code: str) -> None:
    assert totp.code_at(_SECRET, totp.step_at(datetime.fromtimestamp(moment, UTC))) == code


@pytest.mark.parametrize(("drift", "fits"), [(-60, False), (-30, True), (0, True), (30, True), (60, False)])
def test_a_clock_may_be_one_step_off(drift: int, fits: bool) -> None:
    code = pyotp.TOTP(_SECRET).at(_AT + timedelta(seconds=drift))
    assert (totp.matching_step(_SECRET, code, _AT, 0) is not None) is fits


def test_a_code_is_not_taken_twice() -> None:
    code = pyotp.TOTP(_SECRET).at(_AT)
    step = totp.matching_step(_SECRET, f"{code[:3]} {code[3:]}", _AT, 0)
    assert step == totp.step_at(_AT)
    assert totp.matching_step(_SECRET, code, _AT, step) is None


@pytest.mark.parametrize("typed", ["", "12345", "abcdef", "１２３４５６", "\ud800"])
def test_what_is_no_code_fits_nothing(typed: str) -> None:
    assert totp.matching_step(_SECRET, typed, _AT, 0) is None


def test_an_app_reads_the_secret_from_its_address() -> None:
    secret = totp.new_secret()
    read = pyotp.parse_uri(totp.provisioning_uri(secret, "li wei", "Switchboard"))
    assert (read.secret, read.name, read.issuer) == (secret, "li wei", "Switchboard")
