"""What could not be sent or digested, over HTTP, for administrators: pages of it, tried again or put aside."""

from typing import Any
from uuid import UUID

from aiohttp import web
from pydantic import Field

from core import leftovers, outbox
from core.addresses import masked
from core.errors import NotFound
from core.log import reader
from core.log.entries import Logged
from core.outbox import ItemState, Lane
from core.tables import OutboxItem, Parked
from core.users import User
from core.values import Address
from core.words import say
from crm.desk.viewer import moment
from crm.desk.vocabulary import ERRORS
from workers.administration import outbox as mending
from workers.assemble import Hub
from workers.web.access import hub_of, shown, user_of
from workers.web.collection_api import Query as AddressQuery
from workers.web.collection_api import asked
from workers.web.session_api import Body, answer, locale_of, parsed
from workers.web.users_api import actor_of

_LANES = {lane.number: lane.value for lane in Lane}


class ItemsQuery(AddressQuery):
    state: ItemState = ItemState.FAILED
    before: UUID | None = None
    limit: int = Field(default=50, ge=1, le=200)


class ParkedQuery(AddressQuery):
    before: int | None = Field(default=None, ge=1, le=2**62)
    limit: int = Field(default=50, ge=1, le=200)


class RetryBody(Body):
    even_if_it_may_have_arrived: bool = False


def routes() -> list[web.RouteDef]:
    item, entry = "/api/admin/outbox/{id}", "/api/admin/parked/{consumer}/{seq}"
    return [
        web.get("/api/admin/outbox", _items),
        web.post(f"{item}/retry", _retry),
        web.post(f"{item}/discard", _discard),
        web.get("/api/admin/parked", _parked),
        web.post(f"{entry}/retry", _retry_parked),
        web.post(f"{entry}/discard", _discard_parked),
    ]


async def _items(request: web.Request) -> web.Response:
    hub = hub_of(request)
    query = asked(request, ItemsQuery)
    counts = await outbox.counts(hub.db)
    async with hub.db.read() as session:
        rows = await leftovers.page(session, query.state, before=query.before, limit=query.limit + 1)
    found = rows[: query.limit]
    return answer(
        {
            "items": [_shown_item(request, row) for row in found],
            "next": str(found[-1].id) if len(rows) > query.limit else None,
            "counts": counts,
        }
    )


def _shown_item(request: web.Request, row: OutboxItem) -> dict[str, Any]:
    """Without what it says: whoever may read messages reads them on the timeline."""
    hub = hub_of(request)
    error = row.error.partition(";")[0]
    return {
        "id": str(row.id),
        "state": row.state,
        "job": row.job,
        "lane": _LANES.get(row.lane, str(row.lane)),
        "account": row.account,
        "address": _address(hub, user_of(request), row),
        "attempts": row.attempts,
        "error": row.error,
        "error_label": say(locale_of(request), ERRORS[error]) if error in ERRORS else "",
        "cause": row.cause_seq,
        "due_at": moment(row.due_at),
        "created_at": moment(row.created_at),
        "deadline": moment(row.deadline),
    }


def _address(hub: Hub, user: User, row: OutboxItem) -> str:
    if not row.address:
        return ""
    address = Address(row.scheme, row.address)
    return shown(hub.book.current.blueprint, user, address) if hub.book.has_any else masked(address)


async def _retry(request: web.Request) -> web.Response:
    body = await parsed(request, RetryBody)
    await mending.retry(
        hub_of(request),
        actor_of(request),
        _item_id(request),
        even_if_it_may_have_arrived=body.even_if_it_may_have_arrived,
    )
    return answer({})


async def _discard(request: web.Request) -> web.Response:
    await mending.discard(hub_of(request), actor_of(request), _item_id(request))
    return answer({})


def _item_id(request: web.Request) -> UUID:
    try:
        return UUID(request.match_info["id"])
    except ValueError as error:
        raise NotFound("There is no such item in the outbox.") from error


async def _parked(request: web.Request) -> web.Response:
    hub = hub_of(request)
    query = asked(request, ParkedQuery)
    async with hub.db.read() as session:
        rows = await leftovers.parked(session, before=query.before, limit=query.limit + 1)
        found = rows[: query.limit]
        entries = {entry.seq: entry for entry in await reader.at(session, [row.seq for row in found])}
    return answer(
        {
            "entries": [_shown_entry(row, entries.get(row.seq)) for row in found],
            "next": found[-1].seq if len(rows) > query.limit else None,
        }
    )


def _shown_entry(row: Parked, entry: Logged | None) -> dict[str, Any]:
    return {
        "consumer": row.consumer,
        "seq": row.seq,
        "error": row.error,
        "parked_at": moment(row.parked_at),
        "kind": entry.kind if entry else "",
        "account": entry.account if entry else "",
        "act": entry.data.get("act", "") if entry else "",
        "occurred_at": moment(entry.occurred_at) if entry else None,
    }


async def _retry_parked(request: web.Request) -> web.Response:
    await mending.retry_parked(hub_of(request), actor_of(request), *_entry_key(request))
    return answer({})


async def _discard_parked(request: web.Request) -> web.Response:
    await mending.discard_parked(hub_of(request), actor_of(request), *_entry_key(request))
    return answer({})


def _entry_key(request: web.Request) -> tuple[str, int]:
    seq = request.match_info["seq"]
    if not (seq.isascii() and seq.isdigit() and len(seq) < 19):
        raise NotFound("There is no such parked entry.")
    return request.match_info["consumer"], int(seq)
