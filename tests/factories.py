"""Rows for tests, made by the verbs that make them in life: every row is in a legal state and has its audit rows.

Everything has a default; give only what the test is about.
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from itertools import count
from typing import Any

from django.contrib.auth.models import Group
from django.utils import timezone

from accounts.models import User
from agents.choices import AgentStatus
from agents.models import Agent
from audit.choices import ActorType
from audit.context import Actor
from campaigns.choices import UNREVIEWED_TYPES, CampaignStatus, TaskStatus, TaskType
from campaigns.models import Campaign, Task
from campaigns.services import claim_tasks, complete_task, create_task, release_task
from content.choices import ArtifactType, Decision
from content.models import Artifact, PublishRecord, ReviewDecision, ReviewItem
from content.services import claim_posts, decide_artifact, decide_review_item, publish_succeeded, submit_artifact
from metrics.choices import MetricType
from metrics.models import MetricEvent
from metrics.services.ingest import Measurement, append_events

PASSWORD = "correct horse battery staple"
PLANNER = Actor(ActorType.PLANNER, "planner-1")
number = count(1)


def make_user(group: str = "", **fields: Any) -> User:
    """A person, in one of `config.groups` when it is given; the password is PASSWORD."""
    n = next(number)
    defaults = {"email": f"person{n}@example.org", "display_name": f"Person {n}", "password": PASSWORD}
    user = User.objects.create_user(**(defaults | fields))
    if group:
        user.groups.add(Group.objects.get(name=group))
    return user


def make_campaign(**fields: Any) -> Campaign:
    defaults = {
        "name": f"Campaign {next(number)}",
        "goal": "5,000 sign-ups by Christmas, without promises.",
        "target_platforms": ["tiktok", "instagram"],
        "budget_cap_etb": Decimal("1000.00"),
        "status": CampaignStatus.ACTIVE,
        "constraints": {"review_policy": {"blind_share": 0}},  # no test leans on a draw
    }
    return Campaign.objects.create(**(defaults | fields))


def make_agent(agent_id: str = "", **fields: Any) -> Agent:
    agent_id = agent_id or f"writer-{next(number)}"
    return Agent.objects.create(**({"agent_id": agent_id, "status": AgentStatus.ACTIVE} | fields))


def make_task(**fields: Any) -> Task:
    """A pending task; `actor` plans it (a person as actor is remembered as its maker)."""
    defaults: dict[str, Any] = {
        "task_type": TaskType.DRAFT_POST,
        "context": {"brief": "Three fees to avoid"},
        "actor": PLANNER,
        "title": f"Task {next(number)}",
    }
    values = defaults | fields
    values["campaign"] = values.get("campaign") or make_campaign()
    values["agent"] = values.get("agent") or make_agent()
    return create_task(**values)


def worker(task: Task) -> Actor:
    return Actor(ActorType.WORKER, task.agent_id)


def claimed_task(**fields: Any) -> Task:
    """A task in progress under a lease of its agent."""
    return claim(make_task(**fields))


def claim(task: Task) -> Task:
    """That one in progress, and no other of its agent."""
    claimed = {each.pk: each for each in claim_tasks(agent=task.agent, actor=worker(task), limit=1000)}
    mine = claimed.pop(task.pk, None)
    assert mine is not None, "the task could not be claimed: is its campaign active, its agent too?"
    for other in claimed.values():
        release_task(task=other, actor=worker(task))
    return mine


def make_artifact(
    *,
    task: Task | None = None,
    content: bytes | None = b"Ask for the amount that arrives.",
    content_ref: str = "",
    content_sha256: str = "",
    artifact_type: str = ArtifactType.TEXT,
    metadata: dict[str, Any] | None = None,
    sources: list[Any] | None = None,
    **task_fields: Any,
) -> Artifact:
    """A worker's result, its task in review (or done, where nothing is reviewed)."""
    task = task if task is not None else claimed_task(**task_fields)
    artifact = submit_artifact(
        task=task,
        artifact_type=artifact_type,
        actor=worker(task),
        content=None if content_ref else content,
        content_ref=content_ref,
        content_sha256=content_sha256,
        metadata=metadata,
        sources=sources,
    )
    complete_task(task=task, actor=worker(task))
    artifact.task.refresh_from_db()
    return artifact


def made_anew(artifact: Artifact, content: bytes, **fields: Any) -> Artifact:
    """The next version, after a judge has rejected this one."""
    judged(artifact=artifact, decision=Decision.REJECT, reasons=["too loud"])
    retry = artifact.task.retries.get()
    retry.change("update", not_before=None)
    return make_artifact(task=claim(retry), content=content, **fields)


def make_judge() -> Agent:
    return Agent.objects.filter(agent_id="judge-2").first() or make_agent("judge-2")


def judged(
    *,
    artifact: Artifact | None = None,
    decision: str = Decision.APPROVE,
    confidence: str = "0.62",
    reasons: Sequence[Any] = ("claim softened, source dated",),
    policy_hits: Sequence[Any] = (),
    judge: Agent | None = None,
    **artifact_fields: Any,
) -> ReviewDecision:
    """A judge's decision; at 0.62 an approval waits for a person, at 0.95 it is published, a rejection is retried."""
    judge = judge or make_judge()
    return decide_artifact(
        artifact=artifact or make_artifact(**artifact_fields),
        judge=judge,
        decision=decision,
        confidence=Decimal(confidence),
        reasons=reasons,
        policy_hits=policy_hits,
        actor=Actor(ActorType.JUDGE, judge.pk),
    )


def waiting_item(**fields: Any) -> ReviewItem:
    """What waits for a person, because the judge was unsure; `fields` are those of `judged` and `make_artifact`."""
    decision = judged(**fields)
    return ReviewItem.objects.open().select_related("artifact", "task", "campaign").get(artifact=decision.artifact)


def decided_item(decision: str = Decision.APPROVE, *, person: User, **fields: Any) -> ReviewItem:
    """An item that `person` has just decided: it can still be taken back."""
    item = waiting_item(**fields)
    decide_review_item(item_id=item.pk, decision=decision, reasons=["Read it."], actor=Actor.human(person))
    item.refresh_from_db()
    return item


def queued_posts(**fields: Any) -> list[PublishRecord]:
    """One queued post for each platform, from an approval that a judge was sure of."""
    decision = judged(**({"confidence": "0.95"} | fields))
    return list(PublishRecord.objects.filter(artifact=decision.artifact).order_by("platform"))


def claimed_post(**fields: Any) -> PublishRecord:
    """A post that a publisher has in hand, on the first of its campaign's platforms."""
    record = queued_posts(**fields)[0]
    for claimed in claim_posts(platform=record.platform, actor=Actor.system("publisher"), limit=1000):
        if claimed.pk == record.pk:
            return claimed
    raise AssertionError("the post could not be claimed: does its campaign run?")


def published_post(post_id: str = "", *, at: datetime | None = None, **fields: Any) -> PublishRecord:
    """A post that is out, on the first of its campaign's platforms."""
    record = claimed_post(**fields)
    return publish_succeeded(
        record=record,
        platform_post_id=post_id or f"7{next(number):018}",
        published_at=at or timezone.now(),
        actor=Actor.system("publisher"),
    )


def make_events(post: PublishRecord, amount: int = 1, **fields: Any) -> list[MetricEvent]:
    """Measurements of a published post."""
    defaults = {
        "campaign_id": post.campaign_id,
        "agent": post.artifact.task.agent,
        "content": post.artifact,
        "platform": post.platform,
        "metric_type": MetricType.VIEWS,
        "metric_value": 10,
        "observed_at": timezone.now(),
        "source": "platform_api",
    }
    return MetricEvent.objects.create_all([MetricEvent(**(defaults | fields)) for _ in range(amount)])


def total_of(post: PublishRecord, total: int, observed_at: datetime) -> None:
    """What a source reports: so many views by then, of all times."""
    assert post.platform_post_id
    seen = Measurement(
        1, post.platform, MetricType.VIEWS, observed_at, "platform_api", post.platform_post_id, total=total
    )
    append_events(measurements=[seen], actor=PLANNER)


def task_in(status: TaskStatus, **fields: Any) -> Task:
    """A task in the given state, on the way that leads there."""
    if status == TaskStatus.PENDING:
        return make_task(**fields)
    task = claimed_task(**fields)
    if status == TaskStatus.FAILED:
        return task.change("fail", status=status, error="The model timed out.")
    if status == TaskStatus.REVIEW or (status == TaskStatus.DONE and task.task_type in UNREVIEWED_TYPES):
        return make_artifact(task=task).task
    if status == TaskStatus.DONE:
        judged(artifact=make_artifact(task=task), confidence="0.99")
        task.refresh_from_db()
    return task


# The smallest picture: one transparent pixel.
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c"
    "6360606060000000050001a5f645400000000049454e44ae426082"
)
