"""Every page in every language, light and dark, wide and on a phone: none complains, overflows or shuts people out."""

from collections.abc import Awaitable, Callable, Sequence

import pytest
from playwright.async_api import Browser, Page, expect

from tests.flows.newcomer import PATIENCE_MS
from tests.support.browser import find_barriers, hear_complaints, open_page
from tests.support.demo import Demo

Visit = Callable[[Page], Awaitable[None]]

WIDE, PHONE = (1440, 900), (390, 844)


async def doors(page: Page) -> None:
    await page.goto("/")
    await expect(page.locator(".door")).to_have_count(4)


async def sign_in(page: Page) -> None:
    await page.goto("/signin")
    await expect(page.locator("input[type=password]")).to_be_visible()


async def all_three(page: Page) -> None:
    """By the first door, so that what follows is signed in."""
    await page.goto("/")
    await page.locator(".door").first.click()
    await page.wait_for_url("**/side-by-side")
    await expect(page.locator(".bubble").first).to_be_visible()


async def inbox(page: Page) -> None:
    await page.goto("/console")
    await expect(page.locator("[data-party]").first).to_be_visible()


async def search(page: Page) -> None:
    await page.keyboard.press("Control+k")
    await page.locator("dialog input").fill("假烟")
    await expect(page.locator("dialog mark").first).to_be_visible()


async def conversation(page: Page) -> None:
    await page.keyboard.press("Escape")
    await page.locator("[data-party]").first.click()
    await expect(page.locator("article").first).to_be_visible()


async def customer(page: Page) -> None:
    """On a phone the customer stands in front of the messages."""
    await page.keyboard.press("i")
    await expect(page.locator("aside.customer")).to_be_visible()


async def desk(page: Page) -> None:
    await page.goto("/collection")
    await expect(page.locator("[role=gridcell], button .share").first).to_be_visible()


async def figure(page: Page) -> None:
    await page.locator("[role=gridcell].accepted").first.click()
    await page.keyboard.press("c")
    await expect(page.locator("aside.panel form")).to_be_visible()


async def shop(page: Page) -> None:
    await page.locator("li button").nth(1).click()
    await expect(page.locator("[data-figure]").first).to_be_visible()


async def simulator(page: Page) -> None:
    await page.goto("/simulator")
    await expect(page.locator(".bubble").first).to_be_visible()


# Each goes on from where the one before it stands.
ON_WIDE = (doors, sign_in, all_three, inbox, search, conversation, desk, figure, simulator)
ON_PHONE = (doors, sign_in, all_three, inbox, search, conversation, customer, desk, shop, simulator)


@pytest.mark.parametrize(("size", "visits"), [(WIDE, ON_WIDE), (PHONE, ON_PHONE)], ids=["wide", "phone"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize(
    ("browser_says", "lang"), [("zh-CN", "zh-Hans"), ("zh-TW", "zh-Hant"), ("en-GB", "en")]
)
async def test_every_page_is_whole_and_open_to_everybody(
    browser: Browser,
    demo: Demo,
    browser_says: str,
    lang: str,
    dark: bool,
    size: tuple[int, int],
    visits: Sequence[Visit],
) -> None:
    page = await open_page(browser, demo.url, width=size[0], height=size[1], locale=browser_says, dark=dark)
    page.set_default_timeout(PATIENCE_MS)
    complaints = hear_complaints(page)
    found: dict[str, object] = {}
    for visit in visits:
        await visit(page)
        found[visit.__name__] = {
            "lang": await page.locator("html").get_attribute("lang"),
            "overflow": await page.evaluate("document.documentElement.scrollWidth - window.innerWidth"),
            "barriers": [str(barrier) for barrier in await find_barriers(page)],
            "complaints": [*complaints],
        }
        complaints.clear()
    whole = {"lang": lang, "overflow": 0, "barriers": [], "complaints": []}
    assert found == {visit.__name__: whole for visit in visits}


async def test_an_address_without_a_page_says_so_and_leads_back(browser: Browser, demo: Demo) -> None:
    page = await open_page(browser, demo.url, locale="en-GB")
    answered = await page.goto("/nowhere/at/all")
    assert answered is not None
    assert answered.status == 404
    await expect(page.get_by_text("There is nothing at this address")).to_be_visible()
    await page.get_by_role("link", name="Go to the start").click()
    await expect(page.get_by_role("heading", name="Who are you?")).to_be_visible()
