"""Planners write tasks."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from ninja import Router
from pydantic import Field

from agents.api import ApiRequest, Bearer, actor_of
from agents.choices import TokenRole
from agents.models import Agent
from audit.api import Amount, Incoming, JsonObject, Moment, Name, Text, Whole, found
from campaigns.api.schemas import PlannedOut, TaskOut
from campaigns.choices import TaskPriority, TaskType
from campaigns.models import Campaign, Task
from campaigns.services import create_tasks

router = Router(tags=["plan"])


class TaskIn(Incoming):
    campaign_id: UUID
    agent_id: Name
    task_type: TaskType
    context: JsonObject
    priority: TaskPriority = TaskPriority.MEDIUM
    title: Annotated[Text, Field(max_length=500)] | None = None
    not_before: Moment | None = None
    max_attempts: Annotated[Whole, Field(ge=1, le=100)] = 3
    reserve_etb: Amount = Decimal(0)
    parent_task_id: UUID | None = None


class TasksIn(Incoming):
    tasks: Annotated[list[TaskIn], Field(min_length=1, max_length=1000)]


@router.post("tasks", response={201: TaskOut}, auth=Bearer(TokenRole.PLANNER))
def plan_task(request: ApiRequest, body: TaskIn) -> Task:
    """Plan one task. It is on the trace that the request names, or on one of its own; a child on its parent's."""
    (task,) = _plan(request, [body])
    return task


@router.post("tasks/batch", response={201: PlannedOut}, auth=Bearer(TokenRole.PLANNER))
def plan_tasks(request: ApiRequest, body: TasksIn) -> dict[str, Any]:
    """Plan up to 1,000 tasks, all or none."""
    return {"tasks": _plan(request, body.tasks)}


def _plan(request: ApiRequest, given: Sequence[TaskIn]) -> list[Task]:
    campaigns = Campaign.objects.filter(deleted_at=None).in_bulk([each.campaign_id for each in given])
    agents = Agent.objects.in_bulk([each.agent_id for each in given])
    parents = Task.objects.defer("context").in_bulk([each.parent_task_id for each in given if each.parent_task_id])
    trace = {"trace_id": request.given_trace_id} if request.given_trace_id else {}
    planned = []
    for place, each in enumerate(given):
        where = f" (tasks[{place}])" if len(given) > 1 else ""
        campaign = found(campaigns.get(each.campaign_id), f"There is no campaign {each.campaign_id}{where}.")
        agent = found(agents.get(each.agent_id), f"There is no agent “{each.agent_id}”{where}.")
        values = each.model_dump(exclude={"campaign_id", "agent_id", "parent_task_id"})
        task = Task(campaign=campaign, agent=agent, **values, **trace)
        if each.parent_task_id:
            parent = found(parents.get(each.parent_task_id), f"There is no task {each.parent_task_id}{where}.")
            task.parent_task, task.trace_id = parent, parent.trace_id
        planned.append(task)
    return create_tasks(tasks=planned, actor=actor_of(request))
