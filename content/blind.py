"""What whoever may decide is not shown before a routine check is decided: what its judge has said."""

from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet

from content.choices import ReviewerType, ReviewReason
from content.models import ReviewDecision, ReviewItem
from content.services.review import PERMISSION

WAITS = Exists(ReviewItem.objects.open().filter(artifact=OuterRef("artifact"), reason=ReviewReason.BLIND_SAMPLE))
HIDDEN = Q(reviewer_type=ReviewerType.JUDGE) & Q(WAITS)


def seen_by(person: Any, decisions: QuerySet[ReviewDecision]) -> QuerySet[ReviewDecision]:
    return decisions.exclude(HIDDEN) if person.has_perm(PERMISSION) else decisions


def hidden_on(trace_id: str, person: Any) -> set[str]:
    """The keys of the decisions on a trace that the person is not shown yet."""
    if not person.has_perm(PERMISSION):
        return set()
    return {str(key) for key in ReviewDecision.objects.filter(HIDDEN, trace_id=trace_id).values_list("pk", flat=True)}
