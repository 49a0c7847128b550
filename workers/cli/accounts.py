"""`switchboard accounts`: our lines, and the providers behind them."""

import asyncio
import json
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.errors import BadInput, ConfigInvalid, NotFound
from workers.cli import output
from workers.cli.office import carry_out, looking
from workers.cli.parser import settings_of


def add(args: Namespace) -> int:
    config = {**_from_file(args.config), **dict(_value(pair) for pair in args.set)}
    done = carry_out(
        settings_of(args),
        "accounts.add",
        {
            "slug": args.slug,
            "provider": args.provider,
            "title": args.title,
            "config": config,
            "secrets": dict(_pair(pair, "--secret") for pair in args.secret),
        },
    )
    print(f"The account {done['slug']} works from now on.")
    _print_hooks(done["hooks"])
    return 0


def disable(args: Namespace) -> int:
    carry_out(settings_of(args), "accounts.change", {"slug": args.slug, "is_enabled": args.undo})
    print(f"The account {args.slug} is {'in use again' if args.undo else 'no longer used'}.")
    return 0


def test(args: Namespace) -> int:
    done = carry_out(settings_of(args), "accounts.test", {"slug": args.slug, "is_enabled": True})
    print(f"The account {args.slug} can be used: its configuration fits and its secrets are there.")
    _print_hooks(done["hooks"])
    return 0


def list_all(args: Namespace) -> int:
    rows = asyncio.run(_accounts(args))
    if args.json:
        output.as_json(rows)
        return 0
    output.table(
        ("Account", "Provider", "Title", "In use", "Problem"),
        [(each["slug"], each["provider"], each["title"], each["enabled"], each["problem"]) for each in rows],
        "There are no accounts yet; `switchboard accounts add --help` shows how to add one.",
    )
    return 0


def show(args: Namespace) -> int:
    found = [each for each in asyncio.run(_accounts(args)) if each["slug"] == args.slug]
    if not found:
        raise NotFound(f"There is no account {args.slug}; `switchboard accounts list` shows what there is.")
    output.as_json(found[0])
    return 0


async def _accounts(args: Namespace) -> list[dict[str, Any]]:
    """Secrets stay references here; they are not resolved, since this process may lack what the hub has."""
    from sqlalchemy import select
    from sqlmodel import col

    from channels.catalog import spec
    from core.tables import AccountRow

    settings = settings_of(args)
    async with looking(settings) as db, db.read() as session:
        rows = (await session.scalars(select(AccountRow).order_by(col(AccountRow.slug)))).all()
    found = []
    for row in rows:
        problem = ""
        actions: tuple[str, ...] = ()
        try:
            provider = spec(row.provider)
            actions = provider.actions
            provider.config.model_validate(row.config)
        except (ConfigInvalid, ValueError) as error:
            problem = getattr(error, "message", "the configuration does not fit its provider")
        found.append(
            {
                "slug": row.slug,
                "provider": row.provider,
                "title": row.title,
                "enabled": row.is_enabled,
                "config": row.config,
                "secrets": row.secrets,
                "hooks": [f"{settings.origin}/hooks/{row.slug}/{action}" for action in actions],
                "problem": problem,
            }
        )
    return found


def _print_hooks(hooks: Sequence[str]) -> None:
    if hooks:
        print("Tell the provider these webhook addresses:")
        for hook in hooks:
            print(f"  {hook}")


def _from_file(path: str | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        config = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise BadInput(f"{path} is no JSON: {error}.") from error
    if not isinstance(config, dict):
        raise BadInput(f"{path} holds no JSON object.")
    return config


def _pair(text: str, option: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise BadInput(f"{option} wants NAME=VALUE.")
    return name, value


def _value(text: str) -> tuple[str, Any]:
    """A JSON value where it is one that is no text, so that --set answer_seconds=3 is a number."""
    name, value = _pair(text, "--set")
    try:
        parsed = json.loads(value)
    except ValueError:
        return name, value
    # A telephone number is a text, also when it looks like a number.
    return name, parsed if isinstance(parsed, dict | list | bool) else value
