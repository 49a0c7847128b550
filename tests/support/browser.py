"""A headless Chromium for tests of the pages, and axe's judgement of how accessible a page is."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
# No sandbox because tests may run as root in a container; the pages are our own. The rest keeps the
# browser from the network and from the GPU, which a test machine may not have.
FLAGS = (
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# WCAG 2.2 up to level AA; axe's own opinions on good practice are left out.
RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa")


class BrowserMissing(Exception):
    """No Chromium is installed; the text says how to get one."""


@dataclass(frozen=True, slots=True)
class Barrier:
    """One way in which a page keeps somebody out."""

    rule: str
    impact: str
    help: str
    where: tuple[str, ...]  # CSS selectors

    def __str__(self) -> str:
        return f"{self.impact}: {self.help} ({self.rule}) at {', '.join(self.where)}"


def find_program() -> str:
    for name in PROGRAMS:
        path = shutil.which(name)
        if path is not None:
            return path
    raise BrowserMissing("Chromium is not installed: 'apt-get install chromium fonts-noto-cjk' on Debian")


@asynccontextmanager
async def open_browser() -> AsyncIterator[Browser]:
    """A browser with an empty profile; its pages' waits end after 10 s unless told otherwise."""
    program = find_program()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        try:
            yield browser
        finally:
            await browser.close()


async def open_page(
    browser: Browser,
    base_url: str,
    *,
    width: int = 1440,
    height: int = 900,
    locale: str = "zh-CN",
    dark: bool = False,
    **context: Any,
) -> Page:
    """A page of its own context: no cookies and no storage of another's. Paths are relative to `base_url`.

    A phone is `width=390, height=844, has_touch=True`; other keywords are those of Playwright's new_context.
    """
    opened = await browser.new_context(
        base_url=base_url,
        viewport={"width": width, "height": height},
        locale=locale,
        timezone_id="Asia/Shanghai",
        color_scheme="dark" if dark else "light",
        reduced_motion="reduce",
        **context,
    )
    opened.set_default_timeout(10_000)
    return await opened.new_page()


def hear_complaints(page: Page) -> list[str]:
    """A list that fills with what the page complains of from now on: errors on its console, uncaught
    exceptions, what its content security policy stopped, and answers of 500 and above."""
    heard: list[str] = []

    def on_console(message: ConsoleMessage) -> None:
        if message.type == "error":
            heard.append(message.text)

    page.on("console", on_console)
    page.on("pageerror", lambda error: heard.append(str(error)))
    page.on("response", lambda response: heard.append(response.url) if response.status >= 500 else None)
    return heard


async def find_barriers(page: Page, within: str | None = None) -> list[Barrier]:
    """What axe finds against WCAG AA on the page as it stands now, or inside the one selector."""
    options = {"runOnly": {"type": "tag", "values": list(RULES)}, "resultTypes": ["violations"]}
    results = await Axe().run(page, context=within, options=options)
    return [
        Barrier(
            rule=violation["id"],
            impact=violation["impact"] or "unknown",
            help=violation["help"],
            where=tuple(" ".join(map(str, node["target"])) for node in violation["nodes"]),
        )
        for violation in results.response["violations"]
    ]
