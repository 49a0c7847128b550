"""Users over HTTP: added, changed, helped and locked out by administrators, each of it an act of the log."""

from typing import Any
from uuid import UUID

import pytest

from core.users import ADMINISTRATOR, by_id
from tests.workers.web.conftest import Office

LI = {"login": "Li.Wei", "name": "李伟", "roles": ["agent"], "unit": "HQ.SERVICE", "queues": ["care"]}


async def added(office: Office, **more: Any) -> tuple[dict[str, Any], str]:
    status, told = await office.post("users", **{**LI, **more})
    assert status == 200, told
    return told["user"], told["password"]


async def told_to_sign_in(office: Office, login: str, password: str) -> tuple[int, Any]:
    body = {"login": login, "password": password}
    async with office.client.post("/api/session", json=body) as answer:
        return answer.status, await answer.json()


async def test_an_added_user_is_listed_with_what_they_were_given(office: Office) -> None:
    user, _ = await added(office)
    assert (user["login"], user["unit"], user["given_password"]) == ("li.wei", "HQ.SERVICE", True)
    listed = await office.get("users")
    assert [each["login"] for each in listed["users"]] == ["chief", "li.wei"]
    chief = listed["users"][0]
    assert (chief["id"], chief["sign_ins"]) == (listed["me"], 1)
    assert chief["seen_at"] == "2026-11-18T04:00:00Z"
    assert {"key": "agent", "title": "Agent", "external": False} in listed["choices"]["roles"]
    assert listed["choices"]["units"][1]["depth"] == 1


async def test_the_first_password_opens_only_the_page_that_asks_for_another(office: Office) -> None:
    _, password = await added(office)
    office.sign_out()
    status, told = await told_to_sign_in(office, "li.wei", password)
    assert (status, told["user"]["given_password"]) == (200, True)
    office.client.session.headers["X-CSRF"] = told["csrf"]
    async with office.client.get("/api/boot") as refused:
        assert (refused.status, (await refused.json())["error"]["code"]) == (403, "password_given")
    chosen = {"old": password, "new": "seven green umbrellas"}
    async with office.client.post("/api/session/password", json=chosen) as answer:
        office.client.session.headers["X-CSRF"] = (await answer.json())["csrf"]
    async with office.client.get("/api/boot") as boot:
        assert boot.status == 200


async def test_a_change_keeps_what_stood_there_before_in_the_log(office: Office) -> None:
    user, _ = await added(office)
    body = {"name": "李伟", "roles": ["agent", "agent_lead"], "unit": "", "queues": ["care"]}
    status, told = await office.post(f"users/{user['id']}", **body)
    assert (status, told["user"]["roles"]) == (200, ["agent", "agent_lead"])
    act = (await office.acts())[0]
    assert (act["name"], act["object"]["name"], act["by"]["name"]) == ("user.changed", "李伟", "沈芸")
    assert act["facts"] == [
        {"label": "Login", "value": "li.wei"},
        {"label": "Roles", "value": "Agent → Agent, Team lead"},
        {"label": "Unit", "value": "Customer service → –"},
    ]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"roles": ["wizard"]}, "roles"),
        ({"unit": "NOWHERE"}, "unit"),
        ({"queues": ["nobody"]}, "queues"),
        ({"territories": ["000000"]}, "territories"),
        ({"login": "x y"}, "login"),
        ({"login": "chief"}, "login"),
        ({"name": " "}, "name"),
    ],
)
async def test_what_does_not_fit_names_its_field_and_leaves_no_trace(
    office: Office, wrong: dict[str, Any], field: str
) -> None:
    status, told = await office.post("users", **{**LI, **wrong})
    assert (status, told["error"]["detail"]["field"]) == (
        409 if wrong.get("login") == "chief" else 400,
        field,
    )
    assert len((await office.get("users"))["users"]) == 1
    assert await office.acts() == []


async def test_a_new_password_signs_the_user_out_and_is_shown_once(office: Office) -> None:
    user, first = await added(office)
    status, told = await office.post(f"users/{user['id']}/password")
    assert status == 200
    assert told["password"] != first
    assert told["password"] not in str(await office.get("users")) + str(await office.acts())
    office.sign_out()
    assert (await told_to_sign_in(office, "li.wei", first))[0] == 401
    assert (await told_to_sign_in(office, "li.wei", told["password"]))[0] == 200


async def test_a_disabled_user_is_out_until_enabled(office: Office) -> None:
    user, _ = await added(office)
    _, told = await office.post(f"users/{user['id']}/disable")
    assert told["user"]["disabled_at"] == "2026-11-18T04:00:00Z"
    _, told = await office.post(f"users/{user['id']}/enable")
    assert told["user"]["disabled_at"] is None
    assert [act["name"] for act in await office.acts()] == ["user.enabled", "user.disabled", "user.added"]


async def test_a_lost_device_is_taken_off_and_sign_ins_are_ended(office: Office) -> None:
    user, _ = await added(office)
    async with office.hub.db.read() as session:
        li = await by_id(session, UUID(user["id"]))
    async with office.hub.db.begin() as tx:
        await office.hub.users.propose_totp(tx, li.id, "JBSWY3DPEHPK3PXP")
        await office.hub.users.confirm_totp(tx, li.id, 1)
        begun = await office.hub.sign_ins.begin(tx, li)
    listed = next(each for each in (await office.get("users"))["users"] if each["login"] == "li.wei")
    assert (listed["totp"], listed["sign_ins"]) == (True, 1)
    _, told = await office.delete(f"users/{user['id']}/totp")
    assert told["user"]["totp"] is False
    _, told = await office.delete(f"users/{user['id']}/sign-ins")
    assert told["user"]["sign_ins"] == 0
    assert await office.hub.sign_ins.who(begun.token) is None


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "users/{me}/disable", None),
        ("POST", "users/{me}/password", None),
        ("DELETE", "users/{me}/totp", None),
        ("POST", "users/{me}", {"name": "沈芸", "roles": ["agent"]}),
    ],
)
async def test_nobody_locks_themselves_out(
    office: Office, method: str, path: str, body: dict[str, Any] | None
) -> None:
    async with office.hub.db.begin() as tx:
        await office.hub.users.create(tx, login="other", name="Other", roles=[ADMINISTRATOR])
    assert office.user is not None
    status, told = await office.ask(method, path.format(me=office.user.id), body)
    assert (status, told["error"]["code"]) == (409, "conflict")
    assert await office.acts() == []


@pytest.mark.parametrize("id", ["nobody", "00000000-0000-4000-8000-00000000000f"])
async def test_a_user_who_is_not_there_is_not_found(office: Office, id: str) -> None:
    assert (await office.post(f"users/{id}/disable"))[0] == 404


async def test_the_roles_are_shown_as_the_blueprint_grants_them(office: Office) -> None:
    found = await office.get("roles")
    roles = {role["key"]: role for role in found["roles"]}
    assert roles["agent"]["grants"]["case.reopen"] == {"when": None, "days": 7, "four_eyes": False}
    assert roles["admin"]["grants"]["model.publish"]["four_eyes"] is True
    assert "party.merge" not in roles["agent"]["grants"]
    assert (roles["agent"]["unmasked"], roles["agent_lead"]["unmasked"]) == (False, True)
    assert roles["agent"]["rows"][0]["rule"] == (
        "interaction.unit in user.units_below || interaction.queue in user.queues"
    )
    assert {"interaction", "case", "party"} <= {group["key"] for group in found["groups"]}
