"""What a run must have shown. Plain functions: the tests, the page and the exit code say the same."""

from tests.chaos.experiment import HEALS_WITHIN, Found, Row
from tests.chaos.faults import FAULTS

ENOUGH = 0.95
"""The share of what was offered that has to be acknowledged in time: refusing everything is no pass."""

_FAULTS = {fault.name: fault for fault in FAULTS}


def row_problems(row: Row) -> list[str]:
    """Of a fault that was tried."""
    fault = _FAULTS[row.name]
    found = []
    if row.lost:
        found.append(f"{row.lost} acknowledged messages are not in the log")
    if row.doubled:
        found.append(f"{row.doubled} messages are in the log more than once")
    if row.in_time < ENOUGH * row.offered:
        found.append(
            f"{row.in_time} of {row.offered} were acknowledged within {HEALS_WITHIN:.0f} s after healing"
        )
    if row.heals_in is None:
        found.append(f"it was not well again within {HEALS_WITHIN:.0f} s")
    if row.unknown > row.window:
        found.append(f"{row.unknown} sends are unknown, and at most {row.window} were under way")
    if fault.takes_meanwhile and not row.meanwhile:
        found.append("nothing was acknowledged while it lasted")
    if fault.must_refuse and not row.refused.get("503"):
        found.append("nobody was refused although there was no room")
    return found


def house_problems(found: Found) -> list[str]:
    """Of the run as a whole."""
    told = []
    if found.lost:
        told.append(f"{found.lost} acknowledged messages are not in the log")
    if found.doubled:
        told.append(f"{found.doubled} messages are in the log more than once")
    if found.sent_twice:
        told.append(f"{found.sent_twice} replies reached the provider twice")
    if found.sent_never:
        told.append(f"{found.sent_never} replies are noted as sent, and the provider has not seen them")
    if found.unsettled:
        told.append(f"the outbox did not settle: {found.unsettled}")
    for number, differences in enumerate(found.consoles):
        if differences:
            told.append(f"console {number + 1} differs from a fresh one: {'; '.join(differences[:3])}")
    if found.verified:
        told.append(f"`switchboard verify` found problems: {found.verified}")
    return told


def problems(found: Found) -> list[str]:
    told = [f"{row.title}: {each}" for row in found.rows if not row.left_out for each in row_problems(row)]
    return [*told, *house_problems(found)]
