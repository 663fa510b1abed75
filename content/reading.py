"""What a reviewer needs to know of an item before deciding, gathered in a fixed number of queries."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.utils import timezone
from django.utils.text import Truncator

from accounts.models import User
from audit.admin.cells import duration
from campaigns.choices import TaskStatus
from campaigns.models import Task
from content.choices import Decision, ReviewerType, ReviewItemStatus, ReviewReason
from content.models import Artifact, ReviewDecision, ReviewItem
from content.preview import Preview, Source, preview, sources
from content.services.policy import ReviewPolicy, undo_time
from content.services.review import reviewer_name

MAKER = "You planned this work or answer for the agent that made it, so somebody else approves it."
DECIDED_BEFORE = "You have decided on this already; it was escalated, and wants another person."
UNKNOWN_CONTENT = (
    "It cannot be approved: nobody gave the hash of this content, so what you see may not be what would be posted."
)
LABEL = 80  # characters of a badge
# Reasons for which the judge's confidence tells something.
WEIGHED = {ReviewReason.LOW_CONFIDENCE, ReviewReason.POLICY_HIT}


@dataclass(frozen=True)
class Judged:
    decision: ReviewDecision
    reasons: list[str]
    policy_hits: list[str]


@dataclass(frozen=True)
class Reading:
    """An item as its page shows it."""

    item: ReviewItem
    preview: Preview
    sources: list[Source]
    judged: Judged | None
    decided: Judged | None
    decided_by: str
    versions: Sequence[Artifact]
    why: list[tuple[str, str]]  # words and colour
    cannot_approve: str
    cannot_decide: str
    undo_until: datetime | None


def read_item(item: ReviewItem, person: User) -> Reading:
    decision = judges_decision(item)
    hidden = item.reason == ReviewReason.BLIND_SAMPLE and item.is_open
    return Reading(
        item=item,
        preview=preview(item.artifact),
        sources=sources(item.artifact),
        judged=None if hidden or decision is None else _judged(decision),
        decided=_judged(item.decision) if item.decision and not item.is_open else None,
        decided_by=reviewer_name(item.decision) if item.decision else "",
        versions=versions(item.artifact),
        why=reasons_in_words(item, decision),
        cannot_approve=_cannot_approve(item, person),
        cannot_decide=_cannot_decide(item, person),
        undo_until=_undo_until(item, person),
    )


def judges_decision(item: ReviewItem) -> ReviewDecision | None:
    """The newest decision of a judge on the artifact; from the prefetch when the list has made one."""
    made = [row for row in item.artifact.decisions.all() if row.reviewer_type == ReviewerType.JUDGE]
    return max(made, key=lambda row: row.created_at) if made else None


def reasons_in_words(item: ReviewItem, decision: ReviewDecision | None) -> list[tuple[str, str]]:
    """Why it waits, as a person would say it, each with the colour of its weight."""
    told: list[tuple[str, str]] = []
    threshold = ReviewPolicy.of(item.campaign).approve_threshold
    if item.reason in WEIGHED and decision and _is_unsure(decision, threshold):
        told.append((f"judge unsure ({decision.confidence_score:.2f}; approves at {threshold:.2f})", "warn"))
    elif item.reason == ReviewReason.ESCALATED:
        told.append(("escalated by a person" if item.level > 1 else "escalated by the judge", "warn"))
    elif item.reason != ReviewReason.POLICY_HIT:
        told.append((str(item.get_reason_display()), "neutral"))
    if decision and item.reason != ReviewReason.BLIND_SAMPLE:
        told += [(f"hits policy: {cut(hit)}", "bad") for hit in listed(decision.policy_hits)[:5]]
    platforms = [cut(name) for name in item.campaign.platforms]
    if platforms:
        told.append(
            (
                f"goes to {' and '.join(platforms)}" if len(platforms) < 3 else f"goes to {len(platforms)} platforms",
                "info",
            )
        )
    return told


def cut(text: str) -> str:
    """As much of it as a badge holds; the judge’s words stand beside in full."""
    return Truncator(text).chars(LABEL)


def _is_unsure(decision: ReviewDecision, threshold: Decimal) -> bool:
    return decision.decision == Decision.APPROVE and decision.confidence_score < threshold


def due_in_words(item: ReviewItem, now: datetime | None = None) -> tuple[str, str]:
    """“due in 18 min” or “overdue 11 min”, with its colour; nothing when it is no longer open."""
    now = now or timezone.now()
    if not item.is_open or item.due_at is None:
        return "", ""
    left = item.due_at - now
    if left.total_seconds() <= 0:
        return f"overdue {duration(left)}", "bad"
    return f"due in {duration(left)}", "warn" if left.total_seconds() < 3600 else "neutral"


def listed(given: Any) -> list[str]:
    """Reasons and policy hits as texts; agents send lists of texts, of objects, or an object."""
    items: Iterable[Any] = given.items() if isinstance(given, dict) else given or []
    return [_words(item) for item in items]


def _words(item: Any) -> str:
    if isinstance(item, dict):
        return ", ".join(f"{key}: {value}" for key, value in item.items())
    if isinstance(item, tuple):
        return f"{item[0]}: {item[1]}"
    return str(item)


def _judged(decision: ReviewDecision) -> Judged:
    return Judged(decision, listed(decision.reasons), listed(decision.policy_hits))


def versions(artifact: Artifact) -> list[Artifact]:
    """Earlier versions along the task's tries, newest first, each with its decisions."""
    parents = dict(Task.objects.filter(trace_id=artifact.task.trace_id).values_list("pk", "parent_task")[:1000])
    chain, key = [artifact.task_id], parents.get(artifact.task_id)
    while key and key not in chain:
        chain.append(key)
        key = parents.get(key)
    earlier = Artifact.objects.filter(task__in=chain, artifact_type=artifact.artifact_type).exclude(pk=artifact.pk)
    return list(earlier.select_related("task").prefetch_related("decisions").order_by("-version")[:20])


def _cannot_approve(item: ReviewItem, person: User) -> str:
    if person.pk in item.task.makers():
        return MAKER
    return "" if item.artifact.has_known_content else UNKNOWN_CONTENT


def _cannot_decide(item: ReviewItem, person: User) -> str:
    """Said before somebody reads and writes in vain; the service refuses it in any case."""
    if item.level == 1 or not item.is_open:
        return ""
    below = ReviewItem.objects.filter(artifact=item.artifact, status=ReviewItemStatus.DECIDED, undone_at=None)
    return DECIDED_BEFORE if below.filter(decision__reviewer_id=f"user:{person.pk}").exists() else ""


def _undo_until(item: ReviewItem, person: User) -> datetime | None:
    """Until when this person may take the decision back; none when it is too late, another's, or escalated."""
    decision = item.decision
    if item.status != ReviewItemStatus.DECIDED or decision is None or item.task.status != TaskStatus.REVIEW:
        return None
    if decision.reviewer_id != f"user:{person.pk}" or decision.decision == Decision.ESCALATE:
        return None
    until = decision.created_at + undo_time()
    return until if timezone.now() < until else None
