"""Every verb of the API in every state: it does what the transition table allows, or refuses and changes nothing."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from agents.choices import TokenRole
from audit.context import Actor
from campaigns.choices import TASK_TRANSITIONS, TaskStatus, TaskType
from campaigns.models import Task
from campaigns.services import halt_campaign, stop_campaign
from config.groups import OPERATOR
from content.choices import PUBLISH_TRANSITIONS, Hold, PublishStatus
from content.models import PublishRecord
from content.services import publish_failed, publish_succeeded, publish_unknown
from tests.factories import claimed_post, claimed_task, make_artifact, make_task, make_user, queued_posts, task_in

pytestmark = pytest.mark.django_db
PUBLISHER = Actor.system("publisher")


def operator() -> Actor:
    return Actor.human(make_user(OPERATOR))


def with_artifact(task: Task) -> Task:
    """Something to review, so that it could be completed."""
    from content.services import submit_artifact
    from tests.factories import worker

    submit_artifact(task=task, artifact_type="text", content=b"x", actor=worker(task))
    return task


def ended(row: Any) -> Any:
    return row.change("test", lease_expires_at=timezone.now() - timedelta(seconds=1))


def halted(row: Any) -> Any:
    halt_campaign(campaign_id=row.campaign_id, actor=operator(), reason="because")
    return row


def stopped(row: Any) -> Any:
    stop_campaign(campaign_id=row.campaign_id, actor=operator(), reason="because")
    return row


# Each gives the task and the lease that its worker had, or would like to have.
TASKS: dict[str, Callable[[], Task]] = {
    "pending": make_task,
    "in_progress": lambda: with_artifact(claimed_task()),
    "review": lambda: make_artifact(task=claimed_task()).task,
    "done": lambda: task_in(TaskStatus.DONE, task_type=TaskType.DRAFT_POST),
    "failed": lambda: task_in(TaskStatus.FAILED),
    "lease ended": lambda: ended(with_artifact(claimed_task())),
    "halted": lambda: halted(with_artifact(claimed_task())),
    "stopped": lambda: stopped(with_artifact(claimed_task())),
}
TASK_VERBS: dict[str, tuple[dict[str, Any], TaskStatus]] = {
    "heartbeat": ({}, TaskStatus.IN_PROGRESS),
    "artifacts": ({"artifact_type": "text", "text": "y"}, TaskStatus.IN_PROGRESS),
    "complete": ({}, TaskStatus.REVIEW),
    "fail": ({"error": "The model timed out."}, TaskStatus.FAILED),
    "release": ({}, TaskStatus.PENDING),
}


@pytest.mark.parametrize("verb", TASK_VERBS)
@pytest.mark.parametrize("state", TASKS)
def test_every_verb_of_a_worker_in_every_state(machine, state: str, verb: str) -> None:
    task = TASKS[state]()
    lease, before = task.lease_id or uuid4(), Task.objects.filter(pk=task.pk).values().get()
    made = task.artifacts.count()
    body, leads_to = TASK_VERBS[verb]
    answer = machine(TokenRole.WORKER).post(f"tasks/{task.pk}/{verb}", {"lease_id": str(lease), **body})
    after = Task.objects.filter(pk=task.pk).values().get()
    if state == "in_progress":
        assert answer.status_code in (200, 201), answer.content
        assert after["status"] == leads_to
        assert leads_to in TASK_TRANSITIONS[TaskStatus.IN_PROGRESS] | {TaskStatus.IN_PROGRESS}
    else:
        assert (answer.status_code, answer["Content-Type"]) == (409, "application/problem+json")
        assert (after, task.artifacts.count()) == (before, made)


@pytest.mark.parametrize("state", TASKS)
def test_only_what_is_pending_is_handed_out(machine, state: str) -> None:
    task = TASKS[state]()
    body = {"agent_id": task.agent_id, "limit": 100}
    handed_out = machine(TokenRole.WORKER).post("tasks/claim", body).json()["tasks"]
    assert [each["task_id"] for each in handed_out] == ([str(task.pk)] if state == "pending" else [])


@pytest.mark.parametrize("decision", ["approve", "reject", "escalate"])
@pytest.mark.parametrize("state", TASKS)
def test_only_what_is_in_review_is_judged(machine, state: str, decision: str) -> None:
    task = TASKS[state]()
    judging = machine(TokenRole.JUDGE)
    handed_out = judging.post("artifacts/claim", {"limit": 100}).json()["artifacts"]
    assert [each["task_id"] for each in handed_out] == ([str(task.pk)] if state == "review" else [])
    artifact = task.artifacts.first()
    if artifact is None:
        return
    before = Task.objects.filter(pk=task.pk).values().get()
    lease = handed_out[0]["lease_id"] if handed_out else str(uuid4())
    body = {"lease_id": lease, "decision": decision, "confidence": "0.95", "reasons": ["-"]}
    answer = judging.post(f"artifacts/{artifact.pk}/decision", body)
    after = Task.objects.filter(pk=task.pk).values().get()
    if state == "review":
        leads_to = {"approve": "done", "reject": "failed", "escalate": "review"}[decision]
        assert (answer.status_code, after["status"]) == (201, leads_to)
        assert judging.post(f"artifacts/{artifact.pk}/decision", body).status_code == 409
    else:
        assert (answer.status_code, after) == (409, before)


def settled(out: bool) -> PublishRecord:
    record = claimed_post()
    if out:
        publish_succeeded(record=record, platform_post_id="7000", published_at=timezone.now(), actor=PUBLISHER)
    else:
        publish_failed(record=record, error="x", actor=PUBLISHER)
    return record


def unknown() -> PublishRecord:
    record = claimed_post()
    publish_unknown(record=record, error="x", actor=PUBLISHER)
    return record


POSTS: dict[str, Callable[[], PublishRecord]] = {
    "queued": lambda: queued_posts()[0],
    "leased": claimed_post,
    "published": lambda: settled(out=True),
    "failed": lambda: settled(out=False),
    "unknown": unknown,
    "lease ended": lambda: ended(claimed_post()),
    "halted": lambda: halted(claimed_post()),
    "stopped": lambda: stopped(claimed_post()),
}
POST_VERBS: dict[str, tuple[dict[str, Any], PublishStatus]] = {
    "heartbeat": ({}, PublishStatus.QUEUED),
    "published": ({"platform_post_id": "7001"}, PublishStatus.PUBLISHED),
    "failed": ({"error": "x"}, PublishStatus.FAILED),
    "unknown": ({"error": "x"}, PublishStatus.QUEUED),
    "release": ({}, PublishStatus.QUEUED),
}


@pytest.mark.parametrize("verb", POST_VERBS)
@pytest.mark.parametrize("state", POSTS)
def test_every_verb_of_a_publisher_in_every_state(machine, state: str, verb: str) -> None:
    record = POSTS[state]()
    before = PublishRecord.objects.filter(pk=record.pk).values().get()
    body, leads_to = POST_VERBS[verb]
    given = {"lease_id": str(record.lease_id or uuid4()), **body}
    if verb == "published":
        given["content_sha256"] = record.content_sha256
    answer = machine(TokenRole.PUBLISHER).post(f"posts/{record.pk}/{verb}", given)
    after = PublishRecord.objects.filter(pk=record.pk).values().get()
    if state == "leased":
        assert (answer.status_code, after["status"]) == (200, leads_to)
        assert leads_to in PUBLISH_TRANSITIONS[PublishStatus.QUEUED] | {PublishStatus.QUEUED}
        return
    assert (answer.status_code, answer["Content-Type"]) == (409, "application/problem+json")
    if verb == "published" and state in {"failed", "unknown", "lease ended", "halted", "stopped"}:
        # The evidence of a late publisher, and nothing else.
        assert after["platform_post_id"] == "7001"
        assert after["status"] == before["status"]
        assert after["hold"] == (None if state == "failed" else Hold.OUTCOME_UNKNOWN)
    else:
        assert after == before


@pytest.mark.parametrize("state", POSTS)
def test_only_what_is_queued_and_free_is_handed_out(machine, state: str) -> None:
    record = POSTS[state]()
    if state in {"halted", "stopped"}:
        PublishRecord.objects.queued().exclude(pk=record.pk).drop("test", "out of the way")
    body = {"platform": record.platform, "limit": 100}
    handed_out = machine(TokenRole.PUBLISHER).post("posts/claim", body).json()["posts"]
    assert [each["publish_id"] for each in handed_out] == ([str(record.pk)] if state == "queued" else [])
