"""The database's roles, and what each may do. One registry for all tables: what a model is decides what is granted.

`gatehouse_app` serves people and the agent API, `gatehouse_agent` agents that speak SQL, `gatehouse_readonly`
analysts. None of them owns anything. Months of partitioned tables get no grants of their own, so that nobody writes
around the parent's triggers.
"""

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.db import connections, models, transaction
from psycopg import sql

from accounts.models import Notification, User
from agents.models import Agent, ApiToken, IdempotencyKey
from audit.triggers import APP_ROLE
from campaigns.models import Campaign, Task
from content.models import Artifact, PublishRecord, ReviewDecision, VideoAsset
from metrics.models import MetricEvent

APP, AGENT, READONLY = APP_ROLE, "gatehouse_agent", "gatehouse_readonly"
ROLES = (APP, AGENT, READONLY)

# What an agent in another language reads and writes: the specification's tables.
AGENT_TABLES = {Campaign, Agent, Task, Artifact, VideoAsset, ReviewDecision, PublishRecord, MetricEvent}
# Secrets and sessions are nobody's to read but the application's.
PRIVATE = {
    User,
    Notification,
    ApiToken,
    IdempotencyKey,
    *apps.get_app_config("sessions").get_models(),
    *apps.get_app_config("axes").get_models(),
    *apps.get_app_config("otp_totp").get_models(),
    *apps.get_app_config("otp_static").get_models(),
}
APP_FUNCTIONS = {"claim_tasks"}
OURS = ("audit", "accounts", "agents", "campaigns", "content", "metrics")


def existing(using: str) -> set[str]:
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT rolname FROM pg_roles WHERE rolname = ANY (%s)", [list(ROLES)])
        return {name for (name,) in cursor.fetchall()}


def create(using: str, passwords: dict[str, str]) -> list[str]:
    """Make the roles that are missing and return their names.

    A password is set where one is known (the one in DATABASE_URL), so that the address works as it is written. The
    creator may take each role on, which migrations and tests do.
    """
    made = [role for role in ROLES if role not in existing(using)]
    with connections[using].cursor() as cursor:
        for role in made:
            cursor.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
            cursor.execute(
                sql.SQL("GRANT {} TO CURRENT_USER WITH INHERIT FALSE, SET TRUE").format(sql.Identifier(role))
            )
        for role in set(made) & {APP, AGENT}:  # a writer that falls asleep does not keep an operator waiting
            cursor.execute(
                sql.SQL("ALTER ROLE {} SET idle_in_transaction_session_timeout = '60s'").format(sql.Identifier(role))
            )
        for role in (role for role in made if role in passwords):
            cursor.execute(
                sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(passwords[role]))
            )
    return made


def grant(using: str) -> None:
    """Give each role exactly what it needs on every table that exists. Safe to call again."""
    roles = existing(using)
    tables = connections[using].introspection.table_names(include_views=True)
    with transaction.atomic(using=using), connections[using].cursor() as cursor:
        for role, privileges, table in _grants():
            if role in roles and table in tables:  # before the first migrate there are none
                name = sql.Identifier(table)
                cursor.execute(sql.SQL("REVOKE ALL ON {} FROM {}").format(name, sql.Identifier(role)))
                if privileges:
                    cursor.execute(
                        sql.SQL("GRANT {} ON {} TO {}").format(sql.SQL(privileges), name, sql.Identifier(role))
                    )
        if APP in roles:
            _grant_functions(cursor)
        if APP in roles:  # the ingest stages its batches in temporary tables
            database = sql.Identifier(connections[using].settings_dict["NAME"])
            cursor.execute(sql.SQL("GRANT TEMPORARY ON DATABASE {} TO {}").format(database, sql.Identifier(APP)))
        for role in roles:
            cursor.execute(sql.SQL("GRANT USAGE ON SCHEMA public TO {}").format(sql.Identifier(role)))
        if APP in roles:  # Django's own tables count with sequences
            cursor.execute(sql.SQL("GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {}").format(sql.Identifier(APP)))


def _grant_functions(cursor: Any) -> None:
    """What writes its own audit rows is the application's alone: other roles' are written by triggers."""
    cursor.execute(
        "SELECT oid::regprocedure::text FROM pg_proc"
        " WHERE pronamespace = 'public'::regnamespace AND proname = ANY (%s)",
        [list(APP_FUNCTIONS)],
    )
    for (signature,) in cursor.fetchall():
        name = sql.SQL(signature)  # as PostgreSQL spells it
        cursor.execute(sql.SQL("REVOKE ALL ON FUNCTION {} FROM PUBLIC").format(name))
        cursor.execute(sql.SQL("GRANT EXECUTE ON FUNCTION {} TO {}").format(name, sql.Identifier(APP)))


def _grants() -> Iterator[tuple[str, str, str]]:
    """(role, privileges, table) for every table of every model, and for the views."""
    for model in apps.get_models(include_auto_created=True):
        table, app_label = model._meta.db_table, model._meta.app_label
        ours = app_label in OURS and not model._meta.auto_created
        if getattr(model, "derived", False):  # written by a trigger of the owner's
            writes = "SELECT"
        elif getattr(model, "immutable", False):
            writes = "SELECT, INSERT"
        elif ours and model is not IdempotencyKey:  # an answer that nobody asks for again is purged
            writes = "SELECT, INSERT, UPDATE"
        else:
            writes = "SELECT, INSERT, UPDATE, DELETE"
        yield APP, writes, table
        yield AGENT, writes if model in AGENT_TABLES else _agent_reads(model, ours), table
        yield READONLY, "" if model in PRIVATE else "SELECT", table
    for role in (APP, AGENT, READONLY):
        yield role, "SELECT", "django_migrations"
        yield role, "SELECT", "schema_migrations"


def _agent_reads(model: type[models.Model], ours: bool) -> str:
    if model._meta.db_table == "audit_log":
        return "SELECT, INSERT"
    return "SELECT" if ours and model not in PRIVATE and model._meta.app_label != "accounts" else ""
