"""The audit log, partitioned by month and append-only; and the heartbeats of what cron runs."""

import pgtrigger
from django.db import models

from audit.base import CreatedAtField, IdField, UpdatedAtField, one_of
from audit.choices import ActorType, EntityType, Severity
from audit.exact_json import ExactJSONField
from audit.triggers import BOOKKEEPING, Guard, NoDelete, NoTruncate, NoUpdate

HASH_CHANGES = Guard(
    name="inputs_hash",
    operation=pgtrigger.Insert,
    condition=pgtrigger.Condition("NEW.inputs_hash IS NULL AND NEW.changes IS NOT NULL"),
    func="NEW.inputs_hash = encode(sha256(convert_to(NEW.changes::text, 'UTF8')), 'hex'); RETURN NEW;",
)


class AuditLog(models.Model):
    audit_id = IdField()
    trace_id = models.TextField(help_text="32 hex digits that join every step from the plan to the metrics.")
    actor_type = models.TextField(choices=ActorType, help_text="What kind of actor did it.")
    actor_id = models.TextField(null=True, blank=True, help_text="user:<id>, an agent's id, or the program's name.")
    entity_type = models.TextField(choices=EntityType, help_text="What was changed.")
    entity_id = models.TextField(help_text="The key of what was changed.")
    action = models.TextField(help_text="The verb: create, claim, approve, pause…")
    tool_name = models.TextField(null=True, blank=True, help_text="The door or token it came through.")
    inputs_hash = models.TextField(
        null=True, blank=True, help_text="SHA-256 of `changes` as PostgreSQL writes it, when the writer gives none."
    )
    output_summary = models.TextField(null=True, blank=True, help_text="The result in a sentence.")
    severity = models.TextField(choices=Severity, default=Severity.INFO, help_text="How much it matters.")
    created_at = CreatedAtField()
    campaign_id = models.UUIDField(null=True, blank=True, help_text="The campaign it belongs to, if any.")
    changes = ExactJSONField(null=True, blank=True, help_text="Each changed column with its values before and after.")

    immutable = True

    class Meta:
        db_table = "audit_log"
        verbose_name = "audit entry"
        verbose_name_plural = "audit log"
        constraints = [
            one_of("actor_type", "audit_log", ActorType),
            one_of("entity_type", "audit_log", EntityType),
            one_of("severity", "audit_log", Severity),
        ]
        indexes = [
            models.Index(fields=["trace_id"], name="idx_audit_trace"),
            models.Index(fields=["entity_type", "entity_id"], name="idx_audit_entity"),
            models.Index(fields=["created_at"], name="idx_audit_time"),
            models.Index(fields=["actor_type", "actor_id"], name="idx_audit_actor"),
        ]
        triggers = [NoUpdate(), NoDelete(), NoTruncate(), HASH_CHANGES]

    def __str__(self) -> str:
        return f"{self.action} {self.entity_type} {self.entity_id}"


class CronJob(models.Model):
    """The heartbeat of a job that cron runs: when it last began, when it last succeeded, and what it did."""

    name = models.TextField(primary_key=True, help_text="The command.")
    started_at = models.DateTimeField(help_text="When it last began.")
    succeeded_at = models.DateTimeField(null=True, help_text="When it last came to its end.")
    failed_at = models.DateTimeField(null=True, help_text="When it last failed.")
    said = models.TextField(default="", db_default="", help_text="What the last run did, or why it failed.")
    created_at = CreatedAtField()
    updated_at = UpdatedAtField()

    class Meta:
        db_table = "cron_job"
        verbose_name = "scheduled job"
        triggers = BOOKKEEPING

    def __str__(self) -> str:
        return self.name
