"""The parts the reader is made of: numerals, the matching copy, the catalogue, and what compiling refuses."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from crm.blueprint.forms import ERROR_PLACEHOLDERS, REPLY_PLACEHOLDERS, FormDef, MessageVocabulary
from crm.blueprint.reading import check_folder
from crm.forms.catalogue import Catalogue, Product
from crm.forms.dialogue import read
from crm.forms.grammar import GrammarConflict, compile_grammar
from crm.forms.numerals import number_at
from crm.forms.published import grammar_of
from crm.forms.readings import Context
from crm.forms.text import matching_copy
from tests.crm.forms.telling import BEVERAGE, ROOT, blueprint_info

INFO = ROOT / "blueprints" / "tobacco" / "info"


def document(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((INFO / name).read_text(encoding="utf-8"))
    return loaded


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("十", 10),
        ("二十五", 25),
        ("一百零五", 105),
        ("一百五", 150),
        ("三千二", 3200),
        ("一万五", 15000),
        ("一万零五", 10005),
        ("一千零五十", 1050),
        ("廿三", 23),
        ("卅", 30),
        ("二〇〇", 200),
        ("壹佰贰拾叁", 123),
        ("两百", 200),
        ("3百", 300),
        ("2.50", Fraction(5, 2)),
        ("三点一四", Fraction(157, 50)),
        ("16点5", Fraction(33, 2)),
    ],
)
def test_numerals_mean_what_people_mean(text: str, value: Fraction) -> None:
    number = number_at(text, 0)

    assert number is not None
    assert (number.value, number.end) == (value, len(text))


@pytest.mark.parametrize("text", ["十十", "一二十", "十百", "1" * 17, "一" * 31])
def test_impossible_numerals_are_no_number(text: str) -> None:
    number = number_at(text, 0)

    assert number is not None
    assert number.value is None


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("  kc 101 3 ", "KC 101 3"),
        ("庫存　楚嵐（硬）", "库存 楚岚(硬)"),
        ("a\u200bb\ufe0f", "AB"),
        ("１２３", "123"),
        ("\x00x\x00", "X"),
        ("\ud800x", "X"),
        ("½", "1⁄2"),
        ("a\r\nb", "A \nB"),
    ],
)
def test_the_matching_copy_has_one_width_script_and_case(raw: str, text: str) -> None:
    assert matching_copy(raw).text == text


def test_the_matching_copy_leads_back_to_the_raw_characters() -> None:
    raw = " \u200bＫＣ 楚嵐½"
    copy = matching_copy(raw)

    assert copy.span(copy.text.index("楚"), copy.text.index("岚") + 1) == (
        raw.index("楚"),
        raw.index("嵐") + 1,
    )
    assert copy.span(len(copy.text) - 3, len(copy.text)) == (raw.index("½"), raw.index("½") + 1)


def catalogue() -> Catalogue:
    return Catalogue(
        [
            Product(sku="11", name="青山(红)", aliases=("青山红", "红"), brand="青山"),
            Product(sku="12", name="青山(蓝)", aliases=("青山蓝", "红"), brand="青山"),
            Product(sku="13", name="绿水", aliases=("绿水", "555"), brand="绿水"),
        ]
    )


def test_a_name_of_two_products_asks_which() -> None:
    assert catalogue().match("红", 0) is None
    assert catalogue().guess("红", 75, 10).options == ("11", "12")


def test_a_brand_of_several_products_asks_which() -> None:
    assert catalogue().guess("青山", 75, 10).options == ("11", "12")


def test_a_name_in_digits_is_a_code() -> None:
    assert catalogue().codes["555"] == "13"


@pytest.mark.parametrize(
    ("word", "sku"), [("青珊红", "11"), ("lvshui", None), ("LVSHUI", "13"), ("青山", None)]
)
def test_a_sound_must_belong_to_one_product(word: str, sku: str | None) -> None:
    assert catalogue().by_sound(word) == sku


def test_a_word_that_two_commands_claim_is_refused_with_both_names() -> None:
    said = document("messages.yaml")
    said["commands"][0]["words"].append("KC")
    forms, _ = blueprint_info(INFO)

    with pytest.raises(
        GrammarConflict, match=r"KC means both the command correct and weekly_terminal\.stock"
    ):
        compile_grammar(forms, MessageVocabulary.model_validate(said), Catalogue([]))


def test_a_command_outside_the_intents_is_refused() -> None:
    said = document("messages.yaml")
    said["commands"].append({"key": "lottery", "words": ["抽奖"], "act": "case", "case": "consult"})
    forms, _ = blueprint_info(INFO)

    with pytest.raises(GrammarConflict, match="lottery"):
        compile_grammar(forms, MessageVocabulary.model_validate(said), Catalogue([]))


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        (("lines", "fields", 0, "unit"), "斤", "斤"),
        (("lines", "fields", 0, "store_as"), "条", "must count 1"),
        (("lines", "fields", 0, "ambiguous_units"), {"条": "件"}, "both a unit and an ambiguous"),
        (("lines", "fields", 1, "unit_doubt"), "件", "件"),
        (("lines", "fields", 1, "band"), {"of": "guide", "from": 2, "to": 1}, "below"),
        (("lines", "fields", 1, "key"), "stock", "stands twice"),
        (("lines", "at_least_one"), ["weight"], "weight"),
        (("channels", "sms", "positional"), ["weight"], "weight"),
        (("surprise",), 1, "surprise"),
    ],
)
def test_a_form_that_contradicts_itself_is_refused(
    path: tuple[str | int, ...], value: object, reason: str
) -> None:
    said = document("weekly_terminal.yaml")
    place: Any = said
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value

    with pytest.raises(ValidationError, match=reason):
        FormDef.model_validate(said)


@pytest.mark.parametrize("folder", [INFO, BEVERAGE], ids=["tobacco", "beverage"])
def test_texts_name_only_what_can_be_filled_in(folder: Path) -> None:
    _, vocabulary = blueprint_info(folder)
    known = {f"{{{name}}}" for name in REPLY_PLACEHOLDERS | ERROR_PLACEHOLDERS}
    texts = [text for _, text in vocabulary.texts()]

    assert [text for text in texts if "{" in _without(text, known)] == []


def _without(text: str, known: set[str]) -> str:
    for name in known:
        text = text.replace(name, "")
    return text


def test_a_published_blueprint_reads_messages() -> None:
    checked = check_folder(ROOT / "blueprints" / "tobacco")
    assert checked.blueprint is not None, checked.problems
    grammar = grammar_of(checked.blueprint)

    reading = read("KC 101 3;JG 101 100", Context(party="R-1"), grammar)

    assert [item.as_dict() for item in reading.pending] == [
        {"sku": "101", "stock_packs": 30, "price_fen": 1000, "warn": "W_PRICE_UNIT"}
    ]
