"""The simulated phone's side of the API: phones to take in hand, their messages, sending one. Only in the demo."""

from typing import Any

from aiohttp import web
from pydantic import Field
from sqlalchemy import case, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from core.addresses import telephone
from core.errors import BadInput, NotFound
from core.log import reader
from core.parties import UNKNOWN
from core.tables import Content, Endpoint, Line, Party, PartyKey
from core.text import folded
from core.values import Accepted, Address
from crm.desk import timeline
from workers.assemble import Hub
from workers.demo.people import people
from workers.demo.phones import ACCOUNT, LONGEST, text_in
from workers.web.access import hub_of, user_of
from workers.web.live import phone_message
from workers.web.session_api import Body, answer, locale_of, parsed

_MOST_PHONES = 50
_MOST_MESSAGES = 200


class MessageBody(Body):
    text: str = Field(min_length=1, max_length=LONGEST)
    id: str = Field(default="", max_length=64, pattern=r"^[A-Za-z0-9_-]*$")


class TrafficBody(Body):
    running: bool


def routes() -> list[web.RouteDef]:
    return [
        web.get("/api/simulator/phones", _phones),
        web.get("/api/simulator/phones/{number}/messages", _messages),
        web.post("/api/simulator/phones/{number}/messages", _send),
        web.get("/api/simulator/traffic", _traffic),
        web.post("/api/simulator/traffic", _set_traffic),
        web.get("/api/simulator/examples", _examples),
    ]


def _demo(request: web.Request) -> Hub:
    """The hub, for somebody who came in by one of the demo's doors."""
    hub = hub_of(request)
    if not hub.settings.is_demo:
        raise NotFound("There is no simulator here.")
    user_of(request)
    return hub


async def _phones(request: web.Request) -> web.Response:
    hub = _demo(request)
    async with hub.db.read() as session:
        found = await phones(hub, session, request.query.get("q", "").strip(), locale_of(request))
    return answer({"phones": found})


async def phones(hub: Hub, session: AsyncSession, query: str, locale: str) -> list[dict[str, Any]]:
    """Phones whose owner, licence or number holds the query: shops first, then other customers, then strangers."""
    blueprint = hub.book.current.blueprint
    order = [kind.id for kind in blueprint.customer_kinds if kind.role]
    statement = (
        select(col(Endpoint.value), Party)
        .join(Party, col(Party.id) == col(Endpoint.party_id))
        .where(col(Endpoint.scheme) == "tel")
        .order_by(
            case({kind: place for place, kind in enumerate(order)}, value=col(Party.kind), else_=len(order)),
            col(Endpoint.value),
        )
        .limit(_MOST_PHONES)
    )
    if query:
        number = "".join(char for char in query if char.isdigit())
        tests = [col(Party.folded).contains(folded(query), autoescape=True)]
        if len(number) >= 3:
            named = select(col(PartyKey.party_id)).where(col(PartyKey.key).contains(number))
            tests += [col(Endpoint.value).contains(number), col(Party.id).in_(named)]
        statement = statement.where(or_(*tests))
    territories = {each.id: each.title.text(locale) for each in blueprint.territories}
    kinds = {each.id: (each.title.text(locale), each.key) for each in blueprint.customer_kinds}
    found = []
    for number, party in await session.execute(statement):
        title, key = kinds.get(party.kind, ("", None))
        hints = [territories.get(party.territory, ""), str(party.fields.get(key, "")) if key else title]
        found.append(
            {
                "number": number,
                "name": party.name,
                "party": str(party.id),
                "kind": party.kind,
                "hint": " · ".join(filter(None, hints)) or None,
            }
        )
    return found if query else [*found[: _MOST_PHONES - 1], *await _stranger(session, locale)]


async def _stranger(session: AsyncSession, locale: str) -> list[dict[str, Any]]:
    """A number that nobody has written from yet."""
    stranger = people().stranger
    if await session.get(Endpoint, ("tel", stranger.number)) is not None:
        return []
    title = stranger.title.text(locale)
    return [{"number": stranger.number, "name": title, "party": None, "kind": UNKNOWN, "hint": None}]


def _number(request: web.Request) -> Address:
    address = telephone(request.match_info["number"])
    if address.scheme != "tel":
        raise BadInput("A phone has a telephone number; pick one from the list.")
    return address


async def _messages(request: web.Request) -> web.Response:
    hub = _demo(request)
    address = _number(request)
    async with hub.db.read() as session:
        owner = await session.get(Endpoint, (address.scheme, address.value))
        seqs = await _lines(session, address, owner)
        entries = await reader.at(session, seqs)
    said = [entry for entry in entries if entry.account == ACCOUNT and timeline.is_line(entry)]
    return answer({"messages": [phone_message(entry) for entry in said]})


async def _lines(session: AsyncSession, address: Address, owner: Endpoint | None) -> list[int]:
    """The newest messages to and from the number, oldest first. Before somebody bound it, it was its own party's."""
    named = select(col(Party.id)).where(col(Party.folded) == folded(address.value))
    parties = [*(await session.scalars(named)), *([owner.party_id] if owner else [])]
    rows = await session.scalars(
        select(col(Line.seq))
        .join(Content, col(Content.seq) == col(Line.seq))
        .where(col(Line.party_id).in_(parties), col(Content.address) == address.value)
        .order_by(col(Line.seq).desc())
        .limit(_MOST_MESSAGES)
    )
    return sorted(rows)


async def _send(request: web.Request) -> web.Response:
    hub = _demo(request)
    address = _number(request)
    body = await parsed(request, MessageBody)
    taken = await text_in(hub, address, body.text, body.id)
    return answer({"id": str(taken.id) if isinstance(taken, Accepted) else None})


async def _traffic(request: web.Request) -> web.Response:
    traffic = _demo(request).traffic
    return answer({"running": traffic is not None and traffic.is_running})


async def _set_traffic(request: web.Request) -> web.Response:
    traffic = _demo(request).traffic
    body = await parsed(request, TrafficBody)
    if traffic is None:
        raise NotFound("Nobody else writes here.")
    traffic.is_running = body.running
    return answer({"running": traffic.is_running})


async def _examples(request: web.Request) -> web.Response:
    _demo(request)
    locale = locale_of(request)
    return answer(
        {"examples": [{"title": each.title.text(locale), "text": each.text} for each in people().examples]}
    )
