"""Any list as a file: the rows that its address finds, all of them, harmless in a spreadsheet, and on record."""

import csv
import io

import pytest
from django.apps import apps
from django.contrib import admin
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from audit.admin import export
from audit.admin.base import ConsoleAdmin
from audit.choices import EntityType
from audit.models import AuditLog
from config.groups import ADMINISTRATOR, AUDITOR, REVIEWER
from tests import factories

pytestmark = pytest.mark.django_db


def taken(answer) -> list[dict[str, str]]:
    assert answer.status_code == 200, answer.content
    text = b"".join(answer.streaming_content).decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text)))


def test_every_list_of_the_console_can_be_taken(world, sign_in) -> None:
    client = sign_in(user=factories.make_user(ADMINISTRATOR, is_superuser=True))
    lists = {model: found for model, found in admin.site._registry.items() if isinstance(found, ConsoleAdmin)}
    assert len(lists) > 15
    for model in lists:
        name = f"{model._meta.app_label}_{model._meta.model_name}"
        page = client.get(reverse(f"admin:{name}_changelist")).content.decode()
        assert "export/" in page, name
        rows = taken(client.get(reverse(f"admin:{name}_export"), {"state": "all"} if name.endswith("item") else {}))
        assert len(rows) == model._default_manager.filter(**without_deleted(model)).count() or model is AuditLog, name
        assert not {"password", "token_sha256", "lease_id"} & set(rows[0] if rows else {}), name


def without_deleted(model) -> dict[str, None]:
    return {"deleted_at": None} if any(field.name == "deleted_at" for field in model._meta.fields) else {}


def test_filters_and_search_choose_the_rows_and_names_stand_beside_keys(sign_in) -> None:
    campaign = factories.make_campaign(name="Meskel launch")
    for number in range(3):
        factories.make_task(campaign=campaign, title=f"Caption {number}")
    factories.make_task(title="Another")
    address = reverse("admin:campaigns_task_export")
    rows = taken(sign_in(REVIEWER).get(address, {"q": "Caption", "status__exact": "pending"}))
    assert [row["title"] for row in rows] == ["Caption 2", "Caption 1", "Caption 0"]
    assert {row["campaign"] for row in rows} == {"Meskel launch"}
    assert {row["campaign_id"] for row in rows} == {str(campaign.pk)}
    assert taken(sign_in(REVIEWER).get(address, {"q": "nothing"})) == []


def test_what_agents_wrote_is_no_formula(sign_in) -> None:
    for title in ("=HYPERLINK(1)", "+1", "-1", "@x", "＝1", "plain", 'a "quoted", one\nof two lines'):
        factories.make_task(title=title)
    rows = taken(sign_in(REVIEWER).get(reverse("admin:campaigns_task_export")))
    told = {row["title"] for row in rows}
    assert told == {"'=HYPERLINK(1)", "'+1", "'-1", "'@x", "'＝1", "plain", 'a "quoted", one\nof two lines'}


def test_it_is_on_record_before_the_first_line_is_read(sign_in) -> None:
    client = sign_in(AUDITOR)
    client.get(reverse("admin:campaigns_campaign_export"), {"status__exact": "active"})
    entry = AuditLog.objects.get(entity_type=EntityType.LIST)
    assert (entry.action, entry.entity_id, entry.actor_id) == ("export", "campaign", f"user:{client.user.pk}")
    assert entry.changes == {"query": [None, "status__exact=active"]}
    assert client.get(reverse("admin:audit_auditlog_changelist")).status_code == 200


def test_who_may_not_see_the_list_takes_nothing(sign_in) -> None:
    for name in ("accounts_user", "agents_apitoken"):
        answer = sign_in(REVIEWER).get(reverse(f"admin:{name}_export"))
        assert answer.status_code == 403
    assert not AuditLog.objects.filter(entity_type=EntityType.LIST).exists()
    assert sign_in("").get(reverse("admin:campaigns_campaign_export")).status_code == 403


def test_a_long_list_is_read_page_by_page(sign_in, monkeypatch) -> None:
    monkeypatch.setattr(export, "ROWS", 5)
    campaign, agent = factories.make_campaign(), factories.make_agent()
    made = [factories.make_task(campaign=campaign, agent=agent, title=f"Task {number}") for number in range(12)]
    client = sign_in(REVIEWER)
    with CaptureQueriesContext(
        connection,
    ) as captured:
        rows = taken(client.get(reverse("admin:campaigns_task_export")))
    assert [row["task_id"] for row in rows] == [str(task.pk) for task in reversed(made)]
    pages = [query["sql"] for query in captured if 'FROM "task"' in query["sql"] and query["sql"].endswith("LIMIT 5")]
    assert len(pages) == 3


def test_an_address_that_makes_no_sense_is_refused(sign_in) -> None:
    answer = sign_in(REVIEWER).get(reverse("admin:campaigns_task_export"), {"status__nonsense": "1"})
    assert answer.status_code == 400


def test_no_model_has_a_secret_that_the_file_would_tell() -> None:
    """Whoever adds a column that sounds like a secret decides here whether it may leave."""
    names = {field.column for model in apps.get_models() for field in model._meta.concrete_fields}
    sounding = {name for name in names if any(word in name for word in ("password", "token", "secret", "lease_id"))}
    assert sounding <= export.SECRET | {"api_token_id", "judge_lease_id"}


def test_the_parts_of_publishing_and_the_agents_at_work_can_be_taken_too(world, sign_in) -> None:
    client = sign_in(AUDITOR)
    for part, address in (("queue", "/admin/publishing/"), ("unknown", "/admin/publishing/unknown/")):
        page = client.get(address)
        rows = taken(client.get(address, {"csv": "1"}))
        assert rows
        assert len(rows) == len(page.context["rows"]), part
    agents = taken(client.get("/admin/fleet/", {"csv": "1"}))
    assert {row["agent_id"] for row in agents} == {
        row.work.agent.pk for row in client.get("/admin/fleet/").context["rows"]
    }
    assert AuditLog.objects.filter(entity_type=EntityType.LIST).count() == 3
    assert sign_in("").get("/admin/fleet/", {"csv": "1"}).status_code == 403
