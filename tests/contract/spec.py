"""What the two specifications ask of the database, written from their text by hand and never read from the models.

`core` is the specification of the schema and its lifecycle, `video` that of campaigns, agents, tasks and video assets.
What Gatehouse adds to their tables stands apart, and is nullable, defaulted or filled by a trigger.
"""

from dataclasses import dataclass, field

NOW, NEW_ID = "now()", "uuidv7()"


@dataclass(frozen=True)
class Column:
    """`filled`: by a trigger when the writer leaves it out."""

    type: str
    null: bool = False
    default: str | None = None
    filled: bool = False


@dataclass(frozen=True)
class Table:
    key: tuple[str, ...]
    columns: dict[str, Column]
    checks: set[str]
    parents: dict[str, str] = field(default_factory=dict)
    indexes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    unique: dict[str, tuple[str, ...]] = field(default_factory=dict)
    added_columns: dict[str, Column] = field(default_factory=dict)
    added_checks: set[str] = field(default_factory=set)
    added_parents: dict[str, str] = field(default_factory=dict)
    added_indexes: set[str] = field(default_factory=set)
    partition_key: str | None = None

    @property
    def all_columns(self) -> dict[str, Column]:
        return {**self.columns, **self.added_columns}


ID = Column("uuid", default=NEW_ID)
UUID, UUID_NULL = Column("uuid"), Column("uuid", null=True)
TEXT, TEXT_NULL = Column("text"), Column("text", null=True)
JSON, JSON_NULL = Column("jsonb"), Column("jsonb", null=True)
TIME, TIME_NULL = Column("timestamp with time zone"), Column("timestamp with time zone", null=True)
STAMP = Column("timestamp with time zone", default=NOW)
ZERO = Column("integer", default="0")
MONEY_ZERO = Column("numeric(12,2)", default="0")
INT_NULL = Column("integer", null=True)
SHA256 = Column("character(64)", filled=True)
LEASE = {"lease_id": UUID_NULL, "lease_expires_at": TIME_NULL, "lease_epoch": INT_NULL, "claimed_at": TIME_NULL}

TABLES = {
    "campaign": Table(
        key=("campaign_id",),
        columns={
            "campaign_id": ID,
            "name": TEXT,
            "goal": TEXT,
            "target_platforms": JSON,
            "budget_cap_etb": Column("numeric(12,2)"),
            "start_time": TIME_NULL,
            "end_time": TIME_NULL,
            "status": TEXT,
            "constraints": JSON_NULL,
            "created_at": STAMP,
            "updated_at": STAMP,
        },
        checks={"campaign_budget_cap_etb_check", "campaign_status_check"},
        indexes={"idx_campaign_status": ("status",), "idx_campaign_time": ("start_time", "end_time")},
        added_columns={
            "deleted_at": TIME_NULL,
            "epoch": ZERO,
            "control_reason": TEXT_NULL,
            "controlled_by": UUID_NULL,
            "controlled_at": TIME_NULL,
            "halted_at": TIME_NULL,
            "reserved_etb": MONEY_ZERO,
            "spent_etb": MONEY_ZERO,
            "resume_at": TIME_NULL,
        },
        added_checks={
            "campaign_target_platforms_check",
            "campaign_constraints_check",
            "campaign_budget_check",
            "campaign_halted_at_check",
            "campaign_times_check",
        },
        added_parents={"controlled_by": "user"},
    ),
    "agent": Table(
        key=("agent_id",),
        columns={
            "agent_id": TEXT,
            "display_name": TEXT_NULL,
            "persona_ref": TEXT_NULL,
            "status": TEXT,
            "created_at": STAMP,
            "updated_at": STAMP,
            # video
            "character_reference_id": TEXT_NULL,
            "campaign_id": UUID_NULL,
        },
        checks={"agent_status_check"},
        added_checks={"agent_times_check"},
        parents={"campaign_id": "campaign"},
        added_columns={"agent_group": TEXT_NULL, "owner_id": UUID_NULL},
        added_parents={"owner_id": "user"},
        added_indexes={"idx_agent_campaign"},
    ),
    "task": Table(
        key=("task_id",),
        columns={
            "task_id": ID,
            "campaign_id": UUID,
            "agent_id": TEXT,
            "task_type": TEXT,
            "priority": TEXT,
            "status": TEXT,
            "context": JSON,
            "attempt": ZERO,
            "max_attempts": Column("integer", default="3"),
            "parent_task_id": UUID_NULL,
            "created_at": STAMP,
            "updated_at": STAMP,
        },
        checks={
            "task_task_type_check",
            "task_priority_check",
            "task_status_check",
            "task_attempt_check",
            "task_max_attempts_check",
        },
        parents={"campaign_id": "campaign", "agent_id": "agent", "parent_task_id": "task"},
        indexes={
            "idx_task_campaign": ("campaign_id",),
            "idx_task_agent": ("agent_id",),
            "idx_task_status": ("status",),
            "idx_task_type_status": ("task_type", "status"),
            "idx_task_created": ("created_at",),
        },
        added_columns={
            "trace_id": Column("text", default="encode(uuid_send(gen_random_uuid()), 'hex'::text)"),
            "title": TEXT_NULL,
            "error": TEXT_NULL,
            "not_before": TIME_NULL,
            "deleted_at": TIME_NULL,
            "reserve_etb": MONEY_ZERO,
            "cost_etb": MONEY_ZERO,
            "created_by": UUID_NULL,
            **LEASE,
            "completed_at": TIME_NULL,
        },
        added_checks={
            "task_context_check",
            "task_trace_id_check",
            "task_reserve_etb_check",
            "task_cost_etb_check",
            "task_lease_check",
            "task_times_check",
            "task_parent_task_id_check",
        },
        added_parents={"created_by": "user"},
        added_indexes={
            "idx_task_pending",
            "idx_task_lease",
            "idx_task_trace",
            "idx_task_parent",
            "idx_task_ended",
            "idx_task_progress",
            "idx_task_title",
        },
    ),
    "artifact": Table(
        key=("artifact_id",),
        columns={
            "artifact_id": ID,
            "task_id": UUID,
            "campaign_id": UUID,
            "artifact_type": TEXT,
            "version": Column("integer"),
            "content_ref": TEXT,
            "metadata": JSON_NULL,
            "sources": JSON_NULL,
            "created_at": STAMP,
        },
        checks={"artifact_artifact_type_check", "artifact_version_check"},
        parents={"task_id": "task", "campaign_id": "campaign"},
        indexes={
            "idx_artifact_task": ("task_id",),
            "idx_artifact_campaign": ("campaign_id",),
            "idx_artifact_type": ("artifact_type",),
        },
        unique={"artifact_task_id_artifact_type_version_key": ("task_id", "artifact_type", "version")},
        added_columns={"content_sha256": SHA256},
        added_indexes={"idx_artifact_created"},
        added_checks={
            "artifact_metadata_check",
            "artifact_sources_check",
            "artifact_content_sha256_check",
            "artifact_times_check",
        },
    ),
    "review_decision": Table(
        key=("review_id",),
        columns={
            "review_id": ID,
            "task_id": UUID,
            "artifact_id": UUID,
            "decision": TEXT,
            "confidence_score": Column("numeric(4,3)"),
            "reasons": JSON,
            "policy_hits": JSON_NULL,
            "next_action": TEXT,
            "reviewer_type": TEXT,
            "reviewer_id": TEXT_NULL,
            "created_at": STAMP,
        },
        checks={
            "review_decision_decision_check",
            "review_decision_confidence_score_check",
            "review_decision_next_action_check",
            "review_decision_reviewer_type_check",
        },
        parents={"task_id": "task", "artifact_id": "artifact"},
        indexes={
            "idx_review_task": ("task_id",),
            "idx_review_artifact": ("artifact_id",),
            "idx_review_decision": ("decision",),
            "idx_review_reviewer_type": ("reviewer_type",),
        },
        added_columns={"artifact_sha256": SHA256, "trace_id": Column("text", filled=True)},
        added_checks={
            "review_decision_reasons_check",
            "review_decision_policy_hits_check",
            "review_decision_artifact_sha256_check",
            "review_decision_times_check",
        },
        added_indexes={"idx_review_created", "idx_review_person"},
    ),
    "publish_record": Table(
        key=("publish_id",),
        columns={
            "publish_id": ID,
            "campaign_id": UUID,
            "artifact_id": UUID,
            "platform": TEXT,
            "platform_post_id": TEXT_NULL,
            "disclosure_level": TEXT,
            "status": TEXT,
            "published_at": TIME_NULL,
            "created_at": STAMP,
        },
        checks={"publish_record_disclosure_level_check", "publish_record_status_check"},
        parents={"campaign_id": "campaign", "artifact_id": "artifact"},
        indexes={
            "idx_publish_campaign": ("campaign_id",),
            "idx_publish_platform": ("platform",),
            "idx_publish_status": ("status",),
            "idx_publish_time": ("published_at",),
        },
        added_columns={
            "updated_at": STAMP,
            "decision_id": UUID_NULL,
            "adopted": Column("boolean", default="false"),
            "content_sha256": SHA256,
            "scheduled_for": TIME_NULL,
            "hold": TEXT_NULL,
            "error": TEXT_NULL,
            "attempt": ZERO,
            **LEASE,
        },
        added_checks={
            "publish_record_hold_check",
            "publish_record_attempt_check",
            "publish_record_lease_check",
            "publish_record_content_sha256_check",
            "publish_record_times_check",
        },
        added_parents={"decision_id": "review_decision"},
        added_indexes={
            "publish_record_live_key",
            "publish_record_platform_post_key",
            "idx_publish_artifact",
            "idx_publish_queued",
            "idx_publish_created",
            "idx_publish_post",
            "idx_publish_adopted",
            "idx_publish_settled",
            "idx_publish_lease",
            "idx_publish_unknown",
            "idx_publish_failed",
            "idx_publish_evidence",
        },
    ),
    "metric_event": Table(
        key=("event_id", "observed_at"),
        columns={
            "event_id": ID,
            "campaign_id": UUID,
            "agent_id": TEXT,
            "content_id": UUID,
            "platform": TEXT,
            "metric_type": TEXT,
            "metric_value": Column("bigint"),
            "observed_at": TIME,
            "ingested_at": STAMP,
            "source": TEXT,
        },
        checks={"metric_event_metric_type_check", "metric_event_metric_value_check"},
        added_checks={"metric_event_times_check"},
        parents={"campaign_id": "campaign", "agent_id": "agent", "content_id": "artifact"},
        indexes={
            "idx_metric_campaign_time": ("campaign_id", "observed_at"),
            "idx_metric_content_time": ("content_id", "observed_at"),
            "idx_metric_platform_type_time": ("platform", "metric_type", "observed_at"),
        },
        partition_key="observed_at",
    ),
    "audit_log": Table(
        key=("audit_id", "created_at"),
        columns={
            "audit_id": ID,
            "trace_id": TEXT,
            "actor_type": TEXT,
            "actor_id": TEXT_NULL,
            "entity_type": TEXT,
            "entity_id": TEXT,
            "action": TEXT,
            "tool_name": TEXT_NULL,
            "inputs_hash": TEXT_NULL,
            "output_summary": TEXT_NULL,
            "severity": TEXT,
            "created_at": STAMP,
        },
        checks={"audit_log_actor_type_check", "audit_log_entity_type_check", "audit_log_severity_check"},
        indexes={
            "idx_audit_trace": ("trace_id",),
            "idx_audit_entity": ("entity_type", "entity_id"),
            "idx_audit_time": ("created_at",),
            "idx_audit_actor": ("actor_type", "actor_id"),
        },
        added_columns={"campaign_id": UUID_NULL, "changes": JSON_NULL},
        partition_key="created_at",
    ),
    "video_asset": Table(
        key=("video_asset_id",),
        columns={
            "video_asset_id": ID,
            "agent_id": TEXT,
            "task_id": UUID,
            "platform": TEXT,
            "tier": TEXT_NULL,
            "character_reference_id": TEXT_NULL,
            "status": TEXT,
            "metadata": JSON_NULL,
            "created_at": STAMP,
        },
        checks={"video_asset_status_check"},
        parents={"agent_id": "agent", "task_id": "task"},
        added_columns={"artifact_id": UUID_NULL, "updated_at": STAMP},
        added_checks={"video_asset_metadata_check", "video_asset_times_check"},
        added_parents={"artifact_id": "artifact"},
        added_indexes={
            "idx_video_asset_agent",
            "idx_video_asset_task",
            "idx_video_asset_status",
            "idx_video_asset_created",
        },
    ),
}

# The values that core (and video, for its own table) gives each enumeration.
VALUES = {
    ("campaign", "status"): {"draft", "active", "paused", "stopped", "completed"},
    ("agent", "status"): {"active", "suspended", "retired"},
    ("task", "task_type"): {"trend_fetch", "draft_post", "generate_media", "publish_post", "collect_metrics"},
    ("task", "priority"): {"high", "medium", "low"},
    ("task", "status"): {"pending", "in_progress", "review", "done", "failed"},
    ("artifact", "artifact_type"): {"text", "image", "video", "plan", "metrics_batch"},
    ("review_decision", "decision"): {"approve", "reject", "escalate"},
    ("review_decision", "next_action"): {"publish", "retry", "human_review"},
    ("review_decision", "reviewer_type"): {"judge", "human"},
    ("publish_record", "disclosure_level"): {"automated", "assisted", "none"},
    ("publish_record", "status"): {"queued", "published", "failed"},
    ("metric_event", "metric_type"): {"views", "likes", "comments", "shares", "watch_time_seconds"},
    ("audit_log", "actor_type"): {"planner", "worker", "judge", "human", "system"},
    ("audit_log", "severity"): {"info", "warning", "error"},
    ("video_asset", "status"): {"pending", "rendering", "ready", "failed", "archived"},
}
CORE_ENTITY_TYPES = {"task", "artifact", "review_decision", "publish_record", "metric_event", "context_snapshot"}


@dataclass(frozen=True)
class Machine:
    """A status column: where rows begin, and where they go from there."""

    initial: set[str]
    legal: dict[str, set[str]]
    column: str = "status"
    agents_write_it: bool = True

    @property
    def pairs(self) -> list[tuple[str, str]]:
        return sorted((old, new) for old, targets in self.legal.items() for new in targets)

    @property
    def illegal_pairs(self) -> list[tuple[str, str]]:
        states = sorted(self.legal)
        return [(old, new) for old in states for new in states if old != new and new not in self.legal[old]]

    def way_to(self, state: str) -> list[str]:
        """The shortest legal way to a state, the initial one included."""
        ways = [[start] for start in sorted(self.initial)]
        for way in ways:
            if way[-1] == state:
                return way
            ways += [[*way, new] for new in sorted(self.legal[way[-1]]) if new not in way]
        raise AssertionError(f"{state} cannot be reached")


MACHINES = {
    "campaign": Machine(
        {"draft", "active"},
        {
            "draft": {"active", "stopped"},
            "active": {"paused", "completed", "stopped"},
            "paused": {"active", "completed", "stopped"},
            "stopped": set(),
            "completed": set(),
        },
    ),
    "agent": Machine(
        {"active", "suspended"},
        {"active": {"suspended", "retired"}, "suspended": {"active", "retired"}, "retired": set()},
    ),
    "task": Machine(
        {"pending"},
        {
            "pending": {"in_progress", "failed"},
            "in_progress": {"review", "done", "failed", "pending"},  # done: see UNREVIEWED
            "review": {"done", "failed"},
            "done": set(),
            "failed": set(),
        },
    ),
    "video_asset": Machine(
        {"pending"},
        {
            "pending": {"rendering", "failed"},
            "rendering": {"ready", "failed"},
            "ready": {"archived"},
            "failed": set(),
            "archived": set(),
        },
    ),
    "publish_record": Machine({"queued"}, {"queued": {"published", "failed"}, "published": set(), "failed": set()}),
    "review_item": Machine(
        {"open"},
        {"open": {"decided", "withdrawn"}, "decided": {"open"}, "withdrawn": set()},
        agents_write_it=False,
    ),
    "metric_archive": Machine(
        {"exporting"},
        {
            "exporting": {"verified"},
            "verified": {"detached"},
            "detached": {"dropped"},
            "dropped": {"restored"},
            "restored": {"dropped", "exporting"},
        },
        column="state",
        agents_write_it=False,
    ),
    "metric_ingest": Machine(
        initial={"running"},
        legal={"running": {"done"}, "done": {"running"}},
        column="state",
        agents_write_it=False,
    ),
}

# The only tasks that go from in_progress to done without a review.
UNREVIEWED = {"trend_fetch", "collect_metrics", "publish_post"}

# Everything else in the schema: every table is either specified, Gatehouse's own, or Django's.
OWN_TABLES = {
    "system_control",
    "review_item",
    "metric_rollup",
    "metric_rollup_daily",
    "metric_rollup_campaign",
    "metric_counter",
    "metric_correction",
    "metric_ingest",
    "metric_archive",
    "user",
    "api_token",
    "judge_lease",
    "cron_job",
    "notification",
}
# What the application forgets after a day: the answers to requests that were named by their callers.
PURGED_TABLES = {"idempotency_key"}
DOMAIN_TABLES = set(TABLES) | OWN_TABLES
IMMUTABLE_TABLES = {"artifact", "review_decision", "metric_event", "audit_log", "metric_correction"}
# Sums that a trigger of the owner's writes; nobody else may.
DERIVED_TABLES = {"metric_rollup", "metric_rollup_daily", "metric_rollup_campaign"}
# Declared, and enforced by a trigger for all rows of a statement at once.
SET_CHECKED_TABLES = {"metric_event", *DERIVED_TABLES}
# Derived from audited rows, the log itself, or heartbeats: a change of theirs leaves no audit row.
UNAUDITED_TABLES = {
    "audit_log",
    *DERIVED_TABLES,
    "metric_counter",
    "metric_correction",
    "metric_ingest",
    "cron_job",
    "notification",
}
# Counted by a trigger from what has audit rows of its own, so that the campaign's do not tell them.
COUNTED_COLUMNS = {"campaign": {"reserved_etb", "spent_etb"}}
AUDITED_TABLES = DOMAIN_TABLES - UNAUDITED_TABLES
PARTITIONED_TABLES = {name for name, table in TABLES.items() if table.partition_key}
# With what `migrate` keeps for itself, as Django does.
DJANGO_PREFIXES = ("django_", "auth_", "axes_", "otp_", "user_groups", "user_user_permissions", "schema_record")
