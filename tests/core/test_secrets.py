"""Secrets are found by their references, kept where only the hub reads them, and never shown."""

import os
import stat
from pathlib import Path

import pytest

from core.errors import SecretMissing
from core.keys import HubKey
from core.secrets import Secrets


@pytest.fixture
def book(tmp_path: Path) -> Secrets:
    return Secrets(tmp_path / "secrets", {"TWILIO_TOKEN": "from the environment"})


def test_a_variable_holds_a_secret(book: Secrets) -> None:
    assert book.resolve("env:TWILIO_TOKEN") == "from the environment"


def test_a_file_holds_a_secret_and_perhaps_a_last_line_end(book: Secrets, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from a file\n")
    assert book.resolve(f"file:{tmp_path}/token") == "from a file"


def test_a_kept_secret_is_made_once_and_only_its_owner_reads_it(book: Secrets, tmp_path: Path) -> None:
    made = book.resolve("keep:hub")
    assert len(made) == 64
    assert Secrets(tmp_path / "secrets").resolve("keep:hub") == made
    assert stat.S_IMODE((tmp_path / "secrets" / "hub").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700
    assert os.listdir(tmp_path / "secrets") == ["hub"]


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("env:NOT_SET", "NOT_SET is not set"),
        ("file:/nowhere/at/all", "cannot be read"),
        ("file:relative", "env:NAME"),
        ("keep:../../etc/passwd", "env:NAME"),
        ("env:A-B", "env:NAME"),
        ("hunter2hunter2", "env:NAME"),
    ],
)
def test_what_is_missing_says_what_to_do(book: Secrets, reference: str, says: str) -> None:
    with pytest.raises(SecretMissing, match=says):
        book.resolve(reference)


@pytest.mark.parametrize(
    ("content", "says"), [(b"\n", "empty"), (b"\xff\xfe", "UTF-8"), (b"x" * 70_000, "too large")]
)
def test_a_file_that_is_no_secret_is_refused(
    book: Secrets, tmp_path: Path, content: bytes, says: str
) -> None:
    (tmp_path / "token").write_bytes(content)
    with pytest.raises(SecretMissing, match=says):
        book.resolve(f"file:{tmp_path}/token")


def test_a_secret_pasted_as_a_reference_is_not_repeated(book: Secrets) -> None:
    with pytest.raises(SecretMissing) as refused:
        book.resolve("hunter2hunter2")
    assert "hunter2" not in f"{refused.value} {refused.value.detail}"


def test_no_representation_shows_a_secret(book: Secrets) -> None:
    book.resolve("env:TWILIO_TOKEN")
    assert "from the environment" not in repr(book)
    assert book.seen == {"from the environment"}
    assert repr(HubKey.of(book)) == "HubKey()"


def test_a_digest_proves_one_purpose_only(book: Secrets) -> None:
    key = HubKey.of(book)
    mac = key.mac("erasure", b"tel:+8613800000001")
    assert key.is_valid("erasure", b"tel:+8613800000001", mac)
    assert not key.is_valid("link", b"tel:+8613800000001", mac)
    assert not key.is_valid("erasure", b"tel:+8613800000002", mac)
