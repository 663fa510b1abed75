import datetime

import django.contrib.postgres.indexes
import django.db.models.deletion
import django.db.models.lookups
import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations, models

import audit.base
import audit.exact_json
import audit.keys
import audit.operations
import audit.triggers


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("agents", "0002_agent_links"),
        ("campaigns", "0001_campaign_and_task"),
        ("content", "0001_artifact_review_publishing"),
    ]

    operations = [
        migrations.CreateModel(
            name="MetricArchive",
            fields=[
                (
                    "metric_archive_id",
                    models.UUIDField(
                        db_default=audit.base.UUIDv7(),
                        default=audit.base.new_id,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("table_name", models.TextField(help_text="metric_event or audit_log.")),
                ("range_start", models.DateTimeField(help_text="The first instant of the month (UTC).")),
                ("range_end", models.DateTimeField(help_text="The first instant of the next.")),
                ("row_count", models.BigIntegerField(help_text="Rows in the month.")),
                ("byte_count", models.BigIntegerField(help_text="Bytes in all files.")),
                (
                    "files",
                    audit.exact_json.ExactJSONField(
                        decoder=audit.exact_json.ExactDecoder,
                        encoder=audit.exact_json.ExactEncoder,
                        help_text="Each file with its SHA-256.",
                    ),
                ),
                ("schema_fingerprint", models.TextField(help_text="Which columns they have.")),
                (
                    "state",
                    models.TextField(
                        choices=[
                            ("exporting", "exporting"),
                            ("verified", "verified"),
                            ("detached", "detached"),
                            ("dropped", "dropped"),
                            ("restored", "restored"),
                        ],
                        help_text="How far it has come.",
                    ),
                ),
                ("created_by", models.TextField(help_text="Who ran it.")),
                (
                    "verified_at",
                    models.DateTimeField(help_text="When its files were last read back and found whole.", null=True),
                ),
                ("problem", models.TextField(help_text="What was wrong with them; empty when nothing was.", null=True)),
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
                "db_table": "metric_archive",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("state__in", ["exporting", "verified", "detached", "dropped", "restored"])),
                        name="metric_archive_state_check",
                        violation_error_message="state must be one of: exporting, verified, detached, dropped, restored.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            django.db.models.lookups.In(audit.base.JSONShape(models.F("files")), ["object", "array"]),
                            audit.base.JSONIsShallow(models.F("files")),
                        ),
                        name="metric_archive_files_check",
                        violation_error_message="files must be a JSON object or array.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("row_count__gte", 0)),
                        name="metric_archive_row_count_check",
                        violation_error_message="row_count must be 0 or more.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("byte_count__gte", 0)),
                        name="metric_archive_byte_count_check",
                        violation_error_message="byte_count must be 0 or more.",
                    ),
                    models.UniqueConstraint(fields=("table_name", "range_start"), name="metric_archive_month_key"),
                ],
            },
        ),
        migrations.CreateModel(
            name="MetricIngest",
            fields=[
                (
                    "metric_ingest_id",
                    models.UUIDField(
                        db_default=audit.base.UUIDv7(),
                        default=audit.base.new_id,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                (
                    "head_sha256",
                    audit.base.Sha256Field(
                        help_text="Of its beginning and of how it is read: which input it is.",
                        max_length=64,
                        unique=True,
                    ),
                ),
                ("name", models.TextField(help_text="Where it was read from.")),
                (
                    "state",
                    models.TextField(
                        choices=[("running", "running"), ("done", "done")], help_text="Whether its end was reached."
                    ),
                ),
                ("position", models.BigIntegerField(help_text="Bytes (Parquet: rows) that were taken in.")),
                ("sha256", audit.base.Sha256Field(help_text="Of the input up to there.", max_length=64)),
                ("line", models.BigIntegerField(help_text="Lines up to there.")),
                ("rejects_bytes", models.BigIntegerField(help_text="Size of the rejects file up to there.")),
                ("row_count", models.BigIntegerField(help_text="Rows that were read.")),
                ("accepted", models.BigIntegerField(help_text="New events.")),
                ("duplicates", models.BigIntegerField(help_text="Measurements that brought nothing new.")),
                ("corrections", models.BigIntegerField(help_text="Totals that had fallen.")),
                ("rejected", models.BigIntegerField(help_text="Rows that could not be taken.")),
                ("created_by", models.TextField(help_text="Who ran it.")),
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
                "db_table": "metric_ingest",
                "indexes": [models.Index(fields=["-updated_at"], name="idx_ingest_updated")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("state__in", ["running", "done"])),
                        name="metric_ingest_state_check",
                        violation_error_message="state must be one of: running, done.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("position__gte", 0)),
                        name="metric_ingest_position_check",
                        violation_error_message="position must be 0 or more.",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="MetricCorrection",
            fields=[
                (
                    "metric_correction_id",
                    models.UUIDField(
                        db_default=audit.base.UUIDv7(),
                        default=audit.base.new_id,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                (
                    "metric_type",
                    models.TextField(
                        choices=[
                            ("views", "views"),
                            ("likes", "likes"),
                            ("comments", "comments"),
                            ("shares", "shares"),
                            ("watch_time_seconds", "watch time (s)"),
                        ],
                        help_text="What is counted.",
                    ),
                ),
                ("source", models.TextField(help_text="Who counts.")),
                ("from_total", models.BigIntegerField(help_text="The total before.")),
                ("to_total", models.BigIntegerField(help_text="The lower total after.")),
                ("observed_at", models.DateTimeField(help_text="When the lower total was reported.")),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=audit.base.SQLNow(), editable=False, help_text="When the row was written."
                    ),
                ),
                (
                    "publish",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="corrections",
                        to="content.publishrecord",
                    ),
                ),
            ],
            options={
                "db_table": "metric_correction",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("metric_type__in", ["views", "likes", "comments", "shares", "watch_time_seconds"])
                        ),
                        name="metric_correction_metric_type_check",
                        violation_error_message="metric_type must be one of: views, likes, comments, shares, watch_time_seconds.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("to_total__lt", models.F("from_total"))),
                        name="metric_correction_falls_check",
                    ),
                    models.UniqueConstraint(
                        fields=("publish", "metric_type", "source", "observed_at"), name="metric_correction_key"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="MetricCounter",
            fields=[
                (
                    "metric_counter_id",
                    models.UUIDField(
                        db_default=audit.base.UUIDv7(),
                        default=audit.base.new_id,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("platform", models.TextField(help_text="Where it was measured.")),
                (
                    "metric_type",
                    models.TextField(
                        choices=[
                            ("views", "views"),
                            ("likes", "likes"),
                            ("comments", "comments"),
                            ("shares", "shares"),
                            ("watch_time_seconds", "watch time (s)"),
                        ],
                        help_text="What is counted.",
                    ),
                ),
                ("source", models.TextField(help_text="Who counts.")),
                ("highest_total", models.BigIntegerField(help_text="The highest total ever reported.")),
                ("last_total", models.BigIntegerField(help_text="The total of the newest observation.")),
                ("last_observed_at", models.DateTimeField(help_text="When that was.")),
                (
                    "first_total",
                    models.BigIntegerField(help_text="What it began with: counted, and left out of comparisons."),
                ),
                ("first_observed_at", models.DateTimeField(help_text="When that was observed.")),
                (
                    "updated_at",
                    models.DateTimeField(
                        db_default=audit.base.SQLNow(), editable=False, help_text="When the row last changed."
                    ),
                ),
                (
                    "agent",
                    models.ForeignKey(
                        db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="agents.agent"
                    ),
                ),
                (
                    "campaign",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="campaigns.campaign",
                    ),
                ),
                (
                    "publish",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="counters",
                        to="content.publishrecord",
                    ),
                ),
            ],
            options={
                "db_table": "metric_counter",
                "indexes": [
                    models.Index(
                        fields=["metric_type", "first_observed_at"], include=("first_total",), name="idx_counter_first"
                    )
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("metric_type__in", ["views", "likes", "comments", "shares", "watch_time_seconds"])
                        ),
                        name="metric_counter_metric_type_check",
                        violation_error_message="metric_type must be one of: views, likes, comments, shares, watch_time_seconds.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("highest_total__gte", 0)),
                        name="metric_counter_highest_total_check",
                        violation_error_message="highest_total must be 0 or more.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("last_total__gte", 0)),
                        name="metric_counter_last_total_check",
                        violation_error_message="last_total must be 0 or more.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("first_total__gte", 0)),
                        name="metric_counter_first_total_check",
                        violation_error_message="first_total must be 0 or more.",
                    ),
                    models.UniqueConstraint(fields=("publish", "metric_type", "source"), name="metric_counter_key"),
                ],
            },
        ),
        audit.operations.CreatePartitionedModel(
            name="MetricEvent",
            fields=[
                (
                    "event_id",
                    models.UUIDField(
                        db_default=audit.base.UUIDv7(),
                        default=audit.base.new_id,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("platform", models.TextField(help_text="Where it was measured.")),
                (
                    "metric_type",
                    models.TextField(
                        choices=[
                            ("views", "views"),
                            ("likes", "likes"),
                            ("comments", "comments"),
                            ("shares", "shares"),
                            ("watch_time_seconds", "watch time (s)"),
                        ],
                        help_text="What was measured.",
                    ),
                ),
                ("metric_value", models.BigIntegerField(help_text="The increase since the last measurement.")),
                ("observed_at", models.DateTimeField(help_text="When the platform said so; decides the month.")),
                (
                    "ingested_at",
                    models.DateTimeField(db_default=audit.base.SQLNow(), editable=False, help_text="When it came in."),
                ),
                ("source", models.TextField(help_text="Who measured.")),
                (
                    "agent",
                    audit.keys.SetCheckedForeignKey(
                        db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="agents.agent"
                    ),
                ),
                (
                    "campaign",
                    audit.keys.SetCheckedForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="campaigns.campaign",
                    ),
                ),
                (
                    "content",
                    audit.keys.SetCheckedForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="content.artifact",
                    ),
                ),
            ],
            options={
                "db_table": "metric_event",
                "indexes": [
                    models.Index(fields=["campaign", "observed_at"], name="idx_metric_campaign_time"),
                    models.Index(fields=["content", "observed_at"], name="idx_metric_content_time"),
                    models.Index(
                        fields=["platform", "metric_type", "observed_at"], name="idx_metric_platform_type_time"
                    ),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("metric_type__in", ["views", "likes", "comments", "shares", "watch_time_seconds"])
                        ),
                        name="metric_event_metric_type_check",
                        violation_error_message="metric_type must be one of: views, likes, comments, shares, watch_time_seconds.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("metric_value__gte", 0)),
                        name="metric_event_metric_value_check",
                        violation_error_message="metric_value must be 0 or more.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("ingested_at__isnull", True),
                            (
                                "ingested_at__range",
                                (
                                    datetime.datetime(1, 1, 2, 0, 0, tzinfo=datetime.UTC),
                                    datetime.datetime(9999, 12, 30, 0, 0, tzinfo=datetime.UTC),
                                ),
                            ),
                            _connector="OR",
                        ),
                        name="metric_event_times_check",
                        violation_error_message="A time lies outside of the calendar.",
                    ),
                ],
            },
            partition_key="observed_at",
        ),
        migrations.CreateModel(
            name="MetricRollup",
            fields=[
                (
                    "agent",
                    audit.keys.SetCheckedForeignKey(
                        db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="agents.agent"
                    ),
                ),
                (
                    "campaign",
                    audit.keys.SetCheckedForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="campaigns.campaign",
                    ),
                ),
                (
                    "content",
                    audit.keys.SetCheckedForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="content.artifact",
                    ),
                ),
                ("platform", models.TextField(help_text="Where it was measured.")),
                (
                    "metric_type",
                    models.TextField(
                        choices=[
                            ("views", "views"),
                            ("likes", "likes"),
                            ("comments", "comments"),
                            ("shares", "shares"),
                            ("watch_time_seconds", "watch time (s)"),
                        ],
                        help_text="What was measured.",
                    ),
                ),
                ("sum", models.BigIntegerField(help_text="All increases.")),
                ("count", models.BigIntegerField(help_text="How many events.")),
                ("max", models.BigIntegerField(help_text="The largest increase.")),
                ("last_observed_at", models.DateTimeField(help_text="The newest of them.")),
                (
                    "updated_at",
                    models.DateTimeField(
                        db_default=audit.base.SQLNow(), editable=False, help_text="When the row last changed."
                    ),
                ),
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "content",
                        "platform",
                        "metric_type",
                        "bucket",
                        "agent",
                        "campaign",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("bucket", models.DateTimeField(help_text="The beginning of the hour (UTC).")),
            ],
            options={
                "db_table": "metric_rollup",
                "indexes": [
                    models.Index(fields=["campaign", "metric_type", "bucket"], name="idx_rollup_campaign_time"),
                    django.contrib.postgres.indexes.BrinIndex(
                        autosummarize=True, fields=["bucket"], name="idx_rollup_bucket", pages_per_range=16
                    ),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("metric_type__in", ["views", "likes", "comments", "shares", "watch_time_seconds"])
                        ),
                        name="metric_rollup_metric_type_check",
                        violation_error_message="metric_type must be one of: views, likes, comments, shares, watch_time_seconds.",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="MetricRollupCampaign",
            fields=[
                (
                    "agent",
                    audit.keys.SetCheckedForeignKey(
                        db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="agents.agent"
                    ),
                ),
                (
                    "campaign",
                    audit.keys.SetCheckedForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="campaigns.campaign",
                    ),
                ),
                ("platform", models.TextField(help_text="Where it was measured.")),
                (
                    "metric_type",
                    models.TextField(
                        choices=[
                            ("views", "views"),
                            ("likes", "likes"),
                            ("comments", "comments"),
                            ("shares", "shares"),
                            ("watch_time_seconds", "watch time (s)"),
                        ],
                        help_text="What was measured.",
                    ),
                ),
                ("sum", models.BigIntegerField(help_text="All increases.")),
                ("count", models.BigIntegerField(help_text="How many events.")),
                ("max", models.BigIntegerField(help_text="The largest increase.")),
                ("last_observed_at", models.DateTimeField(help_text="The newest of them.")),
                (
                    "updated_at",
                    models.DateTimeField(
                        db_default=audit.base.SQLNow(), editable=False, help_text="When the row last changed."
                    ),
                ),
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "metric_type",
                        "bucket",
                        "campaign",
                        "agent",
                        "platform",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("bucket", models.DateTimeField(help_text="The beginning of the day (UTC).")),
            ],
            options={
                "db_table": "metric_rollup_campaign",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("metric_type__in", ["views", "likes", "comments", "shares", "watch_time_seconds"])
                        ),
                        name="metric_rollup_campaign_metric_type_check",
                        violation_error_message="metric_type must be one of: views, likes, comments, shares, watch_time_seconds.",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="MetricRollupDaily",
            fields=[
                (
                    "agent",
                    audit.keys.SetCheckedForeignKey(
                        db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="agents.agent"
                    ),
                ),
                (
                    "campaign",
                    audit.keys.SetCheckedForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="campaigns.campaign",
                    ),
                ),
                (
                    "content",
                    audit.keys.SetCheckedForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="content.artifact",
                    ),
                ),
                ("platform", models.TextField(help_text="Where it was measured.")),
                (
                    "metric_type",
                    models.TextField(
                        choices=[
                            ("views", "views"),
                            ("likes", "likes"),
                            ("comments", "comments"),
                            ("shares", "shares"),
                            ("watch_time_seconds", "watch time (s)"),
                        ],
                        help_text="What was measured.",
                    ),
                ),
                ("sum", models.BigIntegerField(help_text="All increases.")),
                ("count", models.BigIntegerField(help_text="How many events.")),
                ("max", models.BigIntegerField(help_text="The largest increase.")),
                ("last_observed_at", models.DateTimeField(help_text="The newest of them.")),
                (
                    "updated_at",
                    models.DateTimeField(
                        db_default=audit.base.SQLNow(), editable=False, help_text="When the row last changed."
                    ),
                ),
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "campaign",
                        "metric_type",
                        "bucket",
                        "content",
                        "platform",
                        "agent",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("bucket", models.DateTimeField(help_text="The beginning of the day (UTC).")),
            ],
            options={
                "db_table": "metric_rollup_daily",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("metric_type__in", ["views", "likes", "comments", "shares", "watch_time_seconds"])
                        ),
                        name="metric_rollup_daily_metric_type_check",
                        violation_error_message="metric_type must be one of: views, likes, comments, shares, watch_time_seconds.",
                    )
                ],
            },
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="metricarchive",
            trigger=pgtrigger.compiler.Trigger(
                name="touch",
                sql=audit.triggers.GuardSql(
                    func="\n            IF NEW.metric_archive_id IS DISTINCT FROM OLD.metric_archive_id THEN\n                RAISE EXCEPTION 'the key of a metric_archive never changes' USING ERRCODE = 'check_violation', TABLE = 'metric_archive', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'metric_archive_key_readonly';\n            END IF;\n            IF NEW.created_at IS DISTINCT FROM OLD.created_at THEN\n                RAISE EXCEPTION 'when a metric_archive was written never changes' USING ERRCODE = 'check_violation', TABLE = 'metric_archive', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'metric_archive_created_at_readonly';\n            END IF;\n            NEW.updated_at = now();\n            RETURN NEW;\n        ",
                    hash="c2e1bd255ecdc3a7b3499455031084526263352c",
                    ignore_func_name="SET search_path = public, pg_temp",
                    operation="UPDATE",
                    pgid="pgtrigger_touch_db01b",
                    table="metric_archive",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="metricarchive",
            trigger=pgtrigger.compiler.Trigger(
                name="no_delete",
                sql=audit.triggers.GuardSql(
                    func="RAISE EXCEPTION 'rows of metric_archive are never deleted' USING ERRCODE = 'check_violation', TABLE = 'metric_archive', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'metric_archive_no_delete';",
                    hash="3dcdc693fd94e2a1fe43a78858cab10c48ee5f86",
                    ignore_func_name="SET search_path = public, pg_temp",
                    operation="DELETE",
                    pgid="pgtrigger_no_delete_42127",
                    table="metric_archive",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="metricarchive",
            trigger=pgtrigger.compiler.Trigger(
                name="no_truncate",
                sql=audit.triggers.GuardSql(
                    func="\n            IF NOT EXISTS (\n                SELECT FROM pg_database\n                WHERE datname = current_database() AND shobj_description(oid, 'pg_database') = 'Gatehouse test database: may be emptied'\n            ) THEN\n                RAISE EXCEPTION 'metric_archive is never truncated' USING ERRCODE = 'check_violation', TABLE = 'metric_archive', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'metric_archive_no_truncate';\n            END IF;\n            RETURN NULL;\n        ",
                    hash="3034d688aeea5c9f34cb8c96c6e835aaf733f188",
                    ignore_func_name="SET search_path = public, pg_temp",
                    level="STATEMENT",
                    operation="TRUNCATE",
                    pgid="pgtrigger_no_truncate_a16ff",
                    table="metric_archive",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="metricarchive",
            trigger=pgtrigger.compiler.Trigger(
                name="audit_insert",
                sql=audit.triggers.GuardSql(
                    func="\n            IF current_user = 'gatehouse_app' THEN\n                RETURN NULL;\n            END IF;\n            INSERT INTO audit_log (trace_id, actor_type, actor_id, entity_type, entity_id, action, tool_name, severity,\n                                   campaign_id, changes, created_at)\n            SELECT encode(uuid_send(gen_random_uuid()), 'hex'), 'system', 'sql:' || session_user, 'metric_archive', n.metric_archive_id::text, 'create', 'sql',\n                   'info', NULL, c.changes, clock_timestamp()\n            FROM new_rows n \n            CROSS JOIN LATERAL (SELECT audit_changes('{}'::jsonb, to_jsonb(n), ARRAY[]::text[], ARRAY['updated_at']::text[]) AS changes) c\n            WHERE c.changes IS NOT NULL;\n            RETURN NULL;\n        ",
                    hash="5d4322cb79b37f085276ad2a2132f5601666c90d",
                    ignore_func_name="SET search_path = public, pg_temp",
                    level="STATEMENT",
                    operation="INSERT",
                    pgid="pgtrigger_audit_insert_0479c",
                    referencing="REFERENCING NEW TABLE AS new_rows ",
                    table="metric_archive",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="metricarchive",
            trigger=pgtrigger.compiler.Trigger(
                name="audit_update",
                sql=audit.triggers.GuardSql(
                    func="\n            IF current_user = 'gatehouse_app' THEN\n                RETURN NULL;\n            END IF;\n            INSERT INTO audit_log (trace_id, actor_type, actor_id, entity_type, entity_id, action, tool_name, severity,\n                                   campaign_id, changes, created_at)\n            SELECT encode(uuid_send(gen_random_uuid()), 'hex'), 'system', 'sql:' || session_user, 'metric_archive', n.metric_archive_id::text, 'update', 'sql',\n                   'info', NULL, c.changes, clock_timestamp()\n            FROM new_rows n JOIN old_rows o ON o.metric_archive_id = n.metric_archive_id \n            CROSS JOIN LATERAL (SELECT audit_changes(to_jsonb(o), to_jsonb(n), ARRAY[]::text[], ARRAY['updated_at']::text[]) AS changes) c\n            WHERE c.changes IS NOT NULL;\n            RETURN NULL;\n        ",
                    hash="8965d0ec884903b1d069ec4b0bb0a10ded8d7002",
                    ignore_func_name="SET search_path = public, pg_temp",
                    level="STATEMENT",
                    operation="UPDATE",
                    pgid="pgtrigger_audit_update_9db0e",
                    referencing="REFERENCING OLD TABLE AS old_rows  NEW TABLE AS new_rows ",
                    table="metric_archive",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="metricarchive",
            trigger=pgtrigger.compiler.Trigger(
                name="transition",
                sql=audit.triggers.GuardSql(
                    func="\n            IF NEW.state IS NULL OR NOT NEW.state = ANY (ARRAY['detached', 'dropped', 'exporting', 'restored', 'verified']::text[]) THEN\n                RETURN NEW;\n            END IF;\n            IF TG_OP = 'INSERT' THEN\n                IF NOT NEW.state = ANY (ARRAY['exporting']::text[]) THEN\n                    RAISE EXCEPTION 'this metric archive does not begin as %', NEW.state USING ERRCODE = 'check_violation', TABLE = 'metric_archive', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'metric_archive_state_transition';\n                END IF;\n            ELSIF NEW.state <> OLD.state AND NOT OLD.state || '>' || NEW.state = ANY (ARRAY['detached>dropped', 'dropped>restored', 'exporting>verified', 'restored>dropped', 'restored>exporting', 'verified>detached']::text[]) THEN\n                RAISE EXCEPTION 'this metric archive does not go from % to %', OLD.state, NEW.state USING ERRCODE = 'check_violation', TABLE = 'metric_archive', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'metric_archive_state_transition';\n            END IF;\n            RETURN NEW;\n        ",
                    hash="1cecef82c8ff763d7a6d564ab443926cfebf4421",
                    ignore_func_name="SET search_path = public, pg_temp",
                    operation='INSERT OR UPDATE OF "state"',
                    pgid="pgtrigger_transition_4e954",
                    table="metric_archive",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="metricingest",
            trigger=pgtrigger.compiler.Trigger(
                name="touch",
                sql=audit.triggers.GuardSql(
                    func="\n            IF NEW.metric_ingest_id IS DISTINCT FROM OLD.metric_ingest_id THEN\n                RAISE EXCEPTION 'the key of a metric_ingest never changes' USING ERRCODE = 'check_violation', TABLE = 'metric_ingest', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'metric_ingest_key_readonly';\n            END IF;\n            IF NEW.created_at IS DISTINCT FROM OLD.created_at THEN\n                RAISE EXCEPTION 'when a metric_ingest was written never changes' USING ERRCODE = 'check_violation', TABLE = 'metric_ingest', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'metric_ingest_created_at_readonly';\n            END IF;\n            NEW.updated_at = now();\n            RETURN NEW;\n        ",
                    hash="7fe1ae943d1af5b1938cca4eb03e941f7ee022fd",
                    ignore_func_name="SET search_path = public, pg_temp",
                    operation="UPDATE",
                    pgid="pgtrigger_touch_2e527",
                    table="metric_ingest",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="metricingest",
            trigger=pgtrigger.compiler.Trigger(
                name="no_delete",
                sql=audit.triggers.GuardSql(
                    func="RAISE EXCEPTION 'rows of metric_ingest are never deleted' USING ERRCODE = 'check_violation', TABLE = 'metric_ingest', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'metric_ingest_no_delete';",
                    hash="247755cddf27d337556727466d67ae36c2cf12e8",
                    ignore_func_name="SET search_path = public, pg_temp",
                    operation="DELETE",
                    pgid="pgtrigger_no_delete_5914d",
                    table="metric_ingest",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="metricingest",
            trigger=pgtrigger.compiler.Trigger(
                name="no_truncate",
                sql=audit.triggers.GuardSql(
                    func="\n            IF NOT EXISTS (\n                SELECT FROM pg_database\n                WHERE datname = current_database() AND shobj_description(oid, 'pg_database') = 'Gatehouse test database: may be emptied'\n            ) THEN\n                RAISE EXCEPTION 'metric_ingest is never truncated' USING ERRCODE = 'check_violation', TABLE = 'metric_ingest', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'metric_ingest_no_truncate';\n            END IF;\n            RETURN NULL;\n        ",
                    hash="b660ae73f7a5d7fd52d6cef2dbbab7174f3b155b",
                    ignore_func_name="SET search_path = public, pg_temp",
                    level="STATEMENT",
                    operation="TRUNCATE",
                    pgid="pgtrigger_no_truncate_b512e",
                    table="metric_ingest",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="metricingest",
            trigger=pgtrigger.compiler.Trigger(
                name="transition",
                sql=audit.triggers.GuardSql(
                    func="\n            IF NEW.state IS NULL OR NOT NEW.state = ANY (ARRAY['done', 'running']::text[]) THEN\n                RETURN NEW;\n            END IF;\n            IF TG_OP = 'INSERT' THEN\n                IF NOT NEW.state = ANY (ARRAY['running']::text[]) THEN\n                    RAISE EXCEPTION 'this metric ingest does not begin as %', NEW.state USING ERRCODE = 'check_violation', TABLE = 'metric_ingest', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'metric_ingest_state_transition';\n                END IF;\n            ELSIF NEW.state <> OLD.state AND NOT OLD.state || '>' || NEW.state = ANY (ARRAY['done>running', 'running>done']::text[]) THEN\n                RAISE EXCEPTION 'this metric ingest does not go from % to %', OLD.state, NEW.state USING ERRCODE = 'check_violation', TABLE = 'metric_ingest', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'metric_ingest_state_transition';\n            END IF;\n            RETURN NEW;\n        ",
                    hash="b6c8d523b7b6b9bcfc157d2ebf6ae1a9a4ee8ffc",
                    ignore_func_name="SET search_path = public, pg_temp",
                    operation='INSERT OR UPDATE OF "state"',
                    pgid="pgtrigger_transition_667a2",
                    table="metric_ingest",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="metriccorrection",
            trigger=pgtrigger.compiler.Trigger(
                name="immutable",
                sql=audit.triggers.GuardSql(
                    func="RAISE EXCEPTION 'rows of metric_correction never change' USING ERRCODE = 'check_violation', TABLE = 'metric_correction', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'metric_correction_immutable';",
                    hash="7f6397bd56f3fc0e7c1b18aca4db30b8eb015a82",
                    ignore_func_name="SET search_path = public, pg_temp",
                    operation="UPDATE",
                    pgid="pgtrigger_immutable_5475c",
                    table="metric_correction",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="metriccorrection",
            trigger=pgtrigger.compiler.Trigger(
                name="no_delete",
                sql=audit.triggers.GuardSql(
                    func="RAISE EXCEPTION 'rows of metric_correction are never deleted' USING ERRCODE = 'check_violation', TABLE = 'metric_correction', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'metric_correction_no_delete';",
                    hash="90185766d332c1c0eade4c71bc37d11268ef0193",
                    ignore_func_name="SET search_path = public, pg_temp",
                    operation="DELETE",
                    pgid="pgtrigger_no_delete_1d916",
                    table="metric_correction",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="metriccorrection",
            trigger=pgtrigger.compiler.Trigger(
                name="no_truncate",
                sql=audit.triggers.GuardSql(
                    func="\n            IF NOT EXISTS (\n                SELECT FROM pg_database\n                WHERE datname = current_database() AND shobj_description(oid, 'pg_database') = 'Gatehouse test database: may be emptied'\n            ) THEN\n                RAISE EXCEPTION 'metric_correction is never truncated' USING ERRCODE = 'check_violation', TABLE = 'metric_correction', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'metric_correction_no_truncate';\n            END IF;\n            RETURN NULL;\n        ",
                    hash="001044949864424f95a79062e4caeb6eb343e087",
                    ignore_func_name="SET search_path = public, pg_temp",
                    level="STATEMENT",
                    operation="TRUNCATE",
                    pgid="pgtrigger_no_truncate_dc85c",
                    table="metric_correction",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="metriccounter",
            trigger=pgtrigger.compiler.Trigger(
                name="touch",
                sql=audit.triggers.GuardSql(
                    func="\n            IF NEW.metric_counter_id IS DISTINCT FROM OLD.metric_counter_id THEN\n                RAISE EXCEPTION 'the key of a metric_counter never changes' USING ERRCODE = 'check_violation', TABLE = 'metric_counter', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'metric_counter_key_readonly';\n            END IF;\n            IF false THEN\n                RAISE EXCEPTION 'when a metric_counter was written never changes' USING ERRCODE = 'check_violation', TABLE = 'metric_counter', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'metric_counter_created_at_readonly';\n            END IF;\n            NEW.updated_at = now();\n            RETURN NEW;\n        ",
                    hash="4488b49de485066d393ae1d2c8b888a946caf5e2",
                    ignore_func_name="SET search_path = public, pg_temp",
                    operation="UPDATE",
                    pgid="pgtrigger_touch_0f9df",
                    table="metric_counter",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="metriccounter",
            trigger=pgtrigger.compiler.Trigger(
                name="no_delete",
                sql=audit.triggers.GuardSql(
                    func="RAISE EXCEPTION 'rows of metric_counter are never deleted' USING ERRCODE = 'check_violation', TABLE = 'metric_counter', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'metric_counter_no_delete';",
                    hash="bfc445ff78e4c42e198859f133ed8d07cf76fd11",
                    ignore_func_name="SET search_path = public, pg_temp",
                    operation="DELETE",
                    pgid="pgtrigger_no_delete_1bb13",
                    table="metric_counter",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="metriccounter",
            trigger=pgtrigger.compiler.Trigger(
                name="no_truncate",
                sql=audit.triggers.GuardSql(
                    func="\n            IF NOT EXISTS (\n                SELECT FROM pg_database\n                WHERE datname = current_database() AND shobj_description(oid, 'pg_database') = 'Gatehouse test database: may be emptied'\n            ) THEN\n                RAISE EXCEPTION 'metric_counter is never truncated' USING ERRCODE = 'check_violation', TABLE = 'metric_counter', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'metric_counter_no_truncate';\n            END IF;\n            RETURN NULL;\n        ",
                    hash="82a7cf673d160d314541e0562ff56bd335175f09",
                    ignore_func_name="SET search_path = public, pg_temp",
                    level="STATEMENT",
                    operation="TRUNCATE",
                    pgid="pgtrigger_no_truncate_5ac80",
                    table="metric_counter",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="metricevent",
            trigger=pgtrigger.compiler.Trigger(
                name="immutable",
                sql=audit.triggers.GuardSql(
                    func="RAISE EXCEPTION 'rows of metric_event never change' USING ERRCODE = 'check_violation', TABLE = 'metric_event', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'metric_event_immutable';",
                    hash="12a26fd3b19cdd25f54b29bea90c37a34f9b2ff2",
                    ignore_func_name="SET search_path = public, pg_temp",
                    operation="UPDATE",
                    pgid="pgtrigger_immutable_d00ec",
                    table="metric_event",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="metricevent",
            trigger=pgtrigger.compiler.Trigger(
                name="no_delete",
                sql=audit.triggers.GuardSql(
                    func="RAISE EXCEPTION 'rows of metric_event are never deleted' USING ERRCODE = 'check_violation', TABLE = 'metric_event', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'metric_event_no_delete';",
                    hash="e9d938a747aaaa92544b74faba16620af2458a64",
                    ignore_func_name="SET search_path = public, pg_temp",
                    operation="DELETE",
                    pgid="pgtrigger_no_delete_00814",
                    table="metric_event",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="metricevent",
            trigger=pgtrigger.compiler.Trigger(
                name="no_truncate",
                sql=audit.triggers.GuardSql(
                    func="\n            IF NOT EXISTS (\n                SELECT FROM pg_database\n                WHERE datname = current_database() AND shobj_description(oid, 'pg_database') = 'Gatehouse test database: may be emptied'\n            ) THEN\n                RAISE EXCEPTION 'metric_event is never truncated' USING ERRCODE = 'check_violation', TABLE = 'metric_event', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'metric_event_no_truncate';\n            END IF;\n            RETURN NULL;\n        ",
                    hash="4363ca1ba28042e4775e4d754c40e8f4b0d8f478",
                    ignore_func_name="SET search_path = public, pg_temp",
                    level="STATEMENT",
                    operation="TRUNCATE",
                    pgid="pgtrigger_no_truncate_f9397",
                    table="metric_event",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="metricevent",
            trigger=pgtrigger.compiler.Trigger(
                name="audit_insert",
                sql=audit.triggers.GuardSql(
                    func="\n            IF current_user = 'gatehouse_app' THEN\n                RETURN NULL;\n            END IF;\n            INSERT INTO audit_log (trace_id, actor_type, actor_id, entity_type, entity_id, action, tool_name, severity,\n                                   campaign_id, changes, created_at)\n            SELECT n_content_task.trace_id, 'system', 'sql:' || session_user, 'metric_event', n.event_id::text, 'create', 'sql',\n                   'info', n.campaign_id, c.changes, clock_timestamp()\n            FROM new_rows n LEFT JOIN \"artifact\" n_content ON n_content.artifact_id = n.content_id LEFT JOIN \"task\" n_content_task ON n_content_task.task_id = n_content.task_id\n            CROSS JOIN LATERAL (SELECT audit_changes('{}'::jsonb, to_jsonb(n), ARRAY[]::text[], ARRAY['updated_at']::text[]) AS changes) c\n            WHERE c.changes IS NOT NULL;\n            RETURN NULL;\n        ",
                    hash="2bb2b402a6e4d1cf2db73b7c9fa3738cb15f8b1b",
                    ignore_func_name="SET search_path = public, pg_temp",
                    level="STATEMENT",
                    operation="INSERT",
                    pgid="pgtrigger_audit_insert_82a51",
                    referencing="REFERENCING NEW TABLE AS new_rows ",
                    table="metric_event",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="metricevent",
            trigger=pgtrigger.compiler.Trigger(
                name="arrived",
                sql=audit.triggers.GuardSql(
                    declare="DECLARE first timestamptz; newest timestamptz; month text; missing_campaign text; missing_agent text; missing_artifact text;",
                    func="\n            SELECT min(observed_at), max(observed_at) INTO first, newest FROM new_rows;\n            IF first IS NULL THEN\n                RETURN NULL;\n            END IF;\n            -- Looked up after the rows are in: whoever closes a month then waits for the writers that it let pass.\n            SELECT to_char(a.range_start AT TIME ZONE 'UTC', 'YYYY-MM') INTO month FROM metric_archive a\n            WHERE a.table_name = 'metric_event' AND a.state <> 'restored'\n              AND a.range_start <= newest AND a.range_end > first\n              AND EXISTS (SELECT FROM new_rows n WHERE n.observed_at >= a.range_start AND n.observed_at < a.range_end)\n            LIMIT 1;\n            IF month IS NOT NULL THEN\n                RAISE EXCEPTION '% is closed, since it was or is being archived', month USING ERRCODE = 'check_violation', TABLE = 'metric_event', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'metric_event_month_closed';\n            END IF;\n            WITH hours AS MATERIALIZED (\n                SELECT date_bin('1 hour', observed_at, 'epoch') AS bucket,\n                       campaign_id, content_id, agent_id, platform, metric_type,\n                       LEAST(sum(metric_value), 9223372036854775807)::bigint AS sum, count(*) AS count,\n                       max(metric_value) AS max,\n                       max(observed_at) AS last_observed_at\n                FROM new_rows GROUP BY 1, 2, 3, 4, 5, 6\n            ), days AS MATERIALIZED (\n                SELECT date_bin('1 day', bucket, 'epoch') AS bucket,\n                       campaign_id, content_id, agent_id, platform, metric_type, LEAST(sum(sum), 9223372036854775807)::bigint AS sum, sum(count)::bigint AS count, max(max) AS max, max(last_observed_at) AS last_observed_at\n                FROM hours GROUP BY 1, 2, 3, 4, 5, 6\n            ), campaigns AS (\n                SELECT bucket, campaign_id, agent_id, platform, metric_type, LEAST(sum(sum), 9223372036854775807)::bigint AS sum, sum(count)::bigint AS count, max(max) AS max, max(last_observed_at) AS last_observed_at FROM days GROUP BY 1, 2, 3, 4, 5\n            ), hourly AS (\n                INSERT INTO metric_rollup AS r (bucket, campaign_id, content_id, agent_id, platform, metric_type, sum, count, max, last_observed_at)\n                SELECT bucket, campaign_id, content_id, agent_id, platform, metric_type, sum, count, max, last_observed_at FROM hours ORDER BY content_id, platform, metric_type, bucket, agent_id, campaign_id\n                ON CONFLICT (content_id, platform, metric_type, bucket, agent_id, campaign_id) DO UPDATE\n                SET sum = CASE WHEN r.sum < 9223372036854775807 - EXCLUDED.sum THEN r.sum + EXCLUDED.sum ELSE 9223372036854775807 END,\n                    count = r.count + EXCLUDED.count,\n                    max = GREATEST(r.max, EXCLUDED.max), updated_at = now(),\n                    last_observed_at = GREATEST(r.last_observed_at, EXCLUDED.last_observed_at)\n            ), daily AS (\n                INSERT INTO metric_rollup_daily AS r (bucket, campaign_id, content_id, agent_id, platform, metric_type, sum, count, max, last_observed_at)\n                SELECT bucket, campaign_id, content_id, agent_id, platform, metric_type, sum, count, max, last_observed_at FROM days ORDER BY campaign_id, metric_type, bucket, content_id, platform, agent_id\n                ON CONFLICT (campaign_id, metric_type, bucket, content_id, platform, agent_id) DO UPDATE\n                SET sum = CASE WHEN r.sum < 9223372036854775807 - EXCLUDED.sum THEN r.sum + EXCLUDED.sum ELSE 9223372036854775807 END,\n                    count = r.count + EXCLUDED.count,\n                    max = GREATEST(r.max, EXCLUDED.max), updated_at = now(),\n                    last_observed_at = GREATEST(r.last_observed_at, EXCLUDED.last_observed_at)\n            ), of_campaigns AS (\n                INSERT INTO metric_rollup_campaign AS r (bucket, campaign_id, agent_id, platform, metric_type, sum, count, max, last_observed_at)\n                SELECT bucket, campaign_id, agent_id, platform, metric_type, sum, count, max, last_observed_at FROM campaigns ORDER BY metric_type, bucket, campaign_id, agent_id, platform\n                ON CONFLICT (metric_type, bucket, campaign_id, agent_id, platform) DO UPDATE\n                SET sum = CASE WHEN r.sum < 9223372036854775807 - EXCLUDED.sum THEN r.sum + EXCLUDED.sum ELSE 9223372036854775807 END,\n                    count = r.count + EXCLUDED.count,\n                    max = GREATEST(r.max, EXCLUDED.max), updated_at = now(),\n                    last_observed_at = GREATEST(r.last_observed_at, EXCLUDED.last_observed_at)\n            )\n            SELECT (SELECT p.campaign_id::text FROM (SELECT DISTINCT campaign_id FROM days) p WHERE NOT EXISTS (SELECT FROM campaign o WHERE o.campaign_id = p.campaign_id) LIMIT 1),\n                   (SELECT p.agent_id::text FROM (SELECT DISTINCT agent_id FROM days) p WHERE NOT EXISTS (SELECT FROM agent o WHERE o.agent_id = p.agent_id) LIMIT 1),\n                   (SELECT p.content_id::text FROM (SELECT DISTINCT content_id FROM days) p WHERE NOT EXISTS (SELECT FROM artifact o WHERE o.artifact_id = p.content_id) LIMIT 1)\n            INTO missing_campaign, missing_agent, missing_artifact;\n            IF missing_campaign IS NOT NULL THEN\n                RAISE EXCEPTION 'insert or update on table \"metric_event\" violates foreign key constraint \"%\"',\n                    'metric_event_campaign_id_fkey'\n                    USING ERRCODE = 'foreign_key_violation', TABLE = 'metric_event', SCHEMA = TG_TABLE_SCHEMA,\n                    CONSTRAINT = 'metric_event_campaign_id_fkey',\n                    DETAIL = format('Key (campaign_id)=(%s) is not present in table \"campaign\".', missing_campaign);\n            END IF;\n            IF missing_agent IS NOT NULL THEN\n                RAISE EXCEPTION 'insert or update on table \"metric_event\" violates foreign key constraint \"%\"',\n                    'metric_event_agent_id_fkey'\n                    USING ERRCODE = 'foreign_key_violation', TABLE = 'metric_event', SCHEMA = TG_TABLE_SCHEMA,\n                    CONSTRAINT = 'metric_event_agent_id_fkey',\n                    DETAIL = format('Key (agent_id)=(%s) is not present in table \"agent\".', missing_agent);\n            END IF;\n            IF missing_artifact IS NOT NULL THEN\n                RAISE EXCEPTION 'insert or update on table \"metric_event\" violates foreign key constraint \"%\"',\n                    'metric_event_content_id_fkey'\n                    USING ERRCODE = 'foreign_key_violation', TABLE = 'metric_event', SCHEMA = TG_TABLE_SCHEMA,\n                    CONSTRAINT = 'metric_event_content_id_fkey',\n                    DETAIL = format('Key (content_id)=(%s) is not present in table \"artifact\".', missing_artifact);\n            END IF;\n            RETURN NULL;\n        ",
                    hash="18807af21eea8ca68aaadcaf8bfa127cbbfecec5",
                    ignore_func_name="SECURITY DEFINER SET search_path = public, pg_temp",
                    level="STATEMENT",
                    operation="INSERT",
                    pgid="pgtrigger_arrived_b8b50",
                    referencing="REFERENCING NEW TABLE AS new_rows ",
                    table="metric_event",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="metricrollup",
            trigger=pgtrigger.compiler.Trigger(
                name="no_delete",
                sql=audit.triggers.GuardSql(
                    func="RAISE EXCEPTION 'rows of metric_rollup are never deleted' USING ERRCODE = 'check_violation', TABLE = 'metric_rollup', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'metric_rollup_no_delete';",
                    hash="fa1392798a9ea08cbce290aa091d803b427dbe86",
                    ignore_func_name="SET search_path = public, pg_temp",
                    operation="DELETE",
                    pgid="pgtrigger_no_delete_8b51f",
                    table="metric_rollup",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="metricrollup",
            trigger=pgtrigger.compiler.Trigger(
                name="no_truncate",
                sql=audit.triggers.GuardSql(
                    func="\n            IF NOT EXISTS (\n                SELECT FROM pg_database\n                WHERE datname = current_database() AND shobj_description(oid, 'pg_database') = 'Gatehouse test database: may be emptied'\n            ) THEN\n                RAISE EXCEPTION 'metric_rollup is never truncated' USING ERRCODE = 'check_violation', TABLE = 'metric_rollup', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'metric_rollup_no_truncate';\n            END IF;\n            RETURN NULL;\n        ",
                    hash="a9ec6352151b4e21ac52850ecb92310ac8bfe5d7",
                    ignore_func_name="SET search_path = public, pg_temp",
                    level="STATEMENT",
                    operation="TRUNCATE",
                    pgid="pgtrigger_no_truncate_73269",
                    table="metric_rollup",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="metricrollupcampaign",
            trigger=pgtrigger.compiler.Trigger(
                name="no_delete",
                sql=audit.triggers.GuardSql(
                    func="RAISE EXCEPTION 'rows of metric_rollup_campaign are never deleted' USING ERRCODE = 'check_violation', TABLE = 'metric_rollup_campaign', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'metric_rollup_campaign_no_delete';",
                    hash="e83bee2df97b9231b73a65d70e514fc5038b6307",
                    ignore_func_name="SET search_path = public, pg_temp",
                    operation="DELETE",
                    pgid="pgtrigger_no_delete_a2440",
                    table="metric_rollup_campaign",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="metricrollupcampaign",
            trigger=pgtrigger.compiler.Trigger(
                name="no_truncate",
                sql=audit.triggers.GuardSql(
                    func="\n            IF NOT EXISTS (\n                SELECT FROM pg_database\n                WHERE datname = current_database() AND shobj_description(oid, 'pg_database') = 'Gatehouse test database: may be emptied'\n            ) THEN\n                RAISE EXCEPTION 'metric_rollup_campaign is never truncated' USING ERRCODE = 'check_violation', TABLE = 'metric_rollup_campaign', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'metric_rollup_campaign_no_truncate';\n            END IF;\n            RETURN NULL;\n        ",
                    hash="5dd033dd9417c7ca40fbff21623806b2f7f65299",
                    ignore_func_name="SET search_path = public, pg_temp",
                    level="STATEMENT",
                    operation="TRUNCATE",
                    pgid="pgtrigger_no_truncate_3bb9d",
                    table="metric_rollup_campaign",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="metricrollupdaily",
            trigger=pgtrigger.compiler.Trigger(
                name="no_delete",
                sql=audit.triggers.GuardSql(
                    func="RAISE EXCEPTION 'rows of metric_rollup_daily are never deleted' USING ERRCODE = 'check_violation', TABLE = 'metric_rollup_daily', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'metric_rollup_daily_no_delete';",
                    hash="1439ac52d0c987b8b8cf3707de57156b0212e31e",
                    ignore_func_name="SET search_path = public, pg_temp",
                    operation="DELETE",
                    pgid="pgtrigger_no_delete_dde0a",
                    table="metric_rollup_daily",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="metricrollupdaily",
            trigger=pgtrigger.compiler.Trigger(
                name="no_truncate",
                sql=audit.triggers.GuardSql(
                    func="\n            IF NOT EXISTS (\n                SELECT FROM pg_database\n                WHERE datname = current_database() AND shobj_description(oid, 'pg_database') = 'Gatehouse test database: may be emptied'\n            ) THEN\n                RAISE EXCEPTION 'metric_rollup_daily is never truncated' USING ERRCODE = 'check_violation', TABLE = 'metric_rollup_daily', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'metric_rollup_daily_no_truncate';\n            END IF;\n            RETURN NULL;\n        ",
                    hash="a7414516cfc2e6b3d7777ae44c38366b0f3fedf6",
                    ignore_func_name="SET search_path = public, pg_temp",
                    level="STATEMENT",
                    operation="TRUNCATE",
                    pgid="pgtrigger_no_truncate_666dc",
                    table="metric_rollup_daily",
                    when="BEFORE",
                ),
            ),
        ),
        # Their rows are updated in place: room in each page spares new index entries.
        migrations.RunSQL(
            "ALTER TABLE metric_rollup SET (fillfactor = 70);"
            "ALTER TABLE metric_rollup_daily SET (fillfactor = 70);"
            "ALTER TABLE metric_rollup_campaign SET (fillfactor = 50)",
            migrations.RunSQL.noop,
        ),
    ]
