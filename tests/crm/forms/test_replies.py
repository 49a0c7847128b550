"""Answers: the blueprint's texts, one part long where that is possible, and never more than two."""

from __future__ import annotations

from typing import Any

import pytest

from crm.forms.readings import Intent, Reading, Reply, Status
from crm.forms.replies import ONE_PART, TWO_PARTS, render_reply, ucs2_units
from tests.crm.forms.telling import read_as, tobacco


def answer(text: str, known: dict[str, Any] | None = None) -> str | None:
    return render_reply(read_as(tobacco(), text, known), "8K3Q", tobacco().grammar)


@pytest.mark.parametrize(
    ("text", "known", "expected"),
    [
        ("KC 101 3;102 12条5包", {}, "【楚岚服务】已收#8K3Q 楚岚(硬)3条；楚岚(软)12条5盒，共2项。错了回GZ"),
        ("JG 102 16.5", {}, "【楚岚服务】已收#8K3Q 楚岚(软)16.5元/盒，共1项。错了回GZ"),
        ("KC 101 3 999 5", {}, "【楚岚服务】已收#8K3Q 1项。未收：没有999，回BZ看编码。只补发这些即可"),
        ("KC 101 88", {}, "【楚岚服务】楚岚(硬)88条，对吗？是回Y，否回N"),
        ("KC 101 3;102 88", {}, "【楚岚服务】已收#8K3Q 1项。楚岚(软)88条，对吗？是回Y，否回N"),
        ("KC 102 88;999 1", {}, "【楚岚服务】楚岚(软)88条，对吗？是回Y，否回N。未收：没有999，回BZ看编码"),
        ("KC 楚岚 3", {}, "【楚岚服务】楚岚有101硬、102软、103细支…请报编码"),
        ("KC 9月1日 101 3", {}, "【楚岚服务】9月1日超过7天"),
        ("TS 有霉味", {}, "【楚岚服务】投诉已受理#8K3Q，我们会尽快答复"),
        ("今天天气不错", {}, "【楚岚服务】未看懂，已转人工。回BZ看格式"),
        ("N", {"pending": [{"sku": "101", "stock_packs": 880}]}, "【楚岚服务】已取消，未保存。请重新报送"),
        ("KC 101 3", {"duplicate_of": "7A2B"}, "【楚岚服务】已收#8K3Q，无需重发。错了回GZ"),
        ("同上", {"last_report": "8K3Q"}, "【楚岚服务】与上次相同，对吗？是回Y，否回N"),
    ],
)
def test_an_answer_says_what_was_understood(text: str, known: dict[str, Any], expected: str) -> None:
    assert answer(text, known) == expected


def test_thanks_are_not_answered() -> None:
    assert answer("谢谢") is None


def test_a_repeat_names_the_receipt_of_the_first() -> None:
    reading = read_as(tobacco(), "KC 101 3", {"duplicate_of": "7A2B"})

    assert render_reply(reading, None, tobacco().grammar) == "【楚岚服务】已收#7A2B，无需重发。错了回GZ"


def test_a_long_list_is_shortened_to_one_part() -> None:
    said = answer("KC 101 3;102 5;103 12条5包;104 4;106 2;201 3;203 5")

    shown = "楚岚(硬)3条；楚岚(软)5条；楚岚(细支)12条5盒；江陵月(硬)4条；白云渡(软)2条…"
    assert said == f"【楚岚服务】已收#8K3Q {shown}，共7项。错了回GZ"
    assert ucs2_units(said) <= ONE_PART


def test_what_is_asked_is_named_whole_even_in_two_parts() -> None:
    said = answer("KC 101 88;102 88;103 88;104 88;106 88;201 88;203 88") or ""

    assert [
        name
        for name in ("楚岚(硬)", "楚岚(软)", "细支", "江陵月", "白云渡", "南屏", "赤谷")
        if name not in said
    ] == []
    assert ONE_PART < ucs2_units(said) <= TWO_PARTS


def test_a_token_that_looks_like_a_placeholder_stays_a_token() -> None:
    assert answer("KC ABC{RECEIPT}D 3") == "【楚岚服务】没有ABCRECEIPTD，回BZ看编码"


def test_a_long_token_is_cut() -> None:
    said = answer("KC " + "甲" * 300 + " 3") or ""

    assert "甲" * 15 + "…" in said
    assert ucs2_units(said) <= ONE_PART


@pytest.mark.parametrize("reply", [reply for reply in Reply if reply is not Reply.NONE])
@pytest.mark.parametrize("intent", list(Intent))
def test_every_reply_has_a_text_for_every_intent(intent: Intent, reply: Reply) -> None:
    reading = Reading(intent=intent, status=Status.INFO, reply=reply)

    assert render_reply(reading, "8K3Q", tobacco().grammar) is not None


@pytest.mark.parametrize(("text", "units"), [("KC", 2), ("库存", 2), ("👍", 2), ("\ud800", 1)])
def test_units_are_counted_as_the_network_does(text: str, units: int) -> None:
    assert ucs2_units(text) == units
