"""The page of a trace."""

from datetime import UTC, datetime
from uuid import UUID

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.views.decorators.http import require_safe

from audit.context import TRACE_ID
from audit.trace import read_trace

MAY_NOT = "You may not read the audit log. Ask an Administrator for the permission “audit.view_auditlog”."


@require_safe
def trace(request: HttpRequest, trace_id: str) -> HttpResponse:
    if not request.user.has_perm("audit.view_auditlog"):
        raise PermissionDenied(MAY_NOT)
    if not TRACE_ID.fullmatch(trace_id):
        raise Http404(f"“{trace_id[:80]}” is not a trace: a trace has 32 digits from 0 to 9 and a to f.")
    after = _cursor(request.GET.get("after", ""))
    page = read_trace(trace_id, request.user, after)
    if not page.steps and not after:
        raise Http404(f"Nothing is known of trace {trace_id}.")
    context = {
        **admin.site.each_context(request),
        "title": f"Trace {trace_id[:8]}…",
        "trace_id": trace_id,
        "page": page,
        "continues": after is not None,
    }
    return TemplateResponse(request, "admin/trace.html", context)


def _cursor(text: str) -> tuple[datetime, UUID] | None:
    moment, _, key = text.partition("_")
    if not text:
        return None
    try:
        return datetime.fromisoformat(moment).astimezone(UTC), UUID(key)
    except (ValueError, OverflowError):
        raise Http404("This page of the trace does not exist; begin at its first.") from None
