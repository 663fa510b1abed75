"""Which pages are read from the replica: a list that is written down here, and none of which writes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import psycopg
import pytest
from django.apps import apps
from django.contrib import admin
from django.db import connection, transaction
from django.test import Client
from django.urls import resolve

from campaigns.models import Campaign, SystemControl, Task
from config.groups import ADMINISTRATOR
from config.replica import routing
from config.replica.routing import Router, Visit, is_listed
from config.replica.watch import Watch
from config.roles import PRIVATE
from tests import factories
from tests.console.world import populate
from tests.e2e import pages

LISTS = {
    f"{model._meta.app_label}-{model._meta.model_name}-list"
    for model in admin.site._registry
    if model._meta.label_lower != "content.reviewitem"
}
LISTED = LISTS | {
    *("control-room", "search", "search-empty", "audit-search", "archive", "trace", "agents"),
    *("publishing", "publishing-failures", "publishing-unknown"),
    *("metrics", "metrics-hours", "metrics-year", "metrics-further"),
    *("metrics-campaign", "metrics-content", "metrics-agent", "metrics-platform"),
}


@pytest.fixture
def addresses(db: None) -> dict[str, str]:
    populate()
    return dict([*pages.own(), *pages.of_models(), *pages.adding()])


def found(path: str) -> bool:
    return is_listed(resolve(urlsplit(path).path))


def test_who_reads_there_is_written_down(addresses: dict[str, str]) -> None:
    assert {name for name, path in addresses.items() if found(path)} == LISTED


@pytest.mark.parametrize("path", ["/api/v1/campaigns", "/healthz", "/readyz", "/metrics", "/api/v1/docs"])
def test_nothing_outside_of_the_console_reads_there(path: str) -> None:
    assert not found(path)


def test_no_page_that_reads_there_writes(addresses: dict[str, str], client: Client) -> None:
    """PostgreSQL itself refuses it, as a standby would."""
    client.force_login(
        factories.make_user(ADMINISTRATOR, is_superuser=True), backend="django.contrib.auth.backends.ModelBackend"
    )
    for path in (addresses[name] for name in sorted(LISTED)):
        with read_only():
            assert client.get(path).status_code == 200, path


@contextmanager
def read_only() -> Iterator[None]:
    """Within the test's transaction; another order is refused, and the transaction is as before at the end."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL transaction_read_only = on")
        yield
        transaction.set_rollback(True)


@pytest.fixture
def reading() -> Iterator[None]:
    around = routing._visit.set(Visit(reads_there=True))
    yield
    routing._visit.reset(around)


def test_who_somebody_is_and_whether_all_is_halted_is_never_read_there(reading: None) -> None:
    router = Router()
    there = {model for model in apps.get_models() if router.db_for_read(model) == "replica"}
    assert not there & (PRIVATE | {SystemControl})
    assert Campaign in there


def test_a_row_that_was_read_there_is_written_to_the_primary(reading: None) -> None:
    router, campaign = Router(), Campaign()
    campaign._state.db = "replica"
    assert router.db_for_write(Campaign, instance=campaign) == "default"
    assert router.db_for_read(Task, instance=campaign) == "replica"
    assert router.allow_relation(campaign, Task())
    assert not router.allow_migrate("replica", "campaigns")


def test_outside_of_its_pages_nothing_is_read_there() -> None:
    campaign = Campaign()
    assert Router().db_for_read(Campaign) is None
    campaign._state.db = "replica"
    assert Router().db_for_read(Task, instance=campaign) == "default"


@pytest.mark.django_db
def test_a_server_that_is_no_standby_is_not_used(connect: Callable[..., psycopg.Connection]) -> None:
    watch = Watch()
    assert (watch.usable(), watch.trouble()) == (False, "was not asked yet")
    watch.look(connect("gatehouse_app"))
    assert (watch.usable(), watch.age(), watch.trouble()) == (False, None, "is no standby")
