"""The review desk around an item: the queue beside it, what this person has done today, and what can be taken back."""

from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from statistics import median
from uuid import UUID

from django.db.models import F, QuerySet
from django.http import HttpRequest, QueryDict
from django.utils import timezone
from django.utils.http import urlencode

from accounts.models import User
from content.choices import ReviewerType, ReviewItemStatus
from content.models import ReviewDecision, ReviewItem
from content.reading import due_in_words, judges_decision, reasons_in_words, undo_until
from content.services.desk import CLAIM, ORDER, Queue
from content.services.duties import decidable_by
from content.services.policy import undo_time
from content.services.review import PERMISSION

SHOWN = 25
COUNTED = 1000  # more are not counted one by one
MOST_A_DAY = 2000
# What the filters of the list are called in an address; a search is not carried along.
FILTERS = {"campaign": "campaign", "artifact_type": "type", "reason": "reason__exact", "platform": "platform"}


def filters_of(request: HttpRequest) -> QueryDict:
    """The filters under which the list was left, for its links keep them in Django's way."""
    return QueryDict(request.GET.get("_changelist_filters") or request.META.get("QUERY_STRING", ""))


def queue_of(request: HttpRequest) -> Queue:
    asked = filters_of(request)
    given = {field: asked.get(name, "") for field, name in FILTERS.items()}
    return Queue(**{**given, "campaign": as_uuid(given["campaign"])})  # type: ignore[arg-type]


def carried(request: HttpRequest) -> str:
    """The filters as an address carries them: “?type=video”, or nothing."""
    asked = filters_of(request)
    kept = {name: text for name in FILTERS.values() if (text := asked.get(name))}
    return f"?{urlencode(kept)}" if kept else ""


def as_uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


@dataclass(frozen=True)
class Waiting:
    """An item of the queue, in a few words."""

    item: ReviewItem
    due: str
    due_colour: str
    why: str
    holder: str  # who has it in hand now
    is_here: bool
    is_free: bool


def waiting_in(queue: Queue, here: ReviewItem, person: User) -> list[Waiting]:
    """The first of the queue in its order, without what this person may not decide; the open item stands before them.

    Whoever only reads sees all that waits.
    """
    rows = decidable_by(queue.waiting(), person) if person.has_perm(PERMISSION) else queue.waiting()
    rows = rows.select_related("artifact", "task__agent", "campaign", "claimed_by")
    first = list(rows.prefetch_related("artifact__decisions").order_by(*ORDER)[:SHOWN])
    if here.is_open and here not in first:
        first.insert(0, here)
    return [_waiting(item, here, person) for item in first]


def _waiting(item: ReviewItem, here: ReviewItem, person: User) -> Waiting:
    due, colour = due_in_words(item)
    why = " · ".join(words for words, _ in reasons_in_words(item, judges_decision(item))[:2])
    by_other = item.held_by_other(person)
    return Waiting(item, due, colour, why, str(item.claimed_by) if by_other else "", item == here, not by_other)


@dataclass(frozen=True)
class Figures:
    waiting: int
    decided: int  # by this person, today
    pace: int | None  # the median between two decisions of theirs, in seconds
    last: datetime | None  # when they decided last

    @property
    def can_undo(self) -> bool:
        """Whether it is worth looking for what they can still take back."""
        return self.last is not None and self.last > timezone.now() - undo_time()

    @property
    def in_words(self) -> str:
        count = f"{COUNTED:,}+" if self.waiting > COUNTED else f"{self.waiting:,}"
        if not self.decided:
            return f"{count} waiting"
        pace = f", median {self.pace} s" if self.pace else ""
        return f"{count} waiting · you have decided {self.decided:,} today{pace}"


def figures(queue: Queue, person: User) -> Figures:
    today = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
    made = decisions_of(person, today).order_by("-created_at").values_list("created_at", flat=True)
    times = list(made[:MOST_A_DAY])[::-1]
    return Figures(queue.waiting()[: COUNTED + 1].count(), len(times), _pace(times), times[-1] if times else None)


def _pace(times: list[datetime]) -> int | None:
    """A gap that is longer than a claim is a break, and not the time that an item took."""
    gaps = [(later - earlier).total_seconds() for earlier, later in pairwise(times) if later - earlier < CLAIM]
    return round(median(gaps)) if gaps else None


def decisions_of(person: User, since: datetime) -> QuerySet[ReviewDecision]:
    return ReviewDecision.objects.filter(
        reviewer_type=ReviewerType.HUMAN, reviewer_id=f"user:{person.pk}", created_at__gte=since
    )


def undoable(person: User) -> tuple[ReviewItem, datetime] | None:
    """This person's last decision, while it can be taken back, and until when."""
    mine = ReviewItem.objects.filter(
        status=ReviewItemStatus.DECIDED,
        decision__in=decisions_of(person, timezone.now() - undo_time()),
        task=F("decision__task"),  # which has an index
    )
    last = mine.select_related("task__agent", "artifact", "decision").order_by("-decision__created_at").first()
    until = undo_until(last, person) if last else None
    return (last, until) if last and until else None
