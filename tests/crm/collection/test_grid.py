"""The grid: who is expected, what came, what is missing, over merges, filters and pages."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import pytest

from crm.collection import grid
from crm.collection.expected import Expected, below
from crm.collection.grid import Page, ShopRow, Shown, Totals, Wanted
from crm.collection.scope import narrowed, visible_territories
from tests.support.hub import TOBACCO, DeskHub, blueprint_of, desk_hub

MONDAY = date(2026, 11, 16)
BLUEPRINT = blueprint_of(TOBACCO)
WANTED = Wanted(form=BLUEPRINT.form("weekly_terminal"), period="2026-W47", day=MONDAY)
ALL_OF_TOWN = "KC 101 3;102 4;103 5;104 6;105 7;108 8;106 9"


async def looked(hub: DeskHub, **changes: Any) -> tuple[Totals, list[ShopRow]]:
    wanted = replace(WANTED, **changes)
    async with hub.db.read() as session:
        page = await grid.page(session, BLUEPRINT, wanted)
        return await grid.totals(session, BLUEPRINT, wanted), page.rows


async def four_shops(hub: DeskHub) -> dict[str, UUID]:
    """One that reported all, one a part, one something doubtful, one nothing."""
    shops = {}
    for number, (name, text) in enumerate(
        {"全": ALL_OF_TOWN, "半": "KC 101 3", "疑": "KC 101 3;103 158", "无": "谢谢"}.items(), start=1
    ):
        phone = f"+861390000000{number}"
        shops[name] = await hub.shop(f"{name}店", phone, f"42990110000{number}")
        await hub.sms(text, phone)
    return shops


async def test_every_shop_has_one_state_and_the_totals_add_up(hub: DeskHub) -> None:
    await four_shops(hub)
    totals, rows = await looked(hub)
    assert totals == Totals(expected=4, received=2, suspect=1, missing=1)
    assert {row.name: row.state.value for row in rows} == {
        "全店": "received",
        "半店": "partial",
        "疑店": "suspect",
        "无店": "missing",
    }


@pytest.mark.parametrize(
    ("state", "names"),
    [
        (Shown.EXPECTED, {"全店", "半店", "疑店", "无店"}),
        (Shown.RECEIVED, {"全店", "半店"}),
        (Shown.SUSPECT, {"疑店"}),
        (Shown.MISSING, {"无店"}),
    ],
)
async def test_a_state_filters_the_rows_and_not_the_totals(
    light_hub: DeskHub, state: Shown, names: set[str]
) -> None:
    await four_shops(light_hub)
    totals, rows = await looked(light_hub, state=state)
    assert {row.name for row in rows} == names
    assert totals.expected == 4


async def test_a_row_says_what_came_when_and_what_is_expected(light_hub: DeskHub) -> None:
    shops = await four_shops(light_hub)
    _, rows = await looked(light_hub, query="疑")
    (row,) = rows
    assert (row.party, row.key, row.territory) == (shops["疑"], "429901100003", "429901")
    assert (row.received_at, row.is_late) == (light_hub.clock(), False)
    assert row.expects == ("101", "102", "103", "104", "105", "108", "106")
    assert {sku: given["wt_stock"].state for sku, given in row.cells.items()} == {
        "101": "accepted",
        "103": "held",
    }
    assert row.cells["103"]["wt_stock"].warn == "W_RANGE"
    assert row.cells["103"]["wt_stock"].said == 1580


@pytest.mark.parametrize("query", ["半", " 半店 ", "429901100002", "42990110000", "%", "_", "\\"])
async def test_shops_are_found_by_name_and_number_and_signs_mean_only_themselves(
    light_hub: DeskHub, query: str
) -> None:
    await four_shops(light_hub)
    expected = {"半": 1, " 半店 ": 1, "429901100002": 1, "42990110000": 4}.get(query, 0)
    totals, rows = await looked(light_hub, query=query)
    assert totals.expected == len(rows) == expected


async def test_pages_follow_each_other_without_gap_or_repeat(hub: DeskHub) -> None:
    for number in range(7):
        await hub.shop("同名店" if number < 4 else f"店{number}", None, f"4299011000{number:02}")
    seen: list[UUID] = []
    after = None
    async with hub.db.read() as session:
        for _ in range(4):
            page: Page = await grid.page(session, BLUEPRINT, WANTED, after, limit=2)
            seen += [row.party for row in page.rows]
            after = page.next
    assert after is None
    assert len(seen) == len(set(seen)) == 7


async def test_only_living_shops_of_the_forms_kind_are_expected(light_hub: DeskHub) -> None:
    await light_hub.shop()
    await light_hub.shop("歇业店", None, "429901100002", stage="closed")
    await light_hub.party("consumer", "老张", "+8613900000009")
    await light_hub.sms("KC 101 3", "+8613900099999")
    totals, _ = await looked(light_hub)
    assert totals.expected == 1


async def test_a_merged_shops_figures_lie_under_the_one_that_stands_for_it(hub: DeskHub) -> None:
    shops = await four_shops(hub)
    await hub.act("merge", party=shops["疑"], into=str(shops["无"]))
    await hub.act("merge", party=shops["无"], into=str(shops["全"]))
    totals, rows = await looked(hub)
    assert totals == Totals(expected=2, received=1, suspect=1, missing=0)
    (row,) = (each for each in rows if each.party == shops["全"])
    assert row.state == "suspect"
    assert row.cells["103"]["wt_stock"].value == 1580
    for state, names in ((Shown.SUSPECT, ["全店"]), (Shown.RECEIVED, ["半店"]), (Shown.MISSING, [])):
        _, shown = await looked(hub, state=state)
        assert [each.name for each in shown] == names


async def test_of_merged_shops_the_newest_figure_is_shown(hub: DeskHub) -> None:
    first = await hub.shop("甲店", "+8613900000001", "429901100001")
    second = await hub.shop("乙店", "+8613900000002", "429901100002")
    await hub.sms("KC 101 5", "+8613900000002")
    # It arrives later and is older.
    await hub.sms("KC 101 158", "+8613900000001", at=hub.clock() - timedelta(hours=1))
    await hub.act("merge", party=first, into=str(second))
    totals, rows = await looked(hub)
    assert totals == Totals(expected=1, received=1, suspect=0, missing=0)
    assert rows[0].cells["101"]["wt_stock"].value == 50


async def test_a_period_shows_only_its_own_figures(light_hub: DeskHub) -> None:
    await four_shops(light_hub)
    totals, rows = await looked(light_hub, period="2026-W46")
    assert totals == Totals(4, 0, 0, 4)
    assert all(row.cells == {} and row.received_at is None for row in rows)


async def test_a_withdrawn_report_counts_as_missing(light_hub: DeskHub) -> None:
    await light_hub.shop()
    await light_hub.sms("KC 101 3")
    await light_hub.sms("QX")
    totals, rows = await looked(light_hub)
    assert totals.missing == 1
    assert rows[0].received_at is None


async def test_shops_of_other_territories_are_neither_listed_nor_counted(light_hub: DeskHub) -> None:
    await light_hub.shop("青渡店", None, "429901100001", territory="429901")
    await light_hub.shop("云台店", None, "429951100001", territory="429951")
    totals, rows = await looked(light_hub, territories=below(BLUEPRINT, ["429900"]))
    assert [row.name for row in rows] == ["青渡店"]
    assert totals.expected == 1
    totals, rows = await looked(light_hub, territories=frozenset())
    assert (totals.expected, rows) == (0, [])


# What is expected, and who may see it.


@pytest.mark.parametrize(
    ("fields", "first"),
    [({"market": "C"}, "101"), ({"market": "X"}, "106"), ({}, None), ({"market": 3}, None)],
)
def test_an_assortment_picks_the_shops_that_its_condition_names(
    fields: dict[str, Any], first: str | None
) -> None:
    expects = Expected(BLUEPRINT, "retailer", MONDAY).of("429901", "active", "", fields)
    assert next(iter(expects), None) == first


def test_an_assortment_of_a_territory_holds_for_all_below_it() -> None:
    (town, village) = BLUEPRINT.assortments
    somewhere = town.model_copy(update={"territories": ("429900",), "when": None})
    blueprint = BLUEPRINT.model_copy(update={"assortments": (somewhere, village)})
    expected = Expected(blueprint, "retailer", MONDAY)
    assert expected.of("429901", "active", "", {})[0] == "101"
    assert expected.of("429951", "active", "", {}) == ()
    assert Expected(blueprint, "consumer", MONDAY).of("429901", "active", "", {}) == ()


@pytest.mark.parametrize(
    ("roles", "own", "visible"),
    [
        (["agent_lead"], [], None),
        (["sales_rep", "agent"], ["429901"], None),
        (["sales_rep"], ["429901"], {"429901"}),
        (["sales_rep"], ["429950"], {"429950", "429951", "429952", "429953"}),
        (["branch_head"], ["429901"], {"429901"}),
        (["quality"], ["429901"], set()),
        ([], ["429901"], set()),
    ],
)
def test_who_may_see_which_shops(roles: list[str], own: list[str], visible: set[str] | None) -> None:
    assert visible_territories(BLUEPRINT, roles, own) == visible


@pytest.mark.parametrize(
    ("visible", "territory", "left"),
    [
        (None, "", None),
        (frozenset({"429901"}), "", {"429901"}),
        (None, "429901", {"429901"}),
        (frozenset({"429901"}), "429900", {"429901"}),
        (frozenset({"429901"}), "429950", set()),
    ],
)
def test_a_wanted_territory_narrows_what_is_visible_and_never_widens_it(
    visible: frozenset[str] | None, territory: str, left: set[str] | None
) -> None:
    assert narrowed(BLUEPRINT, visible, territory) == left


async def test_both_engines_sort_names_alike_within_themselves(database_url: str) -> None:
    async with desk_hub(database_url) as hub:
        for number, name in enumerate(("B店", "a店", "阿店", "Ä店")):
            await hub.shop(name, None, f"42990110000{number}")
        async with hub.db.read() as session:
            whole = (await grid.page(session, BLUEPRINT, WANTED)).rows
            first = await grid.page(session, BLUEPRINT, WANTED, limit=3)
            rest = await grid.page(session, BLUEPRINT, WANTED, first.next, limit=3)
        assert [row.party for row in (*first.rows, *rest.rows)] == [row.party for row in whole]
