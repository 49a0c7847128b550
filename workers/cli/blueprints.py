"""`switchboard blueprint`: check, publish, compare and roll back what the business has defined."""

import asyncio
import getpass
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import BadInput, ConfigInvalid, NotFound
from workers.cli import output
from workers.cli.office import carry_out, looking
from workers.cli.parser import settings_of

if TYPE_CHECKING:
    from crm.blueprint.model import Blueprint


def check(args: Namespace) -> int:
    from crm.blueprint.reading import check_folder

    checked = check_folder(Path(args.folder))
    if args.json:
        blueprint = checked.blueprint
        problems = [dict(each.as_dict()) for each in checked.problems]
        output.as_json({"problems": problems, "hash": blueprint.hash if blueprint else None})
    elif checked.blueprint is not None:
        print(f"{args.folder} has no problems. Hash {checked.blueprint.hash[:16]}.")
    else:
        for problem in checked.problems:
            print(problem)
        count = len(checked.problems)
        print(f"\n{count} {'problem' if count == 1 else 'problems'}; put them right before publishing.")
    return 0 if checked.blueprint is not None else 3


def publish(args: Namespace) -> int:
    from crm.blueprint.store import dump

    blueprint = whole(args.folder)
    done = carry_out(
        settings_of(args),
        "blueprint.publish",
        {
            "document": dump(blueprint),
            "author": args.author or getpass.getuser(),
            "approved_by": args.approved_by,
            "note": args.note,
        },
    )
    print(f"Version {done['version']} is in force. Hash {done['hash'][:16]}.")
    return 0


def rollback(args: Namespace) -> int:
    said = {
        "version": args.version,
        "author": args.author or getpass.getuser(),
        "approved_by": args.approved_by,
    }
    done = carry_out(settings_of(args), "blueprint.rollback", said)
    print(f"Version {done['version']} is in force; it says the same as version {args.version}.")
    return 0


def diff(args: Namespace) -> int:
    from crm.blueprint.difference import difference

    versions = asyncio.run(_versions(args))
    if not versions:
        raise NotFound("No blueprint is published; run `switchboard blueprint publish FOLDER`.")
    current = versions[0]
    changes = difference(_loaded(current), _other(args.other, versions))
    if args.json:
        output.as_json([{"said": str(each), "weight": each.weight, "path": each.path} for each in changes])
        return 0
    if not changes:
        print(f"It says the same as version {current['version']}, which is in force.")
    for change in changes:
        print(f"[{change.weight}] {change}")
    return 0


def list_all(args: Namespace) -> int:
    versions = [
        {name: value for name, value in each.items() if name != "document"}
        for each in asyncio.run(_versions(args))
    ]
    if args.json:
        output.as_json(versions)
        return 0
    output.table(
        ("Version", "Package", "Published", "Author", "Approved by", "Note", "Hash"),
        [
            (
                each["version"],
                each["package"],
                f"{each['published_at']:%Y-%m-%d %H:%M}",
                each["author"],
                each["approved_by"],
                each["note"],
                each["hash"][:16],
            )
            for each in versions
        ],
        "No blueprint is published; run `switchboard blueprint publish FOLDER`.",
    )
    return 0


def whole(folder: str) -> "Blueprint":
    """The blueprint of a folder. Raises ConfigInvalid with every problem."""
    from crm.blueprint.reading import check_folder

    checked = check_folder(Path(folder))
    if checked.blueprint is None:
        raise ConfigInvalid(f"{folder} has problems.", problems=[str(each) for each in checked.problems])
    return checked.blueprint


def _other(named: str, versions: list[dict[str, Any]]) -> "Blueprint":
    if not named.isdigit():
        return whole(named)
    for each in versions:
        if each["version"] == int(named):
            return _loaded(each)
    raise BadInput(f"There is no version {named}; the newest is {versions[0]['version']}.")


def _loaded(version: dict[str, Any]) -> "Blueprint":
    from crm.blueprint.store import load

    return load(version["document"])


async def _versions(args: Namespace) -> list[dict[str, Any]]:
    from sqlalchemy import select
    from sqlmodel import col

    from crm.tables import BlueprintVersion

    async with looking(settings_of(args)) as db, db.read() as session:
        rows = await session.scalars(select(BlueprintVersion).order_by(col(BlueprintVersion.version).desc()))
        return [row.model_dump() for row in rows]
