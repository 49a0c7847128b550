"""Accounts: our lines, their checked configuration and the adapters built from it, each once."""

import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from core import accounts_snapshot
from core.adapter import Account, AdapterTools, ChannelSpec, Limits
from core.database import Tx
from core.errors import BadInput, ConfigInvalid, Conflict, NotFound, SecretMissing
from core.secrets import Secrets
from core.tables import AccountRow
from core.values import ChannelKind

log = logging.getLogger(__name__)

ModelT = TypeVar("ModelT", bound=BaseModel)

_SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_RESERVED = frozenset({"hub"})  # the log's name for people's acts
_OWN_PAGES = frozenset({ChannelKind.FORUM, ChannelKind.PORTAL, ChannelKind.HUB})


@dataclass(frozen=True, slots=True)
class _Line:
    """What one row became: an account with its adapter, or the reason why not."""

    row: AccountRow
    updated_at: datetime
    account: Account[Any] | None = None
    adapter: Any = None
    problem: ConfigInvalid | None = None


class AccountBook:
    """Every account of the hub, in memory. `load` reads the table; it may be called again at any time.

    `specs` are the providers of the catalog by name. A row that cannot be used stands in nobody's way: asking for
    that account raises its ConfigInvalid, the others work.
    """

    def __init__(
        self,
        specs: Mapping[str, ChannelSpec[Any]],
        secrets: Secrets,
        tools: AdapterTools,
        snapshot: Path | None = None,
    ) -> None:
        self._specs = specs
        self._secrets = secrets
        self._tools = tools
        self._snapshot = snapshot
        self._lines: dict[str, _Line] = {}

    async def load(self, session: AsyncSession) -> set[str]:
        """Read the accounts; returns the slugs that are new, changed or gone. Unchanged adapters stay as they are.

        Raises ConfigInvalid, and changes nothing, when demo accounts lie beside real ones.
        """
        changed = self._take(await session.scalars(select(AccountRow)))
        if changed or (self._snapshot is not None and not self._snapshot.exists()):
            self._save()
        return changed

    def load_snapshot(self) -> set[str]:
        """Like `load`, from the file that the last `load` left: for a process that starts while the database is away.

        Raises ConfigInvalid where there is none.
        """
        if self._snapshot is None:
            raise ConfigInvalid("This process keeps no snapshot of the accounts.")
        return self._take(accounts_snapshot.read(self._snapshot))

    def _take(self, found: Iterable[AccountRow]) -> set[str]:
        rows = {row.slug: row for row in found}
        self._refuse_mixture(row.provider for row in rows.values() if row.is_enabled)
        changed = set(self._lines) - set(rows)
        for slug in changed:
            del self._lines[slug]
        for slug, row in rows.items():
            known = self._lines.get(slug)
            if known is not None and known.updated_at == row.updated_at and known.problem is None:
                continue
            self._lines[slug] = self._open(row)
            changed.add(slug)
        return changed

    def _save(self) -> None:
        """Without the file a later process would have to wait for the database; this one goes on."""
        if self._snapshot is None:
            return
        try:
            accounts_snapshot.write(self._snapshot, [line.row for line in self._lines.values()])
        except OSError:
            log.exception("accounts' snapshot not written", extra={"file": str(self._snapshot)})

    def slugs(self) -> list[str]:
        """The enabled accounts that can be used, in order."""
        return sorted(
            slug for slug, line in self._lines.items() if line.account is not None and line.row.is_enabled
        )

    def problems(self) -> dict[str, ConfigInvalid]:
        """Why accounts cannot be used, by slug."""
        return {
            slug: line.problem
            for slug, line in sorted(self._lines.items())
            if line.problem is not None and line.row.is_enabled
        }

    def account(self, slug: str) -> Account[Any]:
        return self._usable(slug)[0]

    def adapter(self, slug: str) -> Any:
        """The adapter, which fulfils one or more of the protocols in core.adapter."""
        return self._usable(slug)[1]

    def limits(self, slug: str) -> Limits:
        """How fast the account may send; without limits when it is not known or cannot be used."""
        line = self._lines.get(slug)
        return line.account.limits if line is not None and line.account is not None else Limits()

    def spec(self, slug: str) -> ChannelSpec[Any]:
        line = self._line(slug)
        if (spec := self._specs.get(line.row.provider)) is None:
            raise ConfigInvalid(
                f"The account's provider {line.row.provider!r} is not in the catalog.", account=slug
            )
        return spec

    def kind_of(self, slug: str) -> ChannelKind:
        """Also of a disabled account: its last messages may still be on their way in."""
        return self.spec(slug).kind

    def try_out(self, row: AccountRow) -> None:
        """Whether the enabled account could be opened now, its secrets read anew. Raises ConfigInvalid."""
        if (problem := self._open(row).problem) is not None:
            raise problem

    async def create(
        self,
        tx: Tx,
        *,
        slug: str,
        provider: str,
        title: str,
        config: Mapping[str, Any],
        secrets: Mapping[str, str],
        at: datetime,
    ) -> None:
        """Add an account; it works from the commit on. `secrets` are references (env:NAME, file:/PATH, keep:name)."""
        if not _SLUG.fullmatch(slug) or slug in _RESERVED:
            raise BadInput(
                "An account's name has 1 to 40 small letters, digits or -, and is not 'hub'.", field="slug"
            )
        if await tx.session.get(AccountRow, slug) is not None:
            raise Conflict("There is an account of this name already; choose another.", account=slug)
        row = AccountRow(
            slug=slug,
            provider=provider,
            title=title.strip() or slug,
            config=dict(config),
            secrets=dict(secrets),
            updated_at=at,
        )
        await self._put(tx, row)

    async def update(
        self,
        tx: Tx,
        slug: str,
        *,
        at: datetime,
        title: str | None = None,
        config: Mapping[str, Any] | None = None,
        secrets: Mapping[str, str] | None = None,
        is_enabled: bool | None = None,
    ) -> None:
        """Change what is given. A changed account gets a new adapter; whoever listens with the old one must end it."""
        row = await tx.session.get(AccountRow, slug)
        if row is None:
            raise NotFound("There is no such account.", account=slug)
        row.title = row.title if title is None else title.strip() or slug
        row.config = row.config if config is None else dict(config)
        row.secrets = row.secrets if secrets is None else dict(secrets)
        row.is_enabled = row.is_enabled if is_enabled is None else is_enabled
        row.updated_at = at
        await self._put(tx, row)

    async def disable(self, tx: Tx, slug: str, at: datetime) -> None:
        """An account is never deleted, since the log names it."""
        await self.update(tx, slug, at=at, is_enabled=False)

    async def _put(self, tx: Tx, row: AccountRow) -> None:
        line = self._open(row)
        if row.is_enabled:
            if line.problem is not None:
                raise line.problem
            others = await tx.session.scalars(
                select(AccountRow).where(col(AccountRow.is_enabled), col(AccountRow.slug) != row.slug)
            )
            self._refuse_mixture([row.provider, *(other.provider for other in others)])
        tx.session.add(row)
        await tx.session.flush()
        tx.after_commit(lambda: self._keep(line))

    def _keep(self, line: _Line) -> None:
        self._lines[line.row.slug] = line
        self._save()

    def _open(self, row: AccountRow) -> _Line:
        if not row.is_enabled:
            return _Line(row, row.updated_at)
        try:
            account = checked_account(row, self._specs, self._secrets)
            adapter = self._specs[row.provider].build(account, self._tools)
        except ConfigInvalid as problem:
            return _Line(row, row.updated_at, problem=problem)
        return _Line(row, row.updated_at, account, adapter)

    def _line(self, slug: str) -> _Line:
        line = self._lines.get(slug)
        if line is None:
            raise NotFound("There is no such account.", account=slug)
        return line

    def _usable(self, slug: str) -> tuple[Account[Any], Any]:
        line = self._line(slug)
        if line.problem is not None:
            raise line.problem
        if line.account is None:
            raise Conflict("The account is disabled; enable it first.", account=slug)
        return line.account, line.adapter

    def _refuse_mixture(self, providers: Iterable[str]) -> None:
        specs = [spec for name in providers if (spec := self._specs.get(name)) is not None]
        real = sorted(spec.name for spec in specs if not spec.is_demo and spec.kind not in _OWN_PAGES)
        if real and any(spec.is_demo for spec in specs):
            raise ConfigInvalid(
                "Demo data refuses to load beside a real account; disable the one or the other.", real=real
            )


def checked_account(row: AccountRow, specs: Mapping[str, ChannelSpec[Any]], secrets: Secrets) -> Account[Any]:
    """The account with typed configuration and resolved secrets. Raises ConfigInvalid with every problem at once."""
    spec = specs.get(row.provider)
    if spec is None:
        raise ConfigInvalid(
            f"There is no provider {row.provider!r}; known are {', '.join(sorted(specs))}.", account=row.slug
        )
    problems: list[str] = []
    own, common = _split(row.config, spec)
    config = _checked(spec.config, own, problems)
    limits = _checked(Limits, common, problems)
    resolved = {}
    others = [name for name in row.secrets if name not in spec.secrets]
    known = (*spec.secrets, *spec.optional_secrets, *(others if spec.names_secrets else ()))
    for name in dict.fromkeys(known):
        if name not in spec.secrets and not row.secrets.get(name):
            continue
        if name not in row.secrets:
            problems.append(f"secrets.{name}: is missing; give a reference such as env:NAME")
            continue
        try:
            resolved[name] = secrets.resolve(row.secrets[name])
        except SecretMissing as error:
            problems.append(f"secrets.{name}: {error.message}")
    problems += [f"secrets.{name}: is not known to {spec.name}" for name in row.secrets if name not in known]
    if config is None or limits is None or problems:
        raise ConfigInvalid(
            f"The account {row.slug!r} cannot be used: {'; '.join(problems)}",
            account=row.slug,
            problems=problems,
        )
    return Account(
        slug=row.slug,
        provider=row.provider,
        title=row.title,
        config=config,
        secrets=resolved,
        limits=limits,
    )


def _split(config: Mapping[str, Any], spec: ChannelSpec[Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The provider's own values, and those that every account may have; a provider's field of that name goes first."""
    common = Limits.model_fields.keys() - spec.config.model_fields.keys()
    return (
        {name: value for name, value in config.items() if name not in common},
        {name: value for name, value in config.items() if name in common},
    )


def _checked(model: type[ModelT], values: Mapping[str, Any], problems: list[str]) -> ModelT | None:
    """The typed values; what is wrong with them is added to `problems`."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        # Without the input: somebody may have written a secret into the wrong field.
        problems += [
            f"{'.'.join(str(part) for part in found['loc']) or 'config'}: {found['msg']}"
            for found in error.errors(include_url=False, include_context=False, include_input=False)
        ]
        return None
