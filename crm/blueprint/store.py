"""A blueprint as text for the published row, and back."""

from __future__ import annotations

import json

from crm.blueprint.model import Blueprint, canonical


def dump(blueprint: Blueprint) -> str:
    """Canonical JSON: the same blueprint is always the same text."""
    return canonical(blueprint.document)


def load(text: str) -> Blueprint:
    """The blueprint that `dump` wrote. Raises pydantic's ValidationError where it was tampered with."""
    return Blueprint.model_validate(json.loads(text))
