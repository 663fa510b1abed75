import django.db.models.deletion
import django.db.models.lookups
import pgtrigger.compiler
import pgtrigger.migrations
from django.conf import settings
from django.db import migrations, models

import audit.base
import audit.exact_json
import audit.triggers


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0001_user"),
    ]

    operations = [
        migrations.CreateModel(
            name="Notification",
            fields=[
                (
                    "notification_id",
                    models.UUIDField(
                        db_default=audit.base.UUIDv7(),
                        default=audit.base.new_id,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="notifications",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "type",
                    models.TextField(
                        choices=[
                            ("review_due", "reviews due soon"),
                            ("review_overdue", "reviews overdue"),
                            ("publish_failed", "posts failed"),
                            ("publish_unknown", "posts with an unknown outcome"),
                            ("campaign_halted", "campaigns halted"),
                            ("archive_failed", "archiving failed"),
                        ],
                        help_text="What has happened.",
                    ),
                ),
                (
                    "payload_json",
                    audit.exact_json.ExactJSONField(
                        decoder=audit.exact_json.ExactDecoder,
                        encoder=audit.exact_json.ExactEncoder,
                        help_text="What it says, and the address of the thing.",
                    ),
                ),
                ("is_read", models.BooleanField(db_default=False, default=False, help_text="Seen by the person.")),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=audit.base.SQLNow(), editable=False, help_text="When the row was written."
                    ),
                ),
                ("about", models.TextField(db_default="", default="", help_text="The key of what it is about.")),
                ("happened_at", models.DateTimeField(help_text="When the newest of it happened.")),
                ("emailed_at", models.DateTimeField(blank=True, help_text="When it was sent by e-mail.", null=True)),
                (
                    "updated_at",
                    models.DateTimeField(
                        db_default=audit.base.SQLNow(), editable=False, help_text="When the row last changed."
                    ),
                ),
            ],
            options={
                "db_table": "notification",
                "indexes": [models.Index(fields=["user", "-happened_at"], name="idx_notification_user")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "type__in",
                                [
                                    "review_due",
                                    "review_overdue",
                                    "publish_failed",
                                    "publish_unknown",
                                    "campaign_halted",
                                    "archive_failed",
                                ],
                            )
                        ),
                        name="notification_type_check",
                        violation_error_message="type must be one of: review_due, review_overdue, publish_failed, publish_unknown, campaign_halted, archive_failed.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            django.db.models.lookups.In(
                                audit.base.JSONShape(models.F("payload_json")), ["object", "array"]
                            ),
                            audit.base.JSONIsShallow(models.F("payload_json")),
                        ),
                        name="notification_payload_json_check",
                        violation_error_message="payload_json must be a JSON object or array.",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("is_read", False)),
                        fields=("user", "type", "about"),
                        name="notification_one_unread_key",
                    ),
                ],
            },
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="notification",
            trigger=pgtrigger.compiler.Trigger(
                name="touch",
                sql=audit.triggers.GuardSql(
                    func="\n            IF NEW.notification_id IS DISTINCT FROM OLD.notification_id THEN\n                RAISE EXCEPTION 'the key of a notification never changes' USING ERRCODE = 'check_violation', TABLE = 'notification', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'notification_key_readonly';\n            END IF;\n            IF NEW.created_at IS DISTINCT FROM OLD.created_at THEN\n                RAISE EXCEPTION 'when a notification was written never changes' USING ERRCODE = 'check_violation', TABLE = 'notification', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'notification_created_at_readonly';\n            END IF;\n            NEW.updated_at = now();\n            RETURN NEW;\n        ",
                    hash="eb4ef03a93b4324ad8b1821f6dd12513a0eb1c73",
                    ignore_func_name="SET search_path = public, pg_temp",
                    operation="UPDATE",
                    pgid="pgtrigger_touch_5017b",
                    table="notification",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="notification",
            trigger=pgtrigger.compiler.Trigger(
                name="no_delete",
                sql=audit.triggers.GuardSql(
                    func="RAISE EXCEPTION 'rows of notification are never deleted' USING ERRCODE = 'check_violation', TABLE = 'notification', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'notification_no_delete';",
                    hash="9ea0f485e76e84b03592084d8a4a9015fba916d6",
                    ignore_func_name="SET search_path = public, pg_temp",
                    operation="DELETE",
                    pgid="pgtrigger_no_delete_ed6dc",
                    table="notification",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="notification",
            trigger=pgtrigger.compiler.Trigger(
                name="no_truncate",
                sql=audit.triggers.GuardSql(
                    func="\n            IF NOT EXISTS (\n                SELECT FROM pg_database\n                WHERE datname = current_database() AND shobj_description(oid, 'pg_database') = 'Gatehouse test database: may be emptied'\n            ) THEN\n                RAISE EXCEPTION 'notification is never truncated' USING ERRCODE = 'check_violation', TABLE = 'notification', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'notification_no_truncate';\n            END IF;\n            RETURN NULL;\n        ",
                    hash="b3ce9820b5e2251cc788d95cce1b06ff3d661edc",
                    ignore_func_name="SET search_path = public, pg_temp",
                    level="STATEMENT",
                    operation="TRUNCATE",
                    pgid="pgtrigger_no_truncate_e3c4a",
                    table="notification",
                    when="BEFORE",
                ),
            ),
        ),
    ]
