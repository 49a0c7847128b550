"""The collection desk over HTTP: the grid, a figure's history, decisions about figures, exports."""

import asyncio
import base64
import binascii
import tempfile
from enum import StrEnum
from typing import Any, TypeVar
from uuid import UUID

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from core import parties
from core.errors import BadInput, Conflict, NotFound
from core.tables import Party
from core.users import User
from core.words import say
from crm.blueprint.forms import FormDef, FormField
from crm.blueprint.products import Product, ProductStatus
from crm.blueprint.publishing import Published
from crm.collection import export, grid
from crm.collection.display import currency_of, parse_input, shown, unit
from crm.collection.grid import Cell, ShopRow, Shown, Wanted
from crm.collection.history import Said, Source, history
from crm.collection.periods import PeriodSpan, named, recent, span_of
from crm.collection.scope import narrowed, visible_territories
from crm.desk.viewer import Viewer, moment
from crm.desk.vocabulary import WARNS, label
from workers.assemble import Hub
from workers.web.access import hub_of, require
from workers.web.acting import act, reach
from workers.web.desk_acts_api import ActBody
from workers.web.desk_api import viewer_of
from workers.web.session_api import answer, locale_of, parsed

_PERIODS = 12
_CHUNK = 256 * 1024
_XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

QueryT = TypeVar("QueryT", bound=BaseModel)


class Verb(StrEnum):
    ACCEPT = "accept"
    REJECT = "reject"
    CORRECT = "correct"

    @property
    def action(self) -> str:
        """The right that the decision asks for."""
        return "submission.correct" if self is Verb.CORRECT else "submission.accept"


class Query(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    form: str = Field(default="", max_length=64)
    period: str = Field(default="", max_length=20)


class GridQuery(Query):
    territory: str = Field(default="", max_length=64)
    state: Shown = Shown.EXPECTED
    q: str = Field(default="", max_length=100)
    after: str = Field(default="", max_length=2000)
    limit: int = Field(default=100, ge=1, le=grid.MOST_ROWS)


class FigureQuery(Query):
    party: UUID
    sku: str = Field(max_length=64)
    field: str = Field(max_length=64)


class ExportQuery(GridQuery):
    format: str = Field(default="csv", pattern="^(csv|xlsx)$")


class DecisionBody(ActBody):
    party: UUID
    form: str = Field(max_length=64)
    period: str = Field(max_length=20)
    sku: str = Field(max_length=64)
    field: str = Field(max_length=64)
    verb: Verb
    observation: str = Field(pattern=r"^\d{1,18}\.\d{1,5}$")
    value: int | None = Field(default=None, ge=0, le=10**12)  # in the unit that the form stores
    input: str | None = Field(default=None, max_length=100)  # as typed, in the unit that is shown
    reason: str = Field(default="", max_length=500)


def routes() -> list[web.RouteDef]:
    return [
        web.get("/api/collection", _grid),
        web.get("/api/collection/figure", _figure),
        web.post("/api/collection/figure", _decide),
        web.get("/api/collection/export", _export),
    ]


def asked(request: web.Request, kind: type[QueryT]) -> QueryT:
    """The query's parameters. Raises BadInput with every problem at once."""
    try:
        return kind.model_validate({name: value for name, value in request.query.items() if value})
    except ValidationError as error:
        problems = [
            {"field": ".".join(str(part) for part in each["loc"]), "problem": each["msg"]}
            for each in error.errors(include_url=False, include_input=False)
        ]
        raise BadInput(
            "The address asks for something that there is not; see detail.", problems=problems
        ) from error


# What is asked for.


def _form(published: Published, id: str) -> FormDef:
    wanted = id or published.blueprint.messages.default_form
    for form in published.blueprint.forms:
        if form.form == wanted and form.lines is not None:
            return form
    known = [form.form for form in published.blueprint.forms if form.lines is not None]
    raise BadInput("There is no such form; choose one of those in detail.", form=wanted, forms=known)


def _period(hub: Hub, form: FormDef, key: str) -> PeriodSpan:
    today = hub.clock().astimezone(hub.book.current.timezone).date()
    current = span_of(form.period, today)
    if not key:
        return current
    span = named(form.period, key)
    if span is None or span.start > current.start:
        raise BadInput(
            "The form has no such period yet; write it like those in detail.",
            period=key,
            periods=[each.key for each in recent(form.period, today, 3)],
        )
    return span


def _wanted(hub: Hub, user: User, query: GridQuery) -> Wanted:
    published = hub.book.current
    blueprint = published.blueprint
    form = _form(published, query.form)
    span = _period(hub, form, query.period)
    known = [each.id for each in blueprint.territories]
    if query.territory and query.territory not in known:
        raise BadInput("There is no such territory.", territory=query.territory)
    visible = visible_territories(blueprint, user.roles, user.territories)
    return Wanted(
        form=form,
        period=span.key,
        day=span.start,
        territories=narrowed(blueprint, visible, query.territory),
        state=query.state,
        query=query.q,
    )


def _field(form: FormDef, id: str) -> FormField:
    fields = form.lines.fields if form.lines else ()
    for field in fields:
        if field.id == id:
            return field
    raise BadInput("The form has no such field.", field=id, fields=[each.id for each in fields])


def _product(published: Published, sku: str) -> Product:
    for product in published.blueprint.products:
        if product.sku == sku:
            return product
    raise BadInput("There is no such product.", sku=sku)


async def _shop(session: AsyncSession, published: Published, user: User, id: UUID) -> Party:
    """The party that stands for the one asked for, if the user may see its figures."""
    root = await parties.root(session, id)
    visible = visible_territories(published.blueprint, user.roles, user.territories)
    if visible is not None and root.territory not in visible:
        # Whether there is such a shop elsewhere is not for this user to know.
        raise NotFound("There is no such party.", party=str(id))
    return root


def _cursor(text: str) -> tuple[str, UUID] | None:
    if not text:
        return None
    try:
        name, id = orjson.loads(base64.urlsafe_b64decode(text.encode()))
        return str(name), UUID(id)
    except (ValueError, TypeError, AttributeError, binascii.Error) as error:
        raise BadInput("`after` is not from an earlier page; begin again without it.") from error


def _as_cursor(after: tuple[str, UUID] | None) -> str | None:
    if after is None:
        return None
    return base64.urlsafe_b64encode(orjson.dumps([after[0], str(after[1])])).decode()


# Reading.


async def _grid(request: web.Request) -> web.Response:
    hub = hub_of(request)
    user = require(request, "submission.read")
    query = asked(request, GridQuery)
    after = _cursor(query.after)
    wanted = _wanted(hub, user, query)
    published = hub.book.current
    async with hub.db.read() as session:
        head = await hub.told(session)
        totals = await grid.totals(session, published.blueprint, wanted)
        page = await grid.page(session, published.blueprint, wanted, after, query.limit)
    locale = locale_of(request)
    return answer(
        {
            "form": wanted.form.form,
            "period": wanted.period,
            "periods": _periods(hub, wanted),
            "fields": _fields(published, wanted.form, locale),
            "products": [_column(published, each, locale) for each in _products(published)],
            "totals": {
                "expected": totals.expected,
                "received": totals.received,
                "suspect": totals.suspect,
                "missing": totals.missing,
            },
            "rows": [_row(published, wanted.form, row, locale) for row in page.rows],
            "next": _as_cursor(page.next),
            "head": head,
        }
    )


def _periods(hub: Hub, wanted: Wanted) -> list[dict[str, str]]:
    today = hub.clock().astimezone(hub.book.current.timezone).date()
    spans = recent(wanted.form.period, today, _PERIODS)
    if wanted.period not in [span.key for span in spans]:
        asked_for = named(wanted.form.period, wanted.period)
        spans += [asked_for] if asked_for else []
    return [{"key": span.key, "title": span.key} for span in spans]


def _fields(published: Published, form: FormDef, locale: str) -> list[dict[str, Any]]:
    currency = currency_of(published.blueprint)
    return [
        {
            "id": field.id,
            "title": field.title.text(locale),
            "type": field.type,
            "unit": unit(field, currency) or None,
        }
        for field in (form.lines.fields if form.lines else ())
    ]


def _products(published: Published) -> list[Product]:
    """Our own first; what is no longer made is not asked for."""
    own = {brand.id: brand.own for brand in published.blueprint.brands}
    made = [each for each in published.blueprint.products if each.status is not ProductStatus.ENDED]
    return sorted(made, key=lambda each: not own[each.brand])


def _column(published: Published, product: Product, locale: str) -> dict[str, Any]:
    return {
        "sku": product.sku,
        "name": product.title.text(locale),
        "short": (product.spec or product.title).text(locale),
        "own": published.blueprint.brand(product.brand).own,
    }


def _row(published: Published, form: FormDef, row: ShopRow, locale: str) -> dict[str, Any]:
    territories = {each.id: each.title.text(locale) for each in published.blueprint.territories}
    fields = {field.id: field for field in (form.lines.fields if form.lines else ())}
    return {
        "party": str(row.party),
        "name": row.name,
        "licence": row.key or None,
        "territory": territories.get(row.territory, row.territory) or None,
        "state": row.state,
        "received_at": moment(row.received_at),
        "late": row.is_late,
        "cells": {
            sku: {id: _cell(fields[id], cell, locale) for id, cell in given.items() if id in fields}
            for sku, given in row.cells.items()
        },
        "expects": list(row.expects),
    }


def _cell(field: FormField, cell: Cell | Said, locale: str) -> dict[str, Any]:
    return {
        "value": None if cell.text else cell.value,
        "display": shown(field, cell.said, locale),
        "state": cell.state,
        "warn": cell.warn or None,
        "observation": f"{cell.seq}.{cell.number}",
    }


async def _figure(request: web.Request) -> web.Response:
    hub = hub_of(request)
    user = require(request, "submission.read")
    query = asked(request, FigureQuery)
    published = hub.book.current
    form = _form(published, query.form)
    span = _period(hub, form, query.period)
    field = _field(form, query.field)
    _product(published, query.sku)
    async with hub.db.read() as session:
        viewer = await viewer_of(request, session, user)
        root = await _shop(session, published, user, query.party)
        family = await parties.family(session, root.id)
        found = await history(session, family, form.form, span.key, query.sku, field.id)
    current = _cell(field, found.current, viewer.locale) if found.current else None
    return answer({"current": current, "history": [_said(viewer, field, each) for each in found.history]})


def _said(viewer: Viewer, field: FormField, said: Said) -> dict[str, Any]:
    by = viewer.person(said.by)
    return {
        **_cell(field, said, viewer.locale),
        "warn_label": label(viewer, WARNS, said.warn) if said.warn else None,
        "at": moment(said.at),
        "by": {"name": by["name"]} if by else None,
        "reason": said.reason or None,
        "supersedes": f"{said.supersedes[0]}.{said.supersedes[1]}" if said.supersedes else None,
        "settled_seq": said.settled_seq,
        "source": _source(viewer, said.source) if said.source else None,
    }


def _source(viewer: Viewer, source: Source) -> dict[str, Any]:
    return {
        "seq": source.seq,
        "id": str(source.id),
        "text": source.text,
        "span": list(source.span) if source.span else None,
        "channel": source.channel,
        "at": moment(source.at),
        "sender": viewer.address(source.sender) or None,
    }


# Deciding.


async def _decide(request: web.Request) -> web.Response:
    hub = hub_of(request)
    body = await parsed(request, DecisionBody)
    user = require(request, body.verb.action)
    published = hub.book.current
    form = _form(published, body.form)
    span = _period(hub, form, body.period)
    field = _field(form, body.field)
    detail: dict[str, Any] = {
        "party": str(body.party),
        "observation": body.observation,
        "form": form.form,
        "period": span.key,
        "sku": body.sku,
        "field": field.id,
    }
    if body.verb is Verb.CORRECT:
        detail["value"] = _value(published, field, body, locale_of(request))
    elif body.verb is Verb.REJECT and not body.reason.strip():
        raise BadInput("Say why the figure is rejected, so that the shop can be told.", field="reason")
    async with hub.db.read() as session:
        root = await _shop(session, published, user, body.party)
        family = await parties.family(session, root.id)
        known = (await history(session, family, form.form, span.key, body.sku, field.id)).history
    if body.observation not in [f"{each.seq}.{each.number}" for each in known]:
        raise Conflict("This figure has changed since you looked; look again.", observation=body.observation)
    seq = await act(
        hub,
        f"figure.{body.verb}",
        user=user,
        about=await reach(hub, root.id),
        key=str(body.act_id),
        detail=detail,
        text=body.reason.strip(),
    )
    return answer({"seq": seq})


def _value(published: Published, field: FormField, body: DecisionBody, locale: str) -> int:
    """The corrected figure: as typed, or already in the unit that the form stores."""
    if body.input is not None:
        return parse_input(field, body.input, currency_of(published.blueprint), locale)
    if body.value is None:
        raise BadInput("Type the right figure.", field="input")
    return body.value


# Exporting.


async def _export(request: web.Request) -> web.StreamResponse:
    hub = hub_of(request)
    user = require(request, "submission.read")
    query = asked(request, ExportQuery)
    wanted = _wanted(hub, user, query)
    published = hub.book.current
    locale = locale_of(request)
    table = export.Table(
        blueprint=published.blueprint,
        form=wanted.form,
        products=tuple(_products(published)),
        locale=locale,
        timezone=published.timezone,
        say=lambda msgid: say(locale, msgid),
    )
    rows = export.pages(hub.db, published.blueprint, wanted)
    name = f"{wanted.form.form}-{wanted.period}.{query.format}"
    response = web.StreamResponse(headers={"Content-Disposition": f'attachment; filename="{name}"'})
    if query.format == "csv":
        response.content_type, response.charset = "text/csv", "utf-8"
        await response.prepare(request)
        async for chunk in export.csv_chunks(rows, table):
            await response.write(chunk)
    else:
        # A workbook is an archive whose index comes last: it is written whole, then sent.
        with tempfile.TemporaryFile() as file:
            await export.xlsx(hub.db, rows, table, file)
            response.content_type, response.content_length = _XLSX, file.tell()
            await response.prepare(request)
            file.seek(0)
            while chunk := await asyncio.to_thread(file.read, _CHUNK):
                await response.write(chunk)
    await response.write_eof()
    return response
