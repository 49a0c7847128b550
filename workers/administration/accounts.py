"""Changes to accounts: secrets by reference only, and what the log says of it."""

from collections.abc import Mapping, Sequence
from typing import Any

from core.errors import BadInput, Conflict, NotFound
from core.secrets import is_reference
from core.tables import AccountRow
from workers.administration.acts import Actor, changing
from workers.assemble import Hub


async def add(
    hub: Hub,
    actor: Actor,
    *,
    slug: str,
    provider: str,
    title: str,
    config: Mapping[str, Any],
    secrets: Mapping[str, str],
) -> list[str]:
    """Add an account, which works from then on; the addresses that its provider is told."""
    _check_references(secrets)
    async with changing(hub, actor, "account.added") as change:
        await hub.accounts.create(
            change.tx,
            slug=slug,
            provider=provider,
            title=title,
            config=config,
            secrets=secrets,
            at=hub.clock(),
        )
        change.detail.update(account=slug, provider=provider, title=title)
    return hooks(hub, slug, hub.accounts.spec(slug).actions)


async def change(
    hub: Hub,
    actor: Actor,
    slug: str,
    *,
    title: str | None = None,
    config: Mapping[str, Any] | None = None,
    secrets: Mapping[str, str] | None = None,
) -> None:
    """Change what is given. The log names the values that changed and not what they are."""
    _check_references(secrets or {})
    async with changing(hub, actor, "account.changed") as change:
        row = await change.tx.session.get(AccountRow, slug)
        before = (dict(row.config), dict(row.secrets)) if row is not None else ({}, {})
        await hub.accounts.update(
            change.tx, slug, at=hub.clock(), title=title, config=config, secrets=secrets
        )
        changed = [
            *_different("", before[0], config),
            *_different("secrets.", before[1], secrets),
        ]
        change.detail.update(account=slug, changed=changed)


async def set_enabled(hub: Hub, actor: Actor, slug: str, is_enabled: bool) -> None:
    async with changing(hub, actor, "account.enabled" if is_enabled else "account.disabled") as change:
        await hub.accounts.update(change.tx, slug, at=hub.clock(), is_enabled=is_enabled)
        change.detail.update(account=slug)


async def check(hub: Hub, slug: str) -> list[str]:
    """Whether the account could be used: configuration and secrets are checked anew, nothing is sent.

    Returns the addresses that the provider is told. Raises ConfigInvalid with every problem, Conflict when disabled.
    """
    async with hub.db.read() as session:
        row = await session.get(AccountRow, slug)
        await hub.accounts.load(session)
    if row is None:
        raise NotFound("There is no such account.", account=slug)
    if not row.is_enabled:
        raise Conflict("The account is disabled; enable it first.", account=slug)
    hub.accounts.try_out(row)
    return hooks(hub, slug, hub.accounts.spec(slug).actions)


def hooks(hub: Hub, slug: str, actions: Sequence[str]) -> list[str]:
    """The addresses that the provider is told."""
    return [f"{hub.settings.origin}/hooks/{slug}/{action}" for action in actions]


def _check_references(secrets: Mapping[str, str]) -> None:
    """Also for an account that is disabled, whose secrets nobody resolves: none is ever stored written out."""
    wrong = [name for name, reference in secrets.items() if not is_reference(reference)]
    if wrong:
        problem = (
            "Name where the secret lies, as env:NAME, file:/ABSOLUTE/PATH or keep:name; do not write it out."
        )
        raise BadInput(problem, problems=[f"secrets.{name}: {problem}" for name in wrong])


def _different(prefix: str, before: Mapping[str, Any], after: Mapping[str, Any] | None) -> list[str]:
    if after is None:
        return []
    return [f"{prefix}{name}" for name in sorted({*before, *after}) if before.get(name) != after.get(name)]
