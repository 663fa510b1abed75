"""What happens to a task: planned, handed out, given back, finished, failed and tried again."""

import uuid
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from agents.choices import AgentStatus
from agents.models import Agent
from audit.context import Actor, acting
from audit.errors import Conflict
from campaigns.choices import CAMPAIGN_FINAL, UNREVIEWED_TYPES, TaskPriority, TaskStatus
from campaigns.models import MOST_ATTEMPTS, Campaign, Task
from campaigns.services.locks import share_campaign, share_running

RETRY_DELAY = timedelta(minutes=1)  # doubled with each attempt
LONGEST_DELAY = timedelta(hours=1)


@transaction.atomic
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
    actor.require("campaigns.add_task", to="plan tasks")
    status = share_campaign(campaign.pk)
    if status in CAMPAIGN_FINAL:
        raise Conflict(f"Campaign “{campaign}” is {status}; it takes no more work.")
    with acting(actor):
        return Task.objects.create(
            campaign=campaign,
            agent=agent,
            task_type=task_type,
            context=context,
            priority=priority,
            status=TaskStatus.PENDING,
            created_by=actor.person,
            **details,
        )


@transaction.atomic
def claim_tasks(*, agent: Agent, actor: Actor, limit: int = 1, lease_seconds: int = 300) -> list[Task]:
    """Hand out the agent's most urgent work on campaigns that run now; each task goes to one caller only.

    Empty when there is nothing, the agent is not active, or everything is halted.
    """
    if not Agent.objects.filter(pk=agent.pk, status=AgentStatus.ACTIVE).exists():
        return []
    now = timezone.now()
    pending = Task.objects.filter(
        Q(not_before=None) | Q(not_before__lte=now), agent=agent, status=TaskStatus.PENDING, deleted_at=None
    )
    running = share_running(list(pending.order_by().values_list("campaign_id", flat=True).distinct()))
    ready = pending.filter(campaign__in=running).by_rank().select_for_update(skip_locked=True, of=("self",))
    with acting(actor):
        return [
            task.change(
                "claim",
                status=TaskStatus.IN_PROGRESS,
                lease_id=uuid.uuid4(),
                lease_expires_at=now + timedelta(seconds=lease_seconds),
            )
            for task in ready[:limit]
        ]


def _change_leased(task: Task, action: str, actor: Actor, **values: Any) -> Task:
    """Change a task in progress while its lease is the one the caller holds; otherwise say what became of it."""
    with transaction.atomic(), acting(actor):
        share_campaign(task.campaign_id)
        held = Task.objects.filter(pk=task.pk, status=TaskStatus.IN_PROGRESS, lease_id=task.lease_id)
        changed = held.change(action, **values)
    if not changed:
        task.refresh_from_db()
        raise Conflict(f"Task “{task}” is {task.get_status_display()} and no longer yours; nothing was changed.")
    return changed[0]


@transaction.atomic
def complete_task(*, task: Task, actor: Actor) -> Task:
    """The worker has finished: what it made goes to review, or the task is done when there is nothing to review."""
    status = TaskStatus.DONE if task.task_type in UNREVIEWED_TYPES else TaskStatus.REVIEW
    completed = _change_leased(task, "complete", actor, status=status)
    # Asked through the task's own relation, because artifacts are a higher room.
    if status == TaskStatus.REVIEW and not task.artifacts.exists():
        raise Conflict(f"Task “{task}” has nothing to review yet; submit what was made first.")
    return completed


def release_task(*, task: Task, actor: Actor) -> Task:
    """The worker gives the task back, unfinished; somebody else may take it."""
    return _change_leased(task, "release", actor, status=TaskStatus.PENDING)


@transaction.atomic
def fail_task(*, task: Task, actor: Actor, error: str, retryable: bool = True) -> Task | None:
    """This attempt has failed. Returns the next one, or None when there is none."""
    failed = _change_leased(task, "fail", actor, status=TaskStatus.FAILED, error=error)
    return retry_task(task=failed, actor=actor) if retryable else None


def retry_task(*, task: Task, actor: Actor, feedback: str = "") -> Task | None:
    """The next attempt at a failed task: a new row on the same trace, later each time; None when there is none.

    `feedback` reaches the worker in its context, so that work goes back to its maker with the reasons.
    """
    if not task.tries_left or task.deleted_at is not None:
        return None
    context = task.context
    if feedback:
        told = {"feedback": feedback}
        context = {**context, **told} if isinstance(context, dict) else [*context, told]
    delay = min(RETRY_DELAY * 2 ** min(task.attempt, 10), LONGEST_DELAY)
    with acting(actor):
        (retry,) = Task.objects.create_all([next_attempt(task, not_before=timezone.now() + delay, context=context)])
    return retry


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
