"""What a judge's decision leads to, what people decide, and what is refused to whom."""

import hashlib
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from agents.models import Agent
from audit.context import Actor
from audit.errors import Conflict, Invalid, NotAllowed
from audit.models import AuditLog
from campaigns.choices import TaskStatus
from campaigns.models import Task
from config.groups import ADMINISTRATOR, AUDITOR, OPERATOR, REVIEWER
from content.choices import Decision, NextAction, PublishStatus, ReviewItemStatus, ReviewReason
from content.models import Artifact, PublishRecord, ReviewDecision, ReviewItem
from content.services import (
    claim_posts,
    decide_review_item,
    follow_decisions,
    publish_succeeded,
    settle_decisions,
    submit_artifact,
    undo_decision,
)
from content.services.policy import ReviewPolicy
from tests.factories import (
    PLANNER,
    claimed_post,
    claimed_task,
    decided_item,
    judged,
    make_agent,
    make_artifact,
    make_campaign,
    make_judge,
    make_user,
    queued_posts,
    waiting_item,
    worker,
)

pytestmark = pytest.mark.django_db
CLOCK = Actor.system("run_due")


def decide(
    item: ReviewItem, decision: str, person: Any = None, reasons: tuple[str, ...] = ("Read it.",), **seen: Any
) -> ReviewDecision:
    actor = Actor.human(person or make_user(REVIEWER))
    return decide_review_item(item_id=item.pk, decision=decision, reasons=reasons, actor=actor, **seen)


def settle() -> int:
    return settle_decisions(actor=CLOCK, now=timezone.now() + timedelta(hours=1))


@pytest.mark.parametrize(
    ("decision", "confidence", "hits", "next_action", "reason"),
    [
        (Decision.APPROVE, "0.850", [], NextAction.PUBLISH, None),
        (Decision.APPROVE, "0.849", [], NextAction.HUMAN_REVIEW, ReviewReason.LOW_CONFIDENCE),
        (Decision.APPROVE, "0.990", ["medical claims"], NextAction.HUMAN_REVIEW, ReviewReason.POLICY_HIT),
        (Decision.ESCALATE, "0.990", [], NextAction.HUMAN_REVIEW, ReviewReason.ESCALATED),
        (Decision.REJECT, "0.300", [], NextAction.RETRY, None),
    ],
)
def test_where_a_judges_decision_leads(
    decision: str, confidence: str, hits: list[str], next_action: str, reason: str | None
) -> None:
    decided = judged(decision=decision, confidence=confidence, policy_hits=hits)
    assert decided.next_action == next_action
    decided.task.refresh_from_db()
    if reason:
        assert ReviewItem.objects.get(artifact=decided.artifact).reason == reason
        assert decided.task.status == TaskStatus.REVIEW
    elif decision == Decision.APPROVE:
        assert decided.task.status == TaskStatus.DONE
        assert set(decided.publish_records.values_list("platform", "status")) == {
            ("tiktok", "queued"),
            ("instagram", "queued"),
        }
    else:
        assert decided.task.status == TaskStatus.FAILED
        retry = Task.objects.get(parent_task=decided.task)
        assert retry.context["feedback"] == "claim softened, source dated"


@pytest.mark.parametrize(
    ("constraints", "expected"),
    [
        (None, "0.850"),
        ({"review_policy": {"approve_threshold": 0.5}}, "0.5"),
        ({"review_policy": {"approve_threshold": "high"}}, "0.850"),
        ({"review_policy": {"approve_threshold": 7}}, "0.850"),
        ({"review_policy": {"approve_threshold": True}}, "0.850"),
        ({"review_policy": []}, "0.850"),
        ([1, 2], "0.850"),
    ],
)
def test_the_review_policy_is_the_campaigns_or_the_default(constraints: Any, expected: str) -> None:
    assert str(ReviewPolicy.of(make_campaign(constraints=constraints)).approve_threshold) == expected


def test_an_approval_queues_the_posts_and_lets_them_leave_after_the_undo_time(settings: Any) -> None:
    item = waiting_item()
    decided = decide(item, Decision.APPROVE)
    records = PublishRecord.objects.filter(artifact=item.artifact)
    assert {(r.platform, r.status, r.decision_id, r.content_sha256) for r in records} == {
        (platform, PublishStatus.QUEUED, decided.pk, item.artifact.content_sha256)
        for platform in ("tiktok", "instagram")
    }
    undo_time = timedelta(seconds=settings.REVIEW_UNDO_SECONDS)
    assert {r.scheduled_for for r in records} == {decided.created_at + undo_time}
    assert (decided.confidence_score, decided.reviewer_type) == (1, "human")
    item.task.refresh_from_db()
    assert item.task.status == TaskStatus.REVIEW
    assert settle_decisions(actor=CLOCK) == 0
    assert settle() == 1
    assert settle() == 0
    item.task.refresh_from_db()
    assert item.task.status == TaskStatus.DONE
    assert records.count() == 2


def test_a_rejection_goes_back_to_its_maker_with_the_reasons() -> None:
    item = waiting_item()
    decide(item, Decision.REJECT, reasons=("No source for the price.", " "))
    assert settle() == 1
    item.task.refresh_from_db()
    assert (item.task.status, item.task.error) == (TaskStatus.FAILED, "Rejected: No source for the price.")
    retry = Task.objects.get(parent_task=item.task)
    assert (retry.agent_id, retry.trace_id) == (item.task.agent_id, item.task.trace_id)
    assert retry.context["feedback"] == "No source for the price."


def test_the_retry_of_version_one_is_version_two() -> None:
    first = make_artifact()
    judged(artifact=first, decision=Decision.REJECT)
    retry = Task.objects.get(parent_task=first.task).change("test", not_before=None)
    from campaigns.services import claim_tasks

    (task,) = claim_tasks(agent=retry.agent, actor=worker(retry))
    second = submit_artifact(task=task, artifact_type="text", content=b"Better.", actor=worker(task))
    assert (first.version, second.version) == (1, 2)


def test_an_escalation_waits_for_another_person() -> None:
    item, first = waiting_item(), make_user(REVIEWER)
    decide(item, Decision.ESCALATE, first)
    second_level = ReviewItem.objects.open().get(artifact=item.artifact)
    assert (second_level.level, second_level.reason) == (2, ReviewReason.ESCALATED)
    with pytest.raises(NotAllowed, match="wants another person"):
        decide(second_level, Decision.APPROVE, first)
    decide(second_level, Decision.APPROVE)
    assert settle() == 1


@pytest.mark.parametrize("decision", [Decision.REJECT, Decision.ESCALATE])
@pytest.mark.parametrize("reasons", [(), ("  ",)])
def test_reasons_are_required_to_reject_and_to_escalate(decision: str, reasons: tuple[str, ...]) -> None:
    with pytest.raises(Invalid, match=f"Say why you {decision} it"):
        decide(waiting_item(), decision, reasons=reasons)


@pytest.mark.parametrize("reasons", [("a\x00b",)])
def test_what_cannot_be_stored_is_refused(reasons: tuple[str, ...]) -> None:
    with pytest.raises(Invalid, match="NUL"):
        decide(waiting_item(), Decision.REJECT, reasons=reasons)
    with pytest.raises(Invalid, match="not a decision"):
        decide(waiting_item(), "burn")


@pytest.mark.parametrize("group", ["", OPERATOR, AUDITOR])
def test_without_the_permission_nobody_decides(group: str) -> None:
    item = waiting_item()
    with pytest.raises(NotAllowed, match="You may not decide"):
        decide(item, Decision.APPROVE, make_user(group))
    assert not ReviewDecision.objects.filter(artifact=item.artifact, reviewer_type="human").exists()


def test_nobody_approves_what_they_planned_or_what_their_agent_made() -> None:
    person = make_user(ADMINISTRATOR)
    planned = waiting_item(actor=Actor.human(person))
    owned = waiting_item(agent=make_agent(owner=person))
    for item in (planned, owned):
        with pytest.raises(NotAllowed, match="somebody else approves"):
            decide(item, Decision.APPROVE, person)
        with pytest.raises(IntegrityError) as refused, transaction.atomic():  # the database says so too
            ReviewDecision.objects.create(
                task=item.task,
                artifact=item.artifact,
                decision=Decision.APPROVE,
                confidence_score=1,
                reasons=[],
                next_action=NextAction.PUBLISH,
                reviewer_type="human",
                reviewer_id=f"user:{person.pk}",
            )
        assert refused.value.__cause__.diag.constraint_name == "review_decision_not_by_maker"  # type: ignore[union-attr]
    assert decide(planned, Decision.REJECT, person)  # turning one's own work down is nobody's loss


def test_a_judge_does_not_decide_on_its_own_work() -> None:
    artifact = make_artifact()
    with pytest.raises(NotAllowed, match="its own work"):
        judged(artifact=artifact, judge=artifact.task.agent)


def test_a_stale_page_is_told() -> None:
    item = waiting_item()
    with pytest.raises(Conflict, match="has changed since you opened it"):
        decide(item, Decision.APPROVE, seen_version=item.version + 1)
    with pytest.raises(Conflict, match="has changed since you opened it"):
        decide(item, Decision.APPROVE, seen_sha256="0" * 64)
    assert decide(item, Decision.APPROVE, seen_version=item.version, seen_sha256=item.artifact.content_sha256)


def test_a_reference_whose_hash_nobody_gave_cannot_be_approved() -> None:
    item = waiting_item(content_ref="https://example.org/reel.mp4")
    with pytest.raises(Conflict, match="Nobody gave the hash"):
        decide(item, Decision.APPROVE)
    known = waiting_item(content_ref="https://example.org/reel.mp4", content_sha256=hashlib.sha256(b"reel").hexdigest())
    assert decide(known, Decision.APPROVE)


def test_undo_drops_the_posts_and_the_item_waits_again() -> None:
    person = make_user(REVIEWER)
    item = decided_item(person=person)
    undone = undo_decision(item_id=item.pk, actor=Actor.human(person))
    assert (undone.status, undone.undone_by, undone.version) == (ReviewItemStatus.OPEN, person, 2)
    assert set(PublishRecord.objects.values_list("status", flat=True)) == {PublishStatus.FAILED}
    assert settle() == 0
    decide(undone, Decision.APPROVE, person)
    assert PublishRecord.objects.queued().count() == 2
    assert settle() == 1


def test_only_the_one_who_decided_undoes_and_only_in_time(settings: Any) -> None:
    person = make_user(REVIEWER)
    item = decided_item(person=person)
    with pytest.raises(NotAllowed, match="Only the person who decided"):
        undo_decision(item_id=item.pk, actor=Actor.human(make_user(REVIEWER)))
    settings.REVIEW_UNDO_SECONDS = 0
    with pytest.raises(Conflict, match="is over"):
        undo_decision(item_id=item.pk, actor=Actor.human(person))


def test_an_escalation_that_is_undone_takes_the_second_level_back() -> None:
    person = make_user(REVIEWER)
    item = decided_item(Decision.ESCALATE, person=person)
    undo_decision(item_id=item.pk, actor=Actor.human(person))
    assert ReviewItem.objects.open().get(artifact=item.artifact).level == 1


def test_what_a_judge_left_to_people_in_plain_sql_is_put_before_them() -> None:
    artifact = make_artifact()
    make_judge()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO review_decision (task_id, artifact_id, decision, confidence_score, reasons, next_action,"
            " reviewer_type, reviewer_id) VALUES (%s, %s, 'approve', 0.4, '[]', 'human_review', 'judge', 'judge-2')",
            [artifact.task_id, artifact.pk],
        )
    assert follow_decisions(actor=CLOCK) == 1
    assert follow_decisions(actor=CLOCK) == 0
    item = ReviewItem.objects.get(artifact=artifact)
    assert (item.reason, str(item.risk)) == (ReviewReason.LOW_CONFIDENCE, "0.600")


@pytest.mark.parametrize("decision", list(Decision))
def test_a_judge_does_not_decide_what_people_were_asked(decision: str) -> None:
    waiting = waiting_item()
    decided = decided_item(person=make_user(REVIEWER))
    for item in (waiting, decided):
        with pytest.raises(Conflict, match="a judge no longer decides"):
            judged(artifact=item.artifact, decision=decision, confidence="0.99")
        item.task.refresh_from_db()
        assert item.task.status == TaskStatus.REVIEW


def test_of_two_versions_the_newer_one_is_decided() -> None:
    task = claimed_task()
    older = submit_artifact(task=task, artifact_type="text", content=b"First.", actor=worker(task))
    newer = make_artifact(task=task, content=b"Second.")
    with pytest.raises(Conflict, match="a newer version"):
        judged(artifact=older, confidence="0.99")
    assert judged(artifact=newer, confidence="0.99").next_action == NextAction.PUBLISH
    newer.task.refresh_from_db()
    assert newer.task.status == TaskStatus.DONE
    assert not PublishRecord.objects.filter(artifact=older).exists()


def test_a_judge_that_is_suspended_decides_nothing() -> None:
    judge = make_judge()
    Agent.objects.filter(pk=judge.pk).change("suspend", status="suspended")
    with pytest.raises(NotAllowed, match="is not active"):
        judged(judge=judge)


def two_artifacts() -> tuple[Artifact, Artifact]:
    """A text and an image of one task, both in review."""
    task = claimed_task()
    image = submit_artifact(task=task, artifact_type="image", content=b"png", actor=worker(task))
    return make_artifact(task=task), image


def test_a_task_is_done_when_everything_that_it_made_is_approved() -> None:
    text, image = two_artifacts()
    judged(artifact=text, confidence="0.99")
    text.task.refresh_from_db()
    assert text.task.status == TaskStatus.REVIEW
    assert claim_posts(platform="tiktok", actor=CLOCK, limit=9) == []  # no part leaves before the others
    decide(waiting_item(artifact=image), Decision.APPROVE)
    assert settle() == 1
    text.task.refresh_from_db()
    assert text.task.status == TaskStatus.DONE
    PublishRecord.objects.queued().filter(artifact=image).change("test", scheduled_for=timezone.now())
    assert len(claim_posts(platform="tiktok", actor=CLOCK, limit=9)) == 2


def test_one_part_that_is_rejected_fails_the_attempt_with_all_its_parts() -> None:
    text, image = two_artifacts()
    judged(artifact=text, confidence="0.99")
    item = waiting_item(artifact=image)
    decide(item, Decision.REJECT)
    assert settle() == 1
    item.task.refresh_from_db()
    assert item.task.status == TaskStatus.FAILED
    assert set(PublishRecord.objects.filter(artifact=text).values_list("status", flat=True)) == {PublishStatus.FAILED}
    assert Task.objects.filter(parent_task=item.task).count() == 1


def test_an_item_of_another_part_is_withdrawn_when_one_is_rejected() -> None:
    text, image = two_artifacts()
    open_item = waiting_item(artifact=text)
    judged(artifact=image, decision=Decision.REJECT)
    open_item.refresh_from_db()
    assert open_item.status == ReviewItemStatus.WITHDRAWN


def test_a_post_leaves_only_after_the_undo_time_on_a_campaign_that_runs() -> None:
    item = decided_item(person=make_user(REVIEWER))
    assert claim_posts(platform="tiktok", actor=CLOCK) == []
    settle()
    posts = PublishRecord.objects.filter(artifact=item.artifact, platform="tiktok")
    assert claim_posts(platform="tiktok", actor=CLOCK) == []  # its time has not come
    posts.change("test", scheduled_for=timezone.now())
    for held in ({"hold": "operator"}, {"hold": "outcome_unknown"}):
        posts.change("test", **held)
        assert claim_posts(platform="tiktok", actor=CLOCK) == []
    posts.change("test", hold=None)
    item.campaign.change("pause", status="paused")
    assert claim_posts(platform="tiktok", actor=CLOCK) == []
    item.campaign.change("resume", status="active")
    (claimed,) = claim_posts(platform="tiktok", actor=CLOCK)
    assert claim_posts(platform="tiktok", actor=CLOCK) == []
    published = publish_succeeded(record=claimed, platform_post_id="7x", published_at=timezone.now(), actor=CLOCK)
    assert (published.status, published.lease_id) == (PublishStatus.PUBLISHED, None)


def test_what_was_not_handed_out_is_not_published() -> None:
    record = queued_posts()[0]
    with pytest.raises(Conflict, match="not yours"):
        publish_succeeded(record=record, platform_post_id="7x", published_at=timezone.now(), actor=CLOCK)


def test_a_post_that_was_handed_out_before_a_halt_is_not_marked_as_published_after_it() -> None:
    record = claimed_post()
    record.campaign.change("test", epoch=1)
    with pytest.raises(IntegrityError, match="before a halt"), transaction.atomic():
        record.change("publish", status=PublishStatus.PUBLISHED)


def test_the_same_platform_twice_is_one_post() -> None:
    item = waiting_item(campaign=make_campaign(target_platforms=["tiktok", "tiktok"]))
    decide(item, Decision.APPROVE)
    assert PublishRecord.objects.filter(artifact=item.artifact).count() == 1


def test_one_decision_that_cannot_be_settled_keeps_no_other_waiting(caplog: Any) -> None:
    person = make_user(REVIEWER)
    broken, sound = decided_item(person=person), decided_item(person=person)
    real = Task.objects.none().__class__.change

    def change(self: Any, action: str, **values: Any) -> Any:
        if action == "approve" and self.filter(pk=broken.task_id).exists():
            raise OverflowError("a number without end")
        return real(self, action, **values)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(Task.objects.none()), "change", change)
        with pytest.raises(Conflict, match="1 could not be done, 1 were"):
            settle()
    sound.task.refresh_from_db()
    assert sound.task.status == TaskStatus.DONE
    assert str(broken.pk) in caplog.text


@pytest.mark.parametrize("change", ["content_sha256", "decision_id", "artifact_id"])
def test_what_is_posted_never_changes(change: str) -> None:
    record = queued_posts()[0]
    other = {"content_sha256": "0" * 64, "decision_id": None, "artifact_id": make_artifact().pk}[change]
    with pytest.raises(IntegrityError, match="what is posted"), transaction.atomic():
        record.change("test", **{change: other})


def test_a_post_needs_a_decision_for_exactly_this_content() -> None:
    approved, other = judged(confidence="0.99"), make_artifact()
    rejected = judged(decision=Decision.REJECT)
    for artifact, decision in ((other, approved), (rejected.artifact, rejected)):
        with pytest.raises(IntegrityError) as refused, transaction.atomic():
            PublishRecord.objects.create(
                campaign_id=artifact.campaign_id,
                artifact=artifact,
                decision=decision,
                platform="x",
                disclosure_level="none",
                status="queued",
            )
        assert refused.value.__cause__.diag.constraint_name == "publish_record_decision_allows"  # type: ignore[union-attr]


def test_a_lost_lease_keeps_nothing_of_a_late_worker() -> None:
    task = claimed_task()
    past = timezone.now() - timedelta(seconds=1)
    Task.objects.get(pk=task.pk).change("test", lease_expires_at=past)
    later = timezone.now() + timedelta(hours=1)
    stolen = Task.objects.get(pk=task.pk).change("test", lease_id=PLANNER_LEASE, lease_expires_at=later)
    with pytest.raises(Conflict, match="no longer yours"):
        submit_artifact(task=task, artifact_type="text", content=b"Late.", actor=worker(task))
    assert not Artifact.objects.filter(task=stolen).exists()


PLANNER_LEASE = "018f0000-0000-7000-8000-000000000000"


def test_the_whole_way_is_one_trace_with_one_audit_row_a_step() -> None:
    person = make_user(REVIEWER)
    item = waiting_item(actor=PLANNER)
    decide(item, Decision.APPROVE, person)
    settle()
    steps = AuditLog.objects.filter(trace_id=item.task.trace_id).order_by("created_at", "audit_id")
    assert list(steps.values_list("entity_type", "action", "actor_type")) == [
        ("task", "create", "planner"),
        ("task", "claim", "worker"),
        ("context_snapshot", "give", "worker"),
        ("artifact", "submit", "worker"),
        ("task", "complete", "worker"),
        ("review_decision", "create", "judge"),
        ("review_item", "create", "judge"),
        ("review_decision", "approve", "human"),
        ("review_item", "approve", "human"),
        ("publish_record", "queue", "human"),
        ("publish_record", "queue", "human"),
        ("task", "approve", "system"),
    ]
    assert set(steps.values_list("campaign_id", flat=True)) == {item.campaign_id}
