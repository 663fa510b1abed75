"""States of campaigns and tasks, their transitions, and what a task can be."""

from django.db.models import TextChoices


class CampaignStatus(TextChoices):
    DRAFT = "draft", "draft"
    ACTIVE = "active", "active"
    PAUSED = "paused", "paused"
    STOPPED = "stopped", "stopped"
    COMPLETED = "completed", "completed"


CAMPAIGN_INITIAL = {CampaignStatus.DRAFT, CampaignStatus.ACTIVE}
CAMPAIGN_TRANSITIONS = {
    CampaignStatus.DRAFT: {CampaignStatus.ACTIVE, CampaignStatus.STOPPED},
    CampaignStatus.ACTIVE: {CampaignStatus.PAUSED, CampaignStatus.COMPLETED, CampaignStatus.STOPPED},
    CampaignStatus.PAUSED: {CampaignStatus.ACTIVE, CampaignStatus.COMPLETED, CampaignStatus.STOPPED},
    CampaignStatus.STOPPED: set[CampaignStatus](),
    CampaignStatus.COMPLETED: set[CampaignStatus](),
}
CAMPAIGN_FINAL = {status for status, following in CAMPAIGN_TRANSITIONS.items() if not following}
CAMPAIGN_COLOUR = {
    CampaignStatus.DRAFT: "neutral",
    CampaignStatus.ACTIVE: "good",
    CampaignStatus.PAUSED: "warn",
    CampaignStatus.STOPPED: "bad",
    CampaignStatus.COMPLETED: "info",
}


class TaskType(TextChoices):
    TREND_FETCH = "trend_fetch", "fetch trends"
    DRAFT_POST = "draft_post", "draft a post"
    GENERATE_MEDIA = "generate_media", "generate media"
    PUBLISH_POST = "publish_post", "publish a post"
    COLLECT_METRICS = "collect_metrics", "collect metrics"


# What these make is not content for an audience, so that nobody has to review it.
UNREVIEWED_TYPES = {TaskType.TREND_FETCH, TaskType.PUBLISH_POST, TaskType.COLLECT_METRICS}


class TaskPriority(TextChoices):
    HIGH = "high", "high"
    MEDIUM = "medium", "medium"
    LOW = "low", "low"


# Priorities sort by rank: as text, "low" would come before "medium".
PRIORITY_RANK = {TaskPriority.HIGH: 0, TaskPriority.MEDIUM: 1, TaskPriority.LOW: 2}


class TaskStatus(TextChoices):
    PENDING = "pending", "pending"
    IN_PROGRESS = "in_progress", "in progress"
    REVIEW = "review", "in review"
    DONE = "done", "done"
    FAILED = "failed", "failed"


TASK_INITIAL = {TaskStatus.PENDING}
TASK_TRANSITIONS = {
    TaskStatus.PENDING: {TaskStatus.IN_PROGRESS, TaskStatus.FAILED},
    TaskStatus.IN_PROGRESS: {TaskStatus.REVIEW, TaskStatus.DONE, TaskStatus.FAILED, TaskStatus.PENDING},
    TaskStatus.REVIEW: {TaskStatus.DONE, TaskStatus.FAILED},
    TaskStatus.DONE: set[TaskStatus](),
    TaskStatus.FAILED: set[TaskStatus](),
}
TASK_OPEN = {TaskStatus.PENDING, TaskStatus.IN_PROGRESS, TaskStatus.REVIEW}
TASK_COLOUR = {
    TaskStatus.PENDING: "neutral",
    TaskStatus.IN_PROGRESS: "info",
    TaskStatus.REVIEW: "warn",
    TaskStatus.DONE: "good",
    TaskStatus.FAILED: "bad",
}


class CampaignVerb(TextChoices):
    """What an operator does to a campaign; the value is also the action in the audit log."""

    ACTIVATE = "activate", "Activate"
    PAUSE = "pause", "Pause"
    HALT = "halt", "Halt"
    RESUME = "resume", "Resume"
    COMPLETE = "complete", "Complete"
    STOP = "stop", "Stop"


class Backlog(TextChoices):
    """What a resume does with the posts whose time came while the campaign was paused."""

    PUBLISH = "publish", "publish them now"
    SPREAD = "spread", "spread them over the next hour"
    DROP = "drop", "drop them: they never leave"


# From where each verb is possible; the rest of its conditions are the services'.
VERB_FROM = {
    CampaignVerb.ACTIVATE: {CampaignStatus.DRAFT},
    CampaignVerb.PAUSE: {CampaignStatus.ACTIVE},
    CampaignVerb.HALT: {CampaignStatus.ACTIVE, CampaignStatus.PAUSED},
    CampaignVerb.RESUME: {CampaignStatus.PAUSED},
    CampaignVerb.COMPLETE: {CampaignStatus.ACTIVE, CampaignStatus.PAUSED},
    CampaignVerb.STOP: {CampaignStatus.DRAFT, CampaignStatus.ACTIVE, CampaignStatus.PAUSED},
}
VERB_COLOUR = {CampaignVerb.HALT: "bad", CampaignVerb.STOP: "bad"}


class SystemVerb(TextChoices):
    """What an operator does to everything at once."""

    HALT = "halt", "Halt"
    RESUME = "resume", "Resume"


class TaskVerb(TextChoices):
    """What an operator does to a task; the value is also the action in the audit log."""

    RETRY = "retry", "Retry"
    REASSIGN = "reassign", "Reassign"
    RELEASE = "release", "Release"
    SEND_BACK = "send_back", "Send back"


TASK_VERB_FROM = {
    TaskVerb.RETRY: {TaskStatus.FAILED},
    TaskVerb.REASSIGN: {TaskStatus.PENDING},
    TaskVerb.RELEASE: {TaskStatus.IN_PROGRESS},
    TaskVerb.SEND_BACK: {TaskStatus.REVIEW, TaskStatus.DONE},
}
TASK_VERB_COLOUR = {TaskVerb.RELEASE: "bad", TaskVerb.SEND_BACK: "bad"}

# What forms suggest; a campaign may aim at any other.
PLATFORMS = ["youtube", "tiktok", "instagram", "x"]
