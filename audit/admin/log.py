"""The audit log in the console: newest first, never counted, searched by what its indexes answer."""

from typing import Any, cast

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html

from audit.admin import cells, columns
from audit.admin.entries import Entry, read
from audit.admin.keyset import KeysetAdmin
from audit.choices import SEVERITY_COLOUR, EntityType, Severity
from audit.context import TRACE_ID
from audit.models import AuditLog


def entry_of(row: AuditLog) -> Entry:
    return cast(Entry, row.entry)  # type: ignore[attr-defined]


@admin.register(AuditLog)
class AuditLogAdmin(KeysetAdmin[AuditLog]):
    keyset = ("created_at", "audit_id")
    badges = {"severity": SEVERITY_COLOUR}
    list_display = [
        columns.when("created_at", "when"),
        "who",
        "did",
        "to_what",
        "for_campaign",
        "weight",
        columns.trace(),
    ]
    list_display_links = None
    list_filter = ["entity_type", "actor_type", "severity"]
    search_fields = ["trace_id"]  # see get_search_results
    search_help_text = "Trace, key, person, agent or program"
    fieldsets = [
        (None, {"fields": ["who", "action", "to_what", "for_campaign", "output_summary", "severity"]}),
        ("Under which names", {"fields": ["actor_type", "actor_id", "tool_name", "entity_type", "entity_id"]}),
        ("What changed", {"fields": ["changes", "inputs_hash"]}),
        ("When", {"fields": ["created_at", "trace_id"]}),
    ]

    readonly_fields = ["who", "to_what", "for_campaign"]

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> AuditLog | None:
        row = super().get_object(request, object_id, from_field)
        return self.prepare(request, [row])[0] if row else None

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        entry = entry_of(context["original"])
        context["heading"] = f"{entry.actor} {entry.did} {entry.kind} {entry.entity}"
        return super().render_change_form(request, context, *args, **kwargs)

    def prepare(self, request: HttpRequest, rows: list[AuditLog]) -> list[AuditLog]:
        for row, entry in zip(rows, read(rows, request.user), strict=True):
            row.entry = entry  # type: ignore[attr-defined]
        return rows

    @admin.display(description="who")
    def who(self, row: AuditLog) -> str:
        return entry_of(row).actor

    @admin.display(description="did")
    def did(self, row: AuditLog) -> str:
        url = cells.admin_url(row)
        return format_html('<a href="{}" title="All of this entry">{}</a>', url, entry_of(row).did)

    @admin.display(description="to what")
    def to_what(self, row: AuditLog) -> str:
        entry = entry_of(row)
        name = format_html('<a href="{}">{}</a>', entry.url, entry.entity) if entry.url else entry.entity
        return format_html('<span class="quiet">{}</span> {}', entry.kind, name)

    @admin.display(description="severity")
    def weight(self, row: AuditLog) -> str:
        """Only what matters is coloured."""
        if row.severity == Severity.INFO:
            return format_html('<span class="quiet">{}</span>', row.get_severity_display())
        return cells.state(row, "severity", SEVERITY_COLOUR)

    @admin.display(description="campaign")
    def for_campaign(self, row: AuditLog) -> str:
        return cells.link(entry_of(row).campaign)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[AuditLog], search_term: str
    ) -> tuple[QuerySet[AuditLog], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        if TRACE_ID.fullmatch(term):
            return queryset.filter(trace_id=term), False
        return queryset.filter(self._about(term) | Q(actor_id__in=[term, *_people(term)])), False

    def _about(self, term: str) -> Q:
        # The index begins with the type, so every type is named: PostgreSQL then looks once for each.
        return Q(entity_type__in=EntityType.values, entity_id=term)

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """An entry never changes; what belongs to it is its trace."""
        entry = self.get_object(request, object_id)
        if entry is None:
            raise Http404("There is no such entry.")
        return HttpResponseRedirect(reverse("admin:trace", args=[entry.trace_id]))


def _people(term: str) -> list[str]:
    people = get_user_model()._default_manager.filter(Q(email__iexact=term) | Q(display_name__icontains=term))
    return [f"user:{key}" for key in people.values_list("pk", flat=True)[:50]]
