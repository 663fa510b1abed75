"""The verbs of campaigns and tasks; one function each, called by every door."""

from campaigns.services.claims import claim_tasks
from campaigns.services.control import (
    activate_campaign,
    complete_campaign,
    control_campaign,
    halt_campaign,
    halt_everything,
    pause_campaign,
    possible_verbs,
    resume_campaign,
    resume_due_campaigns,
    resume_everything,
    stop_campaign,
)
from campaigns.services.operating import operate_task, possible_task_verbs, reassign_pending
from campaigns.services.tasks import (
    complete_task,
    create_task,
    create_tasks,
    fail_expired_tasks,
    fail_task,
    heartbeat_task,
    release_task,
)

__all__ = [
    "activate_campaign",
    "claim_tasks",
    "complete_campaign",
    "complete_task",
    "control_campaign",
    "create_task",
    "create_tasks",
    "fail_expired_tasks",
    "fail_task",
    "halt_campaign",
    "halt_everything",
    "heartbeat_task",
    "operate_task",
    "pause_campaign",
    "possible_task_verbs",
    "possible_verbs",
    "reassign_pending",
    "release_task",
    "resume_campaign",
    "resume_due_campaigns",
    "resume_everything",
    "stop_campaign",
]
