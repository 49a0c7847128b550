"""A provider's configuration as fields that a page can show, made from the JSON schema of its typed config."""

from collections.abc import Mapping
from typing import Any

from core.adapter import ChannelSpec, Limits
from core.words import say
from workers.web.vocabulary import FIELD_HINTS, FIELD_LABELS, SECRET_LABELS


def fields_of(spec: ChannelSpec[Any], locale: str) -> list[dict[str, Any]]:
    """The provider's own values, then those that every line may have."""
    own = spec.config.model_json_schema()
    common = Limits.model_json_schema()
    both = {**common["properties"], **own["properties"]}
    return [
        _field(name, both[name], name in own.get("required", ()), locale)
        for name in (
            *own["properties"],
            *(name for name in common["properties"] if name not in own["properties"]),
        )
    ]


def secrets_of(spec: ChannelSpec[Any], locale: str) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "label": say(locale, SECRET_LABELS.get(name, _plain(name))),
            "required": name in spec.secrets,
        }
        for name in (*spec.secrets, *spec.optional_secrets)
    ]


def _field(name: str, schema: Mapping[str, Any], is_required: bool, locale: str) -> dict[str, Any]:
    shape = _shape(schema)
    hint = FIELD_HINTS.get(name, str(schema.get("description", "")))
    return {
        "name": name,
        "label": say(locale, FIELD_LABELS.get(name, str(schema.get("title", "")) or _plain(name))),
        "hint": say(locale, hint) if hint else "",
        "type": _type(shape),
        "options": list(shape.get("enum", ())),
        "required": is_required,
        "default": schema.get("default"),
    }


def _shape(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the value is when there is one: of "a number or nothing", the number."""
    shapes = [each for each in schema.get("anyOf", ()) if each.get("type") != "null"]
    return shapes[0] if len(shapes) == 1 else schema


def _type(shape: Mapping[str, Any]) -> str:
    """How the page asks for it; what has parts of its own is written as JSON."""
    if "enum" in shape:
        return "choice"
    return {"string": "text", "number": "number", "integer": "integer", "boolean": "flag"}.get(
        str(shape.get("type", "")), "json"
    )


def _plain(name: str) -> str:
    return name.replace("_", " ").capitalize()
