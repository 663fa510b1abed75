"""Artifacts, reviews and posts in the console. People look, and decide; agents and verbs write."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import OuterRef, Q, QuerySet, Subquery, TextField, Value
from django.db.models.functions import Cast, Coalesce, Concat, NullIf
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import mark_safe

from accounts.models import User
from audit.admin import cells, columns
from audit.admin.base import ReadOnlyAdmin
from campaigns.choices import TaskStatus
from campaigns.filters import CampaignFilter, PlatformFilter
from campaigns.models import Task
from content.blind import seen_by
from content.choices import (
    DECISION_COLOUR,
    PUBLISH_COLOUR,
    REVIEW_ITEM_COLOUR,
    VIDEO_COLOUR,
    Hold,
)
from content.filters import HoldFilter, QueueFilter, TargetFilter, TierFilter, TypeFilter
from content.frame import file_address, frame_address
from content.models import Artifact, PublishRecord, ReviewDecision, ReviewItem, VideoAsset
from content.post_page import reading
from content.reading import due_in_words, judges_decision, reasons_in_words
from content.services.happened import reviewer_name
from content.services.review import PERMISSION
from content.shown import shown
from content.versions import history
from content.views.bulk import bulk
from content.views.item import desk, review_item
from content.views.next import claim, next_item, release

HOLD_COLOUR = {Hold.OPERATOR: "warn", Hold.CAMPAIGN: "warn", Hold.OUTCOME_UNKNOWN: "bad"}


@admin.register(Artifact)
class ArtifactAdmin(ReadOnlyAdmin[Artifact]):
    list_display = [
        "__str__",
        "artifact_type",
        columns.number("version"),
        columns.link("campaign"),
        "made_by",
        columns.when("created_at", "made"),
        columns.trace(lambda artifact: artifact.task.trace_id),
    ]
    list_select_related = ["task__agent", "campaign"]
    list_filter = ["artifact_type", CampaignFilter]
    search_fields = ["task__title", "task__agent__agent_id", "campaign__name", "=publish_records__platform_post_id"]
    search_help_text = "Task, agent, campaign, post id or trace"
    ordering = ["-created_at", "-artifact_id"]
    fieldsets = [
        ("What its maker tells", {"fields": ["metadata", "sources"]}),
        ("Record", {"fields": ["content_ref", "content_sha256", "created_at"]}),
    ]
    change_form_template = "admin/content/artifact/change_form.html"

    def get_urls(self) -> list[URLPattern]:
        opened = [
            path(f"<uuid:key>/{name}/", self.admin_site.admin_view(self._opens(leads)), name=f"content_artifact_{name}")
            for name, leads in (("alone", frame_address), ("file", file_address))
        ]
        return [*opened, *super().get_urls()]

    def _opens(self, leads: Callable[[Artifact, Any], str]) -> Callable[[HttpRequest, UUID], HttpResponse]:
        """A view that leads to the signed address, which ends; the console's own can be kept."""

        def view(request: HttpRequest, key: UUID) -> HttpResponse:
            artifact = self.get_object(request, str(key))
            if artifact is None:
                raise Http404("There is no such artifact.")
            if not self.has_view_permission(request, artifact):
                raise PermissionDenied
            return HttpResponseRedirect(leads(artifact, request.user))

        return view

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        artifact = self.get_object(request, object_id)
        told = {}
        if artifact and self.has_view_permission(request, artifact):
            told["history"] = history(artifact, request.user, against=request.GET.get("against", ""))
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **told})

    @admin.display(description="made by")
    def made_by(self, artifact: Artifact) -> str:
        return cells.link(artifact.task.agent)


@admin.register(VideoAsset)
class VideoAssetAdmin(ReadOnlyAdmin[VideoAsset]):
    list_display = [
        "__str__",
        columns.badge("status", VIDEO_COLOUR),
        "platform",
        "tier",
        columns.link("agent"),
        columns.link("task"),
        columns.when("created_at"),
        columns.trace(lambda video: video.task.trace_id),
    ]
    list_select_related = ["agent", "task"]
    list_filter = ["status", TierFilter]
    search_fields = ["agent__agent_id", "task__title", "=platform", "=character_reference_id"]
    search_help_text = "Agent, task, platform, character or trace"
    ordering = ["-created_at", "-video_asset_id"]
    badges = {"status": VIDEO_COLOUR}
    change_form_template = "admin/content/videoasset/change_form.html"

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        video = context["original"]
        told = video.metadata if isinstance(video.metadata, dict) else {}
        context["outside"] = cells.web_address(told.get("external_url"))
        context["shown"] = shown(video.artifact) if video.artifact else None
        return super().render_change_form(request, context, *args, **kwargs)


def in_words(decision: ReviewDecision) -> str:
    """With the person's name, and not the key that the row has."""
    return f"{decision.get_decision_display()} by {reviewer_name(decision)}"


@admin.register(ReviewDecision)
class ReviewDecisionAdmin(ReadOnlyAdmin[ReviewDecision]):
    list_display = [
        "on_what",
        columns.badge("decision", DECISION_COLOUR),
        columns.number("confidence_score", "confidence"),
        "who",
        "next_action",
        columns.when("created_at"),
        columns.trace(),
    ]
    list_select_related = ["artifact", "task"]
    list_filter = ["decision", "reviewer_type", "next_action"]
    search_fields = ["task__title", "=reviewer_id", "task__agent__agent_id", "task__campaign__name"]
    search_help_text = "Task, judge, agent, campaign or trace"
    ordering = ["-created_at", "-review_id"]
    badges = {"decision": DECISION_COLOUR}
    change_form_template = "admin/content/reviewdecision/change_form.html"
    fields = [
        *("task", "artifact", "decision", "who", "reviewer_type", "confidence_score", "reasons", "policy_hits"),
        *("next_action", "artifact_sha256", "trace_id", "created_at"),
    ]
    readonly_fields = ["who"]

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        decision = context["original"]
        context |= {"heading": in_words(decision), "shown": shown(decision.artifact)}
        return super().render_change_form(request, context, *args, **kwargs)

    def get_queryset(self, request: HttpRequest) -> QuerySet[ReviewDecision]:
        """With the name of the person who decided; people are few, so that no index is needed."""
        handle = Concat(Value("user:"), Cast("pk", TextField()), output_field=TextField())
        people = User.objects.annotate(handle=handle).filter(handle=OuterRef("reviewer_id"))
        email = Cast("email", TextField())
        unnamed = Value("", output_field=TextField())
        name = Coalesce(NullIf("display_name", unnamed), email, output_field=TextField())
        seen = seen_by(request.user, super().get_queryset(request))
        return seen.annotate(person=Subquery(people.annotate(name=name).values("name")[:1]))

    @admin.display(description="by")
    def who(self, decision: ReviewDecision) -> str:
        return getattr(decision, "person", None) or decision.reviewer_id or str(decision.get_reviewer_type_display())

    @admin.display(description="on")
    def on_what(self, decision: ReviewDecision) -> str:
        return f"{decision.artifact.get_artifact_type_display()} v{decision.artifact.version} of {decision.task}"


@admin.register(ReviewItem)
class ReviewItemAdmin(ReadOnlyAdmin[ReviewItem]):
    """The queue: the riskiest first, then by deadline. Its page is where people decide."""

    list_display = [
        "tick",
        "what",
        "why",
        "due",
        "holder",
        columns.link("campaign"),
        columns.when("opened_at", "waits since"),
    ]
    list_display_links = ["what"]
    list_select_related = ["artifact", "task__agent", "campaign", "claimed_by"]
    list_filter = [QueueFilter, "reason", TypeFilter, TargetFilter, CampaignFilter]
    search_fields = ["task__title", "campaign__name", "task__agent__agent_id"]
    search_help_text = "Task, campaign, agent or trace"
    ordering = ["-risk", "due_at", "review_item_id"]
    sortable_by = ()
    search_within = {Task: Q(status=TaskStatus.REVIEW)}  # what waits is the work of few tasks

    def get_ordering(self, request: HttpRequest) -> Any:
        """What waits no more is a record: the newest first."""
        return ["-review_item_id"] if request.GET.get(QueueFilter.parameter_name) else self.ordering

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return super().changelist_view(request, {"title": "Review desk", **desk(request), **(extra_context or {})})

    def get_urls(self) -> list[URLPattern]:
        def guarded(view: Callable[..., HttpResponse]) -> Any:
            return self.admin_site.admin_view(view)

        return [
            path("next/", guarded(next_item), name="content_reviewitem_next"),
            path("bulk/", guarded(bulk), name="content_reviewitem_bulk"),
            path("<uuid:key>/claim/", guarded(claim), name="content_reviewitem_claim"),
            path("<uuid:key>/release/", guarded(release), name="content_reviewitem_release"),
            *super().get_urls(),
        ]

    def get_list_display(self, request: HttpRequest) -> Any:
        """Boxes to tick are for those who can decide what they tick."""
        return self.list_display if request.user.has_perm(PERMISSION) else self.list_display[1:]

    def get_queryset(self, request: HttpRequest) -> QuerySet[ReviewItem]:
        return super().get_queryset(request).prefetch_related("artifact__decisions")

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        item = self.get_object(request, object_id)
        if item is None or not self.has_view_permission(request, item):
            return super().change_view(request, object_id, form_url, extra_context)  # says why
        return review_item(request, item.pk)

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        item = self.get_object(request, object_id)
        if not self.has_view_permission(request, item):
            raise PermissionDenied
        return HttpResponseRedirect(f"../../../../../trace/{item.task.trace_id}/" if item else "../")

    @admin.display(description=mark_safe('<span class="visually-hidden">choose</span>'))
    def tick(self, item: ReviewItem) -> str:
        if not item.is_open:
            return ""
        return format_html(
            '<input type="checkbox" name="item" value="{}" form="bulk" aria-label="Choose {}">', item.pk, item.task
        )

    @admin.display(description="what waits")
    def what(self, item: ReviewItem) -> str:
        kind = f"{item.artifact.get_artifact_type_display()} · version {item.artifact.version} · {item.task.agent}"
        return format_html('{}<span class="quiet line">{}</span>', item.task, kind)

    @admin.display(description="why")
    def why(self, item: ReviewItem) -> str:
        told = reasons_in_words(item, judges_decision(item))
        badges = ((cells.badge(words, colour),) for words, colour in told)
        return format_html('<span class="badges">{}</span>', format_html_join(" ", "{}", badges))

    @admin.display(description="due")
    def due(self, item: ReviewItem) -> str:
        words, colour = due_in_words(item)
        return cells.badge(words, colour) if words else cells.state(item, "status", REVIEW_ITEM_COLOUR)

    @admin.display(description="in hand")
    def holder(self, item: ReviewItem) -> str:
        """Who is looking at it now."""
        until = item.claimed_until
        if not item.is_open or until is None or until <= timezone.now():
            return cells.EMPTY
        return format_html("{} until {}", item.claimed_by, cells.clock(until))


@admin.register(PublishRecord)
class PublishRecordAdmin(ReadOnlyAdmin[PublishRecord]):
    """The record of a post; what is done with it has pages of its own (`content.post_page`)."""

    change_form_template = "admin/content/publishrecord/change_form.html"
    empty_because = "They appear here when something that was made is approved."
    list_display = [
        "what",
        "platform",
        columns.badge("status", PUBLISH_COLOUR),
        columns.badge("hold", HOLD_COLOUR),
        "platform_post_id",
        columns.link("campaign"),
        columns.when("scheduled_for", "leaves"),
        columns.when("published_at", "published"),
        columns.trace(lambda post: post.artifact.task.trace_id),
    ]
    list_select_related = ["artifact__task__agent", "campaign", "decision"]
    list_filter = ["status", HoldFilter, PlatformFilter, CampaignFilter, "adopted"]
    search_fields = ["=platform_post_id", "artifact__task__title", "campaign__name"]
    search_help_text = "Post id, task, campaign or trace"
    ordering = ["-created_at", "-publish_id"]
    badges = {"status": PUBLISH_COLOUR, "hold": HOLD_COLOUR}
    fieldsets = [
        (None, {"fields": ["artifact", "campaign", "platform", "status", "hold", "error"]}),
        ("On the platform", {"fields": ["platform_post_id", "published_at", "scheduled_for", "disclosure_level"]}),
        ("What allows it", {"fields": ["approval", "adopted", "content_sha256"]}),
        (
            "Lease",
            {
                "fields": ["attempt", "lease_expires_at", "lease_epoch", "claimed_at"],
                "classes": ["collapse"],
            },
        ),
        ("Record", {"fields": ["trace", "created_at", "updated_at"]}),
    ]
    readonly_fields = ["approval", "trace"]

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        context["reading"] = told = reading(request, context["original"])
        context["heading"] = told["heading"]
        return super().render_change_form(request, context, *args, **kwargs)

    @admin.display(description="post")
    def what(self, post: PublishRecord) -> str:
        return str(post.artifact)

    @admin.display(description="trace")
    def trace(self, post: PublishRecord) -> str:
        return cells.trace_link(post.artifact.task.trace_id, post.artifact.task.trace_id)

    @admin.display(description="decision")
    def approval(self, post: PublishRecord) -> str:
        if post.decision is None:
            return cells.EMPTY
        return format_html('<a href="{}">{}</a>', cells.admin_url(post.decision), in_words(post.decision))
