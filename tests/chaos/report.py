"""docs/reliability.md and .json: what a run of the chaos found, as a table that a reader can judge."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Final

from tests.bench.processes import ROOT
from tests.bench.results import machine
from tests.chaos.experiment import HEALS_WITHIN, RATE, SENDERS, Found, Row
from tests.chaos.judging import problems
from tests.chaos.load import ANSWERED

JSON: Final = ROOT / "docs" / "reliability.json"
PAGE: Final = ROOT / "docs" / "reliability.md"


def keep(found: Found, lasts: float) -> None:
    document = {"machine": machine(), "lasts": lasts, **asdict(found), "problems": problems(found)}
    JSON.write_text(
        json.dumps(document, indent=1, ensure_ascii=False, default=_plain) + "\n", encoding="utf-8"
    )
    PAGE.write_text("\n".join(_page(found, lasts, document["machine"])) + "\n", encoding="utf-8")


def _plain(value: object) -> Any:
    assert isinstance(value, range)
    return [value.start, value.stop]


def _page(found: Found, lasts: float, here: dict[str, Any]) -> Iterator[str]:
    yield "# Reliability"
    yield ""
    yield (
        f"Made by `make chaos` on {found.at}: the processes of `make up-grown` on one machine "
        f"({here['processor']}, {here['cores']} cores that the load shares, {here['memory_gb']} GB) under "
        f"{RATE:.0f} messages/s from {SENDERS} senders, who come through the proxy over TLS and send again whatever is "
        "not answered with 2xx. Messages become due at that rate whatever happens; "
        f"{ANSWERED:.0%} of them report stock and are answered, the others say thanks. Each fault lasts {lasts:g} s; "
        "the counts are of the messages that became due from its beginning until senders were served again."
    )
    yield ""
    heads = ("Fault", "offered", "acknowledged", "meanwhile", "in the log", "lost", "doubled",
             "unknown sends", "under way", "refused, sent again", "time to heal", "caught up after")  # fmt: skip
    yield _line(heads)
    yield _line(["---", *["---:"] * (len(heads) - 1)])
    for row in found.rows:
        yield _line(_cells(row))
    yield ""
    yield (
        "*Meanwhile*: acknowledged while the fault lasted. *Unknown sends*: replies of which nobody can say whether "
        "the provider has them; they are shown to people and not repeated. *Under way*: the most sends that were "
        "claimed and not settled at one moment, which bounds the unknown. *Time to heal*: until no sender has waited "
        "for longer than a second. *Caught up*: until, beside the load that goes on, every consumer is less than five "
        "seconds behind the log again. Both count from the fault where the house helps itself, else from the moment "
        "when the cause was gone; nobody looks before the fault's own seconds are over."
    )
    yield ""
    yield "## The whole run"
    yield ""
    yield (
        f"- {found.offered:,} messages offered, {found.acknowledged:,} acknowledged, {found.logged:,} in the log; "
        f"**lost {found.lost}, doubled {found.doubled}**."
    )
    yield (
        f"- {found.sent:,} replies reached the provider; **sent twice {found.sent_twice}**, noted as sent and never "
        f"seen there {found.sent_never}."
    )
    left = (
        ", ".join(f"{count} {state}" for state, count in found.unsettled.items()) or "nothing waits or runs"
    )
    yield f"- {found.settled_in:.0f} s after the load ended the outbox had settled: {left}."
    same = sum(not each for each in found.consoles)
    yield (
        f"- {same} of {len(found.consoles)} consoles that stayed open through everything show what a fresh one shows; "
        f"their lines were lost {found.console_losses} times, and {found.console_reloads} times the hub told one to "
        "load anew."
    )
    yield f"- `switchboard verify`: {'the log is whole' if not found.verified else 'it found problems'}."
    yield ""
    yield (
        "Required: acknowledged = in the log exactly once; 95 % of what was offered acknowledged within "
        f"{HEALS_WITHIN:.0f} s after healing; no send doubled; unknown ≤ under way; the outbox settles; consoles "
        "agree; the log is whole."
    )
    broken = problems(found)
    yield ""
    yield "All of it held." if not broken else "It did not hold:"
    yield from (f"- {each}" for each in broken)


def _cells(row: Row) -> list[str]:
    if row.left_out:
        return [row.title, f"not tried: {row.left_out}", *[""] * 10]
    return [
        row.title,
        f"{row.offered:,}",
        f"{row.acknowledged:,}",
        f"{row.meanwhile:,}",
        f"{row.logged:,}",
        str(row.lost),
        str(row.doubled),
        str(row.unknown),
        str(row.window),
        ", ".join(f"{count} × {said}" for said, count in sorted(row.refused.items())) or "none",
        "not healed" if row.heals_in is None else f"{row.heals_in:.1f} s",
        f"more than {HEALS_WITHIN:.0f} s" if row.caught_up_in is None else f"{row.caught_up_in:.1f} s",
    ]


def _line(cells: list[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"
