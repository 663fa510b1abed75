"""What a threshold lets through, from what people said of approvals on both sides of it; and setting one.

Looked at are approvals whose confidence alone says whether people see them: those without policy hits, of known
content. Two parts of them are known in two ways. Below the threshold that was in force, people saw *all*. Above it they
saw a *blind sample*: each stands for the others of its campaign, so that a campaign that is checked more often does not
count for more. Campaigns of which nobody checked anything are taken to be like the others.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from math import sqrt
from uuid import UUID

from audit import exact_json
from audit.context import Actor, acting
from audit.errors import Conflict, Invalid, written
from campaigns.choices import CAMPAIGN_FINAL
from campaigns.models import Campaign
from campaigns.services.control import urgent
from campaigns.services.locks import close_gate
from content.choices import Decision, ReviewReason
from content.services.calibration import Count
from content.services.intervals import FEW, Estimate, Share, wilson
from content.services.policy import ReviewPolicy

PERMISSION = "campaigns.change_campaign"
ACTION = "set_threshold"
STEP = Decimal("0.001")
THRESHOLDS = tuple(
    Decimal(value) for value in ("0.50", "0.60", "0.70", "0.75", "0.80", "0.85", "0.90", "0.95", "0.97", "0.99")
)


@dataclass(frozen=True)
class Outcome:
    """What a threshold would have done to the approvals that it rules."""

    threshold: Decimal
    published: Share  # without a person, of all of them
    rejected: Share  # by people, among those of `published` that they saw
    faulty: Estimate | None  # of 1,000 that are published; None when nobody can tell
    reviews: Estimate  # that people would have of 1,000 approvals


@dataclass(frozen=True)
class _Part:
    """Approvals that people saw in one way: how many there are, and what share of them is faulty."""

    amount: int
    rate: float
    seen: float  # how many people saw, counted as a plain sample of that worth

    @property
    def interval(self) -> tuple[float, float]:
        return wilson(self.rate, self.seen)


def outcomes(counts: Iterable[Count], thresholds: Iterable[Decimal] = THRESHOLDS) -> list[Outcome]:
    """For each of the thresholds, from the lowest."""
    ruled = [count for count in counts if count.passes]
    drawn = _drawn_share(ruled)
    return [outcome(ruled, threshold, drawn) for threshold in sorted(set(thresholds))]


def outcome(ruled: Sequence[Count], threshold: Decimal, drawn: float) -> Outcome:
    let = [count for count in ruled if count.confidence >= threshold]
    published = Share(_sum(let), _sum(ruled))
    seen = [count for count in let if count.people and _is_drawn_or_unsure(count)]
    return Outcome(
        threshold=threshold,
        published=published,
        rejected=Share(_sum(_rejected(seen)), _sum(seen)),
        faulty=_together(_parts(let)) if _sum(seen) >= FEW else None,
        reviews=Estimate(
            *(1000 * (1 - share * (1 - drawn)) for share in (published.rate, published.high, published.low))
        ),
    )


def reviews_now(counts: Iterable[Count]) -> float:
    """How many of 1,000 approvals people were given, under the thresholds that were in force."""
    ruled = [count for count in counts if count.passes]
    return 1000 * Share(_sum(count for count in ruled if _is_drawn_or_unsure(count)), _sum(ruled)).rate


def _sum(counts: Iterable[Count]) -> int:
    return sum(count.amount for count in counts)


def _rejected(counts: Iterable[Count]) -> list[Count]:
    return [count for count in counts if count.people == Decision.REJECT]


def _is_unsure(count: Count) -> bool:
    return count.reason == ReviewReason.LOW_CONFIDENCE


def _is_drawn_or_unsure(count: Count) -> bool:
    return count.is_blind or _is_unsure(count)


def _drawn_share(ruled: Sequence[Count]) -> float:
    """The share that is drawn of what would be published; that of the default policy where nothing was published."""
    sure = [count for count in ruled if not _is_unsure(count)]
    drawn = Share(_sum(count for count in sure if count.is_blind), _sum(sure))
    return drawn.rate if drawn.whole else float(ReviewPolicy.blind_share)


def _parts(let: Sequence[Count]) -> list[_Part]:
    """Both ways in which people saw what would be let through; those that nothing belongs to are left out."""
    unsure = [count for count in let if _is_unsure(count)]
    known = [count for count in unsure if count.people]
    rate = Share(_sum(_rejected(known)), _sum(known)).rate
    parts = [_Part(_sum(unsure), rate, _sum(known)), _sampled([count for count in let if not _is_unsure(count)])]
    return [part for part in parts if part.amount]


def _sampled(sure: Sequence[Count]) -> _Part:
    """Each blind sample weighs as many approvals of its campaign as it stands for.

    Samples of unequal weight tell less than as many equal ones: as many as (Σw)² / Σw² (L. Kish, 1965).
    """
    by_campaign: dict[UUID, list[Count]] = {}
    for count in sure:
        by_campaign.setdefault(count.campaign_id, []).append(count)
    weighed = rejected = squares = 0.0
    for mine in by_campaign.values():
        checked = [count for count in mine if count.is_blind and count.people]
        if seen := _sum(checked):
            weight = _sum(mine) / seen
            weighed += weight * seen
            rejected += weight * _sum(_rejected(checked))
            squares += weight * weight * seen
    if not weighed:
        return _Part(_sum(sure), 0.0, 0.0)
    return _Part(_sum(sure), rejected / weighed, weighed * weighed / squares)


def _together(parts: Sequence[_Part]) -> Estimate | None:
    """Faulty ones of 1,000; None when of one part nothing is known.

    The intervals are combined by their squared distances from the estimates (Donner and Zou, 2012).
    """
    whole = sum(part.amount for part in parts)
    if not whole or not all(part.seen for part in parts):
        return None
    value = below = above = 0.0
    for part in parts:
        share, (low, high) = part.amount / whole, part.interval
        value += share * part.rate
        below += (share * (part.rate - low)) ** 2
        above += (share * (high - part.rate)) ** 2
    return Estimate(*(1000 * each for each in (value, max(value - sqrt(below), 0.0), min(value + sqrt(above), 1.0))))


def threshold_given(given: object) -> Decimal:
    """A confidence from 0 to 1 with at most three digits, as it is kept. Raises Invalid for anything else."""
    try:
        value = Decimal(str(given).strip())
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite() or not 0 <= value <= 1 or value != round(value, 3):
        raise Invalid("A threshold is a number from 0 to 1 with at most three digits, such as 0.85.")
    return value.quantize(STEP)


@urgent
def set_approve_threshold(
    *, campaign_id: UUID, threshold: Decimal, reason: str, actor: Actor, seen: Decimal | None = None
) -> Campaign:
    """From now on, a judge's approval without policy hits is published from this confidence on. Nothing else changes.

    What waits for people stays theirs, what was published stays out. `seen` is the threshold that the actor had on the
    screen: when it is no longer in force, nothing happens. The reason is kept in the audit log.
    """
    actor.require(PERMISSION, to="change the review policy of campaigns")
    why = written(reason, "Say why you change the threshold: the audit log keeps it for whoever asks later.")
    value = threshold_given(threshold)
    close_gate(campaign_id)
    campaign = Campaign.objects.select_for_update().filter(pk=campaign_id, deleted_at=None).first()
    if campaign is None:
        raise Invalid("There is no such campaign.")
    if campaign.status in CAMPAIGN_FINAL:
        raise Conflict(f"Campaign “{campaign}” is {campaign.state}; its policy no longer matters.")
    present = ReviewPolicy.of(campaign).approve_threshold
    if seen is not None and seen != present:
        raise Conflict(f"The threshold of “{campaign}” has changed to {present} meanwhile. Look again, then decide.")
    with acting(actor, reason=why):
        return campaign.change(ACTION, constraints=_with_threshold(campaign, value))


def _with_threshold(campaign: Campaign, value: Decimal) -> dict[str, object]:
    """The campaign's rules with this threshold, and all else as it was."""
    rules = {} if campaign.constraints is None else campaign.constraints
    policy = (rules.get("review_policy") or {}) if isinstance(rules, dict) else None
    if not isinstance(rules, dict) or not isinstance(policy, dict):
        raise Conflict(f"The rules of “{campaign}” are not written as a review policy is; mend them in its form first.")
    if "approve_threshold" in policy and exact_json.same(policy["approve_threshold"], value):
        raise Conflict(f"The threshold of “{campaign}” is {value} already.")
    return {**rules, "review_policy": {**policy, "approve_threshold": value}}
