"""The verbs of campaigns and tasks; one function each, called by every door."""

from campaigns.services.control import (
    activate_campaign,
    complete_campaign,
    control_campaign,
    halt_campaign,
    pause_campaign,
    possible_verbs,
    resume_campaign,
    resume_due_campaigns,
    stop_campaign,
)
from campaigns.services.tasks import claim_tasks, complete_task, create_task, fail_task, release_task

__all__ = [
    "activate_campaign",
    "claim_tasks",
    "complete_campaign",
    "complete_task",
    "control_campaign",
    "create_task",
    "fail_task",
    "halt_campaign",
    "pause_campaign",
    "possible_verbs",
    "release_task",
    "resume_campaign",
    "resume_due_campaigns",
    "stop_campaign",
]
