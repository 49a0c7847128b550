"""What people find in the menu, what they may do there, and the texts and outcomes they pick from."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from crm.blueprint.values import Entry, Id, Label, Ref


class Action(Entry):
    """`approves` names the act that this one approves: nobody may hold both."""

    id: Id
    title: Label
    approves: Annotated[Id, Ref("actions")] | None = None


class MenuItem(Entry):
    id: Id
    title: Label
    needs: Annotated[Id, Ref("actions")] | None = None  # shown only to those who may do it


class Function(Entry):
    id: Id
    title: Label
    items: Annotated[tuple[MenuItem, ...], Field(min_length=1)]


class ChannelKind(StrEnum):
    SMS = "sms"
    EMAIL = "email"
    CALL = "call"
    FORUM = "forum"
    PORTAL = "portal"
    TELEGRAM = "telegram"


class LegalClass(StrEnum):
    """Why a message may be sent at all; consumers get no `marketing`."""

    SERVICE = "service"
    SURVEY = "survey"
    ANTI_COUNTERFEIT = "anti_counterfeit"
    MARKETING = "marketing"


class CannedReply(Entry):
    id: Id
    title: Label
    text: Label
    channels: tuple[ChannelKind, ...] = ()  # empty means all
    case_kinds: tuple[Annotated[Id, Ref("case_kinds")], ...] = ()
    legal_class: LegalClass = LegalClass.SERVICE
    shortcut: Annotated[str, Field(pattern=r"^[a-z0-9]{1,12}$")] | None = None


class Need(StrEnum):
    NOTE = "note"
    CASE = "case"
    CALLBACK = "callback"


class Disposition(Entry):
    """How a contact ended, as the agent notes it at wrap-up."""

    id: Id
    title: Label
    parent: Annotated[Id, Ref("dispositions")] | None = None
    channels: tuple[ChannelKind, ...] = ()
    needs: tuple[Need, ...] = ()
