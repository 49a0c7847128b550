"""Log lines are whole and free of secrets; metrics keep their series few."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from core.log.appenders import prepare
from core.telemetry import BoundedLabel, Metrics, request_context, set_up_logging
from core.values import Direction
from tests.support.entries import NOON, message

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


def test_a_label_keeps_its_values_few() -> None:
    label = BoundedLabel(2)
    assert [label(value) for value in "abcab"] == ["a", "b", "other", "a", "b"]


def test_metrics_tell_what_was_committed_and_answered() -> None:
    metrics = Metrics()
    metrics.committed(
        [prepare(message(), 1), prepare(message(), 1), prepare(message(direction=Direction.OUT), 1)], NOON
    )
    metrics.answered("GET", "/api/parties/{id}", 404, 0.02)
    metrics.answered("BREW", "/", 200, 0.02)
    metrics.intake_refused("sms-test", "signature_invalid")
    metrics.send_done("sms-test", "handed_over", 0.3)
    page = metrics.page()[0].decode()
    for line in (
        'switchboard_log_entries_total{account="sms-test",direction="in",kind="message"} 2.0',
        'switchboard_log_entries_total{account="sms-test",direction="out",kind="message"} 1.0',
        "switchboard_log_commits_total 1.0",
        'switchboard_http_seconds_count{method="GET",route="/api/parties/{id}",status="4xx"} 1.0',
        'switchboard_http_seconds_count{method="other",route="/",status="2xx"} 1.0',
        'switchboard_intake_refused_total{account="sms-test",code="signature_invalid"} 1.0',
        'switchboard_sends_total{account="sms-test",outcome="handed_over"} 1.0',
        'switchboard_send_seconds_count{account="sms-test"} 1.0',
    ):
        assert line in page


def test_what_is_watched_is_read_at_each_scrape() -> None:
    metrics = Metrics()
    lag = [5.0]
    states = {"waiting": 2.0, "failed": 1.0}
    metrics.watch("seal_lag", "Unsealed entries.", lambda: lag[0])
    metrics.watch_states("outbox", "Outbox rows.", "state", states.items)
    first = metrics.page()[0].decode()
    assert "switchboard_seal_lag 5.0" in first
    assert 'switchboard_outbox{state="failed"} 1.0' in first
    lag[0] = 0.0
    del states["failed"]
    second = metrics.page()[0].decode()
    assert "switchboard_seal_lag 0.0" in second
    assert 'state="failed"' not in second
    assert 'switchboard_outbox{state="waiting"} 2.0' in second
