"""`/metrics`: whom it answers, that its numbers are those of the database, and what it says when that is slow."""

import re
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from audit.models import CronJob
from config.monitoring import figures
from content.choices import Hold
from content.models import PublishRecord, ReviewItem
from metrics import partitions
from tests import factories
from tests.console.world import populate

TOKEN = "0123456789abcdef-of-the-tests"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def _open(settings) -> None:
    settings.METRICS_TOKEN = TOKEN


def scraped(client: Client) -> dict[tuple[str, ...], float]:
    """Every sample by its name and the values of its labels."""
    answer = client.get("/metrics", headers=BEARER)
    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("text/plain; version=0.0.4")
    families = text_string_to_metric_families(answer.content.decode())
    return {(each.name, *each.labels.values()): each.value for family in families for each in family.samples}


def test_without_its_setting_there_is_nothing(client: Client) -> None:
    assert client.get("/metrics").status_code == 404
    assert client.get("/metrics", headers={"Authorization": "Bearer "}).status_code == 404


@pytest.mark.parametrize("given", ["", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer ü"])
@pytest.mark.usefixtures("_open")
def test_strangers_are_told_nothing(client: Client, given: str) -> None:
    answer = client.get("/metrics", headers={"Authorization": given} if given else {})
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == "Bearer"
    assert "gatehouse_" not in answer.content.decode()


@pytest.mark.django_db
@pytest.mark.usefixtures("_open")
def test_an_administrator_of_the_console_is_a_stranger_here(client: Client) -> None:
    client.force_login(factories.make_user("Administrator"), backend="django.contrib.auth.backends.ModelBackend")
    assert client.get("/metrics").status_code == 401
    assert client.post("/metrics", headers=BEARER).status_code == 405


@pytest.mark.django_db
@pytest.mark.usefixtures("_open")
def test_its_numbers_are_those_of_the_database(client: Client) -> None:
    populate()
    now = timezone.now()
    CronJob.objects.update_or_create(
        name="run_due", defaults={"started_at": now, "succeeded_at": now - timedelta(seconds=90)}
    )
    told = scraped(client)
    waiting = ReviewItem.objects.open()
    by_reason = {key[1]: value for key, value in told.items() if key[0] == "gatehouse_reviews_waiting"}
    assert sum(by_reason.values()) == waiting.count() > 0
    for reason in waiting.values_list("reason", flat=True).distinct():
        assert by_reason[reason] == waiting.filter(reason=reason).count()
    for hold in [None, *Hold.values]:
        amount = PublishRecord.objects.queued().filter(hold=hold).count()
        assert told["gatehouse_posts_queued", hold or "none"] == amount
    assert told["gatehouse_posts_queued", "outcome_unknown"] > 0
    assert told["gatehouse_posts_unknown_oldest_seconds",] > 0
    assert told["gatehouse_recent_claims",] > 0
    assert sum(value for key, value in told.items() if key[0] == "gatehouse_recent_decisions") > 0
    assert 90 <= told["gatehouse_cron_since_success_seconds", "run_due"] < 120
    assert told["gatehouse_cron_running_seconds", "run_due"] < 30
    assert told["gatehouse_partitions_ahead", "metric_event"] == told["gatehouse_partitions_ahead", "audit_log"] == 6
    assert 0 < told["gatehouse_database_connections",] <= told["gatehouse_database_connections_max",]
    assert told["gatehouse_database_transactions_total",] > 0
    assert told["gatehouse_database_active_seconds_total",] > 0
    months = {key[1] for key in told if key[0] == "gatehouse_events_ingested_total"}
    assert months == {str(month) for month in partitions.existing(partitions.EVENTS)}
    assert not [key for key, value in told.items() if key[0] == "gatehouse_scrape_missing" and value]


@pytest.mark.django_db
@pytest.mark.usefixtures("_open")
def test_nobody_is_named_and_more_rows_make_neither_more_series_nor_more_queries(client: Client) -> None:
    scraped(client)
    with CaptureQueriesContext(connection) as empty:
        few = scraped(client)
    assert few["gatehouse_cron_since_success_seconds", "run_due"] == float("inf")
    populate()
    with CaptureQueriesContext(connection) as full:
        many = scraped(client)
    more = {key for key in many.keys() - few.keys() if not key[0].startswith(("gatehouse_cron", "gatehouse_request"))}
    assert more == set()
    assert len(full) == len(empty) < 60
    names = re.compile("meskel|sara|dawit|writer-4|example.org", re.IGNORECASE)
    assert not [key for key in many if names.search(" ".join(key))]


@pytest.mark.django_db
@pytest.mark.usefixtures("_open")
def test_requests_are_timed_by_the_pattern_of_their_address(client: Client) -> None:
    def amount(*labels: str) -> float:
        return scraped(client).get(("gatehouse_request_seconds_count", *labels), 0)

    healthy, lost = ("GET", "2xx", "healthz"), ("GET", "4xx", "none")
    before = amount(*healthy), amount(*lost)
    client.get("/healthz")
    client.get("/nothing/like/it")
    client.get("/nothing/like/that")
    assert (amount(*healthy), amount(*lost)) == (before[0] + 1, before[1] + 2)


@pytest.mark.django_db
@pytest.mark.usefixtures("_open")
def test_what_takes_too_long_is_missing_and_the_rest_is_there(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def sleeps(now: object) -> Iterator[figures.Metric]:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(30)")
        yield from ()

    monkeypatch.setattr(figures, "PATIENCE", "50ms")
    monkeypatch.setitem(figures.PARTS, "tasks", sleeps)
    monkeypatch.setattr(figures, "PARTS", {name: figures.PARTS[name] for name in ("tasks", "months")})
    told = scraped(client)
    assert told["gatehouse_scrape_missing", "tasks"] == 1
    assert told["gatehouse_scrape_missing", "months"] == 0
    assert told["gatehouse_partitions_ahead", "audit_log"] == 6
    assert not [key for key in told if key[0] == "gatehouse_tasks"]
