"""Every verb through its door: what it gives, whom it lets in, what it costs in questions to the database."""

import hashlib
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from agents.choices import TokenRole
from audit.models import AuditLog
from campaigns.models import Task
from config.api import api
from content.models import Artifact, PublishRecord, ReviewItem
from tests.factories import (
    claimed_post,
    claimed_task,
    make_agent,
    make_artifact,
    make_campaign,
    make_judge,
    make_task,
    queued_posts,
    waiting_item,
)

pytestmark = pytest.mark.django_db
TRACE = "0af7651916cd43dd8448eb211c80319c"


def planned(campaign: Any, agent: Any, **given: Any) -> dict[str, Any]:
    return {
        "campaign_id": str(campaign.pk),
        "agent_id": agent.pk,
        "task_type": "draft_post",
        "context": {"brief": "Three fees"},
        **given,
    }


# --- The whole way ---------------------------------------------------------------------------------------------------


def test_from_a_plan_to_a_number_on_one_trace(machine) -> None:
    campaign, writer, judge = make_campaign(target_platforms=["tiktok"]), make_agent(), make_judge()
    planner, worker = machine(TokenRole.PLANNER, name="plans"), machine(TokenRole.WORKER, agent=writer, name="writes")
    judging, publisher = (
        machine(TokenRole.JUDGE, agent=judge, name="judges"),
        machine(TokenRole.PUBLISHER, name="posts"),
    )
    collector = machine(TokenRole.METRICS, name="counts")

    task = planner.post("tasks", planned(campaign, writer), **{"X-Trace-Id": TRACE}).json()
    assert (task["status"], task["trace_id"]) == ("pending", TRACE)
    (claimed,) = worker.post("tasks/claim", {}).json()["tasks"]
    assert (claimed["task_id"], claimed["campaign"]["goal"]) == (task["task_id"], campaign.goal)
    lease = {"lease_id": claimed["lease_id"]}
    path = f"tasks/{task['task_id']}"
    assert worker.post(f"{path}/heartbeat", lease).json()["stop"] is False
    made = worker.post(f"{path}/artifacts", {**lease, "artifact_type": "text", "text": "Ask for the amount."})
    artifact = made.json()
    assert made.status_code == 201
    assert artifact["content_sha256"] == hashlib.sha256(b"Ask for the amount.").hexdigest()
    assert worker.post(f"{path}/complete", lease).json()["status"] == "review"
    (judged,) = judging.post("artifacts/claim", {}).json()["artifacts"]
    assert judged["artifact_id"] == artifact["artifact_id"]
    decision = judging.post(
        f"artifacts/{artifact['artifact_id']}/decision",
        {"lease_id": judged["lease_id"], "decision": "approve", "confidence": "0.95", "reasons": ["on brief"]},
    )
    assert (decision.status_code, decision.json()["next_action"]) == (201, "publish")
    (post,) = publisher.post("posts/claim", {"platform": "TikTok"}).json()["posts"]
    said = {"lease_id": post["lease_id"], "platform_post_id": "7001", "content_sha256": artifact["content_sha256"]}
    out = publisher.post(f"posts/{post['publish_id']}/published", said).json()
    assert (out["status"], out["platform_post_id"]) == ("published", "7001")
    event = {"platform": "tiktok", "platform_post_id": "7001", "metric_type": "views", "total": 12}
    taken = collector.post("metrics/events", {"events": [{**event, "observed_at": timezone.now().isoformat()}]}).json()
    assert (taken["accepted"], taken["rejected"]) == (1, [])
    entries = machine(TokenRole.METRICS).get(f"traces/{TRACE}").json()["entries"]
    steps = [(each["entity_type"], each["action"], each["actor_type"], each["tool_name"]) for each in entries]
    assert steps == [
        ("task", "create", "planner", "plans"),
        ("task", "claim", "worker", "writes"),
        ("context_snapshot", "give", "worker", "writes"),
        ("task", "heartbeat", "worker", "writes"),
        ("artifact", "submit", "worker", "writes"),
        ("task", "complete", "worker", "writes"),
        ("judge_lease", "claim", "judge", "judges"),
        ("review_decision", "create", "judge", "judges"),
        ("publish_record", "queue", "judge", "judges"),
        ("task", "approve", "judge", "judges"),
        ("publish_record", "claim", "worker", "posts"),
        ("publish_record", "publish", "worker", "posts"),
        ("metric_event", "ingest", "system", "counts"),
    ]


# --- Plans -----------------------------------------------------------------------------------------------------------


def test_many_are_planned_all_or_none_each_on_a_trace_of_its_own(machine, django_assert_max_num_queries: Any) -> None:
    planner, campaign, writer = machine(TokenRole.PLANNER), make_campaign(), make_agent()
    with django_assert_max_num_queries(16):
        given = [planned(campaign, writer, title=f"Post {n}", reserve_etb="1.50") for n in range(1000)]
        answer = planner.post("tasks/batch", {"tasks": given})
    tasks = answer.json()["tasks"]
    assert (answer.status_code, len(tasks), len({task["trace_id"] for task in tasks})) == (201, 1000, 1000)
    assert [task["title"] for task in tasks] == [f"Post {n}" for n in range(1000)]
    bad = planner.post("tasks/batch", {"tasks": [*given[:2], {**given[2], "agent_id": "nobody"}]})
    assert (bad.status_code, bad.json()["detail"]) == (404, "There is no agent “nobody” (tasks[2]).")
    assert Task.objects.count() == 1000
    for size in (0, 1001):
        assert planner.post("tasks/batch", {"tasks": given[:1] * size}).status_code == 422


def test_a_child_is_on_its_parents_trace(machine) -> None:
    parent, planner = make_task(), machine(TokenRole.PLANNER)
    given = planned(parent.campaign, parent.agent, parent_task_id=str(parent.pk))
    child = planner.post("tasks", given, **{"X-Trace-Id": TRACE}).json()
    assert (child["trace_id"], child["parent_task_id"]) == (parent.trace_id, str(parent.pk))


def test_nothing_is_planned_where_nothing_is_done_any_more(machine) -> None:
    planner, campaign, retired = machine(TokenRole.PLANNER), make_campaign(), make_agent(status="suspended")
    retired.change("test", status="retired")
    assert planner.post("tasks", planned(campaign, retired)).status_code == 409
    campaign.change("test", status="stopped")
    answer = planner.post("tasks", planned(campaign, make_agent()))
    assert (answer.status_code, answer.json()["detail"]) == (
        409,
        f"Campaign “{campaign}” is stopped; it takes no more work.",
    )


# --- Work ------------------------------------------------------------------------------------------------------------


def test_a_worker_acts_as_its_agent_only(machine) -> None:
    mine, other = claimed_task(), claimed_task()
    worker = machine(TokenRole.WORKER, agent=mine.agent)
    assert worker.post("tasks/claim", {"agent_id": other.agent_id}).status_code == 403
    lease = {"lease_id": str(other.lease_id)}
    assert worker.post(f"tasks/{other.pk}/release", lease).status_code == 403
    free = machine(TokenRole.WORKER)
    assert free.post("tasks/claim", {}).status_code == 422
    assert free.post("tasks/claim", {"agent_id": "nobody"}).status_code == 404
    assert free.post(f"tasks/{other.pk}/release", lease).json()["status"] == "pending"
    assert AuditLog.objects.get(action="release").actor_id == other.agent_id


WRITES: dict[str, dict[str, Any]] = {
    "heartbeat": {},
    "artifacts": {"artifact_type": "text", "text": "x"},
    "complete": {},
    "fail": {"error": "The model timed out."},
    "release": {},
}


@pytest.mark.parametrize("write", WRITES)
def test_a_lease_that_is_not_good_is_a_409_and_changes_nothing(machine, write: str) -> None:
    task = claimed_task()
    worker = machine(TokenRole.WORKER, agent=task.agent)
    before = Task.objects.values().get()
    wrong = worker.post(f"tasks/{task.pk}/{write}", {"lease_id": str(uuid4()), **WRITES[write]})
    assert (wrong.status_code, wrong["Content-Type"]) == (409, "application/problem+json")
    assert worker.post(f"tasks/{uuid4()}/{write}", {"lease_id": str(uuid4()), **WRITES[write]}).status_code == 404
    assert Task.objects.values().get() == before
    assert not Artifact.objects.exists()


def test_a_heartbeat_tells_a_worker_to_stop(machine) -> None:
    task = claimed_task()
    worker = machine(TokenRole.WORKER, agent=task.agent)
    task.agent.change("suspend", status="suspended")
    told = worker.post(f"tasks/{task.pk}/heartbeat", {"lease_id": str(task.lease_id)}).json()
    assert (told["stop"], told["why"]) == (True, f"The agent “{task.agent}” is suspended.")


@pytest.mark.parametrize(
    ("given", "content"),
    [
        ({"text": "Ask — ሰላም"}, "Ask — ሰላም".encode()),
        ({"text": "x" * 1_000_000}, b"x" * 1_000_000),
        ({"json": {"rate": 1.10, "n": [1, None]}}, None),
        ({"content_ref": "https://cdn.example.org/a.mp4", "content_sha256": "a" * 64}, None),
    ],
)
def test_what_was_made_comes_in_three_ways(machine, given: dict[str, Any], content: bytes | None) -> None:
    task = claimed_task()
    worker = machine(TokenRole.WORKER, agent=task.agent)
    body = {"lease_id": str(task.lease_id), "artifact_type": "text", "metadata": {"model": "x"}, "sources": ["y"]}
    answer = worker.post(f"tasks/{task.pk}/artifacts", {**body, **given})
    assert answer.status_code == 201, answer.content
    artifact = Artifact.objects.get()
    assert (artifact.metadata, artifact.sources, artifact.version) == ({"model": "x"}, ["y"], 1)
    if content:
        with default_storage.open(artifact.content_ref) as file:
            assert file.read() == content
        assert b"".join(worker.get(f"artifacts/{artifact.pk}/content").streaming_content) == content
    assert artifact.has_known_content


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"text": "x", "json": {}},
        {"content_ref": "https://cdn.example.org/a.mp4"},
        {"text": "x", "content_sha256": "a" * 64},
        {"content_ref": "file:///etc/passwd", "content_sha256": "a" * 64},
        {"content_ref": "https://cdn.example.org/a.mp4", "content_sha256": "A" * 64},
        {"text": "x", "sources": "a text"},
    ],
)
def test_what_cannot_be_taken_is_refused(machine, given: dict[str, Any]) -> None:
    task = claimed_task()
    worker = machine(TokenRole.WORKER, agent=task.agent)
    body = {"lease_id": str(task.lease_id), "artifact_type": "text", **given}
    assert worker.post(f"tasks/{task.pk}/artifacts", body).status_code == 422
    assert not Artifact.objects.exists()


def test_a_file_comes_in_by_upload(machine, django_assert_max_num_queries: Any) -> None:
    task = claimed_task()
    worker = machine(TokenRole.WORKER, agent=task.agent)
    content = b"\x00\x01video" * 700_000  # beyond what stays in memory
    fields = {"lease_id": str(task.lease_id), "artifact_type": "video", "metadata": '{"seconds": 12.50}'}
    with django_assert_max_num_queries(BUDGET["artifacts"]):
        answer = worker.client.post(
            f"/api/v1/tasks/{task.pk}/artifacts/upload",
            {**fields, "file": SimpleUploadedFile("a.mp4", content)},
            headers={"Authorization": f"Bearer {worker.token}"},
        )
    assert answer.status_code == 201, answer.content
    assert answer.json()["content_sha256"] == hashlib.sha256(content).hexdigest()
    with default_storage.open(Artifact.objects.get().content_ref) as file:
        assert file.read() == content
    bad = worker.client.post(
        f"/api/v1/tasks/{task.pk}/artifacts/upload",
        {**fields, "metadata": '{"a": NaN}', "file": SimpleUploadedFile("a.mp4", b"x")},
        headers={"Authorization": f"Bearer {worker.token}"},
    )
    assert (bad.status_code, "metadata" in bad.json()["detail"]) == (422, True)


def test_a_failure_brings_the_next_attempt_and_money_is_settled(machine) -> None:
    task = claimed_task(reserve_etb="5.00")
    worker = machine(TokenRole.WORKER, agent=task.agent)
    body = {"lease_id": str(task.lease_id), "error": "The model timed out.", "cost_etb": "2.25"}
    told = worker.post(f"tasks/{task.pk}/fail", body).json()
    assert (told["task"]["status"], told["task"]["cost_etb"]) == ("failed", "2.25")
    assert (told["next"]["attempt"], told["next"]["parent_task_id"]) == (1, str(task.pk))
    task.campaign.refresh_from_db()
    assert (str(task.campaign.reserved_etb), str(task.campaign.spent_etb)) == ("0.00", "2.25")


# --- Judging and publishing ------------------------------------------------------------------------------------------


def test_a_judge_is_told_of_the_item_but_not_of_a_routine_check(machine) -> None:
    judge = make_judge()
    judging = machine(TokenRole.JUDGE, agent=judge)
    sampled = make_campaign(constraints={"review_policy": {"blind_share": 1}})
    for campaign, confidence, reason in ((None, "0.5", "low_confidence"), (sampled, "0.99", None)):
        artifact = make_artifact(campaign=campaign)
        (lease,) = judging.post("artifacts/claim", {}).json()["artifacts"]
        body = {"lease_id": lease["lease_id"], "decision": "approve", "confidence": confidence, "reasons": ["-"]}
        told = judging.post(f"artifacts/{artifact.pk}/decision", body).json()
        assert told["next_action"] == "human_review"
        assert (told["review_item"] or {}).get("reason") == reason
        assert ReviewItem.objects.filter(artifact=artifact, status="open").exists()


def test_a_judge_without_the_lease_decides_nothing(machine) -> None:
    artifact = make_artifact()
    judging = machine(TokenRole.JUDGE)
    body = {"lease_id": str(uuid4()), "decision": "approve", "confidence": "0.95", "reasons": []}
    assert judging.post(f"artifacts/{artifact.pk}/decision", body).status_code == 409
    assert judging.post(f"artifacts/{uuid4()}/decision", body).status_code == 404
    assert not artifact.decisions.exists()


@pytest.mark.parametrize("key", ["", "once"])
def test_a_late_publisher_is_refused_and_its_post_id_kept_with_and_without_a_key(machine, key: str) -> None:
    record, publisher = claimed_post(), machine(TokenRole.PUBLISHER)
    record.change("test", lease_expires_at=timezone.now() - timedelta(seconds=1))
    said = {
        "lease_id": str(record.lease_id),
        "platform_post_id": "7001",
        "content_sha256": record.content_sha256,
    }
    for _ in range(2 if key else 1):
        answer = publisher.post(f"posts/{record.pk}/published", said, key=key)
        assert answer.status_code == 409
        assert "id is kept" in answer.json()["detail"]
    record.refresh_from_db()
    assert (record.status, record.hold, record.platform_post_id) == ("queued", "outcome_unknown", "7001")


def test_a_publisher_says_failed_unknown_or_gives_back(machine) -> None:
    publisher = machine(TokenRole.PUBLISHER)
    failed, unknown, back = claimed_post(), claimed_post(), claimed_post()

    def post(record: PublishRecord, verb: str, **given: Any) -> Any:
        return publisher.post(f"posts/{record.pk}/{verb}", {"lease_id": str(record.lease_id), **given}).json()

    told = post(failed, "failed", error="HTTP 500", retryable=True)
    assert (told["post"]["status"], told["next"]["attempt"]) == ("failed", 1)
    assert post(unknown, "unknown", error="timeout")["hold"] == "outcome_unknown"
    assert post(back, "heartbeat")["stop"] is False
    assert post(back, "release")["status"] == "queued"
    (again,) = publisher.post("posts/claim", {"platform": back.platform, "limit": 9}).json()["posts"]
    assert again["publish_id"] == str(back.pk)


# --- Who is let in ---------------------------------------------------------------------------------------------------


def operations() -> list[Any]:
    told = api.get_openapi_schema()["paths"]
    return [
        pytest.param(method, path, set(operation["security"][0]["Bearer"]), id=f"{method} {path}")
        for path, methods in told.items()
        for method, operation in methods.items()
    ]


ROLE_OF = {
    "plan": {"planner"},
    "work": {"worker"},
    "judge": {"judge"},
    "publish": {"publisher"},
    "metrics": {"metrics"},
    "read": {str(role) for role in TokenRole},
}


@pytest.mark.parametrize(("method", "path", "roles"), operations())
def test_a_role_reaches_only_its_routes(machine, method: str, path: str, roles: set[str]) -> None:
    (tag,) = api.get_openapi_schema()["paths"][path][method]["tags"]
    assert roles == ROLE_OF[tag]
    address = path.removeprefix("/api/v1/")
    for name in ("task_id", "artifact_id", "publish_id", "campaign_id"):
        address = address.replace(f"{{{name}}}", str(uuid4()))
    address = address.replace("{trace_id}", TRACE)
    for role in TokenRole:
        caller = machine(role)
        kind = "multipart/form-data; boundary=x" if address.endswith("upload") else "application/json"
        asked = caller.get(address) if method == "get" else caller.post(address, raw=b"{}", content_type=kind)
        status = asked.status_code
        assert (status == 403) == (role not in roles), (role, status)
        assert status < 500


# --- What it costs ---------------------------------------------------------------------------------------------------


# Questions to the database, savepoints and the token's own (one, and one to note its use) included.
BUDGET = {
    "tasks": 14,
    "tasks/claim": 8,
    "heartbeat": 14,
    "artifacts": 18,
    "complete": 16,
    "fail": 19,
    "release": 14,
    "artifacts/claim": 9,
    "decision": 45,
    "posts/claim": 8,
    "post heartbeat": 14,
    "published": 16,
    "failed": 21,
    "unknown": 16,
    "post release": 14,
}


@pytest.fixture
def asks(django_assert_max_num_queries: Any) -> Any:
    def ask(name: str, caller: Any, path: str, body: Any) -> None:
        with django_assert_max_num_queries(BUDGET[name]):
            answer = caller.post(path, body)
        assert answer.status_code < 300, answer.content

    return ask


def test_what_a_worker_asks(machine, asks: Any) -> None:
    tasks = [claimed_task(agent=None) for _ in range(5)]
    worker = machine(TokenRole.WORKER)
    body = planned(make_campaign(), make_agent())
    asks("tasks", machine(TokenRole.PLANNER), "tasks", body)
    for _ in range(20):
        make_task(agent=tasks[0].agent)
    asks("tasks/claim", worker, "tasks/claim", {"agent_id": tasks[0].agent_id, "limit": 20})
    for task, write in zip(tasks, WRITES, strict=True):
        lease = {"lease_id": str(task.lease_id)}
        if write == "complete":
            worker.post(f"tasks/{task.pk}/artifacts", {**lease, "artifact_type": "text", "text": "x"})
        asks(write, worker, f"tasks/{task.pk}/{write}", {**lease, **WRITES[write]})


def test_what_a_judge_and_a_publisher_ask(machine, asks: Any) -> None:
    campaign = make_campaign(target_platforms=["tiktok"])
    for _ in range(10):
        make_artifact(campaign=campaign)
    judging, publisher = machine(TokenRole.JUDGE), machine(TokenRole.PUBLISHER)
    asks("artifacts/claim", judging, "artifacts/claim", {"limit": 9})
    lease = judging.post("artifacts/claim", {}).json()["artifacts"][0]
    body = {"lease_id": lease["lease_id"], "decision": "approve", "confidence": "0.95", "reasons": ["-"]}
    asks("decision", judging, f"artifacts/{lease['artifact_id']}/decision", body)
    PublishRecord.objects.queued().drop("test", "out of the way")
    for _ in range(9):
        queued_posts(campaign=campaign)
    asks("posts/claim", publisher, "posts/claim", {"platform": "tiktok", "limit": 5})
    posts = publisher.post("posts/claim", {"platform": "tiktok", "limit": 4}).json()["posts"]
    first, second, third, fourth = posts
    published = {"platform_post_id": "7001", "content_sha256": first["content_sha256"]}
    for name, post, verb, given in (
        ("post heartbeat", first, "heartbeat", {}),
        ("published", first, "published", published),
        ("failed", second, "failed", {"error": "x", "retryable": True}),
        ("unknown", third, "unknown", {"error": "x"}),
        ("post release", fourth, "release", {}),
    ):
        asks(name, publisher, f"posts/{post['publish_id']}/{verb}", {"lease_id": post["lease_id"], **given})


def test_a_judge_does_not_see_what_people_were_asked(machine) -> None:
    waiting_item()
    assert machine(TokenRole.JUDGE).post("artifacts/claim", {}).json() == {"artifacts": []}
