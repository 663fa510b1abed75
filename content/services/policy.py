"""The review policy of a campaign: when a judge is enough, and how long people have."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings

from campaigns.models import Campaign
from content.choices import Decision, ReviewReason
from content.models import Artifact

MINUTES_A_YEAR = 525_600


@dataclass(frozen=True)
class ReviewPolicy:
    """When a judge's approval is enough. A campaign overrides it under `review_policy` in its constraints.

    approve_threshold: the confidence, from 0 to 1, from which an approval without policy hits is published.
    blind_share: the share, from 0 to 1, of what would be published so that people see all the same, without the judge.
    due_minutes: how long people have for an item.
    judge_minutes: how long judges have before people are asked in their place.
    reasons: what people often say when they decide; the first nine are a key away at the review desk.
    """

    approve_threshold: Decimal = Decimal("0.850")
    blind_share: Decimal = Decimal("0.050")
    due_minutes: int = 240
    judge_minutes: int = 30
    reasons: tuple[str, ...] = ("factual error", "tone", "policy", "rights", "quality")

    @classmethod
    def of(cls, campaign: Campaign) -> "ReviewPolicy":
        """The campaign's policy; what is missing, malformed or out of range there is the default's."""
        rules = campaign.constraints if isinstance(campaign.constraints, dict) else {}
        given = rules.get("review_policy")
        given = given if isinstance(given, dict) else {}

        def share(name: str) -> Decimal:
            value = given.get(name)
            return Decimal(str(value)) if _within(value, 0, 1) else getattr(cls, name)

        def minutes(name: str) -> int:
            value = given.get(name)
            return int(str(value).split(".")[0]) if _within(value, 1, MINUTES_A_YEAR) else getattr(cls, name)

        return cls(
            approve_threshold=share("approve_threshold"),
            blind_share=share("blind_share"),
            due_minutes=minutes("due_minutes"),
            judge_minutes=minutes("judge_minutes"),
            reasons=_texts(given.get("reasons")) or cls.reasons,
        )

    def draws(self, artifact: Artifact) -> bool:
        """Whether the artifact belongs to the blind sample: by a hash of its id, so that anybody can draw it again."""
        place = int.from_bytes(hashlib.sha256(artifact.pk.bytes).digest()[:4], "big")
        return place < self.blind_share * 2**32


def _texts(value: object) -> tuple[str, ...]:
    """The texts of a list, each once; nothing of what is not a list of texts."""
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        return ()
    return tuple(dict.fromkeys(text.strip() for text in value if text.strip()))


def _within(value: object, low: float, high: float) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool) and low <= value <= high


def why_a_person(
    artifact: Artifact, decision: Decision, confidence: Decimal, policy_hits: Sequence[Any]
) -> ReviewReason | None:
    """Why a judge's decision on the artifact is put before a person; None when it takes effect as it is."""
    if decision == Decision.REJECT:
        return None
    policy = ReviewPolicy.of(artifact.campaign)
    # What nobody gave the hash of: nobody can say what would be posted.
    if decision == Decision.ESCALATE or not artifact.has_known_content:
        return ReviewReason.ESCALATED
    if policy_hits:
        return ReviewReason.POLICY_HIT
    if confidence < policy.approve_threshold:
        return ReviewReason.LOW_CONFIDENCE
    return ReviewReason.BLIND_SAMPLE if policy.draws(artifact) else None


def undo_time() -> timedelta:
    """How long a person can take a decision back, and so how long its posts wait."""
    return timedelta(seconds=settings.REVIEW_UNDO_SECONDS)
