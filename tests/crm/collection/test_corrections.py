"""What people decide about figures: accept, reject, correct; each decision keeps what stood before."""

from datetime import timedelta

from tests.support.hub import CLERK, DeskHub


async def test_an_accepted_figure_stands_and_names_who_accepted_it(hub: DeskHub) -> None:
    shop = await hub.shop()
    report = await hub.sms("KC 103 158")
    seq = await hub.act("figure.accept", party=shop, by=CLERK, observation=f"{report.seq}.0")
    assert await hub.figures(shop) == {("103", "wt_stock"): (1580, "accepted")}
    (observation,) = await hub.observations(shop)
    assert (observation.by, observation.settled_seq) == (CLERK, seq)
    (submission,) = await hub.submissions(shop)
    assert submission.state == "accepted"


async def test_the_conversation_rests_once_nothing_is_held_any_more(hub: DeskHub) -> None:
    shop = await hub.shop()
    report = await hub.sms("KC 103 158;102 99")
    await hub.act("figure.accept", party=shop, observation=f"{report.seq}.0")
    row = await hub.conversation(shop)
    assert (row.state, row.flags["held"]) == ("open", 1)
    await hub.act("figure.reject", party=shop, observation=f"{report.seq}.1", text="多打了一个9")
    row = await hub.conversation(shop)
    assert (row.state, row.unread, row.due_at, row.flags) == ("auto", 0, None, {})


async def test_a_conversation_that_was_open_before_the_doubt_stays_open(hub: DeskHub) -> None:
    shop = await hub.shop()
    await hub.sms("投诉 102 受潮")
    report = await hub.sms("KC 103 158")
    await hub.act("figure.accept", party=shop, observation=f"{report.seq}.0")
    assert (await hub.conversation(shop)).state == "open"


async def test_a_rejected_figure_is_shown_no_more_and_keeps_its_reason(hub: DeskHub) -> None:
    shop = await hub.shop()
    report = await hub.sms("KC 101 3")
    await hub.act(
        "figure.reject", party=shop, by=CLERK, observation=f"{report.seq}.0", text="电话核实，是别家的"
    )
    assert await hub.figures(shop) == {}
    (observation,) = await hub.observations(shop)
    assert (observation.state, observation.reason, observation.by) == (
        "rejected",
        "电话核实，是别家的",
        CLERK,
    )


async def test_a_corrected_figure_names_the_one_it_replaces(hub: DeskHub) -> None:
    shop = await hub.shop()
    report = await hub.sms("KC 103 158")
    seq = await hub.act(
        "figure.correct", party=shop, by=CLERK, observation=f"{report.seq}.0", value=158, text="是158盒"
    )
    assert await hub.figures(shop) == {("103", "wt_stock"): (158, "corrected")}
    before, after = await hub.observations(shop)
    assert (before.state, before.settled_seq) == ("replaced", seq)
    assert (after.seq, after.supersedes_seq, after.by, after.reason) == (seq, report.seq, CLERK, "是158盒")
    assert (after.submission, after.at) == (report.seq, before.at)


async def test_a_correction_can_itself_be_corrected(hub: DeskHub) -> None:
    shop = await hub.shop()
    report = await hub.sms("KC 101 3")
    first = await hub.act("figure.correct", party=shop, observation=f"{report.seq}.0", value=40)
    await hub.act("figure.correct", party=shop, observation=f"{first}.0", value=50)
    assert await hub.figures(shop) == {("101", "wt_stock"): (50, "corrected")}


async def test_what_the_shop_says_later_counts_more_than_a_correction(hub: DeskHub) -> None:
    shop = await hub.shop()
    report = await hub.sms("KC 101 3")
    hub.clock.forward(timedelta(hours=2))
    await hub.sms("KC 101 6")
    await hub.act("figure.correct", party=shop, observation=f"{report.seq}.0", value=40)
    assert await hub.figures(shop) == {("101", "wt_stock"): (60, "accepted")}


async def test_a_figure_that_was_settled_meanwhile_is_not_settled_again(hub: DeskHub) -> None:
    shop = await hub.shop()
    report = await hub.sms("KC 103 158")
    await hub.sms("Y")
    await hub.act("figure.reject", party=shop, observation=f"{report.seq}.0", text="错")
    for verb in ("accept", "reject", "correct"):
        seq = await hub.act(f"figure.{verb}", party=shop, observation=f"{report.seq}.0", value=10)
        refusal = await hub.refusal(seq)
        assert refusal is not None
        assert (refusal.code, refusal.detail) == ("settled_meanwhile", {"state": "rejected"})


async def test_a_figure_that_is_not_there_cannot_be_settled(hub: DeskHub) -> None:
    shop = await hub.shop()
    refusal = await hub.refusal(await hub.act("figure.accept", party=shop, observation="999.0"))
    assert refusal is not None
    assert refusal.code == "not_found"


async def test_a_shops_own_correction_after_a_desk_correction_stands(hub: DeskHub) -> None:
    shop = await hub.shop()
    report = await hub.sms("KC 101 3")
    await hub.act("figure.correct", party=shop, observation=f"{report.seq}.0", value=40)
    hub.clock.forward(timedelta(minutes=20))
    await hub.sms("GZ 101 5")
    assert await hub.figures(shop) == {("101", "wt_stock"): (50, "corrected")}
    assert [row.state for row in await hub.observations(shop)] == ["replaced", "replaced", "accepted"]
