"""What a newcomer does on the pages of the demo: comes in by a door, writes on the phone, looks things up."""

import re
from typing import Any

from playwright.async_api import Browser, Locator, Page, expect

from tests.support.browser import open_page
from tests.support.demo import Demo

SHOP = "顺发便民店"
REPORT = "KC 101 3;102 12条5包"
PATIENCE_MS = 15_000  # a loaded machine takes its time; what is waited for comes in well under a second

# Doors, as the first page names them.
ALL_THREE = "三屏并看"
AGENT = "客服坐席"
CLERK = "信息采集员"
SHOPKEEPER = "店主"

expect.set_options(timeout=PATIENCE_MS)


async def come_in(browser: Browser, demo: Demo, door: str, **context: Any) -> Page:
    """A page of its own browser context, behind the door."""
    page = await open_page(browser, demo.url, **context)
    page.set_default_timeout(PATIENCE_MS)
    await page.goto("/")
    await page.get_by_role("button", name=re.compile(f"^{door}")).click()
    await page.wait_for_url(lambda url: not url.endswith("/"))
    return page


# The phone.


def thread(page: Page) -> Locator:
    return page.get_by_role("region", name="模拟手机").get_by_role("log")


async def write(page: Page, text: str) -> None:
    """Type on the phone, without sending."""
    await page.get_by_label("短信内容").fill(text)


async def send(page: Page, text: str) -> None:
    """Send from the phone in hand; returns when the phone shows it as sent."""
    await write(page, text)
    await page.get_by_role("region", name="模拟手机").get_by_role("button", name="发送", exact=True).click()
    await expect(thread(page).get_by_text(text, exact=True).last).to_be_visible()
    await expect(thread(page).get_by_text("正在发送…")).to_have_count(0)


async def take_phone(page: Page, words: str) -> None:
    """Take the phone whose shop, licence or number is typed."""
    await page.get_by_role("button", name="手机属于").click()
    await page.get_by_role("combobox", name="搜索店铺").fill(words)
    option = page.get_by_role("option").first
    await expect(option).to_contain_text(words)
    await option.click()


# The console.


def lines(page: Page) -> Locator:
    return page.get_by_role("region", name="时间线").get_by_role("article")


def rows(page: Page) -> Locator:
    return page.get_by_role("region", name="会话").get_by_role("link")


def row_of(page: Page, words: str) -> Locator:
    """The row of the list with these words in its name or its last message."""
    return rows(page).filter(has_text=words)


async def look_up(page: Page, words: str, choice: str) -> None:
    """Ctrl+K, type, and open the first result that says `choice`."""
    await expect(page.get_by_role("region", name="会话")).to_be_visible()
    await page.keyboard.press("Control+k")
    await page.get_by_role("combobox", name="搜索消息、店铺、工单").fill(words)
    await page.get_by_role("option").filter(has_text=choice).first.click()
    await expect(page.get_by_role("heading", level=2, name=choice).first).to_be_visible()


async def answer(page: Page, text: str) -> None:
    field = page.get_by_label("回复客户")
    await field.fill(text)
    await field.press("Control+Enter")
    await expect(field).to_have_value("")


# The collection desk.


def figure_panel(page: Page) -> Locator:
    return page.get_by_role("complementary", name="数据")


def shop_row(page: Page, shop: str) -> Locator:
    return page.get_by_role("row").filter(has=page.get_by_role("rowheader", name=re.compile(shop)))


async def find_shop(page: Page, shop: str) -> None:
    await page.get_by_role("searchbox", name="搜索店铺").fill(shop)
    await expect(shop_row(page, shop)).to_be_visible()
