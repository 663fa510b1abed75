"""A change and its audit row commit together or not at all; one row for each changed row; no door without one."""

import hashlib
import json
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import Group
from django.db import connection, transaction

from accounts.models import User
from agents.models import Agent, ApiToken
from audit.base import audited_models
from audit.context import Actor, acting, new_trace_id
from audit.models import AuditLog
from audit.receivers import REDACTED
from campaigns.models import Campaign, Task
from config.groups import OPERATOR
from tests.conftest import address
from tests.factories import PASSWORD, make_agent, make_campaign, make_task, make_user

pytestmark = pytest.mark.django_db


def rows(entity: Any) -> Any:
    return AuditLog.objects.filter(entity_id=str(entity.pk)).order_by("created_at", "audit_id")


def test_a_save_leaves_one_row_with_what_really_changed() -> None:
    campaign = make_campaign(name="Meskel")
    stale = Campaign.objects.get(pk=campaign.pk)
    campaign.change("test", goal="Another goal.")
    stale.name = "Meskel launch"
    stale.save()  # writes what it changed, and not the goal that it had read before
    created, _, updated = rows(campaign)
    assert (created.action, created.changes["name"]) == ("create", [None, "Meskel"])
    assert updated.changes == {"name": ["Meskel", "Meskel launch"]}
    campaign.refresh_from_db()
    assert (campaign.name, campaign.goal) == ("Meskel launch", "Another goal.")


def test_a_form_that_was_open_during_a_pause_does_not_undo_it() -> None:
    campaign = make_campaign()
    stale = Campaign.objects.get(pk=campaign.pk)
    campaign.change("pause", status="paused")
    stale.goal = "Another goal."
    stale.save()
    campaign.refresh_from_db()
    assert (campaign.status, campaign.goal) == ("paused", "Another goal.")


def test_json_that_is_changed_in_place_is_saved() -> None:
    campaign = make_campaign(constraints={"languages": ["am"]})
    again = Campaign.objects.get(pk=campaign.pk)
    again.constraints["languages"].append("en")
    again.save()
    campaign.refresh_from_db()
    assert campaign.constraints == {"languages": ["am", "en"]}


def test_one_is_not_true() -> None:
    campaign = make_campaign(constraints={"auto": 1})
    again = Campaign.objects.get(pk=campaign.pk)
    again.constraints["auto"] = True
    again.save()
    campaign.refresh_from_db()
    assert campaign.constraints["auto"] is True
    assert campaign.change("test", constraints={"auto": 1}).constraints["auto"] == 1
    told = [row.changes["constraints"] for row in rows(campaign)][1:]
    assert told == [[{"auto": 1}, {"auto": True}], [{"auto": True}, {"auto": 1}]]


@pytest.mark.django_db(transaction=True)
def test_a_save_writes_again_what_a_rollback_has_undone() -> None:
    agent = make_agent()
    agent.display_name = "Second"
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        agent.save()
        raise ZeroDivisionError
    agent.save()
    agent.refresh_from_db()
    assert agent.display_name == "Second"


@pytest.mark.django_db(transaction=True)
def test_a_save_of_one_column_does_not_forget_the_others() -> None:
    task = Task.objects.get(pk=make_task().pk)
    task.title, task.error = "Another title", "Something failed"
    task.save(update_fields=["title"])
    task.save()
    deferred = Task.objects.defer("title").get(pk=task.pk)
    deferred.error = "Something else"
    assert deferred.title == "Another title"  # read only now
    deferred.save()
    task.refresh_from_db()
    assert (task.title, task.error) == ("Another title", "Something else")


def test_json_loses_no_digit_on_its_way_through_django() -> None:
    number = "12345678901234567890.123456789"
    task = make_task()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE task SET context = %s WHERE task_id = %s", [f'{{"exact": {number}}}', task.pk])
        task.refresh_from_db()
        task.change("test", context={**task.context, "more": 1})
        cursor.execute("SELECT context ->> 'exact' FROM task WHERE task_id = %s", [task.pk])
        assert cursor.fetchone() == (number,)
    assert str(rows(task).last().changes["context"][0]["exact"]) == number


def test_a_save_that_changes_nothing_leaves_no_row() -> None:
    agent = make_agent()
    agent.save()
    assert agent.change("test", status="active")
    assert rows(agent).count() == 1


def test_a_change_that_is_rolled_back_takes_its_row_along() -> None:
    campaign = make_campaign()
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        campaign.change("test", goal="Never.")
        raise ZeroDivisionError
    assert rows(campaign).count() == 1


@pytest.mark.django_db(transaction=True)
def test_outside_of_a_transaction_too_a_change_without_its_row_does_not_stay(monkeypatch: Any) -> None:
    agent = make_agent()

    def fails(*_: Any, **__: Any) -> None:
        raise RuntimeError("no month")

    monkeypatch.setattr("django.db.models.QuerySet.bulk_create", fails)
    agent.display_name = "Unheard of"
    with pytest.raises(RuntimeError, match="no month"):
        agent.save()
    agent.refresh_from_db()
    assert agent.display_name is None


@pytest.mark.parametrize("model", list(audited_models()), ids=lambda model: model._meta.db_table)
def test_ways_around_the_audit_refuse(model: Any) -> None:
    for call in (
        lambda: model.objects.update(pk=1),
        lambda: model.objects.bulk_create([]),
        lambda: model.objects.bulk_update([], []),
        lambda: model.objects.all().delete(),
        lambda: model().delete(),
    ):
        with pytest.raises(TypeError, match=r"audit rows|never deleted"):
            call()


def test_who_on_which_trace_and_through_which_door() -> None:
    person, trace = make_user(OPERATOR), new_trace_id()
    with acting(Actor.human(person), trace_id=trace, tool_name="console"):
        agent = make_agent()
        task = make_task(agent=agent)
    row = rows(agent).get()
    assert (row.actor_type, row.actor_id, row.trace_id, row.tool_name) == (
        "human",
        f"user:{person.pk}",
        trace,
        "console",
    )
    assert rows(task).get().trace_id == task.trace_id != trace  # a task has its own trace


def test_the_hash_is_of_the_change_as_the_database_writes_it() -> None:
    task = make_task(context={"ሰላም": ["ü", 1.5, None, True], "a": {"b": 1}})
    with connection.cursor() as cursor:
        cursor.execute("SELECT changes::text, inputs_hash FROM audit_log WHERE entity_id = %s", [str(task.pk)])
        changes, inputs_hash = cursor.fetchone()
    assert inputs_hash == hashlib.sha256(changes.encode()).hexdigest()
    assert json.loads(changes)["context"] == [None, {"ሰላም": ["ü", 1.5, None, True], "a": {"b": 1}}]


def test_secrets_and_personal_data_are_redacted_through_both_doors() -> None:
    person = make_user(email="almaz@example.org", display_name="Almaz")
    token = ApiToken.objects.create(name="collector", role="metrics", prefix="gh_abc", token_sha256="f" * 64)
    person.display_name = "Almaz B."
    person.save()
    for changes in [*rows(person).values_list("changes", flat=True), *rows(token).values_list("changes", flat=True)]:
        text = json.dumps(changes)
        assert changes["_redaction"] == 1
        assert REDACTED in text
        for secret in ("almaz", "Almaz", "f" * 64, PASSWORD):
            assert secret not in text
    assert rows(token).get().changes["name"] == [None, "collector"]


@pytest.mark.django_db(transaction=True)
def test_the_owners_plain_sql_redacts_too() -> None:
    person = make_user(email="almaz@example.org")
    with psycopg.connect(**address("migrator")) as owner:
        owner.execute("""UPDATE "user" SET email = 'other@example.org', is_active = false""")
    row = rows(person).last()
    assert row.actor_id == "sql:gatehouse_migrator"
    assert row.changes == {"email": [REDACTED, REDACTED], "is_active": [True, False], "_redaction": 1}


def test_signing_in_is_no_change() -> None:
    person = make_user()
    person.last_login = person.created_at
    person.save(update_fields=["last_login"])
    assert rows(person).count() == 1


def test_who_is_put_into_which_group_is_audited_from_both_sides() -> None:
    person = make_user()
    group = Group.objects.get(name=OPERATOR)
    joined, left = [[], ["Operator"]], [["Operator"], []]
    person.groups.add(group)
    person.groups.add(group)
    person.groups.remove(group)
    group.user_set.add(person)
    group.user_set.remove(person)
    person.groups.set([group])
    person.groups.clear()
    group.user_set.add(person)
    group.user_set.clear()
    assert [row.changes.get("groups") for row in rows(person)][1:] == [joined, left] * 4


def test_several_rows_of_one_verb_are_one_insert(django_assert_num_queries: Any) -> None:
    task = make_task()
    for _ in range(9):
        make_task(campaign=task.campaign, agent=task.agent)
    # lock and read, update, read back, insert the ten audit rows; a savepoint around them
    with django_assert_num_queries(6):
        changed = Task.objects.filter(campaign=task.campaign).change("fail", status="failed")
    assert len(changed) == AuditLog.objects.filter(action="fail").count() == 10


def test_the_before_and_after_of_many_rows_are_not_mixed_up() -> None:
    agents = [make_agent(agent_id=f"agent-{letter}", display_name=letter) for letter in "cab"]
    Agent.objects.filter(pk__in=[agent.pk for agent in agents]).change("test", agent_group="x", display_name="same")
    for agent in agents:
        assert rows(agent).last().changes["display_name"] == [agent.display_name, "same"]


def test_every_model_that_people_can_touch_is_audited() -> None:
    """What is not audited is named here, with the reason: it is derived from audited rows, or it is the log itself."""
    from django.apps import apps

    derived = {"metric_rollup", "metric_rollup_daily", "metric_rollup_campaign", "metric_ingest"}
    derived |= {"metric_counter", "metric_correction", "audit_log", "cron_job", "idempotency_key", "notification"}
    ours = {"audit", "accounts", "agents", "campaigns", "content", "metrics"}
    tables = {model._meta.db_table for model in apps.get_models() if model._meta.app_label in ours}
    assert tables - derived == {model._meta.db_table for model in audited_models()}


def test_a_person_is_found_by_email_in_any_case() -> None:
    assert make_user(email="Rahel@Example.ORG").email == "rahel@example.org"
    assert User.objects.get_by_natural_key("RAHEL@example.org").email == "rahel@example.org"


def test_why_something_was_done_is_kept_where_no_column_holds_it() -> None:
    agent = make_agent()
    with acting(Actor.system("test"), reason="It writes nonsense."):
        agent.change("suspend", status="suspended")
    agent.change("reactivate", status="active")
    assert [row.output_summary for row in rows(agent)] == [None, "It writes nonsense.", None]
