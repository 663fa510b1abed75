"""Leases, the epoch that voids work begun before a halt, and the trace that a retry inherits."""

from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest

from tests.contract.rows import Row, Sql, advance, column_of, in_state, insert, leased, now, one, refused, update


def halt_campaign(sql: Sql, task: Row) -> None:
    sql.execute("UPDATE campaign SET epoch = epoch + 1 WHERE campaign_id = %s", [task["campaign_id"]])


def halt_everything(sql: Sql, task: Row) -> None:
    """Agents may not; the owner does it for them."""
    sql.execute("UPDATE system_control SET epoch = epoch + 1")


HALTS = pytest.mark.parametrize("halt", [halt_campaign, halt_everything])
Halt = Callable[[Sql, Row], None]


def begun(sql: Sql, **given: object) -> Row:
    return advance(sql, "task", insert(sql, "task", **given)["task_id"], "in_progress")


# --- Leases of tasks -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["pending", "review", "done", "failed"])
def test_no_lease_outside_progress(sql: Sql, state: str) -> None:
    key = in_state(sql, "task", state, task_type="collect_metrics")
    with refused(sql, "23514", "task_lease_check"):
        update(sql, "task", key, **leased())


def test_a_lease_while_in_progress(sql: Sql) -> None:
    task = insert(sql, "task")
    lease = leased(status="in_progress")
    held = update(sql, "task", task["task_id"], **lease)
    assert {name: held[name] for name in lease} == lease
    longer = now() + timedelta(hours=1)
    assert update(sql, "task", task["task_id"], lease_expires_at=longer)["lease_expires_at"] == longer


def test_a_worker_in_plain_sql_needs_no_lease(sql: Sql) -> None:
    task = begun(sql)
    assert (task["lease_id"], task["lease_expires_at"]) == (None, None)
    assert task["lease_epoch"] == 0 + one(sql, "SELECT epoch FROM system_control")
    assert task["claimed_at"] == one(sql, "SELECT now()")


@pytest.mark.parametrize("half", [{"lease_id": uuid4()}, {"lease_expires_at": now()}])
def test_half_a_lease_is_refused(sql: Sql, half: Row) -> None:
    with refused(sql, "23514", "task_lease_check"):
        update(sql, "task", insert(sql, "task")["task_id"], status="in_progress", **half)


@pytest.mark.parametrize("state", ["review", "failed", "pending"])
def test_a_lease_ends_with_the_progress(sql: Sql, state: str) -> None:
    task = insert(sql, "task")
    update(sql, "task", task["task_id"], **leased(status="in_progress"))
    ended = advance(sql, "task", task["task_id"], state)
    assert (ended["lease_id"], ended["lease_expires_at"]) == (None, None)


def test_a_lease_cannot_be_given_to_a_new_task(sql: Sql) -> None:
    with refused(sql, "23514", "task_lease_check"):
        insert(sql, "task", **leased())


# --- Leases of posts -------------------------------------------------------------------------------------------------


def test_a_post_is_stamped_when_it_is_leased_and_free_when_it_is_settled(sql: Sql) -> None:
    key = insert(sql, "publish_record")["publish_id"]
    held = update(sql, "publish_record", key, **leased())
    assert held["lease_epoch"] == 0 + one(sql, "SELECT epoch FROM system_control")
    assert held["claimed_at"] == one(sql, "SELECT now()")
    out = update(sql, "publish_record", key, status="published", platform_post_id="yt-1", published_at=now())
    assert (out["lease_id"], out["lease_expires_at"]) == (None, None)


@pytest.mark.parametrize("state", ["published", "failed"])
def test_no_lease_on_a_settled_post(sql: Sql, state: str) -> None:
    key = in_state(sql, "publish_record", state)
    with refused(sql, "23514", "publish_record_lease_check"):
        update(sql, "publish_record", key, **leased())


# --- The fence -------------------------------------------------------------------------------------------------------


@HALTS
@pytest.mark.parametrize("lease", [{}, leased()])
def test_work_begun_before_a_halt_makes_no_artifact(owner: Sql, halt: Halt, lease: Row) -> None:
    task = insert(owner, "task")
    update(owner, "task", task["task_id"], status="in_progress", **lease)
    halt(owner, task)
    owner.execute("SET ROLE gatehouse_agent")
    with refused(owner, "23514", "artifact_epoch_fence"):
        insert(owner, "artifact", task_id=task["task_id"])
    owner.execute("RESET ROLE")
    with refused(owner, "23514", "artifact_epoch_fence"):
        insert(owner, "artifact", task_id=task["task_id"])


def test_an_agent_halts_its_campaign_in_plain_sql(agent: Sql) -> None:
    task = begun(agent)
    halt_campaign(agent, task)
    with refused(agent, "23514", "artifact_epoch_fence"):
        insert(agent, "artifact", task_id=task["task_id"])


@HALTS
@pytest.mark.parametrize("state", ["review", "failed", "pending"])
def test_the_fence_stays_when_the_task_goes_on(owner: Sql, halt: Halt, state: str) -> None:
    task = begun(owner)
    halt(owner, task)
    advance(owner, "task", task["task_id"], state)
    with refused(owner, "23514", "artifact_epoch_fence"):
        insert(owner, "artifact", task_id=task["task_id"])


@HALTS
def test_work_begun_anew_counts(owner: Sql, halt: Halt) -> None:
    task = begun(owner)
    halt(owner, task)
    again = advance(owner, "task", task["task_id"], "pending", "in_progress")
    assert again["lease_epoch"] == task["lease_epoch"] + 1
    insert(owner, "artifact", task_id=task["task_id"])
    retry = begun(owner, campaign_id=task["campaign_id"], parent_task_id=task["task_id"], attempt=1)
    insert(owner, "artifact", task_id=retry["task_id"])


def test_both_epochs_are_added(owner: Sql) -> None:
    campaign = insert(owner, "campaign", epoch=2)
    owner.execute("UPDATE system_control SET epoch = epoch + 1")
    task = begun(owner, campaign_id=campaign["campaign_id"])
    assert task["lease_epoch"] == 2 + one(owner, "SELECT epoch FROM system_control")
    insert(owner, "artifact", task_id=task["task_id"])


def test_a_halt_of_another_campaign_changes_nothing(sql: Sql) -> None:
    task, other = begun(sql), begun(sql)
    halt_campaign(sql, other)
    insert(sql, "artifact", task_id=task["task_id"])


def test_the_epoch_of_a_campaign_only_grows(sql: Sql) -> None:
    campaign = insert(sql, "campaign", epoch=3)
    for other in (2, 5, 2147483647):  # a leap to the end of the numbers would leave none for the next halt
        with refused(sql, "23514", "campaign_epoch_grows"):
            update(sql, "campaign", campaign["campaign_id"], epoch=other)


def test_a_task_not_in_progress_may_have_artifacts(sql: Sql) -> None:
    """Core asks for no claim: an insert with only the specified columns succeeds."""
    assert insert(sql, "artifact")["version"] == 1


def test_an_artifact_belongs_to_the_campaign_of_its_task(sql: Sql) -> None:
    other = insert(sql, "campaign")["campaign_id"]
    with refused(sql, "23514", "artifact_campaign_of_task"):
        insert(sql, "artifact", campaign_id=other)


def test_a_halt_is_a_pause(sql: Sql) -> None:
    key = insert(sql, "campaign")["campaign_id"]
    halted = update(sql, "campaign", key, status="paused", halted_at=now(), resume_at=now())
    assert halted["halted_at"] is not None
    resumed = advance(sql, "campaign", key, "active")
    assert (resumed["halted_at"], resumed["resume_at"]) == (None, None)


# --- Traces ----------------------------------------------------------------------------------------------------------


def test_a_task_has_a_trace_of_its_own(sql: Sql) -> None:
    first, second = insert(sql, "task")["trace_id"], insert(sql, "task")["trace_id"]
    assert first != second
    assert {len(first), len(second)} == {32}
    assert int(first, 16)


def test_a_given_trace_is_kept(sql: Sql) -> None:
    trace = uuid4().hex
    assert insert(sql, "task", trace_id=trace)["trace_id"] == trace


@pytest.mark.parametrize("given", [{}, {"trace_id": "f" * 32}])
def test_a_retry_stays_on_its_parents_trace(sql: Sql, given: Row) -> None:
    parent = insert(sql, "task")
    retry = insert(sql, "task", parent_task_id=parent["task_id"], attempt=1, **given)
    again = insert(sql, "task", parent_task_id=retry["task_id"], attempt=2, **given)
    assert {retry["trace_id"], again["trace_id"]} == {parent["trace_id"]}


def test_a_decision_is_on_the_trace_of_its_task(sql: Sql) -> None:
    decision = insert(sql, "review_decision", trace_id="f" * 32)
    assert decision["trace_id"] == column_of(sql, "task", "trace_id", decision["task_id"])
