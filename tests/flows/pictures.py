"""`python -m tests.flows.pictures`: make the pictures of docs/pictures anew, by walking through a fresh demo."""

import asyncio
import tempfile
from pathlib import Path
from typing import Final

from playwright.async_api import Browser, Page, expect

from tests.flows.newcomer import PATIENCE_MS, REPORT
from tests.support.browser import open_browser, open_page
from tests.support.demo import Demo, load_once

FOLDER: Final = Path(__file__).parent.parent.parent / "docs" / "pictures"
LARGEST: Final = 250_000  # bytes; whoever clones the repository pays for them
WIDTH, HEIGHT = 1280, 800


class PictureTooLarge(Exception):
    """A picture would weigh on every clone; show less on it."""


async def take(page: Page, name: str) -> None:
    path = FOLDER / f"{name}.png"
    await page.evaluate("document.fonts.ready")
    await page.screenshot(path=path, animations="disabled")
    if path.stat().st_size > LARGEST:
        raise PictureTooLarge(f"{name} has {path.stat().st_size} bytes, more than {LARGEST}")
    print(f"{path.relative_to(FOLDER.parent.parent)}  {path.stat().st_size // 1000} KB", flush=True)


async def opened(
    browser: Browser, demo: Demo, door: int, *, locale: str = "en-GB", dark: bool = False, phone: bool = False
) -> Page:
    """A page behind the door with this number."""
    width, height = (390, 844) if phone else (WIDTH, HEIGHT)
    page = await open_page(
        browser, demo.url, width=width, height=height, locale=locale, dark=dark, has_touch=phone
    )
    page.set_default_timeout(PATIENCE_MS)
    await page.goto("/")
    await page.locator(".door").nth(door).click()
    await page.wait_for_url(lambda url: not url.endswith("/"))
    return page


async def walk(browser: Browser, demo: Demo) -> None:
    """The README's first ten minutes."""
    page = await open_page(browser, demo.url, width=WIDTH, height=HEIGHT, locale="en-GB")
    page.set_default_timeout(PATIENCE_MS)
    await page.goto("/")
    await expect(page.locator(".door")).to_have_count(4)
    await take(page, "1-who-are-you")

    await page.locator(".door").first.click()
    await page.get_by_label("Text of the message").fill(REPORT)
    await expect(page.locator(".console .bubble").first).to_be_visible()
    await expect(page.locator(".row.marked")).to_be_visible()
    await take(page, "2-write")

    await page.locator("button.send").click()
    await expect(page.locator(".phone .received").filter(has_text="楚岚(软)12条5盒")).to_be_visible()
    await expect(page.locator(".console article.automatic").filter(has_text="共2项")).to_contain_text(
        "Handed over"
    )
    figure = page.locator("[data-figure='102/wt_stock']")
    await expect(figure).to_contain_text("12条5盒")
    await expect(page.locator(".row.marked .cell").nth(1)).to_have_text("12条5盒")
    await expect(page.get_by_role("button", name="191 Received")).to_be_visible()
    await take(page, "3-arrive")

    await figure.click()
    await expect(page.locator("aside.panel mark")).to_have_text("12条5包")
    await page.mouse.move(0, 0)
    await take(page, "4-words")

    await page.get_by_label("Reply to the customer").fill("收到，周三给您送货。")
    await page.keyboard.press("Control+Enter")
    await expect(page.locator(".phone .received").filter(has_text="周三给您送货")).to_be_visible()
    await expect(page.locator(".console .middle article").last).to_contain_text("Handed over")
    await take(page, "5-answer")


async def look_around(browser: Browser, demo: Demo) -> None:
    """The pages by themselves: the console, the desk in the dark, the inbox in a hand."""
    agent = await opened(browser, demo, 1)
    await agent.locator("[data-party]").nth(1).click()
    await expect(agent.locator("aside.customer .case")).to_be_visible()
    await expect(agent.locator("article").first).to_be_visible()
    await take(agent, "6-console")

    clerk = await opened(browser, demo, 2, locale="zh-CN", dark=True)
    await clerk.locator("[role=gridcell].accepted").nth(9).click()
    await expect(clerk.locator("aside.panel mark").first).to_be_visible()
    await clerk.mouse.move(0, 0)
    await take(clerk, "7-desk-dark")

    hand = await opened(browser, demo, 1, locale="zh-CN", phone=True)
    await expect(hand.locator("[data-party]").nth(7)).to_be_visible()
    await take(hand, "8-inbox-390")


async def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        loaded = load_once(Path(folder) / "loaded")
        with Demo(loaded, Path(folder) / "data") as demo:
            async with open_browser() as browser:
                await walk(browser, demo)
                await look_around(browser, demo)


if __name__ == "__main__":
    asyncio.run(main())
