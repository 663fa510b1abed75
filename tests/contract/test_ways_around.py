"""What the letter of the specifications leaves open, and their sense does not: ways around the rules.

Where a rule has no name in the specifications, any refusal will do.
"""

from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from psycopg.errors import CheckViolation, InsufficientPrivilege, LockNotAvailable

from tests.contract.rows import Row, Sql, advance, approved, in_state, insert, now, refused, update
from tests.contract.test_audit import TASK
from tests.contract.test_leases_and_fence import begun, halt_campaign

REFUSED = (CheckViolation, InsufficientPrivilege)


@pytest.mark.parametrize(
    "steps", [[{"task_type": "trend_fetch", "status": "done"}], [{"task_type": "trend_fetch"}, {"status": "done"}]]
)
def test_another_type_is_no_way_around_the_review(sql: Sql, steps: list[Row]) -> None:
    key = in_state(sql, "task", "in_progress", task_type="draft_post")
    with pytest.raises(CheckViolation):
        for step in steps:
            update(sql, "task", key, **step)


@pytest.mark.parametrize("stamp", [None, 1000])
def test_a_worker_does_not_stamp_itself_past_the_fence(sql: Sql, stamp: int | None) -> None:
    """Whether the stamp cannot be written or does not count: the artifact is refused."""
    task = begun(sql)
    halt_campaign(sql, task)
    with pytest.raises(REFUSED):
        update(sql, "task", task["task_id"], lease_epoch=stamp)
        insert(sql, "artifact", task_id=task["task_id"])


def test_a_task_does_not_move_to_another_campaign_to_pass_the_fence(sql: Sql) -> None:
    """The artifacts that it has already would belong to a campaign that is not its own."""
    task = begun(sql)
    insert(sql, "artifact", task_id=task["task_id"])
    with pytest.raises(CheckViolation):
        update(sql, "task", task["task_id"], campaign_id=insert(sql, "campaign")["campaign_id"])


def test_the_epoch_of_the_system_only_grows(owner: Sql) -> None:
    owner.execute("UPDATE system_control SET epoch = epoch + 1")
    with pytest.raises(CheckViolation):
        owner.execute("UPDATE system_control SET epoch = epoch - 1")


def test_a_trace_does_not_change_under_what_hangs_on_it(sql: Sql) -> None:
    task = insert(sql, "task")
    insert(sql, "artifact", task_id=task[TASK])
    with pytest.raises(REFUSED):
        update(sql, "task", task[TASK], trace_id=uuid4().hex)


@pytest.mark.parametrize(
    ("table", "name", "check"),
    [
        ("campaign", "budget_cap_etb", "campaign_budget_cap_etb_check"),
        ("task", "reserve_etb", "task_reserve_etb_check"),
        ("task", "cost_etb", "task_cost_etb_check"),
    ],
)
def test_money_is_a_number(sql: Sql, table: str, name: str, check: str) -> None:
    """PostgreSQL sorts NaN above everything: a budget that is no number has no end."""
    with refused(sql, "23514", check):
        insert(sql, table, **{name: Decimal("NaN")})


def undo(sql: Sql) -> tuple[Row, Row, Any]:
    """An artifact, its approval, and the item of that approval after it was taken back."""
    artifact, decision = approved(sql)
    item = insert(sql, "review_item", artifact_id=artifact["artifact_id"])["review_item_id"]
    update(sql, "review_item", item, status="decided", decision_id=decision["review_id"])
    update(sql, "review_item", item, status="open", undone_at=now())
    return artifact, decision, item


def test_an_undone_approval_queues_no_post(owner: Sql) -> None:
    artifact, decision, _ = undo(owner)
    with refused(owner, "23514", "publish_record_decision_allows"):
        insert(owner, "publish_record", artifact_id=artifact["artifact_id"], decision_id=decision["review_id"])


def test_an_undone_approval_stays_undone_when_the_person_decides_again(owner: Sql) -> None:
    artifact, decision = approved(owner)
    record = insert(owner, "publish_record", artifact_id=artifact["artifact_id"], decision_id=decision["review_id"])
    item = insert(owner, "review_item", artifact_id=artifact["artifact_id"])["review_item_id"]
    update(owner, "review_item", item, status="decided", decision_id=decision["review_id"])
    update(owner, "review_item", item, status="open", undone_at=now())
    given = {"artifact_id": artifact["artifact_id"], "decision": "reject", "next_action": "retry"}
    rejection = insert(owner, "review_decision", **given)
    update(owner, "review_item", item, status="decided", decision_id=rejection["review_id"], undone_at=None)
    with refused(owner, "23514", "publish_record_decision_allows"):
        advance(owner, "publish_record", record["publish_id"], "published")


# --- At the same moment ----------------------------------------------------------------------------------------------


LOCK = "SELECT FROM campaign WHERE campaign_id = %s FOR UPDATE"


@pytest.mark.parametrize("locked_first", [True, False])
def test_an_artifact_waits_for_a_halt_that_is_under_way(two: tuple[Sql, Sql], locked_first: bool) -> None:
    """Else it would be committed after the halt, of work that the halt has voided."""
    halter, worker = two
    task = begun(worker)
    worker.commit()
    if locked_first:
        halter.execute(LOCK, [task["campaign_id"]])
    halt_campaign(halter, task)
    with pytest.raises(LockNotAvailable):
        insert(worker, "artifact", task_id=task[TASK])
    worker.rollback()
    halter.commit()
    with refused(worker, "23514", "artifact_epoch_fence"):
        insert(worker, "artifact", task_id=task[TASK])


@pytest.mark.parametrize("locked_first", [True, False])
def test_a_task_does_not_begin_under_a_halt(two: tuple[Sql, Sql], locked_first: bool) -> None:
    halter, worker = two
    task = insert(worker, "task")
    worker.commit()
    if locked_first:
        halter.execute(LOCK, [task["campaign_id"]])
    halt_campaign(halter, task)
    with pytest.raises(LockNotAvailable):
        advance(worker, "task", task[TASK], "in_progress")


def test_artifacts_of_one_campaign_do_not_wait_for_each_other(two: tuple[Sql, Sql]) -> None:
    one, other = two
    first = begun(one)
    second = begun(one, campaign_id=first["campaign_id"])
    one.commit()
    insert(one, "artifact", task_id=first[TASK])
    insert(other, "artifact", task_id=second[TASK])
