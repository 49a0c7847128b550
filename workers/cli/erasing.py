"""`switchboard erase`: a person's texts, addresses and files go, figures and the chain stay."""

import sys
from argparse import Namespace

from core.errors import BadInput
from workers.cli.office import carry_out
from workers.cli.parser import settings_of


def erase(args: Namespace) -> int:
    settings = settings_of(args)
    if args.reapply:
        done = carry_out(settings, "erase.reapply", {})
        print(f"{done['persons']} persons were erased again, with {done['entries']} entries.")
        return 0
    if not args.target:
        raise BadInput("Name whom to erase: a party's id or an address, such as +8613800000000.")
    if not args.yes and not _confirmed(args.target):
        print("Nothing was erased.")
        return 1
    done = carry_out(settings, "erase", {"target": args.target, "reason": args.reason})
    print(
        f"Erased: {done['entries']} entries, {done['files']} files, {done['addresses']} addresses;"
        f" {done['cancelled']} messages will not leave."
    )
    return 0


def _confirmed(target: str) -> bool:
    if not sys.stdin.isatty():
        raise BadInput("An erasure cannot be undone; say --yes where nobody can be asked.")
    return input(f"Erase {target} for ever? Type yes: ").strip().lower() == "yes"
