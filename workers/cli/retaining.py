"""`switchboard retention`: what has grown older than the house wants to keep it."""

from argparse import Namespace

from workers.cli import output
from workers.cli.office import carry_out
from workers.cli.parser import settings_of


def retention(args: Namespace) -> int:
    settings = settings_of(args)
    found = carry_out(settings, "retention", {"apply": args.apply})
    if args.json:
        output.as_json(found)
        return 0
    rules = ", ".join(f"{kind} after {years} years" for kind, years in settings.retention.items())
    print(f"Emptied by the settings: {rules or 'nothing; SWITCHBOARD_RETENTION names no kind'}.")
    for kind, count in found["entries"].items():
        print(f"  {count:>8,} entries of kind {kind}")
    print(f"  {found['files']:>8,} files with them" if args.apply else "  (their files go with them)")
    print(f"  {found['outbox']:>8,} rows of the outbox that were settled 90 days ago")
    print(f"  {found['sign_ins']:>8,} sign-ins that have ended")
    print(f"  {found['feed']:>8,} rows of the feed")
    print("Done." if args.apply else "Nothing was changed.")
    return 0
