"""A blueprint's hash and its text: the same content is the same, however it was written down."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from crm.blueprint.model import Blueprint
from crm.blueprint.store import dump, load
from tests.crm.blueprint.conftest import TOBACCO, Folder


@pytest.mark.parametrize("name", ["beverage", "tobacco"])
def test_what_is_dumped_loads_as_the_same(name: str, request: pytest.FixtureRequest) -> None:
    blueprint: Blueprint = request.getfixturevalue(name)
    again = load(dump(blueprint))
    assert again == blueprint
    assert again.hash == blueprint.hash
    assert dump(again) == dump(blueprint)


def test_the_text_is_canonical_json(beverage: Blueprint) -> None:
    text = dump(beverage)
    assert text == json.dumps(json.loads(text), ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def turned(value: Any) -> Any:
    """The same data with every mapping written in the opposite order."""
    if isinstance(value, dict):
        return {key: turned(value[key]) for key in reversed(value)}
    return [turned(item) for item in value] if isinstance(value, list) else value


def test_the_hash_does_not_depend_on_the_order_of_keys(beverage: Blueprint) -> None:
    document = turned(json.loads(dump(beverage)))
    assert Blueprint.model_validate(document).hash == beverage.hash


def test_the_hash_does_not_depend_on_files_or_on_the_order_of_entries(folder: Folder) -> None:
    before = folder.blueprint()
    moved = "  rep:       {title: 业务员}\n"
    folder.edit("org/org.yaml", moved, "")
    folder.write("org/a_first.yaml", "roles:\n" + moved)
    after = folder.blueprint()
    assert after == before
    assert after.hash == before.hash


def test_any_change_of_content_changes_the_hash(folder: Folder) -> None:
    before = folder.blueprint().hash
    folder.edit("process/process.yaml", "first_answer: PT4H", "first_answer: PT5H")
    assert folder.blueprint().hash != before


def test_a_version_number_is_no_content(beverage: Blueprint) -> None:
    numbered = beverage.numbered(7)
    assert numbered.version == 7
    assert numbered.hash == beverage.hash
    assert load(dump(numbered)).version == 7


def test_the_order_of_the_menu_is_content(folder: Folder) -> None:
    before = folder.blueprint()
    folder.edit(
        "function/function.yaml",
        "functions:\n",
        "functions:\n  first: {title: 首页, items: [{id: a, title: 甲}]}\n",
    )
    assert [function.id for function in folder.blueprint().functions] == ["first", "desk"]
    assert before.functions[0].id == "desk"


def test_a_text_that_was_tampered_with_does_not_load(beverage: Blueprint) -> None:
    document = json.loads(dump(beverage))
    document["permissions"]["default"] = "allow"
    with pytest.raises(ValidationError):
        load(json.dumps(document))


def test_nothing_of_a_blueprint_can_be_changed(beverage: Blueprint) -> None:
    with pytest.raises(ValidationError):
        beverage.package.title = beverage.package.company  # type: ignore[misc]  # the very thing refused


def test_what_is_not_there_is_named(beverage: Blueprint) -> None:
    with pytest.raises(KeyError, match="no queue night"):
        beverage.queue("night")


def test_the_tobacco_package_answers_its_look_ups(tobacco: Blueprint) -> None:
    assert TOBACCO.is_dir()
    assert tobacco.product("101").brand == "chulan"
    assert tobacco.queue_for_case_kind("complaint").id == "complaint"
    queue = tobacco.queue_for_intent("unknown")
    assert queue is not None
    assert queue.id == "consult"
    assert tobacco.queue_for_intent("thanks") is None
    assert tobacco.customer_kind("retailer").field("licence").unique
    assert tobacco.form("weekly_terminal").about == "retailer"
    assert tobacco.permissions.may("agent", "case.take")
    assert not tobacco.permissions.may("retailer", "case.take")
    assert not any(
        tobacco.permissions.may(role.id, "model.publish") and tobacco.permissions.may(role.id, "model.submit")
        for role in tobacco.roles
    )
