"""What the hub's closed vocabularies are called; the English names are the keys of the gettext catalogue."""

from collections.abc import Mapping
from typing import Protocol


class Says(Protocol):
    def say(self, msgid: str) -> str: ...


INTENTS = {
    "report": "Report",
    "correct": "Correction",
    "cancel": "Withdrawal",
    "confirm": "Confirmation",
    "complaint": "Complaint",
    "suggest": "Suggestion",
    "consult": "Question",
    "bind": "Binding",
    "help": "Help",
    "optout": "Opt-out",
    "optin": "Opt-in",
    "order": "Order",
    "duplicate": "Repeat",
    "thanks": "Polite words",
    "unknown_sender": "Unknown sender",
    "unknown": "Not understood",
}
STATUSES = {
    "accepted": "Stored",
    "partial": "Partly stored",
    "pending": "Waits for confirmation",
    "rejected": "Nothing stored",
    "ignored": "Ignored",
    "cancelled": "Withdrawn",
    "info": "For information",
}
WARNS = {
    "W_RANGE": "Outside the usual range",
    "W_UNIT": "Ambiguous unit",
    "W_PRICE_UNIT": "Perhaps the price of a larger unit",
}
ERRORS = {
    "E_QTY": "Quantity is missing",
    "E_PRODUCT": "Unknown product",
    "E_PRODUCT_AMBIG": "Several products have this name",
    "E_NOPRODUCT": "Product is missing",
    "E_EXTRA": "More numbers than fields",
    "E_DUP": "Two different numbers",
    "E_NUM": "Not a valid number",
    "E_UNIT": "Unknown unit",
    "E_DATE": "Date is not allowed",
    "E_NOREPORT": "No report to change",
    "E_NOPENDING": "Nothing to confirm",
    "E_SENDER": "Number is not bound",
    "E_LICENCE": "Licence number is not valid",
    "E_NOORDER": "Orders are not taken here",
    "E_EMPTY": "Text is missing",
    "E_UNKNOWN": "Not understood",
    "provider_unreachable": "Provider unreachable",
    "provider_throttled": "Provider asks us to slow down",
    "provider_refused": "Provider refused the message",
    "provider_rejected_us": "Provider does not accept our credentials",
    "recipient_invalid": "Number does not exist",
    "recipient_opted_out": "Recipient has opted out",
    "outcome_unknown": "Outcome unknown",
    "send_failed": "Not sent",
    "too_late": "Given up: too late",
}
DELIVERY = {
    "queued": "Queued",
    "held": "Held",
    "handed_over": "Handed over",
    "sent": "Sent",
    "delivered": "Delivered",
    "read": "Read",
    "unknown": "Outcome unknown",
    "failed": "Failed",
    "undelivered": "Not delivered",
}
ACTS = {
    "note": "Note",
    "assign": "Assigned",
    "resolve": "Resolved",
    "reopen": "Reopened",
    "snooze": "Snoozed",
    "wake": "Snooze ended",
    "queue": "Moved to queue",
    "case.open": "Case opened",
    "case.state": "Case moved on",
    "case.assign": "Case assigned",
    "merge": "Merged",
    "unmerge": "Merge undone",
    "bind": "Number bound",
    "consent": "Consent recorded",
    "figure.accept": "Figure accepted",
    "figure.reject": "Figure rejected",
    "figure.correct": "Figure corrected",
    "erase": "Personal data erased",
}
ADMINISTRATION = {
    "user.added": "User added",
    "user.changed": "User changed",
    "user.password": "Password reset",
    "user.totp_off": "Second factor turned off",
    "user.disabled": "User disabled",
    "user.enabled": "User enabled",
    "user.signed_out": "Sign-ins ended",
    "account.added": "Line added",
    "account.changed": "Line changed",
    "account.disabled": "Line disabled",
    "account.enabled": "Line enabled",
    "outbox.retry": "Tried again by hand",
    "outbox.discard": "Put aside by hand",
    "parked.retry": "Read again by hand",
    "parked.discard": "Put aside unread",
}
PURPOSES = {
    "service": "Service messages",
    "marketing": "Marketing",
    "survey": "Surveys",
    "recording": "Recording",
}


def label(viewer: Says, names: Mapping[str, str], key: str) -> str:
    return viewer.say(names.get(key, key))
