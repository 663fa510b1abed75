"""What an agent can be, and how it gets from one state to the other."""

from django.db.models import TextChoices


class AgentStatus(TextChoices):
    ACTIVE = "active", "active"
    SUSPENDED = "suspended", "suspended"
    RETIRED = "retired", "retired"


AGENT_INITIAL = {AgentStatus.ACTIVE, AgentStatus.SUSPENDED}
AGENT_TRANSITIONS = {
    AgentStatus.ACTIVE: {AgentStatus.SUSPENDED, AgentStatus.RETIRED},
    AgentStatus.SUSPENDED: {AgentStatus.ACTIVE, AgentStatus.RETIRED},
    AgentStatus.RETIRED: set[AgentStatus](),
}
AGENT_COLOUR = {AgentStatus.ACTIVE: "good", AgentStatus.SUSPENDED: "warn", AgentStatus.RETIRED: "neutral"}


class AgentVerb(TextChoices):
    """What an operator does to an agent; the value is also the action in the audit log."""

    SUSPEND = "suspend", "Suspend"
    REACTIVATE = "reactivate", "Reactivate"
    RETIRE = "retire", "Retire"


VERB_TO = {
    AgentVerb.SUSPEND: AgentStatus.SUSPENDED,
    AgentVerb.REACTIVATE: AgentStatus.ACTIVE,
    AgentVerb.RETIRE: AgentStatus.RETIRED,
}
VERB_COLOUR = {AgentVerb.RETIRE: "bad"}


class TokenRole(TextChoices):
    PLANNER = "planner", "planner"
    WORKER = "worker", "worker"
    JUDGE = "judge", "judge"
    PUBLISHER = "publisher", "publisher"
    METRICS = "metrics", "metrics collector"
