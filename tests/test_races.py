"""Two people, or two workers, never both win. Each race is run in both orders, on real connections."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.utils import timezone

from audit.context import Actor
from audit.errors import Conflict, Refused
from audit.models import AuditLog
from campaigns.choices import CampaignStatus, CampaignVerb, TaskStatus
from campaigns.models import Campaign, Task
from campaigns.services import claim_tasks, complete_task, control_campaign
from config.groups import ADMINISTRATOR, OPERATOR, REVIEWER
from content.choices import Decision, PublishStatus, ReviewItemStatus
from content.models import Artifact, PublishRecord, ReviewDecision, ReviewItem
from content.services import decide_review_item, publish_failed, settle_decisions, submit_artifact, undo_decision
from content.services.adoption import Post, adopt_posts, adopting_agent, campaign_to_adopt_into
from tests.concurrency import one_then_other, together
from tests.factories import (
    claimed_post,
    claimed_task,
    decided_item,
    make_agent,
    make_campaign,
    make_task,
    make_user,
    waiting_item,
    worker,
)

pytestmark = pytest.mark.django_db(transaction=True)


def decide(item: ReviewItem, person: Any, decision: str = Decision.APPROVE) -> Any:
    actor = Actor.human(person)
    return lambda: decide_review_item(item_id=item.pk, decision=decision, reasons=["Read it."], actor=actor)


def control(verb: CampaignVerb, campaign_id: UUID, person: Any) -> Any:
    actor = Actor.human(person)
    return lambda: control_campaign(verb, campaign_id=campaign_id, actor=actor, reason="Wrong price.")


@pytest.mark.parametrize("later", [Decision.APPROVE, Decision.REJECT, Decision.ESCALATE])
@pytest.mark.parametrize("sooner", [Decision.APPROVE, Decision.REJECT, Decision.ESCALATE])
def test_two_people_decide_one_item(sooner: str, later: str) -> None:
    item, rahel, other = waiting_item(), make_user(REVIEWER, display_name="Rahel"), make_user(REVIEWER)
    won, lost = one_then_other(decide(item, rahel, sooner), decide(item, other, later))
    assert isinstance(won, ReviewDecision)
    assert isinstance(lost, Conflict)
    assert f"Rahel decided to {sooner}" in lost.sentence
    assert ReviewDecision.objects.filter(artifact=item.artifact, reviewer_type="human").get() == won
    assert AuditLog.objects.filter(entity_type="review_item", entity_id=item.pk, action=sooner).count() == 1


def test_ten_people_decide_at_the_same_instant() -> None:
    item = waiting_item()
    people = [make_user(REVIEWER) for _ in range(10)]
    results = together(*(decide(item, person) for person in people))
    assert sum(isinstance(result, ReviewDecision) for result in results) == 1
    assert sum(isinstance(result, Conflict) for result in results) == 9
    assert PublishRecord.objects.filter(artifact=item.artifact).count() == 2  # one for each platform


@pytest.mark.parametrize("verb", [CampaignVerb.STOP, CampaignVerb.HALT, CampaignVerb.PAUSE])
def test_a_decision_and_a_control_verb(verb: CampaignVerb) -> None:
    item, boss = waiting_item(), make_user(ADMINISTRATOR)
    decided, controlled = one_then_other(decide(item, boss), control(verb, item.campaign_id, boss))
    assert isinstance(decided, ReviewDecision)
    assert isinstance(controlled, Campaign)
    records = PublishRecord.objects.filter(artifact=item.artifact).values_list("status", flat=True)
    expected = PublishStatus.FAILED if verb == CampaignVerb.STOP else PublishStatus.QUEUED
    assert set(records) == {expected}


def test_a_stop_and_then_a_decision() -> None:
    item, boss = waiting_item(), make_user(ADMINISTRATOR)
    stopped, refused = one_then_other(control(CampaignVerb.STOP, item.campaign_id, boss), decide(item, boss))
    assert isinstance(stopped, Campaign)
    assert isinstance(refused, Conflict)
    item.refresh_from_db()
    assert item.status == ReviewItemStatus.WITHDRAWN
    assert not PublishRecord.objects.filter(artifact=item.artifact).exists()


def test_two_workers_claim_one_task() -> None:
    task = make_task()
    claims = together(*[lambda: claim_tasks(agent=task.agent, actor=worker(task))] * 4)
    assert sorted(len(claim) for claim in claims) == [0, 0, 0, 1]


def test_workers_share_a_queue_without_doing_anything_twice() -> None:
    campaign, agent = make_campaign(), make_agent()
    planned = {make_task(campaign=campaign, agent=agent).pk for _ in range(40)}
    claims = together(*[lambda: claim_tasks(agent=agent, actor=Actor.system("test"), limit=10)] * 4)
    claimed = [task.pk for claim in claims for task in claim]
    assert len(claimed) == len(set(claimed))
    rest = claim_tasks(agent=agent, actor=Actor.system("test"), limit=100)  # what lost a race is still to be had
    assert {*claimed, *(task.pk for task in rest)} == planned


@pytest.mark.parametrize("verb", [CampaignVerb.PAUSE, CampaignVerb.HALT, CampaignVerb.STOP])
def test_a_claim_and_a_control_verb(verb: CampaignVerb) -> None:
    task, boss = make_task(), make_user(OPERATOR)
    claimed, controlled = one_then_other(
        lambda: claim_tasks(agent=task.agent, actor=worker(task)), control(verb, task.campaign_id, boss)
    )
    assert [one.pk for one in claimed] == [task.pk]
    assert isinstance(controlled, Campaign)
    task.refresh_from_db()
    # The verb waited for the claim and so saw it: a pause lets it finish, the others cut it off.
    assert task.status == (TaskStatus.IN_PROGRESS if verb == CampaignVerb.PAUSE else TaskStatus.FAILED)


@pytest.mark.parametrize("verb", [CampaignVerb.PAUSE, CampaignVerb.HALT, CampaignVerb.STOP])
def test_a_control_verb_and_then_a_claim(verb: CampaignVerb) -> None:
    task, boss = make_task(), make_user(OPERATOR)
    _, claimed = one_then_other(
        control(verb, task.campaign_id, boss), lambda: claim_tasks(agent=task.agent, actor=worker(task))
    )
    assert claimed == []


def submit(task: Task) -> Any:
    return lambda: submit_artifact(task=task, artifact_type="text", content=b"Late.", actor=worker(task))


def test_a_halt_and_then_a_late_artifact() -> None:
    task, boss = claimed_task(), make_user(OPERATOR)
    _, late = one_then_other(control(CampaignVerb.HALT, task.campaign_id, boss), submit(task))
    assert isinstance(late, Conflict)
    assert not Artifact.objects.filter(task=task).exists()


def test_an_artifact_and_then_a_halt() -> None:
    task, boss = claimed_task(), make_user(OPERATOR)
    made, halted = one_then_other(submit(task), control(CampaignVerb.HALT, task.campaign_id, boss))
    assert isinstance(made, Artifact)
    assert halted.halted_at
    with pytest.raises(Conflict):
        complete_task(task=task, actor=worker(task))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (CampaignVerb.PAUSE, CampaignVerb.STOP),
        (CampaignVerb.STOP, CampaignVerb.PAUSE),
        (CampaignVerb.HALT, CampaignVerb.HALT),
    ],
)
def test_two_operators_at_once(first: CampaignVerb, second: CampaignVerb) -> None:
    campaign, boss, other = make_campaign(), make_user(OPERATOR), make_user(OPERATOR)
    one, two = one_then_other(control(first, campaign.pk, boss), control(second, campaign.pk, other))
    assert isinstance(one, Campaign)
    campaign.refresh_from_db()
    if first == CampaignVerb.PAUSE:
        assert campaign.status == CampaignStatus.STOPPED
    else:
        assert isinstance(two, Conflict)
        assert campaign.controlled_by == boss


@pytest.mark.parametrize("undo_first", [True, False])
def test_undo_and_settle(undo_first: bool) -> None:
    person = make_user(REVIEWER)
    item = decided_item(person=person)

    def undo() -> Any:
        return undo_decision(item_id=item.pk, actor=Actor.human(person))

    def settle() -> Any:
        return settle_decisions(actor=Actor.system("run_due"), now=timezone.now() + timedelta(hours=1))

    first, second = one_then_other(undo, settle) if undo_first else one_then_other(settle, undo)
    item.refresh_from_db()
    item.task.refresh_from_db()
    if undo_first:
        assert (first.pk, second, item.status) == (item.pk, 0, ReviewItemStatus.OPEN)
        assert item.task.status == TaskStatus.REVIEW
    else:
        assert first == 1
        assert isinstance(second, Refused)
        assert item.task.status == TaskStatus.DONE


def test_two_settle_at_once_settle_each_decision_once() -> None:
    person = make_user(REVIEWER)
    items = [decided_item(person=person, decision=Decision.REJECT) for _ in range(5)]
    later = timezone.now() + timedelta(hours=1)
    counts = together(*[lambda: settle_decisions(actor=Actor.system("run_due"), now=later)] * 3)
    assert sum(counts) == 5
    assert Task.objects.filter(parent_task__in=[item.task_id for item in items]).count() == 5


def test_a_stop_and_posts_that_are_being_settled() -> None:
    record, boss = claimed_post(), make_user(OPERATOR)
    _, late = one_then_other(
        control(CampaignVerb.STOP, record.campaign_id, boss),
        lambda: publish_failed(record=record, error="timeout", actor=Actor.system("publisher")),
    )
    assert isinstance(late, Conflict)


def test_two_adoptions_of_one_file() -> None:
    actor = Actor.system("adopt_posts")
    campaign, _ = campaign_to_adopt_into(name="Trending", platform="youtube", actor=actor)
    agent = adopting_agent(platform="youtube", actor=actor)
    posts = [Post(f"-id{n}", f"Title {n}", "Channel", timezone.now()) for n in range(30)]
    counts = together(
        *[lambda: adopt_posts(campaign=campaign, agent=agent, platform="youtube", posts=posts, actor=actor)] * 3
    )
    assert sorted(counts) == [0, 0, 30]
    assert PublishRecord.objects.count() == 30
