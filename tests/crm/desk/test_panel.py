"""The customer panel: fields, addresses, cases, figures and coverage of a party and those merged into it."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from core.errors import NotFound
from crm.desk import panel
from tests.crm.desk.test_inbox import STRANGER, viewer
from tests.support.hub import SHOP_PHONE, DeskHub


async def shown(hub: DeskHub, party: UUID, **changes: Any) -> dict[str, Any]:
    async with hub.db.read() as session:
        return await panel.panel(session, viewer(hub, **changes), party, hub.clock())


async def test_a_shop_is_shown_with_what_its_kind_knows(hub: DeskHub) -> None:
    company = await hub.party("tobacco_company", "青渡烟草公司", fields={"credit": 123456})
    shop = await hub.shop(
        fields={"collection_point": True, "supplier": str(company), "old": "?", "tier": 12},
        persons=[{"id": str(uuid4()), "name": "王秀兰", "post": ""}],
    )
    found = await shown(hub, shop)
    assert (found["name"], found["kind_title"], found["territory"]) == ("顺发便民店", "Retailer", "Qingdu")
    told = {field["id"]: field["display"] for field in found["fields"]}
    assert (told["supplier"], told["collection_point"], told["tier"]) == ("青渡烟草公司", "Yes", "12")
    assert told["old"] == "?"
    assert told["size"] != "2"
    assert [person["name"] for person in found["persons"]] == ["王秀兰"]
    assert {field["id"]: field["display"] for field in (await shown(hub, company))["fields"]} == {
        "credit": "1234.56"
    }


async def test_figures_cases_and_coverage_are_those_of_the_party(hub: DeskHub) -> None:
    shop = await hub.shop()
    await hub.sms("KC 101 3")
    await hub.sms("投诉 102 受潮")
    await hub.sms("TD")
    found = await shown(hub, shop)
    (figure,) = found["figures"]
    assert (figure["product"], figure["display"], figure["period"]) == ("楚岚(硬)", "3条", "2026-W47")
    (case,) = found["cases"]
    assert (case["number"], case["state"]) == ("T2611-0001", "new")
    assert found["coverage"][-1] == {"period": "2026-W47", "expected": 1, "received": 1}
    assert sum(each["received"] for each in found["coverage"]) == 1
    (consent,) = found["consents"]
    assert (consent["purpose"], consent["state"]) == ("marketing", "withdrawn")
    assert found["conversation"]["queue"] == "complaint"


async def test_a_merge_shows_what_was_merged_and_shares_addresses(hub: DeskHub) -> None:
    shop = await hub.shop()
    await hub.sms("投诉 受潮", STRANGER)
    stranger = await hub.owner(STRANGER)
    seq = await hub.act("merge", party=stranger, into=str(shop))
    found = await shown(hub, stranger)
    assert found["id"] == str(shop)
    assert [(each["id"], each["act_seq"]) for each in found["merged_from"]] == [(str(stranger), seq)]
    assert {each["value"] for each in found["addresses"]} == {SHOP_PHONE, STRANGER}


async def test_who_somebody_says_to_be_is_a_hint_and_no_more(hub: DeskHub) -> None:
    shop = await hub.shop("老街烟酒行", None, "429901100025")
    await hub.sms("绑定 429901100025", STRANGER)
    (hint,) = (await shown(hub, await hub.owner(STRANGER)))["identity_hints"]
    assert (hint["party"], hint["name"]) == (str(shop), "老街烟酒行")
    assert (await shown(hub, shop))["identity_hints"] == []


async def test_numbers_are_masked_for_whoever_may_not_see_them(light_hub: DeskHub) -> None:
    shop = await light_hub.shop()
    (address,) = (await shown(light_hub, shop, sees_numbers=False))["addresses"]
    assert address["value"] == address["display"] == "+86139****0001"


async def test_a_party_that_never_wrote_has_an_empty_conversation(light_hub: DeskHub) -> None:
    shop = await light_hub.shop(phone=None)
    found = await shown(light_hub, shop)
    assert (found["conversation"]["state"], found["addresses"], found["figures"]) == ("auto", [], [])


async def test_figures_of_earlier_periods_give_way_to_the_newest(light_hub: DeskHub) -> None:
    shop = await light_hub.shop()
    await light_hub.sms("KC 101 3;102 4")
    light_hub.clock.forward(timedelta(days=7))
    await light_hub.sms("KC 101 5")
    assert [(each["sku"], each["period"]) for each in (await shown(light_hub, shop))["figures"]] == [
        ("101", "2026-W48")
    ]


async def test_nobody_is_not_found(light_hub: DeskHub) -> None:
    with pytest.raises(NotFound):
        await shown(light_hub, uuid4())
