"""The frame around every page: where people can go, what waits there, and whether everything runs."""

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse

from accounts.models import Notification
from campaigns.models import SystemControl
from content.choices import Hold
from content.models import PublishRecord, ReviewItem


@dataclass(frozen=True)
class Place:
    name: str
    url: str
    is_here: bool
    waiting: int = 0
    says: str = ""  # what the number counts, for those who hear it


# Title of a group, and its places: the list of a model, or a page by its name with the permission that it asks for.
# The console's first page stands before them.
Target = str | tuple[str, str]
GROUPS: list[tuple[str, list[tuple[str, Target]]]] = [
    (
        "",
        [
            ("Review desk", "content.reviewitem"),
            ("Campaigns", "campaigns.campaign"),
            ("Publishing", "content.publishrecord"),
            ("Agents", "agents.agent"),
            ("Metrics", "metrics.metricevent"),
            ("Archive", "metrics.metricarchive"),
            ("Audit", "audit.auditlog"),
        ],
    ),
    (
        "Records",
        [
            ("Tasks", "campaigns.task"),
            ("Artifacts", "content.artifact"),
            ("Decisions", "content.reviewdecision"),
            ("Videos", "content.videoasset"),
            ("Hourly sums", "metrics.metricrollup"),
            ("Running totals", "metrics.metriccounter"),
            ("Corrections", "metrics.metriccorrection"),
            ("System control", "campaigns.systemcontrol"),
        ],
    ),
    (
        "Access",
        [
            ("People", "accounts.user"),
            ("Groups", "auth.group"),
            ("API tokens", "agents.apitoken"),
            ("Sign-in attempts", "axes.accessattempt"),
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
    return shown


def _may_see(request: HttpRequest, target: Target) -> bool:
    if isinstance(target, tuple):
        return request.user.has_perm(target[1])
    registered = {model._meta.label_lower: model_admin for model, model_admin in admin.site._registry.items()}
    return target in registered and registered[target].has_view_permission(request)


def _place(request: HttpRequest, name: str, target: Target, waiting: dict[str, tuple[int, str]]) -> Place:
    page = target[0] if isinstance(target, tuple) else f"{target.replace('.', '_')}_changelist"
    url = reverse(f"admin:{page}")
    return Place(name, url, request.path.startswith(url), *waiting.get(name, ()))


def _waiting(request: HttpRequest) -> dict[str, tuple[int, str]]:
    """What waits for somebody; each number is answered by an index."""
    unknown = PublishRecord.objects.queued().filter(hold=Hold.OUTCOME_UNKNOWN).count()
    return {
        "Review desk": (ReviewItem.objects.open().count(), "waiting"),
        "Publishing": (unknown, "outcome unknown"),
    }


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
        "unread": Notification.objects.filter(user=request.user.pk, is_read=False).count(),
    }
