"""Who asks and whether they may: one place for pages, API, socket and export."""

from typing import Final

from aiohttp import web

from core.addresses import masked
from core.errors import Forbidden, NotSignedIn
from core.users import ADMINISTRATOR, User
from core.values import Address
from crm.blueprint.model import Blueprint
from workers.assemble import Hub

HUB: Final = web.AppKey("hub", Hub)
USER: Final = web.RequestKey("user", User)
CSRF: Final = web.RequestKey("csrf", str)

REVEAL: Final = "party.reveal"
ADMINISTRATION: Final = "/api/admin/"
"""Where everything lies that only administrators may ask for. See workers/web/app.py."""


def hub_of(request: web.Request) -> Hub:
    return request.app[HUB]


class PasswordGiven(Forbidden):
    """Somebody else knows this user's password: the page asks for another one before it shows anything."""

    code = "password_given"


def user_of(request: web.Request) -> User:
    """The signed-in user. Raises NotSignedIn, and PasswordGiven until they have a password of their own."""
    user = whoever_is_signed_in(request)
    if user.has_given_password:
        raise PasswordGiven("Choose a password of your own first.")
    return user


def whoever_is_signed_in(request: web.Request) -> User:
    """Also somebody who has yet to choose a password. Raises NotSignedIn."""
    user: User | None = request.get(USER)
    if user is None:
        raise NotSignedIn("Sign in first.")
    return user


def may(blueprint: Blueprint, user: User, action: str) -> bool:
    """Whether one of the user's roles is granted the action. What nobody is granted is denied."""
    return any(blueprint.permissions.may(role, action) for role in user.roles)


def require(request: web.Request, action: str) -> User:
    """The signed-in user, who may do this. Raises NotSignedIn or Forbidden."""
    user = user_of(request)
    blueprint = hub_of(request).book.current.blueprint
    # The desk asks which actions, not whose records: a customer's own cases are for pages that ask both.
    if is_external(blueprint, user) or not may(blueprint, user, action):
        raise Forbidden("Your roles do not allow this.", action=action)
    return user


def is_external(blueprint: Blueprint, user: User) -> bool:
    """Whether the user is a customer: none of the roles is one of our own people's."""
    external = {role.id for role in blueprint.roles if role.external}
    return bool(user.roles) and all(role in external for role in user.roles)


def actions_of(blueprint: Blueprint, user: User) -> list[str]:
    return sorted(action.id for action in blueprint.actions if may(blueprint, user, action.id))


def shown(blueprint: Blueprint, user: User, address: Address) -> str:
    """An address as this user may see it: whole, or with its middle hidden."""
    sees_whole = may(blueprint, user, REVEAL) or any(
        role.unmasked for role in blueprint.roles if role.id in user.roles
    )
    return address.value if sees_whole else masked(address)


def is_administrator(user: User) -> bool:
    return ADMINISTRATOR in user.roles


def require_administrator(request: web.Request) -> User:
    """The signed-in administrator. Raises NotSignedIn or Forbidden."""
    user = user_of(request)
    if not is_administrator(user):
        raise Forbidden("Only administrators may do this.")
    return user
