"""Who looks at the desk: what decides how a row, a line or an address is shown."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from core.addresses import masked
from core.tables import User
from core.values import Address
from core.words import say
from crm.blueprint.model import Blueprint
from crm.blueprint.publishing import Published


@dataclass(frozen=True, slots=True, kw_only=True)
class Viewer:
    user_id: UUID | None
    locale: str
    published: Published
    sees_numbers: bool
    people: Mapping[UUID, str]  # user ids and names

    @property
    def blueprint(self) -> Blueprint:
        return self.published.blueprint

    def say(self, msgid: str, **values: object) -> str:
        return say(self.locale, msgid, **values)

    def address(self, address: Address) -> str:
        return address.value if self.sees_numbers else masked(address)

    def person(self, id: UUID | str | None) -> dict[str, str] | None:
        if not id:
            return None
        key = id if isinstance(id, UUID) else UUID(id)
        return {"id": str(key), "name": self.people.get(key, self.say("Somebody"))}

    def kind(self, kind: str) -> str:
        for entry in self.blueprint.customer_kinds:
            if entry.id == kind:
                return entry.title.text(self.locale)
        return self.say("Unknown")

    def case_kind(self, kind: str) -> str:
        for entry in self.blueprint.case_kinds:
            if entry.id == kind:
                return entry.title.text(self.locale)
        return kind

    def case_state(self, kind: str, state: str) -> str:
        for entry in self.blueprint.case_kinds:
            if entry.id == kind:
                for each in self.blueprint.flow(entry.flow).states:
                    if each.id == state:
                        return each.title.text(self.locale)
        return state

    def queue(self, queue: str) -> str:
        for entry in self.blueprint.queues:
            if entry.id == queue:
                return entry.title.text(self.locale)
        return queue

    def product(self, sku: str) -> str:
        for entry in self.blueprint.products:
            if entry.sku == sku:
                return entry.title.text(self.locale)
        return sku

    def territory(self, id: str) -> str:
        for entry in self.blueprint.territories:
            if entry.id == id:
                return entry.title.text(self.locale)
        return id


async def people(session: AsyncSession) -> dict[UUID, str]:
    rows = await session.execute(select(col(User.id), col(User.name)))
    return dict(rows.all())


def moment(at: datetime | None) -> str | None:
    """A moment as the browser takes it."""
    return at.isoformat().replace("+00:00", "Z") if at is not None else None
