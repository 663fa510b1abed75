"""The console's first page: a few honest numbers, each leading to the list behind it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from django.db.models import Count, Min, Q
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from audit.admin.cells import duration
from audit.admin.entries import read
from audit.choices import EntityType
from audit.models import AuditLog
from campaigns.admin import budget, state_badge
from campaigns.choices import CAMPAIGN_COLOUR, CampaignStatus, TaskStatus
from campaigns.models import Campaign, Task
from config.health import heartbeats
from content.choices import Hold
from content.models import PublishRecord, ReviewItem

SHOWN = 8  # campaigns, and audit entries
LOOKED_AT = 200  # audit rows, for the last entries among them


@dataclass(frozen=True)
class Card:
    title: str
    number: int
    url: str
    says: str
    alarm: str = ""  # what is wrong, in words
    colour: str = "warn"


def overview(request: HttpRequest) -> dict[str, Any]:
    now = timezone.now()
    seen = {card for card, permission in PERMISSIONS.items() if request.user.has_perm(permission)}
    entries = []
    if request.user.has_perm("audit.view_auditlog"):
        entries = last_entries(request.user)
    return {
        "cards": [card(now) for card in CARDS if card in seen],
        "states": _states() if request.user.has_perm("campaigns.view_campaign") else [],
        "campaigns": _campaigns(request),
        "entries": entries,
        "jobs": heartbeats(now) if request.user.has_perm("campaigns.view_systemcontrol") else [],
        "now": now,
    }


def last_entries(person: Any) -> list[dict[str, Any]]:
    """The newest of the audit log; metric events in a row count as one entry, or they would be all that is seen."""
    newest = AuditLog.objects.order_by("-created_at", "-audit_id")[:LOOKED_AT]
    runs = [list(run) for _, run in groupby(newest, _as_one)][:SHOWN]
    entries = read([run[0] for run in runs], person)
    return [{"entry": entry, "amount": len(run)} for entry, run in zip(entries, runs, strict=True)]


def _as_one(row: AuditLog) -> object:
    return row.actor_id if row.entity_type == EntityType.METRIC_EVENT else row.pk


def _list(model: str, **filters: Any) -> str:
    query = "&".join(f"{name}={value}" for name, value in filters.items())
    return reverse(f"admin:{model}_changelist") + (f"?{query}" if query else "")


def reviews(now: datetime) -> Card:
    waiting = ReviewItem.objects.open().aggregate(
        all=Count("pk"), overdue=Count("pk", filter=Q(due_at__lt=now)), oldest=Min("opened_at")
    )
    return Card(
        "Waiting for a person",
        waiting["all"],
        _list("content_reviewitem"),
        f"oldest {duration(now - waiting['oldest'])}" if waiting["oldest"] else "nothing waits",
        f"{waiting['overdue']} overdue" if waiting["overdue"] else "",
        "bad",
    )


def tasks(now: datetime) -> Card:
    recent = {"updated_at__gte": now - timedelta(days=1)}
    counted = Task.objects.filter(deleted_at=None, status__in=[TaskStatus.PENDING, TaskStatus.IN_PROGRESS]).aggregate(
        running=Count("pk", filter=Q(status=TaskStatus.IN_PROGRESS)),
        pending=Count("pk", filter=Q(status=TaskStatus.PENDING)),
    )
    failed = Task.objects.filter(status=TaskStatus.FAILED, **recent).count()
    return Card(
        "Tasks in progress",
        counted["running"],
        _list("campaigns_task", status__exact=TaskStatus.IN_PROGRESS.value),
        f"{counted['pending']:,} pending",
        f"{failed:,} failed in 24 h" if failed else "",
    )


def posts(now: datetime) -> Card:
    queued = PublishRecord.objects.queued().aggregate(
        all=Count("pk"),
        next=Min("scheduled_for", filter=Q(scheduled_for__gt=now)),
        unknown=Count("pk", filter=Q(hold=Hold.OUTCOME_UNKNOWN)),
    )
    return Card(
        "To be published",
        queued["all"],
        _list("content_publishrecord", status__exact="queued"),
        f"next in {duration(queued['next'] - now)}" if queued["next"] else "none is timed",
        f"{queued['unknown']} outcome unknown" if queued["unknown"] else "",
    )


def running(now: datetime) -> Card:
    counted = Campaign.objects.filter(deleted_at=None).aggregate(
        active=Count("pk", filter=Q(status=CampaignStatus.ACTIVE)),
        paused=Count("pk", filter=Q(status=CampaignStatus.PAUSED, halted_at=None)),
        halted=Count("pk", filter=Q(halted_at__isnull=False)),
    )
    return Card(
        "Active campaigns",
        counted["active"],
        _list("campaigns_campaign", status__exact=CampaignStatus.ACTIVE.value),
        f"{counted['paused']} paused",
        f"{counted['halted']} halted" if counted["halted"] else "",
        "bad",
    )


PERMISSIONS: dict[Callable[[datetime], Card], str] = {
    reviews: "content.view_reviewitem",
    tasks: "campaigns.view_task",
    posts: "content.view_publishrecord",
    running: "campaigns.view_campaign",
}
CARDS = list(PERMISSIONS)


def _states() -> list[tuple[str, str, int, str]]:
    """(word, colour, how many, the list of them) for each state that a campaign can have."""
    counted = dict(
        Campaign.objects.filter(deleted_at=None).order_by().values_list("status").annotate(amount=Count("pk"))
    )
    return [
        (
            str(status.label),
            CAMPAIGN_COLOUR[status],
            counted.get(status.value, 0),
            _list("campaigns_campaign", status__exact=status.value),
        )
        for status in CampaignStatus
    ]


def _campaigns(request: HttpRequest) -> list[dict[str, Any]]:
    """Those that run or were paused, the newest first; the list has the others."""
    if not request.user.has_perm("campaigns.view_campaign"):
        return []
    shown = (
        Campaign.objects.filter(deleted_at=None, status__in=[CampaignStatus.ACTIVE, CampaignStatus.PAUSED])
        .select_related("controlled_by")
        .order_by("-created_at")[:SHOWN]
    )
    return [{"row": campaign, "state": state_badge(campaign), "budget": budget(campaign)} for campaign in shown]
