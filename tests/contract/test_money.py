"""A campaign's money is counted by the database from its tasks, for every door, and never passes the cap."""

from decimal import Decimal
from typing import Any

import pytest
from psycopg.errors import LockNotAvailable

from tests.contract.rows import MINIMAL, Row, Sql, advance, column_of, insert, leased, refused, update
from tests.contract.test_audit import CAMPAIGN, TASK, Log

CAP = Decimal("1000.00")


def etb(amount: str) -> Decimal:
    return Decimal(amount).quantize(Decimal("0.01"))


def money(sql: Sql, task: Row) -> tuple[Any, Any]:
    """What the task's campaign has reserved and spent."""
    return tuple(column_of(sql, "campaign", name, task[CAMPAIGN]) for name in ("reserved_etb", "spent_etb"))  # type: ignore[return-value]


def planned(sql: Sql, reserve: str = "0", **given: Any) -> Row:
    return insert(sql, "task", reserve_etb=Decimal(reserve), **given)


def claimed(sql: Sql, reserve: str = "0", **given: Any) -> Row:
    return update(sql, "task", planned(sql, reserve, **given)[TASK], **leased(status="in_progress"))


def test_the_cap_of_these_tests_is_that_of_their_campaigns() -> None:
    assert MINIMAL["campaign"]["budget_cap_etb"] == CAP


def test_a_plan_reserves_nothing_and_a_claim_does(sql: Sql) -> None:
    task = planned(sql, "300")
    assert money(sql, task) == (0, 0)
    advance(sql, "task", task[TASK], "in_progress")
    assert money(sql, task) == (300, 0)


@pytest.mark.parametrize("state", ["review", "failed", "pending"])
def test_a_reserve_ends_with_the_progress_and_the_cost_stays(sql: Sql, state: str) -> None:
    task = claimed(sql, "300")
    update(sql, "task", task[TASK], status=state, cost_etb=etb("120.50"))
    assert money(sql, task) == (0, etb("120.50"))


def test_a_task_that_is_done_without_a_review_is_settled_too(sql: Sql) -> None:
    task = claimed(sql, "300", task_type="trend_fetch")
    update(sql, "task", task[TASK], status="done", cost_etb=300)
    assert money(sql, task) == (0, 300)


def test_a_released_task_that_is_taken_again_reserves_again(sql: Sql) -> None:
    task = claimed(sql, "300")
    update(sql, "task", task[TASK], status="pending", cost_etb=50)
    advance(sql, "task", task[TASK], "in_progress")
    assert money(sql, task) == (300, 50)


def test_tasks_of_a_campaign_add_up_and_leave_others_alone(sql: Sql) -> None:
    first = claimed(sql, "300")
    second, other = claimed(sql, "200", campaign_id=first[CAMPAIGN]), claimed(sql, "70")
    update(sql, "task", second[TASK], status="review", cost_etb=10)
    assert money(sql, first) == (300, 10)
    assert money(sql, other) == (70, 0)


def test_what_is_changed_under_way_is_counted_anew(sql: Sql) -> None:
    task = claimed(sql, "300")
    update(sql, "task", task[TASK], reserve_etb=450)
    assert money(sql, task) == (450, 0)
    update(sql, "task", task[TASK], cost_etb=80)
    update(sql, "task", task[TASK], cost_etb=etb("60.25"))
    assert money(sql, task) == (450, etb("60.25"))
    update(sql, "task", task[TASK], status="failed", reserve_etb=0)
    assert money(sql, task) == (0, etb("60.25"))


def test_a_cost_that_comes_with_a_new_task_is_counted(sql: Sql) -> None:
    task = planned(sql, "300", cost_etb=etb("12.34"))
    assert money(sql, task) == (0, etb("12.34"))


def test_the_cap_itself_may_be_reached(sql: Sql) -> None:
    task = claimed(sql, "1000")
    assert money(sql, task) == (CAP, 0)
    update(sql, "task", task[TASK], status="review", cost_etb=CAP)
    assert money(sql, task) == (0, CAP)


def test_what_would_pass_the_cap_is_not_handed_out(sql: Sql) -> None:
    first = claimed(sql, "600")
    second = planned(sql, "400.01", campaign_id=first[CAMPAIGN])
    with refused(sql, "23514", "campaign_budget_check"):
        advance(sql, "task", second[TASK], "in_progress")
    assert money(sql, first) == (600, 0)
    assert column_of(sql, "task", "status", second[TASK]) == "pending"
    update(sql, "task", first[TASK], status="review", cost_etb=500)  # cheaper than was feared
    advance(sql, "task", second[TASK], "in_progress")
    assert money(sql, first) == (etb("400.01"), 500)


def test_no_cost_passes_the_cap(sql: Sql) -> None:
    task = claimed(sql, "300")
    with refused(sql, "23514", "campaign_budget_check"):
        update(sql, "task", task[TASK], status="review", cost_etb=etb("1000.01"))
    with refused(sql, "23514", "campaign_budget_check"):
        planned(sql, campaign_id=task[CAMPAIGN], cost_etb=etb("700.01"))
    with refused(sql, "23514", "campaign_budget_check"):
        update(sql, "task", task[TASK], reserve_etb=etb("1000.01"))
    assert money(sql, task) == (300, 0)


def test_a_cap_is_not_lowered_below_what_is_promised_and_spent(sql: Sql) -> None:
    task = claimed(sql, "300", cost_etb=100)
    with refused(sql, "23514", "campaign_budget_check"):
        update(sql, "campaign", task[CAMPAIGN], budget_cap_etb=etb("399.99"))
    update(sql, "campaign", task[CAMPAIGN], budget_cap_etb=400)


def test_many_tasks_of_one_statement_are_all_counted_or_all_refused(sql: Sql) -> None:
    first = planned(sql, "400")
    tasks = [first, *(planned(sql, "400", campaign_id=first[CAMPAIGN]) for _ in range(2))]
    statement = "UPDATE task SET status = 'in_progress' WHERE task_id = ANY (%s)"
    with refused(sql, "23514", "campaign_budget_check"):
        sql.execute(statement, [[task[TASK] for task in tasks]])
    assert money(sql, first) == (0, 0)
    sql.execute(statement, [[task[TASK] for task in tasks[:2]]])
    assert money(sql, first) == (800, 0)


# --- Nobody counts by hand -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", [{"reserved_etb": 0}, {"spent_etb": 0}, {"spent_etb": 7, "reserved_etb": 7}])
def test_money_is_counted_and_not_written(sql: Sql, change: Row) -> None:
    task = claimed(sql, "300", cost_etb=100)
    with refused(sql, "23514", "campaign_money_is_counted"):
        update(sql, "campaign", task[CAMPAIGN], **change)
    update(sql, "campaign", task[CAMPAIGN], reserved_etb=300, spent_etb=100, name="The same money")


def test_an_upsert_and_a_merge_are_no_way_around(sql: Sql) -> None:
    key = claimed(sql, "300")[CAMPAIGN]
    with refused(sql, "23514", "campaign_money_is_counted"):
        sql.execute(
            "INSERT INTO campaign (campaign_id, name, goal, target_platforms, budget_cap_etb, status)"
            " VALUES (%s, 'a', 'b', '[]', 1000, 'active') ON CONFLICT (campaign_id) DO UPDATE SET reserved_etb = 0",
            [key],
        )
    with refused(sql, "23514", "campaign_money_is_counted"):
        sql.execute(
            "MERGE INTO campaign USING (VALUES (%s)) AS g (id) ON campaign_id = id"
            " WHEN MATCHED THEN UPDATE SET reserved_etb = 0",
            [key],
        )


def test_a_trigger_of_ones_own_is_no_way_around(agent: Sql) -> None:
    """Everybody may make temporary tables, with functions and triggers; what they do is done by nobody else."""
    key = claimed(agent, "300")[CAMPAIGN]
    agent.execute("CREATE TEMPORARY TABLE lever (campaign_id uuid)")
    agent.execute(
        "CREATE FUNCTION pg_temp.pull() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN"
        " UPDATE public.campaign SET reserved_etb = 0 WHERE campaign_id = NEW.campaign_id; RETURN NEW; END'"
    )
    agent.execute("CREATE TRIGGER pull BEFORE INSERT ON lever FOR EACH ROW EXECUTE FUNCTION pg_temp.pull()")
    with refused(agent, "23514", "campaign_money_is_counted"):
        agent.execute("INSERT INTO lever VALUES (%s)", [key])


def test_counting_leaves_the_audit_row_of_the_task_and_none_of_the_campaign(sql: Sql) -> None:
    task = planned(sql, "300")
    log = Log(sql)
    update(sql, "task", task[TASK], status="in_progress")
    update(sql, "task", task[TASK], status="review", cost_etb=100)
    assert [(entry["entity_type"], entry["changes"].get("cost_etb")) for entry in log.new()] == [
        ("task", None),
        ("task", [0.0, 100.0]),
    ]


# --- At the same moment ----------------------------------------------------------------------------------------------


def test_of_two_claims_that_would_pass_the_cap_together_one_is_refused(two: tuple[Sql, Sql]) -> None:
    one, other = two
    first = planned(one, "600")
    second = planned(one, "600", campaign_id=first[CAMPAIGN])
    one.commit()
    advance(one, "task", first[TASK], "in_progress")
    with pytest.raises(LockNotAvailable):  # it waits for the first
        advance(other, "task", second[TASK], "in_progress")
    other.rollback()
    one.commit()
    with refused(other, "23514", "campaign_budget_check"):
        advance(other, "task", second[TASK], "in_progress")


def test_claims_that_reserve_nothing_do_not_wait_for_each_other(two: tuple[Sql, Sql]) -> None:
    one, other = two
    first = planned(one)
    second = planned(one, campaign_id=first[CAMPAIGN])
    one.commit()
    advance(one, "task", first[TASK], "in_progress")
    advance(other, "task", second[TASK], "in_progress")
