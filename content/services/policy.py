"""The review policy of a campaign: when a judge is enough, and how long people have."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings

from campaigns.models import Campaign
from content.choices import Decision, ReviewReason

MINUTES_A_YEAR = 525_600


@dataclass(frozen=True)
class ReviewPolicy:
    """When a judge's approval is enough. A campaign overrides it under `review_policy` in its constraints."""

    approve_threshold: Decimal = Decimal("0.850")
    due_minutes: int = 240

    @classmethod
    def of(cls, campaign: Campaign) -> "ReviewPolicy":
        """The campaign's policy; what is missing, malformed or out of range there is the default's."""
        rules = campaign.constraints if isinstance(campaign.constraints, dict) else {}
        given = rules.get("review_policy")
        given = given if isinstance(given, dict) else {}
        threshold, minutes = given.get("approve_threshold"), given.get("due_minutes")
        return cls(
            Decimal(str(threshold)) if _within(threshold, 0, 1) else cls.approve_threshold,
            int(str(minutes).split(".")[0]) if _within(minutes, 1, MINUTES_A_YEAR) else cls.due_minutes,
        )


def _within(value: object, low: float, high: float) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool) and low <= value <= high


def why_a_person(
    decision: Decision, confidence: Decimal, policy_hits: Sequence[Any], policy: ReviewPolicy
) -> ReviewReason | None:
    if decision == Decision.ESCALATE:
        return ReviewReason.ESCALATED
    if decision == Decision.REJECT:
        return None
    if policy_hits:
        return ReviewReason.POLICY_HIT
    return ReviewReason.LOW_CONFIDENCE if confidence < policy.approve_threshold else None


def undo_time() -> timedelta:
    """How long a person can take a decision back, and so how long its posts wait."""
    return timedelta(seconds=settings.REVIEW_UNDO_SECONDS)
