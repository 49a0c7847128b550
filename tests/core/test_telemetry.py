"""Log lines are whole and free of secrets."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from core.telemetry import request_context, set_up_logging

log = logging.getLogger("switchboard.test")


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    set_up_logging("info", as_json=True, secrets=lambda: {"s3cret-token", "s3cret", "x"}, stream=stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)


def _read(lines: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines.getvalue().splitlines()]


def test_a_line_carries_its_event_and_its_fields(lines: io.StringIO) -> None:
    log.info("sms sent", extra={"account": "main", "entries": 3})
    log.debug("not this one")
    (line,) = _read(lines)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "sms sent",
        "account": "main",
        "entries": 3,
        "level": "info",
        "logger": "switchboard.test",
    }


def test_lines_of_one_request_share_its_id(lines: io.StringIO) -> None:
    with request_context(account="main") as made:
        log.info("one")
    with request_context("from-the-proxy-1") as given:
        log.info("two")
    with request_context("bad id\nwith more"):
        log.info("three")
    log.info("four")
    one, two, three, four = _read(lines)
    assert (one["request_id"], one["account"]) == (made, "main")
    assert two["request_id"] == given == "from-the-proxy-1"
    assert "bad" not in three["request_id"]
    assert "request_id" not in four


@pytest.mark.parametrize(
    "fields",
    [
        {"password": "hunter2"},
        {"Authorization": "Bearer hunter2"},
        {"api_key": "hunter2"},
        {"config": {"auth": {"token": "hunter2"}}},
        {"url": "postgresql://hub:hunter2@db/hub"},
        {"where": ["postgresql://hub:hunter2@db/hub"]},
        {"error": RuntimeError("at https://u:hunter2@example.test/")},
    ],
)
def test_fields_with_secrets_are_hidden(lines: io.StringIO, fields: dict[str, Any]) -> None:
    log.info("something", extra=fields)
    assert "hunter2" not in lines.getvalue()
    assert "[hidden]" in lines.getvalue()


def test_known_secrets_are_hidden_wherever_they_stand(lines: io.StringIO) -> None:
    try:
        raise ValueError("the token s3cret-token was refused")
    except ValueError:
        log.exception("failed with %s", "s3cret-token", extra={"x": ("s3cret-token", None, 1.5)})
    (line,) = _read(lines)
    assert "s3cret" not in lines.getvalue()
    assert "-token" not in line["event"]
    assert "Traceback" in line["exception"]
    assert line["x"] == ["[hidden]", None, 1.5]


def test_people_read_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    set_up_logging("INFO", as_json=False)
    log.info("sms sent", extra={"account": "main"})
    root.handlers[:] = handlers
    root.setLevel(level)
    assert "account=main" in capsys.readouterr().err
