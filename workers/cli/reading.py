"""`switchboard read`: how the hub would read messages, told without a hub."""

import json
import sys
from argparse import Namespace
from pathlib import Path

from core.errors import BadInput
from workers.cli.blueprints import whole

DEFAULT = Path(__file__).parent.parent.parent / "blueprints" / "tobacco"


def sms(args: Namespace) -> int:
    from crm.forms.fixture import FixtureInvalid, load_fixture, read_lines

    blueprint = whole(args.blueprint or str(DEFAULT))
    try:
        data = json.loads(Path(args.fixture).read_text(encoding="utf-8"))
        fixture = load_fixture(data, blueprint.forms, blueprint.messages)
    except OSError as error:
        raise BadInput(f"The fixture {args.fixture} cannot be read: {error.strerror}.") from error
    except FixtureInvalid as error:
        raise BadInput(f"{args.fixture}: {error}.") from error
    except ValueError as error:
        raise BadInput(f"{args.fixture} is no JSON: {error}.") from error
    sys.stdin.reconfigure(encoding="utf-8", errors="surrogateescape")  # type: ignore[union-attr]  # a text stream
    has_bad = False
    for said in read_lines(fixture, sys.stdin):
        has_bad = has_bad or "error" in said
        text = json.dumps(said, ensure_ascii=False)
        sys.stdout.write(text.encode("utf-8", "backslashreplace").decode() + "\n")
        sys.stdout.flush()
    return 3 if has_bad else 0
