"""The audit log in the console: newest first, never counted, searched by its own form (see `log_search`)."""

from datetime import datetime
from typing import Any, cast
from uuid import UUID

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html

from audit.admin import cells, columns
from audit.admin.entries import Entry, read
from audit.admin.keyset import NEWER, OLDER, KeysetAdmin, KeysetChangeList
from audit.admin.log_search import NAMES_OF_FIELDS, LogSearch, edge
from audit.choices import SEVERITY_COLOUR, Severity
from audit.leases import without_leases
from audit.models import AuditLog
from audit.seals import SEALED

FIRST_KEY, LAST_KEY = UUID(int=0), UUID(int=2**128 - 1)


def entry_of(row: AuditLog) -> Entry:
    return cast(Entry, row.entry)  # type: ignore[attr-defined]


class LogChangeList(KeysetChangeList):
    """Pages by key within what the search may look at; `looked` says how far that was, `further_url` goes on."""

    search: LogSearch
    limit: int | None = None
    looked: datetime | None = None
    further_url = ""

    def get_filters_params(self, params: Any = None) -> dict[str, Any]:
        found = super().get_filters_params(params)
        return {name: value for name, value in found.items() if name not in NAMES_OF_FIELDS}

    def get_queryset(
        self, request: HttpRequest, exclude_parameters: list[str | None] | None = None
    ) -> QuerySet[AuditLog]:
        self.search = LogSearch(request.GET)
        found = self.search.narrow(super().get_queryset(request, exclude_parameters))
        self.limit = found.limit
        self.has_active_filters = bool(self.search.given) or not self.search.is_right
        return found.rows

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        if self.has_active_filters:
            self.estimate = None
        if not self.looked:
            return
        if NEWER in request.GET and OLDER not in request.GET:
            self.newer_url = self.newer_url or self._from(NEWER, self.looked, LAST_KEY)
        elif not self.older_url:
            self.further_url = self._from(OLDER, self.looked, FIRST_KEY)

    def _from(self, direction: str, moment: datetime, key: UUID) -> str:
        return str(self.get_query_string({direction: f"{moment.isoformat()}_{key}"}, [OLDER, NEWER]))

    def _page(
        self, queryset: QuerySet[AuditLog], key: tuple[str, ...], cursor: str | None, *, backwards: bool
    ) -> tuple[list[Any], bool]:
        if self.limit:
            start = self._values(key, cursor)[0] if cursor else self.search.given.get("until")
            queryset = self._within(queryset, edge(self.limit, start, older=not backwards), backwards)
        return super()._page(queryset, key, cursor, backwards=backwards)

    def _within(self, queryset: QuerySet[AuditLog], moment: datetime | None, backwards: bool) -> QuerySet[AuditLog]:
        """As far as may be looked; where the search itself ends sooner, there is nothing further."""
        since, until = self.search.given.get("since"), self.search.given.get("until")
        if moment is None or (until and moment >= until if backwards else since and moment <= since):
            return queryset
        self.looked = moment
        return queryset.filter(created_at__lte=moment) if backwards else queryset.filter(created_at__gte=moment)


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
    search_fields = ["trace_id"]  # see log_search
    change_list_template = "admin/audit/auditlog/change_list.html"
    fieldsets = [
        (None, {"fields": ["who", "action", "to_what", "for_campaign", "output_summary", "severity"]}),
        ("Under which names", {"fields": ["actor_type", "actor_id", "tool_name", "entity_type", "entity_id"]}),
        ("What changed", {"fields": ["changes", "inputs_hash", "seal"]}),
        ("When", {"fields": ["created_at", "trace_id"]}),
    ]

    readonly_fields = ["who", "to_what", "for_campaign", "seal"]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return LogChangeList

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> AuditLog | None:
        row = super().get_object(request, object_id, from_field)
        return self.prepare(request, [row])[0] if row else None

    def told(self, row: AuditLog) -> AuditLog:
        return without_leases(row)

    @admin.display(description="hash")
    def seal(self, row: AuditLog) -> str:
        """Computed anew from what stands there now."""
        sealed = AuditLog.objects.filter(pk=row.pk, created_at=row.created_at).values_list(SEALED, flat=True).first()
        if sealed is None:
            return cells.EMPTY
        if sealed:
            return cells.badge("agrees with what changed", "good")
        why = "Its writer gave a hash of its own, or what stands here is not what was written."
        return format_html('{} <span class="quiet">{}</span>', cells.badge("does not agree", "bad"), why)

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        entry = entry_of(context["original"])
        context["heading"] = f"{entry.actor} {entry.did} {entry.kind} {entry.entity}"
        return super().render_change_form(request, context, *args, **kwargs)

    def prepare(self, request: HttpRequest, rows: list[AuditLog]) -> list[AuditLog]:
        for row, entry in zip(rows, read([self.told(row) for row in rows], request.user), strict=True):
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
        return queryset, False  # the list's own search has done it

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """An entry never changes; what belongs to it is its trace."""
        entry = self.get_object(request, object_id)
        if not self.has_view_permission(request, entry):
            raise PermissionDenied
        if entry is None:
            raise Http404("There is no such entry.")
        return HttpResponseRedirect(reverse("admin:trace", args=[entry.trace_id]))
