"""What runs, over HTTP: alarms in words, silent processes, owners that are gone, what still waits."""

from datetime import timedelta

import pytest

from core.tables import AlarmRow, LeaseRow, Parked, ProcessRow
from tests.workers.web.conftest import Office


async def test_a_hub_at_rest_says_so(office: Office) -> None:
    await office.hub.caught_up()
    found = await office.get("system")
    assert (found["alarms"], found["grown"]) == ([], False)
    assert set(found["outbox"].values()) == {0}
    assert [(each["name"], each["lag"], each["parked"]) for each in found["consumers"]] == [
        ("crm", 0, 0),
        ("search", 0, 0),
    ]


async def test_an_alarm_is_said_in_words_also_one_that_this_version_does_not_know(office: Office) -> None:
    begun = office.clock() - timedelta(minutes=12)
    known = {"kind": "consumer_behind", "subject": "crm", "figures": {"number": 7}, "told_number": 0}
    async with office.hub.db.begin() as tx:
        tx.session.add(AlarmRow(name="consumer_behind:crm", since=begun, detail=known))
        tx.session.add(AlarmRow(name="of_tomorrow", since=office.clock(), detail={}))
    first, second = (await office.get("system"))["alarms"]
    assert (first["title"], first["figures"]) == ("The consumer crm is behind", {"number": 7})
    assert first["meaning"] != ""
    assert (second["title"], second["meaning"], second["urgent"]) == ("of_tomorrow", "", False)


@pytest.mark.parametrize(("seconds", "is_silent"), [(5, False), (31, True)])
async def test_a_process_that_is_not_heard_of_is_silent(
    office: Office, seconds: int, is_silent: bool
) -> None:
    at = office.clock()
    async with office.hub.db.begin() as tx:
        tx.session.add(
            ProcessRow(
                name="web-7",
                role="web",
                host="hub-a",
                pid=7,
                started_at=at - timedelta(hours=3),
                seen_at=at - timedelta(seconds=seconds),
            )
        )
    processes = {each["name"]: each for each in (await office.get("system"))["processes"]}
    assert processes["web-7"]["silent"] is is_silent


async def test_a_lease_that_has_run_out_belongs_to_nobody(office: Office) -> None:
    at = office.clock()
    async with office.hub.db.begin() as tx:
        for name, seconds in (("digest", 5), ("schedule", -5)):
            until = at + timedelta(seconds=seconds)
            tx.session.add(LeaseRow(name=f"{name}-x", holder="a", epoch=3, until=until))
    leases = {each["name"]: each["free"] for each in (await office.get("system"))["leases"]}
    assert (leases["digest-x"], leases["schedule-x"]) == (False, True)


async def test_what_a_consumer_has_put_aside_is_counted(office: Office) -> None:
    async with office.hub.db.begin() as tx:
        tx.session.add(Parked(consumer="crm", seq=1, error="x", parked_at=office.clock()))
    assert (await office.get("system"))["consumers"][0]["parked"] == 1
