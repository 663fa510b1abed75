"""Workers take tasks and finish them. What they make is handed in at the content's routes."""

from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from django.db.models import prefetch_related_objects
from ninja import Router
from pydantic import Field

from agents.api import ApiRequest, Bearer, actor_of, agent_of, patient
from agents.choices import AgentStatus, TokenRole
from agents.models import Agent
from audit.api import Amount, Flag, Incoming, Name, Text, Whole, found
from audit.errors import NotAllowed
from campaigns.api.schemas import ClaimedTasksOut, FailedOut, HeartbeatOut, TaskOut
from campaigns.choices import TaskType
from campaigns.models import Task
from campaigns.services import claim_tasks, complete_task, fail_task, heartbeat_task, release_task

router = Router(tags=["work"])

WORKER = Bearer(TokenRole.WORKER)
LeaseSeconds = Annotated[Whole, Field(ge=5, le=3600, description="How long the lease lasts without a heartbeat.")]
Reason = Annotated[
    Text, Field(min_length=1, pattern=r"\S", json_schema_extra={"pattern": r"^[^\u0000]*[^\s\u0000][^\u0000]*$"})
]


class ClaimIn(Incoming):
    """What every claim takes."""

    limit: Annotated[Whole, Field(ge=1, le=100)] = 1
    lease_seconds: LeaseSeconds = 300
    wait: Annotated[Whole, Field(ge=0, le=30, description="Seconds to wait while there is nothing.")] = 0


class ClaimTasksIn(ClaimIn):
    agent_id: Name | None = None
    types: Annotated[list[TaskType], Field(min_length=1)] | None = None


class LeaseIn(Incoming):
    """Every write of a worker carries the lease that its claim gave."""

    lease_id: UUID


class HeartbeatIn(LeaseIn):
    lease_seconds: LeaseSeconds = 300


class EndIn(LeaseIn):
    cost_etb: Amount | None = None


class FailIn(EndIn):
    error: Reason
    retryable: Flag = True


@router.post("tasks/claim", response=ClaimedTasksOut, auth=WORKER)
@patient
def claim(request: ApiRequest, body: ClaimTasksIn) -> dict[str, Any]:
    """Take the agent's most urgent tasks under a lease. Nobody else is given them while the lease lasts.

    Empty when there is nothing to do: no work, a campaign that does not run, an inactive agent, no budget left.
    """
    agent = agent_of(request, body.agent_id)
    claimed = claim_tasks(
        agent=agent,
        actor=actor_of(request, agent),
        types=body.types or TaskType.values,
        limit=body.limit,
        lease_seconds=body.lease_seconds,
    )
    prefetch_related_objects(claimed, "campaign")
    return {"tasks": claimed}


def held(request: ApiRequest, task_id: UUID, lease_id: UUID) -> Task:
    """The task as the caller holds it; whether the lease is still good is asked under a lock, by the verb."""
    task = found(Task.objects.select_related("agent").filter(pk=task_id).first(), "There is no task with this id.")
    if request.auth.agent_id not in (None, task.agent_id):
        raise NotAllowed(f"Task {task_id} is another agent's.")
    task.lease_id = lease_id
    return task


@router.post("tasks/{task_id}/heartbeat", response=HeartbeatOut, auth=WORKER)
def heartbeat(request: ApiRequest, task_id: UUID, body: HeartbeatIn) -> dict[str, Any]:
    """Prolong the lease from now on. 409: it is lost, so stop. `stop`: finish or release the task soon, and `why`."""
    task = held(request, task_id, body.lease_id)
    kept = heartbeat_task(task=task, actor=actor_of(request, task.agent), lease_seconds=body.lease_seconds)
    why = stop_because(task.agent)
    return {"lease_expires_at": kept.lease_expires_at, "stop": why is not None, "why": why}


def stop_because(agent: Agent) -> str | None:
    """Why somebody at work should come to an end."""
    return None if agent.status == AgentStatus.ACTIVE else f"The agent “{agent}” is {agent.get_status_display()}."


@router.post("tasks/{task_id}/complete", response=TaskOut, auth=WORKER)
def complete(request: ApiRequest, task_id: UUID, body: EndIn) -> Task:
    """The work is finished: what was made goes to review. Without `cost_etb`, what was reserved counts as spent."""
    task = held(request, task_id, body.lease_id)
    return complete_task(task=task, actor=actor_of(request, task.agent), cost_etb=body.cost_etb)


@router.post("tasks/{task_id}/fail", response=FailedOut, auth=WORKER)
def fail(request: ApiRequest, task_id: UUID, body: FailIn) -> dict[str, Any]:
    """This attempt failed. `next` is the attempt that follows, unless there is none."""
    task = held(request, task_id, body.lease_id)
    failed, following = fail_task(
        task=task,
        actor=actor_of(request, task.agent),
        error=body.error,
        retryable=body.retryable,
        cost_etb=body.cost_etb,
    )
    return {"task": failed, "next": following}


@router.post("tasks/{task_id}/release", response=TaskOut, auth=WORKER)
def release(request: ApiRequest, task_id: UUID, body: EndIn) -> Task:
    """Give the task back unfinished; another worker of the agent may take it at once."""
    task = held(request, task_id, body.lease_id)
    return release_task(task=task, actor=actor_of(request, task.agent), cost_etb=body.cost_etb or Decimal(0))
