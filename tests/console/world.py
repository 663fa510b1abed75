"""A small world in which every table has rows, made by the verbs that make them in life."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.db import models
from django.utils import timezone

from accounts.services.invitations import invite_person
from agents.choices import TokenRole
from agents.models import ApiToken
from agents.services import retire_agent, suspend_agent
from audit.context import Actor
from audit.errors import TooLate
from audit.heartbeat import heartbeat
from campaigns.choices import TaskStatus
from campaigns.services import control_campaign
from config.groups import GROUPS, OPERATOR, REVIEWER
from content.choices import ArtifactType, Decision
from content.models import PublishRecord, VideoAsset
from content.services import hold_post, publish_failed, publish_succeeded, publish_unknown
from metrics.choices import ArchiveState, MetricType
from metrics.models import MetricArchive, MetricCorrection, MetricCounter
from metrics.services import Measurement, append_events
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
    _contents(given)
    _metrics(post)
    _others(post, operator)
    _controlled(operator)
    _publishing(operator)
    _agents(operator)
    invite_person(email="almaz@example.org", groups=[], actor=Actor.system("test"))
    for name, said in (("run_due", "3 settled."), ("rotate_partitions", "Every month was there.")):
        with heartbeat(name) as beat:
            beat.said = said


SOURCES = ["https://nbe.gov.et/rates", {"title": "World Bank corridor report", "url": "https://worldbank.org/x"}]


def _contents(given: dict[str, Any]) -> None:
    """Of each kind that is shown in another way: Markdown in two versions, a picture, a plan, a batch of metrics."""
    first = factories.make_artifact(**given, title="Article: three fees", content=ARTICLE, metadata=MARKDOWN)
    mended = ARTICLE.replace(b"guaranteed", b"fair")
    factories.waiting_item(artifact=factories.made_anew(first, mended, metadata=MARKDOWN))
    for kind, content in (
        (ArtifactType.IMAGE, factories.PNG),
        (ArtifactType.PLAN, PLAN),
        (ArtifactType.METRICS_BATCH, BATCH),
    ):
        factories.make_artifact(**given, title=f"Shown: {kind.label}", artifact_type=kind, content=content)


MARKDOWN = {"format": "markdown"}
ARTICLE = b"""# Three fees

Ask for the *guaranteed* rate. See [the table](https://nbe.gov.et/rates).

- transfer
- margin
"""
PLAN = b'{"goal": "5,000 sign-ups", "steps": [{"film": "the bonfire", "days": 2}, {"cut": "one minute"}]}'
BATCH = b"platform,metric,value\ntiktok,views,31200\ninstagram,views,1240\n"


def measure(post: models.Model, days: int = 28, hours: int = 6) -> None:
    """What a collector reports of a post every so many hours: a day has its high and its low, and later days less."""
    now, rows = timezone.now(), []
    for back in range(0, 24 * days, hours):
        height = (40 + back % 24 * 3 - back // 24) * hours // 4
        for kind, share in ((MetricType.VIEWS, 20), (MetricType.LIKES, 3), (MetricType.WATCH_TIME_SECONDS, 250)):
            what = {"platform": post.platform, "artifact_id": post.artifact_id, "source": "platform_api"}
            moment = now - timedelta(hours=back)
            rows.append(
                Measurement(
                    line=len(rows) + 1, metric_type=kind, observed_at=moment, increase=share * max(height, 0), **what
                )
            )
    append_events(measurements=rows, actor=Actor.system("collector"))


def _metrics(post: models.Model) -> None:
    now = timezone.now()
    common = {"metric_type": MetricType.VIEWS}
    measure(post)
    counter = {"publish": post, "source": "platform_api", **common}
    totals = {"highest_total": 30, "last_total": 30, "first_total": 5}
    whose = {"campaign": post.campaign, "agent": post.artifact.task.agent, "platform": post.platform}
    MetricCounter.objects.create(**counter, **whose, **totals, last_observed_at=now, first_observed_at=now)
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


def _publishing(operator: models.Model) -> None:
    """A post that is held, one that failed, one that nobody knows the end of and that was reported too late."""
    publisher, person = Actor.system("publisher"), Actor.human(operator)
    campaign = factories.make_campaign(name="Timket posters", target_platforms=["youtube"])
    given = {"campaign": campaign, "agent": factories.make_agent("painter-2", display_name="Painter 2")}
    held = factories.queued_posts(**given, title="Poster: the procession")[0]
    hold_post(publish_id=held.pk, actor=person, reason="the sponsor's name changed")
    failed = factories.claimed_post(**given, title="Poster: the water")
    publish_failed(record=failed, error="HTTP 500: the upload was refused", actor=publisher)
    late = factories.claimed_post(**given, title="Film: the eve of Timket", content=LONG.encode() * 3)
    publish_unknown(record=late, error="The connection broke after the upload.", actor=publisher)
    with suppress(TooLate):
        publish_succeeded(record=late, platform_post_id="tmkt-1", published_at=timezone.now(), actor=publisher)
    unknown = factories.claimed_post(**given, title="Caption: what to bring to Timket")
    publish_unknown(record=unknown, error="Its publisher went silent.", actor=publisher)


def _agents(operator: models.Model) -> None:
    """One that works, one that went quiet with work waiting, one that is suspended, one that is retired."""
    person, now = Actor.human(operator), timezone.now()
    campaign = factories.make_campaign(name="School meals")
    factories.claimed_task(campaign=campaign, agent=factories.make_agent("writer-7", agent_group="writers"))
    quiet = factories.make_agent("filmer-1", display_name="Filmer 1", agent_group="film")
    factories.make_task(campaign=campaign, agent=quiet, created_at=now - timedelta(hours=1))
    seen = now - timedelta(minutes=50)
    ApiToken.objects.create(
        **{"name": "film", "role": TokenRole.WORKER, "prefix": "gh_f_1234567", "token_sha256": "1" * 64},
        **{"agent": quiet, "last_used_at": seen},
    )
    suspend_agent(agent_id=factories.make_agent("writer-9").pk, actor=person, reason="it repeats itself")
    retire_agent(agent_id=factories.make_agent("writer-1").pk, actor=person, reason="writer-4 does its work")


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


def grow(times: int) -> None:
    """More of everything that `populate` has made, so much of it for the same campaign, agent, post and person."""
    post = PublishRecord.objects.get(platform_post_id="7291846372910001")
    campaign, writer = post.campaign, post.artifact.task.agent
    for index in range(times):
        people = {group: factories.make_user(group) for group in GROUPS}
        given = {"campaign": campaign, "agent": writer, "title": f"More of it {index}"}
        for status in TaskStatus:
            factories.task_in(status, **given)
        factories.waiting_item(**given, policy_hits=["medical claims", "a promise"], sources=SOURCES)
        factories.waiting_item(decision=Decision.ESCALATE, agent=factories.make_agent(owner=people[OPERATOR]))
        factories.decided_item(person=people[REVIEWER], **given)
        other = factories.published_post(**given)
        for measured in (post, other):
            factories.make_events(measured, amount=3)
        _rows_beside(other, index)
        _controlled(people[OPERATOR])


def _rows_beside(post: models.Model, index: int) -> None:
    """What no verb of these tests makes."""
    now, task = timezone.now(), post.artifact.task
    common = {"metric_type": MetricType.VIEWS}
    counter = {"publish": post, "source": "platform_api", **common}
    totals = {"highest_total": 30, "last_total": 30, "first_total": 5}
    whose = {"campaign": post.campaign, "agent": post.artifact.task.agent, "platform": post.platform}
    MetricCounter.objects.create(**counter, **whose, **totals, last_observed_at=now, first_observed_at=now)
    MetricCorrection.objects.create(**counter, from_total=30, to_total=28, observed_at=now)
    VideoAsset.objects.create(agent=task.agent, task=task, artifact=post.artifact, platform="tiktok", status="pending")
    ApiToken.objects.create(
        name=f"more {index}", role=TokenRole.WORKER, agent=task.agent, prefix="gh_w", token_sha256=f"{index + 1:064}"
    )
    AccessAttempt.objects.create(username=f"more {index}", ip_address="192.0.2.1", failures_since_start=2)
    AccessFailureLog.objects.create(username=f"more {index}", ip_address="192.0.2.1")
    AccessLog.objects.create(username=f"more {index}", ip_address="192.0.2.1")
