"""Verification finds whatever was changed behind the hub's back, and says where."""

from typing import Any

import pytest
from sqlalchemy import text

from core.database import Database
from core.log import verify as verification
from core.log.seals import Sealer
from core.log.verify import Verdict, verify
from core.log.writer import LogWriter
from tests.support.entries import NOON, message, running_writer


@pytest.fixture
async def log(db: Database, writer: LogWriter, monkeypatch: pytest.MonkeyPatch) -> Database:
    """Nine entries of two accounts under three seals each, and one that is not sealed yet; read in small steps."""
    monkeypatch.setattr(verification, "_CHUNK", 4)
    monkeypatch.setattr(verification, "_SEAL_PAGE", 2)
    sealer = Sealer(db, lambda: NOON)
    await _nine_entries(writer, sealer)
    await writer.write(message(account="a", dedupe_key="key 9"))
    return db


async def _nine_entries(writer: LogWriter, sealer: Sealer) -> None:
    for number in range(9):
        await writer.write(
            message(account="ab"[number % 2], dedupe_key=f"key {number}", text=f"库存 {number}", raw=b"raw")
        )
        if number % 3 == 2:
            await sealer.seal()


async def _tamper(db: Database, *statements: str, **values: Any) -> None:
    async with db.begin() as tx:
        for statement in statements:
            await tx.session.execute(text(statement), values)


def _found(verdict: Verdict) -> list[tuple[str, int, int]]:
    return [(problem.code, problem.seq, problem.last_seq) for problem in verdict.problems]


async def test_a_log_that_nobody_touched_is_sound(log: Database) -> None:
    steps: list[tuple[int, int]] = []
    verdict = await verify(log, lambda done, end: steps.append((done, end)))
    assert verdict.is_sound
    assert (verdict.head, verdict.entries, verdict.sealed_to, verdict.unsealed) == (10, 10, 9, 1)
    assert steps == [(4, 10), (8, 10), (10, 10)]
    assert set(verdict.chains) == {"a", "b"}


async def test_an_empty_log_is_sound(db: Database) -> None:
    verdict = await verify(db)
    assert verdict.is_sound
    assert (verdict.head, verdict.entries, verdict.sealed_to, verdict.chains) == (0, 0, 0, {})


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("UPDATE content SET text = '库存 5' WHERE seq = 5", [("content_altered", 5, 5)]),
        ("UPDATE content SET address = '+8613800000002' WHERE seq = 5", [("content_altered", 5, 5)]),
        ("UPDATE content SET data = '{ }' WHERE seq = 2", [("content_altered", 2, 2)]),
        ("UPDATE content SET own = 'x', raw_type = 'y' WHERE seq = 10", [("content_altered", 10, 10)]),
        ("DELETE FROM content WHERE seq = 5", [("content_missing", 5, 5)]),
        # Entry 5 is account a's, in its second seal's range; entry 6 is b's.
        ("UPDATE log SET external_id = 'x' WHERE seq = 5", [("seal_broken", 4, 6)]),
        ("UPDATE log SET shard = shard + 1 WHERE seq = 6", [("seal_broken", 4, 6)]),
        ("UPDATE log SET direction = 'out' WHERE seq = 1", [("seal_broken", 1, 3)]),
        ("UPDATE log SET in_reply_to = id WHERE seq = 9", [("seal_broken", 7, 9)]),
        ("UPDATE seal SET entries = 3 WHERE account = 'a' AND number = 2", [("seal_broken", 4, 6)]),
        ("UPDATE seal SET first_seq = 5 WHERE account = 'a' AND number = 2", [("seal_broken", 5, 6)]),
        ("UPDATE log_head SET seq = 9", [("beyond_head", 10, 10)]),
        ("UPDATE log_head SET seq = 12", [("missing", 11, 12)]),
        ("DELETE FROM log_key WHERE dedupe_key = 'key 4'", [("key_missing", 5, 5)]),
    ],
)
async def test_a_change_is_found_at_its_place(
    log: Database, statement: str, found: list[tuple[str, int, int]]
) -> None:
    await _tamper(log, statement)
    assert _found(await verify(log)) == found


@pytest.mark.parametrize("column", ["raw", "salt"])
async def test_one_flipped_byte_of_a_content_is_found(log: Database, column: str) -> None:
    await _tamper(log, f"UPDATE content SET {column} = :flipped WHERE seq = 3", flipped=b"raw"[:-1] + b"v")
    assert _found(await verify(log)) == [("content_altered", 3, 3)]


async def test_a_forged_digest_breaks_the_seal_instead(log: Database) -> None:
    await _tamper(log, "UPDATE log SET digest = :forged WHERE seq = 3", forged=bytes(32))
    assert _found(await verify(log)) == [("seal_broken", 1, 3), ("content_altered", 3, 3)]


async def test_a_deleted_entry_is_missed_everywhere(log: Database) -> None:
    await _tamper(log, "DELETE FROM log WHERE seq = 5")
    assert _found(await verify(log)) == [
        ("key_orphan", 0, 0),
        ("seal_broken", 4, 6),
        ("content_orphan", 5, 5),
        ("missing", 5, 5),
    ]


async def test_many_deleted_entries_are_one_gap(log: Database) -> None:
    await _tamper(
        log,
        "DELETE FROM log_key WHERE id IN (SELECT id FROM log WHERE seq BETWEEN 3 AND 8)",
        "DELETE FROM log WHERE seq BETWEEN 3 AND 8",
        "DELETE FROM content WHERE seq BETWEEN 3 AND 8",
    )
    missing = [found for found in _found(await verify(log)) if found[0] == "missing"]
    assert missing == [("missing", 3, 4), ("missing", 5, 8)]


async def test_two_swapped_entries_are_found(log: Database) -> None:
    await _tamper(
        log,
        "UPDATE log SET seq = -1 WHERE seq = 1",
        "UPDATE log SET seq = 1 WHERE seq = 3",
        "UPDATE log SET seq = 3 WHERE seq = -1",
    )
    assert _found(await verify(log)) == [
        ("content_altered", 1, 1),
        ("seal_broken", 1, 3),
        ("content_altered", 3, 3),
    ]


async def test_two_swapped_contents_are_found(log: Database) -> None:
    await _tamper(
        log,
        "UPDATE content SET seq = -1 WHERE seq = 1",
        "UPDATE content SET seq = 1 WHERE seq = 3",
        "UPDATE content SET seq = 3 WHERE seq = -1",
    )
    assert _found(await verify(log)) == [("content_altered", 1, 1), ("content_altered", 3, 3)]


async def test_an_entry_moved_to_another_account_is_found_in_both(log: Database) -> None:
    await _tamper(log, "UPDATE log SET account = 'b' WHERE seq = 5")
    verdict = await verify(log)
    assert {(problem.code, problem.account) for problem in verdict.problems} == {
        ("seal_broken", "a"),
        ("seal_broken", "b"),
        ("key_orphan", "a"),
    }


async def test_an_entry_slipped_into_sealed_time_is_found(log: Database) -> None:
    await _tamper(log, "UPDATE log SET account = 'c' WHERE seq = 5")
    assert ("unsealed_inside", 5, 5) in _found(await verify(log))


async def test_a_number_given_twice_is_found(log: Database) -> None:
    later = "recorded_at + 1" if log.is_sqlite else "recorded_at + interval '1 second'"
    columns = (
        "id, account, channel, direction, kind, shard, external_id, occurred_at, thread, blueprint, digest"
    )
    await _tamper(
        log,
        f"INSERT INTO log (seq, recorded_at, {columns}) SELECT seq, {later}, {columns} FROM log WHERE seq = 10",
    )
    assert ("repeated", 10, 10) in _found(await verify(log))


async def test_a_seal_taken_out_of_the_chain_is_found(log: Database) -> None:
    await _tamper(log, "DELETE FROM seal WHERE account = 'a' AND number = 2")
    verdict = await verify(log)
    assert [(problem.code, problem.account) for problem in verdict.problems] == [("seal_broken", "a")]


async def test_seals_taken_from_the_end_leave_an_unsealed_tail(log: Database) -> None:
    await _tamper(log, "DELETE FROM seal WHERE number = 3")
    verdict = await verify(log)
    assert verdict.is_sound
    assert (verdict.sealed_to, verdict.unsealed) == (6, 4)


async def test_every_change_is_listed_not_only_the_first(log: Database) -> None:
    await _tamper(
        log,
        "UPDATE content SET text = 'x' WHERE seq IN (1, 4, 10)",
        "UPDATE log SET thread = 'x' WHERE seq IN (2, 9)",
    )
    assert _found(await verify(log)) == [
        ("content_altered", 1, 1),
        ("seal_broken", 1, 3),
        ("content_altered", 4, 4),
        ("seal_broken", 7, 9),
        ("content_altered", 10, 10),
    ]


async def test_an_erased_content_is_counted_and_the_chain_holds(log: Database) -> None:
    erased_at = "1" if log.is_sqlite else "now()"
    await _tamper(
        log, f"UPDATE content SET text = '', address = '', salt = raw, erased_at = {erased_at} WHERE seq = 5"
    )
    verdict = await verify(log)
    assert verdict.is_sound
    assert verdict.erased == 1


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("UPDATE content SET text = CAST(x'e5ba' AS TEXT) WHERE seq = 5", [("content_altered", 5, 5)]),
        ("UPDATE content SET text = x'e5ba' WHERE seq = 5", [("content_altered", 5, 5)]),
        (
            "UPDATE log SET thread = CAST(x'e5ba' AS TEXT) WHERE seq = 5",
            [("seal_broken", 4, 6), ("envelope_unreadable", 5, 5)],
        ),
        (
            "UPDATE log SET thread = x'e5ba' WHERE seq = 5",
            [("seal_broken", 4, 6), ("envelope_unreadable", 5, 5)],
        ),
        (
            "UPDATE log SET occurred_at = 9000000000000000000 WHERE seq = 5",
            [("seal_broken", 4, 6), ("envelope_unreadable", 5, 5)],
        ),
    ],
)
async def test_damage_that_cannot_even_be_read_is_named(
    sqlite_url: str, statement: str, found: list[tuple[str, int, int]]
) -> None:
    db = Database(sqlite_url)
    async with running_writer(db) as writer:
        await _nine_entries(writer, Sealer(db, lambda: NOON))
    await _tamper(db, statement)
    assert _found(await verify(db)) == found
    await db.close()
