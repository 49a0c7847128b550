"""The agents' desk over HTTP: what people do there: reply, note, assign, merge, bind, move a case."""

from datetime import datetime
from typing import Any
from uuid import UUID

from aiohttp import web
from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncSession

from core import parties, users
from core.errors import BadInput, Conflict, NotFound
from core.users import User
from core.values import Address
from crm import cases
from crm.desk import timeline
from crm.desk.viewer import Viewer
from crm.desk.work import Changes
from crm.tables import Case, Conversation
from workers.assemble import Hub
from workers.web.access import hub_of, require
from workers.web.acting import act, reach
from workers.web.desk_api import party_id, viewer_of
from workers.web.session_api import Body, answer, parsed

_PAGE = 50


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
    ]


async def _do(
    request: web.Request, action: str, name: str, body: ActBody, detail: dict[str, Any], text: str = ""
) -> web.Response:
    hub = hub_of(request)
    user = require(request, action)
    id = party_id(request)
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
    id = party_id(request)
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
        root = await parties.root(tx.session, party_id(request))
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
    address = await reach(hub, party_id(request))
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
