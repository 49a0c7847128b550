"""The agents' desk over HTTP: what it reads: boot, inbox, party, timeline, search, raw messages."""

from typing import Any
from uuid import UUID

from aiohttp import web
from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from core import parties, search, users
from core.addresses import telephone
from core.errors import BadInput, NotFound
from core.log import reader
from core.tables import Endpoint, Line, Party, PartyKey
from core.text import folded
from core.users import User
from core.values import Address
from crm import cases
from crm.collection.periods import span_of
from crm.desk import inbox, panel, timeline
from crm.desk.inbox import View
from crm.desk.viewer import Viewer, moment, people
from crm.desk.vocabulary import ACTS, DELIVERY, ERRORS, INTENTS, STATUSES, WARNS
from crm.tables import Case
from workers.assemble import Hub
from workers.web.access import REVEAL, hub_of, may, require
from workers.web.session_api import answer, locale_of, shown_user

_PAGE = 50
_LARGEST_PAGE = 200
_MOST_PARTIES = 10
_FEWEST_DIGITS = 4


def routes() -> list[web.RouteDef]:
    party = "/api/parties/{id}"
    return [
        web.get("/api/boot", _boot),
        web.get("/api/inbox", _inbox),
        web.get("/api/search", _search),
        web.get(party, _party),
        web.get(f"{party}/timeline", _timeline),
        web.get("/api/interactions/{id}/raw", _raw),
    ]


async def viewer_of(request: web.Request, session: AsyncSession, user: User) -> Viewer:
    hub = hub_of(request)
    published = hub.book.current
    return Viewer(
        user_id=user.id,
        locale=locale_of(request),
        published=published,
        sees_numbers=may(published.blueprint, user, REVEAL),
        people=await people(session),
    )


def party_id(request: web.Request) -> UUID:
    try:
        return UUID(request.match_info["id"])
    except ValueError:
        raise NotFound("There is no such party.") from None


def _number(request: web.Request, name: str, default: int, most: int) -> int:
    text = request.query.get(name, "")
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise BadInput(f"{name} is a whole number.", given=text[:20])
    return min(int(text), most)


async def _boot(request: web.Request) -> web.Response:
    hub = hub_of(request)
    user = require(request, "interaction.read")
    async with hub.db.read() as session:
        viewer = await viewer_of(request, session, user)
        colleagues = await users.all_users(session)
        head = await hub.told(session)
    return answer(_boot_data(hub, viewer, user, colleagues, head))


def _boot_data(hub: Hub, viewer: Viewer, user: User, colleagues: list[User], head: int) -> dict[str, Any]:
    blueprint, locale = viewer.blueprint, viewer.locale
    today = hub.clock().astimezone(viewer.published.timezone).date()
    form = blueprint.form(blueprint.messages.default_form)
    states = {state.id: state.title.text(locale) for flow in blueprint.flows for state in flow.states}
    return {
        "user": shown_user(hub, user),
        "now": moment(hub.clock()),
        "head": head,
        "period": span_of(form.period, today).key,
        "queues": [{"key": queue.id, "title": queue.title.text(locale)} for queue in blueprint.queues],
        "users": [
            {"id": str(each.id), "name": each.name, "queues": list(each.queues)}
            for each in colleagues
            if may(blueprint, each, "interaction.reply")
        ],
        "channels": [
            {
                "account": slug,
                "kind": hub.accounts.kind_of(slug).value,
                "title": hub.accounts.account(slug).title,
                "sends": True,
            }
            for slug in hub.accounts.slugs()
        ],
        "case_kinds": [
            {
                "key": kind.id,
                "title": kind.title.text(locale),
                "subkinds": [
                    {"key": code, "title": label} for code, label, _ in cases.subkinds(blueprint, kind.id)
                ],
            }
            for kind in blueprint.case_kinds
        ],
        "case_states": [{"key": key, "title": title} for key, title in states.items()],
        "customer_kinds": [
            {"key": kind.id, "title": kind.title.text(locale)} for kind in blueprint.customer_kinds
        ],
        "canned": [
            {"key": reply.id, "title": reply.title.text(locale), "text": reply.text.text("zh-Hans")}
            for reply in blueprint.canned_replies
            if not reply.channels or "sms" in reply.channels
        ],
        "products": [
            {
                "sku": product.sku,
                "name": product.title.text(locale),
                "short": (product.spec or product.title).text(locale),
                "own": blueprint.brand(product.brand).own,
                "brand": blueprint.brand(product.brand).title.text(locale),
            }
            for product in blueprint.products
        ],
        "forms": [
            {
                "id": each.form,
                "title": each.title.text(locale),
                "fields": [
                    {
                        "id": field.id,
                        "title": field.title.text(locale),
                        "type": field.type,
                        "unit": getattr(field, "unit", None),
                    }
                    for field in each.lines.fields
                ]
                if each.lines
                else [],
            }
            for each in blueprint.forms
        ],
        "labels": {
            name: {key: viewer.say(msgid) for key, msgid in words.items()}
            for name, words in (
                ("intent", INTENTS),
                ("status", STATUSES),
                ("warn", WARNS),
                ("error", ERRORS),
                ("delivery", DELIVERY),
                ("act", ACTS),
            )
        },
        "territories": [{"key": each.id, "title": each.title.text(locale)} for each in blueprint.territories],
        "simulator": hub.settings.is_demo,
        "traffic": {"running": hub.traffic.is_running} if hub.traffic else None,
    }


async def _inbox(request: web.Request) -> web.Response:
    hub = hub_of(request)
    user = require(request, "interaction.read")
    try:
        view = View(request.query.get("view", View.OPEN))
    except ValueError:
        raise BadInput("There is no such view.", views=[each.value for each in View]) from None
    queue = request.query.get("queue", "")
    async with hub.db.read() as session:
        head = await hub.told(session)
        viewer = await viewer_of(request, session, user)
        rows, following = await inbox.page(
            session,
            viewer,
            view,
            queue,
            request.query.get("after", ""),
            _number(request, "limit", _PAGE, _LARGEST_PAGE),
            hub.clock(),
        )
        counts = await inbox.count_table(session)
    return answer({"rows": rows, "next": following, "head": head, "counts": counts.for_user(user.id)})


async def _party(request: web.Request) -> web.Response:
    hub = hub_of(request)
    user = require(request, "party.read")
    async with hub.db.read() as session:
        viewer = await viewer_of(request, session, user)
        return answer(await panel.panel(session, viewer, party_id(request), hub.clock()))


async def _timeline(request: web.Request) -> web.Response:
    hub = hub_of(request)
    user = require(request, "interaction.read")
    before = _number(request, "before", 0, 2**62) or None
    async with hub.db.read() as session:
        head = await hub.told(session)
        viewer = await viewer_of(request, session, user)
        party = await parties.root(session, party_id(request))
        lines, following = await timeline.page(
            session, viewer, party.id, before, _number(request, "limit", _PAGE, _LARGEST_PAGE)
        )
    return answer({"lines": lines, "next": following, "head": head})


async def _raw(request: web.Request) -> web.Response:
    """The provider's own bytes, never interpreted by the browser."""
    hub = hub_of(request)
    require(request, "interaction.read")
    async with hub.db.read() as session:
        found = await reader.raw(session, party_id(request))
    if found is None:
        raise NotFound("There is no such interaction.")
    return web.Response(
        body=found[0],
        headers={
            "Content-Type": "text/plain; charset=utf-8",
            "Content-Disposition": "inline; filename=raw.txt",
        },
    )


async def _search(request: web.Request) -> web.Response:
    hub = hub_of(request)
    user = require(request, "interaction.read")
    query = request.query.get("q", "").strip()[:100]
    limit = _number(request, "limit", _PAGE, 100)
    if not query:
        return answer({"parties": [], "lines": [], "cases": []})
    async with hub.db.read() as session:
        viewer = await viewer_of(request, session, user)
        return answer(
            {
                "parties": await _found_parties(session, viewer, query),
                "lines": await _found_lines(session, viewer, query, limit),
                "cases": await _found_cases(session, viewer, query),
            }
        )


async def _found_parties(session: AsyncSession, viewer: Viewer, query: str) -> list[dict[str, Any]]:
    """Parties by name, by a number such as a licence, or by telephone; `hint` is what else tells them apart."""
    numbers = await _numbered(session, viewer, query)
    rows = (
        (
            await session.execute(
                select(Party)
                .where(
                    col(Party.merged_into).is_(None),
                    col(Party.erased_at).is_(None),
                    or_(
                        col(Party.folded).contains(folded(query), autoescape=True),
                        col(Party.id).in_(list(numbers)),
                    ),
                )
                .order_by(col(Party.folded))
                .limit(_MOST_PARTIES)
            )
        )
        .scalars()
        .all()
    )
    keys = await session.execute(
        select(col(PartyKey.party_id), col(PartyKey.key)).where(
            col(PartyKey.party_id).in_([row.id for row in rows])
        )
    )
    hints = {**dict(keys.all()), **numbers}
    return [
        {
            "id": str(row.id),
            "name": inbox.name_of(viewer, row),
            "kind": row.kind,
            "kind_title": viewer.kind(row.kind),
            "territory": viewer.territory(row.territory) if row.territory else None,
            "hint": hints.get(row.id),
        }
        for row in rows
    ]


async def _numbered(session: AsyncSession, viewer: Viewer, query: str) -> dict[UUID, str]:
    """Parties behind the number in the query, and the number as this viewer may see it.

    Who may not see telephone numbers finds one by all of its digits only: parts would give the rest away.
    """
    digits = "".join(char for char in query if char.isdigit() and char.isascii())
    if len(digits) < _FEWEST_DIGITS:
        return {}
    keys = select(col(PartyKey.party_id), col(PartyKey.key)).where(col(PartyKey.key).contains(digits))
    value = col(Endpoint.value)
    matches = value.contains(digits) if viewer.sees_numbers else value == _dialled(query)
    endpoints = select(Endpoint).where(col(Endpoint.scheme) == "tel", matches)
    found = dict((await session.execute(keys.limit(_MOST_PARTIES))).all())
    for row in (await session.execute(endpoints.limit(_MOST_PARTIES))).scalars():
        found[row.party_id] = viewer.address(Address(row.scheme, row.value))
    return found


def _dialled(query: str) -> str:
    try:
        return telephone(query).value
    except BadInput:
        return query


async def _found_lines(session: AsyncSession, viewer: Viewer, query: str, limit: int) -> list[dict[str, Any]]:
    hits = await search.find(session, query, limit)
    marks = {hit.seq: hit.marks for hit in hits}
    rows = await session.execute(
        select(Line, Party)
        .join(Party, col(Party.id) == col(Line.party_id))
        .where(col(Line.seq).in_(list(marks)))
    )
    owners = {line.seq: party for line, party in rows}
    return [
        {
            "seq": entry.seq,
            "party": str(owners[entry.seq].merged_into or owners[entry.seq].id),
            "name": inbox.name_of(viewer, owners[entry.seq]),
            "at": moment(entry.occurred_at),
            "channel": entry.channel,
            "direction": entry.direction,
            "text": entry.text,
            "marks": [list(mark) for mark in marks[entry.seq]],
        }
        for entry in reversed(await reader.at(session, list(marks)))
        if entry.seq in owners
    ]


async def _found_cases(session: AsyncSession, viewer: Viewer, query: str) -> list[dict[str, Any]]:
    wanted = query.upper().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    rows = await session.execute(
        select(Case, Party)
        .join(Party, col(Party.id) == col(Case.party_id))
        .where(
            or_(
                col(Case.number).like(f"%{wanted}%", escape="\\"),
                col(Case.title).like(f"%{wanted}%", escape="\\"),
            )
        )
        .order_by(col(Case.id).desc())
        .limit(10)
    )
    return [
        {
            "id": str(case.id),
            "number": case.number,
            "title": case.title,
            "party": str(party.merged_into or party.id),
            "name": inbox.name_of(viewer, party),
            "state": viewer.case_state(case.kind, case.state),
        }
        for case, party in rows
    ]
