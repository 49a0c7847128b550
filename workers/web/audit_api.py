"""The audit trail over HTTP, for administrators: pages of acts, and the same as a file."""

import csv
import io
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from aiohttp import web
from pydantic import AwareDatetime, Field
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from core.errors import Unavailable
from core.log import reader
from core.log.entries import Logged
from core.tables import AccountRow, ActOutcome, ActRow, Party, PartyKey
from core.users import by_login
from crm import audit
from crm.audit import Family, Wanted
from crm.collection.export import BOM, harmless
from crm.desk.viewer import Viewer, moment
from crm.desk.vocabulary import ACTS, ADMINISTRATION, label
from workers.assemble import Hub
from workers.web.access import hub_of, user_of
from workers.web.collection_api import Query as AddressQuery
from workers.web.collection_api import asked
from workers.web.desk_api import viewer_of
from workers.web.session_api import answer
from workers.web.vocabulary import ACT_NAMES, FACTS, FAMILIES

_EXPORTED_AT_ONCE = 500
_BATCHES_AT_ONCE = 10  # about a second; after an upgrade there may be millions
_NAMES = {**ACTS, **ADMINISTRATION, **ACT_NAMES}
_NOBODY = "nobody:"  # no act was ever done to this


class Query(AddressQuery):
    person: str = Field(default="", pattern=r"^(hub|[0-9a-f-]{36})$")
    family: Family | None = None
    about: str = Field(default="", max_length=100)
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    before: int | None = Field(default=None, ge=1, le=2**62)
    limit: int = Field(default=50, ge=1, le=200)


def routes() -> list[web.RouteDef]:
    return [web.get("/api/admin/audit", _page), web.get("/api/admin/audit/export", _export)]


async def _page(request: web.Request) -> web.Response:
    hub, user = hub_of(request), user_of(request)
    query = asked(request, Query)
    await _catch_up(hub)
    async with hub.db.read() as session:
        viewer = await viewer_of(request, session, user)
        rows = await audit.page(session, await _wanted(session, query), query.limit + 1)
        lines = await _lines(session, viewer, rows[: query.limit])
    people = sorted(viewer.people.items(), key=lambda each: each[1])
    return answer(
        {
            "lines": lines,
            "next": rows[query.limit - 1].seq if len(rows) > query.limit else None,
            "people": [{"id": str(id), "name": name} for id, name in people],
            "families": [{"key": key, "title": viewer.say(title)} for key, title in FAMILIES.items()],
        }
    )


async def _catch_up(hub: Hub) -> None:
    """The schedule keeps the trail near the log's end, so that there is little left to do when somebody looks."""
    if not await audit.catch_up(hub.db, _BATCHES_AT_ONCE):
        raise Unavailable("The audit trail is being brought up to date; look again in a moment.")


async def _wanted(session: AsyncSession, query: Query) -> Wanted:
    return Wanted(
        person=query.person,
        family=query.family,
        objects=await _objects(session, query.about.strip()) if query.about.strip() else (),
        since=query.since,
        until=query.until,
        before=query.before,
    )


async def _objects(session: AsyncSession, about: str) -> Sequence[str]:
    """What people may mean by a word: a login, a line, a customer by id or number, or what a page of ours wrote."""
    if about.partition(":")[0] in ("user", "account", "party", "blueprint", "outbox", "entry"):
        return [about]
    found = [f"party:{about}", f"user:{about}", f"outbox:{about}"] if _is_id(about) else []
    if (user := await by_login(session, about)) is not None:
        found.append(f"user:{user.id}")
    if await session.get(AccountRow, about) is not None:
        found.append(f"account:{about}")
    keys = await session.scalars(select(col(PartyKey.party_id)).where(col(PartyKey.key) == about).limit(10))
    return [*found, *(f"party:{id}" for id in keys)] or [_NOBODY]


def _is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


# What an act shows.


async def _lines(session: AsyncSession, viewer: Viewer, rows: Sequence[ActRow]) -> list[dict[str, Any]]:
    seqs = [row.seq for row in rows]
    entries = {entry.seq: entry for entry in await reader.at(session, seqs)}
    refused = {
        each.seq: each.code
        for each in await session.scalars(select(ActOutcome).where(col(ActOutcome.seq).in_(seqs)))
    }
    names = await _names_of(session, viewer, rows)
    return [_line(viewer, row, entries[row.seq], refused.get(row.seq, ""), names) for row in rows]


async def _names_of(session: AsyncSession, viewer: Viewer, rows: Sequence[ActRow]) -> Mapping[str, str]:
    """What the acts' objects are called now; who was erased has no name any more."""
    ids = [UUID(row.object.partition(":")[2]) for row in rows if row.object.startswith("party:")]
    parties = await session.execute(select(col(Party.id), col(Party.name)).where(col(Party.id).in_(ids)))
    lines = await session.execute(select(col(AccountRow.slug), col(AccountRow.title)))
    return {
        **{f"user:{id}": name for id, name in viewer.people.items()},
        **{f"party:{id}": name for id, name in parties.all()},
        **{f"account:{slug}": title for slug, title in lines.all()},
    }


def _line(
    viewer: Viewer, row: ActRow, entry: Logged, refused: str, names: Mapping[str, str]
) -> dict[str, Any]:
    kind, _, id = row.object.partition(":")
    return {
        "seq": row.seq,
        "id": str(entry.id),
        "at": moment(row.at),
        "name": row.name,
        "title": label(viewer, _NAMES, row.name),
        "family": row.family,
        "by": viewer.person(row.person),
        "os_user": str(entry.data.get("os_user", "")),
        "object": {"kind": kind, "id": id, "name": names.get(row.object, "")} if id else None,
        "facts": list(_facts(viewer, entry.data)),
        "refused": refused,
    }


def _facts(viewer: Viewer, data: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """What may be said of an act: values from a list, so that no word and no address of a customer is among them."""
    family = audit.family_of(str(data.get("act", "")))
    for key, title in FACTS.items():
        is_personal = key in ("name", "title") and family not in (Family.USER, Family.ACCOUNT)
        if data.get(key) not in (None, "", []) and not is_personal:
            yield _fact(viewer, title, _said(viewer, key, data[key]))
    for key, (before, after) in data.get("changes", {}).items():
        arrow = f"{_said(viewer, key, before)} → {_said(viewer, key, after)}"
        yield _fact(viewer, FACTS.get(key, key), arrow)
    if family is Family.CONVERSATION and data.get("user"):
        person = viewer.person(data["user"])
        yield _fact(viewer, "Assigned", person["name"] if person else "")


def _fact(viewer: Viewer, title: str, value: str) -> dict[str, str]:
    return {"value": value, "label": viewer.say(title)}


def _said(viewer: Viewer, key: str, value: Any) -> str:
    match value:
        case bool():
            return viewer.say("Yes") if value else viewer.say("No")
        case list():
            return ", ".join(_said(viewer, key, each) for each in value) or "–"
        case "" | None:
            return "–"
        case _:
            return _title(viewer, key, str(value))


def _title(viewer: Viewer, key: str, value: str) -> str:
    """The blueprint's word for an id; the id itself where a later blueprint has it no more."""
    blueprint = viewer.blueprint
    entries: Sequence[Any] = {
        "roles": blueprint.roles,
        "unit": blueprint.org_units,
        "queues": blueprint.queues,
        "queue": blueprint.queues,
        "territories": blueprint.territories,
        "kind": (*blueprint.case_kinds, *blueprint.customer_kinds),
    }.get(key, ())
    return next((str(each.title.text(viewer.locale)) for each in entries if each.id == value), value)


# The same as a file.


@dataclass(frozen=True, slots=True)
class _Column:
    title: str
    key: str


_COLUMNS = (
    _Column("Number", "seq"),
    _Column("Time", "at"),
    _Column("Act", "title"),
    _Column("Name of the act", "name"),
    _Column("Person", "person"),
    _Column("System user", "os_user"),
    _Column("Done to", "object"),
    _Column("Id", "id"),
    _Column("Details", "facts"),
    _Column("Refused", "refused"),
)


async def _export(request: web.Request) -> web.StreamResponse:
    hub, user = hub_of(request), user_of(request)
    query = asked(request, Query)
    await _catch_up(hub)
    async with hub.db.read() as session:
        viewer = await viewer_of(request, session, user)
        wanted = await _wanted(session, query)
    response = web.StreamResponse(headers={"Content-Disposition": 'attachment; filename="audit.csv"'})
    response.content_type, response.charset = "text/csv", "utf-8"
    await response.prepare(request)
    await response.write(BOM + _csv([[viewer.say(column.title) for column in _COLUMNS]]))
    async for lines in _all_lines(hub, viewer, wanted):
        await response.write(_csv([_cells(line) for line in lines]))
    await response.write_eof()
    return response


async def _all_lines(hub: Hub, viewer: Viewer, wanted: Wanted) -> AsyncIterator[list[dict[str, Any]]]:
    """Page by page, so that neither the memory nor a transaction has to hold them all."""
    before = wanted.before
    while True:
        async with hub.db.read() as session:
            rows = await audit.page(session, replace(wanted, before=before), _EXPORTED_AT_ONCE)
            lines = await _lines(session, viewer, rows)
        if not lines:
            return
        yield lines
        before = rows[-1].seq


def _cells(line: Mapping[str, Any]) -> list[str]:
    object = line["object"]
    return [
        str(line["seq"]),
        line["at"],
        line["title"],
        line["name"],
        line["by"]["name"] if line["by"] else "",
        line["os_user"],
        f"{object['name']} ({object['kind']}:{object['id']})" if object else "",
        line["id"],
        "; ".join(f"{fact['label']}: {fact['value']}" for fact in line["facts"]),
        line["refused"],
    ]


def _csv(rows: Sequence[Sequence[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows([[harmless(value) for value in row] for row in rows])
    return text.getvalue().encode()
