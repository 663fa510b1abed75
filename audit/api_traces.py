"""A trace, read by whoever has a token: every step from the plan to the latest metric."""

from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest
from ninja import Query, Router

from audit.api import Answer, Json, Moment, Paging, TraceId, page
from audit.choices import ActorType, EntityType, Severity
from audit.context import current
from audit.leases import without_leases
from audit.models import AuditLog

router = Router(tags=["read"])

# What the work leaves behind. Who signed in, or was given which right, is for auditors at the console.
WORK = set(EntityType) - {EntityType.USER, EntityType.GROUP, EntityType.API_TOKEN}


class EntryOut(Answer):
    audit_id: UUID
    trace_id: str
    actor_type: ActorType
    actor_id: str | None
    entity_type: EntityType
    entity_id: str | None
    action: str
    tool_name: str | None
    inputs_hash: str | None
    output_summary: str | None
    severity: Severity
    campaign_id: UUID | None
    changes: Json
    created_at: Moment


class TraceOut(Answer):
    entries: list[EntryOut]
    next: str | None


class Entries(Paging):
    pass


@router.get("traces/{trace_id}", response=TraceOut)
def get_trace(request: HttpRequest, trace_id: TraceId, filters: Query[Entries]) -> dict[str, Any]:
    """What was done on a trace, in order, and by whom; each change with the values before and after."""
    # A judge that could see which of its approvals are looked at would know when to be careful.
    shown = WORK - {EntityType.REVIEW_ITEM} if current().actor.type == ActorType.JUDGE else WORK
    entries, cursor = page(AuditLog.objects.filter(trace_id=trace_id, entity_type__in=shown), filters)
    if not entries and filters.after is None:
        raise Http404(f"Nothing is known of trace {trace_id}.")
    return {"entries": [without_leases(entry) for entry in entries], "next": cursor}
