"""Campaigns and tasks, read by whoever has a token."""

from typing import Any
from uuid import UUID

from ninja import Query, Router

from agents.api import ApiRequest
from audit.api import Name, Paging, TraceId, found, page
from campaigns.api.schemas import CampaignOut, CampaignsOut, TasksOut, TaskWithContext
from campaigns.choices import CampaignStatus, TaskStatus
from campaigns.models import Campaign, Task

router = Router(tags=["read"])


class CampaignFilter(Paging):
    status: CampaignStatus | None = None


class TaskFilter(Paging):
    campaign_id: UUID | None = None
    agent_id: Name | None = None
    status: TaskStatus | None = None
    trace_id: TraceId | None = None


@router.get("campaigns", response=CampaignsOut)
def list_campaigns(request: ApiRequest, filters: Query[CampaignFilter]) -> dict[str, Any]:
    """Campaigns, the oldest first."""
    items, cursor = page(Campaign.objects.filter(deleted_at=None, **filters.given()), filters)
    return {"items": items, "next": cursor}


@router.get("campaigns/{campaign_id}", response=CampaignOut)
def get_campaign(request: ApiRequest, campaign_id: UUID) -> Campaign:
    """One campaign: its goal, its state and its money."""
    campaign = Campaign.objects.filter(pk=campaign_id, deleted_at=None).first()
    return found(campaign, "There is no campaign with this id.")


@router.get("tasks", response=TasksOut)
def list_tasks(request: ApiRequest, filters: Query[TaskFilter]) -> dict[str, Any]:
    """Tasks, the oldest first; without their contexts."""
    items, cursor = page(Task.objects.filter(deleted_at=None, **filters.given()).defer("context"), filters)
    return {"items": items, "next": cursor}


@router.get("tasks/{task_id}", response=TaskWithContext)
def get_task(request: ApiRequest, task_id: UUID) -> Task:
    """One task with its context."""
    return found(Task.objects.filter(pk=task_id, deleted_at=None).first(), "There is no task with this id.")
