"""Campaigns, tasks and the one switch in the console."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils.html import format_html

from audit.admin import cells, columns
from audit.admin.base import ConsoleAdmin, ReadOnlyAdmin
from audit.context import Actor
from campaigns.choices import CAMPAIGN_COLOUR, TASK_COLOUR, VERB_COLOUR, CampaignStatus, TaskPriority
from campaigns.filters import CampaignFilter
from campaigns.forms import CampaignForm, TaskForm
from campaigns.models import RANK, Campaign, SystemControl, Task
from campaigns.services import create_task, possible_verbs
from campaigns.views import control, may_control

PRIORITY_COLOUR = {TaskPriority.HIGH: "warn"}


def state_badge(campaign: Campaign) -> str:
    """As `campaign.state` says it: a halt is a pause that cut work off, and looks like one."""
    return cells.badge(
        campaign.state, "bad" if campaign.halted_at else CAMPAIGN_COLOUR[CampaignStatus(campaign.status)]
    )


def budget(campaign: Campaign) -> str:
    used, cap = campaign.spent_etb + campaign.reserved_etb, campaign.budget_cap_etb
    share = f"{100 * used / cap:.0f} % of {cap:,.0f} ETB" if cap else "no budget"
    return cells.meter(used, cap, share)


@admin.register(Campaign)
class CampaignAdmin(ConsoleAdmin[Campaign]):
    """Status and controls are changed by the verbs, each on a page of its own, and never in this form."""

    form = CampaignForm
    change_form_template = "admin/campaigns/campaign/change_form.html"
    list_display = ["name", "state", "budget_used", "where", "why", columns.when("created_at")]
    list_select_related = ["controlled_by"]
    list_filter = ["status"]
    search_fields = ["name", "goal"]
    search_help_text = "Name, or words of its goal"
    ordering = ["-created_at"]
    long_texts = frozenset({"goal"})
    badges = {"status": CAMPAIGN_COLOUR}
    readonly_fields = ["spent_etb", "reserved_etb", "epoch", "created_at", "updated_at"]
    fieldsets = [
        (None, {"fields": ["name", "goal", "target_platforms"]}),
        ("Budget", {"fields": ["budget_cap_etb", "spent_etb", "reserved_etb"]}),
        ("Time window", {"fields": ["start_time", "end_time"]}),
        ("Rules", {"fields": ["constraints"]}),
        ("Record", {"fields": ["epoch", "created_at", "updated_at"], "classes": ["collapse"]}),
    ]
    add_fieldsets = [
        (None, {"fields": ["name", "goal", "target_platforms", "status"]}),
        ("Budget", {"fields": ["budget_cap_etb"]}),
        ("Time window", {"fields": ["start_time", "end_time"]}),
        ("Rules", {"fields": ["constraints"]}),
    ]

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).filter(deleted_at=None)

    def get_fieldsets(self, request: HttpRequest, obj: Campaign | None = None) -> Any:
        return self.fieldsets if obj else self.add_fieldsets

    def get_urls(self) -> list[URLPattern]:
        page = path(
            "<uuid:key>/control/<slug:verb>/", self.admin_site.admin_view(control), name="campaigns_campaign_control"
        )
        return [page, *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        campaign = self.get_object(request, object_id)
        verbs = possible_verbs(campaign) if campaign and may_control(request) else []
        controls = {
            "campaign": campaign,
            "verbs": [(verb, VERB_COLOUR.get(verb) == "bad") for verb in verbs],
            "is_stopped_short": campaign is not None and campaign.status == CampaignStatus.PAUSED,
            "state": state_badge(campaign) if campaign else "",
            "budget": budget(campaign) if campaign else "",
            "beyond_budget": campaign.tasks.beyond_budget().count() if campaign else 0,
        }
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **controls})

    @admin.display(description="state", ordering="status")
    def state(self, campaign: Campaign) -> str:
        return state_badge(campaign)

    @admin.display(description="budget used")
    def budget_used(self, campaign: Campaign) -> str:
        return budget(campaign)

    @admin.display(description="platforms")
    def where(self, campaign: Campaign) -> str:
        return ", ".join(campaign.platforms[:4]) or cells.EMPTY

    @admin.display(description="why it is so")
    def why(self, campaign: Campaign) -> str:
        if not campaign.control_reason:
            return cells.EMPTY
        who = campaign.controlled_by or "Gatehouse"
        return format_html('<span class="clip">“{}” <span class="quiet">{}</span></span>', campaign.control_reason, who)


@admin.register(Task)
class TaskAdmin(ConsoleAdmin[Task]):
    """People plan tasks; everything that happens to one afterwards is an agent's or a verb's doing."""

    form = TaskForm
    list_display = [
        "__str__",
        columns.badge("status", TASK_COLOUR),
        "urgency",
        columns.link("campaign"),
        columns.link("agent"),
        "tries",
        columns.when("created_at"),
        columns.trace(),
    ]
    list_select_related = ["campaign", "agent"]
    list_filter = ["status", "task_type", "priority", CampaignFilter]
    search_fields = ["title", "agent__agent_id", "agent__display_name", "campaign__name"]
    search_help_text = "Title, agent, campaign or trace"
    ordering = ["-created_at", "-task_id"]
    autocomplete_fields = ["campaign", "agent"]
    badges = {"status": TASK_COLOUR, "priority": PRIORITY_COLOUR}
    long_texts = frozenset({"error"})
    fieldsets = [
        (None, {"fields": ["campaign", "agent", "task_type", "title", "status", "priority", "error"]}),
        ("What it works from", {"fields": ["context"]}),
        ("Tries", {"fields": ["attempt", "max_attempts", "parent_task", "not_before"]}),
        ("Cost", {"fields": ["reserve_etb", "cost_etb"]}),
        ("Lease", {"fields": ["lease_id", "lease_expires_at", "lease_epoch", "claimed_at"]}),
        ("Record", {"fields": ["trace_id", "created_by", "created_at", "updated_at"]}),
    ]
    add_fieldsets = [
        (None, {"fields": ["campaign", "agent", "task_type", "priority", "title"]}),
        ("What it works from", {"fields": ["context"]}),
        ("Tries and cost", {"fields": ["not_before", "max_attempts", "reserve_etb"]}),
    ]

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).filter(deleted_at=None)

    def get_fieldsets(self, request: HttpRequest, obj: Task | None = None) -> Any:
        return self.fieldsets if obj else self.add_fieldsets

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Task, form: Any, change: bool) -> None:
        """Through the service, so that whoever plans it is remembered as a maker."""
        planned = create_task(actor=Actor.human(request.user), **form.cleaned_data)
        obj.__dict__.update(planned.__dict__)

    @admin.display(description="priority", ordering=RANK)
    def urgency(self, task: Task) -> str:
        """Coloured only where it asks for haste; sorted by rank, and not by the letters of the word."""
        high = task.priority == TaskPriority.HIGH
        return cells.state(task, "priority", PRIORITY_COLOUR) if high else str(task.get_priority_display())

    @admin.display(description="try", ordering="attempt")
    def tries(self, task: Task) -> str:
        return f"{task.attempt + 1} of {task.max_attempts}"


@admin.register(SystemControl)
class SystemControlAdmin(ReadOnlyAdmin[SystemControl]):
    list_display = ["__str__", "control_reason", "controlled_by", columns.when("controlled_at", "since")]
    list_select_related = ["controlled_by"]
    search_fields = ["control_reason", "controlled_by__display_name"]
    search_help_text = "Reason, or who gave it"
