"""What an operator's verbs do, and to whom they are refused."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from audit.context import Actor
from audit.errors import Conflict, Invalid, NotAllowed
from audit.models import AuditLog
from campaigns.choices import CAMPAIGN_TRANSITIONS, VERB_FROM, CampaignStatus, CampaignVerb, TaskStatus
from campaigns.models import Campaign
from campaigns.services import (
    claim_tasks,
    complete_task,
    control_campaign,
    create_task,
    fail_task,
    possible_verbs,
    release_task,
    resume_due_campaigns,
)
from config.groups import AUDITOR, OPERATOR, REVIEWER
from content.choices import Hold, PublishStatus, ReviewItemStatus
from content.models import PublishRecord
from tests.factories import (
    claimed_task,
    make_artifact,
    make_campaign,
    make_task,
    make_user,
    queued_posts,
    task_in,
    waiting_item,
    worker,
)

pytestmark = pytest.mark.django_db


def control(verb: CampaignVerb, campaign: Campaign, group: str = OPERATOR, **arguments: Any) -> Campaign:
    arguments = {"actor": Actor.human(make_user(group)), "reason": "Wrong price."} | arguments
    return control_campaign(verb, campaign_id=campaign.pk, **arguments)


def in_status(status: CampaignStatus) -> Campaign:
    campaign = make_campaign(status=CampaignStatus.DRAFT if status == CampaignStatus.DRAFT else CampaignStatus.ACTIVE)
    return campaign if campaign.status == status else campaign.change("test", status=status)


@pytest.mark.parametrize("status", list(CampaignStatus))
@pytest.mark.parametrize("verb", list(CampaignVerb))
def test_a_verb_works_from_its_states_and_no_others(verb: CampaignVerb, status: CampaignStatus) -> None:
    campaign = in_status(status)
    if status in VERB_FROM[verb]:
        changed = control(verb, campaign)
        assert changed.status == status or changed.status in CAMPAIGN_TRANSITIONS[status]
        assert changed.control_reason == "Wrong price."
        assert AuditLog.objects.filter(entity_id=campaign.pk, action=verb).count() == 1
    else:
        with pytest.raises(Conflict, match=f"Campaign “{campaign.name}” is {campaign.state}; {verb} is possible only"):
            control(verb, campaign)


@pytest.mark.parametrize("group", ["", REVIEWER, AUDITOR])
@pytest.mark.parametrize("verb", list(CampaignVerb))
def test_without_the_permission_a_verb_is_refused_in_a_sentence(verb: CampaignVerb, group: str) -> None:
    campaign = make_campaign()
    with pytest.raises(NotAllowed, match=f"You may not {verb} campaigns"):
        control(verb, campaign, group)
    campaign.refresh_from_db()
    assert campaign.status == CampaignStatus.ACTIVE


@pytest.mark.parametrize("reason", ["", "   ", "a\x00b"])
def test_a_reason_is_required(reason: str) -> None:
    with pytest.raises(Invalid):
        control(CampaignVerb.PAUSE, make_campaign(), reason=reason)


def test_a_pause_lets_work_finish_and_starts_none() -> None:
    running = claimed_task()
    waiting = make_task(campaign=running.campaign, agent=running.agent)
    control(CampaignVerb.PAUSE, running.campaign)
    assert claim_tasks(agent=running.agent, actor=worker(running)) == []
    with pytest.raises(Conflict, match="nothing to review yet"):
        complete_task(task=running, actor=worker(running))
    assert make_artifact(task=running).task.status == TaskStatus.REVIEW
    waiting.refresh_from_db()
    assert waiting.status == TaskStatus.PENDING


def test_a_halt_cuts_work_off_and_has_it_done_again() -> None:
    running = claimed_task(max_attempts=1)
    halted = control(CampaignVerb.HALT, running.campaign)
    assert (halted.state, halted.epoch, possible_verbs(halted)) == (
        "halted",
        1,
        [CampaignVerb.RESUME, CampaignVerb.COMPLETE, CampaignVerb.STOP],
    )
    with pytest.raises(Conflict, match="no longer yours"):
        complete_task(task=running, actor=worker(running))
    control(CampaignVerb.RESUME, running.campaign)
    (again,) = claim_tasks(agent=running.agent, actor=worker(running))
    assert (again.parent_task_id, again.trace_id, again.attempt) == (running.pk, running.trace_id, 1)
    assert again.lease_epoch == 1
    assert again.tries_left == running.tries_left  # being cut off has used up no try


def test_a_post_that_is_with_a_publisher_has_an_unknown_outcome_after_a_halt() -> None:
    held, free = queued_posts()
    held.change("claim", lease_id=held.pk, lease_expires_at=timezone.now() + timedelta(minutes=5))
    control(CampaignVerb.HALT, held.campaign)
    held.refresh_from_db()
    free.refresh_from_db()
    assert (held.hold, held.lease_id, held.lease_epoch) == (Hold.OUTCOME_UNKNOWN, None, 0)
    assert (free.hold, free.status) == (None, PublishStatus.QUEUED)


def test_a_stop_ends_everything_that_is_open() -> None:
    item = waiting_item()
    campaign = item.campaign
    queued = queued_posts(campaign=campaign)
    tasks = [task_in(status, campaign=campaign) for status in (TaskStatus.PENDING, TaskStatus.IN_PROGRESS)]
    control(CampaignVerb.STOP, campaign)
    for task in (item.task, *tasks):
        task.refresh_from_db()
        assert (task.status, task.error) == (TaskStatus.FAILED, "The campaign was stopped: Wrong price.")
    item.refresh_from_db()
    assert item.status == ReviewItemStatus.WITHDRAWN
    assert set(PublishRecord.objects.filter(pk__in=[r.pk for r in queued]).values_list("status", flat=True)) == {
        "failed"
    }
    assert not campaign.tasks.open().exists()
    with pytest.raises(Conflict, match="takes no more work"):
        create_task(
            campaign=Campaign.objects.get(pk=campaign.pk),
            agent=tasks[0].agent,
            task_type="draft_post",
            context={},
            actor=Actor.system("test"),
        )


def test_complete_loses_nothing() -> None:
    task = make_task()
    with pytest.raises(Conflict, match="still has 1 open task"):
        control(CampaignVerb.COMPLETE, task.campaign)
    fail_task(task=claim_tasks(agent=task.agent, actor=worker(task))[0], actor=worker(task), error="x", retryable=False)
    assert control(CampaignVerb.COMPLETE, task.campaign).status == CampaignStatus.COMPLETED


def test_a_pause_ends_by_itself() -> None:
    campaign, later = make_campaign(), make_campaign()
    soon = timezone.now() + timedelta(hours=1)
    control(CampaignVerb.PAUSE, campaign, resume_at=soon)
    control(CampaignVerb.PAUSE, later)
    actor = Actor.system("run_due")
    assert resume_due_campaigns(actor=actor) == 0
    campaign.change("test", resume_at=timezone.now() - timedelta(seconds=1))
    assert resume_due_campaigns(actor=actor) == 1
    campaign.refresh_from_db()
    assert (campaign.status, campaign.resume_at) == (CampaignStatus.ACTIVE, None)
    with pytest.raises(Invalid, match="has passed already"):
        control(CampaignVerb.PAUSE, campaign, resume_at=timezone.now())


def test_every_row_that_a_verb_changes_has_exactly_one_audit_row_on_its_own_trace() -> None:
    running = claimed_task()
    campaign, boss = running.campaign, make_user(OPERATOR)
    before = set(AuditLog.objects.values_list("pk", flat=True))
    control(CampaignVerb.HALT, campaign, actor=Actor.human(boss))
    rows = AuditLog.objects.exclude(pk__in=before).exclude(entity_type="user")
    assert sorted(rows.values_list("entity_type", "action")) == [
        ("campaign", "halt"),
        ("task", "create"),
        ("task", "halt"),
    ]
    for row in rows:
        assert (row.actor_type, row.actor_id, row.campaign_id) == ("human", f"user:{boss.pk}", campaign.pk)
    assert {row.trace_id for row in rows if row.entity_type == "task"} == {running.trace_id}
    assert rows.get(entity_type="campaign").changes["epoch"] == [0, 1]


def test_claims_go_by_rank_and_then_by_age() -> None:
    first = make_task(priority="low")
    rest = [make_task(campaign=first.campaign, agent=first.agent, priority=rank) for rank in ("medium", "high", "high")]
    order = [task.pk for task in claim_tasks(agent=first.agent, actor=worker(first), limit=10)]
    assert order == [rest[1].pk, rest[2].pk, rest[0].pk, first.pk]


@pytest.mark.parametrize(
    "blocked",
    [
        {"start_time": timezone.now() + timedelta(hours=1)},
        {"end_time": timezone.now() - timedelta(hours=1)},
        {"status": CampaignStatus.DRAFT},
    ],
)
def test_nothing_is_handed_out_outside_of_the_campaigns_time(blocked: dict[str, Any]) -> None:
    task = make_task(campaign=make_campaign(**blocked))
    assert claim_tasks(agent=task.agent, actor=worker(task)) == []


def test_a_global_halt_and_a_suspended_agent_get_nothing() -> None:
    from campaigns.models import SystemControl

    task = make_task()
    SystemControl.objects.get().change("halt", halted=True)
    assert claim_tasks(agent=task.agent, actor=worker(task)) == []
    SystemControl.objects.get().change("resume", halted=False)
    suspended = task.agent.change("suspend", status="suspended")
    assert claim_tasks(agent=suspended, actor=worker(task)) == []


def test_a_failed_attempt_is_followed_by_another_until_none_is_left() -> None:
    task = claimed_task(max_attempts=3)
    attempts, delays = [task.attempt], []
    while (following := fail_task(task=task, actor=worker(task), error="The model timed out.")[1]) is not None:
        attempts.append(following.attempt)
        assert following.not_before is not None
        delays.append(following.not_before - timezone.now())
        following = following.change("test", not_before=None)
        (task,) = claim_tasks(agent=following.agent, actor=worker(following))
        assert task.trace_id == following.trace_id
    assert attempts == [0, 1, 2]
    assert delays == sorted(delays)


def test_a_task_that_is_given_back_can_be_claimed_again() -> None:
    task = claimed_task()
    release_task(task=task, actor=worker(task))
    with pytest.raises(Conflict):
        complete_task(task=task, actor=worker(task))
    (again,) = claim_tasks(agent=task.agent, actor=worker(task))
    assert (again.pk, again.attempt) == (task.pk, 0)
    assert again.lease_id != task.lease_id
