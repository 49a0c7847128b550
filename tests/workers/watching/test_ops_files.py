"""The dashboard and the rules for Prometheus name metrics that a hub has, with the labels it gives them."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from core.metrics import Metrics
from tests.support.entries import NOON
from workers.watching.alarms import CONSUMER_BEHIND, Alarm
from workers.watching.figures import Backlog, Figures, ProcessSeen
from workers.watching.gauges import watch_hub, watch_process
from workers.watching.judging import Standing

ROOT = Path(__file__).parents[3]
DASHBOARD = ROOT / "ops" / "grafana" / "switchboard.json"
RULES = ROOT / "ops" / "prometheus" / "rules.yml"

_METRIC = re.compile(r"\bswitchboard_\w+")
_OF_PROMETHEUS = {"instance", "job", "le"}


class _Idle:
    """A part of a hub that has nothing to do."""

    name = "crm"
    queued = lag = parked = entries = bytes = 0


@pytest.fixture(scope="module")
def samples() -> dict[str, set[str]]:
    """The names on the metrics page of a hub at work, with their labels."""
    metrics = Metrics()
    watch_process(
        metrics,
        log=_Idle(),
        consumers=[_Idle()],
        sealer=_Idle(),
        consoles=lambda: 0,
        bus_is_up=lambda: True,
        leases=lambda: ["sealer"],
        connections=lambda: {"used": 1},
        spool=_Idle,
    )
    figures = Figures(
        at=NOON,
        consumers={"crm": Backlog()},
        channels={"sms": Backlog()},
        queues={"complaint": Backlog()},
        outbox={("waiting", "reply"): 0},
        due={"reply": 0},
        parked={"crm": 0},
        processes=(ProcessSeen(name="web-1", role="web", host="a", pid=1, seconds=0, up_for=0),),
    )
    standing = Standing(alarm=Alarm(CONSUMER_BEHIND, "crm"), since=NOON, told_at=NOON)
    watch_hub(metrics, lambda: figures, lambda: {"consumer_behind:crm": standing}, lambda: 1)
    metrics.logged.labels("main", "in", "message").inc()
    metrics.intake_refused("main", "signature_invalid")
    metrics.send_done("main", "done", 0.1)
    metrics.answered("POST", "/hooks/{account}/{action}", 200, 0.01)
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(metrics.page()[0].decode()):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def _expressions() -> Iterator[str]:
    dashboard = json.loads(DASHBOARD.read_text())
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"]
    for annotation in dashboard["annotations"]["list"]:
        yield annotation["expr"]
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        for rule in group["rules"]:
            yield rule["expr"]


@pytest.mark.parametrize("expression", sorted(set(_expressions())))
def test_every_metric_that_is_named_exists(expression: str, samples: dict[str, set[str]]) -> None:
    named = set(_METRIC.findall(expression))
    assert named - set(samples) == set()
    labels = {label for name in named for label in samples[name]} | _OF_PROMETHEUS
    asked = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", expression))
    for group in re.findall(r"\bby \(([^)]*)\)", expression):
        asked |= {each.strip() for each in group.split(",")}
    assert asked - labels == set()


def test_whatever_a_hub_measures_is_looked_at(samples: dict[str, set[str]]) -> None:
    families = {_family(name) for name in samples if name.startswith("switchboard_")}
    shown = {_family(name) for expression in _expressions() for name in _METRIC.findall(expression)}
    # What a process sees of the whole is for looking closer; the watch's own figures are what counts.
    assert families - shown == {
        "switchboard_consumer_lag",
        "switchboard_consumer_parked",
        "switchboard_log_head",
        "switchboard_seal_lag",
    }


def _family(name: str) -> str:
    return re.sub(r"_(bucket|sum|count|created|total)$", "", name)


def test_the_dashboard_is_what_grafana_imports() -> None:
    dashboard: dict[str, Any] = json.loads(DASHBOARD.read_text())
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = [
        (panel["gridPos"]["x"] + dx, panel["gridPos"]["y"] + dy)
        for panel in panels
        for dx in range(panel["gridPos"]["w"])
        for dy in range(panel["gridPos"]["h"])
    ]
    assert len(places) == len(set(places)), "panels lie on each other"
    assert max(x for x, _ in places) < 24
    assert all(panel["datasource"]["uid"] == "${source}" for panel in panels if panel["type"] != "row")


def test_every_rule_says_where_it_is_explained() -> None:
    guide = (ROOT / "docs" / "watching.md").read_text()
    anchors = {
        re.sub(r"[^\w -]", "", head).strip().lower().replace(" ", "-")
        for head in re.findall(r"^#+ (.*)$", guide, re.MULTILINE)
    }
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        for rule in group["rules"]:
            page, _, anchor = rule["annotations"]["guide"].partition("#")
            assert (page, anchor in anchors) == ("docs/watching.md", True), rule["alert"]
