"""The page on which a threshold is changed: what it would have done first, then the reason, then the button."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count as Amount
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from audit.context import Actor
from audit.errors import Invalid, Refused
from campaigns.models import Campaign
from content.calibration_page import as_uuid, open_campaigns
from content.choices import Decision
from content.models import ReviewItem
from content.services.calibration import MOST, Count, Evidence, kept_with_evidence
from content.services.intervals import Share
from content.services.thresholds import PERMISSION, Outcome, outcomes, set_approve_threshold, threshold_given

MAY_NOT = f"You may not change the review policy of campaigns. Ask an Administrator for the permission “{PERMISSION}”."
DAYS = 30


@dataclass(frozen=True)
class Consequence:
    """What a new threshold would have done to a campaign in the last days."""

    campaign: Campaign
    present: Decimal
    before: Outcome
    after: Outcome
    moved: int  # approvals that would have gone the other way
    rejected: Share  # by people, of those that they saw
    waiting: int  # open reviews

    @property
    def is_lower(self) -> bool:
        return self.after.threshold < self.present


@require_http_methods(["GET", "HEAD", "POST"])
def change_threshold(request: HttpRequest) -> HttpResponse:
    if not request.user.has_perm(PERMISSION):
        raise PermissionDenied(MAY_NOT)
    given = request.POST if request.method == "POST" else request.GET
    named = [key for text in given.getlist("campaign")[:50] if (key := as_uuid(text))]
    campaigns = open_campaigns(named)
    chosen = [campaign for campaign in campaigns if campaign.pk in named]
    refusal = ""
    try:
        threshold = threshold_given(given["threshold"]) if given.get("threshold", "").strip() else None
    except Invalid as problem:
        threshold, refusal = None, problem.sentence
    if request.method == "POST" and not refusal:
        return _apply(request, campaigns, chosen, threshold)
    return _page(request, campaigns, chosen, threshold, [refusal] if refusal else [], 422 if refusal else 200)


def _apply(
    request: HttpRequest, campaigns: Sequence[Campaign], chosen: Sequence[Campaign], threshold: Decimal | None
) -> HttpResponse:
    """Each campaign for itself: what was done is said, and what was refused stays on the page with what was typed."""
    if threshold is None or not chosen:
        wrong = ["Choose a threshold, and at least one campaign that has not ended."]
        return _page(request, campaigns, chosen, threshold, wrong, 422)
    refused: list[tuple[Campaign, Refused]] = []
    for campaign in chosen:
        try:
            done = set_approve_threshold(
                campaign_id=campaign.pk,
                threshold=threshold,
                reason=request.POST.get("reason", ""),
                actor=Actor.human(request.user),
                seen=_seen(request.POST, campaign.pk),
            )
            messages.success(request, f"The threshold of “{done}” is {threshold} from now on.")
        except Refused as refusal:
            refused.append((campaign, refusal))
    if not refused:
        return HttpResponseRedirect(reverse("admin:calibration"))
    again = [campaign.pk for campaign, _ in refused]
    sentences = list(dict.fromkeys(refusal.sentence for _, refusal in refused))
    fresh = open_campaigns(again)
    left = [campaign for campaign in fresh if campaign.pk in again]
    return _page(request, fresh, left, threshold, sentences, refused[0][1].status)


def _seen(given: QueryDict, key: UUID) -> Decimal | None:
    """The threshold that the page has shown for a campaign."""
    text = given.get(f"seen_{key}", "")
    return threshold_given(text) if text else None


def _page(
    request: HttpRequest,
    campaigns: Sequence[Campaign],
    chosen: Sequence[Campaign],
    threshold: Decimal | None,
    refusals: Sequence[str],
    status: int,
) -> HttpResponse:
    seen = kept_with_evidence(f"calibration:window:{DAYS}", DAYS, lambda everything: replace(everything, counts=()))
    rows = consequences(chosen, threshold) if threshold is not None else []
    given = request.POST if request.method == "POST" else request.GET
    context = {
        **admin.site.each_context(request),
        "title": "Change the approve threshold",
        "campaigns": campaigns,
        "chosen": {campaign.pk for campaign in chosen},
        "threshold": threshold,
        "typed": given.get("threshold", "")[:20],
        "reason": request.POST.get("reason", ""),
        "rows": rows,
        "waiting": sum(row.waiting for row in rows),
        "days": DAYS,
        "seen": seen,
        "most": MOST,
        "refusals": refusals,
    }
    return TemplateResponse(request, "admin/calibration_threshold.html", context, status=status)


def consequences(campaigns: Sequence[Campaign], threshold: Decimal) -> list[Consequence]:
    """One for each campaign, from one count of what judges decided and one of what waits."""
    open_items = ReviewItem.objects.open().filter(campaign__in=campaigns).order_by()
    waiting = dict(open_items.values_list("campaign").annotate(amount=Amount("pk")))
    return [_consequence(campaign, threshold, _seen_of(campaign.pk), waiting) for campaign in campaigns]


def _seen_of(campaign_id: UUID) -> Evidence:
    """A campaign's part of the evidence, kept by itself: to read all of it takes longer than the page may."""
    key = f"calibration:campaign:{campaign_id}:{DAYS}"
    return kept_with_evidence(key, DAYS, lambda everything: everything.of(campaign_id=campaign_id))


def _consequence(campaign: Campaign, threshold: Decimal, seen: Evidence, waiting: Mapping[Any, int]) -> Consequence:
    present: Decimal = campaign.threshold  # type: ignore[attr-defined]
    found = {each.threshold: each for each in outcomes(seen.counts, [present, threshold])}
    between = [count for count in seen.counts if count.passes and _is_between(count, present, threshold)]
    known = [count for count in between if count.people]
    return Consequence(
        campaign=campaign,
        present=present,
        before=found[present],
        after=found[threshold],
        moved=_sum(between),
        rejected=Share(_sum(count for count in known if count.people == Decision.REJECT), _sum(known)),
        waiting=waiting.get(campaign.pk, 0),
    )


def _sum(counts: Iterable[Count]) -> int:
    return sum(count.amount for count in counts)


def _is_between(count: Count, one: Decimal, other: Decimal) -> bool:
    return min(one, other) <= count.confidence < max(one, other)
