"""Our lines over HTTP: added and changed by administrators, tried out, switched off; no secret is ever shown."""

import json
from pathlib import Path
from typing import Any

import pytest

from core.tables import AccountRow
from tests.workers.web.conftest import Office

SID = "AC" + "0123456789abcdef" * 2
SECRET = "hunter2-hunter2-hunter2-hunter2"


@pytest.fixture
def secret(tmp_path: Path) -> str:
    """A reference to a file that holds the secret."""
    path = tmp_path / "token.secret"
    path.write_text(SECRET)
    return f"file:{path}"


async def added(office: Office, secret: str, **more: Any) -> tuple[int, Any]:
    body = {
        "slug": "sms-main",
        "provider": "sms.twilio",
        "title": "主号码",
        "config": {"account_sid": SID, "sender": "+8613900000000", "rate": 5},
        "secrets": {"auth_token": secret},
    }
    return await office.post("accounts", **{**body, **more})


async def test_a_line_is_added_from_the_catalog_and_works_at_once(office: Office, secret: str) -> None:
    status, told = await added(office, secret)
    assert status == 200, told
    assert told["account"]["hooks"] == [
        f"{office.hub.settings.origin}/hooks/sms-main/{action}" for action in ("message", "status")
    ]
    assert (told["account"]["problems"], told["account"]["secrets"]) == ([], {"auth_token": secret})
    assert office.hub.accounts.slugs() == ["sms-main"]
    assert (await office.acts())[0]["facts"] == [
        {"label": "Line", "value": "sms-main"},
        {"label": "Provider", "value": "sms.twilio"},
        {"label": "Title", "value": "主号码"},
    ]


async def test_the_providers_fields_come_from_their_typed_configuration(office: Office) -> None:
    providers = {each["name"]: each for each in (await office.get("accounts"))["providers"]}
    twilio = {field["name"]: field for field in providers["sms.twilio"]["fields"]}
    assert (twilio["account_sid"]["type"], twilio["account_sid"]["required"]) == ("text", True)
    assert (twilio["status_callbacks"]["type"], twilio["status_callbacks"]["default"]) == ("flag", True)
    assert (twilio["rate"]["type"], twilio["window"]["type"]) == ("number", "integer")
    gateway = {field["name"]: field["type"] for field in providers["sms.gateway"]["fields"]}
    assert gateway["receiving"] == "json"
    secrets = {each["name"]: each for each in providers["sms.twilio"]["secrets"]}
    assert secrets["auth_token"] == {"name": "auth_token", "label": "Auth token", "required": True}
    assert not secrets["api_key_secret"]["required"]
    assert providers["sms.simulator"]["demo"] is True


async def test_every_problem_is_told_beside_its_field(office: Office) -> None:
    status, told = await added(office, "env:NOT_SET_ANYWHERE", config={"sender": "+86139", "colour": "red"})
    problems = {each["field"]: each["problem"] for each in told["error"]["detail"]["problems"]}
    assert status == 400
    assert problems["account_sid"] == "Needed."
    assert problems["colour"] == "This provider has no such value."
    assert "NOT_SET_ANYWHERE is not set" in problems["secrets.auth_token"]
    assert (await office.get("accounts"))["accounts"] == []


@pytest.mark.parametrize("slug", ["sms-main", "hub", "No Spaces"])
async def test_a_name_that_cannot_be_had_is_refused(office: Office, secret: str, slug: str) -> None:
    await added(office, secret)
    assert (await added(office, secret, slug=slug))[0] in (400, 409)


async def test_a_secret_that_is_written_out_is_neither_kept_nor_repeated(office: Office, secret: str) -> None:
    status, told = await added(office, SECRET)
    assert status == 400
    assert SECRET not in json.dumps(told)
    await added(office, secret)
    await office.post("accounts/sms-main/disable")
    body = {"title": "", "config": {}, "secrets": {"auth_token": SECRET}}
    status, told = await office.post("accounts/sms-main", **body)
    assert (status, told["error"]["detail"]["problems"][0]["field"]) == (400, "secrets.auth_token")
    async with office.hub.db.read() as session:
        row = await session.get(AccountRow, "sms-main")
    assert row is not None
    assert row.secrets == {"auth_token": secret}


async def test_a_secret_of_an_older_hub_that_stands_written_out_is_not_shown(office: Office) -> None:
    async with office.hub.db.begin() as tx:
        tx.session.add(
            AccountRow(
                slug="old",
                provider="sms.twilio",
                title="Old",
                secrets={"auth_token": SECRET},
                is_enabled=False,
            )
        )
    shown = await office.get("accounts")
    assert shown["accounts"][0]["secrets"] == {"auth_token": ""}
    assert SECRET not in json.dumps(shown)


async def test_no_answer_about_a_line_holds_its_secret(office: Office, secret: str) -> None:
    said = [
        await added(office, secret),
        await office.post("accounts/sms-main/test"),
        await office.get("accounts"),
        await office.acts(),
        await office.get("system"),
    ]
    assert SECRET not in json.dumps(said)


async def test_a_change_names_what_changed_and_not_to_what(office: Office, secret: str) -> None:
    await added(office, secret)
    config = {"account_sid": SID, "sender": "+8613911111111"}
    body = {"title": "主号码", "config": config, "secrets": {"auth_token": secret}}
    assert (await office.post("accounts/sms-main", **body))[0] == 200
    act = (await office.acts())[0]
    assert (act["name"], act["object"]["name"]) == ("account.changed", "主号码")
    assert {"label": "Changed", "value": "rate, sender"} in act["facts"]


async def test_a_test_says_what_is_wrong_with_a_secret_that_went_away(
    office: Office, secret: str, tmp_path: Path
) -> None:
    await added(office, secret)
    assert (await office.post("accounts/sms-main/test"))[0] == 200
    (tmp_path / "token.secret").unlink()
    status, told = await office.post("accounts/sms-main/test")
    assert (status, told["error"]["detail"]["problems"][0]["field"]) == (400, "secrets.auth_token")


async def test_a_line_is_switched_off_and_on(office: Office, secret: str) -> None:
    await added(office, secret)
    _, told = await office.post("accounts/sms-main/disable")
    assert told["account"]["enabled"] is False
    assert (await office.post("accounts/sms-main/test"))[0] == 409
    _, told = await office.post("accounts/sms-main/enable")
    assert (told["account"]["enabled"], told["account"]["problems"]) == (True, [])
    assert [act["name"] for act in await office.acts()] == [
        "account.enabled",
        "account.disabled",
        "account.added",
    ]


async def test_a_line_that_is_not_there_is_not_found(office: Office) -> None:
    body: dict[str, Any] = {"title": "", "config": {}, "secrets": {}}
    assert (await office.post("accounts/nothing", **body))[0] == 404
    assert (await office.post("accounts/nothing/test"))[0] == 404
