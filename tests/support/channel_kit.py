"""What the hub expects of every text channel's adapter, run for each provider in the catalog with a specimen of it."""

import asyncio
import logging
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict

from core.adapter import Account, AdapterTools, ChannelSpec, Decoded, Hook, Receives, Sends
from core.errors import (
    BadInput,
    OutcomeUnknown,
    ProviderRejectedUs,
    ProviderThrottled,
    ProviderUnreachable,
    RecipientInvalid,
    RecipientOptedOut,
    SendError,
    SignatureInvalid,
    SwitchboardError,
)
from core.values import Address, DeliveryState, Inbound, Outbound, Receipt, StatusUpdate, Unreadable
from tests.support.fake_provider import Behaviour, FakeProvider, nobody_listens

NOW = datetime(2026, 11, 20, 8, 30, 15, tzinfo=UTC)
SENDER = "+8613900000001"
TEXT = "KC 101 3 10.5 库存"
OUT = Outbound(
    id=UUID("01935b2c-0000-7000-8000-000000000001"), recipient=Address("tel", SENDER), text="已收到 3 条"
)
# In seconds; others may take long on a busy machine, so only the silent one is waited for in full.
PATIENCE = {Behaviour.SAYS_NOTHING: 0.2}
ONE_READING = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


class Specimen(Protocol):
    """How a test speaks as one provider would. Bodies are made by it, then signed by `hook`, whatever they hold."""

    name: str
    spec: ChannelSpec[Any]
    signature_header: str
    secrets: Sequence[str]  # none of them may ever be shown

    def account(self, base_url: str) -> Account[Any]: ...

    def hook(self, action: str, body: bytes, *, key: str | None = None, at: datetime = NOW) -> Hook:
        """A request as the provider signs it, or as somebody with another `key` would."""
        ...

    def message(self, id: str, text: str, sender: str, at: datetime = NOW) -> bytes: ...

    def status(self, id: str, state: DeliveryState) -> bytes: ...

    def malformed(self) -> Sequence[bytes]:
        """Bodies of a message which only this provider could have sent and nobody can read."""
        ...

    def other_charset(self) -> bytes:
        """A message in another charset than the one agreed on."""
        ...

    def provider(self) -> FakeProvider: ...

    def said(self, provider: FakeProvider) -> tuple[str, str]:
        """Number and text of the message that the provider saw last."""
        ...


class _Kit:
    @pytest.fixture
    async def tools(self) -> Any:
        async with aiohttp.ClientSession() as http:
            yield AdapterTools(http=http, now=lambda: NOW, public_url="https://hub.example.com")

    @pytest.fixture
    def adapter(self, specimen: Specimen, tools: AdapterTools) -> Any:
        return specimen.spec.build(specimen.account("https://127.0.0.1:9"), tools)


def event(decoded: Decoded) -> Any:
    (one,) = decoded.events
    return one


class Receiving(_Kit):
    """Checks of `receive`; a subclass gives the fixture `specimen`."""

    def test_the_adapter_receives(self, adapter: Any) -> None:
        assert isinstance(adapter, Receives)

    def test_a_message_is_decoded_and_its_bytes_are_kept(self, specimen: Specimen, adapter: Receives) -> None:
        hook = specimen.hook("message", specimen.message("SM1", TEXT, SENDER))
        decoded = adapter.receive("message", hook)
        message = event(decoded)
        assert isinstance(message, Inbound)
        assert (message.external_id, message.text, message.sender) == ("SM1", TEXT, Address("tel", SENDER))
        assert message.raw == hook.body
        assert message.occurred_at.utcoffset() == timedelta()
        assert abs(message.occurred_at - NOW) < timedelta(seconds=1)
        assert message.defects == ()
        assert 200 <= decoded.answer.status < 300

    @pytest.mark.parametrize(
        "state",
        [DeliveryState.SENT, DeliveryState.DELIVERED, DeliveryState.UNDELIVERED],
    )
    def test_a_status_report_is_decoded(
        self, specimen: Specimen, adapter: Receives, state: DeliveryState
    ) -> None:
        decoded = adapter.receive("status", specimen.hook("status", specimen.status("SM1", state)))
        update = event(decoded)
        assert isinstance(update, StatusUpdate)
        assert (update.external_id, update.state) == ("SM1", state)
        assert 200 <= decoded.answer.status < 300

    def test_a_repeated_request_has_the_same_key(self, specimen: Specimen, adapter: Receives) -> None:
        body = specimen.message("SM1", TEXT, SENDER)
        first = event(adapter.receive("message", specimen.hook("message", body)))
        later = specimen.hook("message", body, at=NOW + timedelta(minutes=4))
        assert event(adapter.receive("message", later)).dedupe_key == first.dedupe_key

    def test_a_message_and_its_states_have_keys_of_their_own(
        self, specimen: Specimen, adapter: Receives
    ) -> None:
        bodies = [("message", specimen.message("SM1", TEXT, SENDER))]
        bodies += [("message", specimen.message("SM2", TEXT, SENDER))]
        bodies += [
            ("status", specimen.status("SM1", state))
            for state in (DeliveryState.SENT, DeliveryState.DELIVERED)
        ]
        keys = {
            event(adapter.receive(action, specimen.hook(action, body))).dedupe_key for action, body in bodies
        }
        assert len(keys) == 4

    def test_statuses_mean_the_same_in_any_order(self, specimen: Specimen, adapter: Receives) -> None:
        states = [DeliveryState.SENT, DeliveryState.DELIVERED, DeliveryState.UNDELIVERED]
        hooks = [specimen.hook("status", specimen.status("SM1", state)) for state in states]
        forwards = [event(adapter.receive("status", hook)) for hook in hooks]
        backwards = [event(adapter.receive("status", hook)) for hook in reversed(hooks)]
        assert forwards == backwards[::-1]

    def test_a_signature_made_with_another_key_is_refused(
        self, specimen: Specimen, adapter: Receives
    ) -> None:
        hook = specimen.hook("message", specimen.message("SM1", TEXT, SENDER), key="somebody-elses-key")
        with pytest.raises(SignatureInvalid):
            adapter.receive("message", hook)

    @pytest.mark.parametrize(
        "damage",
        [
            lambda whole: None,
            lambda whole: "",
            lambda whole: " ",
            lambda whole: whole[:-1],
            lambda whole: whole[1:],
            lambda whole: whole[:4],
            lambda whole: whole + "=",
            lambda whole: whole * 100,
            lambda whole: f"{whole},{whole}",
            lambda whole: "库存" * 14,
            lambda whole: "\udcff" * 28,
            lambda whole: "\0" + whole,
            lambda whole: "é" + whole[1:],
        ],
        ids=[
            "absent", "empty", "blank", "without its end", "without its start", "four letters", "one more",
            "very long", "twice", "Chinese", "bytes that are no text", "nul", "not ascii",
        ],
    )  # fmt: skip
    def test_a_damaged_signature_is_refused(
        self, specimen: Specimen, adapter: Receives, damage: Callable[[str], str | None]
    ) -> None:
        hook = specimen.hook("message", specimen.message("SM1", TEXT, SENDER))
        headers = CIMultiDict(hook.headers)
        damaged = damage(headers.pop(specimen.signature_header))
        headers.update({} if damaged is None else {specimen.signature_header: damaged})
        with pytest.raises(SignatureInvalid):
            adapter.receive("message", replace(hook, headers=headers))

    def test_a_flipped_bit_is_refused_unless_it_says_the_same(
        self, specimen: Specimen, adapter: Receives
    ) -> None:
        hook = specimen.hook("message", specimen.message("SM1", TEXT, SENDER))
        said = event(adapter.receive("message", hook))
        flipped = [
            hook.body[:at] + bytes([hook.body[at] ^ bit]) + hook.body[at + 1 :]
            for at in range(len(hook.body))
            for bit in (1, 32, 128)
        ]
        readings = [_reading(adapter, replace(hook, body=body)) for body in flipped]
        # %E5 and %e5 are the same letter, so a signature over what was read still fits.
        assert all(reading is None or replace(reading, raw=said.raw) == said for reading in readings)

    def test_what_cannot_be_read_is_kept_and_the_answer_says_why(
        self, specimen: Specimen, adapter: Receives
    ) -> None:
        for body in (*specimen.malformed(), specimen.other_charset()):
            decoded = adapter.receive("message", specimen.hook("message", body))
            kept = event(decoded)
            assert isinstance(kept, Unreadable), body
            assert kept.raw == body
            assert kept.reason
            assert 400 <= decoded.answer.status < 500
            assert decoded.answer.body == kept.reason

    def test_an_unreadable_request_that_is_repeated_has_the_same_key(
        self, specimen: Specimen, adapter: Receives
    ) -> None:
        keys = [
            event(adapter.receive("message", specimen.hook("message", body))).dedupe_key
            for body in (*specimen.malformed(), *specimen.malformed())
        ]
        assert len(set(keys)) == len(keys) // 2

    def test_an_endless_text_is_kept_whole_or_as_unreadable(
        self, specimen: Specimen, adapter: Receives
    ) -> None:
        hook = specimen.hook("message", specimen.message("SM1", "长" * 100_000, SENDER))
        assert event(adapter.receive("message", hook)).raw == hook.body

    @pytest.mark.parametrize("text", ["KC\0 101", "a\0", "\0"])
    def test_a_nul_is_replaced_and_named(self, specimen: Specimen, adapter: Receives, text: str) -> None:
        message = event(
            adapter.receive("message", specimen.hook("message", specimen.message("SM1", text, SENDER)))
        )
        assert message.text == text.replace("\0", "\ufffd")
        assert message.defects == ("nul_replaced",)

    @pytest.mark.parametrize("days", [1, 400, 36_500, -400, -36_500])
    def test_an_absurd_date_does_not_enter_the_log(
        self, specimen: Specimen, adapter: Receives, days: int
    ) -> None:
        body = specimen.message("SM1", TEXT, SENDER, at=NOW + timedelta(days=days))
        assert event(adapter.receive("message", specimen.hook("message", body))).occurred_at == NOW

    def test_only_a_post_to_a_known_action_is_taken(self, specimen: Specimen, adapter: Receives) -> None:
        hook = specimen.hook("message", specimen.message("SM1", TEXT, SENDER))
        with pytest.raises(BadInput):
            adapter.receive("message", replace(hook, method="GET"))
        with pytest.raises(SwitchboardError):
            adapter.receive("../message", hook)

    @ONE_READING
    @given(body=st.binary(max_size=300), action=st.sampled_from(["message", "status"]))
    def test_no_bytes_raise_anything_unforeseen(
        self, specimen: Specimen, adapter: Receives, body: bytes, action: str
    ) -> None:
        _check_storable(adapter.receive(action, specimen.hook(action, body)))
        assert _reading(adapter, replace(specimen.hook(action, body, key="wrong"), body=body)) is None

    @ONE_READING
    @given(id=st.text(max_size=200), text=st.text(), sender=st.text(max_size=80) | st.just(SENDER))
    def test_no_values_raise_anything_unforeseen(
        self, specimen: Specimen, adapter: Receives, id: str, text: str, sender: str
    ) -> None:
        hook = specimen.hook("message", specimen.message(id, text, sender))
        _check_storable(adapter.receive("message", hook))

    @ONE_READING
    @given(
        headers=st.dictionaries(
            st.sampled_from(["Content-Type", "Host", "X-Forwarded-Proto"]), st.text(max_size=99)
        )
    )
    def test_no_header_raises_anything_unforeseen(
        self, specimen: Specimen, adapter: Receives, headers: dict[str, str]
    ) -> None:
        hook = specimen.hook("message", specimen.message("SM1", TEXT, SENDER))
        mixed = CIMultiDict(hook.headers)
        mixed.update(headers)
        _check_storable(adapter.receive("message", replace(hook, headers=mixed)))

    def test_no_secret_is_shown(self, specimen: Specimen, adapter: Receives) -> None:
        hook = specimen.hook("message", b"", key="wrong")
        with pytest.raises(SignatureInvalid) as refused:
            adapter.receive("message", hook)
        shown = (
            repr(adapter) + repr(specimen.account("https://127.0.0.1:9")) + _everything_said(refused.value)
        )
        assert not [secret for secret in specimen.secrets if secret in shown]


class Sending(_Kit):
    """Checks of `send`; a subclass gives the fixture `specimen`."""

    async def test_the_adapter_sends(self, adapter: Any) -> None:
        assert isinstance(adapter, Sends)

    async def test_a_message_is_handed_over(self, specimen: Specimen, tools: AdapterTools) -> None:
        async with specimen.provider() as provider:
            receipt = await _send(specimen, tools, provider.base_url)
            number, text = specimen.said(provider)
        assert isinstance(receipt, Receipt)
        assert receipt.external_id
        assert receipt.segments == 1
        assert OUT.recipient.value.endswith(number)
        assert text.endswith(OUT.text)
        assert len(provider.seen) == 1

    @pytest.mark.parametrize(
        ("behaviour", "error"),
        [
            (Behaviour.THROTTLES, ProviderThrottled),
            (Behaviour.IS_AWAY, ProviderUnreachable),
            (Behaviour.FAILS, OutcomeUnknown),
            (Behaviour.SAYS_NOTHING, OutcomeUnknown),
            (Behaviour.TEARS, OutcomeUnknown),
            (Behaviour.BABBLES, OutcomeUnknown),
            (Behaviour.FLOODS, OutcomeUnknown),
            (Behaviour.RECIPIENT_LEFT, RecipientOptedOut),
            (Behaviour.NO_SUCH_RECIPIENT, RecipientInvalid),
            (Behaviour.REJECTS_US, ProviderRejectedUs),
        ],
    )
    async def test_a_message_that_was_not_taken_says_why_and_no_secret(
        self,
        specimen: Specimen,
        tools: AdapterTools,
        caplog: pytest.LogCaptureFixture,
        behaviour: Behaviour,
        error: type[SendError],
    ) -> None:
        caplog.set_level(logging.DEBUG)
        async with specimen.provider() as provider:
            provider.behaviour = behaviour
            with pytest.raises(SendError) as refused:
                await _send(specimen, tools, provider.base_url, patience=PATIENCE.get(behaviour, 20.0))
        assert type(refused.value) is error
        # One offer is one request: whether it is repeated is the hub's to say.
        assert len(provider.seen) < 2
        shown = _everything_said(refused.value) + caplog.text
        assert not [secret for secret in specimen.secrets if secret in shown]
        assert OUT.text not in shown

    async def test_a_throttling_provider_says_how_long_to_wait(
        self, specimen: Specimen, tools: AdapterTools
    ) -> None:
        async with specimen.provider() as provider:
            provider.behaviour = Behaviour.THROTTLES
            with pytest.raises(ProviderThrottled) as refused:
                await _send(specimen, tools, provider.base_url)
        assert refused.value.retry_after == timedelta(seconds=7)

    async def test_a_provider_that_nobody_reaches_cannot_have_the_message(
        self, specimen: Specimen, tools: AdapterTools
    ) -> None:
        with nobody_listens() as url, pytest.raises(ProviderUnreachable):
            await _send(specimen, tools, url)

    async def test_cancelling_is_not_taken_for_an_answer(
        self, specimen: Specimen, tools: AdapterTools
    ) -> None:
        async with specimen.provider() as provider, asyncio.TaskGroup() as tasks:
            provider.behaviour = Behaviour.SAYS_NOTHING
            sending = tasks.create_task(_send(specimen, tools, provider.base_url))
            await provider.asked.wait()
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending

    @pytest.mark.parametrize(
        "out",
        [
            replace(OUT, text="half an emoji \ud83d"),
            replace(OUT, text="a\0b"),
            replace(OUT, recipient=Address("mailto", "a@example.com")),
            replace(OUT, text="长" * 50_000),
        ],
        ids=["half an emoji", "nul", "to a mailbox", "too long"],
    )
    async def test_what_no_provider_could_take_is_never_offered(
        self, specimen: Specimen, tools: AdapterTools, out: Outbound
    ) -> None:
        async with specimen.provider() as provider:
            with pytest.raises(SendError) as refused:
                await _send(specimen, tools, provider.base_url, out)
        assert not refused.value.retryable
        assert provider.seen == []


async def _send(
    specimen: Specimen, tools: AdapterTools, base_url: str, out: Outbound = OUT, *, patience: float = 20.0
) -> Receipt:
    account = specimen.account(base_url)
    config = account.config.model_copy(update={"answer_seconds": patience})
    adapter: Sends = specimen.spec.build(replace(account, config=config), tools)
    return await adapter.send(out)


def _reading(adapter: Receives, hook: Hook) -> Any:
    """What a request says, or None when its signature is refused."""
    try:
        return event(adapter.receive("message", hook))
    except SignatureInvalid:
        return None


def _check_storable(decoded: Decoded) -> None:
    for one in decoded.events:
        words = [one.dedupe_key, getattr(one, "text", ""), getattr(one, "external_id", ""), one.raw_type]
        words += [
            getattr(one, "reason", ""),
            str(getattr(one, "sender", "")),
            getattr(one, "provider_error", ""),
        ]
        assert "\0" not in "".join(words)
        assert "".join(words).encode("utf-8")
        assert 0 < len(one.dedupe_key) < 300
        assert isinstance(one, Unreadable) == (decoded.answer.status >= 400)


def _everything_said(error: BaseException) -> str:
    said = "".join(traceback.format_exception(error)) + repr(error)
    return said + repr(getattr(error, "detail", ""))
