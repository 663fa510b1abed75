"""Which pages are measured, with rows that stand for many: the largest campaign, the longest trace, what waits longest.

The kinds are those of `tests/e2e/pages.py`, and a test says when one is missing here.
"""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.contrib.admin.utils import quote
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.urls import reverse

from accounts.models import User
from agents.models import ApiToken
from campaigns.choices import CampaignStatus, TaskStatus
from campaigns.models import Campaign, Task
from content.choices import Hold, PublishStatus, ReviewItemStatus
from content.models import Artifact, PublishRecord, ReviewItem
from metrics.models import MetricEvent

# How lists are asked for: narrowed, searched, sorted. By model; those that are read the most, and those that are large.
ASKED: dict[str, list[dict[str, Any]]] = {
    "campaigns.campaign": [{"q": "coffee"}, {"status__exact": "active"}],
    "campaigns.task": [{"q": "coffee"}, {"q": "nothing like it"}, {"status__exact": "failed"}, {"o": "5"}, {"p": "20"}],
    "content.artifact": [{"q": "coffee"}, {"artifact_type__exact": "video"}, {"p": "20"}],
    "content.reviewdecision": [{"q": "coffee"}, {"reviewer_type__exact": "human"}, {"decision__exact": "reject"}],
    "content.reviewitem": [{"q": "coffee"}, {"reason__exact": "policy_hit"}, {"p": "20"}],
    "content.publishrecord": [{"q": "coffee"}, {"status__exact": "failed"}, {"hold": "outcome_unknown"}],
    "content.videoasset": [{"q": "coffee"}, {"status__exact": "ready"}],
    "metrics.metricevent": [{"q": "coffee"}, {"metric_type__exact": "likes"}],
    "metrics.metriccounter": [{"q": "coffee"}],
    "audit.auditlog": [{"q": "writer-1"}, {"severity__exact": "warning"}, {"entity_type__exact": "campaign"}],
}
OF_CAMPAIGNS = {Task, Artifact, ReviewItem, PublishRecord, MetricEvent}


def addresses(person: User) -> Iterator[tuple[str, str]]:
    """(name, path) of every page that the person may see."""
    request = HttpRequest()
    request.user = person
    seen = [model for model in registered() if model_admin(model).has_view_permission(request)]
    for model in seen:
        yield from lists(model)
    for model in seen:
        if row := one_of(model):
            yield f"one of {label(model)}", reverse(f"{named(model)}_change", args=[quote(row.pk)])
    for model in seen:
        if model_admin(model).has_add_permission(request):
            yield f"{label(model)} new", reverse(f"{named(model)}_add")
    yield from own()


def registered() -> list[type[Model]]:
    return sorted(admin.site._registry, key=lambda found: found._meta.label_lower)


def model_admin(model: type[Model]) -> Any:
    return admin.site._registry[model]


def named(model: type[Model]) -> str:
    return f"admin:{model._meta.app_label}_{model._meta.model_name}"


def label(model: type[Model]) -> str:
    return str(model._meta.verbose_name_plural)


def lists(model: type[Model]) -> Iterator[tuple[str, str]]:
    path = reverse(f"{named(model)}_changelist")
    yield label(model), path
    for question in ASKED.get(model._meta.label_lower, []):
        yield f"{label(model)}: {' '.join(map(str, question.values()))}", f"{path}?{urlencode(question)}"
    if model in OF_CAMPAIGNS:
        yield f"{label(model)} of a campaign", f"{path}?{urlencode({'campaign': largest_campaign().pk})}"


def one_of(model: type[Model]) -> Model | None:
    chosen: dict[Any, QuerySet[Any]] = {
        Campaign: Campaign.objects.filter(pk=largest_campaign().pk),
        Task: Task.objects.filter(status=TaskStatus.DONE, attempt=1),
        Artifact: Artifact.objects.filter(version=2),
        ReviewItem: ReviewItem.objects.filter(status=ReviewItemStatus.OPEN, artifact__version=2),
    }
    everything = model._default_manager.all()
    return any_of(chosen.get(model, everything)) or any_of(everything)


def any_of(rows: QuerySet[Any]) -> Any:
    """One of the rows, whichever the database finds first: sorting a large table would take longer than the page."""
    return next(iter(rows.order_by()[:1]), None)


def largest_campaign() -> Campaign:
    return Campaign.objects.filter(status=CampaignStatus.ACTIVE).order_by("-spent_etb")[0]


def page(name: str, *key: Any, **asked: Any) -> str:
    """The address of a page of the admin site."""
    return reverse(f"admin:{name}", args=key) + (f"?{urlencode(asked, doseq=True)}" if asked else "")


def own() -> Iterator[tuple[str, str]]:
    """The pages that are no list and no form."""
    yield "control room", page("index")
    yield "control room, its moving part", page("control_room")
    for words in ("meskel", "coffee before", "nothing like it"):
        yield f"search: {words}", page("search", q=words)
    if post := any_of(PublishRecord.objects.filter(status=PublishStatus.PUBLISHED)):
        yield "search: a post", page("search", q=post.platform_post_id)
        yield "trace", page("trace", post.artifact.task.trace_id)
    yield "archive", page("archive")
    yield "slow queries", page("slow_queries")
    yield "API", reverse("api-docs")
    yield from of_people()
    yield from of_campaigns()
    yield from of_tasks()
    yield from of_publishing()
    yield from of_agents()
    yield from of_metrics()


def of_people() -> Iterator[tuple[str, str]]:
    for name in ("you", "sessions", "notifications", "second_factor_begin", "password_change"):
        yield name.replace("_", " "), page(name)
    for name in ("password_reset", "password_reset_done", "password_reset_complete"):
        yield name.replace("_", " "), page(name)
    for name in ("join", "password_reset_confirm"):
        yield f"{name.replace('_', ' ')}, ended", page(name, "x", "y")


def of_campaigns() -> Iterator[tuple[str, str]]:
    for verb in ("pause", "halt", "stop", "complete"):
        yield f"campaign {verb}", page("campaigns_campaign_control", largest_campaign().pk, verb)
    if paused := any_of(Campaign.objects.filter(status=CampaignStatus.PAUSED)):
        yield "campaign resume", page("campaigns_campaign_control", paused.pk, "resume")
    many = Campaign.objects.order_by("-spent_etb").values_list("pk", flat=True)[:20]
    for verb in ("pause", "resume"):
        yield f"20 campaigns {verb}", page("campaigns_campaign_control_many", verb, chosen=many)
    for verb in ("halt", "resume"):
        yield f"everything {verb}", page("system_control", verb)


def of_tasks() -> Iterator[tuple[str, str]]:
    states = {"retry": "failed", "release": "in_progress", "reassign": "pending", "send_back": "review"}
    for verb, status in states.items():
        task = any_of(Task.objects.filter(status=status))
        yield f"task {verb}", page("campaigns_task_operate", task.pk, verb)
        yield f"task that is {status}", page("campaigns_task_change", task.pk)
    many = Task.objects.filter(status=TaskStatus.FAILED).order_by("-created_at").values_list("pk", flat=True)[:50]
    yield "50 tasks retry", page("campaigns_task_operate_many", "retry", chosen=many)
    yield "all tasks of an agent reassign", page("campaigns_task_reassign_all", agent=busiest_agent())


def of_publishing() -> Iterator[tuple[str, str]]:
    yield "publishing", page("publishing")
    for part in ("failures", "unknown"):
        yield f"publishing, {part}", page("publishing_part", part)
    posts = PublishRecord.objects.order_by()
    settled = {
        "settle": posts.filter(hold=Hold.OUTCOME_UNKNOWN),
        "again": posts.filter(status=PublishStatus.FAILED),
        "release": posts.filter(hold=Hold.OPERATOR),
        "reschedule": posts.filter(status=PublishStatus.QUEUED, hold=None, lease_id=None),
    }
    for verb, rows in settled.items():
        if post := any_of(rows):
            yield f"post {verb}", page("post_control", post.pk, verb)
            yield f"post to {verb}", page("content_publishrecord_change", post.pk)


def of_agents() -> Iterator[tuple[str, str]]:
    yield "fleet", page("agents")
    for verb in ("suspend", "retire"):
        yield f"agent {verb}", page("agent_control", busiest_agent(), verb)
    if token := any_of(ApiToken.objects.order_by()):
        yield "token replace", page("agents_apitoken_rotate", token.pk)
    yield "the busiest agent", page("agents_agent_change", busiest_agent())
    yield "judges", page("calibration")
    yield "judges, a threshold", page("calibration_threshold", threshold="0.8", campaign=largest_campaign().pk)


def of_metrics() -> Iterator[tuple[str, str]]:
    """A year is the most that a page reads; hours are what is read the finest."""
    post = any_of(PublishRecord.objects.filter(status=PublishStatus.PUBLISHED))
    subjects: dict[str, list[Any]] = {
        "metrics": [],
        "metrics_campaign": [largest_campaign().pk],
        "metrics_agent": [busiest_agent()],
        "metrics_platform": [post.platform],
        "metrics_content": [post.artifact_id],
    }
    for name, key in subjects.items():
        for period in ("24h", "28d", "12m"):
            yield f"{name.replace('_', ' of a ')}, {period}", page(name, *map(str, key), period=period)
    yield "metrics, the list further", page("metrics", list="worst", period="12m")


def busiest_agent() -> Any:
    """One with work in hand."""
    return any_of(Task.objects.filter(status=TaskStatus.IN_PROGRESS)).agent_id
