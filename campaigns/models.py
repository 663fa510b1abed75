"""Campaigns and the tasks that they generate."""

from collections.abc import Iterable

import pgtrigger
from django.contrib.postgres.indexes import GinIndex, OpClass
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Case, F, Func, Q, Value, When
from django.db.models.functions import Upper

from accounts.models import PersonKey
from agents.models import Agent
from audit.base import (
    AuditedModel,
    AuditedQuerySet,
    AuditSpec,
    CreatedAtField,
    IdField,
    UpdatedAtField,
    at_least,
    called,
    json_shaped,
    one_of,
    times_within_reach,
)
from audit.choices import EntityType
from audit.context import TRACE_ID, new_trace_id
from audit.exact_json import ExactJSONField
from audit.triggers import MUTABLE, DefinerGuard, Guard, Transitions, array, refusal
from campaigns.choices import (
    CAMPAIGN_INITIAL,
    CAMPAIGN_TRANSITIONS,
    PRIORITY_RANK,
    TASK_INITIAL,
    TASK_OPEN,
    TASK_TRANSITIONS,
    UNREVIEWED_TYPES,
    CampaignStatus,
    TaskPriority,
    TaskStatus,
    TaskType,
)


def Money(**options: object) -> models.DecimalField:  # type: ignore[type-arg]
    return models.DecimalField(max_digits=12, decimal_places=2, **options)  # type: ignore[arg-type]


def money(column: str, table: str) -> models.CheckConstraint:
    """No negative amounts; and no NaN, which PostgreSQL sorts above every number, so that it would be no cap at all."""
    return models.CheckConstraint(
        name=f"{table}_{column}_check",
        condition=Q(**{f"{column}__gte": 0, f"{column}__lt": 10**10}),
        violation_error_message=f"{column} must be 0 or more.",
    )


class Campaign(AuditedModel):
    """A goal with a budget and a time window, and the switch for all the work done for it."""

    campaign_id = IdField()
    name = models.TextField(help_text="What people call it.")
    goal = models.TextField(help_text="What it is to reach, in a sentence that an agent can work from.")
    target_platforms = ExactJSONField(help_text='Where its posts go, such as ["youtube", "tiktok"].')
    budget_cap_etb = Money(help_text="What it may spend at most, in Ethiopian birr.")
    start_time = models.DateTimeField(null=True, blank=True, help_text="No work starts before this.")
    end_time = models.DateTimeField(null=True, blank=True, help_text="No work starts after this.")
    status = models.TextField(choices=CampaignStatus, help_text="Work is handed out only while it is active.")
    constraints = ExactJSONField(null=True, blank=True, help_text="Rules for agents, and the review policy.")
    created_at = CreatedAtField()
    updated_at = UpdatedAtField()
    deleted_at = models.DateTimeField(null=True, blank=True, editable=False, help_text="Hidden since; never removed.")
    epoch = models.IntegerField(
        default=0, db_default=0, editable=False, help_text="Grows with each halt: work begun in an earlier one is void."
    )
    control_reason = models.TextField(null=True, blank=True, editable=False, help_text="Why it is in this state.")
    controlled_by = PersonKey("controlled_by", "Who put it into this state.", editable=False)
    controlled_at = models.DateTimeField(null=True, blank=True, editable=False, help_text="Since when.")
    halted_at = models.DateTimeField(null=True, blank=True, editable=False, help_text="Set while a pause is a halt.")
    reserved_etb = Money(default=0, db_default=0, editable=False, help_text="Promised to work in progress.")
    spent_etb = Money(default=0, db_default=0, editable=False, help_text="Settled by finished work.")
    resume_at = models.DateTimeField(null=True, blank=True, editable=False, help_text="When a pause ends by itself.")

    # What is reserved and spent is counted from the tasks, whose own audit rows tell it.
    audit = AuditSpec(
        EntityType.CAMPAIGN,
        campaign="campaign_id",
        ignore=frozenset({"updated_at", "reserved_etb", "spent_etb"}),
    )

    class Meta:
        db_table = "campaign"
        permissions = [("control_campaign", "Can pause, halt, resume, stop and complete campaigns")]
        constraints = [
            money("budget_cap_etb", "campaign"),
            one_of("status", "campaign", CampaignStatus),
            json_shaped("target_platforms", "campaign"),
            json_shaped("constraints", "campaign"),
            models.CheckConstraint(
                name="campaign_budget_check",
                condition=Q(
                    reserved_etb__gte=0, spent_etb__gte=0, budget_cap_etb__gte=F("reserved_etb") + F("spent_etb")
                ),
                violation_error_message="The budget cap cannot be below what is already spent and reserved.",
            ),
            times_within_reach(
                "campaign",
                *("start_time", "end_time", "created_at", "updated_at", "deleted_at"),
                *("controlled_at", "halted_at", "resume_at"),
            ),
            models.CheckConstraint(
                name="campaign_halted_at_check",
                condition=Q(halted_at=None) | Q(status=CampaignStatus.PAUSED),
                violation_error_message="Only a paused campaign can be halted.",
            ),
        ]
        indexes = [
            models.Index(fields=["status"], name="idx_campaign_status"),
            models.Index(fields=["start_time", "end_time"], name="idx_campaign_time"),
        ]
        triggers = [
            *MUTABLE,
            Transitions(initial=CAMPAIGN_INITIAL, transitions=CAMPAIGN_TRANSITIONS),
            Guard(
                name="control",
                operation=pgtrigger.Update,
                func=f"""
                    IF NEW.epoch NOT IN (OLD.epoch, OLD.epoch + 1) THEN
                        {refusal("campaign", "epoch_grows", "the epoch of a campaign grows by one at a time")}
                    END IF;
                    IF (NEW.reserved_etb, NEW.spent_etb) IS DISTINCT FROM (OLD.reserved_etb, OLD.spent_etb)
                            AND (pg_trigger_depth() = 1 OR current_user <> (
                                SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = TG_RELID)) THEN
                        {refusal("campaign", "money_is_counted", "reserved and spent money is counted from tasks")}
                    END IF;
                    IF NEW.epoch <> OLD.epoch OR NEW.status <> OLD.status THEN
                        -- An UPDATE alone would not wait for the key share locks of those who write for the campaign.
                        PERFORM FROM campaign WHERE campaign_id = NEW.campaign_id FOR UPDATE;
                    END IF;
                    IF NEW.status <> 'paused' THEN
                        NEW.halted_at = NULL;
                        NEW.resume_at = NULL;
                    END IF;
                    RETURN NEW;
                """,
            ),
        ]

    def __str__(self) -> str:
        return called(self.name)

    @property
    def platforms(self) -> list[str]:
        """The target platforms by name; agents may have written them as the keys of an object."""
        names = (str(platform).strip().lower() for platform in self.target_platforms)
        return list(dict.fromkeys(name for name in names if name))

    @property
    def state(self) -> str:
        """The status as people say it: a halt is a pause that cut work off."""
        return "halted" if self.halted_at else str(self.get_status_display())


class SystemControl(AuditedModel):
    """One row: the switch for everything. Its epoch is added to each campaign's."""

    system_control_id = models.SmallIntegerField(primary_key=True, default=1, db_default=1, editable=False)
    halted = models.BooleanField(default=False, db_default=False, help_text="Nothing is handed out or published.")
    epoch = models.IntegerField(default=0, db_default=0, editable=False, help_text="Grows with each global halt.")
    control_reason = models.TextField(null=True, blank=True, help_text="Why it is in this state.")
    controlled_by = PersonKey("controlled_by", "Who put it into this state.")
    controlled_at = models.DateTimeField(null=True, blank=True, help_text="Since when.")
    created_at = CreatedAtField()
    updated_at = UpdatedAtField()

    audit = AuditSpec(EntityType.SYSTEM_CONTROL)

    class Meta:
        db_table = "system_control"
        verbose_name = "system control"
        verbose_name_plural = "system control"
        constraints = [models.CheckConstraint(name="system_control_one_row_check", condition=Q(system_control_id=1))]
        triggers = [
            *MUTABLE,
            Guard(
                name="control",
                operation=pgtrigger.Update,
                func=f"""
                    IF NEW.epoch NOT IN (OLD.epoch, OLD.epoch + 1) THEN
                        {refusal("system_control", "epoch_grows", "the epoch of the system grows by one at a time")}
                    END IF;
                    PERFORM FROM system_control FOR UPDATE;
                    RETURN NEW;
                """,
            ),
        ]

    def __str__(self) -> str:
        return "everything is halted" if self.halted else "running"


# Whether work may start for the campaign c under the system control s, in SQL: asked by claims and by triggers.
RUNS = """(c.status = 'active' AND c.deleted_at IS NULL AND NOT s.halted
           AND (c.start_time IS NULL OR c.start_time <= statement_timestamp())
           AND (c.end_time IS NULL OR c.end_time > statement_timestamp()))"""


class FreshTraceId(Func):
    """A new trace id in the database, for writers that give none."""

    template = "encode(uuid_send(gen_random_uuid()), 'hex')"
    output_field = models.TextField()


MOST_ATTEMPTS = 2**31 - 1  # as far as the column counts

RANK = Case(
    *(When(priority=priority, then=Value(rank)) for priority, rank in PRIORITY_RANK.items()),
    output_field=models.SmallIntegerField(),
)


class TaskQuerySet(AuditedQuerySet["Task"]):
    def open(self) -> "TaskQuerySet":
        return self.filter(status__in=TASK_OPEN, deleted_at=None)

    def cut_off(self, action: str, error: str) -> "list[Task]":
        """Fail what is in progress. Nobody can say any more what it has cost: what was reserved counts as spent."""
        cost = F("cost_etb") + F("reserve_etb")
        running = self.filter(status=TaskStatus.IN_PROGRESS)
        return running.change(action, status=TaskStatus.FAILED, error=error, cost_etb=cost)

    def beyond_budget(self) -> "TaskQuerySet":
        """What is not handed out because it would pass its campaign's cap."""
        left = F("campaign__budget_cap_etb") - F("campaign__reserved_etb") - F("campaign__spent_etb")
        return self.filter(status=TaskStatus.PENDING, deleted_at=None, reserve_etb__gt=left)


class Task(AuditedModel):
    """One piece of work for one agent. A retry is a new row with its own attempt, on the same trace."""

    task_id = IdField()
    campaign = models.ForeignKey(Campaign, models.PROTECT, related_name="tasks", db_index=False)
    agent = models.ForeignKey(Agent, models.PROTECT, related_name="tasks", db_index=False)
    task_type = models.TextField(choices=TaskType, help_text="What is to be done.")
    priority = models.TextField(choices=TaskPriority, help_text="High goes first.")
    status = models.TextField(choices=TaskStatus, help_text="Where it stands.")
    context = ExactJSONField(help_text="What the agent is given to work from.")
    attempt = models.IntegerField(default=0, db_default=0, help_text="0 for the first try.")
    max_attempts = models.IntegerField(default=3, db_default=3, help_text="How many tries there are in all.")
    parent_task = models.ForeignKey(
        "self",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="retries",
        db_index=False,
        help_text="The try before this one, or the task that asked for it.",
    )
    created_at = CreatedAtField()
    updated_at = UpdatedAtField()
    trace_id = models.TextField(
        default=new_trace_id,
        db_default=FreshTraceId(),
        validators=[RegexValidator(TRACE_ID)],
        help_text="One trace from the plan to the metrics; a retry stays on its parent's.",
    )
    title = models.TextField(null=True, blank=True, help_text="What people call it.")
    error = models.TextField(null=True, blank=True, help_text="Why it failed.")
    not_before = models.DateTimeField(null=True, blank=True, help_text="Not handed out before this.")
    deleted_at = models.DateTimeField(null=True, blank=True, editable=False, help_text="Hidden since; never removed.")
    reserve_etb = Money(default=0, db_default=0, help_text="What it may cost; reserved when it is handed out.")
    cost_etb = Money(default=0, db_default=0, help_text="What it did cost.")
    created_by = PersonKey("created_by", "The person who planned it, and so approves nothing that comes of it.")
    lease_id = models.UUIDField(null=True, blank=True, editable=False, help_text="Held by the worker that has it.")
    lease_expires_at = models.DateTimeField(null=True, blank=True, editable=False, help_text="When its lease ends.")
    lease_epoch = models.IntegerField(
        null=True, blank=True, editable=False, help_text="The epoch (campaign's and system's) in which it began."
    )
    claimed_at = models.DateTimeField(null=True, blank=True, editable=False, help_text="When it was handed out.")
    completed_at = models.DateTimeField(null=True, blank=True, editable=False, help_text="When its worker was ready.")

    audit = AuditSpec(EntityType.TASK, trace="trace_id", campaign="campaign_id")
    objects = TaskQuerySet.as_manager()  # type: ignore[misc]

    class Meta:
        db_table = "task"
        permissions = [("operate_task", "Can retry, reassign, release and send back tasks")]
        constraints = [
            one_of("task_type", "task", TaskType),
            one_of("priority", "task", TaskPriority),
            one_of("status", "task", TaskStatus),
            at_least("attempt", "task", 0),
            at_least("max_attempts", "task", 0),
            money("reserve_etb", "task"),
            money("cost_etb", "task"),
            json_shaped("context", "task"),
            times_within_reach(
                "task",
                *("created_at", "updated_at", "not_before", "deleted_at", "lease_expires_at", "claimed_at"),
                "completed_at",
            ),
            models.CheckConstraint(
                name="task_parent_task_id_check",
                condition=~Q(parent_task=F("task_id")),
                violation_error_message="A task is not its own parent.",
            ),
            models.CheckConstraint(
                name="task_trace_id_check",
                condition=Q(trace_id__regex=f"^{TRACE_ID.pattern}$"),
                violation_error_message="trace_id must be 32 lowercase hex digits.",
            ),
            models.CheckConstraint(
                name="task_lease_check",
                condition=Q(lease_id=None, lease_expires_at=None)
                | Q(lease_id__isnull=False, lease_expires_at__isnull=False, status=TaskStatus.IN_PROGRESS),
                violation_error_message="A lease exists only while a task is in progress.",
            ),
        ]
        indexes = [
            models.Index(fields=["campaign"], name="idx_task_campaign"),
            models.Index(fields=["agent"], name="idx_task_agent"),
            models.Index(fields=["status"], name="idx_task_status"),
            models.Index(fields=["task_type", "status"], name="idx_task_type_status"),
            models.Index(fields=["created_at"], name="idx_task_created"),
            models.Index(fields=["trace_id"], name="idx_task_trace"),
            models.Index(fields=["parent_task"], name="idx_task_parent", condition=Q(parent_task__isnull=False)),
            # What an agent is handed next, campaign by campaign: backlogs of others and of paused ones cost nothing.
            models.Index(
                F("agent_id"),
                F("campaign_id"),
                RANK,
                F("created_at"),
                F("task_id"),
                name="idx_task_pending",
                condition=Q(status=TaskStatus.PENDING),
            ),
            # Whose lease runs out next.
            models.Index(
                fields=["lease_expires_at"], name="idx_task_lease", condition=Q(lease_expires_at__isnull=False)
            ),
            # What was done, and what failed, since yesterday. No claim touches it.
            models.Index(
                fields=["status", "updated_at"],
                name="idx_task_ended",
                condition=Q(status__in=[TaskStatus.DONE, TaskStatus.FAILED], deleted_at=None),
            ),
            # Words of its title, wherever they stand in it; asked as Django asks for `icontains`.
            GinIndex(OpClass(Upper("title"), name="gin_trgm_ops"), name="idx_task_title"),
            # How far a campaign has come, counted on its page. What is in progress is left out: no claim touches it.
            models.Index(
                fields=["campaign", "status"],
                name="idx_task_progress",
                condition=Q(
                    status__in=[TaskStatus.PENDING, TaskStatus.REVIEW, TaskStatus.DONE, TaskStatus.FAILED],
                    deleted_at=None,
                ),
            ),
        ]
        triggers = [
            *MUTABLE,
            Transitions(initial=TASK_INITIAL, transitions=TASK_TRANSITIONS),
            DefinerGuard(
                name="begin",
                operation=pgtrigger.Insert,
                func="""
                    NEW.lease_epoch = NULL;
                    IF NEW.parent_task_id IS NOT NULL THEN
                        NEW.trace_id = COALESCE(
                            (SELECT trace_id FROM task WHERE task_id = NEW.parent_task_id), NEW.trace_id);
                    END IF;
                    IF NEW.cost_etb > 0 AND NEW.cost_etb <> 'NaN' THEN  -- NaN is left to the column's own check
                        UPDATE campaign SET spent_etb = spent_etb + NEW.cost_etb WHERE campaign_id = NEW.campaign_id;
                    END IF;
                    RETURN NEW;
                """,
            ),
            DefinerGuard(
                name="lease",
                operation=pgtrigger.Update,
                declare=[("runs", "boolean"), ("reserved", "numeric"), ("spent", "numeric")],
                func=f"""
                    IF NEW.task_type <> OLD.task_type OR NEW.trace_id <> OLD.trace_id
                            OR (NEW.campaign_id <> OLD.campaign_id
                                AND EXISTS (SELECT FROM campaign WHERE campaign_id = NEW.campaign_id))
                            OR (NEW.parent_task_id IS DISTINCT FROM OLD.parent_task_id
                                AND (NEW.parent_task_id IS NULL
                                     OR EXISTS (SELECT FROM task WHERE task_id = NEW.parent_task_id))) THEN
                        {refusal("task", "what_is_fixed", "what a task is, and where it belongs, never changes")}
                    END IF;
                    IF (NEW.agent_id, NEW.created_by) IS DISTINCT FROM (OLD.agent_id, OLD.created_by)
                            AND EXISTS (SELECT FROM artifact WHERE task_id = NEW.task_id) THEN
                        {refusal("task", "makers_are_fixed", "who made something does not change once it is made")}
                    END IF;
                    IF NEW.lease_epoch IS DISTINCT FROM OLD.lease_epoch THEN
                        {refusal("task", "lease_epoch_stamped", "the epoch of a task is stamped, not written")}
                    END IF;
                    IF NEW.lease_id <> OLD.lease_id AND OLD.lease_expires_at > now() THEN
                        {refusal("task", "lease_is_held", "another worker holds this task")}
                    END IF;
                    IF OLD.status = 'in_progress' AND NEW.status = 'done'
                            AND NOT NEW.task_type = ANY ({array(sorted(UNREVIEWED_TYPES))}) THEN
                        {refusal("task", "status_transition", "a % is reviewed before it is done", "NEW.task_type")}
                    END IF;
                    IF NEW.status = 'in_progress' AND OLD.status <> 'in_progress' THEN
                        -- The key share lock makes a halt, which locks FOR UPDATE, wait for us and then see this task.
                        SELECT c.epoch + s.epoch, now(), {RUNS} INTO NEW.lease_epoch, NEW.claimed_at, runs
                        FROM campaign c CROSS JOIN system_control s
                        WHERE c.campaign_id = NEW.campaign_id FOR KEY SHARE OF c, s;
                        IF NOT runs THEN
                            {refusal("task", "campaign_runs", "work starts only on a campaign that runs now")}
                        END IF;
                        IF EXISTS (SELECT FROM agent WHERE agent_id = NEW.agent_id AND status <> 'active') THEN
                            {refusal("task", "agent_active", "only an active agent is given work")}
                        END IF;
                        NEW.completed_at = NULL;
                    ELSIF NEW.status <> OLD.status AND OLD.status = 'in_progress' THEN
                        NEW.lease_id = NULL;
                        NEW.lease_expires_at = NULL;
                        IF NEW.status IN ('review', 'done') THEN
                            NEW.completed_at = now();
                        END IF;
                    END IF;
                    -- A campaign's money is counted here, for every door: its cap, a check of the campaign, holds.
                    reserved = CASE WHEN NEW.status = 'in_progress' THEN NEW.reserve_etb ELSE 0 END
                             - CASE WHEN OLD.status = 'in_progress' THEN OLD.reserve_etb ELSE 0 END;
                    spent = NEW.cost_etb - OLD.cost_etb;
                    IF (reserved <> 0 OR spent <> 0) AND NOT 'NaN' IN (reserved, spent) THEN
                        UPDATE campaign SET reserved_etb = reserved_etb + reserved, spent_etb = spent_etb + spent
                        WHERE campaign_id = NEW.campaign_id;
                    END IF;
                    RETURN NEW;
                """,
            ),
        ]

    def __str__(self) -> str:
        return called(self.title or "") or f"{self.get_task_type_display()} for {self.agent_id}"

    @property
    def tries_left(self) -> int:
        """How many more attempts there may be after this one."""
        return max(self.max_attempts - self.attempt - 1, 0)

    def makers(self) -> Iterable[object]:
        """The people who answer for what this task makes: nobody approves what they made."""
        return {self.created_by_id, self.agent.owner_id} - {None}
