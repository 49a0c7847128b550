"""`switchboard outbox`: what could not be sent or read, tried again or put aside."""

import asyncio
from argparse import Namespace
from typing import Any

from workers.cli import output
from workers.cli.office import carry_out, looking
from workers.cli.parser import settings_of

_NEEDING_SOMEBODY = ("failed", "unknown")


def list_all(args: Namespace) -> int:
    found = asyncio.run(_found(args))
    if args.json:
        output.as_json(found)
        return 0
    output.table(
        ("Id", "State", "Job", "Account", "To", "Attempts", "Error"),
        [
            [each[name] for name in ("id", "state", "job", "account", "to", "attempts", "error")]
            for each in found["items"]
        ],
        "No item of the outbox is in this state.",
    )
    if found["parked"]:
        output.table(
            ("Id", "Parked at", "Error"),
            [(each["id"], each["at"], each["error"]) for each in found["parked"]],
            "",
        )
    return 0


def retry(args: Namespace) -> int:
    asked = {"id": args.id, "even_if_it_may_have_arrived": args.even_if_it_may_have_arrived}
    done = carry_out(settings_of(args), "outbox.retry", asked)
    return _told(args, done, "takes its turn again")


def discard(args: Namespace) -> int:
    return _told(args, carry_out(settings_of(args), "outbox.discard", {"id": args.id}), "is put aside")


def _told(args: Namespace, done: dict[str, Any], what: str) -> int:
    if args.json:
        output.as_json(done)
    else:
        print(f"{done['id']} {what}.")
    return 0


async def _found(args: Namespace) -> dict[str, list[dict[str, Any]]]:
    from core import leftovers
    from core.addresses import masked
    from core.outbox import ItemState
    from core.values import Address

    states = [args.state] if args.state else [*_NEEDING_SOMEBODY, "parked"]
    async with looking(settings_of(args)) as db, db.read() as session:
        items = [
            row
            for state in states
            if state != "parked"
            for row in await leftovers.page(session, ItemState(state), limit=args.n)
        ]
        parked = await leftovers.parked(session, limit=args.n) if "parked" in states else []
    return {
        "items": [
            {
                "id": str(row.id),
                "state": row.state,
                "job": row.job,
                "account": row.account,
                "to": masked(Address(row.scheme, row.address)) if row.address else "",
                "attempts": row.attempts,
                "error": row.error,
                "due_at": row.due_at,
                "created_at": row.created_at,
            }
            for row in items
        ],
        "parked": [
            {"id": f"{row.consumer}:{row.seq}", "at": row.parked_at, "error": row.error} for row in parked
        ],
    }
