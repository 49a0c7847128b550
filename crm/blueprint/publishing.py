"""Published blueprints: immutable rows, the one in force, and what is compiled from each."""

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlmodel import col

from core.database import Database, Tx
from core.errors import Conflict, NotFound
from crm.blueprint.difference import difference, refusals
from crm.blueprint.model import Blueprint
from crm.blueprint.store import dump, load
from crm.forms.grammar import Grammar
from crm.forms.published import grammar_of
from crm.tables import BlueprintVersion


@dataclass(frozen=True, slots=True)
class Published:
    """A version with everything that is derived from it once."""

    version: int
    blueprint: Blueprint
    grammar: Grammar
    timezone: ZoneInfo


class Book:
    """All published versions; entries of the log are read with the version that they name."""

    def __init__(self) -> None:
        self._versions: dict[int, Published] = {}
        self._current: int | None = None

    @property
    def has_any(self) -> bool:
        return self._current is not None

    @property
    def current(self) -> Published:
        if self._current is None:
            raise NotFound("No blueprint is published; run `switchboard blueprint publish FOLDER`.")
        return self._versions[self._current]

    @property
    def version(self) -> int:
        """The version that new entries are read with; 0 before the first is published."""
        return self._current or 0

    def at(self, version: int) -> Published:
        """The version, or the one in force when nothing was published at the time."""
        return self._versions.get(version) or self.current

    async def load(self, db: Database) -> None:
        async with db.read() as session:
            rows = await session.execute(select(BlueprintVersion).order_by(col(BlueprintVersion.version)))
            for row in rows.scalars():
                self.add(row.version, load(row.document))

    def add(self, version: int, blueprint: Blueprint) -> None:
        if version not in self._versions:
            self._versions[version] = compiled(version, blueprint)
        self._current = max(version, self._current or 0)


def compiled(version: int, blueprint: Blueprint) -> Published:
    return Published(version, blueprint, grammar_of(blueprint), ZoneInfo(blueprint.package.timezone))


async def publish(
    tx: Tx,
    blueprint: Blueprint,
    *,
    author: str,
    approved_by: str,
    note: str,
    at: datetime,
    is_roll_back: bool = False,
) -> int:
    """Store the blueprint as the next version. What is already in force is not published twice.

    Raises Conflict when records that stay would lose what they name; only a way back may do that.
    """
    newest = (
        await tx.session.execute(
            select(BlueprintVersion).order_by(col(BlueprintVersion.version).desc()).limit(1)
        )
    ).scalar()
    if newest is not None and newest.hash == blueprint.hash:
        raise Conflict("This blueprint is already in force.", version=newest.version)
    if newest is not None and newest.package != blueprint.package.package:
        raise Conflict(
            "This folder holds another package than the one in force.",
            in_force=newest.package,
            offered=blueprint.package.package,
        )
    if newest is not None and not is_roll_back:
        _refuse_losses(load(newest.document), blueprint)
    version = newest.version + 1 if newest else 1
    tx.session.add(
        BlueprintVersion(
            version=version,
            package=blueprint.package.package,
            hash=blueprint.hash,
            document=dump(blueprint.numbered(version)),
            author=author,
            approved_by=approved_by,
            note=note,
            published_at=at,
        )
    )
    return version


def _refuse_losses(old: Blueprint, new: Blueprint) -> None:
    lost = refusals(difference(old, new))
    if lost:
        raise Conflict(
            "Records that stay name what this would take away: "
            + "; ".join(str(change) for change in lost[:5]),
            changes=[str(change) for change in lost],
        )


async def roll_back(tx: Tx, to: int, *, author: str, approved_by: str, at: datetime) -> int:
    """Publish an earlier version again, as a new one: history only grows."""
    row = await tx.session.get(BlueprintVersion, to)
    if row is None:
        raise NotFound("There is no such version.", version=to)
    return await publish(
        tx,
        load(row.document),
        author=author,
        approved_by=approved_by,
        note=f"rollback to {to}",
        at=at,
        is_roll_back=True,
    )
