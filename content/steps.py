"""The way of an item so far, in a few short steps for the margin of its page; the page of the trace has all of it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from audit.choices import ActorType, EntityType
from audit.models import AuditLog
from content.choices import ReviewerType
from content.models import ReviewItem
from content.reading import hides_judge
from content.versions import people_named

LOOKED_AT = 200  # audit rows
SHOWN = 8  # the latest
TOLD = [EntityType.TASK, EntityType.ARTIFACT, EntityType.REVIEW_DECISION, EntityType.REVIEW_ITEM]


@dataclass(frozen=True)
class Step:
    words: str
    at: datetime


def steps_to(item: ReviewItem) -> list[Step]:
    """From the plan to this item; what came after it is another story."""
    until = item.decision.created_at if item.decision and not item.is_open else item.opened_at
    rows = AuditLog.objects.filter(trace_id=item.task.trace_id, entity_type__in=TOLD)
    found = list(rows.order_by("-created_at", "-audit_id")[:LOOKED_AT])[::-1]
    names = people_named({row.actor_id or "" for row in found})
    told = [(row, _words(row, names.get(row.actor_id or "", row.actor_id or "somebody"))) for row in found]
    hidden = hides_judge(item)
    steps = [
        Step(words, row.created_at)
        for row, words in told
        if words and not (hidden and _is_judges(row)) and (row.created_at <= until or str(item.pk) == row.entity_id)
    ]
    return steps[-SHOWN:]


def _is_judges(row: AuditLog) -> bool:
    return row.entity_type == EntityType.REVIEW_DECISION and _now(row, "reviewer_type") == ReviewerType.JUDGE


def _words(row: AuditLog, who: str) -> str:
    """Empty for what another row tells, or is of no weight here."""
    if row.entity_type == EntityType.REVIEW_DECISION:
        sure = f", {_now(row, 'confidence_score')}" if row.actor_type == ActorType.JUDGE else ""
        return f"{who}: {_now(row, 'decision')}{sure}"
    words = WORDS.get((row.entity_type, row.action))
    return words(row, who) if words else ""


WORDS: dict[tuple[str, str], Callable[[AuditLog, str], str]] = {
    (EntityType.TASK, "create"): lambda _, who: f"planned by {who}",
    (EntityType.TASK, "retry"): lambda _, who: f"planned again by {who}",
    (EntityType.TASK, "claim"): lambda _, who: f"claimed by {who}",
    (EntityType.ARTIFACT, "submit"): lambda row, who: f"version {_now(row, 'version')} by {who}",
    (EntityType.REVIEW_ITEM, "create"): lambda *_: "opened for a person",
    (EntityType.REVIEW_ITEM, "undo"): lambda _, who: f"taken back by {who}",
}


def _now(row: AuditLog, column: str) -> Any:
    pair = (row.changes or {}).get(column)
    return pair[1] if isinstance(pair, list) and len(pair) == 2 else "?"
