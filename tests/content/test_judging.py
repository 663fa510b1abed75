"""What a judge decides leads where the campaign's review policy says; what no judge decides is asked of people."""

import hashlib
from collections import Counter
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from audit.choices import ActorType
from audit.context import Actor
from audit.errors import Conflict
from audit.models import AuditLog
from campaigns.choices import CampaignVerb
from campaigns.services import control_campaign, halt_everything
from config.groups import OPERATOR, REVIEWER
from content.choices import Decision, NextAction, ReviewReason
from content.models import Artifact, JudgeLease, PublishRecord, ReviewDecision, ReviewItem
from content.services import (
    ask_people_for_judges,
    claim_artifacts,
    decide_artifact,
    decide_review_item,
    follow_decisions,
    mark_overdue_items,
    settle_decisions,
    submit_artifact,
)
from tests.concurrency import together
from tests.factories import (
    claimed_task,
    judged,
    make_agent,
    make_artifact,
    make_campaign,
    make_judge,
    make_user,
    waiting_item,
    worker,
)

CLOCK = Actor.system("run_due")


def claim(judge: Any, **options: Any) -> list[JudgeLease]:
    return claim_artifacts(judge=judge, actor=Actor(ActorType.JUDGE, judge.pk), **options)


def decide(lease: JudgeLease, judge: Any, decision: str = Decision.APPROVE, **given: Any) -> ReviewDecision:
    return decide_artifact(
        artifact=lease.artifact,
        judge=judge,
        decision=decision,
        confidence=Decimal("0.95"),
        reasons=["on brief"],
        actor=Actor(ActorType.JUDGE, judge.pk),
        lease_id=lease.lease_id,
        **given,
    )


@pytest.mark.django_db
def test_what_nobody_judged_is_handed_out_once_and_decided_under_its_lease() -> None:
    artifact, judge, other = make_artifact(), make_judge(), make_agent("judge-9")
    (lease,) = claim(judge, limit=5)
    assert (lease.artifact_id, lease.agent_id) == (artifact.pk, judge.pk)
    assert claim(other, limit=5) == []
    with pytest.raises(Conflict, match="not under this lease"):
        decide_artifact(
            artifact=artifact,
            judge=other,
            decision=Decision.APPROVE,
            confidence=Decimal(1),
            reasons=["-"],
            actor=CLOCK,
        )
    assert decide(lease, judge).next_action == NextAction.PUBLISH
    assert claim(judge, limit=5) == []
    told = AuditLog.objects.get(entity_type="judge_lease")
    assert (told.action, told.trace_id, told.changes["agent_id"]) == ("claim", artifact.task.trace_id, [None, judge.pk])


@pytest.mark.django_db
def test_a_lease_that_ended_decides_nothing_and_another_judge_takes_over() -> None:
    make_artifact()
    judge, other = make_judge(), make_agent("judge-9")
    (lease,) = claim(judge)
    lease.change("test", lease_expires_at=timezone.now() - timedelta(seconds=1))
    with pytest.raises(Conflict, match="lease on this artifact has ended"):
        decide(lease, judge)
    (again,) = claim(other)
    assert (again.pk, again.agent_id) == (lease.pk, other.pk)
    with pytest.raises(Conflict, match="not under this lease"):
        decide(lease, judge)
    assert decide(again, other).reviewer_id == other.pk


@pytest.mark.django_db
def test_a_judge_is_never_handed_its_own_work_nor_a_version_that_was_replaced() -> None:
    task = claimed_task()
    submit_artifact(task=task, artifact_type="text", content=b"first", actor=worker(task))
    second = make_artifact(task=task)
    assert claim(task.agent, limit=5) == []
    assert [lease.artifact_id for lease in claim(make_judge(), limit=5)] == [second.pk]


@pytest.mark.django_db
@pytest.mark.parametrize(("verb", "handed_out"), [(CampaignVerb.PAUSE, 1), (CampaignVerb.HALT, 0)])
def test_judging_goes_on_in_a_pause_and_not_in_a_halt(verb: CampaignVerb, handed_out: int) -> None:
    artifact, operator = make_artifact(), Actor.human(make_user(OPERATOR))
    control_campaign(verb, campaign_id=artifact.campaign_id, actor=operator, reason="because")
    assert len(claim(make_judge())) == handed_out


@pytest.mark.django_db
@pytest.mark.parametrize("resumed", [False, True])
def test_a_judge_that_began_before_a_halt_decides_nothing_after_it(resumed: bool) -> None:
    artifact, judge, operator = make_artifact(), make_judge(), Actor.human(make_user(OPERATOR))
    (lease,) = claim(judge)
    control_campaign(CampaignVerb.HALT, campaign_id=artifact.campaign_id, actor=operator, reason="because")
    if resumed:
        control_campaign(CampaignVerb.RESUME, campaign_id=artifact.campaign_id, actor=operator, reason="because")
    with pytest.raises(Conflict, match="lease on this artifact has ended" if resumed else "is halted"):
        decide(lease, judge)
    if resumed:
        (again,) = claim(judge)
        assert decide(again, judge).next_action == NextAction.PUBLISH


@pytest.mark.django_db(transaction=True)
def test_as_many_judges_as_artifacts_have_one_each() -> None:
    campaign = make_campaign()
    for _ in range(8):
        make_artifact(campaign=campaign)
    judges = [make_agent(f"judge-{number}") for number in range(8)]
    claimed = together(*[lambda judge=judge: claim(judge) for judge in judges])
    assert [len(leases) for leases in claimed] == [1] * 8


@pytest.mark.django_db
def test_a_halt_of_everything_hands_nothing_to_judges_and_asks_no_people() -> None:
    artifact = make_artifact()
    halt_everything(actor=Actor.human(make_user(OPERATOR)), reason="because")
    assert claim(make_judge()) == []
    waited(artifact, minutes=31)
    assert ask_people_for_judges(actor=CLOCK) == 0


@pytest.mark.django_db(transaction=True)
def test_every_artifact_goes_to_one_judge_however_many_ask() -> None:
    campaign = make_campaign()
    made = {make_artifact(campaign=campaign).pk for _ in range(20)}
    judges = [make_agent(f"judge-{number}") for number in range(4)]

    def work(judge: Any) -> list[Any]:
        mine = []
        while leases := claim(judge, limit=2):
            mine += [decide(lease, judge).artifact_id for lease in leases]
        return mine

    handed_out = Counter(
        key for mine in together(*[lambda judge=judge: work(judge) for judge in judges]) for key in mine
    )
    assert set(handed_out) == made
    assert set(handed_out.values()) == {1}


# --- The blind sample ------------------------------------------------------------------------------------------------


def sampling(share: object) -> Any:
    return make_campaign(constraints={"review_policy": {"blind_share": share}}, target_platforms=["tiktok"])


@pytest.mark.django_db
def test_the_blind_sample_holds_the_post_until_a_person_has_seen_it() -> None:
    decision = judged(confidence="0.99", campaign=sampling(1))
    item = ReviewItem.objects.get(artifact=decision.artifact)
    assert (item.reason, item.risk, decision.next_action) == (ReviewReason.BLIND_SAMPLE, 0, NextAction.HUMAN_REVIEW)
    assert not PublishRecord.objects.filter(artifact=decision.artifact).exists()
    person = Actor.human(make_user(REVIEWER))
    decide_review_item(item_id=item.pk, decision=Decision.APPROVE, reasons=[], actor=person)
    settle_decisions(actor=CLOCK, now=timezone.now() + timedelta(hours=1))
    post = PublishRecord.objects.get(artifact=decision.artifact)
    assert (post.status, post.decision.reviewer_type) == ("queued", "human")
    decision.task.refresh_from_db()
    assert decision.task.status == "done"


@pytest.mark.django_db
def test_the_draw_can_be_repeated_by_anybody_and_takes_about_its_share() -> None:
    campaign = sampling(0.3)
    drawn = 0
    for _ in range(40):
        artifact = judged(confidence="0.99", campaign=campaign).artifact
        place = int.from_bytes(hashlib.sha256(artifact.pk.bytes).digest()[:4], "big")
        expected = place < Decimal("0.3") * 2**32
        assert ReviewItem.objects.filter(artifact=artifact).exists() == expected
        drawn += expected
    assert 2 <= drawn <= 26  # forty draws of 0.3: outside once in ten thousand runs


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"decision": Decision.ESCALATE, "confidence": "0.99"}, ReviewReason.ESCALATED),
        ({"policy_hits": ["medical claims"], "confidence": "0.99"}, ReviewReason.POLICY_HIT),
        ({"confidence": "0.60"}, ReviewReason.LOW_CONFIDENCE),
    ],
)
def test_only_what_would_be_published_is_drawn(given: dict[str, Any], reason: str) -> None:
    decision = judged(**given, campaign=sampling(1))
    assert ReviewItem.objects.get(artifact=decision.artifact).reason == reason


# --- What time does --------------------------------------------------------------------------------------------------


def waited(artifact: Artifact, minutes: int) -> None:
    """As if its worker had been ready that long ago. (The time is stamped by the database: the policy is moved.)"""
    artifact.campaign.change("test", constraints={"review_policy": {"judge_minutes": 5, "blind_share": 0}})
    artifact.task.change("test", completed_at=timezone.now() - timedelta(minutes=minutes))


@pytest.mark.django_db
def test_what_no_judge_decides_in_time_is_asked_of_people() -> None:
    artifact, fresh, held = make_artifact(), make_artifact(), make_artifact()
    waited(artifact, minutes=6)
    waited(held, minutes=6)
    mine = next(lease for lease in claim(make_judge(), limit=9) if lease.artifact_id == held.pk)
    JudgeLease.objects.exclude(pk=mine.pk).change("test", lease_expires_at=timezone.now() - timedelta(seconds=1))
    assert ask_people_for_judges(actor=CLOCK) == 1
    item = ReviewItem.objects.get()
    assert (item.artifact_id, item.reason) == (artifact.pk, ReviewReason.NO_JUDGE)
    assert ask_people_for_judges(actor=CLOCK) == 0
    assert not ReviewItem.objects.filter(artifact=fresh).exists()
    with pytest.raises(Conflict, match="before people"):
        judged(artifact=artifact)
    held.task.change("test", completed_at=timezone.now() - timedelta(minutes=11))  # a judge that claims for ever
    assert ask_people_for_judges(actor=CLOCK) == 1


@pytest.mark.django_db
def test_an_overdue_item_is_written_down_once() -> None:
    item = waiting_item()
    assert mark_overdue_items(actor=CLOCK) == 0
    item.change("test", due_at=timezone.now() - timedelta(minutes=1))
    assert mark_overdue_items(actor=CLOCK) == 1
    assert mark_overdue_items(actor=CLOCK) == 0
    told = AuditLog.objects.get(action="overdue")
    assert (told.severity, told.entity_id) == ("warning", str(item.pk))


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("decision", "confidence", "next_action", "leads_to"),
    [
        ("approve", "0.99", "publish", "done"),
        ("approve", "0.50", "publish", "low_confidence"),
        ("approve", "0.99", "human_review", "escalated"),
        ("reject", "0.99", "retry", "failed"),
        ("escalate", "0.99", "human_review", "escalated"),
        ("approve", "0.99", "retry", "escalated"),
        ("reject", "0.99", "publish", "escalated"),
    ],
)
def test_decisions_in_plain_sql_lead_where_the_policy_says(
    decision: str, confidence: str, next_action: str, leads_to: str
) -> None:
    artifact = make_artifact()
    ReviewDecision.objects.create(
        task=artifact.task,
        artifact=artifact,
        decision=decision,
        confidence_score=Decimal(confidence),
        reasons=["-"],
        next_action=next_action,
        reviewer_type="judge",
        reviewer_id="judge-sql",
        artifact_sha256=artifact.content_sha256,
    )
    assert follow_decisions(actor=CLOCK) == 1
    assert follow_decisions(actor=CLOCK) == 0
    artifact.task.refresh_from_db()
    item = ReviewItem.objects.filter(artifact=artifact).first()
    assert leads_to in (artifact.task.status, item and item.reason)
    assert PublishRecord.objects.filter(artifact=artifact).exists() == (leads_to == "done")


@pytest.mark.django_db
@pytest.mark.parametrize("everything", [False, True])
def test_decisions_in_plain_sql_lead_nowhere_in_a_halt(everything: bool) -> None:
    artifact, operator = make_artifact(), Actor.human(make_user(OPERATOR))
    if everything:
        halt_everything(actor=operator, reason="because")
    else:
        control_campaign(CampaignVerb.HALT, campaign_id=artifact.campaign_id, actor=operator, reason="because")
    ReviewDecision.objects.create(
        task=artifact.task,
        artifact=artifact,
        decision=Decision.APPROVE,
        confidence_score=Decimal("0.99"),
        reasons=["-"],
        next_action=NextAction.PUBLISH,
        reviewer_type="judge",
        reviewer_id="judge-sql",
        artifact_sha256=artifact.content_sha256,
    )
    assert follow_decisions(actor=CLOCK) == 0
    artifact.task.refresh_from_db()
    assert artifact.task.status == "review"
