"""The page of the judges: how often people agree with each, what thresholds let through, and where one is changed."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.http import urlencode
from django.views.decorators.http import require_safe

from campaigns.choices import CAMPAIGN_FINAL
from campaigns.models import Campaign
from content.calibration_chart import Reliability, reliability
from content.services.calibration import MOST, PERIODS, Evidence, Record, kept_with_evidence, record
from content.services.intervals import FEW
from content.services.policy import ReviewPolicy
from content.services.thresholds import PERMISSION, THRESHOLDS, Outcome, outcomes, reviews_now

MAY_SEE = "content.view_reviewdecision"
MAY_NOT = f"You may not see what judges decide. Ask an Administrator for the permission “{MAY_SEE}”."
DAYS = 90
JUDGES, CAMPAIGNS = 6, 50  # that a page shows; the filter has more judges
CHOICES = 60  # judges in the filter


@dataclass(frozen=True)
class Filters:
    """What the page is about, as its address says; what nobody knows there counts as not said."""

    days: int
    judge: str
    campaign_id: UUID | None

    @classmethod
    def of(cls, request: HttpRequest) -> "Filters":
        days = request.GET.get("days", "")
        known = {str(period): period for period in PERIODS}
        return cls(known.get(days, DAYS), request.GET.get("judge", "")[:200], as_uuid(request.GET.get("campaign", "")))


@dataclass(frozen=True)
class Summary:
    """What the page tells of the judges: small, and computed from much."""

    amount: int
    oldest: datetime | None
    is_cut: bool
    at: datetime
    judges: Sequence[str]  # for the filter
    records: Sequence[tuple[Record, Reliability]]
    others: int  # judges that have no record here
    outcomes: Sequence[Outcome]
    reviews_now: float


@dataclass(frozen=True)
class Row:
    """A threshold, with the campaigns in which it is in force."""

    outcome: Outcome
    campaigns: Sequence[Campaign]
    change_url: str


def as_uuid(text: str) -> UUID | None:
    try:
        return UUID(text) if len(text) == 36 else None
    except ValueError:
        return None


def open_campaigns(named: Iterable[UUID] = ()) -> list[Campaign]:
    """Those whose policy still matters, the newest, and those that are named; each with its `threshold`."""
    open_ones = Campaign.objects.filter(deleted_at=None).exclude(status__in=CAMPAIGN_FINAL)
    newest = open_ones.order_by("-created_at").values("pk")[:CAMPAIGNS]
    found = list(open_ones.filter(Q(pk__in=newest) | Q(pk__in=list(named))).order_by("name", "pk"))
    for campaign in found:
        campaign.threshold = ReviewPolicy.of(campaign).approve_threshold  # type: ignore[attr-defined]
    return found


@require_safe
def calibration(request: HttpRequest) -> HttpResponse:
    if not request.user.has_perm(MAY_SEE):
        raise PermissionDenied(MAY_NOT)
    wanted = Filters.of(request)
    campaigns: list[Campaign] = []
    if request.user.has_perm("campaigns.view_campaign"):
        campaigns = open_campaigns([wanted.campaign_id] if wanted.campaign_id else [])
    ruled = [campaign for campaign in campaigns if wanted.campaign_id in (None, campaign.pk)]
    if wanted.campaign_id and campaigns and not ruled:  # it has ended: its threshold rules nothing any more
        campaigns += Campaign.objects.filter(pk=wanted.campaign_id)
    in_force: dict[Decimal, list[Campaign]] = {}
    for campaign in ruled:
        in_force.setdefault(campaign.threshold.normalize(), []).append(campaign)  # type: ignore[attr-defined]
    seen = summed(wanted, sorted({*THRESHOLDS, *in_force}))
    rows = [
        Row(found, in_force.get(found.threshold.normalize(), []), _change_url(wanted, found)) for found in seen.outcomes
    ]
    context = {
        **admin.site.each_context(request),
        "title": "Judges",
        "wanted": wanted,
        "seen": seen,
        "judges": dict.fromkeys([*seen.judges, wanted.judge]),
        "campaigns": campaigns,
        "periods": PERIODS,
        "rows": rows,
        "usual": max((row for row in rows if row.campaigns), key=lambda row: len(row.campaigns), default=None),
        "may_change": request.user.has_perm(PERMISSION),
        "few": FEW,
        "most": MOST,
    }
    return TemplateResponse(request, "admin/calibration.html", context)


def summed(wanted: Filters, thresholds: Sequence[Decimal]) -> Summary:
    about = repr((wanted, [str(threshold) for threshold in thresholds]))
    key = f"calibration:page:{hashlib.sha256(about.encode()).hexdigest()}"
    return kept_with_evidence(key, wanted.days, lambda everything: _sum_up(everything, wanted, thresholds))


def _sum_up(everything: Evidence, wanted: Filters, thresholds: Sequence[Decimal]) -> Summary:
    scoped = everything.of(campaign_id=wanted.campaign_id)
    seen = scoped.of(judge=wanted.judge or None)
    judges = seen.judges()
    records = [record(seen, judge) for judge in judges[:JUDGES]]
    return Summary(
        amount=seen.amount,
        oldest=seen.oldest,
        is_cut=seen.is_cut,
        at=seen.at,
        judges=scoped.judges()[:CHOICES],
        records=[(found, reliability(f"judge-{number}", found)) for number, found in enumerate(records)],
        others=max(len(judges) - JUDGES, 0),
        outcomes=outcomes(seen.counts, thresholds),
        reviews_now=reviews_now(seen.counts),
    )


def _change_url(wanted: Filters, found: Outcome) -> str:
    chosen = {"campaign": str(wanted.campaign_id)} if wanted.campaign_id else {}
    return f"threshold/?{urlencode({'threshold': str(found.threshold), **chosen})}"
