"""Decisions take effect: at once when a judge took them, after the undo time when a person did."""

from datetime import datetime
from uuid import UUID

from django.utils import timezone

from audit.context import Actor
from audit.due import one_by_one
from audit.errors import Invalid
from campaigns.choices import TaskStatus
from campaigns.models import Task
from campaigns.services.locks import share_campaign
from campaigns.services.tasks import retry_task
from content.choices import Decision, NextAction, ReviewItemStatus
from content.models import Artifact, PublishRecord, ReviewDecision, ReviewItem
from content.services.policy import undo_time


def lock_item(item_id: UUID) -> tuple[Task, ReviewItem]:
    """The item and its task under their locks, in the order that everybody keeps."""
    try:
        plain = ReviewItem.objects.get(pk=item_id)
    except ReviewItem.DoesNotExist:
        raise Invalid("There is no such item.") from None
    share_campaign(plain.campaign_id)
    task = Task.objects.select_for_update(of=("self",)).select_related("agent").get(pk=plain.task_id)
    items = ReviewItem.objects.select_for_update(of=("self",)).select_related("artifact__campaign", "decision")
    item = items.get(pk=item_id)
    item.task = task
    return task, item


def finish_when_all_approved(task: Task, now: datetime) -> bool:
    """The task is done, and its posts may leave, when the latest version of each thing it made is approved for good."""
    latest = {artifact.artifact_type: artifact for artifact in task.artifacts.order_by("version")}
    if not all(_is_approved(artifact, now - undo_time()) for artifact in latest.values()):
        return False
    superseded = PublishRecord.objects.filter(artifact__task=task).exclude(artifact__in=latest.values())
    superseded.drop("approve", "A newer version was approved.")
    return _leave_review(task, "approve", status=TaskStatus.DONE) is not None


def _is_approved(artifact: Artifact, decided_before: datetime) -> bool:
    """By the person who was asked, and too long ago to be taken back; or by a judge, where no person was."""
    items = ReviewItem.objects.filter(artifact=artifact).exclude(status=ReviewItemStatus.WITHDRAWN)
    if items.exists():
        return items.filter(
            status=ReviewItemStatus.DECIDED,
            decision__decision=Decision.APPROVE,
            decision__created_at__lte=decided_before,
        ).exists()
    last = artifact.decisions.order_by("created_at", "review_id").last()
    return last is not None and (last.decision, last.next_action) == (Decision.APPROVE, NextAction.PUBLISH)


def reject_attempt(decision: ReviewDecision, actor: Actor) -> bool:
    """A rejection takes effect: the attempt has failed with all that it made, and the next one is told why."""
    why = "; ".join(str(reason) for reason in decision.reasons)
    failed = _leave_review(decision.task, "reject", status=TaskStatus.FAILED, error=f"Rejected: {why}")
    if failed is None:
        return False
    PublishRecord.objects.filter(artifact__task=failed).drop("reject", f"Another part of the work was rejected: {why}")
    retry_task(task=failed, actor=actor, feedback=why)
    return True


def _leave_review(task: Task, action: str, **values: object) -> Task | None:
    changed = Task.objects.filter(pk=task.pk, status=TaskStatus.REVIEW).change(action, **values)
    ReviewItem.objects.filter(task__in=changed).withdraw(action)  # nobody needs to decide any more
    return changed[0] if changed else None


def settle_decisions(*, actor: Actor, now: datetime | None = None) -> int:
    """Let people's decisions whose undo time is over take effect; returns how many tasks left the review by it."""
    now = now or timezone.now()
    due = ReviewItem.objects.filter(
        status=ReviewItemStatus.DECIDED,
        task__status=TaskStatus.REVIEW,
        decision__created_at__lte=now - undo_time(),
        decision__decision__in=[Decision.APPROVE, Decision.REJECT],
    )

    def settle(item: ReviewItem) -> bool:
        task, item = lock_item(item.pk)
        if item.status != ReviewItemStatus.DECIDED or item.decision is None or task.status != TaskStatus.REVIEW:
            return False  # taken back, or settled by another run
        if item.decision.created_at > now - undo_time():
            return False  # taken back and decided anew
        if item.decision.decision == Decision.REJECT:
            return reject_attempt(item.decision, actor)
        return finish_when_all_approved(task, now)

    return one_by_one(due, settle, actor)
