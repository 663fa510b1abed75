"""Campaigns in the console: the list with its verbs, the page with its figures, the form."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils.html import format_html, format_html_join

from audit.admin import cells, columns
from audit.admin.base import ConsoleAdmin
from audit.base import called
from campaigns.admin.choosing import buttons, chooser
from campaigns.choices import CAMPAIGN_COLOUR, VERB_COLOUR, CampaignStatus, CampaignVerb
from campaigns.forms import CampaignForm
from campaigns.models import Campaign
from campaigns.reading import figures
from campaigns.rules import taken_apart
from campaigns.services import possible_verbs
from campaigns.services.consequences import bounded
from campaigns.views.campaigns import control, control_many, may_control

IN_WORDS = {
    "approve_threshold": "A judge’s approval is enough from a confidence of {}.",
    "blind_share": "Of those, a share of {} is checked by people all the same.",
    "due_minutes": "People have {} minutes.",
    "judge_minutes": "Judges have {} minutes.",
}


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
    change_list_template = "admin/campaigns/change_list.html"
    list_display = ["name", "state", "budget_used", "where", "why", columns.when("created_at")]
    list_select_related = ["controlled_by"]
    list_filter = ["status"]
    search_fields = ["name", "goal"]
    search_help_text = "Name, or words of its goal"
    ordering = ["-created_at"]
    long_texts = frozenset({"goal"})
    badges = {"status": CAMPAIGN_COLOUR}
    fieldsets = [
        (None, {"fields": ["name", "goal", "target_platforms"]}),
        ("Budget", {"fields": ["budget_cap_etb"]}),
        ("Time window", {"fields": ["start_time", "end_time"]}),
        ("Rules", {"fields": ["rules"]}),
        ("Review policy", {"fields": ["approve_threshold", "blind_share", "due_minutes", "judge_minutes", "reasons"]}),
        ("Other rules (JSON)", {"fields": ["constraints"], "classes": ["collapse"]}),
    ]
    record_fieldset = ("Record", {"fields": ["epoch", "created_at", "updated_at"], "classes": ["collapse"]})
    # For people who only look: the columns as they are, since the fields of the JSON are the form's alone.
    view_fieldsets = [
        (None, {"fields": ["name", "goal", "target_platforms"]}),
        ("Budget", {"fields": ["budget_cap_etb"]}),
        ("Time window", {"fields": ["start_time", "end_time"]}),
        ("Rules", {"fields": ["rules_in_words", "constraints"]}),
        record_fieldset,
    ]

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).filter(deleted_at=None)

    def get_fieldsets(self, request: HttpRequest, obj: Campaign | None = None) -> Any:
        if obj is None:
            (_, first), *others = self.fieldsets
            return [(None, {"fields": [*first["fields"], "status"]}), *others]
        return [*self.fieldsets, self.record_fieldset] if self.has_change_permission(request) else self.view_fieldsets

    def get_readonly_fields(self, request: HttpRequest, obj: Campaign | None = None) -> list[str]:
        return ["epoch", "created_at", "updated_at", "rules_in_words"]

    def get_list_display(self, request: HttpRequest) -> Any:
        return [chooser, *self.list_display] if may_control(request) else self.list_display

    def get_list_display_links(self, request: HttpRequest, list_display: Any) -> Any:
        return ["name"]

    def get_urls(self) -> list[URLPattern]:
        guarded = self.admin_site.admin_view
        pages = [
            path("<uuid:key>/control/<slug:verb>/", guarded(control), name="campaigns_campaign_control"),
            path("control/<slug:verb>/", guarded(control_many), name="campaigns_campaign_control_many"),
        ]
        return [*pages, *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        shown = buttons("campaigns_campaign_control_many", CampaignVerb, VERB_COLOUR) if may_control(request) else []
        return super().changelist_view(request, {"choose": shown, **(extra_context or {})})

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """A form that is saved puts back as it is *now* what the person did not touch: nobody writes in between."""
        if request.method != "POST" or object_id is None:
            return super().changeform_view(request, object_id, form_url, extra_context)
        with transaction.atomic():
            campaign = self.get_object(request, unquote(object_id))
            if campaign is not None and self.has_change_permission(request, campaign):
                list(Campaign.objects.select_for_update(no_key=True).filter(pk=campaign.pk).values("pk"))
            return super().changeform_view(request, object_id, form_url, extra_context)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        campaign = self.get_object(request, object_id)
        if campaign is None or not self.has_view_permission(request, campaign):
            return super().change_view(request, object_id, form_url, extra_context)  # says why
        verbs = possible_verbs(campaign) if may_control(request) else []
        controls = {
            "campaign": campaign,
            "verbs": [(verb, VERB_COLOUR.get(verb) == "bad") for verb in verbs],
            "is_stopped_short": campaign.status == CampaignStatus.PAUSED,
            "state": state_badge(campaign),
            "figures": figures(campaign, request.user),
            "budget": budget(campaign),
            "left": campaign.budget_cap_etb - campaign.spent_etb - campaign.reserved_etb,
            "beyond_budget": bounded(campaign.tasks.beyond_budget()),
        }
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **controls})

    @admin.display(description="in words")
    def rules_in_words(self, campaign: Campaign) -> str:
        parts, _ = taken_apart(campaign.constraints)
        told = [
            *parts.get("rules", []),
            *(words.format(parts[name]) for name, words in IN_WORDS.items() if name in parts),
        ]
        return format_html_join("", '<span class="line">{}</span>', ((line,) for line in told)) or cells.EMPTY

    @admin.display(description="state", ordering="status")
    def state(self, campaign: Campaign) -> str:
        return state_badge(campaign)

    @admin.display(description="budget used")
    def budget_used(self, campaign: Campaign) -> str:
        return budget(campaign)

    @admin.display(description="platforms")
    def where(self, campaign: Campaign) -> str:
        return called(", ".join(campaign.platforms[:4])) or cells.EMPTY

    @admin.display(description="why it is so")
    def why(self, campaign: Campaign) -> str:
        if not campaign.control_reason:
            return cells.EMPTY
        who = campaign.controlled_by or "Gatehouse"
        return format_html(
            '<span class="clip">“{}” <span class="quiet">{}</span></span>', called(campaign.control_reason), who
        )
