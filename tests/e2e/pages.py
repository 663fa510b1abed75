"""The addresses of the console: each registered model's pages, and the pages of its own."""

from collections.abc import Iterator

from django.contrib import admin
from django.contrib.admin.utils import quote
from django.urls import reverse

from campaigns.models import Campaign, Task
from content.choices import ReviewItemStatus
from content.models import ReviewItem


def of_models() -> Iterator[tuple[str, str]]:
    """(name, path) of the list and of one row of every model."""
    for model in sorted(admin.site._registry, key=lambda found: found._meta.label_lower):
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        label = f"{model._meta.app_label}-{model._meta.model_name}"
        yield f"{label}-list", reverse(f"{name}_changelist")
        row = model._default_manager.first()
        if row is not None:
            yield f"{label}-row", reverse(f"{name}_change", args=[quote(row.pk)])


def adding() -> Iterator[tuple[str, str]]:
    for label in (
        "accounts_user",
        "agents_agent",
        "agents_apitoken",
        "auth_group",
        "campaigns_campaign",
        "campaigns_task",
    ):
        yield f"{label.replace('_', '-')}-add", reverse(f"admin:{label}_add")


def own() -> Iterator[tuple[str, str]]:
    yield "control-room", reverse("admin:index")
    yield "search", reverse("admin:search") + "?q=meskel"
    yield "search-empty", reverse("admin:search") + "?q=nothing+like+it"
    yield "password", reverse("admin:password_change")
    yield "api", reverse("api-docs")
    task = Task.objects.get(title="Thread: the ceremony")
    yield "trace", reverse("admin:trace", args=[task.trace_id])
    for verb in ("pause", "halt", "stop"):
        campaign = Campaign.objects.get(name="Meskel launch")
        yield f"control-{verb}", reverse("admin:campaigns_campaign_control", args=[campaign.pk, verb])
    paused = Campaign.objects.get(name="Diaspora remittance")
    yield "control-resume", reverse("admin:campaigns_campaign_control", args=[paused.pk, "resume"])
    for name in ("Meskel launch", "Rainy season tips", "Diaspora remittance"):
        yield f"campaign-{name.split()[0].lower()}", campaign_page(name)
    waiting = ReviewItem.objects.get(task__title="Reel: 3 fees to avoid")
    yield "review-waiting", reverse("admin:content_reviewitem_change", args=[waiting.pk])
    decided = ReviewItem.objects.filter(status=ReviewItemStatus.DECIDED).first()
    assert decided is not None
    yield "review-decided", reverse("admin:content_reviewitem_change", args=[decided.pk])


def campaign_page(name: str) -> str:
    return reverse("admin:campaigns_campaign_change", args=[Campaign.objects.get(name=name).pk])
