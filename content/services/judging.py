"""Decisions of judges, and where they lead under the review policy of the campaign."""

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from agents.choices import AgentStatus
from agents.models import Agent
from audit.context import Actor, acting
from audit.due import one_by_one
from audit.errors import Conflict, NotAllowed
from campaigns.choices import TaskStatus
from campaigns.models import SystemControl, Task
from campaigns.services.locks import present_epoch, share_campaign
from content.choices import (
    NEXT_ACTION,
    Decision,
    NextAction,
    ReviewerType,
    ReviewItemStatus,
    ReviewReason,
)
from content.models import Artifact, JudgeLease, ReviewDecision, ReviewItem
from content.services.policy import ReviewPolicy, why_a_person
from content.services.publishing import queue_posts
from content.services.review import decision_named, open_review_item
from content.services.settlement import finish_when_all_approved, reject_attempt

NOTHING_KNOWN = Decimal("0.500")  # the risk of what no judge has looked at
ROUTINE = Decimal(0)  # that of a blind sample: it must not tell how sure the judge was


@transaction.atomic
def decide_artifact(
    *,
    artifact: Artifact,
    judge: Agent,
    decision: str,
    confidence: Decimal,
    reasons: Sequence[Any],
    actor: Actor,
    policy_hits: Sequence[Any] = (),
    lease_id: UUID | None = None,
) -> ReviewDecision:
    """A judge's decision on an artifact in review, and what follows from it under the campaign's policy.

    A confident approval without policy hits is published, unless it is drawn for the blind sample; a rejection is tried
    again; everything else is put before a person. What people were asked is theirs: a judge that comes later is
    refused. `lease_id` is what the judge's claim gave; while somebody holds one, nobody decides without it.
    """
    verdict = decision_named(decision)
    task = _lock_in_review(artifact)
    if judge.pk == task.agent_id:
        raise NotAllowed("A judge does not decide on its own work.")
    if not Agent.objects.filter(pk=judge.pk, status=AgentStatus.ACTIVE).exists():
        raise NotAllowed(f"Judge “{judge}” is not active.")
    _check_not_halted(task)
    _check_still_open(artifact, task)
    _check_lease(artifact, judge, lease_id)
    reason = why_a_person(artifact, verdict, confidence, policy_hits)
    with acting(actor):
        decided = ReviewDecision.objects.create(
            task=task,
            artifact=artifact,
            decision=verdict,
            confidence_score=confidence,
            reasons=list(reasons),
            policy_hits=list(policy_hits) or None,
            next_action=NextAction.HUMAN_REVIEW if reason else NEXT_ACTION[verdict],
            reviewer_type=ReviewerType.JUDGE,
            reviewer_id=judge.pk,
            artifact_sha256=artifact.content_sha256,
            trace_id=task.trace_id,
        )
        _follow(decided, reason, actor)
    return decided


def _lock_in_review(artifact: Artifact) -> Task:
    share_campaign(artifact.campaign_id)
    task = Task.objects.select_for_update(of=("self",)).select_related("campaign", "agent").get(pk=artifact.task_id)
    if task.status != TaskStatus.REVIEW:
        raise Conflict(f"Task “{task}” is {task.get_status_display()}; it is not waiting for a decision.")
    return task


def _check_not_halted(task: Task) -> None:
    """Judging ends what has begun, so that it goes on in a pause; in a halt people alone decide."""
    if task.campaign.halted_at or SystemControl.objects.filter(halted=True).exists():
        raise Conflict("Everything for this artifact is halted; a judge decides on it after the halt.")


def _check_still_open(artifact: Artifact, task: Task) -> None:
    if ReviewItem.objects.filter(artifact=artifact).exclude(status=ReviewItemStatus.WITHDRAWN).exists():
        raise Conflict("This artifact is before people, or was; a judge no longer decides on it.")
    if artifact.decisions.exists():
        raise Conflict("A judge has decided on this artifact already.")
    if task.artifacts.filter(artifact_type=artifact.artifact_type, version__gt=artifact.version).exists():
        raise Conflict("There is a newer version of this artifact; decide on that one.")


def _check_lease(artifact: Artifact, judge: Agent, lease_id: UUID | None) -> None:
    live = _at_it().filter(artifact=artifact).first()
    if live is None and lease_id is not None:
        raise Conflict("Your lease on this artifact has ended; nothing was recorded. Claim it again.")
    if live is not None and (live.lease_id, live.agent_id) != (lease_id, judge.pk):
        raise Conflict("This artifact is claimed, and not under this lease; nothing was recorded.")


def _at_it() -> QuerySet[JudgeLease]:
    """The leases that are good: not ended, and not of before a halt."""
    present = present_epoch("artifact__campaign_id")
    return JudgeLease.objects.filter(lease_expires_at__gt=Now(), lease_epoch__gte=present)


def _follow(decided: ReviewDecision, reason: ReviewReason | None, actor: Actor) -> bool:
    """What a judge's decision leads to; `reason` is why a person is asked, if one is. Whether anything was changed."""
    if reason:
        risk = ROUTINE if reason == ReviewReason.BLIND_SAMPLE else 1 - decided.confidence_score
        open_review_item(artifact=decided.artifact, reason=reason, risk=risk)
        return True
    if decided.decision == Decision.REJECT:
        return reject_attempt(decided, actor)
    queued = queue_posts(decision=decided, actor=actor)
    return finish_when_all_approved(decided.task, timezone.now()) or bool(queued)


def _superseded(artifact: str = "") -> Exists:
    """Whether there is a newer version of the artifact that this path leads to."""
    newer = Artifact.objects.filter(
        task=OuterRef("task"),
        artifact_type=OuterRef(f"{artifact}artifact_type"),
        version__gt=OuterRef(f"{artifact}version"),
    )
    return Exists(newer)


def follow_decisions(*, actor: Actor) -> int:
    """Let decisions of judges that came in plain SQL lead where the policy says; returns how many.

    The net under writers that do not come through `decide_artifact`: nothing has followed from theirs yet.
    """
    left = (
        ReviewDecision.objects.filter(reviewer_type=ReviewerType.JUDGE, task__status=TaskStatus.REVIEW)
        .filter(artifact__review_items=None, artifact__campaign__halted_at=None)
        .exclude(_superseded("artifact__"))
        .select_related("artifact__campaign", "task")
        .order_by("created_at")
    )

    def follow(decision: ReviewDecision) -> bool:
        _check_not_halted(_lock_in_review(decision.artifact))
        if ReviewItem.objects.filter(artifact=decision.artifact).exists():
            return False
        hits, verdict = decision.policy_hits or (), Decision(decision.decision)
        reason = why_a_person(decision.artifact, verdict, decision.confidence_score, hits)
        if decision.next_action != NEXT_ACTION[verdict]:  # asks for a person, or for what cannot follow
            reason = reason or ReviewReason.ESCALATED
        return _follow(decision, reason, actor)

    return one_by_one(left, follow, actor)


def ask_people_for_judges(*, actor: Actor) -> int:
    """Put before people what no judge has decided in time; returns how many."""
    if SystemControl.objects.filter(halted=True).exists():
        return 0
    waiting = (
        Artifact.objects.filter(task__status=TaskStatus.REVIEW, task__deleted_at=None, campaign__halted_at=None)
        .filter(decisions=None, review_items=None)
        .exclude(_superseded())
        .annotate(is_judged=Exists(_at_it().filter(artifact=OuterRef("pk"))))
        .select_related("campaign", "task")
    )

    def ask(artifact: Artifact) -> bool:
        task = _lock_in_review(artifact)
        _check_not_halted(task)
        _check_still_open(artifact, task)
        open_review_item(artifact=artifact, reason=ReviewReason.NO_JUDGE, risk=NOTHING_KNOWN)
        return True

    def is_overdue(artifact: Any) -> bool:
        """A judge who is at it gets as long again; no judge holds an artifact for ever."""
        patience = timedelta(minutes=ReviewPolicy.of(artifact.campaign).judge_minutes) * (
            2 if artifact.is_judged else 1
        )
        ready = artifact.task.completed_at
        return ready is not None and ready <= timezone.now() - patience

    return one_by_one([artifact for artifact in waiting if is_overdue(artifact)], ask, actor)
