"""The task pipeline, and the campaigns that feed it."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db.models import Count, F, Q
from django.db.models.functions import TruncHour
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from audit.admin.cells import zone
from audit.admin.charts import Chart, chart
from campaigns.admin import budget, state_badge
from campaigns.choices import CAMPAIGN_COLOUR, TASK_COLOUR, VERB_FROM, CampaignStatus, CampaignVerb, TaskStatus
from campaigns.models import Campaign, Task
from campaigns.services.control import PERMISSION
from config.console.overview.figures import Card, Figure, listed
from config.console.overview.kept import kept

TASKS, CAMPAIGNS = "campaigns_task", "campaigns_campaign"
SHOWN = 8  # campaigns
KEPT = 10  # seconds
HOURS = 24
OPEN = [TaskStatus.PENDING, TaskStatus.IN_PROGRESS, TaskStatus.REVIEW]
ENDED = [TaskStatus.DONE, TaskStatus.FAILED]
LEFT = F("campaign__budget_cap_etb") - F("campaign__reserved_etb") - F("campaign__spent_etb")
# What an operator most often wants of a campaign in that state.
VERB = {
    CampaignStatus.DRAFT: CampaignVerb.ACTIVATE,
    CampaignStatus.ACTIVE: CampaignVerb.PAUSE,
    CampaignStatus.PAUSED: CampaignVerb.RESUME,
}


@dataclass(frozen=True)
class UnderWay:
    """Open tasks by status, those of each campaign by status, and those that their campaign's budget holds back."""

    by_status: dict[str, int]
    by_campaign: dict[object, dict[str, int]]
    held_back: dict[object, int]


def under_way() -> UnderWay:
    """Reads what is open, and nothing of what has ended; the work in progress decides how much that is."""
    return kept("under-way", KEPT, _under_way)


def _under_way() -> UnderWay:
    beyond = Q(status=TaskStatus.PENDING, reserve_etb__gt=LEFT)
    found = (
        Task.objects.filter(status__in=OPEN, deleted_at=None)
        .order_by()
        .values_list("campaign", "status")
        .annotate(amount=Count("*"), beyond=Count("status", filter=beyond))
    )
    by_status: dict[str, int] = defaultdict(int)
    by_campaign: dict[object, dict[str, int]] = defaultdict(dict)
    held_back = {}
    for campaign, status, amount, beyond_budget in found:
        by_status[status] += amount
        by_campaign[campaign][status] = amount
        if beyond_budget:
            held_back[campaign] = beyond_budget
    return UnderWay(dict(by_status), dict(by_campaign), held_back)


@dataclass(frozen=True)
class Pipeline:
    figures: list[Figure]  # from pending to done and failed, the last two of a day
    curve: Chart

    def card(self) -> Card:
        pending, running, _, _, failed = self.figures
        alarm = f"{failed.number:,} failed in 24 h" if failed.number else ""
        return Card(
            "tasks", "Tasks in progress", running.number, running.url, f"{pending.number:,} pending", alarm, failed.url
        )


def pipeline(now: datetime) -> Pipeline:
    since = now - timedelta(hours=HOURS)
    hours = _ended(since)
    open_tasks = under_way().by_status
    figures = []
    for status in OPEN:
        url = listed(TASKS, status__exact=status.value)
        figures.append(Figure(str(status.label), open_tasks.get(status, 0), url, TASK_COLOUR[status]))
    for status in ENDED:
        url = listed(TASKS, status__exact=status.value, updated_at__gte=since)
        figures.append(Figure(str(status.label), sum(hours[status].values()), url, TASK_COLOUR[status]))
    return Pipeline(figures, _curve(hours[TaskStatus.DONE], now))


def _ended(since: datetime) -> dict[str, dict[datetime, int]]:
    """How many tasks were done, and failed, in each hour since then; an index has just those."""
    found = (
        Task.objects.filter(status__in=ENDED, deleted_at=None, updated_at__gte=since)
        .order_by()
        .values_list("status", TruncHour("updated_at", tzinfo=UTC))
        .annotate(amount=Count("*"))
    )
    hours: dict[str, dict[datetime, int]] = {status: {} for status in ENDED}
    for status, hour, amount in found:
        hours[status][hour] = amount
    return hours


def _curve(done: dict[datetime, int], now: datetime) -> Chart:
    last = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    hours = [last - timedelta(hours=back) for back in range(HOURS - 1, -1, -1)]
    along = [f"{timezone.localtime(hour):%H:%M} {zone(hour)}" for hour in hours]
    return chart(
        "tasks-done",
        "Tasks done in each of the last 24 hours",
        [done.get(hour, 0) for hour in hours],
        along=along,
        what="an hour",
        height=48,
    )


@dataclass(frozen=True)
class Row:
    campaign: Campaign
    state: str
    budget: str
    work: list[Figure]
    verb: str
    verb_url: str


def campaign_rows(request: HttpRequest) -> list[Row]:
    """Those that run or were paused, the newest first; the list has the others."""
    shown = (
        Campaign.objects.filter(deleted_at=None, status__in=[CampaignStatus.ACTIVE, CampaignStatus.PAUSED])
        .select_related("controlled_by")
        .order_by("-created_at")[:SHOWN]
    )
    may_control = request.user.has_perm(PERMISSION)
    work = under_way().by_campaign if request.user.has_perm("campaigns.view_task") else {}
    return [_row(campaign, work.get(campaign.pk, {}), may_control) for campaign in shown]


def _row(campaign: Campaign, work: dict[str, int], may_control: bool) -> Row:
    verb = VERB.get(CampaignStatus(campaign.status)) if may_control else None
    assert verb is None or campaign.status in VERB_FROM[verb]
    return Row(
        campaign=campaign,
        state=state_badge(campaign),
        budget=budget(campaign),
        work=[
            Figure(str(status.label), work[status], listed(TASKS, campaign=campaign.pk, status__exact=status.value))
            for status in OPEN
            if status in work
        ],
        verb=str(verb.label) if verb else "",
        verb_url=reverse("admin:campaigns_campaign_control", args=[campaign.pk, verb.value]) if verb else "",
    )


def campaign_states() -> list[Figure]:
    """How many campaigns are in each state."""
    counted = dict(
        Campaign.objects.filter(deleted_at=None).order_by().values_list("status").annotate(amount=Count("*"))
    )
    return [
        Figure(
            str(status.label),
            counted.get(status.value, 0),
            listed(CAMPAIGNS, status__exact=status.value),
            CAMPAIGN_COLOUR[status],
        )
        for status in CampaignStatus
    ]
