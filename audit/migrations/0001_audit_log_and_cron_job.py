import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations, models

import audit.base
import audit.exact_json
import audit.operations
import audit.triggers


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.RunSQL("""
            CREATE FUNCTION audit_changes(before jsonb, after jsonb, redact text[], ignore text[]) RETURNS jsonb
            LANGUAGE sql IMMUTABLE SET search_path = public, pg_temp AS $$
                -- {column: [before, after]} of what differs; NULL when nothing does.
                SELECT jsonb_object_agg(
                           key,
                           CASE WHEN key = ANY (redact) THEN '["[redacted]", "[redacted]"]'::jsonb
                                ELSE jsonb_build_array(before -> key, after -> key) END)
                       || CASE WHEN bool_or(key = ANY (redact)) THEN '{"_redaction": 1}'::jsonb ELSE '{}'::jsonb END
                FROM jsonb_object_keys(after) AS key
                WHERE NOT key = ANY (ignore)
                  AND COALESCE(before -> key, 'null') IS DISTINCT FROM COALESCE(after -> key, 'null')
            $$;
        """),
        # The form in which the core specification asks for the schema's version.
        migrations.RunSQL("""
            CREATE VIEW schema_migrations AS
            SELECT app || '.' || name AS version, applied AS applied_at FROM django_migrations;
        """),
        migrations.CreateModel(
            name="CronJob",
            fields=[
                ("name", models.TextField(help_text="The command.", primary_key=True, serialize=False)),
                ("started_at", models.DateTimeField(help_text="When it last began.")),
                ("succeeded_at", models.DateTimeField(help_text="When it last came to its end.", null=True)),
                ("failed_at", models.DateTimeField(help_text="When it last failed.", null=True)),
                (
                    "said",
                    models.TextField(db_default="", default="", help_text="What the last run did, or why it failed."),
                ),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=audit.base.SQLNow(), editable=False, help_text="When the row was written."
                    ),
                ),
                (
                    "updated_at",
                    models.DateTimeField(
                        db_default=audit.base.SQLNow(), editable=False, help_text="When the row last changed."
                    ),
                ),
            ],
            options={
                "verbose_name": "scheduled job",
                "db_table": "cron_job",
            },
        ),
        audit.operations.CreatePartitionedModel(
            partition_key="created_at",
            name="AuditLog",
            fields=[
                (
                    "audit_id",
                    models.UUIDField(
                        db_default=audit.base.UUIDv7(),
                        default=audit.base.new_id,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                (
                    "trace_id",
                    models.TextField(help_text="32 hex digits that join every step from the plan to the metrics."),
                ),
                (
                    "actor_type",
                    models.TextField(
                        choices=[
                            ("planner", "planner"),
                            ("worker", "worker"),
                            ("judge", "judge"),
                            ("human", "person"),
                            ("system", "system"),
                        ],
                        help_text="What kind of actor did it.",
                    ),
                ),
                (
                    "actor_id",
                    models.TextField(
                        blank=True, help_text="user:<id>, an agent's id, or the program's name.", null=True
                    ),
                ),
                (
                    "entity_type",
                    models.TextField(
                        choices=[
                            ("task", "task"),
                            ("artifact", "artifact"),
                            ("review_decision", "review decision"),
                            ("publish_record", "publish record"),
                            ("metric_event", "metric event"),
                            ("context_snapshot", "context snapshot"),
                            ("campaign", "campaign"),
                            ("agent", "agent"),
                            ("video_asset", "video asset"),
                            ("review_item", "review item"),
                            ("judge_lease", "judge lease"),
                            ("system_control", "system control"),
                            ("metric_archive", "metric archive"),
                            ("user", "person"),
                            ("group", "group"),
                            ("api_token", "API token"),
                            ("list", "list"),
                        ],
                        help_text="What was changed.",
                    ),
                ),
                ("entity_id", models.TextField(help_text="The key of what was changed.")),
                ("action", models.TextField(help_text="The verb: create, claim, approve, pause…")),
                ("tool_name", models.TextField(blank=True, help_text="The door or token it came through.", null=True)),
                (
                    "inputs_hash",
                    models.TextField(
                        blank=True,
                        help_text="SHA-256 of `changes` as PostgreSQL writes it, when the writer gives none.",
                        null=True,
                    ),
                ),
                ("output_summary", models.TextField(blank=True, help_text="The result in a sentence.", null=True)),
                (
                    "severity",
                    models.TextField(
                        choices=[("info", "info"), ("warning", "warning"), ("error", "error")],
                        default="info",
                        help_text="How much it matters.",
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=audit.base.SQLNow(), editable=False, help_text="When the row was written."
                    ),
                ),
                (
                    "campaign_id",
                    models.UUIDField(blank=True, help_text="The campaign it belongs to, if any.", null=True),
                ),
                (
                    "changes",
                    audit.exact_json.ExactJSONField(
                        blank=True,
                        decoder=audit.exact_json.ExactDecoder,
                        encoder=audit.exact_json.ExactEncoder,
                        help_text="Each changed column with its values before and after.",
                        null=True,
                    ),
                ),
            ],
            options={
                "verbose_name": "audit entry",
                "verbose_name_plural": "audit log",
                "db_table": "audit_log",
                "indexes": [
                    models.Index(fields=["trace_id"], name="idx_audit_trace"),
                    models.Index(fields=["entity_type", "entity_id"], name="idx_audit_entity"),
                    models.Index(fields=["created_at"], name="idx_audit_time"),
                    models.Index(fields=["actor_type", "actor_id"], name="idx_audit_actor"),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("actor_type__in", ["planner", "worker", "judge", "human", "system"])),
                        name="audit_log_actor_type_check",
                        violation_error_message="actor_type must be one of: planner, worker, judge, human, system.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "entity_type__in",
                                [
                                    "task",
                                    "artifact",
                                    "review_decision",
                                    "publish_record",
                                    "metric_event",
                                    "context_snapshot",
                                    "campaign",
                                    "agent",
                                    "video_asset",
                                    "review_item",
                                    "judge_lease",
                                    "system_control",
                                    "metric_archive",
                                    "user",
                                    "group",
                                    "api_token",
                                    "list",
                                ],
                            )
                        ),
                        name="audit_log_entity_type_check",
                        violation_error_message="entity_type must be one of: task, artifact, review_decision, publish_record, metric_event, context_snapshot, campaign, agent, video_asset, review_item, judge_lease, system_control, metric_archive, user, group, api_token, list.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("severity__in", ["info", "warning", "error"])),
                        name="audit_log_severity_check",
                        violation_error_message="severity must be one of: info, warning, error.",
                    ),
                ],
            },
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="auditlog",
            trigger=pgtrigger.compiler.Trigger(
                name="immutable",
                sql=audit.triggers.GuardSql(
                    func="RAISE EXCEPTION 'rows of audit_log never change' USING ERRCODE = 'check_violation', TABLE = 'audit_log', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'audit_log_immutable';",
                    hash="44eee7b39d8a6ab176622106abcd1630f9e984f2",
                    ignore_func_name="SET search_path = public, pg_temp",
                    operation="UPDATE",
                    pgid="pgtrigger_immutable_0b8a1",
                    table="audit_log",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="auditlog",
            trigger=pgtrigger.compiler.Trigger(
                name="no_delete",
                sql=audit.triggers.GuardSql(
                    func="RAISE EXCEPTION 'rows of audit_log are never deleted' USING ERRCODE = 'check_violation', TABLE = 'audit_log', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'audit_log_no_delete';",
                    hash="cd9fd952be131ea521cb81cb500791d4fe5707d6",
                    ignore_func_name="SET search_path = public, pg_temp",
                    operation="DELETE",
                    pgid="pgtrigger_no_delete_2c96b",
                    table="audit_log",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="auditlog",
            trigger=pgtrigger.compiler.Trigger(
                name="no_truncate",
                sql=audit.triggers.GuardSql(
                    func="\n            IF NOT EXISTS (\n                SELECT FROM pg_database\n                WHERE datname = current_database() AND shobj_description(oid, 'pg_database') = 'Gatehouse test database: may be emptied'\n            ) THEN\n                RAISE EXCEPTION 'audit_log is never truncated' USING ERRCODE = 'check_violation', TABLE = 'audit_log', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'audit_log_no_truncate';\n            END IF;\n            RETURN NULL;\n        ",
                    hash="ca5f9c57c53f86bfbcbe0451f7337b749075f53e",
                    ignore_func_name="SET search_path = public, pg_temp",
                    level="STATEMENT",
                    operation="TRUNCATE",
                    pgid="pgtrigger_no_truncate_a9d3e",
                    table="audit_log",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="auditlog",
            trigger=pgtrigger.compiler.Trigger(
                name="inputs_hash",
                sql=audit.triggers.GuardSql(
                    condition="WHEN (NEW.inputs_hash IS NULL AND NEW.changes IS NOT NULL)",
                    func="NEW.inputs_hash = encode(sha256(convert_to(NEW.changes::text, 'UTF8')), 'hex'); RETURN NEW;",
                    hash="ba473ddc5e42cb4333029e8d6a45fbbb0c11102e",
                    ignore_func_name="SET search_path = public, pg_temp",
                    operation="INSERT",
                    pgid="pgtrigger_inputs_hash_b371e",
                    table="audit_log",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="cronjob",
            trigger=pgtrigger.compiler.Trigger(
                name="touch",
                sql=audit.triggers.GuardSql(
                    func="\n            IF NEW.name IS DISTINCT FROM OLD.name THEN\n                RAISE EXCEPTION 'the key of a cron_job never changes' USING ERRCODE = 'check_violation', TABLE = 'cron_job', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'cron_job_key_readonly';\n            END IF;\n            IF NEW.created_at IS DISTINCT FROM OLD.created_at THEN\n                RAISE EXCEPTION 'when a cron_job was written never changes' USING ERRCODE = 'check_violation', TABLE = 'cron_job', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'cron_job_created_at_readonly';\n            END IF;\n            NEW.updated_at = now();\n            RETURN NEW;\n        ",
                    hash="fdb16f65128c9499e34d8734223c4c32be57391e",
                    ignore_func_name="SET search_path = public, pg_temp",
                    operation="UPDATE",
                    pgid="pgtrigger_touch_cc08b",
                    table="cron_job",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="cronjob",
            trigger=pgtrigger.compiler.Trigger(
                name="no_delete",
                sql=audit.triggers.GuardSql(
                    func="RAISE EXCEPTION 'rows of cron_job are never deleted' USING ERRCODE = 'check_violation', TABLE = 'cron_job', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'cron_job_no_delete';",
                    hash="d3d4073e609b9d89e0eb55f702d9fd3abd62da14",
                    ignore_func_name="SET search_path = public, pg_temp",
                    operation="DELETE",
                    pgid="pgtrigger_no_delete_baf5e",
                    table="cron_job",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="cronjob",
            trigger=pgtrigger.compiler.Trigger(
                name="no_truncate",
                sql=audit.triggers.GuardSql(
                    func="\n            IF NOT EXISTS (\n                SELECT FROM pg_database\n                WHERE datname = current_database() AND shobj_description(oid, 'pg_database') = 'Gatehouse test database: may be emptied'\n            ) THEN\n                RAISE EXCEPTION 'cron_job is never truncated' USING ERRCODE = 'check_violation', TABLE = 'cron_job', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'cron_job_no_truncate';\n            END IF;\n            RETURN NULL;\n        ",
                    hash="0ed8d88cb6b9d8536ad79722c2a5211e8fcfe209",
                    ignore_func_name="SET search_path = public, pg_temp",
                    level="STATEMENT",
                    operation="TRUNCATE",
                    pgid="pgtrigger_no_truncate_ebd33",
                    table="cron_job",
                    when="BEFORE",
                ),
            ),
        ),
    ]
