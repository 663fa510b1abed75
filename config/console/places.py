"""The frame around every page: where people can go, what waits there, and whether everything runs."""

from dataclasses import dataclass, replace
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse

from accounts.models import Notification
from audit.admin.paging import count_up_to
from campaigns.models import SystemControl
from config.console import slow_queries
from content.choices import Hold
from content.models import PublishRecord, ReviewItem

MOST = 999  # of what waits, in the frame


@dataclass(frozen=True)
class Place:
    name: str
    url: str
    is_here: bool
    waiting: str = ""  # how much of it, when anything does
    says: str = ""  # what the number counts, for those who hear it


# Title of a group, and its places: the list of a model, or a page by its name with the permission that it asks for.
# The console's first page stands before them.
Target = str | tuple[str, str]
GROUPS: list[tuple[str, list[tuple[str, Target]]]] = [
    (
        "",
        [
            ("Review desk", "content.reviewitem"),
            ("Judges", ("calibration", "content.view_reviewdecision")),
            ("Campaigns", "campaigns.campaign"),
            ("Publishing", ("publishing", "content.view_publishrecord")),
            ("Agents", ("agents", "agents.view_agent")),
            ("Metrics", ("metrics", "metrics.view_metricevent")),
            ("Archive", ("archive", "metrics.view_metricarchive")),
            ("Audit", "audit.auditlog"),
        ],
    ),
    (
        "Records",
        [
            ("Tasks", "campaigns.task"),
            ("Artifacts", "content.artifact"),
            ("Decisions", "content.reviewdecision"),
            ("Posts", "content.publishrecord"),
            ("Agent records", "agents.agent"),
            ("Videos", "content.videoasset"),
            ("Metric events", "metrics.metricevent"),
            ("Running totals", "metrics.metriccounter"),
            ("Corrections", "metrics.metriccorrection"),
            ("Archive receipts", "metrics.metricarchive"),
        ],
    ),
    (
        "Access",
        [
            ("People", "accounts.user"),
            ("Groups", "auth.group"),
            ("API tokens", "agents.apitoken"),
            ("Sign-in attempts", "axes.accessattempt"),
            ("Slow queries", ("slow_queries", slow_queries.MAY_SEE)),
        ],
    ),
]


def places(request: HttpRequest) -> list[tuple[str, list[Place]]]:
    """The groups of places that this person may see."""
    waiting = _waiting(request)
    home = reverse("admin:index")
    shown = []
    for title, entries in GROUPS:
        found = [_place(request, name, target, waiting) for name, target in entries if _may_see(request, target)]
        if not title:
            found.insert(0, Place("Control room", home, request.path == home))
        if found:
            shown.append((title, found))
    return _only_nearest(shown)


def _only_nearest(shown: list[tuple[str, list[Place]]]) -> list[tuple[str, list[Place]]]:
    """One is in one place at a time: where addresses begin alike, in that with the longest."""
    nearest = max((place.url for _, found in shown for place in found if place.is_here), key=len, default="")
    return [(title, [replace(place, is_here=place.url == nearest) for place in found]) for title, found in shown]


def _may_see(request: HttpRequest, target: Target) -> bool:
    if isinstance(target, tuple):
        return request.user.has_perm(target[1])
    model = apps.get_model(target)
    return admin.site.is_registered(model) and admin.site.get_model_admin(model).has_view_permission(request)


def _place(request: HttpRequest, name: str, target: Target, waiting: dict[str, tuple[str, str]]) -> Place:
    page = target[0] if isinstance(target, tuple) else f"{target.replace('.', '_')}_changelist"
    url = reverse(f"admin:{page}")
    return Place(name, url, request.path.startswith(url), *waiting.get(name, ()))


def _waiting(request: HttpRequest) -> dict[str, tuple[str, str]]:
    """What waits for somebody; each number is answered by the beginning of an index, since every page asks."""
    unknown = PublishRecord.objects.queued().filter(hold=Hold.OUTCOME_UNKNOWN)
    return {
        "Review desk": (_counted(ReviewItem.objects.open()), "waiting"),
        "Publishing": (_counted(unknown), "outcome unknown"),
    }


def _counted(rows: "QuerySet[Any]") -> str:
    """Whoever has this much before them does not ask how much more."""
    amount = count_up_to(rows, MOST)
    return f"{MOST}+" if amount > MOST else str(amount or "")


def frame(request: HttpRequest) -> dict[str, Any]:
    """What the page's frame shows; nothing of it before somebody has signed in."""
    if not request.user.is_authenticated:
        return {"environment": settings.ENVIRONMENT}
    shown = places(request)
    return {
        "environment": settings.ENVIRONMENT,
        "places": shown,
        "here": next((place.name for _, entries in shown for place in entries if place.is_here), ""),
        "system": SystemControl.objects.select_related("controlled_by").first(),
        "unread": unread(request),
    }


def unread(request: HttpRequest) -> str:
    """How much this person has been told of and not yet looked at."""
    return _counted(Notification.objects.filter(user=request.user.pk, is_read=False))
