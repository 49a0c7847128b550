"""Accounts are checked before they are saved, built once, and told apart from demo data."""

import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from pydantic import BaseModel, Field

from core.accounts import AccountBook, checked_account
from core.adapter import Account, AdapterTools, ChannelSpec
from core.clock import now
from core.database import Database
from core.errors import BadInput, ConfigInvalid, Conflict, NotFound
from core.secrets import Secrets
from core.tables import AccountRow
from core.values import ChannelKind

_AT = datetime(2026, 11, 18, tzinfo=UTC)


class GatewayConfig(BaseModel):
    url: str
    rate: int = Field(default=10, ge=1)


class Gateway:
    def __init__(self, account: Account[GatewayConfig], tools: AdapterTools) -> None:
        self.account = account


def _spec(name: str, kind: ChannelKind = ChannelKind.SMS, **rest: Any) -> ChannelSpec[GatewayConfig]:
    return ChannelSpec(name=name, kind=kind, title=name, config=GatewayConfig, build=Gateway, **rest)


_SPECS: Mapping[str, ChannelSpec[Any]] = {
    "sms.gateway": _spec("sms.gateway", secrets=("token",)),
    "sms.demo": _spec("sms.demo", is_demo=True),
    "portal": _spec("portal", ChannelKind.PORTAL),
}


@pytest.fixture
async def tools() -> Any:
    async with aiohttp.ClientSession() as http:
        yield AdapterTools(http=http, now=now)


@pytest.fixture
def book(tools: AdapterTools, tmp_path: Path) -> AccountBook:
    return AccountBook(_SPECS, Secrets(tmp_path, {"TOKEN": "s3cret-token"}), tools)


async def _create(db: Database, book: AccountBook, slug: str = "main", **changes: Any) -> None:
    given = {
        "provider": "sms.gateway",
        "title": "Main line",
        "config": {"url": "https://example.test"},
        "secrets": {"token": "env:TOKEN"},
        "at": _AT,
    }
    async with db.begin() as tx:
        await book.create(tx, slug=slug, **{**given, **changes})


async def _load(db: Database, book: AccountBook) -> set[str]:
    async with db.read() as session:
        return await book.load(session)


async def test_a_created_account_works_from_the_commit_on(db: Database, book: AccountBook) -> None:
    await _create(db, book)
    account = book.account("main")
    assert account.config == GatewayConfig(url="https://example.test")
    assert account.secrets == {"token": "s3cret-token"}
    assert "s3cret" not in repr(account)
    assert book.adapter("main") is book.adapter("main")
    assert book.adapter("main").account is account
    assert book.kind_of("main") is ChannelKind.SMS
    assert book.slugs() == ["main"]


async def test_a_rolled_back_account_was_never_there(db: Database, book: AccountBook) -> None:
    async def fail() -> None:
        async with db.begin() as tx:
            await book.create(
                tx, slug="main", provider="sms.demo", title="", config={"url": ""}, secrets={}, at=_AT
            )
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    with pytest.raises(NotFound):
        book.account("main")


async def test_only_changed_accounts_are_built_anew(db: Database, book: AccountBook, tmp_path: Path) -> None:
    await _create(db, book, "one")
    await _create(db, book, "two")
    assert await _load(db, book) == set()
    adapter = book.adapter("one")
    async with db.begin() as tx:
        row = await tx.session.get_one(AccountRow, "two")
        row.title, row.updated_at = "Second", _AT + timedelta(seconds=1)
    assert await _load(db, book) == {"two"}
    assert book.account("two").title == "Second"
    assert book.adapter("one") is adapter


async def test_an_account_that_is_gone_from_the_table_is_gone(db: Database, book: AccountBook) -> None:
    await _create(db, book)
    async with db.begin() as tx:
        await tx.session.delete(await tx.session.get_one(AccountRow, "main"))
    assert await _load(db, book) == {"main"}
    with pytest.raises(NotFound):
        book.adapter("main")


async def test_every_problem_is_named_at_once_and_no_value_is(db: Database, book: AccountBook) -> None:
    with pytest.raises(ConfigInvalid) as refused:
        await _create(db, book, config={"rate": 0, "token": "pasted-secret"}, secrets={"tokn": "env:TOKEN"})
    problems = refused.value.detail["problems"]
    assert isinstance(problems, list)
    assert [problem.partition(":")[0] for problem in problems] == [
        "url",
        "rate",
        "secrets.token",
        "secrets.tokn",
    ]
    assert "pasted-secret" not in str(refused.value)
    with pytest.raises(NotFound):
        book.account("main")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"provider": "sms.nothing"}, "no provider"),
        ({"secrets": {"token": "env:NOT_SET"}}, "NOT_SET is not set"),
    ],
)
async def test_an_account_that_cannot_work_is_not_saved(
    lite: Database, book: AccountBook, changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigInvalid, match=says):
        await _create(lite, book, **changes)


@pytest.mark.parametrize("slug", ["", "Main", "a/b", "hub", "-a", "x" * 41])
async def test_a_slug_fits_into_addresses(lite: Database, book: AccountBook, slug: str) -> None:
    with pytest.raises(BadInput):
        await _create(lite, book, slug)


async def test_a_slug_is_taken_once(db: Database, book: AccountBook) -> None:
    await _create(db, book)
    with pytest.raises(Conflict):
        await _create(db, book)


async def test_a_broken_row_stands_in_nobodys_way(db: Database, book: AccountBook) -> None:
    await _create(db, book)
    async with db.begin() as tx:
        tx.session.add(AccountRow(slug="old", provider="sms.gone", title="Old", updated_at=_AT))
        tx.session.add(AccountRow(slug="bad", provider="sms.gateway", title="Bad", updated_at=_AT))
    await _load(db, book)
    assert book.slugs() == ["main"]
    assert list(book.problems()) == ["bad", "old"]
    with pytest.raises(ConfigInvalid, match="url"):
        book.adapter("bad")
    with pytest.raises(ConfigInvalid, match="catalog"):
        book.kind_of("old")


async def test_a_missing_secret_is_looked_for_again(
    db: Database, tools: AdapterTools, tmp_path: Path
) -> None:
    env: dict[str, str] = {}
    book = AccountBook(_SPECS, Secrets(tmp_path, env), tools)
    async with db.begin() as tx:
        tx.session.add(
            AccountRow(
                slug="main",
                provider="sms.gateway",
                title="",
                config={"url": "x"},
                secrets={"token": "env:TOKEN"},
            )
        )
    await _load(db, book)
    assert list(book.problems()) == ["main"]
    env["TOKEN"] = "now it is here"
    await _load(db, book)
    assert book.slugs() == ["main"]


async def test_a_disabled_account_answers_only_what_it_is(db: Database, book: AccountBook) -> None:
    await _create(db, book)
    async with db.begin() as tx:
        await book.disable(tx, "main", _AT)
    assert book.slugs() == []
    assert book.kind_of("main") is ChannelKind.SMS
    with pytest.raises(Conflict, match="disabled"):
        book.adapter("main")
    async with db.begin() as tx:
        await book.update(tx, "main", at=_AT, is_enabled=True, title=" ", config={"url": "y"})
    assert (book.account("main").title, book.account("main").config) == ("main", GatewayConfig(url="y"))


async def test_what_is_not_there_cannot_be_changed(lite: Database, book: AccountBook) -> None:
    async with lite.begin() as tx:
        with pytest.raises(NotFound):
            await book.update(tx, "main", at=_AT)


async def test_demo_data_refuses_to_lie_beside_a_real_account(db: Database, book: AccountBook) -> None:
    demo = {"provider": "sms.demo", "secrets": {}}
    await _create(db, book, "own-pages", provider="portal", secrets={})
    await _create(db, book, "demo", **demo)
    with pytest.raises(ConfigInvalid, match="refuses to load beside a real account"):
        await _create(db, book)
    async with db.begin() as tx:
        await book.disable(tx, "demo", _AT)
    await _create(db, book)
    with pytest.raises(ConfigInvalid, match="refuses"):
        await _create(db, book, "demo2", **demo)


async def test_a_mixture_that_got_into_the_table_does_not_load(db: Database, book: AccountBook) -> None:
    await _create(db, book)
    async with db.begin() as tx:
        tx.session.add(AccountRow(slug="demo", provider="sms.demo", title="", config={"url": "x"}))
    with pytest.raises(ConfigInvalid, match="refuses"):
        await _load(db, book)
    assert book.slugs() == ["main"]


# The snapshot.


def _keeping(tools: AdapterTools, tmp_path: Path) -> AccountBook:
    """A process of the same host, with its own memory and the same data folder."""
    return AccountBook(
        _SPECS, Secrets(tmp_path, {"TOKEN": "s3cret-token"}), tools, tmp_path / "accounts.json"
    )


async def test_a_process_that_starts_without_the_database_knows_the_accounts(
    db: Database, tools: AdapterTools, tmp_path: Path
) -> None:
    first = _keeping(tools, tmp_path)
    await _create(db, first)
    await _create(db, first, "second", config={"url": "second", "rate": 3})
    later = _keeping(tools, tmp_path)
    assert later.load_snapshot() == {"main", "second"}
    assert later.account("second") == first.account("second")
    assert later.account("main").secrets == {"token": "s3cret-token"}
    adapter = later.adapter("main")
    # When the database is there again, nothing is built anew.
    assert await _load(db, later) == set()
    assert later.adapter("main") is adapter


async def test_the_snapshot_follows_each_change_and_each_load(
    db: Database, tools: AdapterTools, tmp_path: Path
) -> None:
    book, other = _keeping(tools, tmp_path), _keeping(tools, tmp_path)
    await _create(db, book)
    async with db.begin() as tx:
        await book.disable(tx, "main", _AT + timedelta(seconds=1))
    other.load_snapshot()
    assert other.slugs() == []
    (tmp_path / "accounts.json").unlink()
    await _load(db, book)
    assert other.load_snapshot() == set()


async def test_the_snapshot_holds_references_and_no_secret(
    db: Database, tools: AdapterTools, tmp_path: Path
) -> None:
    book = _keeping(tools, tmp_path)
    await _create(db, book)
    async with db.begin() as tx:
        tx.session.add(
            AccountRow(slug="bad", provider="sms.gateway", title="", secrets={"token": "pasted-in-whole"})
        )
    await _load(db, book)
    path = tmp_path / "accounts.json"
    content = path.read_text()
    assert "env:TOKEN" in content
    assert "s3cret" not in content
    assert "pasted" not in content
    assert path.stat().st_mode & 0o777 == 0o600
    assert "accounts.json" in os.listdir(tmp_path)
    assert not any(name.startswith(".accounts") for name in os.listdir(tmp_path))


@pytest.mark.parametrize(
    "content",
    [None, b"", b"{", b"[]", b'{"version": 9, "accounts": []}', b'{"version": 1, "accounts": [{}]}'],
)
async def test_a_snapshot_that_cannot_be_read_is_said_to_be(
    tools: AdapterTools, tmp_path: Path, content: bytes | None
) -> None:
    for held in filter(None, [content]):
        (tmp_path / "accounts.json").write_bytes(held)
    with pytest.raises(ConfigInvalid, match="start once"):
        _keeping(tools, tmp_path).load_snapshot()


async def test_where_no_snapshot_is_kept_there_is_none_to_load(book: AccountBook) -> None:
    with pytest.raises(ConfigInvalid, match="keeps no snapshot"):
        book.load_snapshot()


async def test_a_snapshot_that_cannot_be_written_stops_nobody(
    db: Database, tools: AdapterTools, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "accounts.json").mkdir()
    book = _keeping(tools, tmp_path)
    await _create(db, book)
    assert book.slugs() == ["main"]
    assert "snapshot not written" in caplog.text


@pytest.mark.parametrize(
    ("spec", "given", "resolved"),
    [
        ({}, {"token": "env:A"}, {"token": "a"}),
        ({"optional_secrets": ("key",)}, {"token": "env:A", "key": ""}, {"token": "a"}),
        ({"optional_secrets": ("key",)}, {"token": "env:A", "key": "env:B"}, {"token": "a", "key": "b"}),
        ({"names_secrets": True}, {"token": "env:A", "password": "env:B"}, {"token": "a", "password": "b"}),
    ],
)
def test_an_adapter_gets_the_secrets_it_needs_and_those_it_may_use(
    tmp_path: Path, spec: dict[str, Any], given: dict[str, str], resolved: dict[str, str]
) -> None:
    row = AccountRow(
        slug="main", provider="sms.x", title="", config={"url": "x"}, secrets=given, updated_at=_AT
    )
    secrets = Secrets(tmp_path, {"A": "a", "B": "b"})
    account = checked_account(row, {"sms.x": _spec("sms.x", secrets=("token",), **spec)}, secrets)
    assert account.secrets == resolved
