"""Publishing: what leaves next and what keeps it, what failed, and what nobody knows the end of."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Coalesce
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.http import require_safe

from audit.admin.export import columns_of, csv_answer, rows_of
from campaigns.choices import CAMPAIGN_FINAL, CampaignStatus
from campaigns.models import Campaign, SystemControl
from content.choices import Hold, PublishStatus
from content.models import PublishRecord
from content.models.publishing import PublishRecordQuerySet
from content.platforms import post_url
from content.services.post_control import PERMISSION
from content.standing import Standing, reasons_of_holds, standing

VIEW = "content.view_publishrecord"
ON_A_PAGE = 50
COUNTED = 1000  # posts that are counted at most; more are “1,000+”
CAMPAIGNS = 200  # that the filter offers
SHOWN_FIRST = ("artifact__task__agent", "campaign", "decision")


@dataclass(frozen=True)
class Chosen:
    """What the page is narrowed to."""

    campaign: str = ""
    platform: str = ""

    @classmethod
    def of(cls, request: HttpRequest) -> "Chosen":
        campaign = request.GET.get("campaign", "")
        try:
            campaign = str(UUID(campaign)) if campaign else ""
        except ValueError:
            raise Http404("There is no such campaign.") from None
        return cls(campaign, request.GET.get("platform", "")[:255])

    def narrow(self, posts: PublishRecordQuerySet) -> PublishRecordQuerySet:
        wanted = {"campaign": self.campaign, "platform": self.platform}
        return posts.filter(**{name: value for name, value in wanted.items() if value})

    def query(self, **more: Any) -> str:
        given = {"campaign": self.campaign, "platform": self.platform, **more}
        text = urlencode({name: value for name, value in given.items() if value})
        return f"?{text}" if text else ""


@dataclass(frozen=True)
class Row:
    post: PublishRecord
    standing: list[Standing]
    address: str  # where the post is seen, if it is out and its platform's addresses are known
    may_try_again: bool = False


def queued() -> PublishRecordQuerySet:
    """What leaves next, in that order."""
    posts = PublishRecord.objects.queued().exclude(hold=Hold.OUTCOME_UNKNOWN)
    return posts.order_by(Coalesce("scheduled_for", "created_at"), "pk")


def failures() -> PublishRecordQuerySet:
    """Posts that a publisher had and that are not out: of each the last try, newest first, while nothing of it is live.

    What was dropped before anybody had it is no failure of publishing; the list of posts has it.
    """
    same = PublishRecord.objects.filter(artifact=OuterRef("artifact"), platform=OuterRef("platform"))
    later = same.filter(attempt__gt=OuterRef("attempt"))
    failed = PublishRecord.objects.filter(status=PublishStatus.FAILED, claimed_at__isnull=False)
    return failed.exclude(Exists(same.live())).exclude(Exists(later)).order_by("-updated_at", "-publish_id")


def unknown() -> PublishRecordQuerySet:
    """What may be out; first what was heard of longest ago: if it is out, it can be seen by now."""
    return PublishRecord.objects.queued().filter(hold=Hold.OUTCOME_UNKNOWN).order_by("updated_at", "pk")


PARTS: dict[str, tuple[str, Callable[[], PublishRecordQuerySet]]] = {
    "queue": ("Queue", queued),
    "failures": ("Failures", failures),
    "unknown": ("Outcome unknown", unknown),
}


def part_url(part: str) -> str:
    return reverse("admin:publishing") if part == "queue" else reverse("admin:publishing_part", args=[part])


@require_safe
def publishing(request: HttpRequest, part: str = "queue") -> HttpResponseBase:
    if not request.user.has_perm(VIEW):
        raise PermissionDenied(f"You may not see posts. Ask an Administrator for the permission “{VIEW}”.")
    if part not in PARTS:
        raise Http404("Publishing has three parts: the queue, failures, and what nobody knows the outcome of.")
    chosen, page = Chosen.of(request), _page_number(request)
    posts = chosen.narrow(PARTS[part][1]()).select_related(*SHOWN_FIRST)
    if "csv" in request.GET:
        header, attributes = columns_of(PublishRecord, ["artifact", "campaign", "decision"])
        return csv_answer(
            request, f"publishing-{part}", "publish_record", header, rows_of(posts, ("publish_id",), attributes)
        )
    found = list(posts[(page - 1) * ON_A_PAGE : page * ON_A_PAGE + 1])
    context = {
        **admin.site.each_context(request),
        "title": "Publishing",
        "part": part,
        "tabs": [_tab(name, part, chosen) for name in PARTS],
        "rows": _rows(found[:ON_A_PAGE], request),
        "sooner": chosen.query(page=page - 1) if page > 1 else "",
        "csv": chosen.query(csv=1),
        "later": chosen.query(page=page + 1) if len(found) > ON_A_PAGE else "",
        "chosen": chosen,
        "campaigns": _campaigns(chosen),
        "platforms": _platforms(chosen),
        "may_settle": request.user.has_perm(PERMISSION),
    }
    return TemplateResponse(request, "admin/publishing.html", context)


def _page_number(request: HttpRequest) -> int:
    given = request.GET.get("page", "1")
    return max(int(given), 1) if given.isdecimal() and len(given) < 6 else 1


def _tab(name: str, part: str, chosen: Chosen) -> dict[str, Any]:
    title, posts = PARTS[name]
    amount = chosen.narrow(posts()).order_by()[: COUNTED + 1].count()
    return {
        "title": title,
        "url": part_url(name) + chosen.query(),
        "is_here": name == part,
        "amount": f"{amount:,}" if amount <= COUNTED else f"{COUNTED:,}+",
        "alarm": bool(amount) and name == "unknown",
    }


def _rows(posts: list[PublishRecord], request: HttpRequest) -> list[Row]:
    system, held = SystemControl.objects.get(), reasons_of_holds(posts, request.user)
    return [
        Row(
            post,
            standing(post, system, held.get(post.pk, "")),
            post_url(post.platform, post.platform_post_id) if post.platform_post_id else "",
            post.status == PublishStatus.FAILED and post.campaign.status not in CAMPAIGN_FINAL,
        )
        for post in posts
    ]


def _campaigns(chosen: Chosen) -> list[Campaign]:
    """Those that run or are paused, and the chosen one."""
    open_ones = Q(deleted_at=None, status__in=[CampaignStatus.ACTIVE, CampaignStatus.PAUSED])
    wanted = open_ones | Q(pk=chosen.campaign) if chosen.campaign else open_ones
    return list(Campaign.objects.filter(wanted).only("name").order_by("name", "pk")[:CAMPAIGNS])


def _platforms(chosen: Chosen) -> list[str]:
    """From what campaigns aim at: asking the posts would read them all."""
    aims = Campaign.objects.order_by("-created_at").only("target_platforms")[:CAMPAIGNS]
    named = {platform for campaign in aims for platform in campaign.platforms}
    return sorted(named | ({chosen.platform} if chosen.platform else set()))[:CAMPAIGNS]
