"""What waits for a person: by reason and by age."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Min, Q

from audit.admin.cells import duration
from config.console.overview.figures import Card, Figure, listed
from config.console.overview.kept import kept
from content.choices import ReviewReason
from content.models import ReviewItem

LIST = "content_reviewitem"
KEPT = 5  # seconds
# Since when it waits: at least the first, less than the second.
AGES = [("< 1 h", 0, 1), ("1–4 h", 1, 4), ("4–24 h", 4, 24), ("> 1 day", 24, None)]


@dataclass(frozen=True)
class Waiting:
    """`rows` are (reason, all, [by age], overdue)."""

    total: int
    overdue: int
    oldest: datetime | None
    due: datetime | None  # of all that wait, the earliest deadline
    rows: list[tuple[str, Figure, list[Figure], Figure]]
    now: datetime

    @property
    def ages(self) -> list[str]:
        return [word for word, _, _ in AGES]

    def card(self) -> Card:
        says = f"oldest {duration(self.now - self.oldest)}" if self.oldest else "nothing waits"
        alarm = f"{self.overdue:,} overdue" if self.overdue else ""
        return Card(
            "reviews", "Waiting for a person", self.total, listed(LIST), says, alarm, late(self.now), colour="bad"
        )


def late(now: datetime) -> str:
    return listed(LIST, due_at__lt=now)


def waiting(now: datetime) -> Waiting:
    """One question, answered from the index of what is open."""
    return kept("reviews", KEPT, lambda: _waiting(now))


def _waiting(now: datetime) -> Waiting:
    found = (
        ReviewItem.objects.open()
        .order_by()
        .values("reason")
        .annotate(
            all=Count("*"),
            overdue=Count("reason", filter=Q(due_at__lt=now)),
            oldest=Min("opened_at"),
            due=Min("due_at"),
            **{f"age{place}": Count("reason", filter=Q(**_between(age, now))) for place, age in enumerate(AGES)},
        )
    )
    by_reason = {row["reason"]: row for row in found}
    return Waiting(
        total=sum(row["all"] for row in by_reason.values()),
        overdue=sum(row["overdue"] for row in by_reason.values()),
        oldest=min((row["oldest"] for row in by_reason.values()), default=None),
        due=min((row["due"] for row in by_reason.values() if row["due"]), default=None),
        rows=[_row(reason, by_reason[reason], now) for reason in ReviewReason if reason in by_reason],
        now=now,
    )


def _between(age: tuple[str, int, int | None], now: datetime) -> dict[str, datetime]:
    _, least, most = age
    bounds = {"opened_at__lte": now - timedelta(hours=least)} if least else {}
    return bounds | ({"opened_at__gt": now - timedelta(hours=most)} if most else {})


def _row(reason: ReviewReason, found: Mapping[str, Any], now: datetime) -> tuple[str, Figure, list[Figure], Figure]:
    only = {"reason__exact": reason.value}
    return (
        str(reason.label),
        Figure("all", found["all"], listed(LIST, **only)),
        [
            Figure(age[0], found[f"age{place}"], listed(LIST, **only, **_between(age, now)))
            for place, age in enumerate(AGES)
        ],
        Figure("overdue", found["overdue"], listed(LIST, **only, due_at__lt=now), "bad"),
    )
