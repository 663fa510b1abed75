"""Who acts, on what, and how much it matters: the vocabulary of the audit log."""

from django.db.models import TextChoices


class ActorType(TextChoices):
    PLANNER = "planner", "planner"
    WORKER = "worker", "worker"
    JUDGE = "judge", "judge"
    HUMAN = "human", "person"
    SYSTEM = "system", "system"


class Severity(TextChoices):
    INFO = "info", "info"
    WARNING = "warning", "warning"
    ERROR = "error", "error"


class EntityType(TextChoices):
    """Everything that an audit row can be about. The first six are the core specification's."""

    TASK = "task", "task"
    ARTIFACT = "artifact", "artifact"
    REVIEW_DECISION = "review_decision", "review decision"
    PUBLISH_RECORD = "publish_record", "publish record"
    METRIC_EVENT = "metric_event", "metric event"
    CONTEXT_SNAPSHOT = "context_snapshot", "context snapshot"
    CAMPAIGN = "campaign", "campaign"
    AGENT = "agent", "agent"
    VIDEO_ASSET = "video_asset", "video asset"
    REVIEW_ITEM = "review_item", "review item"
    JUDGE_LEASE = "judge_lease", "judge lease"
    SYSTEM_CONTROL = "system_control", "system control"
    METRIC_ARCHIVE = "metric_archive", "metric archive"
    USER = "user", "person"
    GROUP = "group", "group"
    API_TOKEN = "api_token", "API token"
    LIST = "list", "list"  # what was taken out of the console as a file; the key is the table's name


# Verbs that somebody looking for trouble wants to see first.
WARNING_ACTIONS = {"halt", "stop", "fail", "reject", "escalate", "undo", "expire", "unknown", "overdue", "evidence"}
SEVERITY_COLOUR = {Severity.INFO: "neutral", Severity.WARNING: "warn", Severity.ERROR: "bad"}
