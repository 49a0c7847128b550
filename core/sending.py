"""Sending: an outbox item becomes an entry of the log first, then a message at the provider, then its outcome."""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import select
from sqlmodel import col

from core import outbox
from core.adapter import Sends
from core.clock import Clock, now
from core.database import Database, Tx
from core.errors import (
    ConfigInvalid,
    Conflict,
    NotFound,
    OutcomeUnknown,
    ProviderUnreachable,
    RecipientOptedOut,
    SendError,
    TooLate,
)
from core.log.entries import Entry
from core.log.writer import LogWriter
from core.outbox import Item, ItemState, Lane, Outcome, Retry, Settled
from core.storable import storable, storable_key
from core.tables import Consent
from core.values import (
    Address,
    Attachment,
    ChannelKind,
    DeliveryState,
    Direction,
    EntryKind,
    Outbound,
    Receipt,
)

log = logging.getLogger(__name__)

SEND = "send"

_LONGEST_SEND = timedelta(seconds=30)
"""An adapter's longest time-out; a claim lasts longer (core.outbox.CLAIM)."""


def queue_message(
    tx: Tx,
    *,
    key: str,
    account: str,
    recipient: Address,
    text: str,
    at: datetime,
    cause_seq: int,
    by: str = "",
    lane: Lane = Lane.REPLY,
    purpose: str = "service",
    deadline: datetime | None = None,
    meta: dict[str, Any] | None = None,
) -> None:
    """Put a message into the outbox, due `at`. `by` is the person who wrote it; empty: the hub answers by itself."""
    payload = {"text": text, "by": by, "purpose": purpose, "meta": meta or {}}
    outbox.put(
        tx,
        key=key,
        job=SEND,
        payload=payload,
        due_at=at,
        lane=lane,
        account=account,
        address=recipient,
        deadline=deadline,
        cause_seq=cause_seq,
    )


class Sender:
    """The job that sends. Every outgoing message stands in the log before the provider has it."""

    def __init__(
        self,
        db: Database,
        writer: LogWriter,
        adapter: Callable[[str], object],
        kind_of: Callable[[str], ChannelKind],
        clock: Clock = now,
    ) -> None:
        self._db = db
        self._writer = writer
        self._adapter = adapter
        self._kind_of = kind_of
        self._clock = clock

    async def __call__(self, item: Item) -> Outcome:
        entered = await self._writer.write(self._message(item))
        if item.was_interrupted and not entered.is_new:
            # Its worker died between the log and the outcome: the provider may have the message. What stood not even
            # in the log had not been offered.
            return await self._settle(item, OutcomeUnknown("The worker stopped while it was sending."))
        try:
            await self._check_consent(item)
            adapter = self._sends(item.account)
            at = self._clock()
            if item.deadline is not None and at > item.deadline:
                raise TooLate("Its deadline passed before its turn came.")
            if at > item.claimed_until - _LONGEST_SEND:
                # This process was frozen: what it began now would end when another has the item.
                return Retry(item.due_at)
            receipt = await adapter.send(self._outbound(item))
        except SendError as error:
            return await self._settle(item, error)
        await self._writer.write(self._handed_over(item, receipt))
        return Settled(ItemState.DONE)

    async def doubt(self, item: Item) -> None:
        """Show the message on its line as one that may have left, without offering it: after a restore nobody knows."""
        await self._writer.write(self._message(item))
        await self._settle(item, OutcomeUnknown("It waited to leave when the backup was made."))

    def _sends(self, account: str) -> Sends:
        try:
            adapter = self._adapter(account)
        except (ConfigInvalid, Conflict, NotFound) as error:
            # Disabled, or its configuration is broken: it waits until somebody repairs it or its deadline comes.
            raise ProviderUnreachable(error.message) from error
        if not isinstance(adapter, Sends):
            raise ProviderUnreachable("This account cannot send.")
        return adapter

    async def _check_consent(self, item: Item) -> None:
        purpose = item.payload["purpose"]
        if purpose == "service":
            return
        async with self._db.read() as session:
            granted = (
                await session.execute(
                    select(col(Consent.granted)).where(
                        col(Consent.scheme) == item.address.scheme,
                        col(Consent.value) == item.address.value,
                        col(Consent.purpose) == purpose,
                    )
                )
            ).scalar()
        if not granted:
            raise RecipientOptedOut("There is no consent to write to this address for this purpose.")

    async def _settle(self, item: Item, error: SendError) -> Outcome:
        at = self._clock()
        if isinstance(error, OutcomeUnknown):
            outcome: Outcome = Settled(ItemState.UNKNOWN, error.code)
            state = DeliveryState.UNKNOWN
        else:
            outcome = outbox.after_failure(error, item, at)
            state = DeliveryState.FAILED
        log.info("not sent", extra={"outbox_id": str(item.id), "account": item.account, "error": error.code})
        if isinstance(outcome, Settled):
            await self._writer.write(
                self._status(item, state, error.code, str(error.detail.get("provider", "")))
            )
        return outcome

    def _message(self, item: Item) -> Entry:
        data = {
            "outbox": str(item.id),
            "by": item.payload["by"],
            "cause": item.cause_seq,
            "purpose": item.payload["purpose"],
            **({"meta": item.payload["meta"]} if item.payload["meta"] else {}),
        }
        return Entry(
            account=item.account,
            dedupe_key=f"out:{item.id}",
            channel=self._kind_of(item.account),
            direction=Direction.OUT,
            kind=EntryKind.MESSAGE,
            occurred_at=self._clock(),
            address=item.address,
            text=item.payload["text"],
            data=orjson.dumps(data),
        )

    def _outbound(self, item: Item) -> Outbound:
        return Outbound(
            id=item.id,
            recipient=item.address,
            text=item.payload["text"],
            commercial=item.payload["purpose"] == "marketing",
            attachments=tuple(Attachment(**part) for part in item.payload.get("attachments", ())),
            meta=item.payload["meta"],
        )

    def _handed_over(self, item: Item, receipt: Receipt) -> Entry:
        return self._status(item, receipt.state, "", "", receipt.external_id, receipt.raw)

    def _status(
        self,
        item: Item,
        state: DeliveryState,
        error: str,
        provider_error: str,
        external_id: str = "",
        raw: bytes = b"",
    ) -> Entry:
        return Entry(
            account=item.account,
            dedupe_key=_outcome_key(item),
            channel=self._kind_of(item.account),
            direction=Direction.OUT,
            kind=EntryKind.STATUS,
            occurred_at=self._clock(),
            address=item.address,
            # The provider's own strings, as the intake would write them: its status reports name the same one.
            external_id=storable_key(external_id),
            data=orjson.dumps(
                {
                    "state": state,
                    "error": error,
                    "provider_error": storable(provider_error),
                    "outbox": str(item.id),
                    **({"again": _again(item)} if _again(item) else {}),
                }
            ),
            raw=raw,
            raw_type="application/json" if raw else "",
        )


def _outcome_key(item: Item) -> str:
    """One outcome for each time that the item was given to the provider's line: at first, and by each person after."""
    return f"sent:{item.id}:{_again(item)}" if _again(item) else f"sent:{item.id}"


def _again(item: Item) -> int:
    """How often people had it offered again after it had ended badly."""
    return int(item.payload.get("again", 0))
