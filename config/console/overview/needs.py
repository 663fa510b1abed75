"""Needs somebody: what a person should do now, the most urgent first, each a sentence and a way to it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db.models import F
from django.http import HttpRequest
from django.urls import reverse

from audit.admin.cells import admin_url, duration
from campaigns.choices import CampaignStatus
from campaigns.models import Campaign, SystemControl
from config.console.fleet import AtWork
from config.console.overview import machine, work
from config.console.overview.publishing import Posts
from config.console.overview.reviews import Waiting, late
from config.health import Heartbeat
from content.models import ReviewItem
from content.publishing_page import part_url
from metrics.models import MetricArchive

NEARLY = Decimal("0.9")  # of a budget
SHOWN = 4  # of a kind; the list behind has the others


@dataclass(frozen=True)
class Need:
    key: str  # of its place in the page
    sentence: str
    more: str
    url: str
    colour: str = "warn"


def most_urgent_first(needs: Sequence[Need]) -> list[Need]:
    return sorted(needs, key=lambda need: need.colour != "bad")


def of_the_switch(request: HttpRequest) -> Iterator[Need]:
    system = SystemControl.objects.select_related("controlled_by").first()
    if system and system.halted:
        who = system.controlled_by or "Gatehouse"
        url = admin_url(system)
        if request.user.has_perm("campaigns.change_systemcontrol"):
            url = reverse("admin:system_control", args=["resume"])
        yield Need("need-halt", "Everything is halted", f"by {who}: “{system.control_reason}”", url, "bad")


def of_the_machine(months: Sequence[machine.Ahead], jobs: Sequence[Heartbeat], unarchived: str) -> Iterator[Need]:
    for ahead in months:
        if ahead.is_short:
            lie = f"{ahead.months} months lie ahead" if ahead.months >= 0 else "Not even this month is there"
            words = f"{lie}; without its month every write stops. Run rotate_partitions."
            yield Need(f"need-{ahead.table}", f"Months are missing in {ahead.table}", words, "#machine", "bad")
    if unarchived:
        words = "With the server, all that came since would be lost. Is the disk of BACKUP_URL mounted?"
        yield Need("need-log", f"PostgreSQL’s log {unarchived}", words, "#machine", "bad")
    for beat in jobs:
        if beat.alarm:
            said = beat.job.said if beat.job and beat.word == "failed" else ""
            yield Need(f"need-job-{beat.name}", f"{beat.name} {beat.alarm}", said, "#jobs", "bad")


def of_archives(receipt: MetricArchive | None, now: datetime) -> Iterator[Need]:
    if receipt and machine.unfinished_receipt(receipt, now):
        said = f"It stands at “{receipt.get_state_display()}” since {duration(now - receipt.updated_at)}. Run it again."
        yield Need("need-archive", f"The archive of {receipt} did not finish", said, admin_url(receipt))


def of_posts(posts: Posts) -> Iterator[Need]:
    if posts.unknown:
        since = f"The oldest for {duration(posts.now - posts.oldest_unknown)}. " if posts.oldest_unknown else ""
        words = f"{since}Look on the platform whether it is out, then settle it."
        yield Need(
            "need-unknown", f"{amount(posts.unknown, 'post')}, outcome unknown", words, part_url("unknown"), "bad"
        )
    if posts.to_look_at:
        words = "Read why, and queue again what should still leave."
        told = f"{amount(posts.to_look_at, 'post')} failed, not queued again"
        yield Need("need-failed", told, words, part_url("failures"))


def of_reviews(waiting: Waiting) -> Iterator[Need]:
    if not waiting.overdue:
        return
    oldest = (
        ReviewItem.objects.open()
        .filter(due_at__lt=waiting.now)
        .select_related("task__agent", "campaign")
        .order_by("due_at")
        .first()
    )
    if oldest is None or oldest.due_at is None:
        return
    by = duration(waiting.now - oldest.due_at)
    told = f"{oldest.task}, {oldest.get_reason_display()}"
    if waiting.overdue == 1:
        yield Need("need-reviews", f"Review overdue by {by}", told, admin_url(oldest), "bad")
    else:
        sentence = f"{waiting.overdue:,} reviews overdue, the first by {by}"
        yield Need("need-reviews", sentence, told, late(waiting.now), "bad")


def of_agents(quiet: Sequence[AtWork], now: datetime) -> Iterator[Need]:
    """The longest silent by name; the page of agents has the others."""
    page = reverse("admin:agents")
    for silent in quiet[:SHOWN]:
        since = f"has been quiet for {duration(now - silent.last_seen)}" if silent.last_seen else "was never heard of"
        held = f"{amount(silent.in_progress, 'task')} in its hands; " if silent.in_progress else ""
        told = f"{held}{silent.quiet_because(now)}."
        yield Need(f"need-agent-{silent.agent.pk}", f"{silent.agent} {since}", told, admin_url(silent.agent))
    if len(quiet) > SHOWN:
        more = len(quiet) - SHOWN
        yield Need(
            "need-agents", f"{amount(more, 'more agent')} went quiet", "The page of agents has them first.", page
        )


def of_campaigns(request: HttpRequest) -> Iterator[Need]:
    yield from _halted()
    held_back = work.under_way().held_back if request.user.has_perm("campaigns.view_task") else {}
    running = Campaign.objects.filter(deleted_at=None, status=CampaignStatus.ACTIVE)
    told: set[UUID] = set()
    for campaign in running.filter(pk__in=list(held_back)).order_by("name")[:SHOWN]:
        told.add(campaign.pk)
        sentence = f"The budget of “{campaign}” holds {amount(held_back[campaign.pk], 'task')} back"
        yield Need(f"need-budget-{campaign.pk}", sentence, _left(campaign), admin_url(campaign))
    used = F("spent_etb") + F("reserved_etb")
    nearly = running.filter(budget_cap_etb__gt=0, budget_cap_etb__lte=used / NEARLY).exclude(pk__in=told)
    for campaign in nearly.order_by("name")[:SHOWN]:
        sentence = f"The budget of “{campaign}” is nearly used"
        yield Need(f"need-budget-{campaign.pk}", sentence, _left(campaign), admin_url(campaign))


def _left(campaign: Campaign) -> str:
    used = campaign.spent_etb + campaign.reserved_etb
    return f"{used:,.0f} of {campaign.budget_cap_etb:,.0f} ETB are spent or promised."


def _halted() -> Iterator[Need]:
    halted = Campaign.objects.filter(deleted_at=None, halted_at__isnull=False).select_related("controlled_by")
    for campaign in halted.order_by("halted_at")[:SHOWN]:
        who = campaign.controlled_by or "Gatehouse"
        yield Need(
            f"need-halted-{campaign.pk}",
            f"“{campaign}” is halted",
            f"by {who}: “{campaign.control_reason}”. Resume it, or stop it for good.",
            admin_url(campaign),
        )


def amount(number: int, of: str) -> str:
    return f"{number:,} {of}" if number == 1 else f"{number:,} {of}s"
