"""The collection desk over HTTP: what the grid shows, who may decide, what is refused, what a file holds."""

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from aiohttp.test_utils import TestClient
from openpyxl import load_workbook

from core.addresses import shard_of
from core.errors import Unavailable
from core.intake import entry_of
from core.settings import Settings
from core.tables import Parked
from core.values import Address, ChannelKind, Inbound
from crm.blueprint.publishing import publish
from tests.support.hub import LINE, OUR_NUMBER, SHOP_PHONE, TOBACCO, StandingClock, blueprint_of
from workers.assemble import Hub, assemble, running
from workers.web import acting
from workers.web.acting import act, reach
from workers.web.app import create_app
from workers.web.session_api import COOKIE

FORM = {"form": "weekly_terminal", "period": "2026-W47"}
STOCK = {**FORM, "sku": "101", "field": "wt_stock"}


@dataclass(slots=True)
class Desk:
    hub: Hub
    client: TestClient[Any, Any]
    clock: StandingClock

    async def shop(self, name: str = "顺发便民店", phone: str = SHOP_PHONE, **more: Any) -> UUID:
        id = uuid4()
        about = Address("tel", phone)
        fields = {"licence": "429901100017", "market": "C"}
        detail = {
            "party": str(id), "kind": "retailer", "name": name, "territory": "429901", "stage": "active",
            "fields": fields, "keys": {"licence": phone[-12:]},
            "addresses": [{"scheme": about.scheme, "value": about.value}], **more,
        }  # fmt: skip
        accepted = await self.hub.intake.act("party.put", by="", about=about, key=str(id), detail=detail)
        await self.hub.crm.processed(shard_of(about), accepted.seq)
        return id

    async def sms(self, text: str, phone: str = SHOP_PHONE) -> int:
        key = str(uuid4())
        event = Inbound(
            external_id=key, dedupe_key=key, sender=Address("tel", phone), recipient=OUR_NUMBER,
            occurred_at=self.clock(), text=text, raw=text.encode(),
        )  # fmt: skip
        accepted = await self.hub.writer.write(entry_of(LINE, ChannelKind.SMS, event, self.clock()))
        await self.hub.crm.processed(shard_of(event.sender), accepted.seq)
        return accepted.seq

    async def sign_in(self, *roles: str, territories: tuple[str, ...] = ()) -> None:
        login = "-".join(("user", *roles))
        async with self.hub.db.begin() as tx:
            user = await self.hub.users.create(
                tx, login=login, name="沈芸", roles=roles, territories=territories
            )
            signed_in = await self.hub.sign_ins.begin(tx, user)
        self.client.session.cookie_jar.update_cookies({COOKIE: signed_in.token})
        self.client.session.headers["X-CSRF"] = signed_in.csrf

    async def get(self, path: str, **query: Any) -> tuple[int, Any]:
        async with self.client.get(
            f"/api/{path}", params={key: str(value) for key, value in query.items()}
        ) as answer:
            return answer.status, await answer.json()

    async def decide(
        self, shop: UUID, verb: str, seq: int, language: str = "en", **more: Any
    ) -> tuple[int, Any]:
        body = {
            **STOCK, "act_id": str(uuid4()), "party": str(shop), "verb": verb, "observation": f"{seq}.0", **more,
        }  # fmt: skip
        spoken = {"Accept-Language": language}
        async with self.client.post("/api/collection/figure", json=body, headers=spoken) as answer:
            return answer.status, await answer.json()

    async def cell(self, shop: UUID) -> Any:
        _, found = await self.get("collection/figure", **STOCK, party=shop)
        return found["current"]


@pytest.fixture
async def desk(database_url: str, tmp_path: Path, aiohttp_client: Callable[..., Any]) -> AsyncIterator[Desk]:
    clock = StandingClock()
    settings = Settings(data=tmp_path / "data", database=database_url)
    async with assemble(settings, clock) as hub:
        async with hub.db.begin() as tx:
            await publish(tx, blueprint_of(TOBACCO), author="test", approved_by="test", note="", at=clock())
        await hub.book.load(hub.db)
        async with running(hub):
            client = await aiohttp_client(create_app(hub))
            yield Desk(hub, client, clock)


async def test_the_grid_is_as_the_browser_expects_it(desk: Desk) -> None:
    shop = await desk.shop()
    seq = await desk.sms("KC 101 12条5包;103 158")
    await desk.sign_in("agent_lead")
    status, page = await desk.get("collection", **FORM)
    assert status == 200
    assert (page["form"], page["period"], page["next"]) == ("weekly_terminal", "2026-W47", None)
    assert page["periods"][0] == {"key": "2026-W47", "title": "2026-W47"}
    assert page["fields"] == [
        {"id": "wt_stock", "title": "库存", "type": "quantity", "unit": "条"},
        {"id": "wt_price", "title": "零售价", "type": "money", "unit": "元/盒"},
    ]
    assert page["products"][0] == {"sku": "101", "name": "楚岚(硬)", "short": "硬", "own": True}
    assert [product["own"] for product in page["products"]] == [True] * 8 + [False] * 4
    assert page["totals"] == {"expected": 1, "received": 0, "suspect": 1, "missing": 0}
    (row,) = page["rows"]
    assert (row["party"], row["name"], row["licence"], row["territory"]) == (
        str(shop), "顺发便民店", "429901100017", "青渡市",
    )  # fmt: skip
    assert (row["state"], row["late"], row["received_at"]) == ("suspect", False, "2026-11-18T04:00:00Z")
    assert row["cells"]["101"]["wt_stock"] == {
        "value": 125, "display": "12条5盒", "state": "accepted", "warn": None, "observation": f"{seq}.0",
    }  # fmt: skip
    assert row["cells"]["103"]["wt_stock"]["warn"] == "W_RANGE"
    assert row["expects"][0] == "101"
    assert page["head"] >= seq


async def test_without_a_choice_the_desk_opens_on_the_current_period(desk: Desk) -> None:
    await desk.sign_in("agent_lead")
    _, page = await desk.get("collection")
    assert (page["form"], page["period"]) == ("weekly_terminal", "2026-W47")


async def test_pages_are_fetched_one_after_the_other(desk: Desk) -> None:
    for number in range(3):
        await desk.shop(f"店{number}", f"+861390000001{number}")
    await desk.sign_in("agent_lead")
    names = []
    after = ""
    for _ in range(3):
        _, page = await desk.get("collection", **FORM, limit=1, after=after)
        names += [row["name"] for row in page["rows"]]
        after = page["next"] or ""
    assert names == ["店0", "店1", "店2"]
    assert after == ""


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"form": "no_such"}, "There is no such form"),
        ({"period": "2026-W60"}, "no such period"),
        ({"period": "2026-W48"}, "no such period"),
        ({"territory": "nowhere"}, "no such territory"),
        ({"after": "rubbish"}, "begin again"),
        ({"after": "W10="}, "begin again"),
        ({"state": "lost"}, "see detail"),
        ({"limit": "0"}, "see detail"),
        ({"limit": "9999"}, "see detail"),
        ({"q": "x" * 200}, "see detail"),
    ],
)
async def test_what_there_is_not_is_refused_with_a_word(desk: Desk, query: dict[str, str], says: str) -> None:
    await desk.sign_in("agent_lead")
    status, answer = await desk.get("collection", **query, lang="en")
    assert status == 400
    assert says in answer["error"]["message"]


async def test_the_history_shows_words_spans_and_people(desk: Desk) -> None:
    shop = await desk.shop()
    seq = await desk.sms("库存 楚岚硬 12条")
    await desk.sign_in("agent_lead")
    await desk.decide(shop, "correct", seq, input="13", reason="电话核实")
    status, found = await desk.get("collection/figure", **STOCK, party=shop)
    assert status == 200
    corrected, first = found["history"]
    assert found["current"]["display"] == corrected["display"] == "13条"
    assert (corrected["state"], corrected["by"], corrected["reason"]) == (
        "corrected",
        {"name": "沈芸"},
        "电话核实",
    )
    assert corrected["source"] is None
    assert first["source"]["text"][slice(*first["source"]["span"])] == "12条"
    assert (first["source"]["seq"], first["source"]["channel"], first["state"]) == (seq, "sms", "replaced")
    assert first["source"]["sender"] == SHOP_PHONE


async def test_numbers_are_masked_for_whoever_may_not_see_them(desk: Desk) -> None:
    shop = await desk.shop()
    await desk.sms("KC 101 3")
    await desk.sign_in("marketer")
    _, found = await desk.get("collection/figure", **STOCK, party=shop)
    assert found["history"][0]["source"]["sender"] == "+86139****0001"


async def test_a_held_figure_is_accepted(desk: Desk) -> None:
    shop = await desk.shop()
    seq = await desk.sms("KC 101 158")
    await desk.sign_in("agent")
    status, answer = await desk.decide(shop, "accept", seq)
    assert (status, answer["seq"] > seq) == (200, True)
    assert (await desk.cell(shop))["state"] == "accepted"


async def test_a_figure_is_corrected_as_typed_or_in_the_stored_unit(desk: Desk) -> None:
    shop = await desk.shop()
    seq = await desk.sms("KC 101 158")
    await desk.sign_in("agent_lead")
    _, first = await desk.decide(shop, "correct", seq, input="12条5包")
    assert (await desk.cell(shop))["value"] == 125
    await desk.decide(shop, "correct", first["seq"], value=120)
    assert (await desk.cell(shop))["display"] == "12条"


async def test_a_repeated_request_is_one_decision(desk: Desk) -> None:
    shop = await desk.shop()
    seq = await desk.sms("KC 101 158")
    await desk.sign_in("agent_lead")
    key = str(uuid4())
    first = await desk.decide(shop, "correct", seq, value=120, act_id=key)
    assert await desk.decide(shop, "correct", seq, value=120, act_id=key) == first
    _, found = await desk.get("collection/figure", **STOCK, party=shop)
    assert len(found["history"]) == 2


async def test_two_who_decide_at_once_do_not_both_win(desk: Desk) -> None:
    shop = await desk.shop()
    seq = await desk.sms("KC 101 158")
    await desk.sign_in("agent_lead")
    answers = await asyncio.gather(
        desk.decide(shop, "accept", seq),
        desk.decide(shop, "reject", seq, reason="不对"),
        desk.decide(shop, "accept", seq),
    )
    statuses = sorted(status for status, _ in answers)
    assert statuses[0] == 200
    assert 409 in statuses
    refused = [answer["error"]["code"] for status, answer in answers if status == 409]
    assert set(refused) == {"settled_meanwhile"}


async def test_a_refusal_speaks_the_readers_language(desk: Desk) -> None:
    shop = await desk.shop()
    seq = await desk.sms("KC 101 158")
    await desk.sign_in("agent_lead")
    _, answer = await desk.decide(shop, "correct", seq, input="many", language="zh-Hans")
    assert "请写数字" in answer["error"]["message"]


async def test_a_figure_that_has_changed_since_is_a_conflict(desk: Desk) -> None:
    shop = await desk.shop()
    await desk.sms("KC 101 158")
    await desk.sign_in("agent_lead")
    status, answer = await desk.decide(shop, "accept", 999)
    assert (status, answer["error"]["code"]) == (409, "conflict")


@pytest.mark.parametrize(
    ("verb", "more", "says"),
    [
        ("correct", {}, "Type the right figure"),
        ("correct", {"input": "many"}, "Write a number"),
        ("correct", {"value": -1}, "see detail"),
        ("reject", {}, "Say why"),
        ("reject", {"reason": "  "}, "Say why"),
        ("accept", {"field": "no_such"}, "no such field"),
        ("accept", {"form": "no_such"}, "no such form"),
        ("accept", {"observation": "1; drop"}, "see detail"),
        ("forget", {}, "see detail"),
    ],
)
async def test_a_decision_that_does_not_fit_says_what_is_missing(
    desk: Desk, verb: str, more: dict[str, Any], says: str
) -> None:
    shop = await desk.shop()
    seq = await desk.sms("KC 101 158")
    await desk.sign_in("agent_lead")
    status, answer = await desk.decide(shop, verb, seq, **more)
    assert status == 400
    assert says in answer["error"]["message"]
    assert (await desk.cell(shop))["state"] == "held"


@pytest.mark.parametrize(
    ("role", "verb", "status"),
    [
        ("agent", "accept", 200),
        ("agent", "correct", 403),
        ("branch_head", "accept", 200),
        ("marketer", "accept", 403),
    ],
)
async def test_who_may_decide_what(desk: Desk, role: str, verb: str, status: int) -> None:
    shop = await desk.shop()
    seq = await desk.sms("KC 101 158")
    await desk.sign_in(role, territories=("429901",))
    assert (await desk.decide(shop, verb, seq, value=10))[0] == status


async def test_a_representative_sees_and_decides_only_in_the_own_territory(desk: Desk) -> None:
    own = await desk.shop()
    other = await desk.shop("云台店", "+8613900000002", territory="429951")
    for phone in (SHOP_PHONE, "+8613900000002"):
        seq = await desk.sms("KC 101 158", phone)
    await desk.sign_in("sales_rep", territories=("429901",))
    _, page = await desk.get("collection", **FORM)
    assert [row["party"] for row in page["rows"]] == [str(own)]
    assert page["totals"]["expected"] == 1
    status, _ = await desk.get("collection/figure", **STOCK, party=other)
    assert status == 404
    assert (await desk.decide(other, "correct", seq, value=10))[0] == 404
    _, elsewhere = await desk.get("collection", **FORM, territory="429951")
    assert elsewhere["rows"] == []


async def test_a_figure_of_another_shop_cannot_be_settled_under_the_name_of_an_own_one(desk: Desk) -> None:
    own = await desk.shop()
    other = await desk.shop("云台店", "+8613900000002", territory="429951")
    seq = await desk.sms("KC 101 158", "+8613900000002")
    await desk.sign_in("sales_rep", territories=("429901",))
    assert (await desk.decide(own, "correct", seq, value=10))[0] == 409
    assert other != own


@pytest.mark.parametrize("path", ["collection", "collection/figure", "collection/export"])
async def test_nobody_reads_without_the_right(desk: Desk, path: str) -> None:
    assert (await desk.get(path, **FORM))[0] == 401
    await desk.sign_in("modeller")
    assert (await desk.get(path, **FORM))[0] == 403


async def test_a_party_that_is_not_there_is_not_found(desk: Desk) -> None:
    await desk.sign_in("agent_lead")
    assert (await desk.get("collection/figure", **STOCK, party=uuid4()))[0] == 404
    assert (await desk.get("collection/figure", **STOCK, party="x"))[0] == 400


async def test_the_grid_is_exported_as_csv(desk: Desk) -> None:
    await desk.shop("=顺发")
    await desk.sms("KC 101 12条5包")
    await desk.sign_in("agent_lead")
    async with desk.client.get("/api/collection/export", params={**FORM, "format": "csv"}) as answer:
        assert answer.content_type == "text/csv"
        assert answer.headers["Content-Disposition"] == 'attachment; filename="weekly_terminal-2026-W47.csv"'
        text = (await answer.read()).decode("utf-8-sig")
    header, row = csv.reader(io.StringIO(text))
    assert header[6] == "楚岚(硬) 库存 (条)"
    assert (row[0], row[6]) == ("'=顺发", "12.5")


async def test_the_grid_is_exported_as_a_workbook(desk: Desk) -> None:
    await desk.shop()
    await desk.sms("KC 101 12条5包")
    await desk.sign_in("agent_lead")
    async with desk.client.get("/api/collection/export", params={**FORM, "format": "xlsx"}) as answer:
        assert answer.status == 200
        book = load_workbook(io.BytesIO(await answer.read()))
    assert len(book.worksheets) == 2
    assert book.worksheets[0]["G2"].value == 12.5


async def test_an_unknown_format_is_refused(desk: Desk) -> None:
    await desk.sign_in("agent_lead")
    assert (await desk.get("collection/export", **FORM, format="pdf"))[0] == 400


# Acts that wait for their turn.


async def a_user(desk: Desk) -> Any:
    async with desk.hub.db.begin() as tx:
        return await desk.hub.users.create(tx, login="lin", name="林小满", roles=["agent"])


async def test_the_same_key_of_two_people_is_two_acts(desk: Desk) -> None:
    shop = await desk.shop()
    first = await a_user(desk)
    async with desk.hub.db.begin() as tx:
        second = await desk.hub.users.create(tx, login="zhou", name="周明远", roles=["agent"])
    about = await reach(desk.hub, shop)
    seqs = [
        await act(desk.hub, "note", user=user, about=about, key="k", detail={"party": str(shop)}, text="好")
        for user in (first, second, first)
    ]
    assert seqs[0] == seqs[2] != seqs[1]


async def test_an_act_that_could_not_be_applied_is_told(desk: Desk) -> None:
    shop = await desk.shop()
    user = await a_user(desk)
    about = await reach(desk.hub, shop)
    with pytest.raises(acting.ActNotTaken):
        await act(desk.hub, "no.such.act", user=user, about=about, key="k", detail={"party": str(shop)})
    async with desk.hub.db.read() as session:
        assert len((await session.execute(Parked.__table__.select())).all()) == 1  # type: ignore[attr-defined]


async def test_an_act_whose_turn_does_not_come_is_said_to_be_noted(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = await desk.shop()
    user = await a_user(desk)
    about = await reach(desk.hub, shop)
    monkeypatch.setattr(acting, "_LONGEST_WAIT", 0.01)
    async with desk.hub.crm.resting():
        with pytest.raises(Unavailable):
            await act(desk.hub, "note", user=user, about=about, key="k", detail={"party": str(shop)})


async def test_an_act_is_logged_under_the_address_that_reaches_the_party(desk: Desk) -> None:
    shop = await desk.shop()
    assert await reach(desk.hub, shop) == Address("tel", SHOP_PHONE)
    await desk.sms("KC 101 3")
    desk.clock.forward(timedelta(minutes=1))
    assert await reach(desk.hub, shop) == Address("tel", SHOP_PHONE)
    alone = await desk.shop("无号店", "+8613900000003", addresses=[])
    assert await reach(desk.hub, alone) == Address("hub", str(alone))
