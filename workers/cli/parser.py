"""What can be typed: the commands, their options and their help. Imports nothing of the hub, so that it is quick."""

import argparse
from typing import Any

_FOOT = """\
Environment:
  SWITCHBOARD_DATA      folder of everything that is kept (default var/)
  SWITCHBOARD_PORT      port of pages and webhooks (default 8080)
  SWITCHBOARD_DATABASE  SQLAlchemy URL; empty means SQLite in the data folder
  SWITCHBOARD_REDIS     redis://… of the grown size, where several processes are one hub

Exit codes: 0 done, 1 refused or failed, 2 misused, 3 problems or differences were found.
"""


class _Commands:
    """Adds commands to a parser; `run` names the function as MODULE:NAME below workers.cli."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        parser.set_defaults(run=None, help_of=parser)
        self._commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    def add(self, name: str, run: str | None, help: str, *examples: str) -> argparse.ArgumentParser:
        foot = "Examples:\n" + "".join(f"  {example}\n" for example in examples) if examples else ""
        parser: argparse.ArgumentParser = self._commands.add_parser(
            name,
            help=help,
            description=help,
            epilog=foot,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        parser.set_defaults(run=run, help_of=parser)
        return parser

    def group(self, name: str, help: str) -> "_Commands":
        return _Commands(self.add(name, None, help))


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="switchboard",
        description="An omnichannel contact-layer hub: every contact on every channel becomes one entry of one log.",
        epilog=_FOOT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = _Commands(parser)
    _servers(commands)
    _read(commands.group("read", "Tell how the hub would read messages, without a hub"))
    _blueprint(commands.group("blueprint", "Check, publish and compare what the business has defined"))
    _users(commands.group("users", "Who may sign in, and as what"))
    _accounts(commands.group("accounts", "Our lines: numbers and mailboxes, and the providers behind them"))
    _outbox(commands.group("outbox", "What could not be sent or read: try it again, or put it aside"))
    _log(commands)
    _keeping(commands)
    return parser


def _servers(commands: _Commands) -> None:
    demo = commands.add(
        "demo",
        "demo:demo",
        "Start the demo: invented shops and customers, nothing goes outside",
        "switchboard demo",
        "SWITCHBOARD_PORT=8090 SWITCHBOARD_DATA=/srv/try switchboard demo",
        "switchboard demo --fresh      # throw the demo's data away and begin anew, around today",
    )
    demo.add_argument("--fresh", action="store_true", help="delete the demo's data first")
    demo.add_argument("--no-traffic", action="store_true", help="let nobody write but you")
    demo.add_argument("--seed-only", action="store_true", help="load the data and end")
    demo.add_argument("--weeks", type=int, default=None, help="weeks of history to invent")
    commands.add(
        "up",
        "demo:up",
        "Start the hub",
        "switchboard users add --admin anna && switchboard up",
    )
    run = commands.add(
        "run",
        "demo:run",
        "Start one process of the grown size: web, jobs, digest, listeners or schedule",
        "switchboard run web --name web-1",
        "switchboard run jobs --name jobs-1",
    )
    run.add_argument("role", choices=("web", "jobs", "digest", "listeners", "schedule"))
    run.add_argument("--name", default="", help="its name among the hub's processes (default: the role)")
    run.add_argument("--demo", action="store_true", help="with the demo's doors and its simulated phone")
    commands.add("migrate", "log:migrate", "Bring the database to this version; `up` and `demo` do it too")
    status = commands.add(
        "status",
        "status:status",
        "Show who runs, who owns what, what is behind and which alarms stand; exit code 3 when one does",
        "switchboard status",
        "switchboard status --json | jq .alarms",
        "switchboard status --forget jobs-3      # a process that will not come back under this name",
    )
    status.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    status.add_argument("--forget", default="", metavar="NAME", help="do not wait for this process any more")


def _read(read: _Commands) -> None:
    sms = read.add(
        "sms",
        "reading:sms",
        "Read short messages from standard input, one JSON object a line, and write what they mean",
        'echo \'{"id": "1", "text": "KC 101 3", "ctx": {}}\' | switchboard read sms --fixture fixture.json',
    )
    sms.add_argument(
        "--fixture", required=True, metavar="FILE", help="products, senders and the present moment"
    )
    sms.add_argument(
        "--blueprint", metavar="FOLDER", help="whose words are used (default: the one that comes along)"
    )


def _blueprint(blueprint: _Commands) -> None:
    check = blueprint.add(
        "check",
        "blueprints:check",
        "Name every problem of a blueprint with its file, line and reason",
        "switchboard blueprint check blueprints/tobacco",
    )
    check.add_argument("folder")
    check.add_argument("--json", action="store_true", help="one JSON object instead of text")
    publish = blueprint.add(
        "publish",
        "blueprints:publish",
        "Check a blueprint and put it in force as the next version",
        'switchboard blueprint publish blueprints/tobacco --note "new price band" --approved-by anna',
    )
    publish.add_argument("folder")
    publish.add_argument("--note", default="", help="why, for those who read the list later")
    _people(publish)
    diff = blueprint.add(
        "diff", "blueprints:diff", "Say what a folder or version changes against the one in force",
        "switchboard blueprint diff blueprints/tobacco",
        "switchboard blueprint diff 3",
    )  # fmt: skip
    diff.add_argument("other", metavar="FOLDER|VERSION")
    diff.add_argument("--json", action="store_true", help="one JSON object instead of text")
    rollback = blueprint.add(
        "rollback", "blueprints:rollback", "Put an earlier version in force again, as a new one",
        "switchboard blueprint rollback 3 --approved-by anna",
    )  # fmt: skip
    rollback.add_argument("version", type=int)
    _people(rollback)
    listed = blueprint.add("list", "blueprints:list_all", "List the published versions, newest first")
    listed.add_argument("--json", action="store_true", help="one JSON array instead of a table")


def _people(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--author", default="", help="who made it (default: you)")
    parser.add_argument("--approved-by", default="", help="the second person, who has looked at it")


def _users(users: _Commands) -> None:
    add = users.add(
        "add",
        "users:add",
        "Add a user; the password is asked for, or read from standard input",
        "switchboard users add --admin anna",
        'switchboard users add ben --name "Ben Li" --role agent --queue complaint',
        "pass show ben | switchboard users add ben --role agent",
    )
    add.add_argument("login")
    add.add_argument("--admin", action="store_true", help="an administrator")
    add.add_argument("--name", default="", help="as colleagues see it")
    add.add_argument("--role", action="append", default=[], help="a role of the blueprint; may be repeated")
    add.add_argument("--unit", default="", help="an org unit of the blueprint")
    add.add_argument("--queue", action="append", default=[], help="a queue of the blueprint; may be repeated")
    listed = users.add("list", "users:list_all", "List the users")
    listed.add_argument("--all", action="store_true", help="with those who are disabled")
    listed.add_argument("--json", action="store_true", help="one JSON array instead of a table")
    password = users.add("password", "users:password", "Set a user's password; every sign-in of theirs ends")
    password.add_argument("login")
    roles = users.add(
        "roles", "users:roles", "Give a user these roles instead of the present ones",
        "switchboard users roles ben agent agent_lead",
    )  # fmt: skip
    roles.add_argument("login")
    roles.add_argument("role", nargs="*")
    disable = users.add(
        "disable", "users:disable", "Sign a user out and let them in no more; nobody is deleted"
    )
    disable.add_argument("login")
    disable.add_argument("--undo", action="store_true", help="let them in again")


def _accounts(accounts: _Commands) -> None:
    add = accounts.add(
        "add",
        "accounts:add",
        "Add an account; secrets are named by reference, never written out",
        "switchboard accounts add main --provider sms.twilio --set account_sid=AC… \\",
        "    --set number=+12025550123 --secret auth_token=env:TWILIO_AUTH_TOKEN",
        "switchboard accounts add gateway --provider sms.gateway --config gateway.json --secret key=file:/run/key",
    )
    add.add_argument("slug", help="its name in the log and in webhook addresses")
    add.add_argument("--provider", required=True, help="a provider of the catalog, such as sms.gateway")
    add.add_argument("--title", default="", help="as colleagues see it")
    add.add_argument("--config", metavar="FILE", help="a JSON object")
    add.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a value of the configuration"
    )
    add.add_argument("--secret", action="append", default=[], metavar="NAME=REFERENCE",
                     help="env:NAME, file:/PATH or keep:name")  # fmt: skip
    listed = accounts.add("list", "accounts:list_all", "List the accounts and what keeps them from working")
    listed.add_argument("--json", action="store_true", help="one JSON array instead of a table")
    for name, run, help in (
        ("show", "accounts:show", "Show an account's configuration and webhook addresses"),
        ("test", "accounts:test", "Check an account's configuration and secrets; nothing is sent"),
        ("disable", "accounts:disable", "Stop using an account; it is never deleted, since the log names it"),
    ):
        one = accounts.add(name, run, help)
        one.add_argument("slug")
        if name == "disable":
            one.add_argument("--undo", action="store_true", help="use it again")


def _outbox(outbox: _Commands) -> None:
    listed = outbox.add(
        "list",
        "outbox:list_all",
        "List what failed, what may have arrived, and entries that could not be read",
        "switchboard outbox list",
        "switchboard outbox list --state waiting -n 200 --json",
    )
    listed.add_argument(
        "--state",
        choices=("failed", "unknown", "parked", "waiting", "running", "cancelled"),
        help="only these (default: failed, unknown and parked)",
    )
    listed.add_argument("-n", type=int, default=50, metavar="COUNT", help="at most so many of each state")
    listed.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    retry = outbox.add(
        "retry",
        "outbox:retry",
        "Let one take its turn again, as if it were new",
        "switchboard outbox retry 0192f3c4-…",
        "switchboard outbox retry crm:1234     # an entry that could not be read",
    )
    retry.add_argument("id", metavar="ID|CONSUMER:NUMBER")
    retry.add_argument(
        "--even-if-it-may-have-arrived",
        action="store_true",
        help="also one of which nobody knows: somebody may get it twice",
    )
    retry.add_argument("--json", action="store_true", help="one JSON object instead of text")
    discard = outbox.add("discard", "outbox:discard", "Put one aside for good; the log says who did it")
    discard.add_argument("id", metavar="ID|CONSUMER:NUMBER")
    discard.add_argument("--json", action="store_true", help="one JSON object instead of text")


def _log(commands: _Commands) -> None:
    erase = commands.add(
        "erase",
        "erasing:erase",
        "Erase a person: text, addresses and files go, figures and the chain stay",
        "switchboard erase +8613900000042",
        "switchboard erase 0192f3c4-… --yes --reason 'asked for it by mail'",
        "switchboard erase --reapply      # after a restore: whom the ledger names is erased again",
    )
    erase.add_argument("target", metavar="PARTY|ADDRESS", nargs="?")
    erase.add_argument("--reason", default="", help="why; it is kept, so let it name nobody")
    erase.add_argument("--reapply", action="store_true", help="erase again whom erasures.jsonl names")
    erase.add_argument("--yes", action="store_true", help="do not ask")
    log = commands.group("log", "The interaction log")
    tail = log.add(
        "tail",
        "log:tail",
        "Print the newest entries",
        "switchboard log tail -f",
        "switchboard log tail -n 50 --json",
    )
    tail.add_argument("-n", type=int, default=20, metavar="COUNT", help="how many (default 20)")
    tail.add_argument("-f", "--follow", action="store_true", help="go on with what comes")
    tail.add_argument("--reveal", action="store_true", help="whole numbers and texts")
    tail.add_argument("--json", action="store_true", help="one JSON object a line")


def _keeping(commands: _Commands) -> None:
    """What keeps a hub's data whole over the years: docs/operations.md."""
    backup = commands.add(
        "backup",
        "backing_up:backup",
        "Copy a running hub into one file: database, files, kept secrets, the ledger of erasures",
        "switchboard backup /srv/backups/          # a name with the time is chosen",
        "switchboard backup /srv/backups/monday.tar --without-secrets",
    )
    backup.add_argument("target", metavar="FILE|FOLDER")
    backup.add_argument(
        "--without-secrets", action="store_true", help="leave out the kept secrets; keep them elsewhere"
    )
    restore = commands.add(
        "restore",
        "backing_up:restore",
        "Put a backup in place: checked first, erasures applied again, then verified",
        "switchboard restore /srv/backups/monday.tar",
        "switchboard restore monday.tar --replace --ledger /mnt/old/erasures.jsonl",
    )
    restore.add_argument("file", metavar="FILE")
    restore.add_argument(
        "--replace", action="store_true", help="set aside what lies there instead of refusing"
    )
    restore.add_argument("--ledger", metavar="FILE", help="a newer erasures.jsonl than the backup's")
    restore.add_argument("--yes", action="store_true", help="do not ask")
    move = commands.add(
        "move",
        "moving:move",
        "Copy a stopped hub from SQLite into an empty PostgreSQL database, and compare the two",
        "switchboard move --to postgresql+asyncpg://switchboard:…@db.internal/switchboard",
    )
    move.add_argument("--to", required=True, metavar="URL", help="the empty database")
    move.add_argument(
        "--again", action="store_true", help="empty the target first, if nobody worked on it since a move"
    )
    replay = commands.add(
        "replay",
        "replay:replay",
        "Read the whole log anew beside the present figures, show what would differ, and switch to it",
        "switchboard replay --dry-run",
        "switchboard replay --dry-run --blueprint blueprints/draft",
        "switchboard replay --switch",
        "switchboard replay --switch --consumer search --yes",
    )
    way = replay.add_mutually_exclusive_group(required=True)
    way.add_argument("--dry-run", action="store_true", help="show, and change nothing")
    way.add_argument("--switch", action="store_true", help="show, ask, and let the new figures count")
    replay.add_argument("--consumer", choices=("crm", "search"), default="crm", help="whose tables")
    replay.add_argument(
        "--blueprint", metavar="FOLDER", help="read with this one instead of the one in force (dry run)"
    )
    replay.add_argument("--as-then", action="store_true", help="read each entry with the version of its time")
    replay.add_argument("--yes", action="store_true", help="do not ask")
    replay.add_argument("--json", action="store_true", help="one JSON object instead of text")
    verify = commands.add(
        "verify",
        "log:verify",
        "Check that the log is whole: numbers, contents, keys and chains; or against a provider's own list",
        "switchboard verify",
        "switchboard verify --against messages.csv --account sms-main",
    )
    verify.add_argument(
        "--against", metavar="FILE", help="the provider's list: CSV with a head, or one JSON object a line"
    )
    verify.add_argument("--account", metavar="NAME", help="whose list it is")
    verify.add_argument("--json", action="store_true", help="one JSON object instead of text")
    retention = commands.add(
        "retention",
        "retaining:retention",
        "Empty what has grown older than the settings let it",
        "SWITCHBOARD_RETAIN_RAW_YEARS=2 switchboard retention --dry-run",
    )
    way = retention.add_mutually_exclusive_group(required=True)
    way.add_argument("--dry-run", action="store_true", help="count, and change nothing")
    way.add_argument("--apply", action="store_true", help="do it")
    retention.add_argument("--json", action="store_true", help="one JSON object instead of text")


def settings_of(args: Any) -> Any:
    """The settings from the environment; a wrong one is told with its name."""
    from pydantic import ValidationError

    from core.errors import ConfigInvalid
    from core.settings import Settings

    try:
        return Settings()
    except ValidationError as error:
        problems = [
            f"SWITCHBOARD_{'_'.join(str(part) for part in each['loc']).upper()}: {each['msg']}"
            for each in error.errors(include_input=False)
        ]
        raise ConfigInvalid("The environment holds settings that do not fit.", problems=problems) from error
