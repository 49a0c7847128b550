"""The one error tree: every error has a stable code, an HTTP status and says what to do."""

from datetime import timedelta
from typing import ClassVar


class SwitchboardError(Exception):
    """Base of every error that the hub raises on purpose.

    `code` is stored, shown and translated; it is never renamed or reused. `detail` holds values that help the
    reader (never a secret, never a message's text).
    """

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500

    def __init__(self, message: str = "", **detail: object) -> None:
        super().__init__(message or self.code)
        self.message = message or self.code
        self.detail = detail


# What a caller did wrong.


class BadInput(SwitchboardError):
    code = "bad_input"
    status = 400


class PayloadTooLarge(BadInput):
    code = "payload_too_large"
    status = 413


class SignatureInvalid(SwitchboardError):
    """The request does not prove that it comes from the provider; nothing of it is kept."""

    code = "signature_invalid"
    status = 403


class NotSignedIn(SwitchboardError):
    code = "not_signed_in"
    status = 401


class BadCredentials(NotSignedIn):
    """Login, password or one-time code is wrong; which of them is not said."""

    code = "bad_credentials"


class TotpRequired(NotSignedIn):
    code = "totp_required"


class Forbidden(SwitchboardError):
    code = "forbidden"
    status = 403


class NotFound(SwitchboardError):
    code = "not_found"
    status = 404


class Conflict(SwitchboardError):
    """The world moved on since the caller looked; `detail` says how."""

    code = "conflict"
    status = 409


class TooManyRequests(SwitchboardError):
    code = "too_many_requests"
    status = 429

    def __init__(self, message: str = "", *, retry_after: timedelta, **detail: object) -> None:
        super().__init__(message, **detail)
        self.retry_after = retry_after


class Unreadable(BadInput):
    """An authentic request that cannot be decoded: its raw bytes are kept in the log, the answer says why."""

    code = "unreadable"


# What the hub itself cannot do now.


class ConfigInvalid(SwitchboardError):
    code = "config_invalid"


class SecretMissing(ConfigInvalid):
    code = "secret_missing"


class Unavailable(SwitchboardError):
    """Nothing was taken; the same request may be sent again."""

    code = "unavailable"
    status = 503


class EntryRefused(Unavailable):
    """The log takes others and not this one. To its sender it is no different from a log that is away."""


# What a provider said of something we sent.


class SendError(SwitchboardError):
    """A message was not handed over. `retryable` says whether the same message may be offered again."""

    code = "send_failed"
    status = 502
    retryable: ClassVar[bool] = False


class ProviderUnreachable(SendError):
    """The connection was refused or never made: the provider cannot have the message."""

    code = "provider_unreachable"
    retryable = True


class ProviderThrottled(SendError):
    code = "provider_throttled"
    retryable = True

    def __init__(self, message: str = "", *, retry_after: timedelta | None = None, **detail: object) -> None:
        super().__init__(message, **detail)
        self.retry_after = retry_after


class ProviderRefused(SendError):
    code = "provider_refused"


class ProviderRejectedUs(SendError):
    """Wrong credentials or a locked account: every further message would fail alike."""

    code = "provider_rejected_us"


class RecipientInvalid(SendError):
    code = "recipient_invalid"


class RecipientOptedOut(SendError):
    code = "recipient_opted_out"


class TooLate(SendError):
    """Its deadline passed before it could be handed over."""

    code = "too_late"


class OutcomeUnknown(SendError):
    """The request left and no answer came: the message may have been sent, so it is not repeated blindly."""

    code = "outcome_unknown"
