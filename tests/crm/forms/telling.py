"""The grammars that the tests read with, and readings told in one short line for the tables."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from crm.blueprint.forms import FormDef, MessageVocabulary
from crm.forms.dialogue import read
from crm.forms.fixture import Fixture, context_of, load_fixture
from crm.forms.readings import Reading

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
BEVERAGE = ROOT / "tests" / "support" / "blueprints" / "beverage" / "info"


def blueprint_info(folder: Path) -> tuple[list[FormDef], MessageVocabulary]:
    forms: list[FormDef] = []
    vocabularies: list[MessageVocabulary] = []
    for path in sorted(folder.glob("*.yaml")):
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        if "form" in document:
            forms.append(FormDef.model_validate(document))
        elif "messages" in document:
            vocabularies.append(MessageVocabulary.model_validate(document))
    return forms, vocabularies[0]


@cache
def tobacco() -> Fixture:
    data = json.loads((HERE / "fixtures" / "sms_fixture.json").read_text(encoding="utf-8"))
    return load_fixture(data, *blueprint_info(ROOT / "blueprints" / "tobacco" / "info"))


@cache
def beverage() -> Fixture:
    data = json.loads((HERE / "beverage" / "fixture.json").read_text(encoding="utf-8"))
    return load_fixture(data, *blueprint_info(BEVERAGE))


def read_as(fixture: Fixture, text: str, told: dict[str, Any] | None = None) -> Reading:
    return read(text, context_of(fixture, told or {}), fixture.grammar)


def brief(reading: Reading) -> str:
    """`intent status reply`, then +stored, ?held, !refused, @day, #receipt, ~case and >effect."""
    said = reading.as_expectation()
    parts = [f"{said['intent']} {said['status']} {said['reply']}"]
    parts += [f"+{_item(each)}" for each in said["items"]]
    parts += [f"?{_item(each)}" for each in said.get("pending", [])]
    parts += [f"!{_error(each)}" for each in said["errors"]]
    parts += [f"@{said['date']}"] if "date" in said else []
    parts += [f"#{said['receipt']}"] if "receipt" in said else []
    parts += ["~" + " ".join(map(str, said["case"].values()))] if "case" in said else []
    parts += [f">{each}" for each in said.get("effects", [])]
    return " | ".join(parts)


def _item(said: dict[str, Any]) -> str:
    return " ".join(f"{key}={value}" if key != "sku" else value for key, value in said.items())


def _error(said: dict[str, Any]) -> str:
    return " ".join(",".join(value) if isinstance(value, list) else value for value in said.values())
