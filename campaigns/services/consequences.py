"""What a control verb would do right now, counted before anybody confirms it.

Words first: each row says what there is, what becomes of it in a word, and what that means. Posts and review items are
reached through the campaign's own relations, because their app is a higher room.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Q
from django.utils import timezone

from campaigns.choices import CampaignVerb, TaskStatus
from campaigns.models import Campaign

SOON = timedelta(hours=4)
Fate = tuple[str, str, str]  # the word, its colour, what it means


@dataclass(frozen=True)
class Consequence:
    what: str
    word: str
    colour: str
    meaning: str


@dataclass(frozen=True)
class Counts:
    """What is under way for a campaign."""

    in_progress: int
    agents: int
    pending: int
    in_review: int
    queued: int
    due_soon: int
    overdue: int
    leaving: int  # with a publisher right now
    reviews: int
    soon: datetime


def count(campaign: Campaign, now: datetime | None = None) -> Counts:
    now = now or timezone.now()
    soon = now + SOON
    running = Q(status=TaskStatus.IN_PROGRESS)
    tasks = campaign.tasks.open().aggregate(
        in_progress=Count("pk", filter=running),
        agents=Count("agent", filter=running, distinct=True),
        pending=Count("pk", filter=Q(status=TaskStatus.PENDING)),
        in_review=Count("pk", filter=Q(status=TaskStatus.REVIEW)),
    )
    waiting = Q(lease_id=None, hold=None)
    posts = campaign.publish_records.queued().aggregate(
        queued=Count("pk", filter=waiting),
        due_soon=Count("pk", filter=waiting & Q(scheduled_for__gt=now, scheduled_for__lte=soon)),
        leaving=Count("pk", filter=Q(lease_id__isnull=False)),
    )
    overdue = campaign.publish_records.overdue(now).count()
    return Counts(**tasks, **posts, overdue=overdue, reviews=campaign.review_items.open().count(), soon=soon)


GOES_ON: Fate = ("go on", "good", "nothing changes for them")
NOTHING_NEW: Fate = ("wait", "warn", "nobody can claim them until you resume")
DECIDABLE: Fate = ("go on", "good", "people can still decide")
MAY_APPEAR: Fate = ("may still appear", "info", "they are listed under “outcome unknown” until settled")
IN_THE_WAY: Fate = ("in the way", "bad", "a campaign completes only when these are finished")
HELD: Fate = ("held", "warn", "nothing leaves until you resume")
HANDED_OUT: Fate = ("start", "good", "agents can claim them at once")

FATES: dict[CampaignVerb, dict[str, Fate]] = {
    CampaignVerb.ACTIVATE: {
        "in_progress": GOES_ON,
        "pending": HANDED_OUT,
        "queued": ("leave", "good", "publishers can take them when they are due"),
        "leaving": GOES_ON,
        "reviews": DECIDABLE,
    },
    CampaignVerb.PAUSE: {
        "in_progress": ("may finish", "good", "results still count; nothing new starts"),
        "pending": NOTHING_NEW,
        "queued": HELD,
        "leaving": ("may finish", "info", "publishers that have begun may still report them"),
        "reviews": DECIDABLE,
    },
    CampaignVerb.HALT: {
        "in_progress": ("cut off", "bad", "cut off now; what is sent for them later is refused"),
        "pending": NOTHING_NEW,
        "queued": HELD,
        "leaving": MAY_APPEAR,
        "reviews": DECIDABLE,
    },
    CampaignVerb.RESUME: {
        "in_progress": GOES_ON,
        "pending": HANDED_OUT,
        "queued": ("leave", "good", "publishers take them when they are due; for the overdue you choose"),
        "leaving": GOES_ON,
        "reviews": DECIDABLE,
    },
    CampaignVerb.COMPLETE: {
        "in_progress": IN_THE_WAY,
        "pending": IN_THE_WAY,
        "in_review": IN_THE_WAY,
        "queued": IN_THE_WAY,
        "leaving": IN_THE_WAY,
    },
    CampaignVerb.STOP: {
        "in_progress": ("cut off", "bad", "they fail for good; what is sent for them later is refused"),
        "pending": ("fail", "bad", "they are never handed out"),
        "in_review": ("fail", "bad", "they are not published"),
        "queued": ("dropped", "bad", "they never leave"),
        "leaving": MAY_APPEAR,
        "reviews": ("withdrawn", "warn", "nobody needs to decide any more"),
    },
}


def _running(counts: Counts) -> str:
    return f"{_many(counts.in_progress, 'task')} in progress at {_many(counts.agents, 'agent')}"


def _queued(counts: Counts) -> str:
    told = f"{_many(counts.queued, 'post')} queued"
    if counts.due_soon:
        told += f", {counts.due_soon} of them due before {counts.soon:%H:%M} UTC"
    return f"{told}, {counts.overdue} due now" if counts.overdue else told


def _many(amount: int, word: str) -> str:
    return f"{amount:,} {word}{'' if amount == 1 else 's'}"


WORDS: dict[str, Callable[[Counts], str]] = {
    "in_progress": _running,
    "pending": lambda counts: _many(counts.pending, "pending task"),
    "in_review": lambda counts: f"{_many(counts.in_review, 'task')} in review",
    "queued": _queued,
    "leaving": lambda counts: f"{_many(counts.leaving, 'post')} with a publisher right now",
    "reviews": lambda counts: f"{_many(counts.reviews, 'review')} open",
}


def consequences(campaign: Campaign, verb: CampaignVerb, now: datetime | None = None) -> list[Consequence]:
    """What there is under way, and what `verb` does to it; empty when nothing is."""
    counts = count(campaign, now)
    return [Consequence(WORDS[kind](counts), *fate) for kind, fate in FATES[verb].items() if getattr(counts, kind)]
