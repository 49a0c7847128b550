"""Changes to users: what is checked, what nobody may do to themselves, and what the log says of it."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from core.errors import BadInput, Conflict
from core.passwords import invented
from core.users import ADMINISTRATOR, User, by_id
from workers.administration.acts import Actor, changing
from workers.assemble import Hub

_SHOWN = ("name", "roles", "unit", "queues", "territories")


async def add(
    hub: Hub,
    actor: Actor,
    *,
    login: str,
    name: str,
    password_hash: str = "",
    is_password_given: bool = False,
    roles: Sequence[str] = (),
    unit: str = "",
    queues: Sequence[str] = (),
    territories: Sequence[str] = (),
) -> User:
    check_places(hub, roles=roles, unit=unit, queues=queues, territories=territories)
    async with changing(hub, actor, "user.added") as change:
        user = await hub.users.create(
            change.tx,
            login=login,
            name=name,
            password_hash=password_hash,
            is_password_given=is_password_given,
            roles=roles,
            unit=unit,
            queues=queues,
            territories=territories,
        )
        change.detail.update(_named(user), **_places(user))
    return user


async def add_first_administrator(
    hub: Hub, actor: Actor, *, login: str, name: str, password_hash: str
) -> User:
    """Raises Conflict when there is an administrator already."""
    async with changing(hub, actor, "user.added") as change:
        user = await hub.users.first_administrator(
            change.tx, login=login, name=name, password_hash=password_hash
        )
        change.detail.update(_named(user), **_places(user))
    return user


async def change(
    hub: Hub,
    actor: Actor,
    id: UUID,
    *,
    name: str | None = None,
    roles: Sequence[str] | None = None,
    unit: str | None = None,
    queues: Sequence[str] | None = None,
    territories: Sequence[str] | None = None,
) -> User:
    """Change what is given. The log keeps what stood there before."""
    check_places(hub, roles=roles or (), unit=unit or "", queues=queues or (), territories=territories or ())
    async with changing(hub, actor, "user.changed") as change:
        before = await by_id(change.tx.session, id)
        is_taken_away = roles is not None and ADMINISTRATOR in before.roles and ADMINISTRATOR not in roles
        if actor.user == id and is_taken_away:
            raise Conflict("You cannot take the administrator's role from yourself; ask another one.")
        after = await hub.users.change(
            change.tx, id, name=name, roles=roles, unit=unit, queues=queues, territories=territories
        )
        change.detail.update(_named(after), changes=_changes(before, after))
    return after


async def set_password(hub: Hub, actor: Actor, id: UUID, password_hash: str, *, is_given: bool) -> User:
    async with changing(hub, actor, "user.password") as change:
        await hub.users.set_password(change.tx, id, password_hash, is_password_given=is_given)
        user = await by_id(change.tx.session, id)
        change.detail.update(_named(user))
    return user


async def give_password(hub: Hub, actor: Actor, user: User) -> str:
    """A new password, to be told once; it opens only the page on which its owner chooses another."""
    if actor.user == user.id:
        raise Conflict("Change your own password in your account's menu.")
    given = invented(user.login)
    await set_password(hub, actor, user.id, await hub.sign_ins.hash_new(given, user.login), is_given=True)
    return given


async def remove_totp(hub: Hub, actor: Actor, id: UUID) -> User:
    """For somebody who has lost the device. Whoever still has it turns it off with a code."""
    if actor.user == id:
        raise Conflict("Turn off your own second factor in your account's menu, with a code.")
    async with changing(hub, actor, "user.totp_off") as change:
        await hub.users.remove_totp(change.tx, id)
        user = await by_id(change.tx.session, id)
        change.detail.update(_named(user))
    return user


async def set_disabled(hub: Hub, actor: Actor, id: UUID, is_disabled: bool) -> User:
    if is_disabled and actor.user == id:
        raise Conflict("You cannot disable yourself; ask another administrator.")
    async with changing(hub, actor, "user.disabled" if is_disabled else "user.enabled") as change:
        act = hub.users.disable if is_disabled else hub.users.enable
        user = await act(change.tx, id)
        change.detail.update(_named(user))
    return user


async def end_sign_ins(hub: Hub, actor: Actor, id: UUID) -> User:
    async with changing(hub, actor, "user.signed_out") as change:
        user = await by_id(change.tx.session, id)
        await hub.sign_ins.sign_out_everywhere(change.tx, id)
        change.detail.update(_named(user))
    return user


def check_places(
    hub: Hub,
    *,
    roles: Sequence[str] = (),
    unit: str = "",
    queues: Sequence[str] = (),
    territories: Sequence[str] = (),
) -> None:
    """Raise BadInput for what the published blueprint does not have; before the first one everything is taken."""
    if not hub.book.has_any:
        return
    blueprint = hub.book.current.blueprint
    for what, field, named, known in (
        ("role", "roles", roles, {role.id for role in blueprint.roles} | {ADMINISTRATOR}),
        ("unit", "unit", [unit] if unit else [], {unit.id for unit in blueprint.org_units}),
        ("queue", "queues", queues, {queue.id for queue in blueprint.queues}),
        ("territory", "territories", territories, {each.id for each in blueprint.territories}),
    ):
        if unknown := [each for each in named if each not in known]:
            raise BadInput(
                f"There is no {what} {', '.join(unknown)}; there are {', '.join(sorted(known))}.", field=field
            )


def _named(user: User) -> dict[str, Any]:
    return {"user": str(user.id), "login": user.login}


def _places(user: User) -> dict[str, Any]:
    return {name: _plain(getattr(user, name)) for name in _SHOWN}


def _changes(before: User, after: User) -> dict[str, list[Any]]:
    """What differs, as [before, after] by field."""
    old, new = _places(before), _places(after)
    return {name: [old[name], new[name]] for name in _SHOWN if old[name] != new[name]}


def _plain(value: str | tuple[str, ...]) -> str | list[str]:
    return value if isinstance(value, str) else list(value)
