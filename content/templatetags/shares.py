"""Shares as people read them: never rounded to all or nothing when they are not."""

from decimal import Decimal

from django import template

from content.choices import Decision, ReviewReason
from content.models import ReviewDecision, ReviewItem
from content.services.calibration import Agreement, agreement
from content.services.intervals import Estimate, Share

register = template.Library()
EDGE = 0.02  # near 0 and 1 a digit more tells the difference


@register.simple_tag
def people_agree(item: ReviewItem, made: ReviewDecision) -> Agreement | None:
    """How often people agree with the judge of an item when it is about that sure; nothing where it only asked."""
    if made.decision == Decision.ESCALATE:
        return None
    blind = item.reason == ReviewReason.BLIND_SAMPLE
    return agreement(made.reviewer_id or "", made.confidence_score, blind=blind)


@register.filter
def percent(rate: float) -> str:
    return f"{_hundredths(rate)} %"


@register.filter
def interval(share: Share) -> str:
    """“76–91 %”."""
    return f"{_hundredths(share.low)}–{_hundredths(share.high)} %"


@register.filter
def between(estimate: Estimate) -> str:
    """“3–40”."""
    return f"{whole(estimate.low)}–{whole(estimate.high)}"


@register.filter
def whole(value: float) -> str:
    """A number of things; below ten with a digit, so that few do not look like none."""
    return f"{value:.1f}".removesuffix(".0") if value < 10 else f"{value:,.0f}"


@register.filter
def confidence(value: Decimal) -> str:
    """With two digits, or three where it has them: 0.85, 0.90, 0.873."""
    text = f"{value:.3f}"
    return text[:-1] if text.endswith("0") else text


def _hundredths(rate: float) -> str:
    if 0 < rate < EDGE or 1 - EDGE < rate < 1:
        return f"{min(max(100 * rate, 0.1), 99.9):.1f}".removesuffix(".0")
    return f"{100 * rate:.0f}"
