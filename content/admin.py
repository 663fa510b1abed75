"""Artifacts, reviews and posts in the console. People look, and decide; agents and verbs write."""

from typing import Any

from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery, TextField, Value
from django.db.models.functions import Cast, Coalesce, Concat, NullIf
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.html import format_html, format_html_join

from accounts.models import User
from audit.admin import cells, columns
from audit.admin.base import ReadOnlyAdmin
from campaigns.filters import CampaignFilter, PlatformFilter
from content.choices import (
    DECISION_COLOUR,
    PUBLISH_COLOUR,
    REVIEW_ITEM_COLOUR,
    VIDEO_COLOUR,
    Hold,
)
from content.filters import QueueFilter, TargetFilter, TypeFilter
from content.models import Artifact, PublishRecord, ReviewDecision, ReviewItem, VideoAsset
from content.preview import preview
from content.reading import due_in_words, judges_decision, reasons_in_words
from content.services.review import reviewer_name
from content.views import review_item

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
    search_fields = ["task__title", "task__agent__agent_id", "campaign__name", "publish_records__platform_post_id"]
    search_help_text = "Task, agent, campaign, post id or trace"
    ordering = ["-created_at", "-artifact_id"]
    fieldsets = [
        (None, {"fields": ["task", "campaign", "artifact_type", "version", "trace"]}),
        ("Content", {"fields": ["content", "content_ref", "content_sha256"]}),
        ("What its maker tells", {"fields": ["metadata", "sources"]}),
        ("When", {"fields": ["created_at"]}),
    ]
    readonly_fields = ["content", "trace"]

    @admin.display(description="made by")
    def made_by(self, artifact: Artifact) -> str:
        return cells.link(artifact.task.agent)

    @admin.display(description="trace")
    def trace(self, artifact: Artifact) -> str:
        return cells.trace_link(artifact.task.trace_id, artifact.task.trace_id)

    @admin.display(description="content")
    def content(self, artifact: Artifact) -> str:
        seen = preview(artifact)
        if seen.address:
            return cells.outside(seen.address)
        return format_html('<pre class="content">{}</pre>', seen.text) if seen.text else seen.sentence


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
    list_filter = ["status", "tier"]
    search_fields = ["agent__agent_id", "task__title", "platform", "character_reference_id"]
    search_help_text = "Agent, task, platform, character or trace"
    ordering = ["-created_at"]
    badges = {"status": VIDEO_COLOUR}


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
    search_fields = ["task__title", "reviewer_id", "task__agent__agent_id", "task__campaign__name"]
    search_help_text = "Task, judge, agent, campaign or trace"
    ordering = ["-created_at", "-review_id"]
    badges = {"decision": DECISION_COLOUR}
    fields = [
        *("task", "artifact", "decision", "who", "reviewer_type", "confidence_score", "reasons", "policy_hits"),
        *("next_action", "artifact_sha256", "trace_id", "created_at"),
    ]
    readonly_fields = ["who"]

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        context["heading"] = in_words(context["original"])
        return super().render_change_form(request, context, *args, **kwargs)

    def get_queryset(self, request: HttpRequest) -> QuerySet[ReviewDecision]:
        """With the name of the person who decided; people are few, so that no index is needed."""
        handle = Concat(Value("user:"), Cast("pk", TextField()), output_field=TextField())
        people = User.objects.annotate(handle=handle).filter(handle=OuterRef("reviewer_id"))
        email = Cast("email", TextField())
        unnamed = Value("", output_field=TextField())
        name = Coalesce(NullIf("display_name", unnamed), email, output_field=TextField())
        return super().get_queryset(request).annotate(person=Subquery(people.annotate(name=name).values("name")[:1]))

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
        "what",
        "why",
        "due",
        "level_of",
        columns.link("campaign"),
        columns.when("opened_at", "waits since"),
    ]
    list_select_related = ["artifact", "task__agent", "campaign"]
    list_filter = [QueueFilter, "reason", TypeFilter, TargetFilter, CampaignFilter]
    search_fields = ["task__title", "campaign__name", "task__agent__agent_id"]
    search_help_text = "Task, campaign, agent or trace"
    ordering = ["-risk", "due_at", "review_item_id"]
    sortable_by = ()

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return super().changelist_view(request, {"title": "Review desk", **(extra_context or {})})

    def get_queryset(self, request: HttpRequest) -> QuerySet[ReviewItem]:
        return super().get_queryset(request).prefetch_related("artifact__decisions")

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        item = self.get_object(request, object_id)
        if item is None or not self.has_view_permission(request, item):
            return super().change_view(request, object_id, form_url, extra_context)  # says why
        return review_item(request, str(item.pk))

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        item = self.get_object(request, object_id)
        return HttpResponseRedirect(f"../../../../../trace/{item.task.trace_id}/" if item else "../")

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

    @admin.display(description="level")
    def level_of(self, item: ReviewItem) -> str:
        return cells.badge("second person", "warn") if item.level > 1 else "first"


@admin.register(PublishRecord)
class PublishRecordAdmin(ReadOnlyAdmin[PublishRecord]):
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
    list_select_related = ["artifact__task", "campaign"]
    list_filter = ["status", "hold", PlatformFilter, CampaignFilter, "adopted"]
    search_fields = ["platform_post_id", "artifact__task__title", "campaign__name"]
    search_help_text = "Post id, task, campaign or trace"
    ordering = ["-created_at", "-publish_id"]
    badges = {"status": PUBLISH_COLOUR, "hold": HOLD_COLOUR}
    fieldsets = [
        (None, {"fields": ["artifact", "campaign", "platform", "status", "hold", "error"]}),
        ("On the platform", {"fields": ["platform_post_id", "published_at", "scheduled_for", "disclosure_level"]}),
        ("What allows it", {"fields": ["approval", "adopted", "content_sha256"]}),
        ("Lease", {"fields": ["attempt", "lease_id", "lease_expires_at", "lease_epoch", "claimed_at"]}),
        ("Record", {"fields": ["trace", "created_at", "updated_at"]}),
    ]
    readonly_fields = ["approval", "trace"]

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
