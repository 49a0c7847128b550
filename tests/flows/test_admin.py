"""The administrators' pages in a real browser: people let in and kept out, lines, what failed, the trail of it all."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from playwright.async_api import Browser, Page, expect

from core.outbox import ItemState
from core.tables import OutboxItem, Parked
from tests.flows.newcomer import PATIENCE_MS
from tests.support.browser import find_barriers, hear_complaints, open_page
from tests.support.fake_twilio import ACCOUNT_SID
from tests.support.serve import PASSWORD, TWILIO, Served, serving

SECTIONS = ("users", "roles", "lines", "waiting", "audit", "system")
WIDE, PHONE = (1440, 900), (390, 844)
SHOP = "+8613900000001"


@pytest.fixture
async def served(prepared: Path, tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(prepared, tmp_path / "data") as served:
        yield served


async def signed_in(browser: Browser, served: Served, login: str = "chief", **context: Any) -> Page:
    page = await open_page(browser, served.url, **{"locale": "en-GB", **context})
    page.set_default_timeout(PATIENCE_MS)
    await page.goto("/signin")
    await sign_in(page, login, PASSWORD)
    await expect(page.locator("nav.rail")).to_be_visible()
    return page


async def sign_in(page: Page, login: str, password: str) -> None:
    await page.locator("input").first.fill(login)
    await page.locator("input[type=password]").fill(password)
    await page.keyboard.press("Enter")


async def left_over(served: Served, state: ItemState, number: int) -> UUID:
    item = OutboxItem(
        key=f"reply:{number}",
        job="send",
        account=TWILIO,
        scheme="tel",
        address=SHOP,
        payload={"text": "谢谢"},
        state=state.value,
        error="recipient_invalid" if state is ItemState.FAILED else "outcome_unknown",
        attempts=1,
    )
    async with served.hub.db.begin() as tx:
        tx.session.add(item)
    return item.id


async def state_of(served: Served, id: UUID) -> str:
    async with served.hub.db.read() as session:
        row = await session.get(OutboxItem, id)
    assert row is not None
    return row.state


async def test_somebody_new_gets_in_with_a_password_that_only_they_know(
    browser: Browser, served: Served
) -> None:
    page = await signed_in(browser, served)
    await page.get_by_role("button", name="Add a user").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Login").fill("lin")
    await dialog.get_by_label("Name", exact=True).fill("林小满")
    await dialog.get_by_label("Agent", exact=True).check()
    await dialog.get_by_role("button", name="Add the user").click()
    await expect(dialog).to_contain_text("It is not shown again")
    given = await dialog.locator("code").nth(1).inner_text()
    await dialog.get_by_role("button", name="Done").click()
    await expect(page.locator("[data-user=lin]")).to_contain_text("Has not chosen a password")

    theirs = await open_page(browser, served.url, locale="en-GB")
    await theirs.goto("/signin")
    await sign_in(theirs, "lin", given)
    await expect(theirs.get_by_role("heading", name="Choose your password")).to_be_visible()
    assert await find_barriers(theirs) == []
    await theirs.get_by_label("Password you were given").fill(given)
    await theirs.get_by_label("New password", exact=True).fill("seven green umbrellas")
    await theirs.get_by_label("New password, once more").fill("seven green umbrellas")
    await theirs.keyboard.press("Enter")
    await theirs.wait_for_url("**/console")

    await page.goto("/admin/users")
    await expect(page.locator("[data-user=lin]")).not_to_contain_text("Has not chosen")
    await expect(page.locator("[data-user=lin]")).to_contain_text("just now")


async def test_somebody_who_is_disabled_is_out_at_the_next_click(browser: Browser, served: Served) -> None:
    page = await signed_in(browser, served)
    theirs = await signed_in(browser, served, "agent")
    await theirs.wait_for_url("**/console")
    await page.locator("[data-user=agent]").get_by_role("button", name="Actions for agent").click()
    await page.get_by_role("menuitem", name="Disable…").click()
    await page.get_by_role("dialog").get_by_role("button", name="Disable", exact=True).click()
    await expect(page.locator("[data-user=agent]")).to_have_count(0)
    await theirs.reload()
    await theirs.wait_for_url("**/signin*")
    await page.goto("/admin/audit")
    line = page.locator("[data-act='user.disabled']")
    await expect(line).to_contain_text("agent")
    await expect(line).to_contain_text("chief")


async def test_a_line_is_added_tried_out_and_switched_off(
    browser: Browser, served: Served, tmp_path: Path
) -> None:
    secret = tmp_path / "token"
    secret.write_text("a-token-that-nobody-sees")
    page = await signed_in(browser, served)
    await page.get_by_role("link", name="Lines").click()
    await page.get_by_role("button", name="Add a line").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Provider", exact=True).select_option("sms.twilio")
    await dialog.get_by_label("Short name").fill("sms-two")
    await dialog.get_by_label("Title", exact=True).fill("Second line")
    await dialog.get_by_label("Account SID").fill("AC1")
    await dialog.get_by_label("Auth token", exact=True).fill("a-token-that-nobody-sees")
    await dialog.get_by_role("button", name="Add the line").click()
    await expect(dialog).to_contain_text("do not write it out")
    await dialog.get_by_label("Auth token", exact=True).fill(f"file:{secret}")
    await dialog.get_by_role("button", name="Add the line").click()
    await expect(dialog).to_contain_text("Not in the form that the provider uses.")
    await dialog.get_by_label("Account SID").fill(ACCOUNT_SID)
    await dialog.get_by_text("More settings").click()
    await dialog.get_by_label("Sender number").fill("+15005550007")
    await dialog.get_by_label("Most messages a second").fill("2.5")
    await dialog.get_by_role("button", name="Add the line").click()
    line = page.locator("[data-line=sms-two]")
    await expect(line).to_contain_text("/hooks/sms-two/message")
    await expect(line).to_contain_text("2.5")
    assert served.hub.accounts.limits("sms-two").rate == 2.5
    await line.get_by_role("button", name="Test").click()
    await expect(line).to_contain_text("Nothing was sent.")
    secret.unlink()
    await line.get_by_role("button", name="Test").click()
    await expect(line).to_contain_text("cannot be read")
    await line.get_by_role("button", name="Disable…").click()
    await page.get_by_role("dialog").get_by_role("button", name="Disable", exact=True).click()
    await expect(line).to_contain_text("Disabled")
    assert "a-token-that-nobody-sees" not in await page.content()
    await line.get_by_role("link", name="What was changed").click()
    await expect(page.locator("[data-act]")).to_have_count(2)


async def test_what_may_have_arrived_is_sent_again_only_by_somebody_who_was_told(
    browser: Browser, served: Served
) -> None:
    failed = await left_over(served, ItemState.FAILED, 1)
    unknown = await left_over(served, ItemState.UNKNOWN, 2)
    page = await signed_in(browser, served)
    await page.goto("/admin/waiting")
    row = page.locator(f"[data-item='{failed}']")
    await expect(row).to_contain_text("Number does not exist")
    await expect(row).to_contain_text("+86139****0001")
    assert await find_barriers(page) == []
    await row.get_by_role("button", name="Put aside…").click()
    await page.get_by_role("dialog").get_by_role("button", name="Put aside", exact=True).click()
    await expect(row).to_have_count(0)
    assert await state_of(served, failed) == ItemState.CANCELLED

    await page.get_by_role("button", name="Outcome unknown").click()
    row = page.locator(f"[data-item='{unknown}']")
    await row.get_by_role("button", name="Try again…").click()
    await expect(page.get_by_role("dialog")).to_contain_text("it may arrive twice")
    await page.get_by_role("dialog").get_by_role("button", name="Send it again").click()
    await expect(row).to_have_count(0)
    assert await state_of(served, unknown) != ItemState.UNKNOWN
    await page.goto("/admin/audit?family=outbox")
    await expect(page.locator("[data-act]")).to_have_count(2)


async def test_the_trail_is_searched_by_what_was_done_and_by_whom(browser: Browser, served: Served) -> None:
    page = await signed_in(browser, served)
    await page.locator("[data-user=agent]").get_by_role("button", name="Actions for agent").click()
    await page.get_by_role("menuitem", name="Change…").click()
    await page.get_by_role("dialog").get_by_label("Team lead").check()
    await page.get_by_role("dialog").get_by_role("button", name="Save").click()
    await page.locator("[data-user=agent]").get_by_role("button", name="Actions for agent").click()
    await page.get_by_role("menuitem", name="What was changed about them").click()
    await expect(page.locator("[data-act='user.changed']")).to_contain_text("Agent → Agent, Team lead")
    await page.get_by_label("Kind").select_option("account")
    await expect(page.get_by_text("No act fits the filters.")).to_be_visible()
    await page.get_by_role("button", name="Show everything").click()
    await expect(page.locator("[data-act='user.changed']")).to_have_count(1)
    async with page.expect_download() as download:
        await page.get_by_role("link", name="CSV").click()
    text = (await (await download.value).path()).read_text(encoding="utf-8-sig")
    assert "user.changed" in text


async def test_the_users_are_reached_by_the_keyboard_alone(browser: Browser, served: Served) -> None:
    page = await signed_in(browser, served)
    menu = page.get_by_role("button", name="Actions for agent")
    await menu.focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("menuitem", name="Change…")).to_be_focused()
    await page.keyboard.press("ArrowDown")
    await expect(page.get_by_role("menuitem", name="New password…")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("button", name="Make a new password")).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await expect(menu).to_be_focused()


async def test_who_does_not_administer_finds_no_way_in(browser: Browser, served: Served) -> None:
    page = await signed_in(browser, served, "agent")
    await page.wait_for_url("**/console")
    await expect(page.get_by_role("link", name="Admin", exact=True)).to_have_count(0)
    await page.goto("/admin/users")
    await expect(page.get_by_text("These pages are for administrators")).to_be_visible()


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
@pytest.mark.parametrize(("locale", "dark"), [("zh-CN", False), ("zh-TW", True), ("en-GB", False)])
async def test_every_page_of_theirs_is_whole_and_open_to_everybody(
    browser: Browser, served: Served, locale: str, dark: bool, size: tuple[int, int]
) -> None:
    await left_over(served, ItemState.FAILED, 1)
    async with served.hub.db.begin() as tx:
        tx.session.add(Parked(consumer="crm", seq=1, error="KeyError: 'x'", parked_at=served.hub.clock()))
    page = await signed_in(browser, served, locale=locale, dark=dark, width=size[0], height=size[1])
    await expect(page.locator("[data-user]").first).to_be_visible()
    complaints = hear_complaints(page)
    found = {}
    for path in (*SECTIONS, "waiting?state=parked"):
        await page.goto(f"/admin/{path}")
        await expect(page.locator(".admin .data")).to_have_attribute("aria-busy", "false")
        found[path] = (
            await page.evaluate("document.documentElement.scrollWidth - window.innerWidth"),
            [str(barrier) for barrier in await find_barriers(page)],
            [*complaints],
        )
    assert found == dict.fromkeys((*SECTIONS, "waiting?state=parked"), (0, [], []))
