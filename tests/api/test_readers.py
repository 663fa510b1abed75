"""What a token can read: lists by cursor, single rows, content, traces."""

import hashlib
from uuid import uuid4

import pytest
from django.core.files.storage import default_storage

from agents.choices import TokenRole
from audit.models import AuditLog
from campaigns.models import Task
from campaigns.services import claim_tasks
from content.choices import ArtifactType
from tests import factories

pytestmark = pytest.mark.django_db
LISTS = ["campaigns", "tasks", "artifacts", "posts"]


def walk(caller, path: str, limit: int, items: str = "items", **query) -> list[list[dict]]:
    pages, after = [], {}
    while True:
        told = caller.get(path, {"limit": limit, **query, **after}).json()
        pages.append(told[items])
        if told["next"] is None:
            return pages
        after = {"after": told["next"]}


def campaigns(amount: int) -> list[str]:
    return [str(factories.make_campaign().pk) for _ in range(amount)]


def test_a_list_goes_from_the_oldest_to_the_newest_each_row_once(machine) -> None:
    made = campaigns(7)  # in one transaction, and so with the same time
    pages = walk(machine(), "campaigns", 3)
    assert [len(page) for page in pages] == [3, 3, 1]
    assert [row["campaign_id"] for page in pages for row in page] == made


def test_a_full_last_page_says_that_it_is_the_last(machine) -> None:
    campaigns(4)
    assert [len(page) for page in walk(machine(), "campaigns", 2)] == [2, 2]


def test_what_comes_while_somebody_pages_is_on_a_later_page(machine) -> None:
    made, caller = campaigns(3), machine()
    first = caller.get("campaigns", {"limit": 2}).json()
    made += campaigns(1)
    second = caller.get("campaigns", {"limit": 2, "after": first["next"]}).json()
    assert [row["campaign_id"] for row in first["items"] + second["items"]] == made


@pytest.mark.parametrize("after", ["x", "%", "", "AAAA", "MjAyNg", "ä", "a" * 47, "4" * 46, "0" * 46 + "x"])
def test_a_cursor_that_nobody_gave_is_refused(machine, after) -> None:
    for path in LISTS:
        assert machine().get(path, {"after": after}).status_code == 422


@pytest.mark.parametrize("limit", ["0", "201", "-1", "x", "", "1.5", "9" * 400])
def test_a_limit_is_from_1_to_200(machine, limit) -> None:
    for path in LISTS:
        assert machine().get(path, {"limit": limit}).status_code == 422


def test_a_misspelt_or_doubled_filter_is_refused_and_not_ignored(machine) -> None:
    caller = machine()
    wrong = caller.get("tasks", {"campain_id": str(uuid4())})
    assert wrong.status_code == 422
    assert "campain_id" in wrong.json()["detail"]
    assert caller.get("tasks?status=done&status=failed").status_code == 422
    assert caller.get("tasks?status=never").status_code == 422


def test_lists_are_narrowed_by_what_is_asked(machine) -> None:
    task, other = factories.make_task(), factories.make_task()
    caller = machine(TokenRole.PLANNER)

    def tasks(**query) -> list[str]:
        return [row["task_id"] for row in caller.get("tasks", query).json()["items"]]

    assert tasks(campaign_id=task.campaign_id) == [str(task.pk)]
    assert tasks(agent_id=other.agent_id) == [str(other.pk)]
    assert tasks(trace_id=task.trace_id, status="pending") == [str(task.pk)]
    assert tasks(status="done") == []
    posts = factories.queued_posts()
    artifact = posts[0].artifact
    found = caller.get("posts", {"artifact_id": artifact.pk, "platform": "tiktok", "status": "queued"}).json()["items"]
    assert [row["publish_id"] for row in found] == [str(post.pk) for post in posts if post.platform == "tiktok"]
    assert len(caller.get("artifacts", {"task_id": artifact.task_id}).json()["items"]) == 1
    assert caller.get("artifacts", {"campaign_id": task.campaign_id}).json()["items"] == []
    assert caller.get("campaigns", {"status": "draft"}).json()["items"] == []


def test_what_is_hidden_is_not_shown(machine) -> None:
    task = factories.make_task()
    Task.objects.filter(pk=task.pk).change("hide", deleted_at=task.created_at)
    caller = machine()
    assert caller.get("tasks").json()["items"] == []
    assert caller.get(f"tasks/{task.pk}").status_code == 404


@pytest.mark.parametrize("path", ["campaigns", "tasks", "artifacts", "posts"])
def test_what_is_not_there_is_404_and_what_is_no_id_422(machine, path) -> None:
    caller = machine()
    assert caller.get(f"{path}/{uuid4()}").status_code == 404
    for wrong in ("x", "%00", "%ff", "1"):
        assert caller.get(f"{path}/{wrong}").status_code == 422


@pytest.mark.parametrize("role", list(TokenRole))
def test_every_role_reads_everything_in_few_questions(machine, role, django_assert_num_queries) -> None:
    post = factories.queued_posts()[0]
    factories.queued_posts()
    artifact = post.artifact
    caller = machine(role)
    caller.get("campaigns")  # marks the token as seen
    for path in (
        "campaigns",
        "tasks",
        "artifacts",
        "posts",
        f"campaigns/{post.campaign_id}",
        f"tasks/{artifact.task_id}",
        f"artifacts/{artifact.pk}",
        f"posts/{post.pk}",
        f"traces/{artifact.task.trace_id}",
        f"artifacts/{artifact.pk}/content",
    ):
        with django_assert_num_queries(2):  # the token, and what is read
            answer = caller.get(path)
            b"".join(answer)  # content is read, and its file closed, while it is sent
        assert answer.status_code == 200, path


def test_a_task_tells_everything_but_its_lease(machine) -> None:
    task = factories.claimed_task(context={"n": [1, {"deep": "0.10"}]})
    told = machine().get(f"tasks/{task.pk}").json()
    assert told["context"] == {"n": [1, {"deep": "0.10"}]}
    assert told["reserve_etb"] == "0.00"
    assert told["created_at"].endswith("Z")
    assert not {"lease_id", "lease_epoch"} & told.keys()


def test_content_comes_byte_for_byte_and_is_not_for_a_browser_to_run(machine) -> None:
    content = b"<script>alert(1)</script>\x00\xff"
    artifact = factories.make_artifact(content=content)
    answer = machine().get(f"artifacts/{artifact.pk}/content")
    got = b"".join(answer.streaming_content)
    assert got == content
    assert hashlib.sha256(got).hexdigest() == artifact.content_sha256
    assert answer["Content-Disposition"].startswith("attachment")
    assert answer["Content-Type"] == "application/octet-stream"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Content-Security-Policy"] == "default-src 'none'; sandbox"


@pytest.mark.parametrize("reference", ["https://example.org/a.mp4", "s3://bucket/a", "../../../etc/passwd", "nothing"])
def test_content_that_is_not_kept_here_is_told_so(machine, reference) -> None:
    artifact = factories.make_artifact(content_ref=reference, content_sha256="a" * 64, artifact_type=ArtifactType.VIDEO)
    answer = machine().get(f"artifacts/{artifact.pk}/content")
    assert answer.status_code == 409
    assert not default_storage.exists("nothing")


def test_a_trace_is_read_in_order_page_by_page(machine) -> None:
    post = factories.published_post()
    trace_id = post.artifact.task.trace_id
    pages = walk(machine(), f"traces/{trace_id}", 2, "entries")
    entries = [entry for page in pages for entry in page]
    rows = AuditLog.objects.filter(trace_id=trace_id).order_by("created_at", "audit_id")
    assert [entry["audit_id"] for entry in entries] == [str(row.pk) for row in rows]
    assert entries[0]["action"] == "create"
    assert all(entry["trace_id"] == trace_id for entry in entries)


def test_no_trace_tells_a_lease(machine) -> None:
    agent = factories.make_agent()
    task = factories.make_task(agent=agent)
    (claimed,) = claim_tasks(agent=agent, actor=factories.worker(task))
    answer = machine().get(f"traces/{task.trace_id}")
    assert answer.status_code == 200
    assert str(claimed.lease_id) not in answer.content.decode()
    assert "context_snapshot" in answer.content.decode()


def test_judges_do_not_read_what_people_look_at(machine) -> None:
    item = factories.waiting_item()
    path = f"traces/{item.task.trace_id}"
    kinds = {entry["entity_type"] for entry in machine(TokenRole.PLANNER).get(path).json()["entries"]}
    assert "review_item" in kinds
    judges = {entry["entity_type"] for entry in machine(TokenRole.JUDGE).get(path).json()["entries"]}
    assert judges == kinds - {"review_item"}


def test_what_people_do_to_people_is_on_no_trace_of_the_api(machine) -> None:
    trace_id = "1" * 32
    for kind in ("user", "group", "api_token"):
        row = {"trace_id": trace_id, "actor_type": "human", "entity_type": kind, "entity_id": "1", "action": "update"}
        AuditLog.objects.create(**row)
    assert machine().get(f"traces/{trace_id}").status_code == 404


@pytest.mark.parametrize("trace_id", ["x", "0" * 31, "0" * 33, "A" * 32, "%00"])
def test_a_trace_id_has_32_digits(machine, trace_id) -> None:
    assert machine().get(f"traces/{trace_id}").status_code == 422
