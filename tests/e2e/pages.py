"""The addresses of the console: each registered model's pages, and the pages of its own."""

from collections.abc import Iterator

from django.contrib import admin
from django.contrib.admin.utils import quote
from django.urls import reverse

from accounts.models import User
from agents.models import ApiToken
from audit.context import Actor
from campaigns.models import Campaign, Task
from config.notices import tell_what_waits
from content.choices import Hold, ReviewItemStatus
from content.models import Artifact, PublishRecord, ReviewItem
from tests.console.judges import judges_at_work


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
    yield (
        "audit-search",
        reverse("admin:audit_auditlog_changelist") + "?severity=warning&since=2020-01-01T00:00",
    )
    yield "archive", reverse("admin:archive")
    yield "slow-queries", reverse("admin:slow_queries")
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
    for name in ("image", "plan", "metrics batch"):
        kept = Artifact.objects.get(task__title=f"Shown: {name}")
        yield f"artifact-{name.split()[0]}", reverse("admin:content_artifact_change", args=[kept.pk])
    changed = Artifact.objects.get(task__title="Article: three fees", version=2)
    yield "artifact-changed", reverse("admin:content_artifact_change", args=[changed.pk])
    yield "decision", reverse("admin:content_reviewdecision_change", args=[changed.decisions.first().pk])
    yield from _of_people()
    yield from _of_publishing()
    yield from _of_agents()
    yield from _of_judges()
    yield from _of_metrics()
    yield from _of_operators()
    yield "review-decided", reverse("admin:content_reviewitem_change", args=[decided.pk])


def _of_operators() -> Iterator[tuple[str, str]]:
    """What is asked before several campaigns, everything, or a task are touched; and what cannot be done."""
    chosen = "&".join(f"chosen={campaign.pk}" for campaign in Campaign.objects.all())
    for verb in ("pause", "resume"):
        yield f"control-many-{verb}", reverse("admin:campaigns_campaign_control_many", args=[verb]) + f"?{chosen}"
    yield "system-halt", reverse("admin:system_control", args=["halt"])
    chosen = "&".join(f"chosen={task.pk}" for task in Task.objects.order_by("created_at")[:12])
    yield "task-many", reverse("admin:campaigns_task_operate_many", args=["retry"]) + f"?{chosen}"
    yield "task-reassign-all", reverse("admin:campaigns_task_reassign_all") + "?agent=writer-4"
    for verb, status in (
        ("retry", "failed"),
        ("release", "in progress"),
        ("reassign", "pending"),
        ("send_back", "in review"),
    ):
        task = Task.objects.get(title=f"Caption: Meskel bonfire ({status})")
        yield f"task-{verb}", reverse("admin:campaigns_task_operate", args=[task.pk, verb])
        yield f"task-{status.replace(' ', '-')}", reverse("admin:campaigns_task_change", args=[task.pk])


def _of_judges() -> Iterator[tuple[str, str]]:
    campaign = judges_at_work()
    yield "judges", reverse("admin:calibration")
    yield "judges-nobody", reverse("admin:calibration") + "?judge=nobody"
    yield "judges-threshold", reverse("admin:calibration_threshold") + f"?threshold=0.8&campaign={campaign.pk}"


def _of_metrics() -> Iterator[tuple[str, str]]:
    post = PublishRecord.objects.get(platform_post_id="7291846372910001")
    page = reverse("admin:metrics")
    yield "metrics", page
    yield "metrics-hours", f"{page}?period=24h&measure=likes"
    yield "metrics-year", f"{page}?period=12m&measure=watch_time_seconds"
    yield "metrics-further", f"{page}?list=worst"
    yield "metrics-campaign", reverse("admin:metrics_campaign", args=[post.campaign_id]) + "?period=7d"
    yield "metrics-content", reverse("admin:metrics_content", args=[post.artifact_id])
    yield "metrics-agent", reverse("admin:metrics_agent", args=["writer-4"])
    yield "metrics-platform", reverse("admin:metrics_platform", args=[post.platform])


def _of_people() -> Iterator[tuple[str, str]]:
    """What the clock would have told by the time that somebody looks."""
    tell_what_waits(actor=Actor.system("run_due"))
    yield "you", reverse("admin:you")
    yield "sessions", reverse("admin:sessions")
    yield "notifications", reverse("admin:notifications")
    yield "second-factor", reverse("admin:second_factor_begin")
    invited = User.objects.get(email="almaz@example.org")
    yield "invited", reverse("admin:accounts_user_change", args=[invited.pk])
    yield "password-forgotten", reverse("admin:password_reset")
    yield "password-sent", reverse("admin:password_reset_done")
    yield "password-chosen", reverse("admin:password_reset_complete")
    yield "join-ended", reverse("admin:join", args=["x", "y"])
    yield "password-link-ended", reverse("admin:password_reset_confirm", args=["x", "y"])


def _of_publishing() -> Iterator[tuple[str, str]]:
    yield "publishing", reverse("admin:publishing")
    for part in ("failures", "unknown"):
        yield f"publishing-{part}", reverse("admin:publishing_part", args=[part])
    posts = {
        "settle": PublishRecord.objects.get(platform_post_id="tmkt-1"),
        "again": PublishRecord.objects.get(artifact__task__title="Poster: the water"),
        "release": PublishRecord.objects.get(hold=Hold.OPERATOR),
        "reschedule": PublishRecord.objects.get(hold=Hold.OPERATOR),
    }
    for verb, post in posts.items():
        yield f"publishing-{verb}", reverse("admin:post_control", args=[post.pk, verb])
    yield "publishing-post", reverse("admin:content_publishrecord_change", args=[posts["again"].pk])


def _of_agents() -> Iterator[tuple[str, str]]:
    yield "agents", reverse("admin:agents")
    for key, verb in (("writer-7", "suspend"), ("writer-7", "retire"), ("writer-9", "reactivate")):
        yield f"agents-{verb}", reverse("admin:agent_control", args=[key, verb])
    yield "token-replace", reverse("admin:agents_apitoken_rotate", args=[ApiToken.objects.get(name="writers").pk])
    yield "agents-one", reverse("admin:agents_agent_change", args=["writer-7"])


def campaign_page(name: str) -> str:
    return reverse("admin:campaigns_campaign_change", args=[Campaign.objects.get(name=name).pk])
