"""Log lines as JSON or for people, free of secrets; the lines of one request share its id."""

import logging
import os
import re
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

import structlog

_SECRET_NAMES = re.compile(
    r"passw|secret|token|authori[sz]ation|cookie|api_?key|csrf|totp|salt|private", re.IGNORECASE
)
_IN_URLS = re.compile(r"(://[^\s:/@]*:)[^\s/@]+(?=@)")
_HIDDEN = "[hidden]"
_SHORTEST_SECRET = 6  # shorter values stand in ordinary text too often
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")


def set_up_logging(
    level: str,
    *,
    as_json: bool,
    secrets: Callable[[], Collection[str]] = tuple,
    stream: TextIO | None = None,
) -> None:
    """Send every log line of this process through one form. `secrets` gives values that no line may show."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        Redactor(secrets),
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False, default=str)
        if as_json
        else structlog.dev.ConsoleRenderer(colors=False)
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # It logs every request at INFO, which the access metrics say better.
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)


@contextmanager
def request_context(given_id: str = "", **fields: object) -> Iterator[str]:
    """Put one request id on every line that is logged inside; a proxy's own id is kept when it is well formed."""
    request_id = given_id if _REQUEST_ID.fullmatch(given_id) else os.urandom(16).hex()
    with structlog.contextvars.bound_contextvars(request_id=request_id, **fields):
        yield request_id


class Redactor:
    """Takes secrets out of a log line: fields by their names, known values and URL passwords wherever they stand."""

    def __init__(self, secrets: Callable[[], Collection[str]]) -> None:
        self._secrets = secrets

    def __call__(self, logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        # The longest first: one secret may begin with another.
        known = sorted(
            (secret for secret in self._secrets() if len(secret) >= _SHORTEST_SECRET), key=len, reverse=True
        )
        for name, value in event.items():
            if not name.startswith("_"):
                event[name] = _HIDDEN if _SECRET_NAMES.search(name) else self._clean(value, known)
        return event

    def _clean(self, value: Any, known: Sequence[str]) -> Any:
        match value:
            case str():
                for secret in known:
                    value = value.replace(secret, _HIDDEN)
                return _IN_URLS.sub(rf"\1{_HIDDEN}", value)
            case Mapping():
                return {
                    name: _HIDDEN if _SECRET_NAMES.search(str(name)) else self._clean(inner, known)
                    for name, inner in value.items()
                }
            case list() | tuple() | set() | frozenset():
                return [self._clean(inner, known) for inner in value]
            case None | bool() | int() | float():
                return value
            case _:
                return self._clean(str(value), known)
