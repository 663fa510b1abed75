"""One box for what people have in hand: a name, a post's id or address, a trace."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.http import require_safe

from agents.models import Agent
from audit.admin.cells import admin_url
from audit.context import TRACE_ID
from campaigns.models import Campaign, Task
from content.models import PublishRecord

MOST = 8
LONGEST = 500  # characters of a query


@dataclass(frozen=True)
class Found:
    name: str
    url: str
    more: str


@require_safe
def search(request: HttpRequest) -> HttpResponse:
    query = request.GET.get("q", "").strip()[:LONGEST]
    if TRACE_ID.fullmatch(query) and request.user.has_perm("audit.view_auditlog"):
        return HttpResponseRedirect(reverse("admin:trace", args=[query]))
    context = {
        **admin.site.each_context(request),
        "title": f"Search for “{query}”" if query else "Search",
        "query": query,
        "sections": sections(request, query) if query else [],
    }
    return TemplateResponse(request, "admin/search.html", context)


def sections(request: HttpRequest, query: str) -> list[tuple[str, list[Found]]]:
    """What was found, by kind; kinds that the person may not see, and empty ones, are left out."""
    campaigns = Campaign.objects.filter(name__icontains=query, deleted_at=None).order_by("-created_at")
    posts = PublishRecord.objects.filter(platform_post_id__in=post_ids(query)).select_related("artifact__task")
    tasks = Task.objects.filter(title__icontains=query, deleted_at=None).select_related("campaign")
    agents = Agent.objects.filter(Q(agent_id__icontains=query) | Q(display_name__icontains=query))
    kinds: list[tuple[str, str, Iterable[Any]]] = [
        ("Campaigns", "campaigns.view_campaign", campaigns[:MOST]),
        ("Posts", "content.view_publishrecord", posts[:MOST]),
        ("Tasks", "campaigns.view_task", tasks.order_by("-created_at")[:MOST]),
        ("Agents", "agents.view_agent", agents.order_by("agent_id")[:MOST]),
    ]
    allowed = [(title, rows) for title, permission, rows in kinds if request.user.has_perm(permission)]
    found = [(title, [Found(str(row), admin_url(row), _more(row)) for row in rows]) for title, rows in allowed]
    return [(title, rows) for title, rows in found if rows]


def _more(row: Any) -> str:
    """What tells it from others of its name."""
    if isinstance(row, Campaign):
        return row.state
    if isinstance(row, Task):
        return f"{row.get_status_display()} · {row.campaign}"
    if isinstance(row, PublishRecord):
        return f"{row.get_status_display()} · {row.artifact.task}"
    return str(row.get_status_display())


def post_ids(query: str) -> list[str]:
    """What could be a post's id in a query: all of it, or the parts of a pasted address."""
    try:
        parts = urlsplit(query)
    except ValueError:
        return [query]
    if not parts.netloc:
        return [query]
    values = [value for _, value in parse_qsl(parts.query)]
    return [query, *[piece for piece in parts.path.split("/") if piece], *values][:50]
