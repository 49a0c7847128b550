"""Checks of roles and permissions: everybody has some, nobody both applies and approves."""

from __future__ import annotations

from collections.abc import Iterator

from crm.blueprint.names import entity_names
from crm.blueprint.organisation import Permissions
from crm.blueprint.problems import Problem, listed, problem
from crm.blueprint.subject import Subject


def check_rights(subject: Subject) -> Iterator[Problem]:
    if "permissions" in subject.unsure:
        return
    for permissions in subject.of("permissions"):
        yield from _check_four_eyes(subject, permissions)
        yield from _check_holders(subject, permissions)
        yield from _check_fields(subject, permissions)


def _check_four_eyes(subject: Subject, permissions: Permissions) -> Iterator[Problem]:
    """An act and its approval are apart in every role; that one person holds both roles is refused at sign-in."""
    for action in subject.of("actions"):
        if action.approves is None:
            continue
        for index, grant in enumerate(permissions.actions):
            if action.id in grant.allow and permissions.may(grant.role, action.approves):
                place = subject.place(
                    ("permissions", "actions", index, "allow", grant.allow.index(action.id))
                )
                yield problem(
                    "applies_and_approves", place, role=grant.role, apply=action.approves, approve=action.id
                )


def _check_holders(subject: Subject, permissions: Permissions) -> Iterator[Problem]:
    allowed = {action for grant in permissions.actions for action in grant.allow}
    for action in subject.of("actions"):
        if action.id not in allowed:
            place = subject.place(("actions", action.id), key=True)
            yield problem("role_without_holder", place, name=action.id)
    holders = {grant.role for grant in permissions.actions} | {rule.role for rule in permissions.data}
    for role in subject.of("roles"):
        if role.id not in holders:
            yield problem("role_without_rights", subject.place(("roles", role.id), key=True), name=role.id)


def _check_fields(subject: Subject, permissions: Permissions) -> Iterator[Problem]:
    for index, rule in enumerate(permissions.data):
        path = ("permissions", "data", index)
        for position, name in enumerate(rule.hide):
            if name in rule.show:
                yield problem("fields_shown_and_hidden", subject.place((*path, "hide", position)), name=name)
        if rule.entity == "*" or rule.entity not in subject.known("entities"):
            continue
        names = entity_names(subject, rule.entity)
        known = set(names.members) | {"recording", "phone", "address"}
        for part in ("show", "hide"):
            for position, name in enumerate(getattr(rule, part)):
                if name not in known and not names.open:
                    place = subject.place((*path, part, position))
                    yield problem("reference_unknown", place, target="Field", name=name, known=listed(known))
