"""What a verb would do right now, counted before anybody confirms it: for one campaign, for several, for everything.

Words first: each row says what there is, what becomes of it in a word, and what that means. Posts and review items are
reached through the campaign's own relations, because their app is a higher room. Nothing is counted beyond `MOST`:
whoever stops ten thousand tasks need not know how many more there are, and must not wait for it.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import IntegerField, OuterRef, QuerySet, Subquery
from django.utils import timezone

from audit.admin.cells import clock
from campaigns.choices import Backlog, CampaignStatus, CampaignVerb, SystemVerb, TaskStatus
from campaigns.models import Campaign, Task

SOON = timedelta(hours=4)
MOST = 10_000
Fate = tuple[str, str, str]  # the word, its colour, what it means


@dataclass(frozen=True)
class Consequence:
    what: str
    word: str
    colour: str
    meaning: str


@dataclass(frozen=True)
class Counts:
    """What is under way."""

    in_progress: int
    agents: int
    pending: int
    in_review: int
    queued: int
    due_soon: int
    overdue: int
    leaving: int  # with a publisher right now
    reviews: int
    campaigns: int = 1  # that are active


def bounded(rows: QuerySet[Any]) -> int:
    """How many there are, as far as anybody needs to know."""
    return rows.order_by().values("pk")[: MOST + 1].count()


class Counted(Subquery):
    """How many rows the query has; it says itself where it ends."""

    template = "(SELECT count(*) FROM (%(subquery)s) counted)"
    output_field = IntegerField()


def _rows(relation: str) -> Any:
    """The rows of a higher room, found by the campaign's own relation to them."""
    return Campaign._meta.get_field(relation).related_model._default_manager  # type: ignore[union-attr]


def under_way(now: datetime, **of: Any) -> dict[str, QuerySet[Any]]:
    """The queries that are counted, for everything or for the campaign that `of` names."""
    tasks, posts = Task.objects.filter(deleted_at=None, **of), _rows("publish_records").filter(**of).queued()
    running, waiting = tasks.filter(status=TaskStatus.IN_PROGRESS), posts.filter(lease_id=None, hold=None)
    return {
        "in_progress": running.values("pk"),
        "agents": running.values("agent").distinct(),
        "pending": tasks.filter(status=TaskStatus.PENDING).values("pk"),
        "in_review": tasks.filter(status=TaskStatus.REVIEW).values("pk"),
        "queued": waiting.values("pk"),
        "due_soon": waiting.filter(scheduled_for__gt=now, scheduled_for__lte=now + SOON).values("pk"),
        "overdue": posts.overdue(now).values("pk"),
        "leaving": posts.filter(lease_id__isnull=False).values("pk"),
        "reviews": _rows("review_items").filter(**of).open().values("pk"),
    }


def count_each(keys: Collection[UUID], now: datetime | None = None) -> dict[UUID, Counts]:
    """What is under way for each of these campaigns, in one query however many they are."""
    queries = under_way(now or timezone.now(), campaign=OuterRef("pk"))
    counted = [Counted(rows.order_by()[: MOST + 1]) for rows in queries.values()]
    found = Campaign.objects.filter(pk__in=keys).order_by().values_list("pk", *counted)
    return {key: Counts(**dict(zip(queries, amounts, strict=True))) for key, *amounts in found}


def count_together(now: datetime, **of: Any) -> Counts:
    """What is under way for the campaigns that `of` names, as one; without it, for all there are."""
    queries = under_way(now, **of)
    active = Campaign.objects.filter(status=CampaignStatus.ACTIVE, deleted_at=None)
    counted = {name: rows.order_by()[: MOST + 1].count() for name, rows in queries.items()}
    return Counts(**counted, campaigns=active.count())


GOES_ON: Fate = ("go on", "good", "nothing changes for them")
NOTHING_NEW: Fate = ("wait", "warn", "nobody can claim them until you resume")
DECIDABLE: Fate = ("go on", "good", "people can still decide")
MAY_APPEAR: Fate = ("may still appear", "info", "they are listed under “outcome unknown” until settled")
IN_THE_WAY: Fate = ("in the way", "bad", "a campaign completes only when these are finished")
HELD: Fate = ("held", "warn", "on resume you choose: publish now, spread out, or drop")
HANDED_OUT: Fate = ("start", "good", "agents can claim them at once")
CUT_OFF: Fate = ("cut off", "bad", "their leases end now; what they send later is refused (409)")
LEAVE: Fate = ("leave", "good", "publishers take them when they are due; for the overdue you choose")
CHOSEN: dict[Backlog, Fate] = {
    Backlog.PUBLISH: ("leave", "good", "publishers take them when they are due, and the overdue now"),
    Backlog.SPREAD: ("leave", "good", "publishers take them when they are due, and the overdue over the next hour"),
    Backlog.DROP: ("leave", "warn", "publishers take them when they are due; the overdue are dropped and never leave"),
}

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
        "in_progress": CUT_OFF,
        "pending": NOTHING_NEW,
        "queued": HELD,
        "leaving": MAY_APPEAR,
        "reviews": DECIDABLE,
    },
    CampaignVerb.RESUME: {
        "in_progress": GOES_ON,
        "pending": HANDED_OUT,
        "queued": LEAVE,
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
SYSTEM_FATES: dict[SystemVerb, dict[str, Fate]] = {
    SystemVerb.HALT: {
        "campaigns": ("stay active", "warn", "each keeps its state; nothing of them is handed out or published"),
        **FATES[CampaignVerb.HALT],
    },
    SystemVerb.RESUME: {
        "campaigns": ("run again", "good", "what was paused or halted by itself stays so"),
        **FATES[CampaignVerb.RESUME],
    },
}


def how_many(amount: int) -> str:
    return f"{MOST:,}+" if amount > MOST else f"{amount:,}"


def many(amount: int, word: str) -> str:
    """The amount and its word; of what was not counted to the end, how far it was."""
    told = f"more than {MOST:,}" if amount > MOST else f"{amount:,}"
    return f"{told} {word}{'' if amount == 1 else 's'}"


def _running(counts: Counts, now: datetime) -> str:
    return f"{many(counts.in_progress, 'task')} in progress at {many(counts.agents, 'agent')}"


def _queued(counts: Counts, now: datetime) -> str:
    told = f"{many(counts.queued, 'post')} queued"
    if counts.due_soon:
        told += f", {counts.due_soon:,} of them due before {clock(now + SOON)}"
    return f"{told}, {counts.overdue:,} due now" if counts.overdue else told


WORDS: dict[str, Callable[[Counts, datetime], str]] = {
    "campaigns": lambda counts, now: many(counts.campaigns, "active campaign"),
    "in_progress": _running,
    "pending": lambda counts, now: many(counts.pending, "pending task"),
    "in_review": lambda counts, now: f"{many(counts.in_review, 'task')} in review",
    "queued": _queued,
    "leaving": lambda counts, now: f"{many(counts.leaving, 'post')} with a publisher right now",
    "reviews": lambda counts, now: f"{many(counts.reviews, 'review')} open",
}


def in_words(counts: Counts, fates: dict[str, Fate], now: datetime) -> list[Consequence]:
    """A row for each kind of which there is something."""
    return [Consequence(WORDS[kind](counts, now), *fate) for kind, fate in fates.items() if getattr(counts, kind)]


# A halt cuts off also what still ends on a paused campaign; a resume lets run what is active itself.
_OF: dict[SystemVerb, dict[str, str]] = {
    SystemVerb.HALT: {},
    SystemVerb.RESUME: {"campaign__status": CampaignStatus.ACTIVE},
}


def consequences_everywhere(verb: SystemVerb, now: datetime | None = None, backlog: str = "") -> list[Consequence]:
    """The same of a verb that is done to everything."""
    now = now or timezone.now()
    return in_words(count_together(now, **_OF[verb]), _with(backlog, SYSTEM_FATES[verb]), now)


def consequences(
    campaign: Campaign, verb: CampaignVerb, now: datetime | None = None, backlog: str = ""
) -> list[Consequence]:
    """What there is under way for the campaign, and what `verb` does to it; empty when nothing is.

    At a resume, `backlog` is what was chosen for the overdue posts, once it was.
    """
    now = now or timezone.now()
    return in_words(count_each([campaign.pk], now)[campaign.pk], _with(backlog, FATES[verb]), now)


def _with(backlog: str, fates: dict[str, Fate]) -> dict[str, Fate]:
    return {**fates, "queued": CHOSEN[Backlog(backlog)]} if backlog else fates
