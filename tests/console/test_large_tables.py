"""Lists of tables that nobody can count: their pages, and what these ask. (test_query_counts has all the lists.)"""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from audit.admin.keyset import estimate
from audit.models import AuditLog
from config.groups import AUDITOR
from metrics.models import MetricEvent
from tests import factories
from tests.console.world import populate

pytestmark = pytest.mark.django_db
LOG = "/admin/audit/auditlog/"
EVENTS = "/admin/metrics/metricevent/"


def shown(answer) -> list:
    return [row.pk for row in answer.context["cl"].result_list]


def entries(amount: int, **fields) -> None:
    """Entries in groups of three with the same moment, so that the moment alone does not order them."""
    now = datetime.now(UTC)
    defaults = {"trace_id": "0" * 32, "actor_type": "system", "actor_id": "test", "entity_type": "task", "action": "x"}
    AuditLog.objects.bulk_create(
        AuditLog(**(defaults | fields), entity_id=str(n), created_at=now - timedelta(seconds=n // 3))
        for n in range(amount)
    )


def test_an_id_that_two_months_hold_can_be_looked_at(sign_in) -> None:
    post = factories.published_post()
    (event,) = factories.make_events(post, metric_value=7)
    earlier = event.observed_at.replace(day=1) - timedelta(days=1)
    factories.make_events(post, event_id=event.pk, metric_value=3, observed_at=earlier)
    answer = sign_in(AUDITOR).get(f"{EVENTS}{event.pk}/change/")
    assert answer.status_code == 200
    assert answer.context["original"].pk == event.pk


@pytest.mark.parametrize("path", [LOG, EVENTS])
def test_pages_by_key_show_each_row_once_in_order_and_back_again(sign_in, path) -> None:
    auditor = sign_in(AUDITOR)
    if path == LOG:
        entries(125)
        everything = list(AuditLog.objects.order_by("-created_at", "-audit_id").values_list("pk", flat=True))
    else:
        factories.make_events(factories.published_post(), amount=125)
        everything = list(MetricEvent.objects.order_by("-event_id").values_list("pk", flat=True))

    pages, link = [], path
    while link:
        answer = auditor.get(link)
        pages.append(shown(answer))
        older = answer.context["cl"].older_url
        link = path + older if older else ""
    assert [key for page in pages for key in page] == everything
    assert [len(page) for page in pages][:2] == [50, 50]

    back = auditor.get(path + answer.context["cl"].newer_url)
    assert shown(back) == pages[-2]
    assert shown(auditor.get(path + back.context["cl"].older_url)) == pages[-1]
    assert shown(auditor.get(path + back.context["cl"].first_url)) == pages[0]


@pytest.mark.parametrize(("path", "table"), [(LOG, "audit_log"), (EVENTS, "metric_event")])
def test_the_large_lists_neither_count_nor_skip(sign_in, path, table) -> None:
    populate()
    auditor = sign_in(AUDITOR)
    with CaptureQueriesContext(
        connection,
    ) as asked:
        auditor.get(path)
    mine = [query["sql"] for query in asked if f'FROM "{table}"' in query["sql"]]
    assert mine
    assert not [sql for sql in mine if "COUNT(" in sql.upper() or " OFFSET " in sql.upper()]


@pytest.mark.parametrize("searched", ["", "?q=nothing", "?entity_type__exact=task"])
def test_a_page_of_the_log_costs_the_same_however_many_rows(sign_in, searched) -> None:
    auditor = sign_in(AUDITOR)
    entries(3)
    with CaptureQueriesContext(connection) as few:
        auditor.get(LOG + searched)
    entries(60)
    with CaptureQueriesContext(connection) as many:
        auditor.get(LOG + searched)
    assert len(many) <= len(few)


def test_the_estimate_is_the_planners() -> None:
    entries(10)
    assert estimate("audit_log") >= 0


def test_the_pages_are_found_by_index(db) -> None:
    """The plan of a page by key: no sort of a month, no scan of one. (Sequential scans of empty months are free.)"""
    from audit.keyset import beyond

    moment, key = datetime.now(UTC), "019a0000-0000-7000-8000-000000000000"
    rows = beyond(AuditLog.objects.all(), ("created_at", "audit_id"), [moment, key], older=True)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
    plan = rows.order_by("-created_at", "-audit_id")[:51].explain()
    assert "created_at" in plan
    assert "Index Scan" in plan
    future = f"audit_log_{moment.year + 1 if moment.month == 12 else moment.year:04}_{moment.month % 12 + 1:02}"
    assert future not in plan  # pruned: the bound on created_at leaves out what is younger


@pytest.mark.parametrize("term", ["Sara", "sara@example.org", "trace", "entity", "writer-9"])
def test_the_log_is_searched_by_what_people_know(sign_in, term) -> None:
    sara = factories.make_user(display_name="Sara Bekele", email="sara@example.org")
    entries(1, actor_id=f"user:{sara.pk}", actor_type="human", action="hers")
    entries(1, trace_id="ab" * 16, action="traced")
    AuditLog.objects.bulk_create(
        [
            AuditLog(
                trace_id="0" * 32,
                actor_type="worker",
                actor_id="writer-9",
                entity_type="agent",
                entity_id="e-1",
                action="w",
            )
        ]
    )
    query, action = {
        "trace": ("ab" * 16, "traced"),
        "entity": ("e-1", "w"),
        "writer-9": ("writer-9", "w"),
    }.get(term, (term, "hers"))
    answer = sign_in(AUDITOR).get(LOG, {"q": query})
    assert action in [row.action for row in answer.context["cl"].result_list]
    assert len(answer.context["cl"].result_list) == 1


def test_events_are_found_by_the_id_of_the_post(sign_in) -> None:
    post, other = factories.published_post("7291"), factories.published_post("8302")
    (event,) = factories.make_events(post)
    factories.make_events(other)
    auditor = sign_in(AUDITOR)
    assert shown(auditor.get(EVENTS, {"q": "7291"})) == [event.pk]
    assert shown(auditor.get(EVENTS, {"q": post.artifact.task.trace_id})) == [event.pk]
    assert shown(auditor.get(EVENTS, {"q": str(event.pk)})) == [event.pk]
    assert shown(auditor.get(EVENTS, {"q": post.campaign.name})) == [event.pk]
    assert shown(auditor.get(EVENTS, {"q": "nothing"})) == []
