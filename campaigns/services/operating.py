"""What operators do to single tasks: retry, reassign, release what is stuck, send work back to its maker.

A task that has ended, or that somebody works on, is never turned back: the verb ends it where it has not ended, and
plans a new attempt on the same trace. So what was tried, made and spent stays with the attempt that it belongs to.
Only a task that nobody has begun changes hands itself.

Each verb locks the task, its review items and the posts of what it made, in the order that everybody keeps; what it
decides by is read under these locks. What lies in higher rooms is reached through relations.
"""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, Q

from agents.choices import AgentStatus
from agents.models import Agent
from audit.context import Actor, acting
from audit.errors import Conflict, Invalid, written
from campaigns.choices import CAMPAIGN_FINAL, TASK_VERB_FROM, TaskStatus, TaskVerb
from campaigns.models import MOST_ATTEMPTS, Task, TaskQuerySet
from campaigns.services.consequences import bounded
from campaigns.services.locks import share_campaign
from campaigns.services.tasks import next_attempt, told

PERMISSION = "campaigns.operate_task"
REASSIGNED_AT_ONCE = 1000  # tasks of an agent in one transaction, so that nobody waits long for their locks

MAY = {
    TaskVerb.RETRY: "retry tasks",
    TaskVerb.REASSIGN: "reassign tasks",
    TaskVerb.RELEASE: "release tasks",
    TaskVerb.SEND_BACK: "send work back",
}
SAY_WHY = {
    TaskVerb.RETRY: "Say why you retry it; the log keeps it.",
    TaskVerb.REASSIGN: "Say why you reassign it; the log keeps it.",
    TaskVerb.RELEASE: "Say why you release it: whoever looks at this attempt will ask.",
    TaskVerb.SEND_BACK: "Say what is to be changed: its maker works from your comments.",
}
ONLY_WHEN = {
    TaskVerb.RETRY: "only a task that failed is retried",
    TaskVerb.REASSIGN: "only a pending task changes hands",
    TaskVerb.RELEASE: "only a task in progress is released",
    TaskVerb.SEND_BACK: "only what is in review or done is sent back",
}


def seen(**which: Any) -> Any:
    """Tasks with what the verbs are decided by: whether there is a later attempt, and where their posts are."""
    same = Task.objects.filter(pk=OuterRef("pk"))
    # Children that a planner asked for begin with attempt 0; a later attempt never does.
    later = Task.objects.filter(parent_task=OuterRef("pk"), attempt__gt=0, task_type=OuterRef("task_type"))
    posts = "artifacts__publish_records__"
    with_publisher = Q(**{f"{posts}lease_id__isnull": False}) | Q(**{f"{posts}hold": "outcome_unknown"})
    return (
        Task.objects.filter(**which)
        .select_related("campaign", "agent")
        .annotate(
            has_later_attempt=Exists(later),
            has_post_out=Exists(same.filter(**{f"{posts}status": "published"})),
            has_post_leaving=Exists(same.filter(with_publisher, **{f"{posts}status": "queued"})),
        )
    )


def why_not(verb: TaskVerb, task: Any) -> str:
    """Why the verb is not possible for a task as `seen` gives it, in a sentence; empty when it is."""
    if task.deleted_at is not None:
        return f"Task “{task}” was removed."
    if task.campaign.status in CAMPAIGN_FINAL:
        return f"Campaign “{task.campaign}” is {task.campaign.state}; nothing of it is worked on again."
    if task.status not in TASK_VERB_FROM[verb]:
        return f"Task “{task}” is {task.get_status_display()}; {ONLY_WHEN[verb]}."
    if verb in {TaskVerb.RETRY, TaskVerb.SEND_BACK} and task.has_later_attempt:
        return f"There is a later attempt at “{task}” already; nothing was changed."
    if verb == TaskVerb.SEND_BACK and task.has_post_out:
        return f"“{task}” is published already; it cannot be sent back."
    if verb == TaskVerb.SEND_BACK and task.has_post_leaving:
        return f"A publisher has a post of “{task}”, or had it and its outcome is unknown; settle that post first."
    return ""


def possible_task_verbs(task: Any) -> list[TaskVerb]:
    """What can be done to a task as `seen` gives it."""
    return [verb for verb in TaskVerb if not why_not(verb, task)]


@transaction.atomic
def operate_task(verb: TaskVerb, *, task_id: UUID, actor: Actor, reason: str, agent_id: str = "") -> Task:
    """Do it; returns the task that is to be worked on now: the new attempt, or the one that changed hands.

    `agent_id` gives the work to another agent: required to reassign, possible with every verb.
    """
    actor.require(PERMISSION, to=MAY[verb])
    reason = written(reason, SAY_WHY[verb])
    task = _lock(task_id)
    if refusal := why_not(verb, task):
        raise Conflict(refusal)
    agent = active_agent(agent_id) if agent_id.strip() or verb == TaskVerb.REASSIGN else task.agent
    if agent.status == AgentStatus.RETIRED:
        raise Conflict(f"Agent “{agent}” is retired; name another that is to have the work.")
    with acting(actor, reason=reason):
        return DO[verb](task, reason, agent)


def _lock(task_id: UUID) -> Any:
    """The task, its review items and its posts under their locks; as it is then, and not as it was before we waited."""
    campaign_id = Task.objects.filter(pk=task_id).values_list("campaign_id", flat=True).first()
    if campaign_id is None:
        raise Invalid("There is no such task.")
    share_campaign(campaign_id)
    task: Any = Task.objects.select_for_update(of=("self",)).get(pk=task_id)
    for rows in (task.review_items.all(), _posts(task)):
        list(rows.order_by("pk").select_for_update(of=("self",)).values_list("pk"))
    return seen(pk=task_id).get()


def _posts(task: Task) -> Any:
    return task.campaign.publish_records.filter(artifact__task=task)


def active_agent(agent_id: str) -> Agent:
    """The agent that is to have the work. Raises Invalid or Conflict when it cannot."""
    name = written(agent_id, "Name the agent that is to have it.")
    agent = Agent.objects.filter(pk=name).first()
    if agent is None:
        raise Invalid(f"There is no agent “{name}”.")
    if agent.status != AgentStatus.ACTIVE:
        raise Conflict(f"Agent “{agent}” is {agent.get_status_display()}; only an active agent is given work.")
    return agent


def _retry(task: Task, reason: str, agent: Agent) -> Task:
    return _plan(_next(task, agent), TaskVerb.RETRY)


def _reassign(task: Task, reason: str, agent: Agent) -> Task:
    """Whoever made something stays its maker: where there is something, the other agent gets its own attempt."""
    if agent.pk == task.agent_id:
        raise Conflict(f"Agent “{agent}” has “{task}” already.")
    if not task.artifacts.exists():
        return task.change(TaskVerb.REASSIGN, agent=agent)
    task.change(TaskVerb.REASSIGN, status=TaskStatus.FAILED, error=f"Given to agent {agent}: {reason}")
    return _plan(_next(task, agent))


def _release(task: Task, reason: str, agent: Agent) -> Task:
    """Its lease ends now, so that what its worker sends later is refused; what was reserved counts as spent.

    As after a halt: nobody can say what it has cost, and being cut off uses up none of the agent's tries.
    """
    Task.objects.filter(pk=task.pk).cut_off(TaskVerb.RELEASE, f"Released by an operator: {reason}")
    return _plan(_next(task, agent, max_attempts=min(task.max_attempts + 1, MOST_ATTEMPTS)))


def _send_back(task: Task, reason: str, agent: Agent) -> Task:
    """The attempt counts no more: nobody decides on it, and nothing of it leaves."""
    following = _next(task, agent, context=told(task.context, reason))
    task.review_items.withdraw(TaskVerb.SEND_BACK)
    _posts(task).drop(TaskVerb.SEND_BACK, f"The work was sent back: {reason}")
    if task.status == TaskStatus.DONE:
        return _plan(following, TaskVerb.SEND_BACK)
    task.change(TaskVerb.SEND_BACK, status=TaskStatus.FAILED, error=f"Sent back: {reason}")
    return _plan(following)


DO: dict[TaskVerb, Callable[[Task, str, Agent], Task]] = {
    TaskVerb.RETRY: _retry,
    TaskVerb.REASSIGN: _reassign,
    TaskVerb.RELEASE: _release,
    TaskVerb.SEND_BACK: _send_back,
}


def _next(task: Task, agent: Agent, **changes: Any) -> Task:
    """The next attempt, at once, and also where the tries are used up: an operator grants one more."""
    most = max(task.max_attempts, min(task.attempt + 2, MOST_ATTEMPTS))
    return next_attempt(task, **{"max_attempts": most, "agent_id": agent.pk, **changes})


def _plan(attempt: Task, action: str = "create") -> Task:
    """`action` names the verb where the attempt that ended long ago has no row of its own that tells it."""
    (planned,) = Task.objects.create_all([attempt], action=action)
    return planned


def reassign_pending(*, from_agent: Agent, agent_id: str, actor: Actor, reason: str) -> tuple[int, int]:
    """Give what waits for one agent to another; returns how many changed hands, and how many are left for another go.

    Each campaign in a transaction of its own, and no more at once than keeps nobody waiting long.
    """
    actor.require(PERMISSION, to=MAY[TaskVerb.REASSIGN])
    reason = written(reason, SAY_WHY[TaskVerb.REASSIGN])
    agent = active_agent(agent_id)
    if agent.pk == from_agent.pk:
        raise Conflict(f"Agent “{agent}” has these tasks already.")
    waiting = pending_of(from_agent)
    by_campaign: dict[UUID, list[UUID]] = {}
    for campaign_id, key in waiting.values_list("campaign_id", "pk")[:REASSIGNED_AT_ONCE]:
        by_campaign.setdefault(campaign_id, []).append(key)
    moved = sum(_reassign_together(*each, from_agent, agent, reason, actor) for each in by_campaign.items())
    return moved, bounded(waiting)


def pending_of(agent: Agent) -> TaskQuerySet:
    found: TaskQuerySet = Task.objects.filter(agent=agent, status=TaskStatus.PENDING, deleted_at=None)
    return found


@transaction.atomic
def _reassign_together(
    campaign_id: UUID, keys: list[UUID], from_agent: Agent, agent: Agent, reason: str, actor: Actor
) -> int:
    """Those of one campaign that are still pending once their locks are granted."""
    share_campaign(campaign_id)
    still = pending_of(from_agent).filter(pk__in=keys)
    locked = [task.pk for task in still.order_by("pk").select_for_update(of=("self",))]
    made_something = Task.objects.filter(pk__in=locked, artifacts__isnull=False).distinct()
    for task in made_something:
        operate_task(TaskVerb.REASSIGN, task_id=task.pk, actor=actor, reason=reason, agent_id=agent.pk)
    with acting(actor, reason=reason):
        pending_of(from_agent).filter(pk__in=locked).change(TaskVerb.REASSIGN, agent=agent)
    return len(locked)
