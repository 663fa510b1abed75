"""The rules and the board name nothing that `/metrics` does not tell, and tell what it names."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from django.test import Client
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from audit.models import CronJob
from config.health import MONTHS_AHEAD

FILES = Path(__file__).parents[2] / "docs" / "monitoring"
PAGE = FILES.with_suffix(".md")
NAME = re.compile(r"\bgatehouse_\w+")
ASKED = {"GatehouseDoesNotAnswer": {"up"}}  # Prometheus's own


def rules() -> dict[str, dict]:
    (group,) = yaml.safe_load((FILES / "rules.yml").read_text())["groups"]
    return {rule["alert"]: rule for rule in group["rules"]}


def board() -> dict:
    return json.loads((FILES / "board.json").read_text())


def queries() -> Iterator[tuple[str, str]]:
    yield from ((name, rule["expr"]) for name, rule in rules().items())
    for panel in board()["panels"]:
        yield from ((panel["title"], target["expr"]) for target in panel["targets"])


@pytest.fixture
def scraped(db: None, client: Client, settings, monkeypatch: pytest.MonkeyPatch) -> dict[str, set[tuple[str, str]]]:
    """The names of a real scrape, each with the labels and values that it has."""
    monkeypatch.setattr("config.monitoring.figures.is_configured", lambda: True)  # a read replica, which is not there
    settings.METRICS_TOKEN = "0123456789abcdef-of-the-tests"
    CronJob.objects.update_or_create(name="run_due", defaults={"started_at": timezone.now()})
    client.get("/healthz")
    client.get("/nothing")
    answer = client.get("/metrics", headers={"Authorization": f"Bearer {settings.METRICS_TOKEN}"})
    found: dict[str, set[tuple[str, str]]] = {}
    for family in text_string_to_metric_families(answer.content.decode()):
        for each in family.samples:
            found.setdefault(each.name, set()).update(each.labels.items())
    return found


def test_every_query_names_what_metrics_tells(scraped: dict[str, set[tuple[str, str]]]) -> None:
    for where, query in queries():
        names = set(NAME.findall(query))
        assert names <= scraped.keys(), where
        assert names or where in ASKED, where


def test_every_label_of_a_query_is_there_with_its_value(scraped: dict[str, set[tuple[str, str]]]) -> None:
    for where, query in queries():
        for name, told in re.findall(r"\b(gatehouse_\w+)\{([^}]*)\}", query):
            for label, value in re.findall(r'(\w+)!?="([^"]*)"', told):
                there = scraped[name] | {("status", "5xx")}  # no request has failed here
                assert (label, value) in there, (where, name)
        labels = {label for name in NAME.findall(query) for label, _ in scraped[name]}
        for by in re.findall(r"\bby \(([^)]*)\)", query):
            assert {label.strip() for label in by.split(",")} <= labels, where


def test_whatever_is_told_is_on_the_board(scraped: dict[str, set[tuple[str, str]]]) -> None:
    shown = {name for _, query in queries() for name in NAME.findall(query)}
    told = {name for name in scraped if name.startswith("gatehouse_") and not name.endswith("_created")}
    assert told - shown == set()


def test_each_alert_says_what_to_do_and_how_urgent_it_is() -> None:
    assert rules()["GatehousePartitionsShort"]["expr"].endswith(f"< {MONTHS_AHEAD}")
    for name, rule in rules().items():
        assert rule["labels"]["severity"] in {"page", "ticket"}, name
        assert set(rule["annotations"]) == {"summary", "description"}, name
        assert name in PAGE.read_text(), name


def test_the_board_is_whole() -> None:
    panels = board()["panels"]
    assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _ in cells) < 24
        assert not cells & taken, panel["title"]
        taken |= cells
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${source}"}
