"""The demo's story in a real browser: what a shop writes reaches the desks, is answered, corrected and kept."""

import asyncio
import re
from uuid import uuid4

from playwright.async_api import Browser, Page, expect

from tests.flows.newcomer import (
    AGENT,
    ALL_THREE,
    CLERK,
    REPORT,
    SHOP,
    SHOPKEEPER,
    answer,
    come_in,
    figure_panel,
    find_shop,
    lines,
    look_up,
    row_of,
    rows,
    send,
    shop_row,
    take_phone,
    thread,
)
from tests.support.browser import hear_complaints, open_page
from tests.support.demo import Demo

SUPPLY = "楚岚中支什么时候到货"  # the words of a shop that asks, in the first inbox
MANY = 12  # more tries than a login has


async def test_a_report_reaches_the_desk_and_is_answered_side_by_side(browser: Browser, demo: Demo) -> None:
    page = await come_in(browser, demo, ALL_THREE)
    complaints = hear_complaints(page)
    await expect(page.get_by_role("heading", level=2, name=SHOP).first).to_be_visible()

    await send(page, REPORT)

    await expect(thread(page).get_by_text("楚岚(软)12条5盒，共2项").last).to_be_visible()
    message = lines(page).filter(has_text=REPORT).last
    await expect(message.get_by_role("row", name=re.compile(r"楚岚\(软\).*12条5盒"))).to_be_visible()
    await page.get_by_role("button", name="楚岚(软) 库存: 12条5盒").click()
    await expect(figure_panel(page).locator("mark").first).to_have_text("12条5包")
    await answer(page, "收到，周三给您送货。")
    await expect(thread(page).get_by_text("收到，周三给您送货。")).to_be_visible()
    assert complaints == []


async def test_phone_desk_and_console_on_machines_of_their_own_follow_each_other(
    browser: Browser, demo: Demo
) -> None:
    phone = await come_in(browser, demo, SHOPKEEPER, width=390, height=844, has_touch=True)
    agent = await come_in(browser, demo, AGENT)
    clerk = await come_in(browser, demo, CLERK)
    await look_up(agent, "顺发", SHOP)
    await find_shop(clerk, SHOP)

    await send(phone, "KC 103 7;104 2条6包")

    await expect(thread(phone).get_by_text("江陵月(硬)2条6盒").last).to_be_visible()
    message = lines(agent).filter(has_text="KC 103 7;104 2条6包")
    await expect(message.get_by_role("row", name=re.compile(r"江陵月\(硬\).*2条6盒"))).to_be_visible()
    cell = shop_row(clerk, SHOP).get_by_role("gridcell", name=re.compile("2条6盒"))
    await cell.click()
    await expect(figure_panel(clerk).locator("mark").first).to_have_text("2条6包")
    await answer(agent, "您好，已记下。")
    await expect(thread(phone).get_by_text("您好，已记下。")).to_be_visible()


async def test_a_complaint_opens_a_case_that_the_agent_moves_on(browser: Browser, demo: Demo) -> None:
    phone = await come_in(browser, demo, SHOPKEEPER)
    agent = await come_in(browser, demo, AGENT)
    await expect(rows(agent).first).to_be_visible()
    await expect(row_of(agent, SHOP)).to_have_count(0)

    await send(phone, "TS 楚岚软一条里有三盒霉味")

    row = row_of(agent, SHOP)
    await expect(row).to_contain_text("产品质量")
    await row.click()
    state = agent.get_by_label(re.compile(r"^T\d{4}-\d{4} 的状态"))
    await state.select_option(label="开始处理")
    await expect(agent.get_by_text(re.compile("工单转为.*处理中"))).to_be_visible()


async def test_a_clerk_corrects_a_figure_and_both_stay_in_its_history(browser: Browser, demo: Demo) -> None:
    phone = await come_in(browser, demo, SHOPKEEPER)
    clerk = await come_in(browser, demo, CLERK)
    await send(phone, "KC 106 4")
    await expect(thread(phone).get_by_text("白云渡(软)4条").last).to_be_visible()
    await find_shop(clerk, SHOP)
    await shop_row(clerk, SHOP).get_by_role("gridcell", name=re.compile("^4条")).click()
    panel = figure_panel(clerk)
    await expect(panel.get_by_text("4条", exact=True).first).to_be_visible()

    await clerk.keyboard.press("c")
    await panel.get_by_label("正确的数").fill("一大堆")
    await panel.get_by_label("正确的数").press("Enter")
    await expect(panel.get_by_text(re.compile("^请写数字，例如 3条 或 12条5"))).to_be_visible()
    await panel.get_by_label("正确的数").fill("3条5盒")
    await panel.get_by_label("原因").fill("店主来电更正")
    await panel.get_by_label("正确的数").press("Enter")

    history = panel.get_by_role("listitem")
    await expect(history).to_have_count(2)
    await expect(history.filter(has_text="店主来电更正")).to_contain_text("3条5盒")
    await expect(history.filter(has_text="KC 106 4")).to_contain_text("已被替换")
    await expect(shop_row(clerk, SHOP).get_by_role("gridcell", name=re.compile("^3条5盒"))).to_be_visible()


async def test_a_downloaded_file_holds_the_rows_that_the_desk_shows(browser: Browser, demo: Demo) -> None:
    clerk = await come_in(browser, demo, CLERK)
    await find_shop(clerk, SHOP)
    await expect(clerk.get_by_role("row")).to_have_count(2)

    async with clerk.expect_download() as downloading:
        await clerk.get_by_role("link", name="CSV").click()

    path = await (await downloading.value).path()
    header, *shops = path.read_text("utf-8-sig").splitlines()
    assert header.startswith("零售店,编号,地区,状态,收到时间,迟报")
    assert [line.split(",")[0] for line in shops] == [SHOP]


async def test_who_opts_out_is_shown_to_have_refused(browser: Browser, demo: Demo) -> None:
    page = await come_in(browser, demo, ALL_THREE)
    await take_phone(page, "老街烟酒行")

    await send(page, "TD")

    await expect(thread(page).get_by_text("退订").last).to_be_visible()
    await page.get_by_role("button", name="客户", exact=True).click()
    await expect(page.get_by_role("complementary", name="客户")).to_contain_text("已撤回")


async def test_an_agent_walks_through_the_inbox_by_keyboard_alone(browser: Browser, demo: Demo) -> None:
    agent = await come_in(browser, demo, AGENT)
    await expect(rows(agent).nth(1)).to_be_visible()
    names = [await rows(agent).nth(place).locator(".name").inner_text() for place in (0, 1)]
    heading = agent.get_by_role("region", name="时间线").get_by_role("heading", level=2)

    await agent.keyboard.press("j")
    await expect(heading).to_have_text(names[0])
    await agent.keyboard.press("j")
    await expect(heading).to_have_text(names[1])
    await agent.keyboard.press("k")
    await expect(heading).to_have_text(names[0])

    await agent.keyboard.press("r")
    await agent.keyboard.insert_text("您好，我们马上核实。")
    await agent.keyboard.press("Control+Enter")
    await expect(lines(agent).filter(has_text="您好，我们马上核实。")).to_be_visible()
    await agent.keyboard.press("Escape")

    await agent.keyboard.press("n")
    await agent.keyboard.insert_text("已请仓库核对批次。")
    await agent.keyboard.press("Control+Enter")
    await expect(agent.get_by_role("article", name="备注")).to_contain_text("已请仓库核对批次。")
    await agent.keyboard.press("Escape")

    await agent.keyboard.press("a")
    await expect(agent.get_by_role("menu")).to_be_visible()
    await agent.keyboard.press("End")
    await agent.keyboard.press("Home")
    await agent.keyboard.press("Enter")
    await expect(agent.get_by_text("已分派给 林小满").first).to_be_visible()
    await expect(agent.get_by_role("button", name=re.compile(r"^我的 [1-9]"))).to_be_visible()

    await agent.keyboard.press("e")
    await expect(agent.get_by_text(f"{names[0]}：已办结")).to_be_visible()
    await expect(row_of(agent, names[0])).to_have_count(0)

    await agent.keyboard.press("Control+k")
    await agent.keyboard.insert_text("假烟")
    await expect(agent.get_by_role("option").filter(has_text="假烟").first).to_be_visible()
    await expect(agent.locator("mark").first).to_have_text("假烟")
    await agent.keyboard.press("Escape")
    await expect(agent.get_by_role("dialog")).to_have_count(0)


async def test_a_shop_is_found_by_its_licence_and_by_its_telephone(browser: Browser, demo: Demo) -> None:
    agent = await come_in(browser, demo, AGENT)
    await look_up(agent, "429901100017", SHOP)
    await look_up(agent, "13900000002", "老街烟酒行")


async def presence(page: Page, name: str, doing: str) -> None:
    await expect(page.get_by_role("list", name="同时在看").get_by_title(f"{name} {doing}")).to_be_visible()


async def test_two_agents_see_each_other_and_a_stale_answer_is_held_back(
    browser: Browser, demo: Demo
) -> None:
    lin = await come_in(browser, demo, AGENT)
    chen = await come_in(browser, demo, ALL_THREE)
    await chen.goto("/console")
    await expect(row_of(chen, SUPPLY)).to_be_visible()
    await row_of(lin, SUPPLY).click()
    await row_of(chen, SUPPLY).click()
    await presence(lin, "陈静", "正在查看")
    await presence(chen, "林小满", "正在查看")

    await lin.get_by_label("回复客户").press_sequentially("稍等")
    await presence(chen, "林小满", "正在输入")
    await answer(chen, "您好，楚岚中支周五到货。")
    await expect(lines(lin).filter(has_text="楚岚中支周五到货")).to_be_visible()
    await lin.get_by_label("回复客户").press("Control+Enter")

    dialog = lin.get_by_role("dialog", name="刚才已有同事回复")
    await expect(dialog).to_contain_text("您好，楚岚中支周五到货。")
    await expect(dialog).to_contain_text("陈静")
    await dialog.get_by_role("button", name="继续编辑").click()
    await expect(lin.get_by_label("回复客户")).to_have_value("稍等")
    await expect(lines(lin).filter(has_text="稍等")).to_have_count(0)


async def test_pages_that_lost_the_server_go_on_without_missing_a_line(browser: Browser, demo: Demo) -> None:
    agent = await come_in(browser, demo, AGENT)
    phone = await come_in(browser, demo, SHOPKEEPER)
    await look_up(agent, "顺发", SHOP)
    words = [f"咨询 第{number}问 {uuid4().hex[:6]}" for number in range(3)]
    await send(phone, words[0])
    await expect(lines(agent).filter(has_text=words[0])).to_be_visible()

    await agent.context.set_offline(True)
    await asyncio.to_thread(demo.stop)
    await expect(agent.get_by_role("status").filter(has_text="连接已断开")).to_be_visible()
    await asyncio.to_thread(demo.start)
    await send(phone, words[1])
    await send(phone, words[2])
    await agent.context.set_offline(False)

    await expect(agent.get_by_role("status").filter(has_text="连接已断开")).to_have_count(0)
    for text in words:
        await expect(lines(agent).filter(has_text=text)).to_have_count(1)


async def test_who_guesses_passwords_is_told_when_to_come_back(browser: Browser, demo: Demo) -> None:
    page = await open_page(browser, demo.url)
    await page.goto("/signin")
    login, password = page.get_by_label("登录名"), page.get_by_label("密码", exact=True)
    guess = {"login": "lin.xiaoman", "password": "a wrong guess"}
    answers = [await page.request.post("/api/session", data=guess) for _ in range(MANY)]
    assert {answer.status for answer in answers} == {401, 429}

    await login.fill(guess["login"])
    await password.fill(guess["password"])
    await password.press("Enter")

    await expect(page.get_by_text(re.compile(r"尝试次数过多，请在 \d+ 秒后再试"))).to_be_visible()
