"""The page of a trace, and the trace as a file."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.views.decorators.http import require_GET, require_safe

from audit import exact_json
from audit.admin import export
from audit.context import TRACE_ID
from audit.models import AuditLog
from audit.trace import Page, read_trace, rows_of
from config.console.journey import journey
from content.blind import hidden_on

PERMISSION = "audit.view_auditlog"
MAY_NOT = f"You may not read the audit log. Ask an Administrator for the permission “{PERMISSION}”."
COLUMNS = [
    *("created_at", "actor_type", "actor_id", "action", "entity_type", "entity_id", "output_summary", "severity"),
    *("changes", "inputs_hash", "tool_name", "campaign_id", "trace_id", "audit_id"),
]


@require_safe
def trace(request: HttpRequest, trace_id: str) -> HttpResponse:
    _check(request, trace_id)
    after = _cursor(request.GET.get("after", ""))
    page = _without_blind(read_trace(trace_id, request.user, after), hidden_on(trace_id, request.user))
    if not page.steps and not after:
        raise Http404(f"Nothing is known of trace {trace_id}.")
    context = {
        **admin.site.each_context(request),
        "title": f"Trace {trace_id[:8]}…",
        "trace_id": trace_id,
        "page": page,
        "journey": journey(trace_id, request.user, {step.first.row.pk for step in page.steps}),
        "continues": after is not None,
    }
    return TemplateResponse(request, "admin/trace.html", context)


@require_GET
def trace_file(request: HttpRequest, trace_id: str, form: str) -> HttpResponseBase:
    """All of the trace, oldest first, sent while it is read; that somebody took it is on record."""
    _check(request, trace_id)
    rows = rows_of(trace_id)
    first = next(rows, None)
    if first is None:
        raise Http404(f"Nothing is known of trace {trace_id}.")
    hidden = hidden_on(trace_id, request.user)
    told = (_value(row, hidden) for row in chain([first], rows))
    name, query = f"trace-{trace_id}", f"trace_id={trace_id}"
    if form == "csv":
        return export.csv_answer(request, name, AuditLog._meta.db_table, COLUMNS, map(list, told), query=query)
    export.record_export(request, AuditLog._meta.db_table, query=query)
    answer = StreamingHttpResponse(_as_json(trace_id, told), content_type="application/json")
    answer["Content-Disposition"] = f'attachment; filename="{name}.json"'
    return answer


def _check(request: HttpRequest, trace_id: str) -> None:
    if not request.user.has_perm(PERMISSION):
        raise PermissionDenied(MAY_NOT)
    if not TRACE_ID.fullmatch(trace_id):
        raise Http404(f"“{trace_id[:80]}” is not a trace: a trace has 32 digits from 0 to 9 and a to f.")


def _without_blind(page: Page, hidden: set[str]) -> Page:
    """That a judge was asked is told, and not what it said, to whoever is to decide for themselves."""
    steps = [replace(step, changes=[]) if step.first.row.entity_id in hidden else step for step in page.steps]
    return replace(page, steps=steps)


def _value(row: AuditLog, hidden: set[str]) -> tuple[Any, ...]:
    if row.entity_id in hidden:
        row.changes = None
    return tuple(getattr(row, column) for column in COLUMNS)


def _as_json(trace_id: str, told: Iterator[tuple[Any, ...]]) -> Iterator[str]:
    """One object; its entries are written one after the other."""
    yield f'{{"trace_id": {json.dumps(trace_id)}, "entries": ['
    for place, values in enumerate(told):
        entry = exact_json.dumps(dict(zip(COLUMNS, values, strict=True)), ensure_ascii=False)
        yield f"{',' if place else ''}\n{entry}"
    yield "\n]}\n"


def _cursor(text: str) -> tuple[datetime, UUID] | None:
    moment, _, key = text.partition("_")
    if not text:
        return None
    try:
        return datetime.fromisoformat(moment).astimezone(UTC), UUID(key)
    except (ValueError, OverflowError):
        raise Http404("This page of the trace does not exist; begin at its first.") from None
