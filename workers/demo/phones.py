"""The demo's phones: what one writes goes through the simulator's signed webhook, as if a provider had sent it."""

from typing import Final
from uuid import uuid4

from channels.sms.simulator import signed_request
from core.adapter import Hook
from core.values import Address, Taken
from workers.assemble import Hub
from workers.web.webhooks import headers_of

ACCOUNT: Final = "demo-sms"
LONGEST: Final = 1000


async def text_in(hub: Hub, sender: Address, text: str, id: str = "") -> Taken:
    """Let a phone send a short message; returns once it is durable. A repeated `id` is the same message."""
    at = hub.clock()
    url = f"{hub.settings.origin}/hooks/{ACCOUNT}/message"
    fields = {"id": id or uuid4().hex, "from": sender.value, "text": text}
    body, headers = signed_request(hub.accounts.account(ACCOUNT).secrets["signing_key"], url, fields, at)
    hook = Hook(method="POST", url=url, headers=headers_of(headers), query={}, body=body, received_at=at)
    decoded = hub.accounts.adapter(ACCOUNT).receive("message", hook)
    (event,) = decoded.events
    return await hub.intake.accept(ACCOUNT, event)
