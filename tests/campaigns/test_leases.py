"""A lease is good or it is not: what is lost, expired or void changes nothing, and nothing that was lost stays lost."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from audit.context import Actor
from audit.errors import Conflict
from campaigns.choices import TaskStatus, TaskType
from campaigns.models import Campaign, Task
from campaigns.services import (
    claim_tasks,
    complete_task,
    fail_expired_tasks,
    fail_task,
    halt_campaign,
    heartbeat_task,
    release_task,
)
from config.groups import OPERATOR
from content.services import submit_artifact
from tests.concurrency import one_then_other, together
from tests.factories import claimed_task, make_agent, make_artifact, make_campaign, make_task, make_user, worker

CLOCK = Actor.system("run_due")
Write = Callable[[Task], Any]
WRITES: dict[str, Write] = {
    "heartbeat": lambda task: heartbeat_task(task=task, actor=worker(task), lease_seconds=60),
    "submit": lambda task: submit_artifact(task=task, artifact_type="text", content=b"x", actor=worker(task)),
    "complete": lambda task: complete_task(task=task, actor=worker(task)),
    "fail": lambda task: fail_task(task=task, actor=worker(task), error="The model timed out."),
    "release": lambda task: release_task(task=task, actor=worker(task)),
}


def expire(task: Task) -> None:
    task.change("test", lease_expires_at=timezone.now() - timedelta(seconds=1))


def another(task: Task) -> None:
    release_task(task=task, actor=worker(task))
    assert claim_tasks(agent=task.agent, actor=CLOCK)


def fence(task: Task) -> None:
    """A halt in plain SQL, which fails nothing."""
    Campaign.objects.filter(pk=task.campaign_id).change("test", epoch=1)


def halt(task: Task) -> None:
    halt_campaign(campaign_id=task.campaign_id, actor=Actor.human(make_user(OPERATOR)), reason="a wrong price")


@pytest.mark.django_db
@pytest.mark.parametrize("loss", [expire, another, fence, halt])
@pytest.mark.parametrize("write", WRITES)
def test_whoever_lost_the_lease_changes_nothing(write: str, loss: Callable[[Task], None]) -> None:
    task = claimed_task(task_type=TaskType.TREND_FETCH)
    loss(task)
    before = list(Task.objects.order_by("pk").values())
    with pytest.raises(Conflict, match="nothing was changed"):
        WRITES[write](task)
    assert list(Task.objects.order_by("pk").values()) == before
    assert not task.artifacts.exists()


@pytest.mark.django_db
def test_a_heartbeat_prolongs_the_lease_from_now_on() -> None:
    task = claimed_task()
    longer = heartbeat_task(task=task, actor=worker(task), lease_seconds=3600)
    assert timedelta(minutes=59) < longer.lease_expires_at - timezone.now() <= timedelta(hours=1)
    shorter = heartbeat_task(task=task, actor=worker(task), lease_seconds=10)
    assert shorter.lease_expires_at < timezone.now() + timedelta(seconds=11)


@pytest.mark.django_db
def test_a_worker_that_went_silent_has_failed_and_the_next_attempt_comes_later_each_time() -> None:
    task, delays = claimed_task(max_attempts=3), []
    for _ in range(3):
        expire(task)
        assert fail_expired_tasks(actor=CLOCK) == 1
        task.refresh_from_db()
        assert (task.status, task.lease_id) == (TaskStatus.FAILED, None)
        assert "went silent" in (task.error or "")
        following = Task.objects.filter(parent_task=task).first()
        if following is None:
            break
        assert (following.trace_id, following.attempt) == (task.trace_id, task.attempt + 1)
        assert following.not_before is not None
        delays.append(round((following.not_before - timezone.now()).total_seconds() / 60))
        following.change("test", not_before=None)
        (task,) = claim_tasks(agent=task.agent, actor=CLOCK)
    assert delays == [1, 2]
    assert fail_expired_tasks(actor=CLOCK) == 0


@pytest.mark.django_db(transaction=True)
def test_a_heartbeat_and_the_clock_meet_and_one_of_them_wins() -> None:
    task = claimed_task()
    task.change("test", lease_expires_at=timezone.now() + timedelta(seconds=0.3))
    beat, failed = one_then_other(lambda: WRITES["heartbeat"](task), lambda: fail_expired_tasks(actor=CLOCK))
    assert (type(beat), failed) == (Task, 0)


@pytest.mark.django_db(transaction=True)
def test_several_clocks_at_once_fail_each_task_once() -> None:
    campaign, agent = make_campaign(), make_agent()
    for _ in range(10):
        expire(claimed_task(campaign=campaign, agent=agent))
    assert sum(together(*[lambda: fail_expired_tasks(actor=CLOCK)] * 4)) == 10
    assert Task.objects.filter(attempt=1).count() == 10


@pytest.mark.django_db
def test_what_was_made_before_a_task_was_claimed_anew_is_not_enough() -> None:
    task = claimed_task()
    submit_artifact(task=task, artifact_type="text", content=b"x", actor=worker(task))
    release_task(task=task, actor=worker(task))
    (again,) = claim_tasks(agent=task.agent, actor=CLOCK)
    again = again.change("test", claimed_at=timezone.now() + timedelta(seconds=1))  # one transaction is one instant
    with pytest.raises(Conflict, match="nothing to review yet"):
        complete_task(task=again, actor=worker(again))


@pytest.mark.django_db
def test_versions_go_on_along_the_tries_and_not_along_who_asked() -> None:
    asked = make_artifact().task
    child = claimed_task(campaign=asked.campaign, agent=asked.agent, parent_task=asked)
    assert submit_artifact(task=child, artifact_type="text", content=b"x", actor=worker(child)).version == 1


# --- Money -----------------------------------------------------------------------------------------------------------


def money(campaign: Campaign) -> tuple[str, str]:
    campaign.refresh_from_db()
    return str(campaign.reserved_etb), str(campaign.spent_etb)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("end", "spent"),
    [
        (lambda task: complete_task(task=task, actor=worker(task), cost_etb=Decimal("12.50")), "12.50"),
        (lambda task: complete_task(task=task, actor=worker(task)), "40.00"),
        (lambda task: fail_task(task=task, actor=worker(task), error="x", cost_etb=Decimal("1.00")), "1.00"),
        (lambda task: release_task(task=task, actor=worker(task)), "0.00"),
        (lambda task: (expire(task), fail_expired_tasks(actor=CLOCK)), "40.00"),
        (halt, "40.00"),
    ],
    ids=["a cost", "no cost told", "failed", "released", "silent", "halted"],
)
def test_what_is_reserved_at_the_claim_is_settled_at_the_end(end: Callable[[Task], Any], spent: str) -> None:
    task = claimed_task(task_type=TaskType.TREND_FETCH, reserve_etb=Decimal(40))
    assert money(task.campaign) == ("40.00", "0.00")
    end(task)
    assert money(task.campaign) == ("0.00", spent)


@pytest.mark.django_db
def test_what_would_pass_the_cap_is_not_handed_out_and_smaller_work_is() -> None:
    campaign, agent = make_campaign(budget_cap_etb=Decimal(100)), make_agent()
    for reserve in (60, 60, 40, 0):
        make_task(campaign=campaign, agent=agent, reserve_etb=Decimal(reserve))
    claimed = claim_tasks(agent=agent, actor=CLOCK, limit=9)
    assert sorted(task.reserve_etb for task in claimed) in ([0, 60], [0, 40, 60])
    claimed += claim_tasks(agent=agent, actor=CLOCK, limit=9)
    assert sorted(task.reserve_etb for task in claimed) == [0, 40, 60]
    assert money(campaign) == ("100.00", "0.00")
    assert claim_tasks(agent=agent, actor=CLOCK, limit=9) == []


@pytest.mark.django_db
def test_a_cost_beyond_the_reserve_is_taken_while_the_budget_has_it() -> None:
    campaign = make_campaign(budget_cap_etb=Decimal(100))
    first = claimed_task(campaign=campaign, task_type=TaskType.TREND_FETCH, reserve_etb=Decimal(60))
    second = claimed_task(campaign=campaign, task_type=TaskType.TREND_FETCH, reserve_etb=Decimal(30))
    with pytest.raises(Conflict, match="would pass the campaign's budget cap"):
        complete_task(task=first, actor=worker(first), cost_etb=Decimal(71))
    assert money(campaign) == ("90.00", "0.00")
    complete_task(task=first, actor=worker(first), cost_etb=Decimal(70))
    complete_task(task=second, actor=worker(second))
    assert money(campaign) == ("0.00", "100.00")


@pytest.mark.django_db(transaction=True)
def test_many_at_once_never_pass_the_cap() -> None:
    campaign, agent = make_campaign(budget_cap_etb=Decimal(100)), make_agent()
    for _ in range(40):
        make_task(campaign=campaign, agent=agent, reserve_etb=Decimal(7), task_type=TaskType.TREND_FETCH)

    def work() -> int:
        done = 0
        while claimed := claim_tasks(agent=agent, actor=CLOCK, limit=3):
            for task in claimed:
                complete_task(task=task, actor=worker(task), cost_etb=Decimal(6))
                done += 1
        return done

    results = together(*[work] * 4)
    reserved, spent = money(campaign)
    assert reserved == "0.00"
    assert Decimal(spent) == 6 * sum(results) <= 100
    assert sum(results) >= 13  # with one worker it is 16; several reserve at the same time
