"""What people write in forms: saved as theirs, refused in sentences, and never more than they changed."""

import json

import pytest
from django.contrib.auth.models import Group
from django.urls import reverse

from accounts.models import User
from agents.models import Agent
from audit.models import AuditLog
from campaigns.models import Campaign, Task
from campaigns.services import control_campaign
from config.groups import ADMINISTRATOR, AUDITOR, OPERATOR
from tests.factories import PASSWORD, Actor, make_agent, make_campaign, make_user

pytestmark = pytest.mark.django_db

CAMPAIGN = {
    "name": "Meskel launch",
    "goal": "5,000 sign-ups",
    "target_platforms": "tiktok, instagram",
    "status": "draft",
    "budget_cap_etb": "1000.50",
    "constraints": '{"no": ["rate promises"]}',
}


def text(answer) -> str:
    return answer.content.decode()


def add(name: str) -> str:
    return reverse(f"admin:{name}_add")


def change(row) -> str:
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])


def test_a_campaign_is_made_as_its_person(sign_in) -> None:
    operator = sign_in(OPERATOR)
    answer = operator.post(add("campaigns_campaign"), CAMPAIGN)
    assert answer.status_code == 302
    campaign = Campaign.objects.get()
    assert campaign.target_platforms == ["tiktok", "instagram"]
    assert campaign.constraints == {"no": ["rate promises"]}
    (row,) = AuditLog.objects.filter(entity_id=str(campaign.pk))
    assert (row.actor_type, row.actor_id, row.action, row.tool_name) == (
        "human",
        f"user:{operator.user.pk}",
        "create",
        "console",
    )
    assert row.trace_id == answer["X-Trace-Id"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"constraints": '{"a": "\\u0000"}'}, "(NUL)"),
        ({"constraints": '{"a": "\\ud800"}'}, "cannot be stored"),
        ({"constraints": '{"a": NaN}'}, "JSON has no NaN"),
        ({"constraints": '{"a": 1e999}'}, "number that is too long"),
        ({"constraints": "[" * 5000 + "]" * 5000}, "nested too deeply"),
        ({"constraints": "[" * 100 + "]" * 100}, "nested too deeply"),
        ({"constraints": '{"a": ' + "9" * 5000 + "}"}, "number that is too long"),
        ({"constraints": '{"a": 1,}'}, "This is not JSON"),
        ({"constraints": "7"}, "Write an object"),
        ({"constraints": '"text"'}, "Write an object"),
        ({"name": "a\0b"}, "Null characters"),
        ({"target_platforms": "a\0b"}, "(NUL)"),
        ({"target_platforms": " , "}, "Name at least one platform"),
        ({"target_platforms": '["tiktok"'}, "This is not JSON"),
        ({"budget_cap_etb": "-1"}, "0 or more"),
        ({"budget_cap_etb": "1e30"}, "no more than"),
        ({"budget_cap_etb": "NaN"}, "Enter a number"),
        ({"status": "completed"}, "Select a valid choice"),
        ({"start_time": "2026-05-02T10:00", "end_time": "2026-05-01T10:00"}, "must be after the start"),
        ({"start_time": "0000-13-45T99:99"}, "Enter a valid date/time"),
        ({"name": ""}, "This field is required"),
    ],
)
def test_a_bad_campaign_is_refused_in_words(sign_in, given, said) -> None:
    answer = sign_in(OPERATOR).post(add("campaigns_campaign"), CAMPAIGN | given)
    assert answer.status_code == 200
    assert said in text(answer)
    assert not Campaign.objects.exists()


def test_saving_a_form_writes_only_what_was_changed(sign_in, monkeypatch) -> None:
    """The form was read before a halt and is saved after it: the halt stays."""
    operator, campaign = sign_in(OPERATOR), make_campaign(**{"name": "old"})
    halted_by = Actor.human(make_user(OPERATOR))
    from campaigns.admin import CampaignAdmin

    saved = CampaignAdmin.save_model

    def slow(self, *args, **kwargs) -> None:
        control_campaign("halt", campaign_id=campaign.pk, actor=halted_by, reason="wrong price")
        saved(self, *args, **kwargs)

    monkeypatch.setattr(CampaignAdmin, "save_model", slow)
    given = {**CAMPAIGN, "name": "new", "constraints": ""}
    assert operator.post(change(campaign), given).status_code == 302
    campaign.refresh_from_db()
    assert (campaign.name, campaign.state, campaign.epoch) == ("new", "halted", 1)


def test_the_status_of_a_campaign_is_not_in_its_form(sign_in) -> None:
    campaign = make_campaign()
    answer = sign_in(OPERATOR).post(
        change(campaign), CAMPAIGN | {"status": "completed", "epoch": "9", "spent_etb": "5"}
    )
    assert answer.status_code == 302
    campaign.refresh_from_db()
    assert (campaign.status, campaign.epoch, campaign.spent_etb) == ("active", 0, 0)


def test_an_unchanged_form_leaves_no_audit_row(sign_in) -> None:
    campaign = make_campaign(name="as it was", target_platforms=["tiktok"], budget_cap_etb="1.00", constraints=None)
    before = AuditLog.objects.count()
    given = {"name": "as it was", "goal": campaign.goal, "target_platforms": "tiktok", "budget_cap_etb": "1.00"}
    assert sign_in(OPERATOR).post(change(campaign), given).status_code == 302
    # The people made by sign_in have theirs.
    assert AuditLog.objects.filter(entity_id=str(campaign.pk)).count() == 1
    assert before >= 1


def test_a_planned_task_remembers_its_planner(sign_in) -> None:
    operator, campaign, agent = sign_in(OPERATOR), make_campaign(), make_agent()
    given = {
        "campaign": campaign.pk,
        "agent": agent.pk,
        "task_type": "draft_post",
        "priority": "high",
        "context": '{"brief": "x"}',
        "max_attempts": "3",
        "reserve_etb": "0",
    }
    answer = operator.post(add("campaigns_task"), given)
    assert answer.status_code == 302, text(answer)
    task = Task.objects.get()
    assert (task.created_by, task.status, task.title) == (operator.user, "pending", None)
    assert AuditLog.objects.get(entity_id=str(task.pk)).actor_id == f"user:{operator.user.pk}"


def test_a_stopped_campaign_takes_no_task_and_says_so(sign_in) -> None:
    operator, campaign, agent = sign_in(OPERATOR), make_campaign(name="Old one"), make_agent()
    control_campaign("stop", campaign_id=campaign.pk, actor=Actor.human(operator.user), reason="over")
    given = {"campaign": campaign.pk, "agent": agent.pk, "task_type": "draft_post", "priority": "high"}
    answer = operator.post(add("campaigns_task"), {**given, "context": "{}", "max_attempts": 3, "reserve_etb": 0})
    assert answer.status_code == 200
    assert "takes no more work" in text(answer)


@pytest.mark.parametrize("name", ["two words", "tab\there", "", "nul\0"])
def test_agents_have_names_that_read_well(sign_in, name) -> None:
    answer = sign_in(OPERATOR).post(add("agents_agent"), {"agent_id": name, "status": "active"})
    assert answer.status_code == 200
    assert not Agent.objects.exists()


def test_the_same_agent_twice_is_refused(sign_in) -> None:
    make_agent("writer-4")
    answer = sign_in(OPERATOR).post(add("agents_agent"), {"agent_id": "writer-4", "status": "active"})
    assert "already exists" in text(answer)


def test_a_person_is_made_with_groups_and_no_password_of_another(sign_in, client) -> None:
    administrator, group = sign_in(ADMINISTRATOR), Group.objects.get(name=AUDITOR)
    given = {"email": "New@Example.org", "display_name": "New", "password1": PASSWORD, "password2": PASSWORD}
    answer = administrator.post(add("accounts_user"), {**given, "groups": [group.pk]})
    assert answer.status_code == 302, text(answer)
    person = User.objects.get(email="new@example.org")
    assert list(person.groups.all()) == [group]
    signed_in = client.post("/admin/login/?next=/admin/", {"username": "new@example.org", "password": PASSWORD})
    assert signed_in.status_code == 200  # they choose one with the link of their invitation
    changes = AuditLog.objects.filter(entity_type="user", entity_id=str(person.pk)).values_list("changes", flat=True)
    assert PASSWORD not in json.dumps(list(changes))
    assert any("groups" in told for told in changes)


def test_an_administrator_does_not_become_or_change_a_superuser(sign_in) -> None:
    administrator, root = sign_in(ADMINISTRATOR), make_user(is_superuser=True)
    assert administrator.post(change(root), {"email": "mine@example.org", "is_active": "on"}).status_code == 403
    password = reverse("admin:auth_user_password_change", args=[root.pk])
    assert administrator.get(password).status_code == 403
    given = {"email": administrator.user.email, "is_superuser": "on", "is_active": "on"}
    assert administrator.post(change(administrator.user), given).status_code == 302
    administrator.user.refresh_from_db()
    assert not administrator.user.is_superuser


def test_an_administrator_gives_a_new_password(sign_in) -> None:
    person = make_user(AUDITOR)
    administrator = sign_in(ADMINISTRATOR)
    address = reverse("admin:auth_user_password_change", args=[person.pk])
    assert administrator.get(address).status_code == 200
    given = {"password1": "another long phrase", "password2": "another long phrase", "usable_password": "true"}
    answer = administrator.post(address, given)
    assert answer.status_code == 302, text(answer)
    person.refresh_from_db()
    assert person.check_password("another long phrase")


def test_history_leads_to_the_audit_log(sign_in) -> None:
    operator, campaign = sign_in(OPERATOR), make_campaign(name="Meskel launch")
    answer = operator.get(reverse("admin:campaigns_campaign_history", args=[campaign.pk]), follow=True)
    assert answer.status_code == 200
    assert [row.entity_id for row in answer.context["cl"].result_list] == [str(campaign.pk)]


def test_djangos_own_history_stays_empty(sign_in) -> None:
    from django.contrib.admin.models import LogEntry

    sign_in(OPERATOR).post(add("campaigns_campaign"), CAMPAIGN)
    assert not LogEntry.objects.exists()


def test_nothing_is_deleted(sign_in) -> None:
    root = sign_in(user=make_user(is_superuser=True))
    campaign = make_campaign()
    assert root.post(reverse("admin:campaigns_campaign_delete", args=[campaign.pk]), {"post": "yes"}).status_code == 403
    chosen = {"action": "delete_selected", "_selected_action": [str(campaign.pk)], "post": "yes"}
    root.post(reverse("admin:campaigns_campaign_changelist"), chosen)
    assert Campaign.objects.exists()
