"""The control room as one person may see it; the whole page, and the part of it that refreshes itself."""

from collections.abc import Iterator
from itertools import groupby
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from audit.admin.entries import read
from audit.choices import EntityType
from audit.models import AuditLog
from config.console.overview import machine, measures, needs, publishing, reviews, work
from config.console.overview.figures import Card
from config.console.places import unread
from config.health import heartbeats, log_not_archived

LAST = 8  # audit entries
LOOKED_AT = 200  # audit rows, for the last entries among them


@never_cache
@require_safe
def control_room(request: HttpRequest) -> HttpResponse:
    """What the page asks for every few seconds: its body, without the frame."""
    return TemplateResponse(request, "admin/control_room/body.html", {**overview(request), "unread": unread(request)})


def overview(request: HttpRequest) -> dict[str, Any]:
    """Each part that the person may see, by its name in the templates; what they may not see is not even asked for."""
    now, may = timezone.now(), request.user.has_perm
    seen: dict[str, Any] = {"now": now, "needs": []}
    if may("content.view_reviewitem"):
        seen["reviews"] = reviews.waiting(now)
    if may("campaigns.view_task"):
        seen["pipeline"] = work.pipeline(now)
    if may("content.view_publishrecord"):
        seen["posts"] = publishing.posts(now)
    if may("metrics.view_metricevent"):
        seen["ingest"] = measures.ingest(now)
        seen["week"] = measures.week(now)
    if may("campaigns.view_campaign"):
        seen["states"] = work.campaign_states()
        seen["campaigns"] = work.campaign_rows(request)
    if may("agents.view_agent") and may("campaigns.view_task"):
        seen["quiet"] = machine.quiet_agents(now)
    if may("metrics.view_metricarchive"):
        seen["months"], seen["receipt"] = machine.months_ahead(), machine.last_receipt()
    if may("campaigns.view_systemcontrol"):
        seen["jobs"], seen["unarchived"] = heartbeats(now), log_not_archived()
    if may("audit.view_auditlog"):
        seen["entries"] = last_entries(request.user)
    seen["is_empty"] = len(seen) == 2
    seen["needs"] = needs.most_urgent_first(list(_needs(request, seen)))
    seen["cards"] = cards(seen)
    return seen


def cards(seen: dict[str, Any]) -> list[Card]:
    parts = [seen[name] for name in ("reviews", "pipeline", "posts", "ingest") if name in seen]
    return [part.card() for part in parts]


def _needs(request: HttpRequest, seen: dict[str, Any]) -> Iterator[needs.Need]:
    now = seen["now"]
    if "jobs" in seen:
        yield from needs.of_the_switch(request)
    yield from needs.of_the_machine(seen.get("months", []), seen.get("jobs", []), seen.get("unarchived", ""))
    if "posts" in seen:
        yield from needs.of_posts(seen["posts"])
    if "reviews" in seen:
        yield from needs.of_reviews(seen["reviews"])
    yield from needs.of_agents(seen.get("quiet", []), now)
    if "campaigns" in seen:
        yield from needs.of_campaigns(request)
    yield from needs.of_archives(seen.get("receipt"), now)


def last_entries(person: Any) -> list[dict[str, Any]]:
    """The newest of the audit log; metric events in a row count as one entry, or they would be all that is seen."""
    newest = AuditLog.objects.order_by("-created_at", "-audit_id")[:LOOKED_AT]
    runs = [list(run) for _, run in groupby(newest, _as_one)][:LAST]
    entries = read([run[0] for run in runs], person)
    return [{"entry": entry, "amount": len(run)} for entry, run in zip(entries, runs, strict=True)]


def _as_one(row: AuditLog) -> object:
    return row.actor_id if row.entity_type == EntityType.METRIC_EVENT else row.pk
