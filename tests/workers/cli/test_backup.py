"""Backup, destroy, restore, on both engines: everything is back, an erased person stays erased, nothing is resent."""

import asyncio
import json
import os
import shutil
import stat
import tarfile
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar

import pytest
from sqlalchemy import text

from core import files
from core.clock import now
from core.database import Database, Tx
from core.files import FileStore
from core.sending import queue_message
from core.values import Address
from tests.support.postgres import Cluster
from tests.workers.cli.conftest import Run, serving
from workers.backup import postgres

T = TypeVar("T")
SHOP = "+8613900000001"
PHOTO = b"\x89PNG\r\n\x1a\nthe shop's front"


@dataclass(slots=True)
class Office:
    """A hub of one engine that can be lost: where it lies, and how an empty place for the next one is made."""

    run: Run
    data: Path
    url: str
    emptied: Callable[[], str]
    use: Callable[[str], None]

    def ask(self, query: str, **values: Any) -> list[Any]:
        async def act(db: Database) -> list[Any]:
            async with db.read() as session:
                return list((await session.execute(text(query), values)).all())

        return self.within(act)

    def count(self, query: str, **values: Any) -> int:
        return int(self.ask(query, **values)[0][0])

    def write(self, act: Callable[[Tx], Coroutine[Any, Any, None]]) -> None:
        async def begun(db: Database) -> None:
            async with db.begin() as tx:
                await act(tx)

        self.within(begun)

    def within(self, act: Callable[[Database], Coroutine[Any, Any, T]]) -> T:
        async def opened() -> T:
            db = Database(self.url)
            try:
                return await act(db)
            finally:
                await db.close()

        return asyncio.run(opened())

    def lose(self, *kept: str) -> None:
        """The machine burns down; what is named stays in the data folder."""
        for path in list(self.data.iterdir()):
            if path.name not in kept:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        self.url = self.emptied()
        self.use(self.url)


@pytest.fixture(params=["sqlite", "postgresql"])
def office(
    request: pytest.FixtureRequest, run: Run, data: Path, loaded: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Office]:
    shutil.copytree(loaded, data)
    names: list[str] = []
    here = f"sqlite+aiosqlite:///{data / 'switchboard.db'}"
    if request.param == "sqlite":
        yield Office(run, data, here, lambda: here, lambda url: None)
        return
    cluster: Cluster = request.getfixturevalue("postgres_cluster")

    def fresh() -> str:
        names.append(cluster.create_database())
        return cluster.url(names[-1])

    url = fresh()
    assert run("move", "--to", url).code == 0
    (data / "switchboard.db").unlink()

    def use(url: str) -> None:
        monkeypatch.setenv("SWITCHBOARD_DATABASE", url)

    use(url)
    yield Office(run, data, url, fresh, use)
    for name in names:
        cluster.discard_database(name)


@pytest.fixture
def tar(tmp_path: Path) -> Path:
    return tmp_path / "monday.tar"


def with_photo(office: Office) -> str:
    """A photo of the shop's newest message; returns its digest."""
    [[seq]] = office.ask("SELECT max(seq) FROM content WHERE address = :shop AND raw_type <> ''", shop=SHOP)
    stored = asyncio.run(FileStore(office.data / "files").store(PHOTO, "image/png", "front.png"))

    async def note(tx: Tx) -> None:
        await files.record(tx, seq, 0, stored)

    office.write(note)
    return stored.sha256


def test_everything_is_back_after_a_loss(office: Office, tar: Path) -> None:
    digest = with_photo(office)
    [[before]] = office.ask("SELECT seq FROM log_head")
    figures = office.count("SELECT count(*) FROM figure")
    ran = office.run("backup", str(tar))
    assert ran.code == 0, ran.err
    key = (office.data / "secrets" / "hub").read_bytes()
    office.lose()
    ran = office.run("restore", str(tar))
    assert ran.code == 0, ran.out + ran.err
    assert "The log is whole." in ran.out
    assert office.count("SELECT seq FROM log_head") == before
    assert office.count("SELECT count(*) FROM figure") == figures
    assert (office.data / "secrets" / "hub").read_bytes() == key
    assert FileStore(office.data / "files").path(digest).read_bytes() == PHOTO
    assert office.run("verify").code == 0


@pytest.mark.parametrize("way", ["in place", "named"])
def test_who_was_erased_after_the_backup_stays_erased(
    office: Office, tar: Path, tmp_path: Path, way: str
) -> None:
    digest = with_photo(office)
    assert office.run("backup", str(tar)).code == 0
    assert office.run("erase", SHOP, "--yes").code == 0
    ledger = tmp_path / "newer.jsonl"
    shutil.copy(office.data / "erasures.jsonl", ledger)
    kept, words = {"in place": (["erasures.jsonl"], []), "named": ([], ["--ledger", str(ledger)])}[way]
    office.lose(*kept)
    ran = office.run("restore", str(tar), *words)
    assert ran.code == 0, ran.out + ran.err
    assert "1 persons were erased again" in ran.out
    assert office.count("SELECT count(*) FROM content WHERE address = :shop", shop=SHOP) == 0
    assert office.count("SELECT count(*) FROM party WHERE name = '顺发便民店'") == 0
    assert not FileStore(office.data / "files").path(digest).exists()
    assert office.run("verify").code == 0
    assert office.run("erase", "--reapply").out.startswith("0 persons")


def test_who_was_erased_before_the_backup_stays_erased_when_all_is_lost(office: Office, tar: Path) -> None:
    assert office.run("erase", SHOP, "--yes").code == 0
    assert office.run("backup", str(tar)).code == 0
    office.lose()
    assert office.run("restore", str(tar)).code == 0
    assert office.count("SELECT count(*) FROM content WHERE address = :shop", shop=SHOP) == 0
    assert len((office.data / "erasures.jsonl").read_text().splitlines()) == 1


def test_what_waited_to_leave_is_not_sent_again_by_itself(office: Office, tar: Path) -> None:
    [[account]] = office.ask("SELECT slug FROM account")
    later = now() + timedelta(days=30)

    async def put(tx: Tx) -> None:
        for key, at in (("due", now()), ("later", later)):
            queue_message(tx, key=key, account=account, recipient=Address("tel", SHOP), text=f"msg {key}",
                          at=at, cause_seq=1)  # fmt: skip

    office.write(put)
    assert office.run("backup", str(tar)).code == 0
    office.lose()
    ran = office.run("restore", str(tar))
    assert ran.code == 0, ran.out + ran.err
    rows = office.ask("SELECT key, state, error FROM outbox WHERE key IN ('due', 'later') ORDER BY key")
    assert [tuple(row) for row in rows] == [("due", "unknown", "restored"), ("later", "waiting", "")]
    states = office.ask("SELECT state FROM sent s JOIN content c ON c.seq = s.seq WHERE c.text = 'msg due'")
    assert [tuple(row) for row in states] == [("unknown",)]
    assert "1 messages waited to leave" in ran.out


def test_nobody_is_signed_in_after_a_restore(office: Office, tar: Path) -> None:
    assert office.run("backup", str(tar)).code == 0
    office.lose()
    assert office.run("restore", str(tar)).code == 0
    assert office.count("SELECT count(*) FROM sign_in") == 0


def test_a_hub_that_is_there_is_not_overwritten(office: Office, tar: Path) -> None:
    assert office.run("backup", str(tar)).code == 0
    ran = office.run("restore", str(tar))
    assert ran.code == 1
    assert "--replace" in ran.err
    ran = office.run("restore", str(tar), "--replace")
    assert ran.code == 1
    assert "--yes" in ran.err


def test_nothing_is_restored_under_a_hub_that_works(office: Office, tar: Path) -> None:
    assert office.run("backup", str(tar)).code == 0
    with serving("demo", "--no-traffic"):
        ran = office.run("restore", str(tar), "--replace", "--yes")
    assert ran.code == 1
    assert "stop" in ran.err
    assert office.run("verify").code == 0


def test_replacing_sets_the_present_data_aside_and_a_second_time_too(office: Office, tar: Path) -> None:
    with_photo(office)
    assert office.run("backup", str(tar)).code == 0
    assert office.run("erase", SHOP, "--yes").code == 0
    ran = office.run("restore", str(tar), "--replace", "--yes")
    assert ran.code == 0, ran.out + ran.err
    assert "What was there before lies in" in ran.out
    assert office.count("SELECT count(*) FROM content WHERE address = :shop", shop=SHOP) == 0
    again = tar.with_name("tuesday.tar")
    assert office.run("backup", str(again)).code == 0
    office.lose("erasures.jsonl")
    assert office.run("restore", str(again)).code == 0
    assert office.run("verify").code == 0


def test_a_backup_is_made_beside_a_hub_that_works(office: Office, tar: Path) -> None:
    with serving("demo"):
        ran = office.run("backup", str(tar))
    assert ran.code == 0, ran.err
    office.lose()
    ran = office.run("restore", str(tar))
    assert ran.code == 0, ran.out + ran.err


# The file.


@pytest.fixture
def story(data: Path, loaded: Path, run: Run) -> Run:
    shutil.copytree(loaded, data)
    return run


def test_a_folder_gets_a_file_named_by_the_time_that_only_we_may_read(story: Run, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    assert story("backup", str(folder)).code == 0
    [made] = folder.iterdir()
    assert made.name.startswith("switchboard-20")
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    with tarfile.open(made) as tar:
        assert tar.getnames()[0] == "database.sqlite"
        assert tar.getnames()[-1] == "manifest.json"
        assert "secrets/hub" in tar.getnames()


def test_a_backup_that_is_there_is_not_overwritten(story: Run, tar: Path) -> None:
    tar.write_text("something")
    ran = story("backup", str(tar))
    assert ran.code == 1
    assert "exists already" in ran.err
    assert tar.read_text() == "something"


def test_where_nothing_can_be_written_that_is_said(story: Run, tmp_path: Path) -> None:
    ran = story("backup", str(tmp_path / "none" / "x.tar"))
    assert ran.code == 1
    assert "Nothing can be written" in ran.err


def cut(tar: Path) -> None:
    with tar.open("rb+") as file:
        file.truncate(tar.stat().st_size // 2)


def flip(tar: Path) -> None:
    """One bit in the middle of the database."""
    content = bytearray(tar.read_bytes())
    content[200_000] ^= 1
    tar.write_bytes(content)


def strange(tar: Path) -> None:
    with tarfile.open(tar, "w") as made:
        info = tarfile.TarInfo("../outside")
        made.addfile(info)


def stranger_inside(tar: Path) -> None:
    with tarfile.open(tar, "a") as made:
        made.addfile(tarfile.TarInfo("../outside"))


def newer(tar: Path) -> None:
    with tarfile.open(tar) as old:
        member = old.extractfile("manifest.json")
        assert member is not None
        manifest = json.loads(member.read())
    document = json.dumps({**manifest, "revision": "9999"}).encode()
    with tarfile.open(tar, "w") as made:
        info = tarfile.TarInfo("manifest.json")
        info.size = len(document)
        made.addfile(info, BytesIO(document))


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (cut, "is no"),
        (flip, "is damaged: database.sqlite"),
        (strange, "manifest"),
        (stranger_inside, "'../outside'"),
        (newer, "newer Switchboard"),
        (Path.unlink, "There is no file"),
    ],
)
def test_a_backup_that_is_not_whole_is_refused_before_anything_is_touched(
    story: Run, data: Path, tar: Path, harm: Callable[[Path], None], says: str
) -> None:
    assert story("backup", str(tar)).code == 0
    harm(tar)
    before = sorted(path.name for path in data.iterdir())
    ran = story("restore", str(tar), "--replace", "--yes")
    assert ran.code == 1
    assert says in ran.err
    assert {*before, "lock"} >= {path.name for path in data.iterdir()}
    assert story("verify").code == 0


def test_without_secrets_the_key_has_to_wait_in_place(
    story: Run, data: Path, tar: Path, tmp_path: Path
) -> None:
    assert story("erase", SHOP, "--yes").code == 0
    ran = story("backup", str(tar), "--without-secrets")
    assert "kept secrets are not in it" in ran.out
    shutil.move(data / "secrets", tmp_path / "secrets")
    shutil.rmtree(data)
    ran = story("restore", str(tar))
    assert ran.code == 1
    assert "The hub's key is neither" in ran.err
    shutil.copytree(tmp_path / "secrets", data / "secrets")
    assert story("restore", str(tar)).code == 0


def test_another_key_in_place_is_not_overwritten(story: Run, data: Path, tar: Path) -> None:
    assert story("backup", str(tar)).code == 0
    shutil.rmtree(data)
    (data / "secrets").mkdir(parents=True)
    (data / "secrets" / "hub").write_text("00" * 32)
    ran = story("restore", str(tar))
    assert ran.code == 1
    assert "another secret than the backup's" in ran.err


def test_a_backup_of_the_one_engine_is_not_restored_on_the_other(
    story: Run, tar: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert story("backup", str(tar)).code == 0
    monkeypatch.setenv("SWITCHBOARD_DATABASE", "postgresql+asyncpg://x@127.0.0.1:9/x")
    ran = story("restore", str(tar))
    assert ran.code == 1
    assert "a backup of sqlite" in ran.err


# PostgreSQL's programs.


async def test_programs_that_are_too_old_are_told_with_what_is_needed() -> None:
    with pytest.raises(Exception, match="postgresql-client-99"):
        await postgres.find_program("pg_dump", 99)


def test_a_password_goes_by_the_environment_and_not_by_the_command_line() -> None:
    told = postgres.environment_of("postgresql+asyncpg://anna:s%40cret@db:5433/hub?sslmode=require")
    assert told == {
        "PGHOST": "db",
        "PGPORT": "5433",
        "PGUSER": "anna",
        "PGPASSWORD": "s@cret",
        "PGDATABASE": "hub",
        "PGSSLMODE": "require",
    }
    assert "PGPASSWORD" not in os.environ


async def test_a_server_that_is_away_is_said_to_be() -> None:
    with pytest.raises(Exception, match="does not let us in"):
        await postgres.connect("postgresql+asyncpg://x@127.0.0.1:9/x")
