"""Decisions of people, and the items on which they decide.

An approval queues the posts at once but lets them leave only after the undo time; until then the task stays in review.
`settle_decisions` ends that wait.
"""

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from accounts.models import User
from audit.context import Actor, acting
from audit.due import one_by_one
from audit.errors import Conflict, Invalid, NotAllowed
from campaigns.choices import TaskStatus
from campaigns.models import Task
from content.choices import (
    NEXT_ACTION,
    Decision,
    ReviewerType,
    ReviewItemStatus,
    ReviewReason,
)
from content.models import Artifact, ReviewDecision, ReviewItem
from content.services.duties import ADMINISTRATORS, check_duties
from content.services.happened import what_changed, what_happened, who_holds
from content.services.policy import ReviewPolicy, undo_time
from content.services.publishing import queue_posts
from content.services.settlement import lock_item

PERMISSION = "content.decide_reviewitem"


def open_review_item(*, artifact: Artifact, reason: str, risk: Decimal, level: int = 1) -> ReviewItem:
    """Put an artifact before people. The transaction and the actor are the caller's."""
    now, policy = timezone.now(), ReviewPolicy.of(artifact.campaign)
    return ReviewItem.objects.create(
        artifact=artifact,
        task_id=artifact.task_id,
        campaign_id=artifact.campaign_id,
        reason=reason,
        risk=risk,
        opened_at=now,
        due_at=now + timedelta(minutes=policy.due_minutes),
        level=level,
    )


def decision_named(text: str) -> Decision:
    if text not in Decision.values:
        raise Invalid(f"“{text}” is not a decision; choose approve, reject or escalate.")
    return Decision(text)


@transaction.atomic
def decide_review_item(
    *,
    item_id: UUID,
    decision: str,
    reasons: Sequence[str],
    actor: Actor,
    seen_version: int | None = None,
    seen_sha256: str = "",
    escalate_to_administrators: bool = False,
) -> ReviewDecision:
    """A person's decision on what waits for one. Two at once: the row lock lets one win, the other is told who did.

    `seen_version` and `seen_sha256` are what the person had on the screen; when they are no longer true, or somebody
    else has claimed the item, nothing happens and the person is told. Reasons are required to reject and to escalate.
    An escalation asks another person, or the Administrators; what was escalated before goes to the Administrators.
    """
    person = actor.person
    if person is None:
        raise NotAllowed("Only a person decides what waits for a person.")
    actor.require(PERMISSION, to="decide what waits for a person")
    verdict = decision_named(decision)
    reasons = usable_reasons(verdict, reasons)
    task, item = lock_item(item_id)
    _check_current(item, task, person, seen_version, seen_sha256)
    check_duties(item, verdict, person)
    with acting(actor):
        (decided,) = ReviewDecision.objects.create_all(
            [
                ReviewDecision(
                    task=task,
                    artifact=item.artifact,
                    decision=verdict,
                    confidence_score=Decimal("1.000"),
                    reasons=reasons,
                    next_action=NEXT_ACTION[verdict],
                    reviewer_type=ReviewerType.HUMAN,
                    reviewer_id=actor.id,
                    artifact_sha256=item.artifact.content_sha256,
                    trace_id=task.trace_id,
                )
            ],
            action=verdict,
        )
        item.change(
            verdict,
            status=ReviewItemStatus.DECIDED,
            decision=decided,
            claimed_by=None,
            claimed_until=None,
            undone_at=None,
            undone_by=None,
            version=item.version + 1,
        )
        if verdict == Decision.APPROVE:
            queue_posts(decision=decided, actor=actor, scheduled_for=decided.created_at + undo_time())
        elif verdict == Decision.ESCALATE:
            level = ADMINISTRATORS if escalate_to_administrators or item.level > 1 else 2
            open_review_item(artifact=item.artifact, reason=ReviewReason.ESCALATED, risk=item.risk, level=level)
    return decided


def usable_reasons(decision: Decision, reasons: Sequence[str]) -> list[str]:
    given = [reason.strip() for reason in reasons if reason.strip()]
    if any("\x00" in reason for reason in given):
        raise Invalid("A reason contains a character that cannot be stored (NUL).")
    if not given and decision != Decision.APPROVE:
        raise Invalid(f"Say why you {decision} it: its maker will read it.")
    return given


def _check_current(item: ReviewItem, task: Task, person: User, seen_version: int | None, seen_sha256: str) -> None:
    """The item is open, nobody else's, and still what the person saw."""
    if not item.is_open:
        raise Conflict(f"Too late: {what_happened(item)}. Nothing of yours was recorded.")
    if task.status != TaskStatus.REVIEW:
        raise Conflict(f"Task “{task}” is {task.get_status_display()}; it is not waiting for a decision.")
    if seen_version not in (None, item.version) or seen_sha256 not in ("", item.artifact.content_sha256):
        raise Conflict(f"{what_changed(item)} Look at it again, then decide.")
    if item.held_by_other(person):
        raise Conflict(f"{who_holds(item)}. Nothing of yours was recorded.")


@transaction.atomic
def undo_decision(*, item_id: UUID, actor: Actor) -> ReviewItem:
    """Take one's own decision back while its undo time lasts: the posts are dropped, and the item waits again."""
    actor.require(PERMISSION, to="take a decision back")
    task, item = lock_item(item_id)
    if item.status != ReviewItemStatus.DECIDED or item.decision is None:
        raise Conflict("There is no decision to take back.")
    if item.decision.reviewer_id != actor.id:
        raise NotAllowed("Only the person who decided takes it back.")
    if task.status != TaskStatus.REVIEW or timezone.now() >= item.decision.created_at + undo_time():
        raise Conflict("The time to take it back is over.")
    others = ReviewItem.objects.filter(artifact=item.artifact, opened_at__gt=item.opened_at)
    if others.filter(status=ReviewItemStatus.DECIDED).exists():
        raise Conflict("Somebody has decided on what you escalated; it is no longer yours to take back.")
    with acting(actor):
        item.decision.publish_records.drop("undo", "The approval was taken back.")
        others.withdraw("undo")  # what an escalation has opened
        return item.change(
            "undo",
            status=ReviewItemStatus.OPEN,
            undone_at=timezone.now(),
            undone_by=actor.person,
            version=item.version + 1,
        )


def mark_overdue_items(*, actor: Actor) -> int:
    """Write down, once, what nobody decided in time, where people look for trouble; returns how many."""
    late = ReviewItem.objects.open().filter(due_at__lte=Now(), overdue_at=None)
    return one_by_one(late, lambda item: bool(late.filter(pk=item.pk).change("overdue", overdue_at=Now())), actor)
