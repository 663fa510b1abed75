"""`manage.py setup`: everything a server needs before it serves; harmless and quick when it is all there."""

import secrets
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import StringIO
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, NotSupportedError, connections

from config import demo
from config.backup.wal import for_us_alone
from config.health import missing_migrations
from config.schema_fingerprint import recorded

OLDEST_POSTGRESQL = 18


class Command(BaseCommand):
    help = "Create the roles, bring the schema up to date, make the coming months; with --demo, data to look at."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--demo", action="store_true", help="load the demo on the first start, when no user exists")

    def handle(self, *args: Any, demo: bool, **options: Any) -> None:
        variable = "MIGRATOR_DATABASE_URL" if settings.MIGRATOR_DATABASE_URL else "DATABASE_URL"
        check_connection("migrator", variable)
        with one_at_a_time():
            self.set_up(demo=demo)

    def set_up(self, *, demo: bool) -> None:
        call_command("create_roles", stdout=self.stdout)
        check_connection("default", "DATABASE_URL")
        if not missing_migrations("migrator") and recorded("migrator"):
            self.stdout.write("schema is up to date")
        else:
            call_command("migrate", verbosity=0, stdout=self.stdout)
            self.stdout.write("schema was brought up to date")
        call_command("rotate_partitions", stdout=self.stdout)
        if demo and not get_user_model().objects.exists():
            self.load_demo()

    def load_demo(self) -> None:
        """`serve` shows the login at each start, so it is kept; only where Gatehouse brought its own database.

        Kept first: a kill in between leaves a login without people, and the next start makes both anew.
        """
        call_command("rotate_partitions", start=demo.first_month(), stdout=StringIO())
        password = secrets.token_urlsafe(9)
        if settings.EMBEDDED:
            remember_login(demo.login(password))
        login = call_command("load_demo", password=password, stdout=StringIO())
        self.stdout.write("demo data were loaded" if settings.EMBEDDED else str(login))


def check_connection(alias: str, variable: str) -> None:
    """One sentence with the variable to mend; the driver's own words are kept to their first line."""
    connection = connections[alias]
    try:
        connection.ensure_connection()
        major = int(getattr(connection, "pg_version", 0)) // 10_000
    except NotSupportedError:
        major = 0
    except DatabaseError as error:
        reason = (str(error).strip().splitlines() or ["no reason given"])[0]
        raise CommandError(f"{variable} cannot be used: {reason}") from None
    if major < OLDEST_POSTGRESQL:
        found = f"version {major}" if major else "an older version"
        raise CommandError(f"{variable} names a PostgreSQL of {found}; Gatehouse needs {OLDEST_POSTGRESQL} or newer.")


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """A second setup of the same database waits here, and then finds everything in place.

    The lock belongs to the session, since migrations are transactions of their own; a process that dies gives it back.
    """
    with connections["migrator"].cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(hashtext('gatehouse.setup'))")
    try:
        yield
    finally:
        with suppress(DatabaseError), connections["migrator"].cursor() as cursor:  # a lost connection has lost the lock
            cursor.execute("SELECT pg_advisory_unlock(hashtext('gatehouse.setup'))")


def login_file() -> Path:
    return Path(settings.HOME) / "demo_login"


def remember_login(login: str) -> None:
    login_file().unlink(missing_ok=True)
    with open(login_file(), "x", opener=for_us_alone) as file:
        file.write(login.strip() + "\n")


def remembered_login() -> str:
    """The line to show, or nothing."""
    try:
        return login_file().read_text().strip() if settings.EMBEDDED else ""
    except OSError:
        return ""
