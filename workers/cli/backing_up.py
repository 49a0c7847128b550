"""`switchboard backup` and `restore`: everything that a hub keeps, in one file and back."""

import asyncio
import sys
from argparse import Namespace
from pathlib import Path

from core.clock import now
from core.errors import BadInput, NotFound
from core.settings import Settings
from workers.cli import output
from workers.cli.parser import settings_of
from workers.control import only_writer


def backup(args: Namespace) -> int:
    from workers.backup.making import make_backup, target_of

    settings = settings_of(args)
    _refuse_nothing(settings)
    at = now()
    target = target_of(Path(args.target), at)
    with output.stages() as told:
        made = asyncio.run(
            make_backup(settings, target, at, with_secrets=not args.without_secrets, told=told)
        )
    print(f"{target}: the log up to {made.head:,}, {made.files} files, {target.stat().st_size:,} bytes.")
    if made.missing_files:
        print(f"{made.missing_files} files that the database names were not there.")
    if not made.has_secrets:
        print(
            f"The kept secrets are not in it; without {settings.data / 'secrets' / 'hub'} it cannot be restored."
        )
    return 0


def restore(args: Namespace) -> int:
    from workers.backup.restoring import check
    from workers.backup.restoring import restore as restored

    settings = settings_of(args)
    file = Path(args.file)
    ledgers = [Path(args.ledger)] if args.ledger else []
    for path in ledgers:
        if not path.is_file():
            raise BadInput(f"There is no file {path}.")
    manifest = check(file, settings, replace=args.replace)
    print(f"A backup of {manifest.made_at:%Y-%m-%d %H:%M} UTC, with the log up to {manifest.head:,}.")
    if args.replace and not args.yes and not _confirmed(settings):
        print("Nothing was changed.")
        return 1
    with only_writer(settings.data), output.stages() as told:
        done = asyncio.run(restored(file, settings, now(), replace=args.replace, ledgers=ledgers, told=told))
    found = done.settled
    print(
        f"It is in place. The log goes to {found.verdict.head:,}; {found.persons} persons were erased again."
    )
    if found.doubted:
        print(
            f"{found.doubted} messages waited to leave when the backup was made and may have left since: none is sent"
            " again by itself. They are in the outbox as unknown; a person decides about each."
        )
    if found.missing_files:
        print(f"{found.missing_files} files that the database names are not there.")
    for problem in found.verdict.problems:
        print(f"  {problem.seq} {problem.account or ''} [{problem.code}] {problem.message}")
    for account in found.broken_chains:
        print(f"  The chain of {account} is not the one that the backup noted.")
    if done.aside:
        print(f"What was there before lies in {done.aside}; delete it when nobody needs it any more.")
    is_sound = found.verdict.is_sound and not found.broken_chains
    print("The log is whole." if is_sound else "The log has problems.")
    return 0 if is_sound else 3


def _refuse_nothing(settings: Settings) -> None:
    scheme, _, path = settings.database_url.partition(":///")
    if scheme.startswith("sqlite") and not Path(path).is_file():
        raise NotFound(f"There are no data in {settings.data}; name their folder in SWITCHBOARD_DATA.")


def _confirmed(settings: Settings) -> bool:
    if not sys.stdin.isatty():
        raise BadInput("Say --yes where nobody can be asked whether the present data are to be set aside.")
    asked = f"Set aside what lies in {settings.data} and its database? Type yes: "
    return input(asked).strip().lower() == "yes"
