"""What a reviewer needs to know of an item before deciding, gathered in a fixed number of queries."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import islice
from typing import Any

from django.utils import timezone
from django.utils.text import Truncator

from accounts.models import User
from audit.admin.cells import duration
from campaigns.choices import TaskStatus
from content.choices import Decision, ReviewerType, ReviewItemStatus, ReviewReason
from content.diff import Diff, word_diff
from content.models import Artifact, ReviewDecision, ReviewItem
from content.services.duties import obstacle
from content.services.happened import reviewer_name, who_holds
from content.services.policy import ReviewPolicy, undo_time
from content.shown import Shown, Source, shown, sources
from content.versions import all_versions, before

ESCALATED_BY = {
    1: "escalated by the judge",
    2: "escalated by a person, for another person",
    3: "escalated to the Administrators",
}
MOST, LONGEST = 30, 600  # reasons that a page tells, and characters of one
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
    shown: Shown
    sources: list[Source]
    judged: Judged | None
    decided: Judged | None
    decided_by: str
    versions: Sequence[Artifact]  # the others, newest first
    diff: Diff | None  # against the version before
    why: list[tuple[str, str]]  # words and colour
    cannot_approve: str
    cannot_decide: str
    undo_until: datetime | None


def read_item(item: ReviewItem, person: User) -> Reading:
    decision = judges_decision(item)
    versions = all_versions(item.artifact)
    older = before(item.artifact, versions)
    return Reading(
        item=item,
        shown=shown(item.artifact),
        sources=sources(item.artifact),
        judged=None if hides_judge(item) or decision is None else _judged(decision),
        decided=_judged(item.decision) if item.decision and not item.is_open else None,
        decided_by=reviewer_name(item.decision) if item.decision else "",
        versions=[version for version in versions if version != item.artifact],
        diff=word_diff(older, item.artifact) if older else None,
        why=reasons_in_words(item, decision),
        cannot_approve=obstacle(item, Decision.APPROVE, person) if item.is_open else "",
        cannot_decide=_cannot_decide(item, person),
        undo_until=undo_until(item, person),
    )


def hides_judge(item: ReviewItem) -> bool:
    """A blind sample is decided without knowing what the judge said."""
    return item.reason == ReviewReason.BLIND_SAMPLE and item.is_open


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
        told.append((ESCALATED_BY[item.level], "warn"))
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
    return [Truncator(_words(item)).chars(LONGEST) for item in islice(items, MOST)]


def _words(item: Any) -> str:
    if isinstance(item, dict):
        return ", ".join(f"{key}: {value}" for key, value in item.items())
    if isinstance(item, tuple):
        return f"{item[0]}: {item[1]}"
    return str(item)


def _judged(decision: ReviewDecision) -> Judged:
    return Judged(decision, listed(decision.reasons), listed(decision.policy_hits))


def _cannot_decide(item: ReviewItem, person: User) -> str:
    """Said before somebody reads and writes in vain; the service refuses it in any case."""
    if not item.is_open:
        return ""
    if item.held_by_other(person):
        return f"{who_holds(item)}. You may read it."
    return obstacle(item, Decision.REJECT, person)


def undo_until(item: ReviewItem, person: User) -> datetime | None:
    """Until when this person may take the decision back; none when it is too late, another's, or built upon."""
    decision = item.decision
    if item.status != ReviewItemStatus.DECIDED or decision is None or item.task.status != TaskStatus.REVIEW:
        return None
    until: datetime = decision.created_at + undo_time()
    if decision.reviewer_id != f"user:{person.pk}" or timezone.now() >= until:
        return None
    later = ReviewItem.objects.filter(task=item.task_id, artifact=item.artifact_id, level__gt=item.level)
    if decision.decision == Decision.ESCALATE and later.filter(status=ReviewItemStatus.DECIDED).exists():
        return None
    return until
