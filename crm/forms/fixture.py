"""A grammar and its contexts from a fixture file, to read messages from a list without a running hub.

The fixture's numbers replace the form's: products, senders, units and thresholds. The words stay the blueprint's.
Its keys are named after the form's own: `<field>_default_unit`, `max_<result>`, `<field>_band`, `units_in_<unit>`,
and `<guide>` or `<guide>_<unit>` for the reference amount that a band names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from pydantic import ValidationError

from crm.blueprint.forms import FormDef, MessageVocabulary, MoneyField
from crm.forms.catalogue import Catalogue, Product
from crm.forms.dialogue import read
from crm.forms.grammar import Grammar, compile_grammar
from crm.forms.readings import Context, FieldValue, Held, LastReport
from crm.forms.text import fold

_UNITS: Final = re.compile(r"units_in_\w+")
_MINUTES: Final = {"minutes": 1, "hours": 60, "days": 1440}
_MOST_LINE: Final = 1_000_000


class FixtureInvalid(ValueError):
    """The fixture cannot be used; the message says which key and what to do."""


@dataclass(frozen=True, slots=True)
class Fixture:
    grammar: Grammar
    now: datetime
    senders: Mapping[str, str]
    unbound: Mapping[str, str]


def load_fixture(data: Mapping[str, Any], forms: Sequence[FormDef], vocabulary: MessageVocabulary) -> Fixture:
    try:
        return _load(data, forms, vocabulary)
    except KeyError as error:
        raise FixtureInvalid(f"the fixture lacks the key {error}; add it") from error
    except (ValidationError, TypeError, AttributeError, ArithmeticError, ValueError) as error:
        raise FixtureInvalid(f"the fixture cannot be read: {error}") from error


def read_lines(fixture: Fixture, lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """One result a line. A line that cannot be read gives `{"id", "error"}` and the next one is read."""
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            ident, text, told = _parse_line(line)
            context = context_of(fixture, told)
        except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError, RecursionError) as error:
            yield {
                "id": _id_of(line),
                "error": {"code": "bad_line", "line": number, "reason": _reason(error)},
            }
            continue
        yield {"id": ident, "expect": read(text, context, fixture.grammar).as_expectation()}


def context_of(fixture: Fixture, told: Mapping[str, Any]) -> Context:
    """The context that a line's `ctx` tells; without a sender the fixture's first one writes."""
    now = _moment(told.get("now")) or fixture.now
    sender = told.get("sender", next(iter(fixture.senders), ""))
    held = told.get("pending") or told.get("held") or ()
    held_at = _when(told, ("pending_at", "held_at"), "pending", now)
    names = _result_names(fixture.grammar)
    return Context(
        now=now,
        timezone=fixture.now.tzinfo or UTC,
        party=fixture.senders.get(str(sender)),
        last_report=_last_report(told, now, names),
        held=tuple(_held(each, held_at, now, names) for each in _as_list(held)),
        awaiting=tuple(_skus(_first(told, "awaiting", "asked", "expected", *_like(told, "remind")))),
        confirmed=_confirmed(
            _first(told, "learned", *_like(told, "confirmed"), *_like(told, "normal")), names
        ),
        unbound=fixture.unbound.get,
        repeat_of=_receipt_of(told.get("duplicate_of")),
        redelivered=bool(told.get("redelivered") or told.get("same_message_id")),
    )


def _load(data: Mapping[str, Any], forms: Sequence[FormDef], vocabulary: MessageVocabulary) -> Fixture:
    said = data.get("form", {})
    wanted = said.get("id", vocabulary.default_form)
    known = {form.form: form for form in forms}
    if wanted not in known:
        raise FixtureInvalid(f"the fixture is for the form {wanted}; the blueprint has {', '.join(known)}")
    form = _adapted(known[wanted], said, data)
    words = vocabulary.model_copy(
        update={"signature": data.get("signature", vocabulary.signature), "default_form": wanted}
    )
    catalogue = Catalogue(
        [_product(each, form) for each in data.get("products", ())], data.get("brand_prefixes", {})
    )
    others = [each for each in forms if each.form != wanted]
    binding = vocabulary.binding
    unbound = data.get(f"{binding.key}s_unbound", {}) if binding else {}
    senders = data.get("senders", {})
    now = _moment(data.get("now"))
    if now is None:
        raise FixtureInvalid("the fixture lacks the key 'now'; add the time with its offset")
    return Fixture(
        grammar=compile_grammar([form, *others], words, catalogue),
        now=now,
        senders={sender: str(about.get(form.about) or about["party"]) for sender, about in senders.items()},
        unbound={str(number): str(party) for number, party in unbound.items()},
    )


def _adapted(form: FormDef, said: Mapping[str, Any], data: Mapping[str, Any]) -> FormDef:
    """The form with the fixture's numbers, checked as if the blueprint had said them."""
    document = form.model_dump(mode="json", by_alias=True)
    hours = {
        "correct_hours": "correct_hours",
        "repeat_minutes": "dup_minutes",
        "pending_hours": "pending_hours",
    }
    for ours, theirs in hours.items():
        if theirs in said:
            document["dialogue"][ours] = said[theirs]
    if "backdate_days" in said:
        period = document.get("period") or {"every": said.get("period", "week")}
        document["period"] = {**period, "backdate_days": said["backdate_days"]}
    units = next((value for key, value in data.items() if _UNITS.fullmatch(key)), None)
    for field in (document.get("lines") or {}).get("fields", ()):
        key, name = field["key"], field.get("result") or field["key"]
        if field["type"] == "quantity" and units:
            kept = {
                k: v for k, v in field["ambiguous_units"].items() if k in data.get("ambiguous_units", [k])
            }
            missing = [unit for unit in data.get("ambiguous_units", ()) if unit not in kept]
            largest = max(units, key=lambda unit: units[unit])
            field["units"] = dict(units)
            field["ambiguous_units"] = {
                **{k: v if v in units else largest for k, v in kept.items()},
                **dict.fromkeys(missing, largest),
            }
        field.update(_said_of(field, key, name, said))
    return FormDef.model_validate(document)


def _said_of(field: Mapping[str, Any], key: str, name: str, said: Mapping[str, Any]) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if f"{key}_default_unit" in said:
        changes["unit"] = said[f"{key}_default_unit"]
    if f"max_{name}" in said:
        changes["confirm_above"] = said[f"max_{name}"]
    if f"{key}_band" in said and field.get("band"):
        low, high = said[f"{key}_band"]
        changes["band"] = {**field["band"], "from": low, "to": high}
    return changes


def _product(said: Mapping[str, Any], form: FormDef) -> Product:
    guides = {}
    for definition in form.lines.fields if form.lines else ():
        if isinstance(definition, MoneyField) and definition.band:
            of = definition.band.of
            amount = next((said[key] for key in said if key == of or key.startswith(f"{of}_")), None)
            if amount is not None:
                guides[of] = int(Decimal(str(amount)).scaleb(definition.decimals))
    barcode = said.get("barcode")
    return Product(
        sku=str(said["sku"]),
        name=str(said["name"]),
        aliases=tuple(map(str, said.get("alias", ()))),
        barcodes=(str(barcode),) if barcode else (),
        own=bool(said.get("own", True)),
        guides=guides,
        spec="".join(re.findall(r"\(([^)]*)\)", fold(str(said["name"])))),
    )


# One line of messages.


def _parse_line(line: str) -> tuple[Any, str, Mapping[str, Any]]:
    if len(line) > _MOST_LINE:
        raise ValueError(f"the line is longer than {_MOST_LINE} characters; split the messages")
    said = json.loads(line)
    if not isinstance(said, dict):
        raise TypeError('a line is an object like {"id": "1", "text": "101 3", "ctx": {}}')
    text, told = said.get("text"), said.get("ctx") or {}
    if not isinstance(text, str):
        raise TypeError("the key text is missing or no string; add the message's text")
    if not isinstance(told, dict):
        raise TypeError("the key ctx is no object; write {} where there is nothing to tell")
    return said.get("id"), text, told


def _id_of(line: str) -> Any:
    try:
        said = json.loads(line[:_MOST_LINE])
    except (ValueError, RecursionError):
        return None
    return said.get("id") if isinstance(said, dict) else None


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"no valid JSON: {error.msg} at column {error.colno}; write one object a line"
    if isinstance(error, KeyError):
        return f"the key {error} is missing in ctx; add it"
    return str(error) or type(error).__name__


def _first(told: Mapping[str, Any], *names: str) -> Any:
    return next((told[name] for name in names if told.get(name) is not None), None)


def _like(told: Mapping[str, Any], part: str) -> list[str]:
    return [name for name in told if part in name]


def _as_list(value: Any) -> Sequence[Any]:
    if isinstance(value, Mapping):
        return [value] if "sku" in value else list(value.get("items", ()))
    return list(value or ())


def _last_report(told: Mapping[str, Any], now: datetime, names: Sequence[str]) -> LastReport | None:
    said = told.get("last_report")
    if said is None:
        return None
    about = said if isinstance(said, Mapping) else {"receipt": said}
    at = _when(about, ("at", "time", "received_at"), "", now)
    at = at or _when(told, ("last_report_at",), "last_report", now)
    text = about.get("text", about.get("normalized", told.get("last_text")))
    items = about.get("items", told.get("last_items", ()))
    return LastReport(
        receipt=str(_receipt_of(about) or ""),
        text=None if text is None else fold(str(text)),
        at=at,
        items=tuple(_held(each, None, now, names) for each in _as_list(items)),
        form=about.get("form"),
    )


def _receipt_of(value: Any) -> str | None:
    if isinstance(value, Mapping):
        value = value.get("receipt", value.get("id"))
    return None if value is None else str(value)


def _held(said: Mapping[str, Any], at: datetime | None, now: datetime, names: Sequence[str]) -> Held:
    values: dict[str, FieldValue] = {name: said[name] for name in names if said.get(name) is not None}
    own = _when(said, ("at", "held_at", "since"), "", now)
    return Held(sku=str(said["sku"]), values=values, warn=said.get("warn"), at=own or at)


def _when(said: Mapping[str, Any], names: Sequence[str], prefix: str, now: datetime) -> datetime | None:
    """A moment given itself, or as so many minutes or hours ago."""
    moment = _moment(_first(said, *names))
    if moment is not None:
        return moment
    lead = f"{prefix}_" if prefix else ""
    for unit, minutes in _MINUTES.items():
        for name in (f"{lead}{unit}_ago", f"{lead}age_{unit}", f"{lead}{unit}"):
            if isinstance(said.get(name), int | float):
                return now - timedelta(minutes=float(said[name]) * minutes)
    return None


def _moment(value: Any) -> datetime | None:
    if value is None:
        return None
    moment = datetime.fromisoformat(str(value))
    if moment.tzinfo is None:
        raise ValueError(f"the time {value} has no offset; write it like 2026-09-23T10:15:00+08:00")
    return moment


def _skus(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        value = _first(value, "products", "skus", "items")
    return [str(each["sku"] if isinstance(each, Mapping) else each) for each in value or ()]


def _confirmed(value: Any, names: Sequence[str]) -> dict[tuple[str, str], int]:
    entries = value or ()
    if isinstance(entries, Mapping):
        entries = [
            {"sku": sku, **(said if isinstance(said, Mapping) else {names[0]: said})}
            for sku, said in entries.items()
        ]
    return {
        (str(entry["sku"]), name): int(entry[name])
        for entry in entries
        for name in names
        if entry.get(name) is not None
    }


def _result_names(grammar: Grammar) -> list[str]:
    return [definition.name for definition in grammar.default.fields.values()]
