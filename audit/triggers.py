"""The database's side of the rules, declared beside the columns that they protect.

The triggers are django-pgtrigger's in declaration, migration and installation check. Their SQL is our own template,
for one reason: pgtrigger's lets any role that sets `pgtrigger.ignore` walk past. Every refusal is SQLSTATE 23514 with a
constraint name, so that an agent in any language can tell rules apart.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import pgtrigger
from django.apps import apps
from django.db import models
from pgtrigger import compiler

if TYPE_CHECKING:
    from audit.base import AuditSpec

APP_ROLE = "gatehouse_app"
TEST_DATABASE_MARK = "Gatehouse test database: may be emptied"


class GuardSql(compiler.UpsertTriggerSql):
    """pgtrigger's installation script without its escape. Migrations refer to this class: only ever extend it."""

    def get_template(self) -> str:
        return """
            CREATE OR REPLACE FUNCTION {pgid}() RETURNS trigger LANGUAGE plpgsql {ignore_func_name} AS $$
                {declare}
                BEGIN
                    {func}
                END;
            $$;
            DROP TRIGGER IF EXISTS {pgid} ON {table};
            CREATE TRIGGER {pgid} {when} {operation} ON {table} {referencing}
                FOR EACH {level} {condition} EXECUTE FUNCTION {execute};
            COMMENT ON TRIGGER {pgid} ON {table} IS '{hash}';
        """


class Guard(pgtrigger.Trigger):
    """A trigger that no setting switches off.

    `definer`: the function runs as the schema's owner, for rules that must lock or read what the writer may not.
    """

    when = pgtrigger.Before
    definer = False

    def compile(self, model: Any) -> compiler.Trigger:
        return compiler.Trigger(
            name=self.name,
            sql=GuardSql(
                # The slot of the escape's name holds the function's attributes instead.
                # A fixed path: no temporary table of the writer's stands in for one of ours.
                ignore_func_name=("SECURITY DEFINER " if self.definer else "") + "SET search_path = public, pg_temp",
                pgid=self.get_pgid(model),
                declare=self.render_declare(model),
                func=self.render_func(model),
                table=model._meta.db_table,
                when=self.when,
                operation=self.operation,
                referencing=self.referencing or "",
                level=self.level,
                condition=self.render_condition(model),
            ),
        )


def refusal(table: str, constraint: str, message: str, *arguments: str) -> str:
    """PL/pgSQL that refuses with a sentence; `message` has a % for each of `arguments`."""
    given = "".join(f", {argument}" for argument in arguments)
    return (
        f"RAISE EXCEPTION '{message}'{given} USING ERRCODE = 'check_violation', "
        f"TABLE = '{table}', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = '{table}_{constraint}';"
    )


class DefinerGuard(Guard):
    definer = True


class NoDelete(Guard):
    name = "no_delete"
    operation = pgtrigger.Delete

    def get_func(self, model: Any) -> str:
        table = model._meta.db_table
        return refusal(table, "no_delete", f"rows of {table} are never deleted")


class NoTruncate(Guard):
    """Refused for everybody but in a database that its owner has marked as a test database.

    The mark is the database's comment, which only its owner writes; no setting of a session helps.
    """

    name = "no_truncate"
    operation = pgtrigger.Truncate
    level = pgtrigger.Statement

    def get_func(self, model: Any) -> str:
        table = model._meta.db_table
        return f"""
            IF NOT EXISTS (
                SELECT FROM pg_database
                WHERE datname = current_database() AND shobj_description(oid, 'pg_database') = '{TEST_DATABASE_MARK}'
            ) THEN
                {refusal(table, "no_truncate", f"{table} is never truncated")}
            END IF;
            RETURN NULL;
        """


class NoUpdate(Guard):
    name = "immutable"
    operation = pgtrigger.Update

    def get_func(self, model: Any) -> str:
        table = model._meta.db_table
        return refusal(table, "immutable", f"rows of {table} never change")


class Touch(Guard):
    """Keeps `updated_at`, and refuses another key (references would bend) and another `created_at` (history would)."""

    name = "touch"
    operation = pgtrigger.Update

    def get_func(self, model: Any) -> str:
        table, key = model._meta.db_table, model._meta.pk.column
        columns = {field.column for field in model._meta.concrete_fields}
        written = "NEW.created_at IS DISTINCT FROM OLD.created_at" if "created_at" in columns else "false"
        return f"""
            IF NEW.{key} IS DISTINCT FROM OLD.{key} THEN
                {refusal(table, "key_readonly", f"the key of a {table} never changes")}
            END IF;
            IF {written} THEN
                {refusal(table, "created_at_readonly", f"when a {table} was written never changes")}
            END IF;
            NEW.updated_at = now();
            RETURN NEW;
        """


class Transitions(Guard):
    """The state machine of `choices.py`, word for word, initial states included.

    A status that does not exist at all is left to the CHECK, whose name tells the writer more.
    """

    name = "transition"

    def __init__(
        self, *, initial: Iterable[str], transitions: Mapping[Any, Iterable[Any]], column: str = "status"
    ) -> None:
        self.column = column
        self.operation = pgtrigger.Insert | pgtrigger.UpdateOf(column)  # type: ignore[no-untyped-call]
        self.initial = sorted(map(str, initial))
        self.pairs = sorted(f"{old}>{new}" for old, targets in transitions.items() for new in targets)
        self.known = sorted(str(status) for status in transitions)
        super().__init__()

    def get_func(self, model: Any) -> str:
        table, old, new = model._meta.db_table, f"OLD.{self.column}", f"NEW.{self.column}"
        constraint = f"{self.column}_transition"
        return f"""
            IF {new} IS NULL OR NOT {new} = ANY ({array(self.known)}) THEN
                RETURN NEW;
            END IF;
            IF TG_OP = 'INSERT' THEN
                IF NOT {new} = ANY ({array(self.initial)}) THEN
                    {refusal(table, constraint, f"this {model._meta.verbose_name} does not begin as %", new)}
                END IF;
            ELSIF {new} <> {old} AND NOT {old} || '>' || {new} = ANY ({array(self.pairs)}) THEN
                {refusal(table, constraint, f"this {model._meta.verbose_name} does not go from % to %", old, new)}
            END IF;
            RETURN NEW;
        """


def array(texts: Iterable[str]) -> str:
    """A SQL text array of literals; the texts are our own enumerations."""
    return "ARRAY[" + ", ".join(f"'{text}'" for text in texts) + "]::text[]"


class _AuditTrigger(Guard):
    """One audit row for each row that plain SQL wrote. Stands aside for the application, which writes its own.

    Who is asked is `current_user`, which nobody can set without being a member of that role.
    """

    when = pgtrigger.After
    level = pgtrigger.Statement
    action: str
    source: str
    before: str

    def get_func(self, model: Any) -> str:
        # The autodetector compiles with a model of the migration state, which has columns but no attributes of ours.
        model = apps.get_model(model._meta.label)
        spec: AuditSpec = model.audit
        key = model._meta.pk.column
        joins: list[str] = []
        trace = sql_path(model, spec.trace, joins) if spec.trace else "encode(uuid_send(gen_random_uuid()), 'hex')"
        campaign = sql_path(model, spec.campaign, joins) if spec.campaign else "NULL"
        redact, ignore = array(sorted(spec.redact)), array(sorted(spec.ignore))
        return f"""
            IF current_user = '{APP_ROLE}' THEN
                RETURN NULL;
            END IF;
            INSERT INTO audit_log (trace_id, actor_type, actor_id, entity_type, entity_id, action, tool_name, severity,
                                   campaign_id, changes, created_at)
            SELECT {trace}, 'system', 'sql:' || session_user, '{spec.entity}', n.{key}::text, '{self.action}', 'sql',
                   'info', {campaign}, c.changes, clock_timestamp()
            FROM {self.source.format(key=key)} {" ".join(joins)}
            CROSS JOIN LATERAL (SELECT audit_changes({self.before}, to_jsonb(n), {redact}, {ignore}) AS changes) c
            WHERE c.changes IS NOT NULL;
            RETURN NULL;
        """


class AuditInsert(_AuditTrigger):
    name = "audit_insert"
    operation = pgtrigger.Insert
    referencing = pgtrigger.Referencing(new="new_rows")  # type: ignore[no-untyped-call]
    action = "create"
    source = "new_rows n"
    before = "'{}'::jsonb"


class AuditUpdate(_AuditTrigger):
    name = "audit_update"
    operation = pgtrigger.Update
    referencing = pgtrigger.Referencing(old="old_rows", new="new_rows")  # type: ignore[no-untyped-call]
    action = "update"
    source = "new_rows n JOIN old_rows o ON o.{key} = n.{key}"
    before = "to_jsonb(o)"


def sql_path(model: type[models.Model], path: str, joins: list[str]) -> str:
    """The SQL of an ORM path such as `artifact__task__trace_id`, from alias n; adds the joins that it needs."""
    alias = "n"
    *steps, last = path.split("__")
    for step in steps:
        field = model._meta.get_field(step)
        target: type[models.Model] = field.related_model  # type: ignore[assignment]
        joined = f"{alias}_{step}"
        table, key = target._meta.db_table, target._meta.pk.column
        join = f'LEFT JOIN "{table}" {joined} ON {joined}.{key} = {alias}.{field.column}'  # type: ignore[union-attr]
        if join not in joins:
            joins.append(join)
        alias, model = joined, target
    return f"{alias}.{model._meta.get_field(last).column}"  # type: ignore[union-attr]


MUTABLE = [Touch(), NoDelete(), NoTruncate(), AuditInsert(), AuditUpdate()]
IMMUTABLE = [NoUpdate(), NoDelete(), NoTruncate(), AuditInsert()]
BOOKKEEPING = [Touch(), NoDelete(), NoTruncate()]  # derived from audited rows, and not audited itself
