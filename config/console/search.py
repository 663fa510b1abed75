"""One box for what people have in hand: a name, a key in any spelling, a post's id or address, a trace, a link.

What names exactly one thing leads straight to it. Everything else is listed by kind, with how it was looked for; each
question is answered by an index, or by the newest rows of a table, which the page then says.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit
from uuid import UUID

from django.contrib import admin
from django.db import models
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import resolve, reverse
from django.views.decorators.http import require_safe

from accounts.models import User
from agents.models import Agent
from audit.admin.cells import admin_url
from audit.context import TRACE_ID
from audit.models import AuditLog
from campaigns.models import Campaign, Task
from content.choices import PublishStatus
from content.models import PublishRecord

MOST = 8
LONGEST = 500  # characters of a query
NEWEST = 50_000  # tasks whose titles are read; the list of tasks reads them all, and takes seconds for a million
PREFIX = re.compile(r"[0-9a-f]{6,31}")  # of a trace, as pages show it
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")


@dataclass(frozen=True)
class Found:
    name: str
    url: str
    more: str
    is_exact: bool = False  # what was typed is its identity, and not a part of its name


@dataclass(frozen=True)
class Section:
    title: str
    how: str
    rows: list[Found] = field(default_factory=list)
    further: str = ""  # the list that looks at everything


@require_safe
def search(request: HttpRequest) -> HttpResponse:
    query = request.GET.get("q", "").strip()[:LONGEST]
    if page := _page_of_ours(request, query):
        return HttpResponseRedirect(page)
    found = list(sections(request, query)) if query else []
    exact = {row.url for section in found for row in section.rows if row.is_exact and row.url}
    if len(exact) == 1:
        return HttpResponseRedirect(exact.pop())
    context = {
        **admin.site.each_context(request),
        "title": f"Search for “{query}”" if query else "Search",
        "query": query,
        "sections": [section for section in found if section.rows],
        "looked": [section for section in found if section.further and not section.rows],
    }
    return TemplateResponse(request, "admin/search.html", context)


def sections(request: HttpRequest, query: str) -> Iterator[Section]:
    """What was found, by kind; kinds that the person may not see are not even asked for."""
    yield from _by_key(request, query)
    for permission, look in KINDS:
        if request.user.has_perm(permission):
            yield look(query)


def _page_of_ours(request: HttpRequest, query: str) -> str:
    """A pasted link to a page of this console, without its host: nobody is led elsewhere."""
    try:
        parts = urlsplit(query)
    except ValueError:
        return ""
    if parts.netloc not in ("", request.get_host()) or not parts.path.startswith(reverse("admin:index")):
        return ""
    try:
        resolve(parts.path)
    except Http404:
        return ""
    return parts.path + (f"?{parts.query}" if parts.query else "")


def _by_key(request: HttpRequest, query: str) -> Iterator[Section]:
    may_read = request.user.has_perm("audit.view_auditlog")
    if TRACE_ID.fullmatch(query) and may_read and AuditLog.objects.filter(trace_id=query).exists():
        yield Section("Traces", "by its id", [_trace(query, is_exact=True)])
    if key := key_of(query):
        yield Section("Records", "by key", [_found(row, is_exact=True) for row in _rows_of(request, key)])


def key_of(text: str) -> UUID | None:
    """128 bits in any of their spellings: a UUID with or without dashes, a ULID."""
    spelt = text.upper()
    if ULID.fullmatch(spelt):
        number = 0
        for character in spelt:
            number = number * 32 + CROCKFORD.index(character)
        return UUID(int=number)
    try:
        return UUID(text) if len(text) in (32, 36) else None
    except ValueError:
        return None


def _rows_of(request: HttpRequest, key: UUID) -> Iterator[models.Model]:
    """The rows of that key, of every kind that the person may see: one look into the index of each."""
    for model, model_admin in admin.site._registry.items():
        if isinstance(model._meta.pk, models.UUIDField) and model_admin.has_view_permission(request):
            row = model_admin.get_queryset(request).filter(pk=key).first()
            if row is not None:
                yield row


def campaigns(query: str) -> Section:
    rows = Campaign.objects.filter(name__icontains=query, deleted_at=None).order_by("-created_at")[:MOST]
    return Section("Campaigns", "by name", [_found(row) for row in rows])


def posts(query: str) -> Section:
    """Posts that are out or on their way, and the tries that failed and kept an id as evidence."""
    ids = post_ids(query)
    live = PublishRecord.objects.live().filter(platform_post_id__in=ids)
    failed = PublishRecord.objects.filter(status=PublishStatus.FAILED, platform_post_id__in=ids)
    related = [rows.select_related("artifact__task")[:MOST] for rows in (live, failed)]
    found = [_found(row, is_exact=True) for rows in related for row in rows]
    return Section("Posts", "by the platform’s id" if ids == [query] else "by the id in that address", found[:MOST])


def tasks(query: str) -> Section:
    newest = Task.objects.order_by("-created_at").values_list("created_at", flat=True)
    bound = next(iter(newest[NEWEST : NEWEST + 1]), None)
    rows = Task.objects.filter(title__icontains=query, deleted_at=None)
    if bound is not None:
        rows = rows.filter(created_at__gt=bound)
    found = [_found(row) for row in rows.select_related("campaign").order_by("-created_at")[:MOST]]
    if bound is None:
        return Section("Tasks", "by title", found)
    everywhere = f"{reverse('admin:campaigns_task_changelist')}?{urlencode({'q': query})}"
    return Section("Tasks", f"by title, among the newest {NEWEST:,}", found, everywhere)


def agents(query: str) -> Section:
    rows = Agent.objects.filter(Q(agent_id__icontains=query) | Q(display_name__icontains=query)).order_by("agent_id")
    return Section("Agents", "by name", [_found(row, is_exact=row.agent_id == query) for row in rows[:MOST]])


def traces(query: str) -> Section:
    """By their first digits, as pages show them; “…” at the end is what was copied along."""
    prefix = query.rstrip(".…").lower()
    if not PREFIX.fullmatch(prefix):
        return Section("Traces", "by their first digits")
    # In every collation a digit of sixteen comes before "g": the index of traces has them side by side.
    rows = Task.objects.filter(trace_id__gte=prefix, trace_id__lt=f"{prefix}g").order_by("trace_id")
    found = [_trace(trace) for trace in rows.values_list("trace_id", flat=True).distinct()[:MOST]]
    return Section("Traces", "by their first digits", found)


def people(query: str) -> Section:
    rows = User.objects.filter(Q(email__icontains=query) | Q(display_name__icontains=query)).order_by("email")
    return Section(
        "People", "by e-mail or name", [_found(row, is_exact=row.email == query.lower()) for row in rows[:MOST]]
    )


KINDS: list[tuple[str, Callable[[str], Section]]] = [
    ("campaigns.view_campaign", campaigns),
    ("content.view_publishrecord", posts),
    ("campaigns.view_task", tasks),
    ("agents.view_agent", agents),
    ("audit.view_auditlog", traces),
    ("accounts.view_user", people),
]


def _found(row: models.Model, *, is_exact: bool = False) -> Found:
    return Found(str(row), admin_url(row), _more(row), is_exact)


def _trace(trace_id: str, *, is_exact: bool = False) -> Found:
    return Found(trace_id, reverse("admin:trace", args=[trace_id]), "", is_exact)


def _more(row: Any) -> str:
    """What tells it from others of its name."""
    if isinstance(row, Campaign):
        return row.state
    if isinstance(row, Task):
        return f"{row.get_status_display()} · {row.campaign}"
    if isinstance(row, PublishRecord):
        return f"{row.get_status_display()} · {row.artifact.task}"
    if isinstance(row, User):
        return str(row.email)
    if hasattr(row, "get_status_display"):
        return f"{row._meta.verbose_name} · {row.get_status_display()}"
    return str(row._meta.verbose_name)


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
