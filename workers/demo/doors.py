"""The demo's first page asks "who are you?": each door signs in as one invented person, without a password."""

from dataclasses import dataclass
from typing import Any

from core.errors import NotFound
from core.sign_in import SignedIn
from core.users import by_login
from workers.assemble import Hub
from workers.demo.people import people


@dataclass(frozen=True, slots=True)
class Entered:
    signed_in: SignedIn
    opens: str  # the page behind the door


def shown(locale: str) -> list[dict[str, Any]]:
    """The doors as the first page lists them; those that open later are there and say so."""
    return [
        {
            "key": door.key,
            "title": door.title.text(locale),
            "about": door.about.text(locale),
            "available": door.is_open,
            "opens": door.opens,
        }
        for door in people().doors
    ]


async def enter(hub: Hub, key: str) -> Entered:
    """Sign in as the person behind the door. Raises NotFound outside the demo and for a door that is not open yet."""
    door = next((each for each in people().doors if each.key == key and each.is_open), None)
    if door is None or not hub.settings.is_demo:
        raise NotFound("There is no such door; load the page again.", door=key)
    async with hub.db.read() as session:
        user = await by_login(session, people().users[door.user].login)
    if user is None or user.is_disabled:
        raise NotFound("Nobody is behind this door; start the demo anew with --fresh.", door=key)
    async with hub.db.begin() as tx:
        return Entered(await hub.sign_ins.begin(tx, user), door.opens)
