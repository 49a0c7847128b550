"""The agents' desk over HTTP: boot, inbox, party, timeline, acts, search, raw messages."""

from datetime import datetime
from typing import Any
from uuid import UUID

from aiohttp import web
from pydantic import Field
from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from core import parties, search, users
from core.addresses import telephone
from core.errors import BadInput, Conflict, NotFound
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
from crm.desk.work import Changes
from crm.tables import Case, Conversation
from workers.assemble import Hub
from workers.web.access import REVEAL, hub_of, may, require
from workers.web.acting import act, reach
from workers.web.session_api import Body, answer, locale_of, parsed, shown_user

_PAGE = 50
_LARGEST_PAGE = 200
_MOST_PARTIES = 10
_FEWEST_DIGITS = 4


class ActBody(Body):
    act_id: UUID  # made by the client, so that a repeated request is one act


class ReplyBody(ActBody):
    text: str = Field(min_length=1, max_length=2000)
    account: str = ""
    to: str = ""
    seen_seq: int = Field(default=0, ge=0)
    force: bool = False


class NoteBody(ActBody):
    text: str = Field(min_length=1, max_length=5000)


class AssignBody(ActBody):
    user: UUID | None


class ResolveBody(ActBody):
    disposition: str = ""


class SnoozeBody(ActBody):
    until: datetime


class QueueBody(ActBody):
    queue: str


class ReadBody(Body):
    seq: int


class MergeBody(ActBody):
    into: UUID
    reason: str = Field(default="", max_length=500)


class UnmergeBody(ActBody):
    act_seq: int


class BindBody(ActBody):
    party: UUID


class CaseBody(ActBody):
    kind: str
    subkind: str = ""
    title: str = Field(min_length=1, max_length=500)
    severity: int | None = Field(default=None, ge=1, le=5)


class CaseStateBody(ActBody):
    state: str
    note: str = Field(default="", max_length=2000)


def routes() -> list[web.RouteDef]:
    party = "/api/parties/{id}"
    return [
        web.get("/api/boot", _boot),
        web.get("/api/inbox", _inbox),
        web.get("/api/search", _search),
        web.get(party, _party),
        web.get(f"{party}/timeline", _timeline),
        web.post(f"{party}/reply", _reply),
        web.post(f"{party}/notes", _note),
        web.post(f"{party}/assign", _assign),
        web.post(f"{party}/resolve", _resolve),
        web.post(f"{party}/reopen", _reopen),
        web.post(f"{party}/snooze", _snooze),
        web.post(f"{party}/queue", _queue),
        web.post(f"{party}/read", _read),
        web.post(f"{party}/merge", _merge),
        web.post(f"{party}/unmerge", _unmerge),
        web.post(f"{party}/bind", _bind),
        web.post(f"{party}/cases", _open_case),
        web.post("/api/cases/{id}/state", _case_state),
        web.post("/api/cases/{id}/assign", _case_assign),
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


def _id(request: web.Request) -> UUID:
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


# Reading.


async def _boot(request: web.Request) -> web.Response:
    hub = hub_of(request)
    user = require(request, "interaction.read")
    async with hub.db.read() as session:
        viewer = await viewer_of(request, session, user)
        colleagues = await users.all_users(session)
        head = await reader.head(session)
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
        head = await reader.head(session)
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
        return answer(await panel.panel(session, viewer, _id(request), hub.clock()))


async def _timeline(request: web.Request) -> web.Response:
    hub = hub_of(request)
    user = require(request, "interaction.read")
    before = _number(request, "before", 0, 2**62) or None
    async with hub.db.read() as session:
        head = await reader.head(session)
        viewer = await viewer_of(request, session, user)
        party = await parties.root(session, _id(request))
        lines, following = await timeline.page(
            session, viewer, party.id, before, _number(request, "limit", _PAGE, _LARGEST_PAGE)
        )
    return answer({"lines": lines, "next": following, "head": head})


async def _raw(request: web.Request) -> web.Response:
    """The provider's own bytes, never interpreted by the browser."""
    hub = hub_of(request)
    require(request, "interaction.read")
    async with hub.db.read() as session:
        found = await reader.raw(session, _id(request))
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


# Acting.


async def _do(
    request: web.Request, action: str, name: str, body: ActBody, detail: dict[str, Any], text: str = ""
) -> web.Response:
    hub = hub_of(request)
    user = require(request, action)
    id = _id(request)
    seq = await act(
        hub,
        name,
        user=user,
        about=await reach(hub, id),
        key=str(body.act_id),
        detail={"party": str(id), **detail},
        text=text,
    )
    return answer({"seq": seq})


async def _reply(request: web.Request) -> web.Response:
    hub = hub_of(request)
    user = require(request, "interaction.reply")
    body = await parsed(request, ReplyBody)
    id = _id(request)
    async with hub.db.read() as session:
        viewer = await viewer_of(request, session, user)
        to, account = await _recipient(hub, session, viewer, id, body)
    detail = {
        "to": {"scheme": to.scheme, "value": to.value},
        "account": account,
        "seen_seq": body.seen_seq,
        "force": body.force,
    }
    try:
        return await _do(request, "interaction.reply", "reply", body, detail, body.text)
    except Conflict as error:
        if error.code == "answered_meanwhile":
            error.detail["lines"] = await _answers_since(request, user, id, body.seen_seq)
        raise


async def _answers_since(request: web.Request, user: User, id: UUID, seq: int) -> list[dict[str, Any]]:
    """What colleagues wrote to the party after the line that the page had seen."""
    async with hub_of(request).db.read() as session:
        viewer = await viewer_of(request, session, user)
        party = await parties.root(session, id)
        lines, _ = await timeline.page(session, viewer, party.id, None, _PAGE)
    return [
        line
        for line in lines
        if line["seq"] > seq and line["direction"] == "out" and line["author"] is not None
    ]


async def _recipient(
    hub: Hub, session: AsyncSession, viewer: Viewer, id: UUID, body: ReplyBody
) -> tuple[Address, str]:
    """Where the reply goes: what the page chose, or how the party wrote last. The page may know the address masked."""
    root = await parties.root(session, id)
    row = await session.get(Conversation, root.id)
    family = await parties.family(session, root.id)
    known = [
        Address(each.scheme, each.value)
        for rows in (await parties.addresses_of(session, family)).values()
        for each in rows
    ]
    chosen = [address for address in known if body.to in (address.value, viewer.address(address))]
    if body.to and not chosen:
        raise BadInput("This address does not belong to the party; choose one of its own.")
    last = Address(row.reply_scheme, row.reply_address) if row and row.reply_address else None
    to = next(iter(chosen), None) or (last if last in known else next(iter(known), None))
    if to is None:
        raise BadInput("No address of this party is known; add one first.")
    account = body.account or (row.reply_account if row else "")
    if account not in hub.accounts.slugs():
        raise BadInput("Choose one of our lines to write from.", accounts=hub.accounts.slugs())
    return to, account


async def _note(request: web.Request) -> web.Response:
    body = await parsed(request, NoteBody)
    return await _do(request, "interaction.note", "note", body, {}, body.text)


async def _assign(request: web.Request) -> web.Response:
    body = await parsed(request, AssignBody)
    if body.user is not None:
        async with hub_of(request).db.read() as session:
            await users.by_id(session, body.user)
    return await _do(
        request, "interaction.take", "assign", body, {"user": str(body.user) if body.user else None}
    )


async def _resolve(request: web.Request) -> web.Response:
    body = await parsed(request, ResolveBody)
    return await _do(request, "interaction.take", "resolve", body, {"disposition": body.disposition})


async def _reopen(request: web.Request) -> web.Response:
    body = await parsed(request, ActBody)
    return await _do(request, "interaction.take", "reopen", body, {})


async def _snooze(request: web.Request) -> web.Response:
    body = await parsed(request, SnoozeBody)
    if body.until.tzinfo is None or body.until <= hub_of(request).clock():
        raise BadInput("Choose a time in the future, with its time zone.")
    return await _do(request, "interaction.take", "snooze", body, {"until": body.until.isoformat()})


async def _queue(request: web.Request) -> web.Response:
    body = await parsed(request, QueueBody)
    queues = [queue.id for queue in hub_of(request).book.current.blueprint.queues]
    if body.queue not in queues:
        raise BadInput("There is no such queue.", queues=queues)
    return await _do(request, "interaction.take", "queue", body, {"queue": body.queue})


async def _read(request: web.Request) -> web.Response:
    """Mark as read: a convenience of the list, not an act for the log."""
    hub = hub_of(request)
    require(request, "interaction.read")
    body = await parsed(request, ReadBody)
    async with hub.db.begin(is_durable=False) as tx:
        root = await parties.root(tx.session, _id(request))
        row = await tx.session.get(Conversation, root.id, with_for_update=True)
        is_news = row is not None and row.last_seq <= body.seq and row.unread > 0
        if row is not None and is_news:
            row.unread = 0
            row.version += 1
    if is_news:
        hub.live.changed(Changes(parties={root.id}))
    return answer({})


async def _merge(request: web.Request) -> web.Response:
    body = await parsed(request, MergeBody)
    response = await _do(
        request, "party.merge", "merge", body, {"into": str(body.into), "reason": body.reason}, body.reason
    )
    hub_of(request).live.forget_routes()
    return response


async def _unmerge(request: web.Request) -> web.Response:
    body = await parsed(request, UnmergeBody)
    response = await _do(request, "party.merge", "unmerge", body, {"act_seq": body.act_seq})
    hub_of(request).live.forget_routes()
    return response


async def _bind(request: web.Request) -> web.Response:
    """This conversation's address belongs to that party."""
    hub = hub_of(request)
    body = await parsed(request, BindBody)
    address = await reach(hub, _id(request))
    if address.scheme == "hub":
        raise BadInput("No address of this conversation is known.")
    async with hub.db.read() as session:
        target = await parties.root(session, body.party)
    detail = {
        "address": {"scheme": address.scheme, "value": address.value},
        "to": str(target.id),
        "name": target.name,
    }
    response = await _do(request, "party.bind", "bind", body, detail)
    hub.live.forget_routes()
    return response


async def _open_case(request: web.Request) -> web.Response:
    body = await parsed(request, CaseBody)
    blueprint = hub_of(request).book.current.blueprint
    if body.kind not in [kind.id for kind in blueprint.case_kinds]:
        raise BadInput("There is no such kind of case.", kinds=[kind.id for kind in blueprint.case_kinds])
    if body.subkind and body.subkind not in [code for code, _, _ in cases.subkinds(blueprint, body.kind)]:
        raise BadInput("This kind of case has no such subkind.")
    detail = {"kind": body.kind, "subkind": body.subkind, "severity": body.severity}
    return await _do(request, "case.open", "case.open", body, detail, body.title)


async def _case(request: web.Request, hub: Hub) -> Case:
    text = request.match_info["id"]
    async with hub.db.read() as session:
        case = await session.get(Case, int(text)) if text.isascii() and text.isdigit() else None
    if case is None:
        raise NotFound("There is no such case.")
    return case


async def _case_state(request: web.Request) -> web.Response:
    hub = hub_of(request)
    require(request, "case.read")
    body = await parsed(request, CaseStateBody)
    case = await _case(request, hub)
    blueprint = hub.book.at(case.blueprint).blueprint
    flow = blueprint.flow(blueprint.case_kind(case.kind).flow)
    step = next((step for step in flow.leaving(case.state) if step.to == body.state), None)
    user = require(request, step.action if step and step.action else "case.read")
    seq = await act(
        hub,
        "case.state",
        user=user,
        about=await reach(hub, case.party_id),
        key=str(body.act_id),
        detail={"party": str(case.party_id), "case": case.id, "kind": case.kind, "state": body.state},
        text=body.note,
    )
    return answer({"seq": seq})


async def _case_assign(request: web.Request) -> web.Response:
    hub = hub_of(request)
    user = require(request, "case.take")
    body = await parsed(request, AssignBody)
    case = await _case(request, hub)
    seq = await act(
        hub,
        "case.assign",
        user=user,
        about=await reach(hub, case.party_id),
        key=str(body.act_id),
        detail={"party": str(case.party_id), "case": case.id, "user": str(body.user) if body.user else None},
    )
    return answer({"seq": seq})
