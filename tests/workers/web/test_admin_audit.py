"""The audit trail over HTTP: who did what when, by person, kind, period and object, and as a file."""

import asyncio
import csv
import io
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select

from core import claims, outbox
from core.addresses import shard_of
from core.intake import NOBODY
from core.tables import Parked
from core.values import Address
from crm import audit
from crm.audit import Family, family_of, object_of
from tests.support.hub import SHOP_PHONE
from tests.workers.web.conftest import Office
from workers import commands
from workers.administration import users
from workers.administration.acts import Actor
from workers.jobs import NOTE, Noter

ADD = {"name": "李伟", "roles": ["agent"]}


@pytest.mark.parametrize(
    ("name", "data", "family", "object"),
    [
        ("user.added", {"user": "7"}, Family.USER, "user:7"),
        ("account.changed", {"account": "sms"}, Family.ACCOUNT, "account:sms"),
        ("blueprint.published", {"version": 3}, Family.BLUEPRINT, "blueprint:3"),
        ("merge", {"party": "p", "into": "q"}, Family.PARTY, "party:p"),
        ("party.put", {"party": "p"}, Family.PARTY, "party:p"),
        ("erase", {"party": "p"}, Family.ERASURE, "party:p"),
        ("figure.correct", {"party": "p"}, Family.FIGURE, "party:p"),
        ("case.state", {"party": "p", "case": 1}, Family.CASE, "party:p"),
        ("outbox.retry", {"item": "i"}, Family.OUTBOX, "outbox:i"),
        ("parked.retry", {"consumer": "crm", "seq": 7}, Family.OUTBOX, "entry:7"),
        ("assign", {"party": "p", "user": "7"}, Family.CONVERSATION, "party:p"),
        ("reply", {"party": "p", "account": "sms"}, Family.CONVERSATION, "party:p"),
        ("", {}, Family.CONVERSATION, ""),
    ],
)
def test_an_act_has_a_kind_and_something_it_was_done_to(
    name: str, data: dict[str, Any], family: Family, object: str
) -> None:
    assert (family_of(name), object_of(name, data)) == (family, object)


async def shop(office: Office) -> str:
    """A customer, entered by the administrator."""
    id = str(uuid4())
    about = Address("tel", SHOP_PHONE)
    detail = {
        "party": id,
        "kind": "retailer",
        "name": "顺发便民店",
        "keys": {"licence": "429901100017"},
        "addresses": [{"scheme": "tel", "value": SHOP_PHONE}],
    }
    assert office.user is not None
    accepted = await office.hub.intake.act(
        "party.put", by=str(office.user.id), about=about, key=id, detail=detail
    )
    await office.hub.crm.processed(shard_of(about), accepted.seq)
    return id


async def several(office: Office, number: int) -> None:
    for each in range(number):
        status, _ = await office.post("users", login=f"user{each}", **ADD)
        assert status == 200


async def test_acts_come_newest_first_in_pages_that_join(office: Office) -> None:
    await several(office, 5)
    first = await office.get("audit", limit=3)
    second = await office.get("audit", limit=3, before=first["next"])
    logins = [line["facts"][0]["value"] for line in first["lines"] + second["lines"]]
    assert logins == ["user4", "user3", "user2", "user1", "user0"]
    assert second["next"] is None


async def test_acts_are_found_by_person_kind_and_object(office: Office) -> None:
    await several(office, 1)
    party = await shop(office)
    assert office.user is not None
    await users.add(office.hub, Actor(os_user="root"), login="cli", name="Cli")
    assert [line["name"] for line in await office.acts()] == ["user.added", "party.put", "user.added"]
    assert [line["os_user"] for line in await office.acts(person="hub")] == ["root"]
    assert len(await office.acts(person=office.user.id)) == 2
    assert [line["name"] for line in await office.acts(family="party")] == ["party.put"]
    for about in (party, "429901100017", f"party:{party}"):
        assert [line["object"]["name"] for line in await office.acts(about=about)] == ["顺发便民店"]
    assert [line["os_user"] for line in await office.acts(about="CLI")] == ["root"]
    assert await office.acts(about="nothing of that name") == []


async def test_acts_are_found_by_period(office: Office) -> None:
    moments = [office.clock.at + timedelta(hours=hour) for hour in range(3)]
    for hour, at in enumerate(moments):
        office.clock.at = at
        await office.post("users", login=f"hour{hour}", **ADD)

    async def logins(**query: Any) -> list[str]:
        return [line["facts"][0]["value"] for line in await office.acts(**query)]

    assert await logins(since=moments[1].isoformat()) == ["hour2", "hour1"]
    assert await logins(until=moments[1].isoformat()) == ["hour0"]
    assert await logins(since=moments[1].isoformat(), until=moments[2].isoformat()) == ["hour1"]
    assert await logins(since="2030-01-01T00:00:00Z") == []


async def test_no_word_and_no_number_of_a_customer_stands_in_the_trail(office: Office) -> None:
    party = await shop(office)
    about = Address("tel", SHOP_PHONE)
    assert office.user is not None
    for name, text in (("note", "calls after lunch"), ("consent", "")):
        detail = {
            "party": party,
            "address": {"scheme": "tel", "value": SHOP_PHONE},
            "purpose": "survey",
            "granted": True,
        }
        await office.hub.intake.act(
            name, by=str(office.user.id), about=about, key=name, detail=detail, text=text
        )
    told = str(await office.acts())
    assert "calls after lunch" not in told
    assert SHOP_PHONE not in told
    assert {"label": "Granted", "value": "Yes"} in (await office.acts(family="consent"))[0]["facts"]


async def test_the_file_holds_what_the_filters_let_through(office: Office) -> None:
    await several(office, 2)
    await users.add(office.hub, Actor(os_user="=SUM(A1)"), login="cli", name="Cli")
    async with office.client.get("/api/admin/audit/export", params={"family": "user", "lang": "en"}) as told:
        assert told.headers["Content-Disposition"] == 'attachment; filename="audit.csv"'
        rows = list(csv.DictReader(io.StringIO(await told.text(encoding="utf-8-sig"))))
    assert [row["Name of the act"] for row in rows] == ["user.added"] * 3
    assert (rows[0]["System user"], rows[0]["Person"]) == ("'=SUM(A1)", "")
    assert (rows[2]["Person"], rows[2]["Done to"].split(" ")[0]) == ("沈芸", "李伟")


async def test_a_command_logs_the_act_of_the_page_with_the_systems_name(office: Office) -> None:
    args = {"login": "ben", "password_hash": "x", "roles": ["agent"], "os_user": "operator"}
    await commands.run(office.hub, "users.add", args)
    await commands.run(
        office.hub, "users.change", {"login": "ben", "is_disabled": True, "os_user": "operator"}
    )
    lines = await office.acts()
    assert [(line["name"], line["by"], line["os_user"]) for line in lines] == [
        ("user.disabled", None, "operator"),
        ("user.added", None, "operator"),
    ]


async def test_the_crm_passes_acts_of_administration_by(office: Office) -> None:
    user = (await office.post("users", login="ben", **ADD))[1]["user"]
    for asked in (("POST", "disable"), ("POST", "enable"), ("POST", "password"), ("DELETE", "sign-ins")):
        await office.ask(asked[0], f"users/{user['id']}/{asked[1]}")
    await office.hub.caught_up()
    async with office.hub.db.read() as session:
        assert (await session.scalars(select(Parked))).all() == []


async def test_an_act_that_its_process_could_not_log_is_logged_by_the_job_once(office: Office) -> None:
    detail = {"user": str(uuid4()), "login": "x"}
    later = office.clock() + timedelta(hours=1)  # nobody else takes it before
    payload = {"act": "user.added", "by": "", "key": "user.added:1", "detail": detail}
    async with office.hub.db.begin() as tx:
        outbox.put(tx, key="note:1", job=NOTE, payload=payload, due_at=later)
    claimed = await claims.claim(office.hub.db, later, 1)
    for _ in range(2):
        await Noter(office.hub.intake)(claimed.items[0])
    assert [line["name"] for line in await office.acts()] == ["user.added"]


async def test_several_who_bring_the_trail_up_to_date_at_once_add_each_act_once(office: Office) -> None:
    for number in range(40):
        await office.hub.intake.act("note", by="", about=NOBODY, key=str(number), detail={})
    await asyncio.gather(*(audit.catch_up(office.hub.db) for _ in range(3)))
    assert len(await office.acts(limit=200)) == 40
