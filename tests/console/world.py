"""A small world in which every table has rows, made by the verbs that make them in life."""

from datetime import UTC, datetime

from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.db import models
from django.utils import timezone

from agents.choices import TokenRole
from agents.models import ApiToken
from audit.context import Actor
from audit.heartbeat import heartbeat
from campaigns.choices import TaskStatus
from campaigns.services import control_campaign
from content.choices import Decision
from content.models import VideoAsset
from metrics.choices import ArchiveState, MetricType
from metrics.models import MetricArchive, MetricCorrection, MetricCounter, MetricRollup
from tests import factories

LONG = "Three fees to avoid when you send money home, told by those who pay them every month of the year "


def populate() -> None:
    """Campaigns and tasks in all their states, items that wait and that are decided, posts, events, tokens."""
    operator = factories.make_user("Operator", display_name="Sara Bekele")
    reviewer = factories.make_user("Reviewer", display_name="Dawit Haile")
    policy = {"approve_threshold": 0.85, "blind_share": 0}
    rules = {"review_policy": policy, "no": ["rate promises"]}
    campaign = factories.make_campaign(name="Meskel launch", constraints=rules)
    factories.make_campaign(name="School bags", status="draft", budget_cap_etb=0)
    writer = factories.make_agent("writer-4", owner=operator, campaign=campaign)
    for status in TaskStatus:
        factories.task_in(status, campaign=campaign, agent=writer, title=f"Caption: Meskel bonfire ({status.label})")
    given = {"campaign": campaign, "agent": writer}
    factories.waiting_item(**given, title="Reel: 3 fees to avoid", policy_hits=["medical claims"], sources=SOURCES)
    factories.waiting_item(**given, title="Caption: Meskel bonfire", confidence="0.71", content=LONG.encode() * 9)
    factories.waiting_item(**given, title="Text: how to send money", decision=Decision.ESCALATE)
    factories.decided_item(person=reviewer, **given, title="Thread: coffee ceremony")
    factories.decided_item(Decision.ESCALATE, person=reviewer, **given, title="Image: price card")
    post = factories.published_post("7291846372910001", **given, title="Thread: the ceremony")
    factories.make_events(post, amount=3)
    _metrics(post)
    _others(post, operator)
    _controlled(operator)
    for name, said in (("run_due", "3 settled."), ("rotate_partitions", "Every month was there.")):
        with heartbeat(name) as beat:
            beat.said = said


SOURCES = ["https://nbe.gov.et/rates", {"title": "World Bank corridor report", "url": "https://worldbank.org/x"}]


def _metrics(post: models.Model) -> None:
    now = timezone.now()
    common = {"metric_type": MetricType.VIEWS}
    row = {"campaign": post.campaign, "content": post.artifact, "agent": post.artifact.task.agent}
    MetricRollup.objects.create(
        **row, **common, platform=post.platform, bucket=now, sum=30, count=3, max=10, last_observed_at=now
    )
    counter = {"publish": post, "source": "platform_api", **common}
    MetricCounter.objects.create(**counter, highest_total=30, last_total=30, last_observed_at=now)
    MetricCorrection.objects.create(**counter, from_total=30, to_total=28, observed_at=now)
    MetricArchive.objects.create(
        table_name="metric_event",
        range_start=datetime(2020, 1, 1, tzinfo=UTC),
        range_end=datetime(2020, 2, 1, tzinfo=UTC),
        row_count=8_100_000,
        byte_count=123_456_789,
        files=[{"name": "part-0.parquet", "sha256": "0" * 64}],
        schema_fingerprint="1",
        state=ArchiveState.EXPORTING,
        created_by="archive_metrics",
    )


def _others(post: models.Model, operator: models.Model) -> None:
    task = post.artifact.task
    VideoAsset.objects.create(agent=task.agent, task=task, platform="tiktok", tier="hd", status="pending")
    ApiToken.objects.create(name="writers", role=TokenRole.WORKER, prefix="gh_w_1234567", token_sha256="0" * 64)
    AccessAttempt.objects.create(username="nobody", ip_address="192.0.2.1", failures_since_start=2)
    AccessFailureLog.objects.create(username="nobody", ip_address="192.0.2.1")
    AccessLog.objects.create(username="somebody", ip_address="192.0.2.1")


def _controlled(operator: models.Model) -> None:
    actor = Actor.human(operator)
    for name, verb, reason in CONTROLLED:
        campaign = factories.make_campaign(name=name, budget_cap_etb="2500.00")
        factories.queued_posts(campaign=campaign)
        factories.make_task(campaign=campaign, reserve_etb="3000.00", title=f"Film: {name}")
        control_campaign(verb, campaign_id=campaign.pk, actor=actor, reason=reason)


CONTROLLED = [
    ("Diaspora remittance", "pause", "legal wants another look"),
    ("Rainy season tips", "halt", "wrong price in draft"),
    ("Coffee stories", "stop", "the client left"),
]
