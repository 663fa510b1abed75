"""Metrics in the console: all of it is only looked at."""

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from audit.admin import cells, columns
from audit.admin.base import ReadOnlyAdmin, as_key
from audit.admin.keyset import KeysetAdmin
from audit.context import TRACE_ID
from campaigns.filters import CampaignFilter, PlatformFilter
from campaigns.models import Campaign
from content.models import Artifact, PublishRecord
from metrics.choices import ArchiveState
from metrics.models import MetricArchive, MetricCorrection, MetricCounter, MetricEvent

ARCHIVE_COLOUR = {
    ArchiveState.EXPORTING: "warn",
    ArchiveState.VERIFIED: "info",
    ArchiveState.DETACHED: "info",
    ArchiveState.DROPPED: "good",
    ArchiveState.RESTORED: "warn",
}
MOST = 50  # posts or campaigns that a search of events stands for


@admin.register(MetricEvent)
class MetricEventAdmin(KeysetAdmin[MetricEvent]):
    """Newest first by key, which is the order of arrival; by observation where an index has it (campaign, content)."""

    empty_because = "They appear here when measurements are ingested."
    keyset = ("event_id",)
    list_display = [
        "event",
        "platform",
        "metric_type",
        columns.number("metric_value", "increase"),
        columns.link("campaign"),
        columns.link("agent"),
        columns.link("content"),
        columns.when("observed_at", "observed"),
        columns.trace(lambda event: event.content.task.trace_id),
    ]
    list_display_links = ["event"]
    readonly_fields = ["trace"]
    list_select_related = ["campaign", "agent", "content__task"]
    list_filter = ["metric_type", PlatformFilter, CampaignFilter]
    search_fields = ["content__publish_records__platform_post_id"]  # see get_search_results
    search_help_text = "Post id, campaign, trace or key"

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return [*super().get_fields(request, obj), "trace"]

    @admin.display(description="trace")
    def trace(self, event: MetricEvent) -> str:
        trace_id = event.content.task.trace_id
        return cells.trace_link(trace_id, trace_id)

    def key(self, request: HttpRequest) -> tuple[str, ...]:
        narrowed = "campaign" in request.GET or "content" in request.GET or "observed_at__gte" in request.GET
        return ("observed_at", "event_id") if narrowed else self.keyset

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[MetricEvent], search_term: str
    ) -> tuple[QuerySet[MetricEvent], bool]:
        """Names are looked up in the small tables first, so that the events are read by their indexes."""
        term = search_term.strip()
        if not term:
            return queryset, False
        if TRACE_ID.fullmatch(term):
            made = Artifact.objects.filter(task__trace_id=term).values_list("pk", flat=True)[:MOST]
            return queryset.filter(content__in=list(made)), False
        if key := as_key(self.opts.pk, term):
            return queryset.filter(pk=key), False
        posts = PublishRecord.objects.filter(platform_post_id=term).values_list("artifact", flat=True)[:MOST]
        campaigns = Campaign.objects.filter(name__icontains=term).values_list("pk", flat=True)[:MOST]
        return queryset.filter(Q(content__in=list(posts)) | Q(campaign__in=list(campaigns))), False

    @admin.display(description="event")
    def event(self, event: MetricEvent) -> str:
        return cells.code(event.event_id, 8)


@admin.register(MetricCounter)
class MetricCounterAdmin(ReadOnlyAdmin[MetricCounter]):
    empty_because = "They appear here when totals are ingested, one for each post and metric."
    list_display = [
        columns.text("publish", "post"),
        "metric_type",
        columns.number("highest_total"),
        columns.number("last_total"),
        columns.number("first_total"),
        "source",
        columns.when("last_observed_at", "last observed"),
    ]
    list_select_related = ["publish"]
    list_filter = ["metric_type"]
    search_fields = ["=publish__platform_post_id", "publish__campaign__name"]
    search_help_text = "Post id or campaign"
    ordering = ["-metric_counter_id"]  # the newest posts first: an index on what each total changes would slow them


@admin.register(MetricCorrection)
class MetricCorrectionAdmin(ReadOnlyAdmin[MetricCorrection]):
    empty_because = "They appear here when a platform reports a lower total than before."
    list_display = [
        columns.text("publish", "post"),
        "metric_type",
        columns.number("from_total", "from"),
        columns.number("to_total", "to"),
        "source",
        columns.when("observed_at", "observed"),
    ]
    list_select_related = ["publish"]
    list_filter = ["metric_type"]
    search_fields = ["=publish__platform_post_id", "publish__campaign__name"]
    search_help_text = "Post id or campaign"
    ordering = ["-metric_correction_id"]


@admin.register(MetricArchive)
class MetricArchiveAdmin(ReadOnlyAdmin[MetricArchive]):
    empty_because = "A month that leaves the database leaves its receipt here."
    list_display = [
        "__str__",
        columns.badge("state", ARCHIVE_COLOUR),
        columns.number("row_count", "rows"),
        columns.number("byte_count", "bytes"),
        "created_by",
        columns.when("created_at"),
    ]
    list_filter = ["state", "table_name"]
    search_fields = ["table_name", "created_by"]
    search_help_text = "Table, or who ran it"
    ordering = ["-range_start", "table_name"]
    badges = {"state": ARCHIVE_COLOUR}
