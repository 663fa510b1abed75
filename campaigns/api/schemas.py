"""Campaigns and tasks as machines read them. A lease is never among it: whoever knows a lease holds it."""

from uuid import UUID

from audit.api import Answer, Json, Moment, Money
from campaigns.choices import CampaignStatus, TaskPriority, TaskStatus, TaskType


class CampaignBrief(Answer):
    """What somebody who works for a campaign has to know of it."""

    campaign_id: UUID
    name: str
    goal: str
    constraints: Json
    target_platforms: Json


class CampaignOut(CampaignBrief):
    status: CampaignStatus
    halted_at: Moment | None
    resume_at: Moment | None
    control_reason: str | None
    start_time: Moment | None
    end_time: Moment | None
    budget_cap_etb: Money
    reserved_etb: Money
    spent_etb: Money
    created_at: Moment
    updated_at: Moment


class CampaignsOut(Answer):
    items: list[CampaignOut]
    next: str | None


class TaskOut(Answer):
    task_id: UUID
    campaign_id: UUID
    agent_id: str
    task_type: TaskType
    priority: TaskPriority
    status: TaskStatus
    title: str | None
    attempt: int
    max_attempts: int
    parent_task_id: UUID | None
    trace_id: str
    not_before: Moment | None
    reserve_etb: Money
    cost_etb: Money
    error: str | None
    claimed_at: Moment | None
    completed_at: Moment | None
    created_at: Moment
    updated_at: Moment


class TaskWithContext(TaskOut):
    context: Json


class TasksOut(Answer):
    items: list[TaskOut]
    next: str | None


class PlannedOut(Answer):
    tasks: list[TaskOut]


class ClaimedTask(TaskWithContext):
    """A task with what its worker needs: the lease for every later write, and what to work from."""

    lease_id: UUID
    lease_expires_at: Moment
    context_sha256: str
    campaign: CampaignBrief


class ClaimedTasksOut(Answer):
    tasks: list[ClaimedTask]


class FailedOut(Answer):
    task: TaskOut
    next: TaskOut | None


class HeartbeatOut(Answer):
    lease_expires_at: Moment
    stop: bool
    why: str | None
