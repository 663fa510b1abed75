"""What happens to a task: planned, worked on under a lease, given back, finished, failed and tried again.

Whoever works on a task carries its lease: every function here that takes a `task` takes it as its worker holds it, with
the `lease_id` that the claim gave. A lease that was lost, has expired, or began before a halt changes nothing.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone

from agents.choices import AgentStatus
from agents.models import Agent
from audit.context import Actor, acting
from audit.due import one_by_one
from audit.errors import Conflict, broken_rule, written
from campaigns.choices import CAMPAIGN_FINAL, UNREVIEWED_TYPES, TaskPriority, TaskStatus
from campaigns.models import MOST_ATTEMPTS, Campaign, Task, TaskQuerySet
from campaigns.services.locks import present_epoch, share_campaign, share_campaigns

RETRY_DELAY = timedelta(minutes=1)  # doubled with each attempt
LONGEST_DELAY = timedelta(hours=1)


def create_task(
    *,
    campaign: Campaign,
    agent: Agent,
    task_type: str,
    context: dict[str, Any],
    actor: Actor,
    priority: str = TaskPriority.MEDIUM,
    **details: Any,
) -> Task:
    """Plan a piece of work. A person who plans it is remembered: that person approves nothing that comes of it."""
    task = Task(campaign=campaign, agent=agent, task_type=task_type, context=context, priority=priority, **details)
    (created,) = create_tasks(tasks=[task], actor=actor)
    return created


@transaction.atomic
def create_tasks(*, tasks: Sequence[Task], actor: Actor) -> list[Task]:
    """Plan several pieces of work, all or none; `tasks` are rows that are not saved yet."""
    actor.require("campaigns.add_task", to="plan tasks")
    statuses = share_campaigns({task.campaign_id for task in tasks})
    for task in tasks:
        if (status := statuses[task.campaign_id]) in CAMPAIGN_FINAL:
            raise Conflict(f"Campaign “{task.campaign}” is {status}; it takes no more work.")
        if task.agent.status == AgentStatus.RETIRED:
            raise Conflict(f"Agent “{task.agent}” is retired; it takes no more work.")
        task.status, task.created_by = TaskStatus.PENDING, actor.person
    with acting(actor):
        return Task.objects.create_all(tasks)


def leased(task: Task) -> TaskQuerySet:
    """The task while the lease that its worker holds is good: not lost, not expired, not begun before a halt."""
    held: TaskQuerySet = Task.objects.filter(
        pk=task.pk,
        status=TaskStatus.IN_PROGRESS,
        lease_id=task.lease_id,
        lease_expires_at__gt=Now(),
        lease_epoch__gte=present_epoch(),
    )
    return held


def lost(task: Task) -> Conflict:
    """Why the lease that somebody still holds is no longer good."""
    now = Task.objects.get(pk=task.pk)
    if now.status == TaskStatus.IN_PROGRESS and now.lease_id == task.lease_id:
        return Conflict(f"The lease on task “{now}” has ended; nothing was changed. Stop working on it.")
    return Conflict(
        f"Task “{now}” is {now.get_status_display()} and no longer yours; nothing was changed. Stop working on it."
    )


def _change_leased(task: Task, action: str, actor: Actor, cost: Decimal | None = None, **values: Any) -> Task:
    """Change a task in progress while its lease is good, in the caller's transaction; or say what became of it."""
    if cost is not None:
        values["cost_etb"] = F("cost_etb") + cost
    share_campaign(task.campaign_id)
    try:
        with transaction.atomic(), acting(actor):
            changed = leased(task).change(action, **values)
    except IntegrityError as error:
        if broken_rule(error) != "campaign_budget_check":
            raise
        raise Conflict(
            f"A cost of {cost} ETB would pass the campaign's budget cap. What was reserved for the task can be settled "
            "in any case; more needs a higher cap."
        ) from None
    if not changed:
        raise lost(task)
    return changed[0]


@transaction.atomic
def heartbeat_task(*, task: Task, actor: Actor, lease_seconds: int) -> Task:
    """The worker is still at it: its lease is prolonged. Raises Conflict when it is lost, which means stop."""
    return _change_leased(task, "heartbeat", actor, lease_expires_at=Now() + timedelta(seconds=lease_seconds))


@transaction.atomic
def complete_task(*, task: Task, actor: Actor, cost_etb: Decimal | None = None) -> Task:
    """The worker has finished: what it made goes to review, or the task is done when there is nothing to review.

    `cost_etb` is what it did cost; when nobody says, what was reserved counts as spent.
    """
    status = TaskStatus.DONE if task.task_type in UNREVIEWED_TYPES else TaskStatus.REVIEW
    completed = _change_leased(task, "complete", actor, _cost(task, cost_etb), status=status)
    # Asked through the task's own relation, because artifacts are a higher room.
    made = task.artifacts.filter(created_at__gte=completed.claimed_at)
    if status == TaskStatus.REVIEW and not made.exists():
        raise Conflict(f"Task “{task}” has nothing to review yet; submit what was made first.")
    return completed


@transaction.atomic
def release_task(*, task: Task, actor: Actor, cost_etb: Decimal = Decimal(0)) -> Task:
    """The worker gives the task back, unfinished; somebody else may take it. Nothing was spent, unless it says so."""
    return _change_leased(task, "release", actor, cost_etb, status=TaskStatus.PENDING)


@transaction.atomic
def fail_task(
    *, task: Task, actor: Actor, error: str, retryable: bool = True, cost_etb: Decimal | None = None
) -> tuple[Task, Task | None]:
    """This attempt has failed. Returns it and the next one, or None when there is none."""
    error = written(error, "Say what went wrong: whoever looks at this task will ask.")
    failed = _change_leased(task, "fail", actor, _cost(task, cost_etb), status=TaskStatus.FAILED, error=error)
    return failed, retry_task(task=failed, actor=actor) if retryable else None


def _cost(task: Task, told: Decimal | None) -> Decimal:
    return task.reserve_etb if told is None else told


def retry_task(*, task: Task, actor: Actor, feedback: str = "") -> Task | None:
    """The next attempt at a failed task: a new row on the same trace, later each time; None when there is none.

    `feedback` reaches the worker in its context, so that work goes back to its maker with the reasons.
    """
    if not task.tries_left or task.deleted_at is not None:
        return None
    context = told(task.context, feedback) if feedback else task.context
    delay = min(RETRY_DELAY * 2 ** min(task.attempt, 10), LONGEST_DELAY)
    with acting(actor):
        (retry,) = Task.objects.create_all([next_attempt(task, not_before=timezone.now() + delay, context=context)])
    return retry


def told(context: Any, feedback: str) -> Any:
    """What a worker is given, with what people said of the attempt before."""
    said = {"feedback": feedback}
    return {**context, **said} if isinstance(context, dict) else [*context, said]


def next_attempt(task: Task, *, not_before: datetime | None = None, **changes: Any) -> Task:
    """The row of the next attempt, not saved yet; whoever calls it has decided that there is one."""
    kept = (
        *("campaign_id", "agent_id", "task_type", "priority", "context", "title"),
        *("max_attempts", "reserve_etb", "trace_id", "created_by_id"),
    )
    values = {name: getattr(task, name) for name in kept} | changes
    return Task(
        **values,
        status=TaskStatus.PENDING,
        attempt=min(task.attempt + 1, MOST_ATTEMPTS),
        parent_task=task,
        not_before=not_before,
    )


def fail_expired_tasks(*, actor: Actor) -> int:
    """Fail what a worker went silent on, and plan the next attempt; returns how many. What was reserved was spent."""
    expired = Task.objects.filter(status=TaskStatus.IN_PROGRESS, lease_expires_at__lte=Now())

    def fail(task: Task) -> bool:
        share_campaign(task.campaign_id)
        error = f"Its worker went silent: the lease ended at {task.lease_expires_at:%Y-%m-%d %H:%M:%S} UTC."
        failed = expired.filter(pk=task.pk, lease_id=task.lease_id).cut_off("expire", error)
        for each in failed:
            retry_task(task=each, actor=actor)
        return bool(failed)

    return one_by_one(expired.order_by("lease_expires_at"), fail, actor)
