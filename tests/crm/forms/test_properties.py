"""What holds for every message: nothing raises, the way of writing does not matter, figures point at their words."""

from __future__ import annotations

import json
import random
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm.forms.readings import Reading
from crm.forms.replies import TWO_PARTS, render_reply, ucs2_units
from tests.crm.forms.telling import read_as, tobacco

NAMES = {
    "101": [
        "101",
        "１０１",
        "1O1",
        "楚岚硬",
        "硬楚岚",
        "楚嵐（硬）",
        "楚 岚 硬",
        "cly",
        "ＣＬＹ",
        "6900000001011",
    ],
    "102": ["102", "lO2", "软岚", "軟楚嵐", "楚岚(软)", "Clr"],
    "104": ["104", "江陵月", "江陵月（硬）", "江 陵 月", "jly"],
    "203": ["203", "2O3", "赤谷", "赤谷【硬】", "cgy"],
}
AMOUNTS = {
    30: [
        "3",
        "３",
        "三",
        "叁",
        "參",
        "3条",
        "３條",
        "三条",
        "30包",
        "3.0",
        "库存3",
        "剩三条",
        "2条10盒",
        "3 条",
    ],
    25: ["2.5", "二点五", "2条半", "兩條半", "2条5包", "25盒", "廿五包", "2点5"],
    0: ["0", "零", "〇", "０条", "断货", "斷貨", "没有了", "0盒"],
    120: ["12", "十二", "拾贰", "壹拾贰条", "一十二條", "120包", "12条"],
}
GAPS = [" ", "　", ",", "，", "、", ":", "：", "=", "*", "#", "+", "_", "~", "…", "(", "/", "  ", " , "]
ENDS = [";", "；", "\n", "\r\n", "。", "|", "!", "！", ";\u200b", " ; "]
COMMANDS = ["KC", "kc", "ＫＣ", "Kc", "库存", "庫存", "K\u200bC"]
PIECES = [
    *(name for names in NAMES.values() for name in names),
    *(amount for amounts in AMOUNTS.values() for amount in amounts),
    *GAPS,
    *ENDS,
    *COMMANDS,
    *[
        "JG",
        "DH",
        "GZ",
        "价格",
        "零售价",
        "每条",
        "16.5元",
        "158元一条",
        "十六块五",
        "¥10",
        "-",
        "-3",
        "空",
        "半",
    ],
    *[
        "件",
        "箱",
        "3支",
        "999",
        "黄鹤楼",
        "楚岚",
        "楚蓝硬",
        "Y",
        "N",
        "谢谢",
        "昨天",
        "9月20日",
        "9-20",
        "👍",
        "\u0000",
    ],
]
SOUP = st.lists(st.sampled_from(PIECES), max_size=30).map("".join)
ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=200)


@st.composite
def written(draw: st.DrawFn, sku: str, amount: int) -> str:
    name, said = draw(st.sampled_from(NAMES[sku])), draw(st.sampled_from(AMOUNTS[amount]))
    return name + draw(st.sampled_from(GAPS)) + said


@st.composite
def reports(draw: st.DrawFn) -> tuple[str, list[dict[str, object]]]:
    """A message in any mix of separators, widths and scripts, and what it says."""
    skus = draw(st.lists(st.sampled_from(sorted(NAMES)), min_size=1, unique=True))
    amounts = [draw(st.sampled_from(sorted(AMOUNTS))) for _ in skus]
    lines = [draw(written(sku, amount)) for sku, amount in zip(skus, amounts, strict=True)]
    ends = [draw(st.sampled_from(ENDS)) for _ in lines]
    body = "".join(line + end for line, end in zip(lines, ends, strict=True))
    text = draw(st.sampled_from(COMMANDS)) + draw(st.sampled_from(GAPS)) + body
    said = [{"sku": sku, "stock_packs": amount} for sku, amount in zip(skus, amounts, strict=True)]
    return text, said


@given(reports())
def test_separators_widths_and_scripts_do_not_change_the_result(
    report: tuple[str, list[dict[str, object]]],
) -> None:
    text, said = report

    assert read_as(tobacco(), text).as_expectation() == {
        "intent": "report",
        "status": "accepted",
        "items": said,
        "errors": [],
        "reply": "R_OK",
    }


@given(
    reports(), st.lists(st.sampled_from(["999 5", "黄鹤楼 3", "楚岚 2", "3条", "106", "106 -3", "106 0.33"]))
)
def test_good_lines_are_stored_whatever_stands_beside_them(
    report: tuple[str, list[dict[str, object]]], bad: list[str]
) -> None:
    text, said = report
    noisy = text.replace("\r", "") + ";".join(bad)

    stored = read_as(tobacco(), noisy).as_expectation()["items"]

    assert [item for item in stored if item["sku"] != "106"] == said


@given(st.one_of(ANY_TEXT, SOUP))
def test_any_text_is_read_and_answered(text: str) -> None:
    reading = read_as(tobacco(), text)
    answer = render_reply(reading, "8K3Q", tobacco().grammar) or "【楚岚服务】"

    json.dumps(reading.as_expectation())
    assert answer.startswith("【楚岚服务】")
    assert answer.isprintable()
    assert ucs2_units(answer) <= TWO_PARTS


@given(SOUP)
def test_reading_twice_gives_the_same(text: str) -> None:
    assert read_as(tobacco(), text) == read_as(tobacco(), text)


@given(SOUP)
def test_a_stored_count_is_never_more_than_its_characters_say(text: str) -> None:
    """Each count points at words that, read alone, give the same count; so no total can exceed what was said."""
    items = read_as(tobacco(), text).items
    counts = [each for item in items for each in item.values if each.name == "stock_packs" and each.value]

    said = [_count_of(text[each.span[0] : each.span[1]]) for each in counts]

    assert said == [each.value for each in counts]


def _count_of(words: str) -> object:
    alone = read_as(tobacco(), f"KC 101 {words}")
    return next(item.value("stock_packs") for item in (*alone.items, *alone.pending))


@given(SOUP)
def test_no_two_figures_come_from_the_same_characters(text: str) -> None:
    reading = read_as(tobacco(), text)
    spans = [
        each.span
        for item in (*reading.items, *reading.pending)
        for each in item.values
        if each.span != item.product_span
    ]

    assert _disjoint(sorted(spans))


def _disjoint(spans: list[tuple[int, int]]) -> bool:
    return all(before[1] <= after[0] for before, after in pairwise(spans))


def _spans_of(reading: Reading) -> list[tuple[int, int]]:
    items = (*reading.items, *reading.pending)
    return [each.span for item in items for each in item.values] + [error.span for error in reading.errors]


@given(SOUP)
def test_every_place_lies_inside_the_message(text: str) -> None:
    assert all(0 <= start <= end <= len(text) for start, end in _spans_of(read_as(tobacco(), text)))


HOSTILE = {
    "digits": "1" * 20_000,
    "numerals": "七" * 6_800,
    "half words": "七匹" * 3_400,
    "codes": "101 " * 5_000,
    "item ends": ";" * 20_000,
    "signs": " -" * 10_000,
    "dots": "1." * 10_000,
    "amounts": "1元" * 7_000,
    "counts": "1条2盒" * 3_000,
    "brands": "楚" * 6_800,
    "open names": ("楚" + " " * 100) * 100,
    "months": "9月" * 6_000,
    "lookalikes": "OLI" * 7_000,
    "surrogates": "\x00\ufffe\ud800" * 5_000,
    "unknown words": " ".join(
        random.Random(7).choices([chr(code) for code in range(0x4E00, 0x6E00)], k=6_800)
    ),
}


@pytest.mark.parametrize("command", ["", "KC ", "DH ", "TS ", "Y "])
@pytest.mark.parametrize("kind", sorted(HOSTILE))
def test_a_long_hostile_text_takes_no_long_time(kind: str, command: str) -> None:
    """Real figures are below 0.1 s; the limit only tells linear from worse, on any machine."""
    before = time.process_time()

    read_as(tobacco(), command + HOSTILE[kind])

    assert time.process_time() - before < 2
