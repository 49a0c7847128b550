"""The command line: `switchboard`. Each command's code is imported only when it is asked for."""

import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from workers.cli.parser import make_parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 done, 1 refused or failed, 2 misused, 3 something was found."""
    args = make_parser().parse_args(argv)
    if args.run is None:
        args.help_of.print_help()
        return 0
    module, _, name = args.run.partition(":")
    return told_plainly(lambda: getattr(import_module(f"workers.cli.{module}"), name)(args))


def told_plainly(act: Callable[[], int | None]) -> int:
    """Run it; what goes wrong on purpose is one line on standard error and an exit code."""
    from core.errors import SwitchboardError  # here, so that help needs nothing of the hub

    try:
        return int(act() or 0)
    except SwitchboardError as error:
        print(f"switchboard: {error.message}", file=sys.stderr)
        for problem in _problems(error.detail):
            print(f"  {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has seen enough.
        sys.stderr.close()
        return 0


def _problems(detail: dict[str, object]) -> list[object]:
    problems = detail.get("problems")
    return list(problems) if isinstance(problems, list | tuple) else []
