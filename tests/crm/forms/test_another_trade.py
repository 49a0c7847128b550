"""Another trade's form, words, units and thresholds are read with the same code and its own YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from crm.forms.replies import render_reply
from tests.crm.forms.telling import ROOT, beverage, brief, read_as

HELD = {"pending": [{"sku": "5001", "bottles": 600}]}


@pytest.mark.parametrize(
    ("text", "known", "expected"),
    [
        ("PD 5001 3", {}, "report accepted R_OK | +5001 bottles=3"),
        ("盘点 小清泉3箱5瓶", {}, "report accepted R_OK | +5001 bottles=77"),
        ("PD 5001 3提", {}, "report accepted R_OK | +5001 bottles=18"),
        ("PD 5001 21箱", {}, "report pending R_CONFIRM | ?5001 bottles=504 warn=W_RANGE"),
        ("PD 5001 一托", {}, "report pending R_CONFIRM | ?5001 bottles=24 warn=W_UNIT"),
        ("PD 5001 3条", {}, "report rejected R_ERROR | !E_UNIT 3条"),
        ("5001 30 4 2", {}, "report accepted R_OK | +5001 bottles=30 shelf_price_cents=200 facings=4"),
        ("5001 30 略 2", {}, "report accepted R_OK | +5001 bottles=30 shelf_price_cents=200"),
        ("CL 5002 6", {}, "report accepted R_OK | +5002 facings=6"),
        ("CL 5002 6 5003 4", {}, "report accepted R_OK | +5002 facings=6 | +5003 facings=4"),
        ("CL 5002 6排 12瓶", {}, "report accepted R_OK | +5002 bottles=12 facings=6"),
        ("CL 5002 21", {}, "report pending R_CONFIRM | ?5002 facings=21 warn=W_RANGE"),
        ("5001 标价48元", {}, "report pending R_CONFIRM | ?5001 shelf_price_cents=200 warn=W_PRICE_UNIT"),
        ("5001 标价48元/箱", {}, "report accepted R_OK | +5001 shelf_price_cents=200"),
        ("5001 ¥2.6", {}, "report pending R_CONFIRM | ?5001 shelf_price_cents=260 warn=W_RANGE"),
        ("MK 5001 5003", {}, "report accepted R_OK | +5001 bottles=0 | +5003 bottles=0"),
        ("PD 绿茶缺，大清泉3", {}, "report accepted R_OK | +5003 bottles=0 | +5002 bottles=3"),
        ("5001 30 冰柜", {}, "report accepted R_OK | +5001 bottles=30 spot=cooler"),
        ("5001 30 备注 门口 新柜", {}, "report accepted R_OK | +5001 bottles=30 note=门口 新柜"),
        ("PD 昨儿 5001 3", {}, "report accepted R_OK | +5001 bottles=3 | @2026-06-30"),
        ("PD 6-27 5001 3", {}, "report rejected R_ERROR | !E_DATE"),
        ("PD 清泉 3", {}, "report rejected R_ERROR | !E_PRODUCT_AMBIG 5001,5002"),
        ("PD 5009 3", {}, "report rejected R_ERROR | !E_PRODUCT 5009"),
        ("PD 瓶装绿茶3瓶元气绿茶3", {}, "report accepted R_OK | +5003 bottles=3"),
        ("KC 5001 3", {}, "report partial R_PARTIAL | +5001 bottles=3 | !E_PRODUCT KC"),
        ("可以", HELD, "confirm accepted R_OK | +5001 bottles=600"),
        ("1", HELD, "confirm accepted R_OK | +5001 bottles=600"),
        ("2", HELD, "confirm cancelled R_DROPPED"),
        ("好嘞", {}, "thanks ignored none"),
        (
            "改 5001 5",
            {"last_report": {"receipt": "A1", "hours_ago": 13}},
            "correct rejected R_ERROR | !E_NOREPORT",
        ),
        (
            "改 5001 5",
            {"last_report": {"receipt": "A1", "hours_ago": 11}},
            "correct accepted R_OK | +5001 bottles=5",
        ),
        ("撤", {"last_report": "A1"}, "cancel cancelled R_OK | >withdraw:A1"),
        ("报修 门关不上", {}, "complaint accepted R_OK | ~repair S-1"),
        ("门店880001", {"sender": "+1"}, "bind pending R_CONFIRM | >verify:S-2"),
        ("店里没人接电话怎么办", {}, "unknown rejected R_HELP | !E_UNKNOWN | ~question S-1"),
    ],
)
def test_a_beverage_makers_message_is_read_by_its_own_blueprint(
    text: str, known: dict[str, Any], expected: str
) -> None:
    assert brief(read_as(beverage(), text, known)) == expected


def test_answers_use_the_other_trades_units_and_texts() -> None:
    reading = read_as(beverage(), "5001 3箱5瓶 ¥2 4排")

    assert render_reply(reading, "A1", beverage().grammar) == "【清泉】收到#A1：清泉(550)77瓶 2元/瓶 排面4"


@pytest.mark.parametrize("path", sorted((ROOT / "crm" / "forms").glob("*.py")), ids=lambda path: path.name)
def test_no_python_of_the_reader_names_a_trade(path: Path) -> None:
    code = path.read_text(encoding="utf-8")

    assert [
        word for word in (*"条盒箱烟瓶", " KC", "库存", "stock", "retailer", "bottle") if word in code
    ] == []
