"""A replay that counts: what it shows is what it writes, nothing else moves, and nothing is sent."""

import asyncio
import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from core.settings import Settings
from tests.support.postgres import Cluster
from tests.workers.cli.conftest import TOBACCO, Run, serving
from tests.workers.cli.test_moving import fetched
from workers.assemble import assemble


@dataclass(frozen=True, slots=True)
class Story:
    run: Run
    ask: Callable[[str], list[Any]]

    def differences(self, *words: str) -> dict[str, Any]:
        ran = self.run("replay", "--dry-run", "--json", *words)
        assert ran.code in (0, 3), ran.err
        found = {each["kind"]: each for each in json.loads(ran.out)["differences"]}
        assert json.loads(ran.out)["undigested"] == []
        return {kind: each for kind, each in found.items() if each["changed"] or each["gone"] or each["new"]}


@pytest.fixture
def small(run: Run, data: Path, loaded: Path) -> Story:
    shutil.copytree(loaded, data)

    def ask(query: str) -> list[Any]:
        with sqlite3.connect(data / "switchboard.db") as db:
            found = db.execute(query).fetchall()
        db.close()
        return found

    return Story(run, ask)


@pytest.fixture
def grown(
    small: Story, data: Path, postgres_cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Story]:
    name = postgres_cluster.create_database()
    url = postgres_cluster.url(name)
    assert small.run("move", "--to", url).code == 0
    (data / "switchboard.db").unlink()
    monkeypatch.setenv("SWITCHBOARD_DATABASE", url)
    yield Story(small.run, lambda query: [tuple(row) for row in fetched(url, query)])
    postgres_cluster.discard_database(name)


@pytest.fixture(params=["small", "grown"])
def story(request: pytest.FixtureRequest) -> Story:
    found: Story = request.getfixturevalue(request.param)
    return found


def asks_back_sooner(folder: Path) -> Path:
    """The default blueprint, which holds figures already above 90."""
    shutil.copytree(TOBACCO, folder)
    form = folder / "info" / "weekly_terminal.yaml"
    text = form.read_text(encoding="utf-8")
    assert "confirm_above: 600" in text
    form.write_text(text.replace("confirm_above: 600", "confirm_above: 90"), encoding="utf-8")
    return folder


def published(story: Story, tmp_path: Path) -> None:
    assert story.run("blueprint", "publish", str(asks_back_sooner(tmp_path / "sooner"))).code == 0


STAYS = (
    *(
        f"SELECT count(*) FROM {name}"
        for name in ("outbox", "user_account", "account", "log", "file", "seal")
    ),
    "SELECT id, number FROM service_case ORDER BY id",
    "SELECT consumer, lane, seq FROM cursor ORDER BY 1, 2",
)
HELD = "SELECT count(*) FROM observation WHERE state = 'held'"
REPORTER = (
    "SELECT e.value, p.name FROM endpoint e JOIN party p ON p.id = e.party_id JOIN figure f ON f.party_id = p.id"
    " WHERE e.scheme = 'tel' ORDER BY e.value LIMIT 1"
)
OF_ERASED = "SELECT count(*) FROM figure WHERE party_id IN (SELECT id FROM party WHERE erased_at IS NOT NULL)"


def test_what_a_new_blueprint_reads_differently_is_shown_switched_to_and_then_equal(
    story: Story, tmp_path: Path
) -> None:
    published(story, tmp_path)
    shown = story.differences()
    assert shown["readings"]["changed"] > 10
    held, before = story.ask(HELD), [story.ask(query) for query in STAYS]
    ran = story.run("replay", "--switch", "--yes", "--json")
    assert ran.code == 0, ran.err
    switched = json.loads(ran.out)
    assert switched["written"] == sum(
        each["changed"] + each["gone"] + each["new"] for each in switched["differences"]
    )
    assert {each["kind"]: each for each in switched["differences"]}.items() >= shown.items()
    assert story.ask(HELD) > held
    # Nothing is queued, and what does not follow from the log is as it was.
    assert [story.ask(query) for query in STAYS] == before
    assert story.differences() == {}


def test_figures_of_an_erased_person_outlive_a_replay(small: Story, tmp_path: Path) -> None:
    [(reporter, name)] = small.ask(REPORTER)
    assert small.run("erase", reporter, "--yes").code == 0
    before = small.ask(OF_ERASED)
    assert before[0][0] > 0
    assert small.differences() == {}
    published(small, tmp_path)
    assert small.run("replay", "--switch", "--yes").code == 0
    assert small.ask(OF_ERASED) == before
    assert small.ask(f"SELECT count(*) FROM party WHERE name = '{name}'") == [(0,)]


def test_without_a_yes_nothing_changes(small: Story, tmp_path: Path) -> None:
    published(small, tmp_path)
    ran = small.run("replay", "--switch")
    assert ran.code == 1
    assert "Say --yes" in ran.err
    assert small.differences()["readings"]["changed"] > 10


async def indexed(data: Path) -> None:
    """Let the search digest what the demo's loading has left to it."""
    async with assemble(Settings(data=data, is_demo=True)) as hub:
        work = asyncio.create_task(hub.search.run())
        await hub.search.caught_up()
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)


def test_a_damaged_index_is_made_whole(small: Story, data: Path) -> None:
    asyncio.run(indexed(data))
    [[before]] = small.ask("SELECT count(*) FROM posting")
    damaged = len(small.ask("DELETE FROM posting WHERE seq % 7 = 0 RETURNING seq"))
    shown = small.differences("--consumer", "search")["index entries"]
    assert (shown["new"], shown["compared"]) == (damaged, before - damaged)
    assert small.run("replay", "--switch", "--consumer", "search", "--yes").code == 0
    assert small.ask("SELECT count(*) FROM posting") == [(before,)]
    assert damaged > 100


def test_the_running_hub_switches_for_the_command_line(small: Story, data: Path, tmp_path: Path) -> None:
    with serving("demo", "--no-traffic"):
        published(small, tmp_path)
        ran = small.run("replay", "--switch", "--yes")
    assert ran.code == 0, ran.err
    assert "Switched: " in ran.out
    assert small.differences() == {}


def test_a_draft_is_looked_at_and_not_switched_to(small: Story, tmp_path: Path) -> None:
    draft = str(asks_back_sooner(tmp_path / "draft"))
    assert small.differences("--blueprint", draft)["readings"]["changed"] > 10
    ran = small.run("replay", "--switch", "--blueprint", draft)
    assert ran.code == 1
    assert "Publish the blueprint first" in ran.err


def test_where_nothing_differs_nothing_is_asked(small: Story) -> None:
    ran = small.run("replay", "--switch", "--consumer", "search")
    assert ran.code == 0, ran.err
    assert "says what stands now" in ran.out
