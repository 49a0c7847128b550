"""`switchboard users`: who may sign in, and as what."""

import asyncio
import getpass
import sys
from argparse import Namespace

from core.errors import BadInput
from workers.cli import output
from workers.cli.office import carry_out, looking
from workers.cli.parser import settings_of


def add(args: Namespace) -> int:
    settings = settings_of(args)
    password_hash = _hashed(args.login)
    user = carry_out(
        settings,
        "users.add",
        {
            "login": args.login,
            "name": args.name,
            "password_hash": password_hash,
            "roles": args.role,
            "unit": args.unit,
            "queues": args.queue,
            "is_first_administrator": args.admin,
        },
    )
    print(f"{user['login']} can sign in; roles: {', '.join(user['roles']) or 'none'}.")
    return 0


def password(args: Namespace) -> int:
    carry_out(settings_of(args), "users.change", {"login": args.login, "password_hash": _hashed(args.login)})
    print(f"{args.login} has a new password and is signed out everywhere.")
    return 0


def roles(args: Namespace) -> int:
    user = carry_out(settings_of(args), "users.change", {"login": args.login, "roles": args.role})
    print(f"{user['login']} has the roles {', '.join(user['roles']) or 'none'}.")
    return 0


def disable(args: Namespace) -> int:
    carry_out(settings_of(args), "users.change", {"login": args.login, "is_disabled": not args.undo})
    print(f"{args.login} {'may sign in again' if args.undo else 'is signed out and may not sign in'}.")
    return 0


def list_all(args: Namespace) -> int:
    users = asyncio.run(_users(args))
    if args.json:
        output.as_json(users)
        return 0
    output.table(
        ("Login", "Name", "Roles", "Unit", "Queues", "Disabled"),
        [
            (each["login"], each["name"], each["roles"], each["unit"], each["queues"], each["disabled"])
            for each in users
        ],
        "There are no users yet; make the first one with: switchboard users add --admin LOGIN",
    )
    return 0


async def _users(args: Namespace) -> list[dict[str, object]]:
    from core.users import all_users
    from workers.commands import shown

    async with looking(settings_of(args)) as db, db.read() as session:
        return [shown(user) for user in await all_users(session, with_disabled=args.all)]


def _hashed(login: str) -> str:
    """The password is typed twice or comes through a pipe; it never stands in the list of processes."""
    from core.passwords import Hasher, check_new

    if sys.stdin.isatty():
        given = getpass.getpass(f"Password for {login}: ")
        if given != getpass.getpass("Once more: "):
            raise BadInput("The two passwords differ; nothing was changed.")
    else:
        given = sys.stdin.readline().rstrip("\r\n")
        if not given:
            raise BadInput("No password came on standard input; type one, or pipe it in.")
    check_new(given, login)
    return asyncio.run(Hasher().hash(given))
