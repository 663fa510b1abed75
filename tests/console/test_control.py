"""An operator pauses, halts, resumes, stops and completes; everybody else is told that they may not."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from audit.models import AuditLog
from campaigns.choices import CampaignStatus, CampaignVerb, TaskStatus
from campaigns.models import Campaign, Task
from campaigns.services.consequences import FATES, WORDS, consequences
from config.groups import AUDITOR, OPERATOR, REVIEWER
from tests import factories
from tests.factories import make_campaign, task_in

pytestmark = pytest.mark.django_db


def address(campaign, verb) -> str:
    return reverse("admin:campaigns_campaign_control", args=[campaign.pk, verb])


def page_of(campaign) -> str:
    return reverse("admin:campaigns_campaign_change", args=[campaign.pk])


def text(answer) -> str:
    return answer.content.decode()


@pytest.mark.parametrize(
    ("begun", "verb", "then"),
    [
        ("draft", "activate", CampaignStatus.ACTIVE),
        ("active", "pause", CampaignStatus.PAUSED),
        ("active", "halt", CampaignStatus.PAUSED),
        ("active", "complete", CampaignStatus.COMPLETED),
        ("active", "stop", CampaignStatus.STOPPED),
    ],
)
def test_an_operator_uses_each_verb_with_a_reason(sign_in, begun, verb, then) -> None:
    operator, campaign = sign_in(OPERATOR), make_campaign(status=begun)
    assert address(campaign, verb) in text(operator.get(page_of(campaign)))
    assert "What will happen" in text(operator.get(address(campaign, verb)))

    answer = operator.post(address(campaign, verb), {"reason": "Wrong price"}, follow=True)

    assert answer.redirect_chain[-1][0] == page_of(campaign)
    campaign.refresh_from_db()
    assert (campaign.status, campaign.control_reason, campaign.controlled_by) == (then, "Wrong price", operator.user)
    row = AuditLog.objects.get(entity_id=str(campaign.pk), action=verb)
    assert row.actor_id == f"user:{operator.user.pk}"


def test_a_pause_can_end_by_itself_and_the_banner_says_when(sign_in) -> None:
    operator, campaign = sign_in(OPERATOR), make_campaign()
    until = timezone.now() + timedelta(hours=3)
    given = {"reason": "lunch", "resume_at": f"{until:%Y-%m-%dT%H:%M}"}
    page = text(operator.post(address(campaign, "pause"), given, follow=True))
    campaign.refresh_from_db()
    assert campaign.resume_at == until.replace(second=0, microsecond=0)
    assert "resumes by itself" in page
    assert "lunch" in page
    assert str(operator.user) in page


@pytest.mark.parametrize(
    ("given", "status", "said"),
    [
        ({"reason": " "}, 422, "Say why you pause it"),
        ({"reason": "my reason", "resume_at": "2020-01-01T10:00"}, 422, "has passed already"),
        ({"reason": "my reason", "resume_at": "soon"}, 422, "Write the time to resume"),
        ({"reason": "my reason\0"}, 422, "Null characters"),
    ],
)
def test_a_refusal_is_a_sentence_and_keeps_what_was_typed(sign_in, given, status, said) -> None:
    campaign = make_campaign()
    answer = sign_in(OPERATOR).post(address(campaign, "pause"), given)
    assert answer.status_code == status
    assert said in text(answer)
    assert given["reason"].strip().strip("\0") in text(answer)
    assert Campaign.objects.get().status == CampaignStatus.ACTIVE


def test_what_is_not_possible_now_is_said_with_its_state(sign_in) -> None:
    operator, campaign = sign_in(OPERATOR), make_campaign()
    operator.post(address(campaign, "stop"), {"reason": "over"})
    for answer in (
        operator.get(address(campaign, "resume")),
        operator.post(address(campaign, "resume"), {"reason": "again"}),
    ):
        assert answer.status_code == 409
        assert "is stopped" in text(answer)
    assert "/control/" not in text(operator.get(page_of(campaign)))


def test_a_campaign_with_open_work_does_not_complete(sign_in) -> None:
    campaign = make_campaign()
    task_in(TaskStatus.PENDING, campaign=campaign)
    answer = sign_in(OPERATOR).post(address(campaign, "complete"), {"reason": "done"})
    assert answer.status_code == 409
    assert "still has 1 open task" in text(answer)


@pytest.mark.parametrize("group", [REVIEWER, AUDITOR])
def test_without_the_permission_no_button_and_a_sentence(sign_in, group) -> None:
    client, campaign = sign_in(group), make_campaign()
    assert "/control/" not in text(client.get(page_of(campaign)))
    for verb in CampaignVerb:
        for answer in (client.get(address(campaign, verb)), client.post(address(campaign, verb), {"reason": "x"})):
            assert answer.status_code == 403
            assert "You may not control campaigns" in text(answer)
    assert Campaign.objects.get().status == CampaignStatus.ACTIVE


def test_a_halt_offers_the_pause_instead(sign_in) -> None:
    operator, campaign = sign_in(OPERATOR), make_campaign()
    page = text(operator.get(address(campaign, "halt")))
    assert f'formaction="{address(campaign, "pause")}"' in page
    operator.post(address(campaign, "pause"), {"reason": "let it finish"})
    assert "formaction" not in text(operator.get(address(campaign, "halt")))


@pytest.mark.parametrize("path", ["control/erase/", "control/pause/"])
def test_unknown_verbs_and_campaigns_are_not_found(sign_in, path) -> None:
    key = make_campaign().pk if "erase" in path else "019a0000-0000-7000-8000-000000000000"
    assert sign_in(OPERATOR).get(f"/admin/campaigns/campaign/{key}/{path}").status_code == 404


def test_the_consequences_are_counted() -> None:
    campaign, agent = make_campaign(), factories.make_agent()
    for status in (TaskStatus.IN_PROGRESS, TaskStatus.IN_PROGRESS, TaskStatus.PENDING):
        task_in(status, campaign=campaign, agent=agent)
    factories.waiting_item(campaign=campaign)
    posts = factories.queued_posts(campaign=campaign)
    posts[0].change("claim", lease_id=campaign.pk, lease_expires_at=timezone.now() + timedelta(minutes=5))
    told = {row.what: row.word for row in consequences(campaign, CampaignVerb.HALT)}
    assert told == {
        "2 tasks in progress at 1 agent": "cut off",
        "1 pending task": "wait",
        "1 post queued, 1 due now": "held",
        "1 post with a publisher right now": "may still appear",
        "1 review open": "go on",
    }
    assert Task.objects.filter(status=TaskStatus.IN_PROGRESS).count() == 2  # counted, not done


def test_every_verb_has_its_consequences() -> None:
    assert set(FATES) == set(CampaignVerb)
    assert set().union(*(fates.keys() for fates in FATES.values())) == set(WORDS)


def test_a_resume_asks_what_becomes_of_overdue_posts_and_does_it(sign_in) -> None:
    operator, campaign = sign_in(OPERATOR), make_campaign()
    factories.queued_posts(campaign=campaign)
    operator.post(address(campaign, "pause"), {"reason": "lunch"})
    assert "2 posts became overdue meanwhile" in text(operator.get(address(campaign, "resume")))
    unsaid = operator.post(address(campaign, "resume"), {"reason": "back"})
    assert (unsaid.status_code, "2 posts have become overdue" in text(unsaid)) == (422, True)
    odd = operator.post(address(campaign, "resume"), {"reason": "back", "backlog": "burn"})
    assert (odd.status_code, "Choose what becomes of the posts" in text(odd)) == (422, True)
    operator.post(address(campaign, "resume"), {"reason": "back", "backlog": "drop"})
    campaign.refresh_from_db()
    assert campaign.status == CampaignStatus.ACTIVE
    assert set(campaign.publish_records.values_list("status", flat=True)) == {"failed"}


def test_a_campaign_says_what_its_budget_holds_back(sign_in) -> None:
    campaign = make_campaign(budget_cap_etb="10.00")
    factories.make_task(campaign=campaign, reserve_etb="10.00")
    assert "not handed out" not in text(sign_in(OPERATOR).get(page_of(campaign)))
    factories.make_task(campaign=campaign, reserve_etb="10.01")
    page = text(sign_in(OPERATOR).get(page_of(campaign)))
    assert "1 pending task</strong> is not handed out: it would pass the budget cap" in page
