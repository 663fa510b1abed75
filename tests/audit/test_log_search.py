"""The search of the audit log: each question alone and together, and never more rows than it may look at."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from audit.admin import log_search
from audit.models import AuditLog
from config.groups import AUDITOR
from tests import factories

pytestmark = pytest.mark.django_db
LOG = "/admin/audit/auditlog/"
NOW = datetime.now(UTC)


@pytest.fixture
def auditor() -> Client:
    client = Client()
    client.force_login(factories.make_user(AUDITOR), backend="django.contrib.auth.backends.ModelBackend")
    return client


def entry(action: str, **fields) -> AuditLog:
    defaults = {"trace_id": "0" * 32, "actor_type": "system", "actor_id": "test", "entity_type": "task"}
    defaults |= {"entity_id": "t-1", "created_at": NOW}
    (row,) = AuditLog.objects.bulk_create([AuditLog(**(defaults | fields), action=action)])
    return row


def actions(answer) -> list[str]:
    return [row.action for row in answer.context["cl"].result_list]


def ask(client: Client, **query) -> list[str]:
    return actions(client.get(LOG, query))


@pytest.mark.parametrize(
    ("fields", "query"),
    [
        ({"actor_id": "writer-9", "actor_type": "worker"}, {"who": "writer-9"}),
        ({"actor_type": "judge"}, {"actor_type": "judge"}),
        ({"entity_type": "agent"}, {"entity_type": "agent"}),
        ({"entity_type": "agent", "entity_id": "e-1"}, {"entity_id": "e-1"}),
        ({"entity_type": "agent", "entity_id": "e-1"}, {"entity_id": "e-1", "entity_type": "agent"}),
        ({"severity": "error"}, {"severity": "error"}),
        ({"trace_id": "ab" * 16}, {"trace_id": "AB" * 16}),
        ({"trace_id": "ab" * 16}, {"q": "ab" * 16}),
        ({"changes": {"hold": [None, "operator"]}}, {"changed": "Operator"}),
        ({"created_at": NOW - timedelta(days=2)}, {"until": (NOW - timedelta(days=1)).isoformat()}),
        ({"severity": "error"}, {"severity__exact": "error"}),
    ],
)
def test_each_question_alone(auditor, fields, query) -> None:
    entry("other")
    entry("wanted", **fields)
    assert ask(auditor, **query) == ["wanted"]


def test_people_agents_and_campaigns_by_the_names_that_people_use(auditor) -> None:
    sara = factories.make_user(display_name="Sara Bekele", email="sara@example.org")
    factories.make_agent("w-77", display_name="The Poet")
    campaign = factories.make_campaign(name="Meskel launch")
    entry("hers", actor_type="human", actor_id=f"user:{sara.pk}")
    entry("his", actor_type="worker", actor_id="w-77")
    entry("theirs", campaign_id=campaign.pk, actor_id="nobody")
    assert ask(auditor, who="sara bek") == ["hers"]
    assert ask(auditor, who="SARA@example.org") == ["hers"]
    assert ask(auditor, q="the poet") == ["his"]
    assert "theirs" in ask(auditor, campaign_id="meskel")
    assert "theirs" in ask(auditor, campaign_id=str(campaign.pk), who="nobody")
    assert ask(auditor, campaign_id="no such") == []


def test_questions_together_are_all_asked(auditor) -> None:
    entry("halt", severity="warning", actor_id="a")
    entry("halt", severity="info", actor_id="a")
    entry("stop", severity="warning", actor_id="a")
    entry("halt", severity="warning", actor_id="b")
    assert len(ask(auditor, action="HALT", severity="warning", who="a", since=(NOW - timedelta(1)).isoformat())) == 1


def test_the_period_is_in_the_viewers_zone(auditor) -> None:
    day = NOW - timedelta(days=1)  # what the test itself leaves in the log is of today
    entry("noon", created_at=datetime(day.year, day.month, day.day, 0, 30, tzinfo=UTC))
    auditor.cookies["zone"] = "Africa/Addis_Ababa"  # three hours ahead
    here = f"{day:%Y-%m-%d}T03:"
    assert ask(auditor, since=f"{here}15", until=f"{here}45") == ["noon"]
    assert ask(auditor, since=f"{here}45", until=f"{here}55") == []


def test_what_cannot_be_asked_is_said(auditor) -> None:
    entry("other")
    answer = auditor.get(LOG, {"since": "yesterday", "severity": "loud"})
    assert actions(answer) == []
    text = answer.content.decode()
    assert "Enter a valid date/time." in text
    assert "loud is not one of the available choices" in text


def test_a_question_without_an_index_looks_so_far_and_goes_on_from_there(auditor, monkeypatch) -> None:
    monkeypatch.setattr(log_search, "LOOKED_AT", 20)
    base = AuditLog.objects.count()
    for number in range(100):
        entry(
            "error" if number % 30 == 29 else "other",
            severity="error" if number % 30 == 29 else "info",
            created_at=NOW - timedelta(minutes=number + 1),
        )
    seen, link, pages = [], f"{LOG}?severity=error", 0
    while link:
        answer = auditor.get(link)
        seen += [row.pk for row in answer.context["cl"].result_list]
        assert "Looked " in answer.content.decode()
        further = answer.context["cl"].further_url
        link, pages = (LOG + further if further else ""), pages + 1
    expected = AuditLog.objects.filter(severity="error").order_by("-created_at").values_list("pk", flat=True)
    assert seen == list(expected)
    assert 5 <= pages <= 7 + base // 20


def test_a_period_ends_the_looking(auditor, monkeypatch) -> None:
    monkeypatch.setattr(log_search, "LOOKED_AT", AuditLog.objects.count() + 5)
    for number in range(30):
        entry("other", created_at=NOW - timedelta(minutes=number))
    short = auditor.get(LOG, {"severity": "error", "since": (NOW - timedelta(minutes=2)).isoformat()})
    assert short.context["cl"].further_url == ""
    long = auditor.get(LOG, {"severity": "error", "since": (NOW - timedelta(minutes=20)).isoformat()})
    assert long.context["cl"].further_url


def test_what_an_index_finds_is_found_however_long_ago(auditor, monkeypatch) -> None:
    monkeypatch.setattr(log_search, "LOOKED_AT", 5)
    entry("long ago", actor_id="rare", created_at=NOW - timedelta(days=3))
    for number in range(20):
        entry("other", created_at=NOW - timedelta(minutes=number))
    answer = auditor.get(LOG, {"who": "rare"})
    assert actions(answer) == ["long ago"]
    assert answer.context["cl"].limit is None


def test_who_does_very_much_is_looked_for_among_the_newest(auditor, monkeypatch) -> None:
    monkeypatch.setattr(log_search, "FEW", 3)
    for number in range(6):
        entry("busy", actor_id="ingest", created_at=NOW - timedelta(minutes=number))
    answer = auditor.get(LOG, {"who": "ingest"})
    assert len(actions(answer)) == 6
    assert answer.context["cl"].limit == log_search.LOOKED_AT


@pytest.mark.parametrize(
    "query", [{"who": "a"}, {"q": "t-1"}, {"severity": "info"}, {"entity_id": "t-1"}, {"changed": "x"}]
)
def test_pages_of_a_search_go_there_and_back(auditor, query) -> None:
    for number in range(120):
        entry("x", actor_id="a", changes={"x": [1, number]}, created_at=NOW - timedelta(seconds=number // 3))
    pages, link = [], f"{LOG}?{'&'.join(f'{name}={value}' for name, value in query.items())}"
    while link:
        answer = auditor.get(link)
        pages.append([row.pk for row in answer.context["cl"].result_list])
        link = LOG + answer.context["cl"].older_url if answer.context["cl"].older_url else ""
    rows = AuditLog.objects.filter(actor_id="a").order_by("-created_at", "-audit_id").values_list("pk", flat=True)
    assert [key for page in pages for key in page if key in set(rows)] == list(rows)
    back = auditor.get(LOG + answer.context["cl"].newer_url)
    assert [row.pk for row in back.context["cl"].result_list] == pages[-2]


@pytest.mark.parametrize(
    "query", [{"who": "test"}, {"severity": "error"}, {"changed": "x"}, {"trace_id": "0" * 32}, {"campaign_id": "x"}]
)
def test_a_search_asks_the_same_however_many_rows_there_are(auditor, query) -> None:
    entry("x")
    with CaptureQueriesContext(connection) as few:
        auditor.get(LOG, query)
    for number in range(60):
        entry("x", created_at=NOW - timedelta(minutes=number))
    with CaptureQueriesContext(connection) as many:
        auditor.get(LOG, query)
    assert len(many) <= len(few) + 1 <= 22  # one more where there is something to name


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ({"trace_id": "0" * 32}, "trace_id"),
        ({"entity_id": "t-1"}, "entity_type_entity_id"),
        ({"who": "test"}, "actor_type_actor_id"),
    ],
)
def test_an_index_answers(query, index) -> None:
    from django.http import QueryDict
    from django.utils.http import urlencode

    found = log_search.LogSearch(QueryDict(urlencode(query))).narrow(AuditLog.objects.all())
    assert found.limit is None
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
    assert index in found.rows[:51].explain()
