"""Commands that change the hub: run in the process that owns the data, asked for on the command line."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, ValidationError

from core.addresses import masked, parse
from core.database import Database
from core.erasure import Forgetter, read_ledger
from core.errors import BadInput, ConfigInvalid, Conflict, NotFound
from core.intake import NOBODY
from core.keys import HubKey
from core.tables import Endpoint
from core.users import ADMINISTRATOR, User, all_users, by_login
from crm.blueprint.difference import Weight, difference
from crm.blueprint.publishing import publish, roll_back
from crm.blueprint.store import load
from crm.erasure import crm_eraser
from workers.administration import accounts, users
from workers.administration import outbox as mending
from workers.administration.acts import Actor
from workers.assemble import Hub
from workers.replay.reading import Replay, consumer_of
from workers.replay.switching import switch, total
from workers.retention import Retention


class Args(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    os_user: str = ""  # who sits at the command line, by the system's name for them

    @property
    def actor(self) -> Actor:
        return Actor(os_user=self.os_user)


class UserAdd(Args):
    login: str
    name: str = ""
    password_hash: str = ""
    roles: tuple[str, ...] = ()
    unit: str = ""
    queues: tuple[str, ...] = ()
    is_first_administrator: bool = False


class UserChange(Args):
    login: str
    password_hash: str = ""
    roles: tuple[str, ...] | None = None
    is_disabled: bool | None = None


class AccountAdd(Args):
    slug: str
    provider: str
    title: str = ""
    config: dict[str, Any] = {}
    secrets: dict[str, str] = {}


class AccountChange(Args):
    slug: str
    is_enabled: bool


class BlueprintPublish(Args):
    document: str
    author: str
    approved_by: str = ""
    note: str = ""


class BlueprintRollback(Args):
    version: int
    author: str
    approved_by: str = ""


class Erase(Args):
    target: str
    reason: str = ""


class Retain(Args):
    apply: bool


class ReplaySwitch(Args):
    scratch: str
    consumer: str
    as_then: bool = False


class Leftover(Args):
    """What `outbox list` shows: an item of the outbox by its id, or a parked entry as CONSUMER:NUMBER."""

    id: str
    even_if_it_may_have_arrived: bool = False


async def run(hub: Hub, command: str, args: Mapping[str, Any]) -> Any:
    """Carry out a command. Raises BadInput for one that does not exist or whose arguments do not fit."""
    if command not in COMMANDS:
        raise BadInput("The running hub does not know this command; is it an older version?", command=command)
    kind, act = COMMANDS[command]
    try:
        parsed = kind.model_validate(args)
    except ValidationError as error:
        problems = [f"{each['loc']}: {each['msg']}" for each in error.errors(include_input=False)]
        raise BadInput("The command's arguments do not fit.", problems=problems) from error
    return await act(hub, parsed)


def shown(user: User) -> dict[str, Any]:
    return {
        "login": user.login,
        "name": user.name,
        "roles": list(user.roles),
        "unit": user.unit,
        "queues": list(user.queues),
        "totp": user.has_totp,
        "disabled": user.is_disabled,
    }


async def _add_user(hub: Hub, args: UserAdd) -> dict[str, Any]:
    name = args.name or args.login
    if args.is_first_administrator:
        async with hub.db.read() as session:
            has_one = any(ADMINISTRATOR in user.roles for user in await all_users(session))
        if not has_one:
            return shown(
                await users.add_first_administrator(
                    hub, args.actor, login=args.login, name=name, password_hash=args.password_hash
                )
            )
    return shown(
        await users.add(
            hub,
            args.actor,
            login=args.login,
            name=name,
            password_hash=args.password_hash,
            roles=(*args.roles, *([ADMINISTRATOR] if args.is_first_administrator else [])),
            unit=args.unit,
            queues=args.queues,
        )
    )


async def _change_user(hub: Hub, args: UserChange) -> dict[str, Any]:
    async with hub.db.read() as session:
        user = await by_login(session, args.login)
    if user is None:
        raise NotFound(f"There is no user {args.login}; `switchboard users list --all` shows whom there is.")
    if args.roles is not None:
        user = await users.change(hub, args.actor, user.id, roles=args.roles)
    if args.password_hash:
        user = await users.set_password(hub, args.actor, user.id, args.password_hash, is_given=False)
    if args.is_disabled is not None:
        user = await users.set_disabled(hub, args.actor, user.id, args.is_disabled)
    return shown(user)


async def _add_account(hub: Hub, args: AccountAdd) -> dict[str, Any]:
    hooks = await accounts.add(
        hub,
        args.actor,
        slug=args.slug,
        provider=args.provider,
        title=args.title,
        config=args.config,
        secrets=args.secrets,
    )
    return {"slug": args.slug, "hooks": hooks}


async def _change_account(hub: Hub, args: AccountChange) -> dict[str, Any]:
    await accounts.set_enabled(hub, args.actor, args.slug, args.is_enabled)
    return {"slug": args.slug, "enabled": args.is_enabled}


async def _test_account(hub: Hub, args: AccountChange) -> dict[str, Any]:
    return {"slug": args.slug, "hooks": await accounts.check(hub, args.slug)}


async def _publish(hub: Hub, args: BlueprintPublish) -> dict[str, Any]:
    _check_two_people(args.author, args.approved_by)
    blueprint = load(args.document)
    if hub.book.has_any:
        changes = difference(hub.book.current.blueprint, blueprint)
        refused = [str(change) for change in changes if change.weight is Weight.REFUSED]
        if refused:
            raise ConfigInvalid(
                "Old records would become unreadable, so it is not published.", problems=refused
            )
    async with hub.db.begin() as tx:
        version = await publish(
            tx,
            blueprint,
            author=args.author,
            approved_by=args.approved_by,
            note=args.note,
            at=hub.clock(),
        )
    return await _published(hub, version, args)


async def _roll_back(hub: Hub, args: BlueprintRollback) -> dict[str, Any]:
    _check_two_people(args.author, args.approved_by)
    async with hub.db.begin() as tx:
        version = await roll_back(
            tx, args.version, author=args.author, approved_by=args.approved_by, at=hub.clock()
        )
    return await _published(hub, version, args)


def _check_two_people(author: str, approved_by: str) -> None:
    if approved_by and approved_by == author:
        raise Conflict("A second person approves a blueprint: --approved-by names somebody else.")


async def _published(hub: Hub, version: int, args: BlueprintPublish | BlueprintRollback) -> dict[str, Any]:
    await hub.book.load(hub.db)
    current = hub.book.current.blueprint
    await hub.intake.act(
        "blueprint.published",
        by="",
        about=NOBODY,
        key=f"blueprint:{version}",
        detail={
            "version": version,
            "hash": current.hash,
            "author": args.author,
            "approved_by": args.approved_by,
            "os_user": args.os_user,
        },
    )
    return {"version": version, "hash": current.hash}


async def _erase(hub: Hub, args: Erase) -> dict[str, Any]:
    party = await _party_named(hub, args.target)
    return asdict(await forgetter(hub).erase_person(party, by="", reason=args.reason))


async def _reapply(hub: Hub, args: Args) -> dict[str, Any]:
    """After a restore: whom the ledger names is erased again."""
    reports = await forgetter(hub).reapply(read_ledger(ledger_of(hub)))
    return {"persons": len(reports), "entries": sum(report.entries for report in reports)}


async def _retain(hub: Hub, args: Retain) -> dict[str, Any]:
    rules = Retention(hub.db, hub.files, hub.settings.retention, (crm_eraser(hub.book),))
    report = await (rules.apply(hub.clock()) if args.apply else rules.look(hub.clock()))
    return report.as_dict()


async def _switch_replay(hub: Hub, args: ReplaySwitch) -> dict[str, Any]:
    """Let a replay that lies beside the data count; the consumer rests meanwhile."""
    runner = next(each for each in hub.consumers if each.name == args.consumer)
    scratch = Database(f"sqlite+aiosqlite:///{args.scratch}")
    try:
        replay = Replay(scratch, consumer_of(args.consumer, hub.book, as_then=args.as_then))
        async with runner.resting():
            published = hub.book.current if hub.book.has_any else None
            compared = await switch(hub.db, replay, published, hub.clock())
    finally:
        await scratch.close()
    return {"written": total(compared.differences)}


async def _retry(hub: Hub, args: Leftover) -> dict[str, Any]:
    if (entry := _parked_named(args.id)) is not None:
        await mending.retry_parked(hub, args.actor, *entry)
    else:
        await mending.retry(
            hub,
            args.actor,
            _item_named(args.id),
            even_if_it_may_have_arrived=args.even_if_it_may_have_arrived,
        )
    return {"id": args.id}


async def _discard(hub: Hub, args: Leftover) -> dict[str, Any]:
    if (entry := _parked_named(args.id)) is not None:
        await mending.discard_parked(hub, args.actor, *entry)
    else:
        await mending.discard(hub, args.actor, _item_named(args.id))
    return {"id": args.id}


def _parked_named(id: str) -> tuple[str, int] | None:
    consumer, colon, seq = id.partition(":")
    return (consumer, int(seq)) if colon and seq.isascii() and seq.isdigit() else None


def _item_named(id: str) -> UUID:
    try:
        return UUID(id)
    except ValueError as error:
        raise BadInput(f"{id} is no id; `switchboard outbox list` shows them.") from error


def forgetter(hub: Hub) -> Forgetter:
    return Forgetter(
        hub.db,
        hub.intake,
        HubKey.of(hub.secrets),
        hub.files,
        erasers=(crm_eraser(hub.book),),
        consumers=hub.consumers,
        ledger=ledger_of(hub),
        clock=hub.clock,
    )


def ledger_of(hub: Hub) -> Path:
    return hub.settings.data / "erasures.jsonl"


async def _party_named(hub: Hub, target: str) -> UUID:
    """The party with this id, or whoever has this address now."""
    try:
        return UUID(target)
    except ValueError:
        address = parse(target, hub.settings.region)
    async with hub.db.read() as session:
        endpoint = await session.get(Endpoint, (address.scheme, address.value))
    if endpoint is None:
        raise NotFound(f"Nobody is known under {masked(address)}; look for the party in the console.")
    return endpoint.party_id


COMMANDS: Mapping[str, tuple[type[Args], Callable[[Hub, Any], Awaitable[Any]]]] = {
    "users.add": (UserAdd, _add_user),
    "users.change": (UserChange, _change_user),
    "accounts.add": (AccountAdd, _add_account),
    "accounts.change": (AccountChange, _change_account),
    "accounts.test": (AccountChange, _test_account),
    "blueprint.publish": (BlueprintPublish, _publish),
    "blueprint.rollback": (BlueprintRollback, _roll_back),
    "outbox.retry": (Leftover, _retry),
    "outbox.discard": (Leftover, _discard),
    "erase": (Erase, _erase),
    "erase.reapply": (Args, _reapply),
    "retention": (Retain, _retain),
    "replay.switch": (ReplaySwitch, _switch_replay),
}

DIGESTING = frozenset({"erase", "erase.reapply"})
"""Commands that need the consumers at work: what those digest later they would bring back."""
