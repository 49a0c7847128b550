"""A person who is erased is gone from every table and every page of the disk; figures and the chain stay."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import inspect, select, text, update
from sqlmodel import col

from core import files
from core.consumers import ConsumerRunner
from core.database import Tx
from core.erasure import (
    Erased,
    ErasureReport,
    Forgetter,
    LedgerEntry,
    address_digest,
    append_ledger,
    opted_out_before,
    read_ledger,
)
from core.errors import Conflict, NotFound, Unavailable
from core.files import FileStore
from core.keys import HubKey
from core.log import reader
from core.log.seals import Sealer
from core.log.verify import verify
from core.search import SearchConsumer, find
from core.tables import Consent, Content, Endpoint, Erasure, File, OutboxItem, Party, PartyKey
from core.values import Address, DeliveryState
from crm.erasure import crm_eraser
from crm.tables import Conversation, Observation, Submission
from tests.support.entries import running
from tests.support.hub import SHOP_PHONE, DeskHub, desk_hub

_OTHER_PHONE = "+8613900000077"
_SHOP = Address("tel", SHOP_PHONE)
_NAME = "顺发便民店"
_SECRETS = ("13900000001", "顺发便民店", "王小明", "429901100017", "请转告老板娘", "假烟烫嘴", "记得打座机")
"""What the erased shop said and was: none of it may be found anywhere afterwards."""

REPORT = "KC 101 3;102 12条5包"


@dataclass(slots=True)
class Erasing:
    hub: DeskHub
    forgetter: Forgetter
    store: FileStore
    ledger: Path
    key: HubKey
    search: ConsumerRunner
    erased: list[Erased] = field(default_factory=list)

    async def erase(self, party: UUID, **more: Any) -> ErasureReport:
        return await self.forgetter.erase_person(party, by="admin", reason="asked by mail", **more)


@asynccontextmanager
async def erasing_hub(url: str, folder: Path, key: bytes = b"k" * 32) -> AsyncIterator[Erasing]:
    async with desk_hub(url) as hub:
        search = ConsumerRunner(hub.db, SearchConsumer(), clock=hub.clock)
        hub.writer.on_commit(search.woken)
        store, ledger, told = FileStore(folder / "files"), folder / "erasures.jsonl", list[Erased]()

        async def tell(tx: Tx, erased: Erased) -> None:
            told.append(erased)

        forgetter = Forgetter(
            hub.db,
            hub.intake,
            HubKey(key),
            store,
            erasers=[crm_eraser(hub.book), tell],
            consumers=[hub.consumer, search],
            ledger=ledger,
            clock=hub.clock,
        )
        async with running(search.run()):
            yield Erasing(hub, forgetter, store, ledger, HubKey(key), search, told)


@pytest.fixture
async def erasing(database_url: str, tmp_path: Path) -> AsyncIterator[Erasing]:
    async with erasing_hub(database_url, tmp_path) as erasing:
        yield erasing


@pytest.fixture
async def light(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Erasing]:
    """For what does not depend on the engine."""
    async with erasing_hub(sqlite_url, tmp_path) as erasing:
        yield erasing


async def _lived(erasing: Erasing) -> UUID:
    """A shop with a history: reports, a complaint, a note, a person, a photo, an opt-out, messages out."""
    hub = erasing.hub
    shop = await hub.shop(
        _NAME,
        persons=[{"id": str(uuid4()), "name": "王小明", "post": "owner"}],
        fields={"manager": "王小明"},
    )
    await hub.sms(REPORT)
    await hub.sms("投诉 假烟烫嘴")
    photo = await hub.sms("请转告老板娘")
    stored = await erasing.store.store(b"\x89PNG\r\n\x1a\nface", "image/png", "王小明.png")
    async with hub.db.begin() as tx:
        await files.record(tx, photo.seq, 0, stored)
    await hub.act("note", party=shop, text="记得打座机 13900000001")
    await hub.sms("TD")
    await hub.send_queued()
    return shop


async def _places(hub: DeskHub, secret: str) -> list[str]:
    """The columns of all tables that hold the words."""
    found = []
    async with hub.db.read() as session:
        connection = await session.connection()
        tables = await connection.run_sync(lambda sync: inspect(sync).get_table_names())
        for table in sorted(set(tables) - {"blueprint_version", "alembic_version"}):
            for row in (await session.execute(text(f"SELECT * FROM {table}"))).mappings():
                found += [
                    f"{table}.{column}"
                    for column, value in row.items()
                    if secret in str(value) or (isinstance(value, bytes) and secret.encode() in value)
                ]
    return sorted(set(found))


async def test_words_names_and_addresses_are_in_no_table_afterwards(erasing: Erasing) -> None:
    shop = await _lived(erasing)
    before = {secret: await _places(erasing.hub, secret) for secret in _SECRETS}
    await erasing.erase(shop)
    assert all(before.values())
    assert {secret: await _places(erasing.hub, secret) for secret in _SECRETS} == {
        secret: [] for secret in _SECRETS
    }


async def test_words_names_and_addresses_are_on_no_page_of_the_disk(sqlite_url: str, tmp_path: Path) -> None:
    async with erasing_hub(sqlite_url, tmp_path) as erasing:
        await erasing.erase(await _lived(erasing))
        pages = _pages(Path(erasing.hub.db.path))
    assert [secret for secret in _SECRETS if secret.encode() in pages] == []


def _pages(path: Path) -> bytes:
    return path.read_bytes() + Path(f"{path}-wal").read_bytes()


async def test_figures_stay_with_the_party_that_has_no_name_any_more(light: Erasing) -> None:
    shop = await _lived(light)
    figures = await light.hub.figures(shop)
    observations = await light.hub.observations(shop)
    await light.erase(shop)
    assert figures
    assert await light.hub.figures(shop) == figures
    assert len(await light.hub.rows(Observation, col(Observation.party_id) == shop)) == len(observations)
    (party,) = await light.hub.rows(Party, col(Party.id) == shop)
    assert (party.name, party.kind, party.territory) == ("", "retailer", "429901")
    assert party.fields == {"market": "C", "form": "Z", "size": "2", "size_factor": 1.0}
    assert party.erased_at is not None


async def test_the_log_still_verifies(erasing: Erasing) -> None:
    shop = await _lived(erasing)
    await Sealer(erasing.hub.db, erasing.hub.clock).seal()
    sound = await verify(erasing.hub.db)
    report = await erasing.erase(shop)
    verdict = await verify(erasing.hub.db)
    assert (sound.problems, verdict.problems) == ((), ())
    assert verdict.chains == sound.chains
    assert verdict.erased == report.entries > 8


async def test_envelopes_stay_and_contents_are_empty(light: Erasing) -> None:
    shop = await _lived(light)
    async with light.hub.db.read() as session:
        before = await reader.after(session, 0, 1_000)
    report = await light.erase(shop)
    async with light.hub.db.read() as session:
        after = await reader.after(session, 0, 1_000)
        salts = set(
            await session.scalars(select(col(Content.salt)).where(col(Content.erased_at).is_not(None)))
        )
    assert [entry.seq for entry in after] == [*(entry.seq for entry in before), report.act_seq]
    assert all(entry.is_erased for entry in after[:-1])
    assert {(entry.text, entry.address.value, entry.own) for entry in after[:-1]} == {("", "", "")}
    assert salts == {b""}
    assert (after[-1].data, after[-1].is_erased) == (
        {"act": "erase", "by": "admin", "party": str(shop), "reason": "asked by mail"},
        False,
    )


async def test_search_finds_nothing_of_it(erasing: Erasing) -> None:
    shop = await _lived(erasing)
    await erasing.search.caught_up()
    async with erasing.hub.db.read() as session:
        before = await find(session, "老板")
    await erasing.erase(shop)
    async with erasing.hub.db.read() as session:
        after = await find(session, "老板")
    assert (len(before), len(after)) == (1, 0)


async def test_files_are_deleted(light: Erasing, tmp_path: Path) -> None:
    shop = await _lived(light)
    report = await light.erase(shop)
    (file,) = await light.hub.rows(File)
    assert (file.state, file.name, file.sha256, report.files) == ("erased", "", "", 1)
    assert [path for path in (tmp_path / "files").rglob("*") if path.is_file()] == []


async def test_a_second_run_changes_nothing(light: Erasing) -> None:
    shop = await _lived(light)
    first = await light.erase(shop)
    again = await light.erase(shop)
    assert (again.act_seq, again.entries, again.files, again.addresses) == (first.act_seq, 0, 0, 0)
    (row,) = await light.hub.rows(Erasure)
    assert row.entries == first.entries
    assert len(read_ledger(light.ledger)) == 1


async def test_a_run_that_broke_off_is_taken_up_again(erasing: Erasing) -> None:
    shop = await _lived(erasing)

    def stop(done: int, end: int) -> None:
        raise KeyError("power cut")

    with pytest.raises(KeyError):
        await erasing.erase(shop, progress=stop)
    await erasing.erase(shop)
    assert [secret for secret in _SECRETS if await _places(erasing.hub, secret)] == []
    assert len(read_ledger(erasing.ledger)) == 1


async def test_progress_reaches_its_end(light: Erasing) -> None:
    shop = await _lived(light)
    told: list[tuple[int, int]] = []
    report = await light.erase(shop, progress=lambda done, end: told.append((done, end)))
    assert told[-1] == (report.entries, report.entries)


async def test_merged_parties_are_one_person(erasing: Erasing) -> None:
    hub = erasing.hub
    shop = await hub.shop(_NAME)
    await hub.sms("我是顺发便民店", _OTHER_PHONE)
    stranger = await hub.owner(_OTHER_PHONE)
    await hub.act("merge", party=stranger, into=str(shop), reason="同一家店 13900000001")
    report = await erasing.erase(stranger)
    assert (report.party, report.addresses) == (shop, 2)
    assert await hub.rows(Endpoint) == []
    assert [secret for secret in (*_SECRETS, _OTHER_PHONE) if await _places(hub, secret)] == []


async def test_other_people_are_left_alone(light: Erasing) -> None:
    shop = await _lived(light)
    other = await light.hub.shop("别家店", _OTHER_PHONE, licence="429901100099")
    said = await light.hub.sms(REPORT, _OTHER_PHONE)
    await light.erase(shop)
    async with light.hub.db.read() as session:
        (entry,) = await reader.at(session, [said.seq])
    (party,) = await light.hub.rows(Party, col(Party.id) == other)
    (submission,) = await light.hub.submissions(other)
    assert (entry.text, entry.is_erased, party.name, party.erased_at) == (REPORT, False, "别家店", None)
    assert submission.normal
    assert len(await light.hub.rows(PartyKey)) == 1


async def test_who_writes_again_is_somebody_unknown(light: Erasing) -> None:
    shop = await _lived(light)
    await light.erase(shop)
    await light.hub.sms("你好")
    stranger = await light.hub.owner(SHOP_PHONE)
    (party,) = await light.hub.rows(Party, col(Party.id) == stranger)
    assert (stranger != shop, party.kind, party.erased_at) == (True, "unknown", None)
    assert (await light.erase(shop)).entries == 0
    assert await light.hub.owner(SHOP_PHONE) == stranger


async def test_what_waits_to_leave_is_cancelled(erasing: Erasing) -> None:
    hub = erasing.hub
    shop = await hub.shop(_NAME)
    await hub.sms(REPORT)
    report = await erasing.erase(shop)
    (item,) = await hub.rows(OutboxItem)
    assert (report.cancelled, item.state, item.payload, item.address) == (1, "cancelled", {}, "")
    await hub.send_queued()
    assert hub.provider.sent == []


async def test_what_is_just_leaving_is_waited_for(light: Erasing) -> None:
    hub = light.hub
    shop = await hub.shop(_NAME)
    await hub.sms(REPORT)
    async with hub.db.begin() as tx:
        await tx.session.execute(
            update(OutboxItem).values(state="running", claimed_until=hub.clock() + timedelta(seconds=60))
        )
    with pytest.raises(Conflict, match="in a minute"):
        await light.erase(shop)
    hub.clock.forward(timedelta(seconds=61))
    await light.erase(shop)
    (item,) = await hub.rows(OutboxItem)
    assert (item.state, item.payload) == ("unknown", {})


async def test_a_late_delivery_report_does_not_bring_the_person_back(erasing: Erasing) -> None:
    shop = await _lived(erasing)
    await erasing.erase(shop)
    await erasing.hub.status("provider-1", DeliveryState.DELIVERED)
    assert await erasing.hub.rows(Endpoint) == []
    assert await erasing.hub.rows(Party, col(Party.erased_at).is_(None)) == []
    assert await _places(erasing.hub, SHOP_PHONE) == []


async def test_a_refusal_of_marketing_outlives_the_person(light: Erasing) -> None:
    shop = await _lived(light)
    await light.erase(shop)
    async with light.hub.db.read() as session:
        assert await opted_out_before(session, light.key, _SHOP) == {"marketing"}
        assert await opted_out_before(session, light.key, Address("tel", _OTHER_PHONE)) == frozenset()
        assert await opted_out_before(session, HubKey(b"another"), _SHOP) == frozenset()
    assert {row.scheme for row in await light.hub.rows(Consent)} == {"erased"}


async def test_the_hooks_hear_of_every_entry_and_then_of_the_person(light: Erasing) -> None:
    shop = await _lived(light)
    report = await light.erase(shop)
    assert sum(len(told.seqs) for told in light.erased) == report.entries
    assert (light.erased[-1].parties, light.erased[-1].addresses) == ((shop,), (_SHOP,))


async def test_readings_keep_their_figures_and_no_words(light: Erasing) -> None:
    hub = light.hub
    shop = await hub.shop(_NAME)
    said = await hub.sms("KC 101 3;王小明 2")
    await light.erase(shop)
    row = await hub.reading(said.seq)
    (submission,) = await hub.rows(Submission)
    assert [error["token"] for error in row.document["errors"]] == [""]
    assert [item["sku"] for item in row.document["items"]] != []
    assert submission.normal == ""


async def test_the_conversation_says_nothing_and_answers_nobody(light: Erasing) -> None:
    shop = await _lived(light)
    await light.erase(shop)
    (row,) = await light.hub.rows(Conversation)
    assert (row.party_id, row.preview, row.reply_scheme, row.reply_address) == (shop, "", "", "")


async def test_a_party_that_is_not_there_cannot_be_erased(light: Erasing) -> None:
    with pytest.raises(NotFound):
        await light.erase(uuid4())
    async with light.hub.db.read() as session:
        assert await reader.head(session) == 0


async def test_nothing_is_emptied_while_a_consumer_is_behind(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.erasure._CAUGHT_UP_WITHIN", 0.0)
    async with erasing_hub(sqlite_url, tmp_path) as erasing:
        shop = await erasing.hub.shop(_NAME)
        with pytest.raises(Unavailable, match="catch up"):
            await erasing.erase(shop)
        assert len(await erasing.hub.rows(Endpoint)) == 1


# The ledger and a restore.


async def test_the_ledger_names_nobody(light: Erasing) -> None:
    await light.erase(await _lived(light))
    written = light.ledger.read_text()
    assert [secret for secret in _SECRETS if secret in written] == []
    (entry,) = read_ledger(light.ledger)
    assert entry.addresses == (address_digest(light.key, _SHOP),)
    assert entry.opt_outs == ((entry.addresses[0], "marketing"),)


async def test_after_a_restore_the_ledger_is_applied_again(erasing: Erasing) -> None:
    shop = await _lived(erasing)
    entry = LedgerEntry(
        party=uuid4(),  # the restored data know the person under another id
        addresses=(address_digest(erasing.key, _SHOP),),
        opt_outs=((address_digest(erasing.key, _SHOP), "survey"),),
        at=erasing.hub.clock(),
    )
    (report,) = await erasing.forgetter.reapply([entry])
    assert (report.party, report.entries > 8) == (shop, True)
    assert [secret for secret in _SECRETS if await _places(erasing.hub, secret)] == []
    async with erasing.hub.db.read() as session:
        assert await opted_out_before(session, erasing.key, _SHOP) == {"marketing", "survey"}
    assert await erasing.forgetter.reapply([entry]) == []


async def test_a_restored_party_is_found_by_its_id_too(light: Erasing) -> None:
    shop = await light.hub.shop(_NAME, phone=None)
    entry = LedgerEntry(party=shop, addresses=(), at=light.hub.clock())
    assert [report.party for report in await light.forgetter.reapply([entry])] == [shop]


async def test_who_wrote_again_after_the_erasure_is_not_erased_by_the_ledger(light: Erasing) -> None:
    entry = LedgerEntry(party=uuid4(), addresses=(address_digest(light.key, _SHOP),), at=light.hub.clock())
    light.hub.clock.forward(timedelta(days=1))
    await light.hub.sms("你好")
    assert await light.forgetter.reapply([entry]) == []


def test_a_line_that_a_crash_cut_off_is_no_entry_and_spoils_none(tmp_path: Path) -> None:
    path = tmp_path / "data" / "erasures.jsonl"
    first, second = (
        LedgerEntry.model_validate({"party": str(uuid4()), "addresses": [], "at": "2026-11-18T04:00:00Z"})
        for _ in range(2)
    )
    append_ledger(path, first)
    with path.open("ab") as file:
        file.write(b'{"party": "01')
    assert read_ledger(path) == [first]
    append_ledger(path, second)
    assert read_ledger(path) == [first, second]


def test_without_a_ledger_nobody_was_erased(tmp_path: Path) -> None:
    assert read_ledger(tmp_path / "none") == []
