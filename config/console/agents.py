"""Agents at work: who works now, who went quiet, whose work fails, and what waits for whom."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from agents.choices import AGENT_COLOUR, AgentStatus
from agents.models import Agent
from agents.services import PERMISSION
from audit.admin.entries import read
from audit.admin.export import csv_answer
from audit.choices import EntityType
from audit.models import AuditLog
from campaigns.choices import CampaignStatus
from campaigns.models import Campaign
from config.console.fleet import COUNTED, NEWEST, AtWork, at_work, count_pending

VIEW = "agents.view_agent"
ON_A_PAGE = 50
MOST = 5000  # agents that are looked at, by name
FOLDED = 100  # of those that are suspended or retired
CHOICES = 200  # that a filter offers


@dataclass(frozen=True)
class Chosen:
    """How the page is narrowed and sorted."""

    group: str
    campaign: str
    sort: str

    @classmethod
    def of(cls, request: HttpRequest) -> "Chosen":
        campaign, sort = request.GET.get("campaign", ""), request.GET.get("sort", "")
        try:
            campaign = str(UUID(campaign)) if campaign else ""
        except ValueError:
            raise Http404("There is no such campaign.") from None
        return cls(request.GET.get("group", "")[:255], campaign, sort if sort in SORTS else FIRST)

    def query(self, **more: Any) -> str:
        sort = "" if self.sort == FIRST else self.sort
        given = {"group": self.group, "campaign": self.campaign, "sort": sort, **more}
        return "?" + urlencode({name: value for name, value in given.items() if value})


@dataclass(frozen=True)
class Row:
    work: AtWork
    word: str
    colour: str
    why: str
    pending: str = ""

    @property
    def more(self) -> str:
        """What tells it from others: its key, where it has a name besides, its group and its campaign."""
        agent = self.work.agent
        told = [agent.agent_id if agent.display_name else "", agent.agent_group, agent.campaign]
        return " · ".join(str(each) for each in told if each)

    @property
    def tasks(self) -> str:
        return f"{reverse('admin:campaigns_task_changelist')}?{urlencode({'agent__exact': self.work.agent.pk})}"


RANK = {"quiet": 0, "working": 1, "idle": 2, "not seen yet": 3}
# Each sorts by what somebody looks for first; the name settles the rest.
SORTS: dict[str, tuple[str, Callable[[Row], Any]]] = {
    "quiet": ("quiet first", lambda row: (RANK[row.word], row.work.last_seen or timezone.now())),
    "errors": ("errors first", lambda row: -row.work.week.at_least),
    "name": ("by name", lambda row: ()),
}
FIRST = "quiet"


@require_safe
def agents(request: HttpRequest) -> HttpResponseBase:
    if not request.user.has_perm(VIEW):
        raise PermissionDenied(f"You may not see agents. Ask an Administrator for the permission “{VIEW}”.")
    chosen, now = Chosen.of(request), timezone.now()
    wanted = {"agent_group": chosen.group, "campaign": chosen.campaign}
    narrowed = Agent.objects.filter(**{name: value for name, value in wanted.items() if value}).order_by("agent_id")
    active = list(narrowed.filter(status=AgentStatus.ACTIVE).select_related("campaign")[:MOST])
    found, window = at_work(active, now)
    rows = sorted((_row(work, now) for work in found), key=lambda row: str(row.work.agent).lower())
    rows.sort(key=SORTS[chosen.sort][1])
    if "csv" in request.GET:
        return csv_answer(request, "agents-at-work", "agent", COLUMNS, map(_told, rows))
    page = _page(request, len(rows))
    shown = rows[(page - 1) * ON_A_PAGE : page * ON_A_PAGE]
    count_pending([row.work for row in shown])
    context = {
        **admin.site.each_context(request),
        "title": "Agents",
        "rows": [_with_pending(row) for row in shown],
        "amounts": _amounts(rows),
        "total": len(rows),
        "is_cut": len(active) == MOST,
        "now": now,
        "window": window,
        "newest": NEWEST,
        "chosen": chosen,
        "sorts": [(title, chosen.query(sort=name), name == chosen.sort) for name, (title, _) in SORTS.items()],
        "csv": chosen.query(csv=1),
        "before": chosen.query(page=page - 1) if page > 1 else "",
        "after": chosen.query(page=page + 1) if page * ON_A_PAGE < len(rows) else "",
        "groups": _groups(chosen),
        "campaigns": _campaigns(chosen),
        "folded": _folded(narrowed, request),
        "may_control": request.user.has_perm(PERMISSION),
    }
    return TemplateResponse(request, "admin/agents/at_work.html", context)


def _page(request: HttpRequest, amount: int) -> int:
    given = request.GET.get("page", "1")
    page = int(given) if given.isdecimal() and len(given) < 6 else 1
    return min(max(page, 1), max((amount - 1) // ON_A_PAGE + 1, 1))


def _row(work: AtWork, now: Any) -> Row:
    if why := work.quiet_because(now):
        return Row(work, "quiet", "bad", why)
    if work.in_progress:
        return Row(work, "working", "info", "")
    return Row(work, "idle" if work.last_seen else "not seen yet", "neutral", "")


COLUMNS = [
    *("agent_id", "display_name", "agent_group", "campaign", "state", "why", "in_progress", "last_seen"),
    *("ended_24h", "failed_24h", "rejected_24h", "ended_7d", "failed_7d", "rejected_7d", "judged_today"),
]


def _told(row: Row) -> list[Any]:
    work, agent = row.work, row.work.agent
    ended = [number for time in (work.day, work.week) for number in (time.ended, time.failed, time.rejected)]
    named = [agent.agent_id, agent.display_name, agent.agent_group, str(agent.campaign or "")]
    return [*named, row.word, row.why, work.in_progress, work.last_seen, *ended, work.judged]


def _with_pending(row: Row) -> Row:
    amount = row.work.pending or 0
    told = f"{amount:,}+" if amount >= COUNTED else f"{amount:,}"
    return Row(row.work, row.word, row.colour, row.why, told)


def _amounts(rows: list[Row]) -> list[tuple[int, str, str]]:
    """(how many, word, colour) of each state that there is."""
    colours = {row.word: row.colour for row in rows}
    return [(sum(row.word == word for row in rows), word, colours[word]) for word in RANK if word in colours]


def _groups(chosen: Chosen) -> list[str]:
    named = Agent.objects.exclude(agent_group=None).order_by("agent_group").values_list("agent_group", flat=True)
    found = {str(name) for name in named.distinct()[:CHOICES]}
    return sorted(found | ({chosen.group} if chosen.group else set()))


def _campaigns(chosen: Chosen) -> list[Campaign]:
    """Those to which an agent can belong that has work now, and the chosen one."""
    running = Campaign.objects.filter(deleted_at=None, status__in=[CampaignStatus.ACTIVE, CampaignStatus.PAUSED])
    found = list(running.only("name").order_by("name", "pk")[:CHOICES])
    if chosen.campaign and chosen.campaign not in {str(one.pk) for one in found}:
        found += Campaign.objects.filter(pk=chosen.campaign).only("name")
    return found


def _folded(narrowed: Any, request: HttpRequest) -> list[dict[str, Any]]:
    """Who is not given work, newest first, with who put them there and why, as the log has it."""
    resting = list(narrowed.exclude(status=AgentStatus.ACTIVE).order_by("-updated_at")[:FOLDED])
    told = AuditLog.objects.filter(
        entity_type=EntityType.AGENT,
        entity_id__in=[agent.pk for agent in resting],
        action__in=["suspend", "retire"],
    )
    entries = read(list(told.order_by("created_at")), request.user) if resting else []
    last = {entry.row.entity_id: entry for entry in entries}
    return [
        {"agent": agent, "colour": AGENT_COLOUR[AgentStatus(agent.status)], "entry": last.get(agent.pk)}
        for agent in resting
    ]
