"""`migrate`, as the owner of the schema, beside a version that is running.

A lock that waits holds up everybody who comes after it. So each migration that is one transaction waits half a second
only, and is then begun anew, for a minute; in between everybody else goes on. What a migration outside a transaction
does (an index built CONCURRENTLY) waits for others without holding anybody up, and has no such limit.
"""

import time
from contextlib import suppress
from typing import Any

from django.apps import apps
from django.contrib.postgres.operations import AddIndexConcurrently
from django.core.management.base import CommandError, CommandParser
from django.core.management.commands import migrate
from django.db import DatabaseError, OperationalError, connections
from django.db.migrations import Migration
from psycopg import sql

from audit.errors import sqlstate
from config import schema_fingerprint
from metrics import patience


class Command(migrate.Command):
    migration: Migration | None = None  # the one that is being applied

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.set_defaults(database="migrator")

    def handle(self, *args: Any, **options: Any) -> None:
        self.using = options["database"]
        require_owner(self.using)
        if options["plan"] or options["check_unapplied"]:
            super().handle(*args, **options)
            return
        for difference in schema_fingerprint.begin(self.using):
            self.stderr.write(f"Changed by hand since the last migrate: {difference}; check_schema shows how.")
        try:
            self.apply(*args, **options)
        finally:
            with suppress(DatabaseError):
                self.wait_for_locks("DEFAULT")
        schema_fingerprint.finish(self.using)

    def apply(self, *args: Any, **options: Any) -> None:
        """What was applied stays applied: each try goes on where the last one met somebody."""
        met, told, deadline = "", "", 0.0
        while True:
            try:
                super().handle(*args, **options)
            except OperationalError as error:
                if sqlstate(error) not in patience.BUSY or self.migration is None or not self.migration.atomic:
                    raise
            else:
                return
            name, now = str(self.migration), time.monotonic()
            if name != met:
                met, deadline = name, now + patience.PATIENCE
            who = patience.holders(tables_of(self.migration), self.using) or "somebody who has just gone"
            if now > deadline:
                raise CommandError(
                    f"{name} waited {patience.PATIENCE:.0f} seconds for {who}. It was not applied, what came before it "
                    "was; run migrate again."
                ) from None
            if (waits := f"{name} waits for {who.partition(' for ')[0]}") != told:
                told = waits
                self.stderr.write(f"{name} waits for {who}.")
            time.sleep(patience.PAUSE)

    def migration_progress_callback(self, action: str, migration: Any | None = None, fake: bool = False) -> None:
        super().migration_progress_callback(action, migration, fake)
        if action in {"apply_start", "unapply_start"} and migration is not None:
            self.migration = migration
            self.wait_for_locks(f"'{patience.LOCK_TIMEOUT}'" if migration.atomic else "0")
            self.drop_unfinished_indexes(migration)
        elif action in {"apply_success", "unapply_success"}:
            self.migration = None
            self.wait_for_locks("DEFAULT")

    def drop_unfinished_indexes(self, migration: Migration) -> None:
        """What a run that was killed while it built an index CONCURRENTLY has left: in the way, and of no use."""
        names = [one.index.name for one in migration.operations if isinstance(one, AddIndexConcurrently)]
        with connections[self.using].cursor() as cursor:
            for name in map(sql.Identifier, names):
                cursor.execute(
                    "SELECT FROM pg_index WHERE indexrelid = to_regclass(%s) AND NOT indisvalid", [name.as_string()]
                )
                if cursor.fetchone() is not None:
                    cursor.execute(sql.SQL("DROP INDEX CONCURRENTLY {}").format(name))

    def wait_for_locks(self, timeout: str) -> None:
        with connections[self.using].cursor() as cursor:
            cursor.execute(f"SET lock_timeout = {timeout}")


def tables_of(migration: Migration) -> tuple[str, ...]:
    """Where a migration may have to wait: the tables of its models, or all of its app's when it names none."""
    label = migration.app_label
    names = {getattr(operation, "model_name", None) for operation in migration.operations} - {None}
    models = [model for model in apps.get_app_config(label).get_models() if model._meta.model_name in names]
    return tuple(model._meta.db_table for model in models or apps.get_app_config(label).get_models())


def require_owner(using: str = "migrator") -> None:
    """Refuse in a sentence when the connection may not change the schema."""
    connection = connections[using]
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT current_user, has_schema_privilege('public', 'CREATE') AND COALESCE("
                " (SELECT pg_has_role(relowner, 'USAGE') FROM pg_class"
                "  WHERE oid = to_regclass('public.django_migrations')), true)"
            )
            user, may = cursor.fetchone()
    except OperationalError as error:
        raise CommandError(
            f"The database of MIGRATOR_DATABASE_URL (or DATABASE_URL) cannot be reached: {error}"
        ) from None
    if not may:
        raise CommandError(
            f"{user} may not change the schema. Set MIGRATOR_DATABASE_URL to a login that owns it; DATABASE_URL can "
            "stay what the web processes use."
        )
