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
) -> ReviewDecision:
    """A person's decision on what waits for one. Two at once: the row lock lets one win, the other is told who did.

    `seen_version` and `seen_sha256` are what the person had on the screen; when they are no longer true, nothing
    happens and the person is told. Reasons are required to reject and to escalate.
    """
    person = actor.person
    if person is None:
        raise NotAllowed("Only a person decides what waits for a person.")
    actor.require(PERMISSION, to="decide what waits for a person")
    verdict = decision_named(decision)
    reasons = _usable(verdict, reasons)
    task, item = lock_item(item_id)
    _check_current(item, task, seen_version, seen_sha256)
    _check_duties(item, task, verdict, actor)
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
            open_review_item(artifact=item.artifact, reason=ReviewReason.ESCALATED, risk=item.risk, level=2)
    return decided


def _usable(decision: Decision, reasons: Sequence[str]) -> list[str]:
    given = [reason.strip() for reason in reasons if reason.strip()]
    if any("\x00" in reason for reason in given):
        raise Invalid("A reason contains a character that cannot be stored (NUL).")
    if not given and decision != Decision.APPROVE:
        raise Invalid(f"Say why you {decision} it: its maker will read it.")
    return given


def _check_current(item: ReviewItem, task: Task, seen_version: int | None, seen_sha256: str) -> None:
    """The item is open, and still what the person saw."""
    if not item.is_open:
        raise Conflict(f"Too late: {_what_happened(item)}. Nothing of yours was recorded.")
    if task.status != TaskStatus.REVIEW:
        raise Conflict(f"Task “{task}” is {task.get_status_display()}; it is not waiting for a decision.")
    if seen_version not in (None, item.version) or seen_sha256 not in ("", item.artifact.content_sha256):
        raise Conflict("This item has changed since you opened it. Look at it again, then decide.")


def _what_happened(item: ReviewItem) -> str:
    if item.decision is None:
        return f"this item was {item.get_status_display()}"
    return (
        f"{reviewer_name(item.decision)} decided to {item.decision.decision} it at {item.decision.created_at:%H:%M} UTC"
    )


def reviewer_name(decision: ReviewDecision) -> str:
    """Who decided, as people know them."""
    if decision.reviewer_id and decision.reviewer_id.startswith("user:"):
        person = User.objects.filter(pk=decision.reviewer_id.removeprefix("user:")).first()
        return str(person) if person else "somebody"
    return decision.reviewer_id or "a judge"


def _check_duties(item: ReviewItem, task: Task, decision: Decision, actor: Actor) -> None:
    """Separation of duties, under the item's lock: not the maker, and nobody twice on one artifact."""
    if decision == Decision.APPROVE and actor.person.pk in task.makers():
        raise NotAllowed("You planned this work or answer for the agent that made it, so somebody else approves it.")
    if decision == Decision.APPROVE and not item.artifact.has_known_content:
        raise Conflict(
            "Nobody gave the hash of this content, so what you see is not certainly what would be posted. "
            "Reject it, and ask its maker for the content itself."
        )
    earlier = ReviewDecision.objects.filter(
        artifact=item.artifact,
        reviewer_id=actor.id,
        review_items__undone_at=None,
        review_items__status=ReviewItemStatus.DECIDED,
    )
    if item.level > 1 and earlier.exists():
        raise NotAllowed("You have decided on this already; an escalated item wants another person.")


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
