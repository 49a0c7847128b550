"""The world of a benchmark: a data folder with the published blueprint, one line, known shops and signed-in people."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import NAMESPACE_URL, UUID, uuid5

from core.clock import now
from core.settings import Settings
from core.values import Address
from crm.blueprint.publishing import publish
from crm.blueprint.reading import check_folder
from tests.bench.messages import ACCOUNT, ORIGIN, phone
from tests.bench.processes import ROOT
from tests.support.fake_twilio import ACCOUNT_SID, AUTH_TOKEN, NUMBER
from workers.assemble import Hub, assemble, running

TOBACCO = ROOT / "blueprints" / "tobacco"
TOKEN_VARIABLE = "BENCH_TWILIO_TOKEN"
ENVIRONMENT = {TOKEN_VARIABLE: AUTH_TOKEN}
_TOKENS = "consoles.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """`queues` > 0 spreads the shops' conversations over so many queues of their own."""

    shops: int
    consoles: int = 1
    queues: int = 0


def settings_of(folder: Path) -> Settings:
    return Settings(data=folder, port=0, public_url=ORIGIN, log_level="WARNING")


def shop_id(shop: int) -> UUID:
    return uuid5(NAMESPACE_URL, phone(shop))


def queue_of(number: int) -> str:
    return f"bench_{number:02}"


def tokens(folder: Path) -> list[str]:
    """One for each console that may be opened: the value of its cookie."""
    known: list[str] = json.loads((folder / _TOKENS).read_text())
    return known


async def make(folder: Path, world: World, provider: int, settings: Settings | None = None) -> None:
    """Make the data folder, or fill what `settings` name. `provider` is the port where messages are handed over."""
    blueprint = _blueprint(folder, world.queues)
    async with _filling(settings or settings_of(folder)) as hub:
        checked = await asyncio.to_thread(check_folder, blueprint)
        assert checked.blueprint is not None, [str(each) for each in checked.problems]
        async with hub.db.begin() as tx:
            await publish(tx, checked.blueprint, author="bench", approved_by="bench", note="bench", at=now())
            await hub.accounts.create(
                tx,
                slug=ACCOUNT,
                provider="sms.twilio",
                title="Main line",
                config={
                    "account_sid": ACCOUNT_SID,
                    "sender": NUMBER,
                    "api_base": f"http://127.0.0.1:{provider}",
                },
                secrets={"auth_token": f"env:{TOKEN_VARIABLE}"},
                at=now(),
            )
        await hub.book.load(hub.db)
        await _people(hub, folder, world.consoles)
        await asyncio.gather(*(_shop(hub, number, world.queues) for number in range(world.shops)))
        await hub.caught_up()


@asynccontextmanager
async def _filling(settings: Settings) -> AsyncIterator[Hub]:
    async with assemble(settings) as hub, running(hub):
        yield hub


def _blueprint(folder: Path, queues: int) -> Path:
    """The product's own, with some more queues."""
    blueprint = folder / "blueprint"
    shutil.copytree(TOBACCO, blueprint)
    with (blueprint / "process" / "queues.yaml").open("a", encoding="utf-8") as file:
        for number in range(queues):
            file.write(
                f"  {queue_of(number)}:\n"
                f"    title: {{zh-Hans: 第{number}组, en: Team {number}}}\n"
                "    org_unit: HQ.SERVICE\n"
                "    roles: [agent, agent_lead]\n"
                "    calendar: service_desk\n"
                "    priority: 5\n"
                "    due: {first_answer: P1D, solve: P2D}\n"
            )
    return blueprint


async def _people(hub: Hub, folder: Path, count: int) -> None:
    known = []
    async with hub.db.begin() as tx:
        for number in range(count):
            user = await hub.users.create(tx, login=f"agent{number}", name=f"Agent {number}", roles=["agent"])
            known.append((await hub.sign_ins.begin(tx, user)).token)
    (folder / _TOKENS).write_text(json.dumps(known))


async def _shop(hub: Hub, number: int, queues: int) -> None:
    about = Address("tel", phone(number))
    detail = {
        "party": str(shop_id(number)),
        "kind": "retailer",
        "name": f"便民烟酒店{number:04}",
        "territory": "429901",
        "stage": "active",
        "fields": {
            "licence": f"42990110{number:04}",
            "market": "C",
            "form": "Z",
            "size": "2",
            "size_factor": 1.0,
        },
        "keys": {"licence": f"42990110{number:04}"},
        "addresses": [{"scheme": about.scheme, "value": about.value}],
    }
    await hub.intake.act("party.put", by="", about=about, key=f"bench:{number}", detail=detail)
    if queues:
        put = {"party": detail["party"], "queue": queue_of(number % queues)}
        await hub.intake.act("queue", by="", about=about, key=f"bench:queue:{number}", detail=put)
