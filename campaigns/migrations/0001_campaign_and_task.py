import datetime
import re

import django.contrib.postgres.indexes
import django.contrib.postgres.operations
import django.core.validators
import django.db.models.deletion
import django.db.models.expressions
import django.db.models.functions.text
import django.db.models.lookups
import pgtrigger.compiler
import pgtrigger.migrations
from django.conf import settings
from django.db import migrations, models

import audit.base
import audit.context
import audit.exact_json
import audit.triggers
import campaigns.models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("agents", "0001_agent_and_token"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        django.contrib.postgres.operations.TrigramExtension(),
        migrations.CreateModel(
            name="Campaign",
            fields=[
                (
                    "campaign_id",
                    models.UUIDField(
                        db_default=audit.base.UUIDv7(),
                        default=audit.base.new_id,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("name", models.TextField(help_text="What people call it.")),
                ("goal", models.TextField(help_text="What it is to reach, in a sentence that an agent can work from.")),
                (
                    "target_platforms",
                    audit.exact_json.ExactJSONField(
                        decoder=audit.exact_json.ExactDecoder,
                        encoder=audit.exact_json.ExactEncoder,
                        help_text='Where its posts go, such as ["youtube", "tiktok"].',
                    ),
                ),
                (
                    "budget_cap_etb",
                    models.DecimalField(
                        decimal_places=2, help_text="What it may spend at most, in Ethiopian birr.", max_digits=12
                    ),
                ),
                ("start_time", models.DateTimeField(blank=True, help_text="No work starts before this.", null=True)),
                ("end_time", models.DateTimeField(blank=True, help_text="No work starts after this.", null=True)),
                (
                    "status",
                    models.TextField(
                        choices=[
                            ("draft", "draft"),
                            ("active", "active"),
                            ("paused", "paused"),
                            ("stopped", "stopped"),
                            ("completed", "completed"),
                        ],
                        help_text="Work is handed out only while it is active.",
                    ),
                ),
                (
                    "constraints",
                    audit.exact_json.ExactJSONField(
                        blank=True,
                        decoder=audit.exact_json.ExactDecoder,
                        encoder=audit.exact_json.ExactEncoder,
                        help_text="Rules for agents, and the review policy.",
                        null=True,
                    ),
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
                (
                    "deleted_at",
                    models.DateTimeField(
                        blank=True, editable=False, help_text="Hidden since; never removed.", null=True
                    ),
                ),
                (
                    "epoch",
                    models.IntegerField(
                        db_default=0,
                        default=0,
                        editable=False,
                        help_text="Grows with each halt: work begun in an earlier one is void.",
                    ),
                ),
                (
                    "control_reason",
                    models.TextField(blank=True, editable=False, help_text="Why it is in this state.", null=True),
                ),
                (
                    "controlled_by",
                    models.ForeignKey(
                        blank=True,
                        db_column="controlled_by",
                        db_index=False,
                        editable=False,
                        help_text="Who put it into this state.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("controlled_at", models.DateTimeField(blank=True, editable=False, help_text="Since when.", null=True)),
                (
                    "halted_at",
                    models.DateTimeField(
                        blank=True, editable=False, help_text="Set while a pause is a halt.", null=True
                    ),
                ),
                (
                    "reserved_etb",
                    models.DecimalField(
                        db_default=0,
                        decimal_places=2,
                        default=0,
                        editable=False,
                        help_text="Promised to work in progress.",
                        max_digits=12,
                    ),
                ),
                (
                    "spent_etb",
                    models.DecimalField(
                        db_default=0,
                        decimal_places=2,
                        default=0,
                        editable=False,
                        help_text="Settled by finished work.",
                        max_digits=12,
                    ),
                ),
                (
                    "resume_at",
                    models.DateTimeField(
                        blank=True, editable=False, help_text="When a pause ends by itself.", null=True
                    ),
                ),
            ],
            options={
                "db_table": "campaign",
                "permissions": [("control_campaign", "Can pause, halt, resume, stop and complete campaigns")],
                "indexes": [
                    models.Index(fields=["status"], name="idx_campaign_status"),
                    models.Index(fields=["start_time", "end_time"], name="idx_campaign_time"),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("budget_cap_etb__gte", 0), ("budget_cap_etb__lt", 10000000000)),
                        name="campaign_budget_cap_etb_check",
                        violation_error_message="budget_cap_etb must be 0 or more.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("status__in", ["draft", "active", "paused", "stopped", "completed"])),
                        name="campaign_status_check",
                        violation_error_message="status must be one of: draft, active, paused, stopped, completed.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            django.db.models.lookups.In(
                                audit.base.JSONShape(models.F("target_platforms")), ["object", "array"]
                            ),
                            audit.base.JSONIsShallow(models.F("target_platforms")),
                        ),
                        name="campaign_target_platforms_check",
                        violation_error_message="target_platforms must be a JSON object or array.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            django.db.models.lookups.In(
                                audit.base.JSONShape(models.F("constraints")), ["object", "array"]
                            ),
                            audit.base.JSONIsShallow(models.F("constraints")),
                        ),
                        name="campaign_constraints_check",
                        violation_error_message="constraints must be a JSON object or array.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "budget_cap_etb__gte",
                                django.db.models.expressions.CombinedExpression(
                                    models.F("reserved_etb"), "+", models.F("spent_etb")
                                ),
                            ),
                            ("reserved_etb__gte", 0),
                            ("spent_etb__gte", 0),
                        ),
                        name="campaign_budget_check",
                        violation_error_message="The budget cap cannot be below what is already spent and reserved.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("start_time__isnull", True),
                                (
                                    "start_time__range",
                                    (
                                        datetime.datetime(1, 1, 2, 0, 0, tzinfo=datetime.UTC),
                                        datetime.datetime(9999, 12, 30, 0, 0, tzinfo=datetime.UTC),
                                    ),
                                ),
                                _connector="OR",
                            ),
                            models.Q(
                                ("end_time__isnull", True),
                                (
                                    "end_time__range",
                                    (
                                        datetime.datetime(1, 1, 2, 0, 0, tzinfo=datetime.UTC),
                                        datetime.datetime(9999, 12, 30, 0, 0, tzinfo=datetime.UTC),
                                    ),
                                ),
                                _connector="OR",
                            ),
                            models.Q(
                                ("created_at__isnull", True),
                                (
                                    "created_at__range",
                                    (
                                        datetime.datetime(1, 1, 2, 0, 0, tzinfo=datetime.UTC),
                                        datetime.datetime(9999, 12, 30, 0, 0, tzinfo=datetime.UTC),
                                    ),
                                ),
                                _connector="OR",
                            ),
                            models.Q(
                                ("updated_at__isnull", True),
                                (
                                    "updated_at__range",
                                    (
                                        datetime.datetime(1, 1, 2, 0, 0, tzinfo=datetime.UTC),
                                        datetime.datetime(9999, 12, 30, 0, 0, tzinfo=datetime.UTC),
                                    ),
                                ),
                                _connector="OR",
                            ),
                            models.Q(
                                ("deleted_at__isnull", True),
                                (
                                    "deleted_at__range",
                                    (
                                        datetime.datetime(1, 1, 2, 0, 0, tzinfo=datetime.UTC),
                                        datetime.datetime(9999, 12, 30, 0, 0, tzinfo=datetime.UTC),
                                    ),
                                ),
                                _connector="OR",
                            ),
                            models.Q(
                                ("controlled_at__isnull", True),
                                (
                                    "controlled_at__range",
                                    (
                                        datetime.datetime(1, 1, 2, 0, 0, tzinfo=datetime.UTC),
                                        datetime.datetime(9999, 12, 30, 0, 0, tzinfo=datetime.UTC),
                                    ),
                                ),
                                _connector="OR",
                            ),
                            models.Q(
                                ("halted_at__isnull", True),
                                (
                                    "halted_at__range",
                                    (
                                        datetime.datetime(1, 1, 2, 0, 0, tzinfo=datetime.UTC),
                                        datetime.datetime(9999, 12, 30, 0, 0, tzinfo=datetime.UTC),
                                    ),
                                ),
                                _connector="OR",
                            ),
                            models.Q(
                                ("resume_at__isnull", True),
                                (
                                    "resume_at__range",
                                    (
                                        datetime.datetime(1, 1, 2, 0, 0, tzinfo=datetime.UTC),
                                        datetime.datetime(9999, 12, 30, 0, 0, tzinfo=datetime.UTC),
                                    ),
                                ),
                                _connector="OR",
                            ),
                        ),
                        name="campaign_times_check",
                        violation_error_message="A time lies outside of the calendar.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("halted_at", None), ("status", "paused"), _connector="OR"),
                        name="campaign_halted_at_check",
                        violation_error_message="Only a paused campaign can be halted.",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="SystemControl",
            fields=[
                (
                    "system_control_id",
                    models.SmallIntegerField(
                        db_default=1, default=1, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "halted",
                    models.BooleanField(
                        db_default=False, default=False, help_text="Nothing is handed out or published."
                    ),
                ),
                (
                    "epoch",
                    models.IntegerField(
                        db_default=0, default=0, editable=False, help_text="Grows with each global halt."
                    ),
                ),
                ("control_reason", models.TextField(blank=True, help_text="Why it is in this state.", null=True)),
                (
                    "controlled_by",
                    models.ForeignKey(
                        blank=True,
                        db_column="controlled_by",
                        db_index=False,
                        help_text="Who put it into this state.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("controlled_at", models.DateTimeField(blank=True, help_text="Since when.", null=True)),
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
                "verbose_name": "system control",
                "verbose_name_plural": "system control",
                "db_table": "system_control",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("system_control_id", 1)), name="system_control_one_row_check"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Task",
            fields=[
                (
                    "task_id",
                    models.UUIDField(
                        db_default=audit.base.UUIDv7(),
                        default=audit.base.new_id,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                (
                    "campaign",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="tasks",
                        to="campaigns.campaign",
                    ),
                ),
                (
                    "agent",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="tasks",
                        to="agents.agent",
                    ),
                ),
                (
                    "task_type",
                    models.TextField(
                        choices=[
                            ("trend_fetch", "fetch trends"),
                            ("draft_post", "draft a post"),
                            ("generate_media", "generate media"),
                            ("publish_post", "publish a post"),
                            ("collect_metrics", "collect metrics"),
                        ],
                        help_text="What is to be done.",
                    ),
                ),
                (
                    "priority",
                    models.TextField(
                        choices=[("high", "high"), ("medium", "medium"), ("low", "low")], help_text="High goes first."
                    ),
                ),
                (
                    "status",
                    models.TextField(
                        choices=[
                            ("pending", "pending"),
                            ("in_progress", "in progress"),
                            ("review", "in review"),
                            ("done", "done"),
                            ("failed", "failed"),
                        ],
                        help_text="Where it stands.",
                    ),
                ),
                (
                    "context",
                    audit.exact_json.ExactJSONField(
                        decoder=audit.exact_json.ExactDecoder,
                        encoder=audit.exact_json.ExactEncoder,
                        help_text="What the agent is given to work from.",
                    ),
                ),
                ("attempt", models.IntegerField(db_default=0, default=0, help_text="0 for the first try.")),
                (
                    "max_attempts",
                    models.IntegerField(db_default=3, default=3, help_text="How many tries there are in all."),
                ),
                (
                    "parent_task",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        help_text="The try before this one, or the task that asked for it.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="retries",
                        to="campaigns.task",
                    ),
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
                (
                    "trace_id",
                    models.TextField(
                        db_default=campaigns.models.FreshTraceId(),
                        default=audit.context.new_trace_id,
                        help_text="One trace from the plan to the metrics; a retry stays on its parent's.",
                        validators=[django.core.validators.RegexValidator(re.compile("[0-9a-f]{32}"))],
                    ),
                ),
                ("title", models.TextField(blank=True, help_text="What people call it.", null=True)),
                ("error", models.TextField(blank=True, help_text="Why it failed.", null=True)),
                ("not_before", models.DateTimeField(blank=True, help_text="Not handed out before this.", null=True)),
                (
                    "deleted_at",
                    models.DateTimeField(
                        blank=True, editable=False, help_text="Hidden since; never removed.", null=True
                    ),
                ),
                (
                    "reserve_etb",
                    models.DecimalField(
                        db_default=0,
                        decimal_places=2,
                        default=0,
                        help_text="What it may cost; reserved when it is handed out.",
                        max_digits=12,
                    ),
                ),
                (
                    "cost_etb",
                    models.DecimalField(
                        db_default=0, decimal_places=2, default=0, help_text="What it did cost.", max_digits=12
                    ),
                ),
                (
                    "created_by",
                    models.ForeignKey(
                        blank=True,
                        db_column="created_by",
                        db_index=False,
                        help_text="The person who planned it, and so approves nothing that comes of it.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "lease_id",
                    models.UUIDField(
                        blank=True, editable=False, help_text="Held by the worker that has it.", null=True
                    ),
                ),
                (
                    "lease_expires_at",
                    models.DateTimeField(blank=True, editable=False, help_text="When its lease ends.", null=True),
                ),
                (
                    "lease_epoch",
                    models.IntegerField(
                        blank=True,
                        editable=False,
                        help_text="The epoch (campaign's and system's) in which it began.",
                        null=True,
                    ),
                ),
                (
                    "claimed_at",
                    models.DateTimeField(blank=True, editable=False, help_text="When it was handed out.", null=True),
                ),
                (
                    "completed_at",
                    models.DateTimeField(blank=True, editable=False, help_text="When its worker was ready.", null=True),
                ),
            ],
            options={
                "db_table": "task",
                "permissions": [("operate_task", "Can retry, reassign, release and send back tasks")],
                "indexes": [
                    models.Index(fields=["campaign"], name="idx_task_campaign"),
                    models.Index(fields=["agent"], name="idx_task_agent"),
                    models.Index(fields=["status"], name="idx_task_status"),
                    models.Index(fields=["task_type", "status"], name="idx_task_type_status"),
                    models.Index(fields=["created_at"], name="idx_task_created"),
                    models.Index(fields=["trace_id"], name="idx_task_trace"),
                    models.Index(
                        condition=models.Q(("parent_task__isnull", False)),
                        fields=["parent_task"],
                        name="idx_task_parent",
                    ),
                    models.Index(
                        models.F("agent_id"),
                        models.F("campaign_id"),
                        models.Case(
                            models.When(priority="high", then=models.Value(0)),
                            models.When(priority="medium", then=models.Value(1)),
                            models.When(priority="low", then=models.Value(2)),
                            output_field=models.SmallIntegerField(),
                        ),
                        models.F("created_at"),
                        models.F("task_id"),
                        condition=models.Q(("status", "pending")),
                        name="idx_task_pending",
                    ),
                    models.Index(
                        condition=models.Q(("lease_expires_at__isnull", False)),
                        fields=["lease_expires_at"],
                        name="idx_task_lease",
                    ),
                    models.Index(
                        condition=models.Q(("deleted_at", None), ("status__in", ["done", "failed"])),
                        fields=["status", "updated_at"],
                        name="idx_task_ended",
                    ),
                    models.Index(
                        condition=models.Q(
                            ("deleted_at", None), ("status__in", ["pending", "review", "done", "failed"])
                        ),
                        fields=["campaign", "status"],
                        name="idx_task_progress",
                    ),
                    django.contrib.postgres.indexes.GinIndex(
                        django.contrib.postgres.indexes.OpClass(
                            django.db.models.functions.text.Upper("title"), name="gin_trgm_ops"
                        ),
                        name="idx_task_title",
                    ),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "task_type__in",
                                ["trend_fetch", "draft_post", "generate_media", "publish_post", "collect_metrics"],
                            )
                        ),
                        name="task_task_type_check",
                        violation_error_message="task_type must be one of: trend_fetch, draft_post, generate_media, publish_post, collect_metrics.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("priority__in", ["high", "medium", "low"])),
                        name="task_priority_check",
                        violation_error_message="priority must be one of: high, medium, low.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("status__in", ["pending", "in_progress", "review", "done", "failed"])),
                        name="task_status_check",
                        violation_error_message="status must be one of: pending, in_progress, review, done, failed.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("attempt__gte", 0)),
                        name="task_attempt_check",
                        violation_error_message="attempt must be 0 or more.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("max_attempts__gte", 0)),
                        name="task_max_attempts_check",
                        violation_error_message="max_attempts must be 0 or more.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("reserve_etb__gte", 0), ("reserve_etb__lt", 10000000000)),
                        name="task_reserve_etb_check",
                        violation_error_message="reserve_etb must be 0 or more.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("cost_etb__gte", 0), ("cost_etb__lt", 10000000000)),
                        name="task_cost_etb_check",
                        violation_error_message="cost_etb must be 0 or more.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            django.db.models.lookups.In(audit.base.JSONShape(models.F("context")), ["object", "array"]),
                            audit.base.JSONIsShallow(models.F("context")),
                        ),
                        name="task_context_check",
                        violation_error_message="context must be a JSON object or array.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("created_at__isnull", True),
                                (
                                    "created_at__range",
                                    (
                                        datetime.datetime(1, 1, 2, 0, 0, tzinfo=datetime.UTC),
                                        datetime.datetime(9999, 12, 30, 0, 0, tzinfo=datetime.UTC),
                                    ),
                                ),
                                _connector="OR",
                            ),
                            models.Q(
                                ("updated_at__isnull", True),
                                (
                                    "updated_at__range",
                                    (
                                        datetime.datetime(1, 1, 2, 0, 0, tzinfo=datetime.UTC),
                                        datetime.datetime(9999, 12, 30, 0, 0, tzinfo=datetime.UTC),
                                    ),
                                ),
                                _connector="OR",
                            ),
                            models.Q(
                                ("not_before__isnull", True),
                                (
                                    "not_before__range",
                                    (
                                        datetime.datetime(1, 1, 2, 0, 0, tzinfo=datetime.UTC),
                                        datetime.datetime(9999, 12, 30, 0, 0, tzinfo=datetime.UTC),
                                    ),
                                ),
                                _connector="OR",
                            ),
                            models.Q(
                                ("deleted_at__isnull", True),
                                (
                                    "deleted_at__range",
                                    (
                                        datetime.datetime(1, 1, 2, 0, 0, tzinfo=datetime.UTC),
                                        datetime.datetime(9999, 12, 30, 0, 0, tzinfo=datetime.UTC),
                                    ),
                                ),
                                _connector="OR",
                            ),
                            models.Q(
                                ("lease_expires_at__isnull", True),
                                (
                                    "lease_expires_at__range",
                                    (
                                        datetime.datetime(1, 1, 2, 0, 0, tzinfo=datetime.UTC),
                                        datetime.datetime(9999, 12, 30, 0, 0, tzinfo=datetime.UTC),
                                    ),
                                ),
                                _connector="OR",
                            ),
                            models.Q(
                                ("claimed_at__isnull", True),
                                (
                                    "claimed_at__range",
                                    (
                                        datetime.datetime(1, 1, 2, 0, 0, tzinfo=datetime.UTC),
                                        datetime.datetime(9999, 12, 30, 0, 0, tzinfo=datetime.UTC),
                                    ),
                                ),
                                _connector="OR",
                            ),
                            models.Q(
                                ("completed_at__isnull", True),
                                (
                                    "completed_at__range",
                                    (
                                        datetime.datetime(1, 1, 2, 0, 0, tzinfo=datetime.UTC),
                                        datetime.datetime(9999, 12, 30, 0, 0, tzinfo=datetime.UTC),
                                    ),
                                ),
                                _connector="OR",
                            ),
                        ),
                        name="task_times_check",
                        violation_error_message="A time lies outside of the calendar.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("parent_task", models.F("task_id")), _negated=True),
                        name="task_parent_task_id_check",
                        violation_error_message="A task is not its own parent.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("trace_id__regex", "^[0-9a-f]{32}$")),
                        name="task_trace_id_check",
                        violation_error_message="trace_id must be 32 lowercase hex digits.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("lease_expires_at", None), ("lease_id", None)),
                            models.Q(
                                ("lease_expires_at__isnull", False),
                                ("lease_id__isnull", False),
                                ("status", "in_progress"),
                            ),
                            _connector="OR",
                        ),
                        name="task_lease_check",
                        violation_error_message="A lease exists only while a task is in progress.",
                    ),
                ],
            },
        ),
        # Before the triggers: there is no month of the audit log yet that could take a row.
        migrations.RunSQL("INSERT INTO system_control DEFAULT VALUES"),
        pgtrigger.migrations.AddTrigger(
            model_name="campaign",
            trigger=pgtrigger.compiler.Trigger(
                name="touch",
                sql=audit.triggers.GuardSql(
                    func="\n            IF NEW.campaign_id IS DISTINCT FROM OLD.campaign_id THEN\n                RAISE EXCEPTION 'the key of a campaign never changes' USING ERRCODE = 'check_violation', TABLE = 'campaign', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'campaign_key_readonly';\n            END IF;\n            IF NEW.created_at IS DISTINCT FROM OLD.created_at THEN\n                RAISE EXCEPTION 'when a campaign was written never changes' USING ERRCODE = 'check_violation', TABLE = 'campaign', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'campaign_created_at_readonly';\n            END IF;\n            NEW.updated_at = now();\n            RETURN NEW;\n        ",
                    hash="7d653ee3956afaa79f7cac6ddbe1395e2d80448e",
                    ignore_func_name="SET search_path = public, pg_temp",
                    operation="UPDATE",
                    pgid="pgtrigger_touch_d85d4",
                    table="campaign",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="campaign",
            trigger=pgtrigger.compiler.Trigger(
                name="no_delete",
                sql=audit.triggers.GuardSql(
                    func="RAISE EXCEPTION 'rows of campaign are never deleted' USING ERRCODE = 'check_violation', TABLE = 'campaign', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'campaign_no_delete';",
                    hash="21ae13e92303f2d494e14cfa5ea782c5aec0b2a8",
                    ignore_func_name="SET search_path = public, pg_temp",
                    operation="DELETE",
                    pgid="pgtrigger_no_delete_3ca76",
                    table="campaign",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="campaign",
            trigger=pgtrigger.compiler.Trigger(
                name="no_truncate",
                sql=audit.triggers.GuardSql(
                    func="\n            IF NOT EXISTS (\n                SELECT FROM pg_database\n                WHERE datname = current_database() AND shobj_description(oid, 'pg_database') = 'Gatehouse test database: may be emptied'\n            ) THEN\n                RAISE EXCEPTION 'campaign is never truncated' USING ERRCODE = 'check_violation', TABLE = 'campaign', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'campaign_no_truncate';\n            END IF;\n            RETURN NULL;\n        ",
                    hash="08845f2820973c777a61a2cf5494ce0185dbba0e",
                    ignore_func_name="SET search_path = public, pg_temp",
                    level="STATEMENT",
                    operation="TRUNCATE",
                    pgid="pgtrigger_no_truncate_6e23d",
                    table="campaign",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="campaign",
            trigger=pgtrigger.compiler.Trigger(
                name="audit_insert",
                sql=audit.triggers.GuardSql(
                    func="\n            IF current_user = 'gatehouse_app' THEN\n                RETURN NULL;\n            END IF;\n            INSERT INTO audit_log (trace_id, actor_type, actor_id, entity_type, entity_id, action, tool_name, severity,\n                                   campaign_id, changes, created_at)\n            SELECT encode(uuid_send(gen_random_uuid()), 'hex'), 'system', 'sql:' || session_user, 'campaign', n.campaign_id::text, 'create', 'sql',\n                   'info', n.campaign_id, c.changes, clock_timestamp()\n            FROM new_rows n \n            CROSS JOIN LATERAL (SELECT audit_changes('{}'::jsonb, to_jsonb(n), ARRAY[]::text[], ARRAY['reserved_etb', 'spent_etb', 'updated_at']::text[]) AS changes) c\n            WHERE c.changes IS NOT NULL;\n            RETURN NULL;\n        ",
                    hash="a8d25adb641ae1c9103b6659491bf8c37ef00c62",
                    ignore_func_name="SET search_path = public, pg_temp",
                    level="STATEMENT",
                    operation="INSERT",
                    pgid="pgtrigger_audit_insert_fde46",
                    referencing="REFERENCING NEW TABLE AS new_rows ",
                    table="campaign",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="campaign",
            trigger=pgtrigger.compiler.Trigger(
                name="audit_update",
                sql=audit.triggers.GuardSql(
                    func="\n            IF current_user = 'gatehouse_app' THEN\n                RETURN NULL;\n            END IF;\n            INSERT INTO audit_log (trace_id, actor_type, actor_id, entity_type, entity_id, action, tool_name, severity,\n                                   campaign_id, changes, created_at)\n            SELECT encode(uuid_send(gen_random_uuid()), 'hex'), 'system', 'sql:' || session_user, 'campaign', n.campaign_id::text, 'update', 'sql',\n                   'info', n.campaign_id, c.changes, clock_timestamp()\n            FROM new_rows n JOIN old_rows o ON o.campaign_id = n.campaign_id \n            CROSS JOIN LATERAL (SELECT audit_changes(to_jsonb(o), to_jsonb(n), ARRAY[]::text[], ARRAY['reserved_etb', 'spent_etb', 'updated_at']::text[]) AS changes) c\n            WHERE c.changes IS NOT NULL;\n            RETURN NULL;\n        ",
                    hash="e27ad8fb2f0c5fda4505973f50326bc47cb456a9",
                    ignore_func_name="SET search_path = public, pg_temp",
                    level="STATEMENT",
                    operation="UPDATE",
                    pgid="pgtrigger_audit_update_2f1af",
                    referencing="REFERENCING OLD TABLE AS old_rows  NEW TABLE AS new_rows ",
                    table="campaign",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="campaign",
            trigger=pgtrigger.compiler.Trigger(
                name="transition",
                sql=audit.triggers.GuardSql(
                    func="\n            IF NEW.status IS NULL OR NOT NEW.status = ANY (ARRAY['active', 'completed', 'draft', 'paused', 'stopped']::text[]) THEN\n                RETURN NEW;\n            END IF;\n            IF TG_OP = 'INSERT' THEN\n                IF NOT NEW.status = ANY (ARRAY['active', 'draft']::text[]) THEN\n                    RAISE EXCEPTION 'this campaign does not begin as %', NEW.status USING ERRCODE = 'check_violation', TABLE = 'campaign', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'campaign_status_transition';\n                END IF;\n            ELSIF NEW.status <> OLD.status AND NOT OLD.status || '>' || NEW.status = ANY (ARRAY['active>completed', 'active>paused', 'active>stopped', 'draft>active', 'draft>stopped', 'paused>active', 'paused>completed', 'paused>stopped']::text[]) THEN\n                RAISE EXCEPTION 'this campaign does not go from % to %', OLD.status, NEW.status USING ERRCODE = 'check_violation', TABLE = 'campaign', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'campaign_status_transition';\n            END IF;\n            RETURN NEW;\n        ",
                    hash="e013c4b41009ceb636baf8ef2281134866407c9b",
                    ignore_func_name="SET search_path = public, pg_temp",
                    operation='INSERT OR UPDATE OF "status"',
                    pgid="pgtrigger_transition_86d36",
                    table="campaign",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="campaign",
            trigger=pgtrigger.compiler.Trigger(
                name="control",
                sql=audit.triggers.GuardSql(
                    func="\n                    IF NEW.epoch NOT IN (OLD.epoch, OLD.epoch + 1) THEN\n                        RAISE EXCEPTION 'the epoch of a campaign grows by one at a time' USING ERRCODE = 'check_violation', TABLE = 'campaign', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'campaign_epoch_grows';\n                    END IF;\n                    IF (NEW.reserved_etb, NEW.spent_etb) IS DISTINCT FROM (OLD.reserved_etb, OLD.spent_etb)\n                            AND (pg_trigger_depth() = 1 OR current_user <> (\n                                SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = TG_RELID)) THEN\n                        RAISE EXCEPTION 'reserved and spent money is counted from tasks' USING ERRCODE = 'check_violation', TABLE = 'campaign', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'campaign_money_is_counted';\n                    END IF;\n                    IF NEW.epoch <> OLD.epoch OR NEW.status <> OLD.status THEN\n                        -- An UPDATE alone would not wait for the key share locks of those who write for the campaign.\n                        PERFORM FROM campaign WHERE campaign_id = NEW.campaign_id FOR UPDATE;\n                    END IF;\n                    IF NEW.status <> 'paused' THEN\n                        NEW.halted_at = NULL;\n                        NEW.resume_at = NULL;\n                    END IF;\n                    RETURN NEW;\n                ",
                    hash="a4fdb891e39e05c3aa22bf063c4408984068512a",
                    ignore_func_name="SET search_path = public, pg_temp",
                    operation="UPDATE",
                    pgid="pgtrigger_control_87b2c",
                    table="campaign",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="systemcontrol",
            trigger=pgtrigger.compiler.Trigger(
                name="touch",
                sql=audit.triggers.GuardSql(
                    func="\n            IF NEW.system_control_id IS DISTINCT FROM OLD.system_control_id THEN\n                RAISE EXCEPTION 'the key of a system_control never changes' USING ERRCODE = 'check_violation', TABLE = 'system_control', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'system_control_key_readonly';\n            END IF;\n            IF NEW.created_at IS DISTINCT FROM OLD.created_at THEN\n                RAISE EXCEPTION 'when a system_control was written never changes' USING ERRCODE = 'check_violation', TABLE = 'system_control', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'system_control_created_at_readonly';\n            END IF;\n            NEW.updated_at = now();\n            RETURN NEW;\n        ",
                    hash="2ea7da2058ac924bf2a0d6d3802ebc2e0dd0a60a",
                    ignore_func_name="SET search_path = public, pg_temp",
                    operation="UPDATE",
                    pgid="pgtrigger_touch_6392e",
                    table="system_control",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="systemcontrol",
            trigger=pgtrigger.compiler.Trigger(
                name="no_delete",
                sql=audit.triggers.GuardSql(
                    func="RAISE EXCEPTION 'rows of system_control are never deleted' USING ERRCODE = 'check_violation', TABLE = 'system_control', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'system_control_no_delete';",
                    hash="25781b072cb2d3abda5068b23c93a745cbf882de",
                    ignore_func_name="SET search_path = public, pg_temp",
                    operation="DELETE",
                    pgid="pgtrigger_no_delete_76bac",
                    table="system_control",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="systemcontrol",
            trigger=pgtrigger.compiler.Trigger(
                name="no_truncate",
                sql=audit.triggers.GuardSql(
                    func="\n            IF NOT EXISTS (\n                SELECT FROM pg_database\n                WHERE datname = current_database() AND shobj_description(oid, 'pg_database') = 'Gatehouse test database: may be emptied'\n            ) THEN\n                RAISE EXCEPTION 'system_control is never truncated' USING ERRCODE = 'check_violation', TABLE = 'system_control', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'system_control_no_truncate';\n            END IF;\n            RETURN NULL;\n        ",
                    hash="18df14d4d1016c0f68cb680da14ab26ec1d62a9c",
                    ignore_func_name="SET search_path = public, pg_temp",
                    level="STATEMENT",
                    operation="TRUNCATE",
                    pgid="pgtrigger_no_truncate_3c0a7",
                    table="system_control",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="systemcontrol",
            trigger=pgtrigger.compiler.Trigger(
                name="audit_insert",
                sql=audit.triggers.GuardSql(
                    func="\n            IF current_user = 'gatehouse_app' THEN\n                RETURN NULL;\n            END IF;\n            INSERT INTO audit_log (trace_id, actor_type, actor_id, entity_type, entity_id, action, tool_name, severity,\n                                   campaign_id, changes, created_at)\n            SELECT encode(uuid_send(gen_random_uuid()), 'hex'), 'system', 'sql:' || session_user, 'system_control', n.system_control_id::text, 'create', 'sql',\n                   'info', NULL, c.changes, clock_timestamp()\n            FROM new_rows n \n            CROSS JOIN LATERAL (SELECT audit_changes('{}'::jsonb, to_jsonb(n), ARRAY[]::text[], ARRAY['updated_at']::text[]) AS changes) c\n            WHERE c.changes IS NOT NULL;\n            RETURN NULL;\n        ",
                    hash="54efa925d7e2cf6027db4bb8b6cb00441ca0f833",
                    ignore_func_name="SET search_path = public, pg_temp",
                    level="STATEMENT",
                    operation="INSERT",
                    pgid="pgtrigger_audit_insert_d0638",
                    referencing="REFERENCING NEW TABLE AS new_rows ",
                    table="system_control",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="systemcontrol",
            trigger=pgtrigger.compiler.Trigger(
                name="audit_update",
                sql=audit.triggers.GuardSql(
                    func="\n            IF current_user = 'gatehouse_app' THEN\n                RETURN NULL;\n            END IF;\n            INSERT INTO audit_log (trace_id, actor_type, actor_id, entity_type, entity_id, action, tool_name, severity,\n                                   campaign_id, changes, created_at)\n            SELECT encode(uuid_send(gen_random_uuid()), 'hex'), 'system', 'sql:' || session_user, 'system_control', n.system_control_id::text, 'update', 'sql',\n                   'info', NULL, c.changes, clock_timestamp()\n            FROM new_rows n JOIN old_rows o ON o.system_control_id = n.system_control_id \n            CROSS JOIN LATERAL (SELECT audit_changes(to_jsonb(o), to_jsonb(n), ARRAY[]::text[], ARRAY['updated_at']::text[]) AS changes) c\n            WHERE c.changes IS NOT NULL;\n            RETURN NULL;\n        ",
                    hash="ed3c454b062c72f877375517f4d1a5471e851eda",
                    ignore_func_name="SET search_path = public, pg_temp",
                    level="STATEMENT",
                    operation="UPDATE",
                    pgid="pgtrigger_audit_update_b65b6",
                    referencing="REFERENCING OLD TABLE AS old_rows  NEW TABLE AS new_rows ",
                    table="system_control",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="systemcontrol",
            trigger=pgtrigger.compiler.Trigger(
                name="control",
                sql=audit.triggers.GuardSql(
                    func="\n                    IF NEW.epoch NOT IN (OLD.epoch, OLD.epoch + 1) THEN\n                        RAISE EXCEPTION 'the epoch of the system grows by one at a time' USING ERRCODE = 'check_violation', TABLE = 'system_control', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'system_control_epoch_grows';\n                    END IF;\n                    PERFORM FROM system_control FOR UPDATE;\n                    RETURN NEW;\n                ",
                    hash="3efa733dcd5a39c9492c743ef98744f9f0ec0fad",
                    ignore_func_name="SET search_path = public, pg_temp",
                    operation="UPDATE",
                    pgid="pgtrigger_control_55e96",
                    table="system_control",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="task",
            trigger=pgtrigger.compiler.Trigger(
                name="touch",
                sql=audit.triggers.GuardSql(
                    func="\n            IF NEW.task_id IS DISTINCT FROM OLD.task_id THEN\n                RAISE EXCEPTION 'the key of a task never changes' USING ERRCODE = 'check_violation', TABLE = 'task', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'task_key_readonly';\n            END IF;\n            IF NEW.created_at IS DISTINCT FROM OLD.created_at THEN\n                RAISE EXCEPTION 'when a task was written never changes' USING ERRCODE = 'check_violation', TABLE = 'task', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'task_created_at_readonly';\n            END IF;\n            NEW.updated_at = now();\n            RETURN NEW;\n        ",
                    hash="2cf233ca6219a3421e8a8af4a0bd9ab88cfce18d",
                    ignore_func_name="SET search_path = public, pg_temp",
                    operation="UPDATE",
                    pgid="pgtrigger_touch_f6284",
                    table="task",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="task",
            trigger=pgtrigger.compiler.Trigger(
                name="no_delete",
                sql=audit.triggers.GuardSql(
                    func="RAISE EXCEPTION 'rows of task are never deleted' USING ERRCODE = 'check_violation', TABLE = 'task', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'task_no_delete';",
                    hash="d52c267324c92f57c6f6de4ff2b607debf2d7cde",
                    ignore_func_name="SET search_path = public, pg_temp",
                    operation="DELETE",
                    pgid="pgtrigger_no_delete_63b29",
                    table="task",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="task",
            trigger=pgtrigger.compiler.Trigger(
                name="no_truncate",
                sql=audit.triggers.GuardSql(
                    func="\n            IF NOT EXISTS (\n                SELECT FROM pg_database\n                WHERE datname = current_database() AND shobj_description(oid, 'pg_database') = 'Gatehouse test database: may be emptied'\n            ) THEN\n                RAISE EXCEPTION 'task is never truncated' USING ERRCODE = 'check_violation', TABLE = 'task', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'task_no_truncate';\n            END IF;\n            RETURN NULL;\n        ",
                    hash="1eece5649681a35b699e3e5cc4173404e831183f",
                    ignore_func_name="SET search_path = public, pg_temp",
                    level="STATEMENT",
                    operation="TRUNCATE",
                    pgid="pgtrigger_no_truncate_7153a",
                    table="task",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="task",
            trigger=pgtrigger.compiler.Trigger(
                name="audit_insert",
                sql=audit.triggers.GuardSql(
                    func="\n            IF current_user = 'gatehouse_app' THEN\n                RETURN NULL;\n            END IF;\n            INSERT INTO audit_log (trace_id, actor_type, actor_id, entity_type, entity_id, action, tool_name, severity,\n                                   campaign_id, changes, created_at)\n            SELECT n.trace_id, 'system', 'sql:' || session_user, 'task', n.task_id::text, 'create', 'sql',\n                   'info', n.campaign_id, c.changes, clock_timestamp()\n            FROM new_rows n \n            CROSS JOIN LATERAL (SELECT audit_changes('{}'::jsonb, to_jsonb(n), ARRAY[]::text[], ARRAY['updated_at']::text[]) AS changes) c\n            WHERE c.changes IS NOT NULL;\n            RETURN NULL;\n        ",
                    hash="4877e184b2067dbf5dee7a070755c242cfdebf62",
                    ignore_func_name="SET search_path = public, pg_temp",
                    level="STATEMENT",
                    operation="INSERT",
                    pgid="pgtrigger_audit_insert_eca86",
                    referencing="REFERENCING NEW TABLE AS new_rows ",
                    table="task",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="task",
            trigger=pgtrigger.compiler.Trigger(
                name="audit_update",
                sql=audit.triggers.GuardSql(
                    func="\n            IF current_user = 'gatehouse_app' THEN\n                RETURN NULL;\n            END IF;\n            INSERT INTO audit_log (trace_id, actor_type, actor_id, entity_type, entity_id, action, tool_name, severity,\n                                   campaign_id, changes, created_at)\n            SELECT n.trace_id, 'system', 'sql:' || session_user, 'task', n.task_id::text, 'update', 'sql',\n                   'info', n.campaign_id, c.changes, clock_timestamp()\n            FROM new_rows n JOIN old_rows o ON o.task_id = n.task_id \n            CROSS JOIN LATERAL (SELECT audit_changes(to_jsonb(o), to_jsonb(n), ARRAY[]::text[], ARRAY['updated_at']::text[]) AS changes) c\n            WHERE c.changes IS NOT NULL;\n            RETURN NULL;\n        ",
                    hash="b9829febf55b255ebb15d49b4d5e8199be3c5a66",
                    ignore_func_name="SET search_path = public, pg_temp",
                    level="STATEMENT",
                    operation="UPDATE",
                    pgid="pgtrigger_audit_update_6514d",
                    referencing="REFERENCING OLD TABLE AS old_rows  NEW TABLE AS new_rows ",
                    table="task",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="task",
            trigger=pgtrigger.compiler.Trigger(
                name="transition",
                sql=audit.triggers.GuardSql(
                    func="\n            IF NEW.status IS NULL OR NOT NEW.status = ANY (ARRAY['done', 'failed', 'in_progress', 'pending', 'review']::text[]) THEN\n                RETURN NEW;\n            END IF;\n            IF TG_OP = 'INSERT' THEN\n                IF NOT NEW.status = ANY (ARRAY['pending']::text[]) THEN\n                    RAISE EXCEPTION 'this task does not begin as %', NEW.status USING ERRCODE = 'check_violation', TABLE = 'task', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'task_status_transition';\n                END IF;\n            ELSIF NEW.status <> OLD.status AND NOT OLD.status || '>' || NEW.status = ANY (ARRAY['in_progress>done', 'in_progress>failed', 'in_progress>pending', 'in_progress>review', 'pending>failed', 'pending>in_progress', 'review>done', 'review>failed']::text[]) THEN\n                RAISE EXCEPTION 'this task does not go from % to %', OLD.status, NEW.status USING ERRCODE = 'check_violation', TABLE = 'task', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'task_status_transition';\n            END IF;\n            RETURN NEW;\n        ",
                    hash="e02749504c466da37b611736067d0aca73e2b2fa",
                    ignore_func_name="SET search_path = public, pg_temp",
                    operation='INSERT OR UPDATE OF "status"',
                    pgid="pgtrigger_transition_ba183",
                    table="task",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="task",
            trigger=pgtrigger.compiler.Trigger(
                name="begin",
                sql=audit.triggers.GuardSql(
                    func="\n                    NEW.lease_epoch = NULL;\n                    IF NEW.parent_task_id IS NOT NULL THEN\n                        NEW.trace_id = COALESCE(\n                            (SELECT trace_id FROM task WHERE task_id = NEW.parent_task_id), NEW.trace_id);\n                    END IF;\n                    IF NEW.cost_etb > 0 AND NEW.cost_etb <> 'NaN' THEN  -- NaN is left to the column's own check\n                        UPDATE campaign SET spent_etb = spent_etb + NEW.cost_etb WHERE campaign_id = NEW.campaign_id;\n                    END IF;\n                    RETURN NEW;\n                ",
                    hash="d99ad971585707315a9bf62e738f9c4bf8d7d53b",
                    ignore_func_name="SECURITY DEFINER SET search_path = public, pg_temp",
                    operation="INSERT",
                    pgid="pgtrigger_begin_d201f",
                    table="task",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="task",
            trigger=pgtrigger.compiler.Trigger(
                name="lease",
                sql=audit.triggers.GuardSql(
                    declare="DECLARE runs boolean; reserved numeric; spent numeric;",
                    func="\n                    IF NEW.task_type <> OLD.task_type OR NEW.trace_id <> OLD.trace_id\n                            OR (NEW.campaign_id <> OLD.campaign_id\n                                AND EXISTS (SELECT FROM campaign WHERE campaign_id = NEW.campaign_id))\n                            OR (NEW.parent_task_id IS DISTINCT FROM OLD.parent_task_id\n                                AND (NEW.parent_task_id IS NULL\n                                     OR EXISTS (SELECT FROM task WHERE task_id = NEW.parent_task_id))) THEN\n                        RAISE EXCEPTION 'what a task is, and where it belongs, never changes' USING ERRCODE = 'check_violation', TABLE = 'task', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'task_what_is_fixed';\n                    END IF;\n                    IF (NEW.agent_id, NEW.created_by) IS DISTINCT FROM (OLD.agent_id, OLD.created_by)\n                            AND EXISTS (SELECT FROM artifact WHERE task_id = NEW.task_id) THEN\n                        RAISE EXCEPTION 'who made something does not change once it is made' USING ERRCODE = 'check_violation', TABLE = 'task', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'task_makers_are_fixed';\n                    END IF;\n                    IF NEW.lease_epoch IS DISTINCT FROM OLD.lease_epoch THEN\n                        RAISE EXCEPTION 'the epoch of a task is stamped, not written' USING ERRCODE = 'check_violation', TABLE = 'task', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'task_lease_epoch_stamped';\n                    END IF;\n                    IF NEW.lease_id <> OLD.lease_id AND OLD.lease_expires_at > now() THEN\n                        RAISE EXCEPTION 'another worker holds this task' USING ERRCODE = 'check_violation', TABLE = 'task', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'task_lease_is_held';\n                    END IF;\n                    IF OLD.status = 'in_progress' AND NEW.status = 'done'\n                            AND NOT NEW.task_type = ANY (ARRAY['collect_metrics', 'publish_post', 'trend_fetch']::text[]) THEN\n                        RAISE EXCEPTION 'a % is reviewed before it is done', NEW.task_type USING ERRCODE = 'check_violation', TABLE = 'task', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'task_status_transition';\n                    END IF;\n                    IF NEW.status = 'in_progress' AND OLD.status <> 'in_progress' THEN\n                        -- The key share lock makes a halt, which locks FOR UPDATE, wait for us and then see this task.\n                        SELECT c.epoch + s.epoch, now(), (c.status = 'active' AND c.deleted_at IS NULL AND NOT s.halted\n           AND (c.start_time IS NULL OR c.start_time <= statement_timestamp())\n           AND (c.end_time IS NULL OR c.end_time > statement_timestamp())) INTO NEW.lease_epoch, NEW.claimed_at, runs\n                        FROM campaign c CROSS JOIN system_control s\n                        WHERE c.campaign_id = NEW.campaign_id FOR KEY SHARE OF c, s;\n                        IF NOT runs THEN\n                            RAISE EXCEPTION 'work starts only on a campaign that runs now' USING ERRCODE = 'check_violation', TABLE = 'task', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'task_campaign_runs';\n                        END IF;\n                        IF EXISTS (SELECT FROM agent WHERE agent_id = NEW.agent_id AND status <> 'active') THEN\n                            RAISE EXCEPTION 'only an active agent is given work' USING ERRCODE = 'check_violation', TABLE = 'task', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'task_agent_active';\n                        END IF;\n                        NEW.completed_at = NULL;\n                    ELSIF NEW.status <> OLD.status AND OLD.status = 'in_progress' THEN\n                        NEW.lease_id = NULL;\n                        NEW.lease_expires_at = NULL;\n                        IF NEW.status IN ('review', 'done') THEN\n                            NEW.completed_at = now();\n                        END IF;\n                    END IF;\n                    -- A campaign's money is counted here, for every door: its cap, a check of the campaign, holds.\n                    reserved = CASE WHEN NEW.status = 'in_progress' THEN NEW.reserve_etb ELSE 0 END\n                             - CASE WHEN OLD.status = 'in_progress' THEN OLD.reserve_etb ELSE 0 END;\n                    spent = NEW.cost_etb - OLD.cost_etb;\n                    IF (reserved <> 0 OR spent <> 0) AND NOT 'NaN' IN (reserved, spent) THEN\n                        UPDATE campaign SET reserved_etb = reserved_etb + reserved, spent_etb = spent_etb + spent\n                        WHERE campaign_id = NEW.campaign_id;\n                    END IF;\n                    RETURN NEW;\n                ",
                    hash="a5608b53ea93d463d7671f2b617ceac0bd0a939b",
                    ignore_func_name="SECURITY DEFINER SET search_path = public, pg_temp",
                    operation="UPDATE",
                    pgid="pgtrigger_lease_303c3",
                    table="task",
                    when="BEFORE",
                ),
            ),
        ),
        # The claim; its text is `campaigns.services.claims.FUNCTION`, and a test compares them.
        migrations.RunSQL("""
    CREATE FUNCTION claim_tasks(
        agent text, types text[], most integer, lease interval, actor_type text, actor_id text, tool text
    ) RETURNS TABLE (claimed task, context_sha256 text) LANGUAGE plpgsql
    SET search_path = public, pg_temp SET plan_cache_mode = force_generic_plan AS $$
    #variable_conflict use_column
    DECLARE look integer;
    BEGIN
        -- Further ahead where others hold all that comes first.
        FOREACH look IN ARRAY ARRAY[4 * most + 8, 16 * most + 64] LOOP
            RETURN QUERY
    WITH running AS MATERIALIZED (
        SELECT campaign_id, budget_left
        FROM (
            SELECT c.campaign_id, c.budget_cap_etb - c.reserved_etb - c.spent_etb AS budget_left
            FROM campaign c CROSS JOIN system_control s WHERE (c.status = 'active' AND c.deleted_at IS NULL AND NOT s.halted
           AND (c.start_time IS NULL OR c.start_time <= statement_timestamp())
           AND (c.end_time IS NULL OR c.end_time > statement_timestamp())) AND EXISTS (SELECT FROM task WHERE agent_id = claim_tasks.agent AND campaign_id = c.campaign_id AND status = 'pending') OFFSET 0
        ) c
        WHERE (SELECT set_config('lock_timeout', '2s', true)) IS NOT NULL
          AND (SELECT pg_try_advisory_xact_lock_shared(1919052001, 0))
          AND pg_try_advisory_xact_lock_shared(1919052001, hashtext(campaign_id::text))
    ), candidates AS MATERIALIZED (
        SELECT t.*
        FROM running r
        CROSS JOIN LATERAL (
            SELECT task_id, (CASE WHEN priority = 'high' THEN 0 WHEN priority = 'medium' THEN 1 WHEN priority = 'low' THEN 2 ELSE NULL END) AS rank, created_at FROM task
            WHERE agent_id = claim_tasks.agent AND campaign_id = r.campaign_id AND status = 'pending'
              AND deleted_at IS NULL AND (not_before IS NULL OR not_before <= statement_timestamp())
              AND reserve_etb <= r.budget_left AND task_type = ANY (claim_tasks.types)
            ORDER BY (CASE WHEN priority = 'high' THEN 0 WHEN priority = 'medium' THEN 1 WHEN priority = 'low' THEN 2 ELSE NULL END), created_at, task_id LIMIT look
        ) t
        ORDER BY rank, created_at, task_id LIMIT look
    ), picked AS MATERIALIZED (
        SELECT t.task_id, t.campaign_id, t.reserve_etb, k.rank, k.created_at
        FROM candidates k JOIN task t USING (task_id)
        WHERE t.status = 'pending' AND t.deleted_at IS NULL AND EXISTS (
            SELECT FROM agent WHERE agent_id = claim_tasks.agent AND status = 'active')
        ORDER BY k.rank, k.created_at, k.task_id LIMIT claim_tasks.most
        FOR UPDATE OF t SKIP LOCKED
    ), ready AS MATERIALIZED (
        SELECT c.campaign_id, NULL AS budget_left
        FROM campaign c CROSS JOIN system_control s
        WHERE c.campaign_id IN (SELECT campaign_id FROM picked WHERE reserve_etb = 0) AND (c.status = 'active' AND c.deleted_at IS NULL AND NOT s.halted
           AND (c.start_time IS NULL OR c.start_time <= statement_timestamp())
           AND (c.end_time IS NULL OR c.end_time > statement_timestamp()))
        FOR KEY SHARE OF c, s
    ), paying AS MATERIALIZED (
        SELECT c.campaign_id, c.budget_cap_etb - c.reserved_etb - c.spent_etb AS budget_left
        FROM campaign c CROSS JOIN system_control s
        WHERE c.campaign_id IN (SELECT campaign_id FROM picked WHERE reserve_etb > 0) AND (c.status = 'active' AND c.deleted_at IS NULL AND NOT s.halted
           AND (c.start_time IS NULL OR c.start_time <= statement_timestamp())
           AND (c.end_time IS NULL OR c.end_time > statement_timestamp()))
        ORDER BY c.campaign_id
        FOR NO KEY UPDATE OF c FOR KEY SHARE OF s
    ), affordable AS MATERIALIZED (
        SELECT task_id, rank FROM picked JOIN ready USING (campaign_id) WHERE reserve_etb = 0
        UNION ALL
        SELECT task_id, rank
        FROM (
            SELECT p.*, y.budget_left, sum(p.reserve_etb) OVER (
                PARTITION BY campaign_id ORDER BY p.rank, p.created_at, p.task_id) AS wanted
            FROM picked p JOIN paying y USING (campaign_id) WHERE p.reserve_etb > 0
        ) p
        WHERE wanted <= budget_left
    ), claimed AS (
        UPDATE task t
        SET status = 'in_progress', lease_id = gen_random_uuid(),
            lease_expires_at = clock_timestamp() + claim_tasks.lease
        FROM affordable a WHERE t.task_id = a.task_id
        RETURNING NEW.*, NEW AS task, a.rank, to_jsonb(OLD) AS before, to_jsonb(NEW) AS after
    ), written AS (
        INSERT INTO audit_log (trace_id, actor_type, actor_id, tool_name, severity, entity_type, entity_id, action, campaign_id, changes, created_at)
        SELECT trace_id, claim_tasks.actor_type, claim_tasks.actor_id, claim_tasks.tool, 'info', 'task', after ->> 'task_id', 'claim', campaign_id,
               audit_changes(COALESCE(before, '{}'), after, ARRAY[]::text[],
                             ARRAY['updated_at']::text[]), clock_timestamp()
        FROM claimed RETURNING 1
    ), given AS (
        INSERT INTO audit_log (inputs_hash, trace_id, actor_type, actor_id, tool_name, severity, entity_type, entity_id, action, campaign_id, changes, created_at)
        SELECT encode(sha256(convert_to(context::text, 'UTF8')), 'hex'), trace_id, claim_tasks.actor_type, claim_tasks.actor_id, claim_tasks.tool, 'info', 'context_snapshot', lease_id::text, 'give', campaign_id,
               jsonb_build_object('task_id', jsonb_build_array(NULL, task_id),
                                  'context', jsonb_build_array(NULL, context)), clock_timestamp()
        FROM claimed WHERE (SELECT count(*) FROM written) > 0  -- after them, in the log too
    )
    SELECT task, encode(sha256(convert_to(context::text, 'UTF8')), 'hex') FROM claimed ORDER BY rank, created_at, task_id
;
            EXIT WHEN FOUND;
        END LOOP;
    END $$"""),
    ]
