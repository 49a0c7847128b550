"""What changes between two blueprints, in words for the people who approve it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from crm.blueprint.model import SECTIONS, Blueprint

_KEYS: Final = ("id", "code", "sku", "key", "form")
_MOST_SHOWN: Final = 80


class ChangeKind(StrEnum):
    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


class Weight(StrEnum):
    NOTE = "note"
    CARE = "care"  # old records or open work are touched
    REFUSED = "refused"  # old records would become unreadable; publishing refuses it


@dataclass(frozen=True, slots=True)
class Change:
    """One change; `where` is its path in titles, `path` the same in ids."""

    kind: ChangeKind
    path: tuple[str, ...]
    where: str
    before: str = ""
    after: str = ""
    consequence: str = ""
    weight: Weight = Weight.NOTE

    def __str__(self) -> str:
        match self.kind:
            case ChangeKind.ADDED:
                said = f"{self.where}: added" + (f" {self.after}" if self.after else "")
            case ChangeKind.REMOVED:
                said = f"{self.where}: removed" + (f" {self.before}" if self.before else "")
            case ChangeKind.CHANGED:
                said = f"{self.where}: {self.before} becomes {self.after}"
        return f"{said}. {self.consequence}".rstrip()


def difference(old: Blueprint, new: Blueprint) -> tuple[Change, ...]:
    """All changes, section by section. The version number is none of them."""
    before, after = old.document, new.document
    found: list[Change] = []
    for name in ("package", *SECTIONS):
        if name == "permissions":
            found += _permissions(old, new)
            continue
        was, now = before.get(name), after.get(name)
        if name == "package":
            was, now = _unnumbered(before), _unnumbered(after)
        noun = name.replace("_", " ")
        found += (_weighed(change) for change in _compare(was, now, (name,), (noun,)))
    return tuple(found)


def refusals(changes: tuple[Change, ...]) -> tuple[Change, ...]:
    """The changes that must not be published: what they drop is named by records that stay."""
    return tuple(change for change in changes if change.weight is Weight.REFUSED)


def _unnumbered(document: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document["package"].items() if key != "version"}


def _compare(was: Any, now: Any, path: tuple[str, ...], words: tuple[str, ...]) -> Iterator[Change]:
    if was == now:
        return
    if _entries(was) is not None or _entries(now) is not None:
        yield from _compare_entries(_entries(was) or {}, _entries(now) or {}, path, words)
    elif (
        isinstance(was, dict | None)
        and isinstance(now, dict | None)
        and not _is_label(was)
        and not _is_label(now)
    ):
        for key in dict.fromkeys([*(was or {}), *(now or {})]):
            yield from _compare((was or {}).get(key), (now or {}).get(key), (*path, key), (*words, key))
    elif _is_words(was) and _is_words(now):
        gone = [word for word in was or [] if word not in (now or [])]
        come = [word for word in now or [] if word not in (was or [])]
        if gone:
            yield Change(ChangeKind.REMOVED, path, _said(words), before=_shown(gone))
        if come:
            yield Change(ChangeKind.ADDED, path, _said(words), after=_shown(come))
        if not gone and not come:
            yield Change(ChangeKind.CHANGED, path, _said(words), before=_shown(was), after=_shown(now))
    elif was is None:
        yield Change(ChangeKind.ADDED, path, _said(words), after=_shown(now))
    elif now is None:
        yield Change(ChangeKind.REMOVED, path, _said(words), before=_shown(was))
    else:
        yield Change(ChangeKind.CHANGED, path, _said(words), before=_shown(was), after=_shown(now))


def _compare_entries(
    was: Mapping[str, Any], now: Mapping[str, Any], path: tuple[str, ...], words: tuple[str, ...]
) -> Iterator[Change]:
    for id in dict.fromkeys([*was, *now]):
        here, named = (*path, id), (*words, _named(id, now.get(id, was.get(id))))
        if id not in now:
            yield Change(ChangeKind.REMOVED, here, _said(named))
        elif id not in was:
            yield Change(ChangeKind.ADDED, here, _said(named))
        else:
            yield from _compare(was[id], now[id], here, named)
    kept_before = [id for id in was if id in now]
    kept_after = [id for id in now if id in was]
    if kept_before != kept_after:
        yield Change(
            ChangeKind.CHANGED, path, _said((*words, "order")), _shown(kept_before), _shown(kept_after)
        )


def _entries(value: Any) -> dict[str, Any] | None:
    """A list of things with ids, by id."""
    if not isinstance(value, list) or not value or not all(isinstance(each, dict) for each in value):
        return None
    for key in _KEYS:
        if all(key in each for each in value):
            found = {str(each[key]): each for each in value}
            return found if len(found) == len(value) else None
    return None


def _is_label(value: Any) -> bool:
    return isinstance(value, dict) and "zh-Hans" in value


def _is_words(value: Any) -> bool:
    return value is None or (isinstance(value, list) and all(isinstance(each, str) for each in value))


def _named(id: str, entry: Any) -> str:
    title = entry.get("title", entry.get("label")) if isinstance(entry, dict) else None
    if isinstance(title, dict):
        title = title.get("zh-Hans")
    return f"{title} ({id})" if isinstance(title, str) and title != id else id


def _said(words: tuple[str, ...]) -> str:
    return " › ".join(words)


def _shown(value: Any) -> str:
    if isinstance(value, list):
        text = "、".join(_shown(each) for each in value)
    elif isinstance(value, dict):
        text = " / ".join(f"{key} {_shown(each)}" for key, each in value.items())
    elif isinstance(value, bool):
        text = "yes" if value else "no"
    else:
        text = str(value)
    return text if len(text) <= _MOST_SHOWN else text[: _MOST_SHOWN - 1] + "…"


def _weighed(change: Change) -> Change:
    consequence, weight = _consequence(change)
    return Change(
        change.kind, change.path, change.where, change.before, change.after, consequence, weight
    ) if consequence else change  # fmt: skip


def _consequence(change: Change) -> tuple[str, Weight]:
    """What a change does to what is already there."""
    section, rest = change.path[0], change.path[2:]
    removed, added = change.kind is ChangeKind.REMOVED, change.kind is ChangeKind.ADDED
    in_field = len(rest) >= 2 and "fields" in rest[:-1]
    last = rest[-1] if rest else ""
    if (section, removed, len(rest)) == ("code_tables", True, 2) and rest[0] == "values":
        return "Codes are never deleted, since old records name them; give it valid_to.", Weight.REFUSED
    if section in ("code_tables", "customer_kinds", "case_kinds", "forms") and removed and not rest:
        return "Old records name it; it cannot be removed.", Weight.REFUSED
    if section == "products" and removed and not rest:
        return "Old figures name it; write `status: ended` and valid_to.", Weight.REFUSED
    if in_field and rest[-2] == "fields" and removed:
        return "It is no longer asked; its values stay in old records and in exports.", Weight.CARE
    if in_field and rest[-2] == "fields" and added:
        return "Old records stay without it.", Weight.NOTE
    if in_field and last in ("type", "store_as", "result", "decimals"):
        return "Old values were stored otherwise; add a new field with a new id.", Weight.REFUSED
    if in_field and last in ("title", "key"):
        return "The data stay with the field's id.", Weight.NOTE
    if in_field and last == "required" and change.after == "yes":
        return "From now on it must be answered; old records stay as they are.", Weight.NOTE
    if section == "flows" and removed and rest[:1] == ("states",) and len(rest) == 2:
        return "Cases in this state keep it until somebody moves them on.", Weight.CARE
    if "due" in change.path:
        return "Open cases keep the times they were given.", Weight.NOTE
    if section == "queues" and removed and not rest:
        return "What waits there must be given to another queue.", Weight.CARE
    if section in ("roles", "org_units", "territories") and removed and not rest:
        return "Users and records that have it must be moved first.", Weight.CARE
    return "", Weight.NOTE


def _permissions(old: Blueprint, new: Blueprint) -> Iterator[Change]:
    """Rights have no ids; what counts is who may do or see what."""
    was, now = _rights(old), _rights(new)
    for key in dict.fromkeys([*was, *now]):
        role, what = key
        title = next((r.title.hans for b in (new, old) for r in b.roles if r.id == role), role)
        where, path = f"permissions › {title} ({role}) › {what}", ("permissions", role, what)
        if key not in now:
            yield Change(
                ChangeKind.REMOVED, path, where, consequence="The role loses it at once.", weight=Weight.CARE
            )
        elif key not in was:
            yield Change(
                ChangeKind.ADDED,
                path,
                where,
                after=now[key],
                consequence="The role gains it.",
                weight=Weight.CARE,
            )
        elif was[key] != now[key]:
            yield Change(ChangeKind.CHANGED, path, where, was[key], now[key], weight=Weight.CARE)


def _rights(blueprint: Blueprint) -> dict[tuple[str, str], str]:
    rights: dict[tuple[str, str], list[str]] = {}
    titles = {action.id: action.title.hans for action in blueprint.actions}
    for grant in blueprint.permissions.actions:
        limits = [
            f"within {grant.within}" if grant.within else "",
            f"when {grant.when}" if grant.when else "",
        ]
        said = ", ".join(filter(None, [*limits, "with a second person" if grant.four_eyes else ""]))
        for action in grant.allow:
            rights.setdefault((grant.role, f"{titles.get(action, action)} ({action})"), []).append(
                said or "always"
            )
    for rule in blueprint.permissions.data:
        fields = f", only {_shown(list(rule.show))}" if rule.show else ""
        fields += f", without {_shown(list(rule.hide))}" if rule.hide else ""
        rights.setdefault((rule.role, f"sees {rule.entity}"), []).append(f"{rule.rows}{fields}")
    return {key: " or ".join(values) for key, values in rights.items()}
