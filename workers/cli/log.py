"""`switchboard log`, `verify` and `migrate`: looking at the interaction log, and whether it is whole."""

import asyncio
import re
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import BadInput, NotFound
from workers.cli import output
from workers.cli.office import looking
from workers.cli.parser import settings_of

if TYPE_CHECKING:
    from core.log.entries import Logged

_NUMBERS = re.compile(r"\d{7,}")
_LONGEST = 100


def migrate(args: Namespace) -> int:
    from workers.migrations import newest, upgrade

    upgrade(settings_of(args).database_url)
    print(f"The database has the shape of revision {newest()}.")
    return 0


def tail(args: Namespace) -> int:
    asyncio.run(_tail(args))
    return 0


async def _tail(args: Namespace) -> None:
    from core.log import reader

    async with looking(settings_of(args)) as db:
        async with db.read() as session:
            seq = max(0, await reader.head(session) - args.n)
        while True:
            async with db.read() as session:
                entries = await reader.after(session, seq, 500)
            for entry in entries:
                output.as_line(_plain(entry, args.reveal)) if args.json else print(_line(entry, args.reveal))
            if entries:
                seq = entries[-1].seq
            elif not args.follow:
                return
            else:
                await asyncio.sleep(0.5)


def _plain(entry: "Logged", reveal: bool) -> dict[str, Any]:
    from core.addresses import masked

    return {
        "seq": entry.seq,
        "id": str(entry.id),
        "at": entry.occurred_at.isoformat(),
        "account": entry.account,
        "kind": entry.kind,
        "direction": entry.direction,
        "address": f"{entry.address.scheme}:{entry.address.value if reveal else masked(entry.address)}",
        "text": _text(entry, reveal),
        "data": entry.data
        if reveal
        else {key: entry.data[key] for key in ("act", "state") if key in entry.data},
        "erased": entry.is_erased,
    }


def _line(entry: "Logged", reveal: bool) -> str:
    plain = _plain(entry, reveal)
    arrow = {"in": "→", "out": "←"}.get(entry.direction, "·")
    about = plain["data"].get("act") or plain["data"].get("state") or ""
    text = "(erased)" if entry.is_erased else " ".join(str(plain["text"]).split())
    shown = text if len(text) <= _LONGEST or reveal else text[: _LONGEST - 1] + "…"
    moment = entry.occurred_at.astimezone().strftime("%m-%d %H:%M:%S")
    said = f"{entry.account:<12} {arrow} {entry.kind:<8} {plain['address']}  {about} {shown}"
    return f"{entry.seq:>8}  {moment}  {said}".rstrip()


def _text(entry: "Logged", reveal: bool) -> str:
    """Long numbers in a text may be somebody's as well."""
    return (
        entry.text if reveal else _NUMBERS.sub(lambda found: f"{found[0][:2]}****{found[0][-2:]}", entry.text)
    )


def verify(args: Namespace) -> int:
    if bool(args.against) != bool(args.account):
        raise BadInput("--against names the provider's list and --account whose it is: say both.")
    return asyncio.run(_account_for(args) if args.against else _verify(args))


async def _account_for(args: Namespace) -> int:
    from core.log.accounting import account_for, read_list
    from core.tables import AccountRow

    try:
        document = await asyncio.to_thread(Path(args.against).read_bytes)
    except OSError as error:
        raise BadInput(f"{args.against} cannot be read: {error.strerror}.") from error
    listed = read_list(document)
    async with looking(settings_of(args)) as db:
        async with db.read() as session:
            if await session.get(AccountRow, args.account) is None:
                raise NotFound(f"There is no account {args.account}; `switchboard accounts list` shows them.")
        with output.bar("Reading the log") as told:
            found = await account_for(db, args.account, listed, told)
    if args.json:
        output.as_json(
            {
                "offered": found.offered,
                "in_the_log": found.found,
                "repeated": found.repeated,
                "unaccounted": found.unaccounted,
                "missing": found.missing,
                "unlisted": [{"seq": each.seq, "id": each.external_id} for each in found.unlisted],
            }
        )
    else:
        print(f"offered {found.offered}, in the log {found.found}, unaccounted: {found.unaccounted}")
        if found.repeated:
            print(f"{found.repeated} lines of the list name an id once more.")
        for external_id in found.missing:
            print(f"  {external_id} is not in the log")
        for each in found.unlisted:
            print(f"  {each.external_id} stands at {each.seq} and not in the list")
    return 3 if found.unaccounted else 0


async def _verify(args: Namespace) -> int:
    from core.log.verify import verify as verified

    async with looking(settings_of(args)) as db:
        with output.bar("Reading the log") as told:
            verdict = await verified(db, told)
    if args.json:
        output.as_json(
            {
                "sound": verdict.is_sound,
                "head": verdict.head,
                "entries": verdict.entries,
                "erased": verdict.erased,
                "sealed_to": verdict.sealed_to,
                "unsealed": verdict.unsealed,
                "unparted": verdict.unparted,
                "chains": verdict.chains,
                "problems": [
                    {name: getattr(each, name) for name in ("code", "seq", "last_seq", "account", "message")}
                    for each in verdict.problems
                ],
            }
        )
        return 0 if verdict.is_sound else 3
    print(f"{verdict.entries} entries up to {verdict.head}, {verdict.erased} of them erased;")
    print(f"sealed up to {verdict.sealed_to}, {verdict.unsealed} after it not yet proven.")
    if verdict.unparted:
        print(f"{verdict.unparted} entries lie in the default partition; see docs/operations.md.")
    for problem in verdict.problems:
        place = f"{problem.seq}" if problem.seq == problem.last_seq else f"{problem.seq}-{problem.last_seq}"
        print(f"  {place} {problem.account or ''} [{problem.code}] {problem.message}")
    for account, hash in verdict.chains.items():
        print(f"  chain {account}: {hash}")
    print("The log is whole." if verdict.is_sound else f"{len(verdict.problems)} problems.")
    return 0 if verdict.is_sound else 3
