"""Search finds every text that holds the words, newest first, and marks where."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select, update
from sqlmodel import col

from core import search
from core.database import Database
from core.errors import BadInput
from core.log import reader
from core.log.writer import LogWriter
from core.search import Hit, SearchConsumer, find, marks_of
from core.tables import Content, Posting
from core.values import ChannelKind, Direction, EntryKind
from tests.support.entries import NOON, message


async def _digest(db: Database) -> None:
    async with db.read() as session:
        batch = await reader.after(session, 0, 1_000)
    async with db.begin() as tx:
        await SearchConsumer().digest(tx, batch)


async def _seqs(db: Database, query: str, limit: int = 50, before: int | None = None) -> list[int]:
    async with db.read() as session:
        return [hit.seq for hit in await find(session, query, limit, before)]


_TEXTS = [
    "KC 中华 5 3",  # 1
    "软中华断货了, 请补货",  # 2
    "軟中華 庫 存 12",  # 3
    "请打 138-0013-8000 找王经理",  # 4
    "Part AB-1234x is good enough",  # 5
    "100% 正品? a_b \\ 'x'",  # 6
    "货中断",  # 7
    "末尾烟",  # 8
]


@pytest.mark.parametrize(
    ("query", "seqs"),
    [
        ("中华", [3, 2, 1]),
        ("中華", [3, 2, 1]),
        ("软中华", [3, 2]),
        ("库存", [3]),
        ("断货", [2]),
        ("中断", [7]),
        ("中华 断货", [2]),
        ("断货 中华", [2]),
        ("13800138000", [4]),
        ("0013-8000", [4]),
        ("138 8000", [4]),
        ("ab1234", [5]),
        ("AB-12", [5]),
        ("oo en", [5]),
        ("oo xx", []),
        ("good enough", [5]),
        ("odeno", []),
        ("烟", [8]),
        ("华", [3, 2, 1]),
        ("货", [7, 2]),
        ("5 3", [1]),
        ("5", [1]),
        ("中 货", [7, 2]),
        ("%", [6]),
        ("_", [6]),
        ("100%", [6]),
        ("a_b", [6]),
        ("'x'", [6]),
        ("\\", [6]),
        ("%%", []),
        ("没有", []),
        ("中华 没有", []),
        ("", []),
        ("   ", []),
        ("\u200b", []),
        ("🚬", []),
    ],
)
async def test_a_query_finds_the_texts_that_hold_its_words(
    db: Database, writer: LogWriter, query: str, seqs: list[int]
) -> None:
    for text in _TEXTS:
        await writer.write(message(text=text))
    await _digest(db)
    assert await _seqs(db, query) == seqs


@pytest.mark.parametrize(
    ("text", "words", "marked"),
    [
        ("軟中華 庫 存 12", ["库存"], ["庫 存"]),
        ("请打 138-0013-8000", ["1380013"], ["138-0013"]),
        ("ＫＣ中华kc", ["kc"], ["ＫＣ", "kc"]),
        ("中华中华", ["中华"], ["中华中华"]),
        ("中华牌", ["中华", "华牌"], ["中华牌"]),
        ("aaaa", ["aa"], ["aaaa"]),
        ("中华", ["中华", "没有"], []),
    ],
)
def test_marks_are_spans_of_the_text_as_it_was_sent(text: str, words: list[str], marked: list[str]) -> None:
    assert [text[start:end] for start, end in marks_of(text, words)] == marked


@given(st.text(alphabet="ab1 -中ﾊﾞ軟\u0301。", max_size=12), st.data())
def test_a_marked_text_always_holds_the_word(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    for left, right in marks_of(text, [text[start:end]] if text[start:end].strip() else []):
        assert 0 <= left < right <= len(text)


async def test_pages_follow_each_other(db: Database, writer: LogWriter) -> None:
    await writer.write_all([message(text=f"库存 {number}") for number in range(30)])
    await _digest(db)
    first = await _seqs(db, "库存", 12)
    second = await _seqs(db, "库存", 12, before=first[-1])
    third = await _seqs(db, "库存", 12, before=second[-1])
    assert first + second + third == list(range(30, 0, -1))
    assert await _seqs(db, "库", 12) == first
    assert await _seqs(db, "库", 12, before=first[-1]) == second


async def test_texts_whose_letters_stand_apart_do_not_hide_older_hits(
    db: Database, writer: LogWriter
) -> None:
    await writer.write(message(text="中华门"))
    await writer.write_all([message(text="华门中华") for _ in range(400)])
    await _digest(db)
    assert await _seqs(db, "中华门", 5) == [1]


async def test_messages_both_ways_and_notes_are_searched_and_nothing_else(
    db: Database, writer: LogWriter
) -> None:
    await writer.write(message(text="库存"))
    await writer.write(message(text="库存", direction=Direction.OUT))
    await writer.write(message(text="库存", kind=EntryKind.ACT, channel=ChannelKind.HUB))
    await writer.write(message(text="库存", kind=EntryKind.STATUS))
    await writer.write(message(text=""))
    await _digest(db)
    assert await _seqs(db, "库存") == [3, 2, 1]


async def test_a_second_digest_adds_nothing(db: Database, writer: LogWriter) -> None:
    await writer.write(message(text="库存库存"))
    await _digest(db)
    await _digest(db)
    async with db.read() as session:
        # 库存, 存库 and the last letter alone.
        assert await session.scalar(select(func.count()).select_from(Posting)) == 3
        assert await find(session, "库存") == [Hit(1, ((0, 4),))]


async def test_an_erased_text_leaves_nothing_in_the_index(db: Database, writer: LogWriter) -> None:
    await writer.write(message(text="库存五条"))
    await writer.write(message(text="库存三条"))
    await _digest(db)
    async with db.begin() as tx:
        await search.forget(tx, [1])
        await tx.session.execute(update(Content).where(col(Content.seq) == 1).values(text="", erased_at=NOON))
    assert await _seqs(db, "库存") == [2]
    async with db.read() as session:
        assert set(await session.scalars(select(col(Posting.seq)))) == {2}


async def test_a_text_erased_while_it_was_on_its_way_is_not_indexed(db: Database, writer: LogWriter) -> None:
    await writer.write(message(text="库存五条"))
    async with db.read() as session:
        batch = await reader.after(session, 0, 10)
    async with db.begin() as tx:
        await tx.session.execute(update(Content).where(col(Content.seq) == 1).values(text="", erased_at=NOON))
    async with db.begin() as tx:
        await SearchConsumer().digest(tx, batch)
    async with db.read() as session:
        assert await session.scalar(select(func.count()).select_from(Posting)) == 0


async def test_the_index_can_be_emptied_for_its_rebuild(db: Database, writer: LogWriter) -> None:
    await writer.write(message(text="库存"))
    await _digest(db)
    async with db.begin() as tx:
        await search.clear(tx)
    assert await _seqs(db, "库存") == []
    await _digest(db)
    assert await _seqs(db, "库存") == [1]


async def test_an_endless_query_is_refused(lite: Database) -> None:
    async with lite.read() as session:
        with pytest.raises(BadInput, match="too long"):
            await find(session, "x" * 101)


def test_an_endless_text_is_indexed_in_its_first_part() -> None:
    assert len(search.grams("".join(chr(0x4E00 + n % 20_000) for n in range(50_000)))) < 20_005
