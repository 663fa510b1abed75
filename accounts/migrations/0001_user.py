import django.db.models.lookups
import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations, models

import audit.base
import audit.exact_json
import audit.triggers


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
    ]

    operations = [
        migrations.CreateModel(
            name="User",
            fields=[
                ("password", models.CharField(max_length=128, verbose_name="password")),
                ("last_login", models.DateTimeField(blank=True, null=True, verbose_name="last login")),
                (
                    "is_superuser",
                    models.BooleanField(
                        default=False,
                        help_text="Designates that this user has all permissions without explicitly assigning them.",
                        verbose_name="superuser status",
                    ),
                ),
                (
                    "user_id",
                    models.UUIDField(
                        db_default=audit.base.UUIDv7(),
                        default=audit.base.new_id,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("email", models.EmailField(help_text="What this person signs in with.", max_length=254, unique=True)),
                (
                    "display_name",
                    models.TextField(blank=True, db_default="", default="", help_text="The name that others see."),
                ),
                (
                    "is_active",
                    models.BooleanField(
                        db_default=True,
                        default=True,
                        help_text="Untick instead of deleting: what they did stays theirs.",
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
                    "time_zone",
                    models.TextField(
                        blank=True,
                        db_default="",
                        default="",
                        help_text="In which times are shown; empty: as the browser says.",
                    ),
                ),
                (
                    "notify_by",
                    audit.exact_json.ExactJSONField(
                        blank=True,
                        db_default={},
                        decoder=audit.exact_json.ExactDecoder,
                        default=dict,
                        encoder=audit.exact_json.ExactEncoder,
                        help_text="How each type of notification reaches this person.",
                    ),
                ),
                (
                    "saved_filters",
                    audit.exact_json.ExactJSONField(
                        blank=True,
                        db_default={},
                        decoder=audit.exact_json.ExactDecoder,
                        default=dict,
                        encoder=audit.exact_json.ExactEncoder,
                        help_text="For each list, the filters that this person has named.",
                    ),
                ),
                (
                    "groups",
                    models.ManyToManyField(
                        blank=True,
                        help_text="The groups this user belongs to. A user will get all permissions granted to each of their groups.",
                        related_name="user_set",
                        related_query_name="user",
                        to="auth.group",
                        verbose_name="groups",
                    ),
                ),
                (
                    "user_permissions",
                    models.ManyToManyField(
                        blank=True,
                        help_text="Specific permissions for this user.",
                        related_name="user_set",
                        related_query_name="user",
                        to="auth.permission",
                        verbose_name="user permissions",
                    ),
                ),
            ],
            options={
                "verbose_name": "person",
                "verbose_name_plural": "people",
                "db_table": "user",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            django.db.models.lookups.In(
                                audit.base.JSONShape(models.F("notify_by")), ["object", "array"]
                            ),
                            audit.base.JSONIsShallow(models.F("notify_by")),
                        ),
                        name="user_notify_by_check",
                        violation_error_message="notify_by must be a JSON object or array.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            django.db.models.lookups.In(
                                audit.base.JSONShape(models.F("saved_filters")), ["object", "array"]
                            ),
                            audit.base.JSONIsShallow(models.F("saved_filters")),
                        ),
                        name="user_saved_filters_check",
                        violation_error_message="saved_filters must be a JSON object or array.",
                    ),
                ],
            },
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="user",
            trigger=pgtrigger.compiler.Trigger(
                name="touch",
                sql=audit.triggers.GuardSql(
                    func="\n            IF NEW.user_id IS DISTINCT FROM OLD.user_id THEN\n                RAISE EXCEPTION 'the key of a user never changes' USING ERRCODE = 'check_violation', TABLE = 'user', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'user_key_readonly';\n            END IF;\n            IF NEW.created_at IS DISTINCT FROM OLD.created_at THEN\n                RAISE EXCEPTION 'when a user was written never changes' USING ERRCODE = 'check_violation', TABLE = 'user', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'user_created_at_readonly';\n            END IF;\n            NEW.updated_at = now();\n            RETURN NEW;\n        ",
                    hash="dbfc5a17750c7276f1131ae4298396d7df9c8caf",
                    ignore_func_name="SET search_path = public, pg_temp",
                    operation="UPDATE",
                    pgid="pgtrigger_touch_76bcd",
                    table="user",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="user",
            trigger=pgtrigger.compiler.Trigger(
                name="no_delete",
                sql=audit.triggers.GuardSql(
                    func="RAISE EXCEPTION 'rows of user are never deleted' USING ERRCODE = 'check_violation', TABLE = 'user', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'user_no_delete';",
                    hash="2bb3de23f821cd458bd059c533123d781d5cfe3c",
                    ignore_func_name="SET search_path = public, pg_temp",
                    operation="DELETE",
                    pgid="pgtrigger_no_delete_c88c6",
                    table="user",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="user",
            trigger=pgtrigger.compiler.Trigger(
                name="no_truncate",
                sql=audit.triggers.GuardSql(
                    func="\n            IF NOT EXISTS (\n                SELECT FROM pg_database\n                WHERE datname = current_database() AND shobj_description(oid, 'pg_database') = 'Gatehouse test database: may be emptied'\n            ) THEN\n                RAISE EXCEPTION 'user is never truncated' USING ERRCODE = 'check_violation', TABLE = 'user', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'user_no_truncate';\n            END IF;\n            RETURN NULL;\n        ",
                    hash="ea082b4913a66bd1ca53132ecd036d9890776a93",
                    ignore_func_name="SET search_path = public, pg_temp",
                    level="STATEMENT",
                    operation="TRUNCATE",
                    pgid="pgtrigger_no_truncate_37fec",
                    table="user",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="user",
            trigger=pgtrigger.compiler.Trigger(
                name="audit_insert",
                sql=audit.triggers.GuardSql(
                    func="\n            IF current_user = 'gatehouse_app' THEN\n                RETURN NULL;\n            END IF;\n            INSERT INTO audit_log (trace_id, actor_type, actor_id, entity_type, entity_id, action, tool_name, severity,\n                                   campaign_id, changes, created_at)\n            SELECT encode(uuid_send(gen_random_uuid()), 'hex'), 'system', 'sql:' || session_user, 'user', n.user_id::text, 'create', 'sql',\n                   'info', NULL, c.changes, clock_timestamp()\n            FROM new_rows n \n            CROSS JOIN LATERAL (SELECT audit_changes('{}'::jsonb, to_jsonb(n), ARRAY['display_name', 'email', 'password']::text[], ARRAY['last_login', 'updated_at']::text[]) AS changes) c\n            WHERE c.changes IS NOT NULL;\n            RETURN NULL;\n        ",
                    hash="c88cfbf413711728c410e781f8520ff16243082e",
                    ignore_func_name="SET search_path = public, pg_temp",
                    level="STATEMENT",
                    operation="INSERT",
                    pgid="pgtrigger_audit_insert_6f624",
                    referencing="REFERENCING NEW TABLE AS new_rows ",
                    table="user",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="user",
            trigger=pgtrigger.compiler.Trigger(
                name="audit_update",
                sql=audit.triggers.GuardSql(
                    func="\n            IF current_user = 'gatehouse_app' THEN\n                RETURN NULL;\n            END IF;\n            INSERT INTO audit_log (trace_id, actor_type, actor_id, entity_type, entity_id, action, tool_name, severity,\n                                   campaign_id, changes, created_at)\n            SELECT encode(uuid_send(gen_random_uuid()), 'hex'), 'system', 'sql:' || session_user, 'user', n.user_id::text, 'update', 'sql',\n                   'info', NULL, c.changes, clock_timestamp()\n            FROM new_rows n JOIN old_rows o ON o.user_id = n.user_id \n            CROSS JOIN LATERAL (SELECT audit_changes(to_jsonb(o), to_jsonb(n), ARRAY['display_name', 'email', 'password']::text[], ARRAY['last_login', 'updated_at']::text[]) AS changes) c\n            WHERE c.changes IS NOT NULL;\n            RETURN NULL;\n        ",
                    hash="4bae4f1dd6697a74f7f8364ee341ba51df6296e2",
                    ignore_func_name="SET search_path = public, pg_temp",
                    level="STATEMENT",
                    operation="UPDATE",
                    pgid="pgtrigger_audit_update_b852b",
                    referencing="REFERENCING OLD TABLE AS old_rows  NEW TABLE AS new_rows ",
                    table="user",
                    when="AFTER",
                ),
            ),
        ),
    ]
