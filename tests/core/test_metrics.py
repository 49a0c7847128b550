"""Metrics say what was committed, answered and is waiting, and keep their series few."""

from core.log.appenders import prepare
from core.metrics import BoundedLabel, Metrics
from core.values import Direction
from tests.support.entries import NOON, message


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


def test_gauges_with_several_labels_are_read_as_a_whole() -> None:
    metrics = Metrics()
    metrics.watch_rows("outbox", "Outbox rows.", ("state", "lane"), lambda: [(("waiting", "reply"), 3.0)])
    assert 'switchboard_outbox{lane="reply",state="waiting"} 3.0' in metrics.page()[0].decode()


def test_no_gauge_has_more_rows_than_somebody_could_look_at() -> None:
    metrics = Metrics()
    metrics.watch_states("queue", "Queues.", "queue", lambda: [(str(number), 1.0) for number in range(1000)])
    assert metrics.page()[0].decode().count("switchboard_queue{") == 100
