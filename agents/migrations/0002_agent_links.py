import datetime

import django.db.models.deletion
import pgtrigger.compiler
import pgtrigger.migrations
from django.conf import settings
from django.db import migrations, models

import audit.triggers


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("agents", "0001_agent_and_token"),
        ("campaigns", "0001_campaign_and_task"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="agent",
            name="campaign",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                help_text="The one campaign it belongs to; empty when it serves several.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="agents",
                to="campaigns.campaign",
            ),
        ),
        migrations.AddField(
            model_name="agent",
            name="owner",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                help_text="The person who answers for it, and who therefore approves none of its work.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="owned_agents",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="apitoken",
            name="agent",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                help_text="The one agent it may act as, if any.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                to="agents.agent",
            ),
        ),
        migrations.AddField(
            model_name="idempotencykey",
            name="api_token",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="agents.apitoken"
            ),
        ),
        migrations.AddIndex(
            model_name="agent",
            index=models.Index(fields=["campaign"], name="idx_agent_campaign"),
        ),
        migrations.AddConstraint(
            model_name="agent",
            constraint=models.CheckConstraint(
                condition=models.Q(("status__in", ["active", "suspended", "retired"])),
                name="agent_status_check",
                violation_error_message="status must be one of: active, suspended, retired.",
            ),
        ),
        migrations.AddConstraint(
            model_name="agent",
            constraint=models.CheckConstraint(
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
                ),
                name="agent_times_check",
                violation_error_message="A time lies outside of the calendar.",
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="agent",
            trigger=pgtrigger.compiler.Trigger(
                name="touch",
                sql=audit.triggers.GuardSql(
                    func="\n            IF NEW.agent_id IS DISTINCT FROM OLD.agent_id THEN\n                RAISE EXCEPTION 'the key of a agent never changes' USING ERRCODE = 'check_violation', TABLE = 'agent', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'agent_key_readonly';\n            END IF;\n            IF NEW.created_at IS DISTINCT FROM OLD.created_at THEN\n                RAISE EXCEPTION 'when a agent was written never changes' USING ERRCODE = 'check_violation', TABLE = 'agent', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'agent_created_at_readonly';\n            END IF;\n            NEW.updated_at = now();\n            RETURN NEW;\n        ",
                    hash="dd3f1d58bc983a6957c323a42ffb579fc3f2a38b",
                    ignore_func_name="SET search_path = public, pg_temp",
                    operation="UPDATE",
                    pgid="pgtrigger_touch_aa7f8",
                    table="agent",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="agent",
            trigger=pgtrigger.compiler.Trigger(
                name="no_delete",
                sql=audit.triggers.GuardSql(
                    func="RAISE EXCEPTION 'rows of agent are never deleted' USING ERRCODE = 'check_violation', TABLE = 'agent', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'agent_no_delete';",
                    hash="9f8d86c3384c1a288289febd4589c4900a489f48",
                    ignore_func_name="SET search_path = public, pg_temp",
                    operation="DELETE",
                    pgid="pgtrigger_no_delete_f3009",
                    table="agent",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="agent",
            trigger=pgtrigger.compiler.Trigger(
                name="no_truncate",
                sql=audit.triggers.GuardSql(
                    func="\n            IF NOT EXISTS (\n                SELECT FROM pg_database\n                WHERE datname = current_database() AND shobj_description(oid, 'pg_database') = 'Gatehouse test database: may be emptied'\n            ) THEN\n                RAISE EXCEPTION 'agent is never truncated' USING ERRCODE = 'check_violation', TABLE = 'agent', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'agent_no_truncate';\n            END IF;\n            RETURN NULL;\n        ",
                    hash="cf89f6eff267b5f9c395845f61e5e32d05cbd650",
                    ignore_func_name="SET search_path = public, pg_temp",
                    level="STATEMENT",
                    operation="TRUNCATE",
                    pgid="pgtrigger_no_truncate_769bb",
                    table="agent",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="agent",
            trigger=pgtrigger.compiler.Trigger(
                name="audit_insert",
                sql=audit.triggers.GuardSql(
                    func="\n            IF current_user = 'gatehouse_app' THEN\n                RETURN NULL;\n            END IF;\n            INSERT INTO audit_log (trace_id, actor_type, actor_id, entity_type, entity_id, action, tool_name, severity,\n                                   campaign_id, changes, created_at)\n            SELECT encode(uuid_send(gen_random_uuid()), 'hex'), 'system', 'sql:' || session_user, 'agent', n.agent_id::text, 'create', 'sql',\n                   'info', n.campaign_id, c.changes, clock_timestamp()\n            FROM new_rows n \n            CROSS JOIN LATERAL (SELECT audit_changes('{}'::jsonb, to_jsonb(n), ARRAY[]::text[], ARRAY['updated_at']::text[]) AS changes) c\n            WHERE c.changes IS NOT NULL;\n            RETURN NULL;\n        ",
                    hash="0a1de885fa7f8afd9b11dbaa3c794a3d3f31e380",
                    ignore_func_name="SET search_path = public, pg_temp",
                    level="STATEMENT",
                    operation="INSERT",
                    pgid="pgtrigger_audit_insert_026c0",
                    referencing="REFERENCING NEW TABLE AS new_rows ",
                    table="agent",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="agent",
            trigger=pgtrigger.compiler.Trigger(
                name="audit_update",
                sql=audit.triggers.GuardSql(
                    func="\n            IF current_user = 'gatehouse_app' THEN\n                RETURN NULL;\n            END IF;\n            INSERT INTO audit_log (trace_id, actor_type, actor_id, entity_type, entity_id, action, tool_name, severity,\n                                   campaign_id, changes, created_at)\n            SELECT encode(uuid_send(gen_random_uuid()), 'hex'), 'system', 'sql:' || session_user, 'agent', n.agent_id::text, 'update', 'sql',\n                   'info', n.campaign_id, c.changes, clock_timestamp()\n            FROM new_rows n JOIN old_rows o ON o.agent_id = n.agent_id \n            CROSS JOIN LATERAL (SELECT audit_changes(to_jsonb(o), to_jsonb(n), ARRAY[]::text[], ARRAY['updated_at']::text[]) AS changes) c\n            WHERE c.changes IS NOT NULL;\n            RETURN NULL;\n        ",
                    hash="d5717ce04e9f30d8a29f6730ee69f9b228e8f446",
                    ignore_func_name="SET search_path = public, pg_temp",
                    level="STATEMENT",
                    operation="UPDATE",
                    pgid="pgtrigger_audit_update_256cd",
                    referencing="REFERENCING OLD TABLE AS old_rows  NEW TABLE AS new_rows ",
                    table="agent",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="agent",
            trigger=pgtrigger.compiler.Trigger(
                name="transition",
                sql=audit.triggers.GuardSql(
                    func="\n            IF NEW.status IS NULL OR NOT NEW.status = ANY (ARRAY['active', 'retired', 'suspended']::text[]) THEN\n                RETURN NEW;\n            END IF;\n            IF TG_OP = 'INSERT' THEN\n                IF NOT NEW.status = ANY (ARRAY['active', 'suspended']::text[]) THEN\n                    RAISE EXCEPTION 'this agent does not begin as %', NEW.status USING ERRCODE = 'check_violation', TABLE = 'agent', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'agent_status_transition';\n                END IF;\n            ELSIF NEW.status <> OLD.status AND NOT OLD.status || '>' || NEW.status = ANY (ARRAY['active>retired', 'active>suspended', 'suspended>active', 'suspended>retired']::text[]) THEN\n                RAISE EXCEPTION 'this agent does not go from % to %', OLD.status, NEW.status USING ERRCODE = 'check_violation', TABLE = 'agent', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'agent_status_transition';\n            END IF;\n            RETURN NEW;\n        ",
                    hash="57d025c944670d1799f3b4a89520d66d22ba4f90",
                    ignore_func_name="SET search_path = public, pg_temp",
                    operation='INSERT OR UPDATE OF "status"',
                    pgid="pgtrigger_transition_0f66e",
                    table="agent",
                    when="BEFORE",
                ),
            ),
        ),
        migrations.AddConstraint(
            model_name="apitoken",
            constraint=models.CheckConstraint(
                condition=models.Q(("role__in", ["planner", "worker", "judge", "publisher", "metrics"])),
                name="api_token_role_check",
                violation_error_message="role must be one of: planner, worker, judge, publisher, metrics.",
            ),
        ),
        migrations.AddConstraint(
            model_name="apitoken",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("role", "judge"), _negated=True), ("agent__isnull", False), _connector="OR"
                ),
                name="api_token_agent_id_check",
                violation_error_message="A judge's token is bound to its agent: nobody judges their own work.",
            ),
        ),
        migrations.AddConstraint(
            model_name="apitoken",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("expires_at__isnull", True),
                        (
                            "expires_at__range",
                            (
                                datetime.datetime(1, 1, 2, 0, 0, tzinfo=datetime.UTC),
                                datetime.datetime(9999, 12, 30, 0, 0, tzinfo=datetime.UTC),
                            ),
                        ),
                        _connector="OR",
                    ),
                    models.Q(
                        ("revoked_at__isnull", True),
                        (
                            "revoked_at__range",
                            (
                                datetime.datetime(1, 1, 2, 0, 0, tzinfo=datetime.UTC),
                                datetime.datetime(9999, 12, 30, 0, 0, tzinfo=datetime.UTC),
                            ),
                        ),
                        _connector="OR",
                    ),
                    models.Q(
                        ("last_used_at__isnull", True),
                        (
                            "last_used_at__range",
                            (
                                datetime.datetime(1, 1, 2, 0, 0, tzinfo=datetime.UTC),
                                datetime.datetime(9999, 12, 30, 0, 0, tzinfo=datetime.UTC),
                            ),
                        ),
                        _connector="OR",
                    ),
                ),
                name="api_token_times_check",
                violation_error_message="A time lies outside of the calendar.",
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="apitoken",
            trigger=pgtrigger.compiler.Trigger(
                name="touch",
                sql=audit.triggers.GuardSql(
                    func="\n            IF NEW.api_token_id IS DISTINCT FROM OLD.api_token_id THEN\n                RAISE EXCEPTION 'the key of a api_token never changes' USING ERRCODE = 'check_violation', TABLE = 'api_token', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'api_token_key_readonly';\n            END IF;\n            IF NEW.created_at IS DISTINCT FROM OLD.created_at THEN\n                RAISE EXCEPTION 'when a api_token was written never changes' USING ERRCODE = 'check_violation', TABLE = 'api_token', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'api_token_created_at_readonly';\n            END IF;\n            NEW.updated_at = now();\n            RETURN NEW;\n        ",
                    hash="328bdb64793d66a61b9334c9440dee880a3c886e",
                    ignore_func_name="SET search_path = public, pg_temp",
                    operation="UPDATE",
                    pgid="pgtrigger_touch_53b0c",
                    table="api_token",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="apitoken",
            trigger=pgtrigger.compiler.Trigger(
                name="no_delete",
                sql=audit.triggers.GuardSql(
                    func="RAISE EXCEPTION 'rows of api_token are never deleted' USING ERRCODE = 'check_violation', TABLE = 'api_token', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'api_token_no_delete';",
                    hash="6cd72cbbb8539eb801cc0fb8b37a32803fcab9bc",
                    ignore_func_name="SET search_path = public, pg_temp",
                    operation="DELETE",
                    pgid="pgtrigger_no_delete_ad9c7",
                    table="api_token",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="apitoken",
            trigger=pgtrigger.compiler.Trigger(
                name="no_truncate",
                sql=audit.triggers.GuardSql(
                    func="\n            IF NOT EXISTS (\n                SELECT FROM pg_database\n                WHERE datname = current_database() AND shobj_description(oid, 'pg_database') = 'Gatehouse test database: may be emptied'\n            ) THEN\n                RAISE EXCEPTION 'api_token is never truncated' USING ERRCODE = 'check_violation', TABLE = 'api_token', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'api_token_no_truncate';\n            END IF;\n            RETURN NULL;\n        ",
                    hash="7b04b3ea23d81ae3201c4829c855a7ecb3f40280",
                    ignore_func_name="SET search_path = public, pg_temp",
                    level="STATEMENT",
                    operation="TRUNCATE",
                    pgid="pgtrigger_no_truncate_69c0f",
                    table="api_token",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="apitoken",
            trigger=pgtrigger.compiler.Trigger(
                name="audit_insert",
                sql=audit.triggers.GuardSql(
                    func="\n            IF current_user = 'gatehouse_app' THEN\n                RETURN NULL;\n            END IF;\n            INSERT INTO audit_log (trace_id, actor_type, actor_id, entity_type, entity_id, action, tool_name, severity,\n                                   campaign_id, changes, created_at)\n            SELECT encode(uuid_send(gen_random_uuid()), 'hex'), 'system', 'sql:' || session_user, 'api_token', n.api_token_id::text, 'create', 'sql',\n                   'info', NULL, c.changes, clock_timestamp()\n            FROM new_rows n \n            CROSS JOIN LATERAL (SELECT audit_changes('{}'::jsonb, to_jsonb(n), ARRAY['token_sha256']::text[], ARRAY['last_used_at', 'updated_at']::text[]) AS changes) c\n            WHERE c.changes IS NOT NULL;\n            RETURN NULL;\n        ",
                    hash="814d76167733e82ec577a5511bc541800b474d51",
                    ignore_func_name="SET search_path = public, pg_temp",
                    level="STATEMENT",
                    operation="INSERT",
                    pgid="pgtrigger_audit_insert_5b194",
                    referencing="REFERENCING NEW TABLE AS new_rows ",
                    table="api_token",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="apitoken",
            trigger=pgtrigger.compiler.Trigger(
                name="audit_update",
                sql=audit.triggers.GuardSql(
                    func="\n            IF current_user = 'gatehouse_app' THEN\n                RETURN NULL;\n            END IF;\n            INSERT INTO audit_log (trace_id, actor_type, actor_id, entity_type, entity_id, action, tool_name, severity,\n                                   campaign_id, changes, created_at)\n            SELECT encode(uuid_send(gen_random_uuid()), 'hex'), 'system', 'sql:' || session_user, 'api_token', n.api_token_id::text, 'update', 'sql',\n                   'info', NULL, c.changes, clock_timestamp()\n            FROM new_rows n JOIN old_rows o ON o.api_token_id = n.api_token_id \n            CROSS JOIN LATERAL (SELECT audit_changes(to_jsonb(o), to_jsonb(n), ARRAY['token_sha256']::text[], ARRAY['last_used_at', 'updated_at']::text[]) AS changes) c\n            WHERE c.changes IS NOT NULL;\n            RETURN NULL;\n        ",
                    hash="7c33e03ffce5ae924f20303e0602857be271a31f",
                    ignore_func_name="SET search_path = public, pg_temp",
                    level="STATEMENT",
                    operation="UPDATE",
                    pgid="pgtrigger_audit_update_e015d",
                    referencing="REFERENCING OLD TABLE AS old_rows  NEW TABLE AS new_rows ",
                    table="api_token",
                    when="AFTER",
                ),
            ),
        ),
        migrations.AddIndex(
            model_name="idempotencykey",
            index=models.Index(fields=["created_at"], name="idx_idempotency_key_created"),
        ),
        migrations.AddConstraint(
            model_name="idempotencykey",
            constraint=models.UniqueConstraint(
                fields=("api_token", "key"), name="idempotency_key_api_token_id_key_key"
            ),
        ),
    ]
