"""Posts: what waits to leave, what is out, what failed, and what nobody knows."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Min, Q

from audit.admin.cells import duration
from config.console.overview.figures import Card, Figure, listed
from config.console.overview.kept import kept
from content.choices import Hold, PublishStatus
from content.models import PublishRecord
from content.publishing_page import failures, part_url
from content.publishing_page import queued as to_leave

LIST = "content_publishrecord"
KEPT = 10  # seconds
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Posts:
    figures: list[Figure]
    unknown: int
    oldest_unknown: datetime | None
    to_look_at: int  # failures of that day of which nothing is out, and nothing under way
    next: datetime | None
    now: datetime

    def card(self) -> Card:
        queued = self.figures[0]
        says = f"next in {duration(self.next - self.now)}" if self.next else "none is timed"
        alarm = f"{self.unknown:,} outcome unknown" if self.unknown else ""
        return Card("posts", "To be published", queued.number, queued.url, says, alarm, part_url("unknown"))


def posts(now: datetime) -> Posts:
    since = now - DAY
    unknown = (
        PublishRecord.objects.queued()
        .filter(hold=Hold.OUTCOME_UNKNOWN)
        .aggregate(amount=Count("*"), oldest=Min("updated_at"))
    )
    published = PublishRecord.objects.filter(status=PublishStatus.PUBLISHED, published_at__gte=since).count()
    failed = PublishRecord.objects.filter(status=PublishStatus.FAILED, updated_at__gte=since).count()
    queued = kept("queued", KEPT, lambda: _queued(now))
    to_look_at = failures().order_by().filter(updated_at__gte=since).count() if failed else 0
    figures = [
        Figure("queued", queued["all"], part_url("queue"), "info"),
        Figure(
            "published",
            published,
            listed(LIST, status__exact=PublishStatus.PUBLISHED.value, published_at__gte=since),
            "good",
        ),
        Figure("failed", failed, listed(LIST, status__exact=PublishStatus.FAILED.value, updated_at__gte=since), "bad"),
        Figure("outcome unknown", unknown["amount"], part_url("unknown"), "warn"),
    ]
    leaves = queued["next"] if queued["next"] and queued["next"] > now else None
    return Posts(figures, unknown["amount"], unknown["oldest"], to_look_at, leaves, now)


def _queued(now: datetime) -> dict[str, Any]:
    timed = Q(scheduled_for__gt=now, hold=None)
    return to_leave().order_by().aggregate(all=Count("*"), next=Min("scheduled_for", filter=timed))
