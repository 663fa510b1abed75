"""Work starts, and posts leave, only where everything runs; what is under way may come to its end."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.contract.rows import Row, Sql, advance, column_of, in_state, insert, leased, now, one, refused, update
from tests.contract.test_audit import CAMPAIGN, TASK

HOUR = timedelta(hours=1)
# What a campaign, otherwise active, can be that keeps its work from starting.
HALTING: dict[str, Row] = {
    "paused": {"status": "paused"},
    "stopped": {"status": "stopped"},
    "completed": {"status": "completed"},
    "not begun": {"start_time": HOUR},
    "over": {"end_time": -HOUR},
    "hidden": {"deleted_at": -HOUR},
}
EACH = pytest.mark.parametrize("given", HALTING.values(), ids=list(HALTING))
RUNNING = [{"start_time": -HOUR}, {"end_time": HOUR}, {"start_time": -HOUR, "end_time": HOUR}, {}]


def at(given: Row) -> Row:
    """Distances as moments."""
    return {name: now() + value if isinstance(value, timedelta) else value for name, value in given.items()}


# --- Tasks -----------------------------------------------------------------------------------------------------------


@EACH
@pytest.mark.parametrize("lease", [{}, leased()], ids=["without a lease", "with a lease"])
def test_work_does_not_start_on_a_campaign_that_does_not_run(sql: Sql, given: Row, lease: Row) -> None:
    task = insert(sql, "task")
    update(sql, "campaign", task[CAMPAIGN], **at(given))
    with refused(sql, "23514", "task_campaign_runs"):
        update(sql, "task", task[TASK], status="in_progress", **lease)


def test_work_does_not_start_on_a_draft(sql: Sql) -> None:
    task = insert(sql, "task", campaign_id=insert(sql, "campaign", status="draft")[CAMPAIGN])
    with refused(sql, "23514", "task_campaign_runs"):
        advance(sql, "task", task[TASK], "in_progress")
    advance(sql, "campaign", task[CAMPAIGN], "active")
    advance(sql, "task", task[TASK], "in_progress")


@pytest.mark.parametrize("given", RUNNING)
def test_work_starts_inside_the_time_window(sql: Sql, given: Row) -> None:
    task = insert(sql, "task", campaign_id=insert(sql, "campaign", **at(given))[CAMPAIGN])
    assert advance(sql, "task", task[TASK], "in_progress")["status"] == "in_progress"


@pytest.mark.parametrize("role", ["gatehouse_agent", "NONE"])
def test_nothing_starts_and_nothing_leaves_while_everything_is_halted(owner: Sql, role: str) -> None:
    task, post = insert(owner, "task"), insert(owner, "publish_record")
    owner.execute("UPDATE system_control SET halted = true")
    owner.execute(f"SET ROLE {role}")
    with refused(owner, "23514", "task_campaign_runs"):
        advance(owner, "task", task[TASK], "in_progress")
    with refused(owner, "23514", "publish_record_campaign_runs"):
        update(owner, "publish_record", post["publish_id"], **leased())
    owner.execute("RESET ROLE")
    owner.execute("UPDATE system_control SET halted = false")
    owner.execute(f"SET ROLE {role}")
    advance(owner, "task", task[TASK], "in_progress")
    update(owner, "publish_record", post["publish_id"], **leased())


@pytest.mark.parametrize("state", ["suspended", "retired"])
def test_only_an_active_agent_is_given_work(sql: Sql, state: str) -> None:
    task = insert(sql, "task")
    advance(sql, "agent", task["agent_id"], state)
    with refused(sql, "23514", "task_agent_active"):
        advance(sql, "task", task[TASK], "in_progress")


def test_a_suspended_agent_that_is_active_again_is_given_work(sql: Sql) -> None:
    task = insert(sql, "task")
    advance(sql, "agent", task["agent_id"], "suspended", "active")
    advance(sql, "task", task[TASK], "in_progress")


@EACH
def test_work_under_way_may_come_to_its_end(sql: Sql, given: Row) -> None:
    """Whether it counts is the fence's to say, which a halt raises and a pause does not."""
    task = insert(sql, "task")
    update(sql, "task", task[TASK], **leased(status="in_progress"))
    update(sql, "campaign", task[CAMPAIGN], **at(given))
    update(sql, "task", task[TASK], lease_expires_at=now() + HOUR)
    insert(sql, "artifact", task_id=task[TASK])
    assert advance(sql, "task", task[TASK], "review")["status"] == "review"


# --- Posts -----------------------------------------------------------------------------------------------------------


@EACH
def test_no_post_is_handed_out_for_a_campaign_that_does_not_run(sql: Sql, given: Row) -> None:
    post = insert(sql, "publish_record")
    update(sql, "campaign", post[CAMPAIGN], **at(given))
    with refused(sql, "23514", "publish_record_campaign_runs"):
        update(sql, "publish_record", post["publish_id"], **leased())


@pytest.mark.parametrize("given", RUNNING)
def test_a_post_is_handed_out_inside_the_time_window(sql: Sql, given: Row) -> None:
    post = insert(sql, "publish_record")
    update(sql, "campaign", post[CAMPAIGN], **at(given)) if given else None
    lease = leased()
    assert update(sql, "publish_record", post["publish_id"], **lease)["lease_id"] == lease["lease_id"]


@EACH
def test_a_post_in_hand_may_be_settled_or_given_back_but_not_taken_over(sql: Sql, given: Row) -> None:
    first, second = insert(sql, "publish_record"), None
    second = insert(sql, "publish_record", artifact_id=first["artifact_id"], platform="tiktok")
    for post in (first, second):
        update(sql, "publish_record", post["publish_id"], **leased())
    update(sql, "campaign", first[CAMPAIGN], **at(given))
    update(sql, "publish_record", first["publish_id"], lease_expires_at=now() + HOUR)
    with refused(sql, "23514", "publish_record_campaign_runs"):
        update(sql, "publish_record", first["publish_id"], lease_id=uuid4())
    update(sql, "publish_record", second["publish_id"], lease_id=None, lease_expires_at=None)
    out: dict[str, Any] = {"status": "published", "platform_post_id": f"yt-{uuid4()}", "published_at": now()}
    assert update(sql, "publish_record", first["publish_id"], **out)["status"] == "published"


# --- When a worker was ready -----------------------------------------------------------------------------------------


def test_when_a_worker_was_ready_is_stamped(sql: Sql) -> None:
    task = insert(sql, "task")
    assert advance(sql, "task", task[TASK], "in_progress")["completed_at"] is None
    moment = one(sql, "SELECT now()")
    given = update(sql, "task", task[TASK], status="review", completed_at="2000-01-01T00:00:00Z")
    assert given["completed_at"] == moment
    assert advance(sql, "task", task[TASK], "done")["completed_at"] == moment


def test_a_task_without_a_review_is_stamped_when_it_is_done(sql: Sql) -> None:
    key = in_state(sql, "task", "done", task_type="trend_fetch")
    assert column_of(sql, "task", "completed_at", key) == one(sql, "SELECT now()")


@pytest.mark.parametrize("state", ["failed", "pending"])
def test_who_fails_or_gives_back_was_not_ready(sql: Sql, state: str) -> None:
    task = insert(sql, "task")
    assert advance(sql, "task", task[TASK], "in_progress", state)["completed_at"] is None


def test_a_task_that_is_begun_has_no_end_yet(sql: Sql) -> None:
    task = insert(sql, "task", completed_at="2000-01-01T00:00:00Z")
    assert advance(sql, "task", task[TASK], "in_progress")["completed_at"] is None
