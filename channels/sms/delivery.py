"""What providers' words and codes for the fate of a message mean in ours."""

from collections.abc import Mapping
from types import MappingProxyType

from core.errors import (
    ProviderRefused,
    ProviderRejectedUs,
    ProviderThrottled,
    ProviderUnreachable,
    RecipientInvalid,
    RecipientOptedOut,
    SendError,
)
from core.values import DeliveryState

# https://www.twilio.com/docs/messaging/api/message-resource#message-status-values. What Twilio
# calls queued has left us, so it is handed over.
TWILIO_STATES: Mapping[str, DeliveryState] = MappingProxyType(
    {
        "accepted": DeliveryState.HANDED_OVER,
        "scheduled": DeliveryState.HANDED_OVER,
        "queued": DeliveryState.HANDED_OVER,
        "sending": DeliveryState.HANDED_OVER,
        "sent": DeliveryState.SENT,
        "delivered": DeliveryState.DELIVERED,
        "read": DeliveryState.READ,
        "partially_delivered": DeliveryState.SENT,
        "undelivered": DeliveryState.UNDELIVERED,
        "failed": DeliveryState.FAILED,
        "canceled": DeliveryState.FAILED,
    }
)

# https://www.twilio.com/docs/api/errors. A code that is not here is a plain refusal.
TWILIO_ERRORS: Mapping[int, type[SendError]] = MappingProxyType(
    {
        14107: ProviderThrottled,  # message rate limit exceeded
        20003: ProviderRejectedUs,  # permission denied, wrong credentials
        20005: ProviderRejectedUs,  # account not active
        20403: ProviderRejectedUs,
        20404: ProviderRejectedUs,  # no such account
        20429: ProviderThrottled,
        21211: RecipientInvalid,
        21217: RecipientInvalid,
        21265: RecipientInvalid,  # a short code cannot be written to
        21401: RecipientInvalid,
        21421: RecipientInvalid,
        21604: RecipientInvalid,
        21610: RecipientOptedOut,
        21611: ProviderThrottled,  # the queue of this sender is full
        21612: RecipientInvalid,  # not reachable from this sender
        21614: RecipientInvalid,  # no mobile number
        30001: ProviderThrottled,  # queue overflow
        30002: ProviderRejectedUs,  # account suspended
        30004: RecipientOptedOut,  # blocked by the recipient
        30005: RecipientInvalid,  # unknown handset
        30006: RecipientInvalid,  # landline
        30022: ProviderThrottled,
        63018: ProviderThrottled,
    }
)

# The words of SMPP 3.4 (appendix B), which most operators' HTTP gateways hand through. A message "accepted" by hand
# was not confirmed by a handset, so it counts as sent.
REPORT_WORDS: Mapping[str, DeliveryState] = MappingProxyType(
    {
        "DELIVRD": DeliveryState.DELIVERED,
        "ENROUTE": DeliveryState.SENT,
        "ACCEPTD": DeliveryState.SENT,
        "EXPIRED": DeliveryState.UNDELIVERED,
        "DELETED": DeliveryState.UNDELIVERED,
        "UNDELIV": DeliveryState.UNDELIVERED,
        "REJECTD": DeliveryState.UNDELIVERED,
        "UNKNOWN": DeliveryState.UNKNOWN,
    }
)

# Our error codes by which an account's configuration names what a gateway's own codes mean.
SEND_ERRORS: Mapping[str, type[SendError]] = MappingProxyType(
    {
        kind.code: kind
        for kind in (
            ProviderRefused,
            ProviderRejectedUs,
            ProviderThrottled,
            ProviderUnreachable,
            RecipientInvalid,
            RecipientOptedOut,
        )
    }
)


def twilio_error_code(code: str) -> str:
    """Our code for the ErrorCode of a status callback; nothing for nothing."""
    if not code or code == "0":
        return ""
    known = TWILIO_ERRORS.get(int(code)) if code.isascii() and code.isdigit() and len(code) < 9 else None
    return (known or ProviderRefused).code
