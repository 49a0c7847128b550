"""The browser of the tests shows Chinese, hears what pages complain of and finds barriers."""

from aiohttp import web
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser
from pytest_aiohttp import AiohttpServer

from tests.support.browser import find_barriers, hear_complaints, open_page

GOOD = """<!doctype html><html lang="zh-Hans"><title>库存</title><main><h1>本周库存</h1>
<label>数量 <input></label></main></html>"""
BAD = """<!doctype html><html><title>x</title><main><h1>本周库存</h1><input>
<p style="color:#ccc;background:#fff">看不清</p><script>undefinedName()</script></main></html>"""


async def serve(aiohttp_server: AiohttpServer) -> TestServer:
    app = web.Application()

    def page(text: str) -> web.Response:
        return web.Response(text=text, content_type="text/html")

    async def good(request: web.Request) -> web.Response:
        return page(GOOD)

    async def bad(request: web.Request) -> web.Response:
        return page(BAD)

    app.router.add_get("/good", good)
    app.router.add_get("/bad", bad)
    return await aiohttp_server(app)


async def test_an_accessible_page_has_no_barriers(browser: Browser, aiohttp_server: AiohttpServer) -> None:
    server = await serve(aiohttp_server)
    page = await open_page(browser, str(server.make_url("/")))
    await page.goto("/good")
    assert await page.get_by_role("heading").inner_text() == "本周库存"
    assert await find_barriers(page) == []


async def test_barriers_and_complaints_of_a_bad_page_are_told(
    browser: Browser, aiohttp_server: AiohttpServer
) -> None:
    server = await serve(aiohttp_server)
    page = await open_page(browser, str(server.make_url("/")))
    complaints = hear_complaints(page)
    await page.goto("/bad")
    assert {barrier.rule for barrier in await find_barriers(page)} == {
        "html-has-lang",
        "label",
        "color-contrast",
    }
    assert [rule.where for rule in await find_barriers(page, within="p")] == [("p",)]
    assert any("undefinedName" in complaint for complaint in complaints)
