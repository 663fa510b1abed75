"""One real server for all tests, its schema made by the owner, everything else done as `gatehouse_app`."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from types import FrameType
from typing import Any

import psycopg
import pytest
from django.apps import apps
from django.conf import settings
from django.core.cache import cache
from django.core.management import call_command
from django.db import connections
from django.test import TransactionTestCase
from psycopg import sql

from audit.triggers import TEST_DATABASE_MARK
from config import embedded


def end(number: int, frame: FrameType | None) -> None:
    """As after Ctrl-C: what failed so far is told, and where it stood. It may be asked for more than once."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


# A shell lets what it starts in the background ignore Ctrl-C, and so would every process that a test interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGTERM, end)

# Another name lets two runs go on side by side; each worker of one run has a database of its own.
TEST_DATABASE = "_".join(
    filter(None, [os.environ.get("TEST_DATABASE", "test_gatehouse"), os.environ.get("PYTEST_XDIST_WORKER")])
)
LOCK_TIMEOUT = "60s"
SETUP = "gatehouse tests: setup"
# What migrations put there, and every test may count on.
KEPT = {"django_content_type", "auth_permission", "auth_group", "auth_group_permissions"}


# What takes long, or is in few files: begun first, so that no worker has one left when the others are done.
LONG = ("tests/e2e/", "tests/fleet/", "tests/benchmarks/", "tests/recovery/", "tests/test_hammer", "tests/api/test_sch")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.nodeid.startswith(LONG))


begun: set[str] = set()


def pytest_runtest_logstart(nodeid: str) -> None:
    begun.add(nodeid)


def pytest_runtest_logfinish(nodeid: str) -> None:
    begun.discard(nodeid)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What a run was at when it was cut."""
    for nodeid in sorted(begun):
        terminalreporter.write_line(f"NOT ENDED {nodeid}")


def address(alias: str, **changes: Any) -> dict[str, Any]:
    """psycopg's arguments for one of Django's connections."""
    given = settings.DATABASES[alias]
    plain = {"host": given["HOST"], "port": given["PORT"] or None, "user": given["USER"], "dbname": TEST_DATABASE}
    return {**plain, "password": given["PASSWORD"] or None, **changes}


def administrator(dbname: str) -> psycopg.Connection[Any]:
    """Who may make databases: the superuser of the embedded server, or the owner's login on another."""
    user = "postgres" if settings.EMBEDDED else settings.DATABASES["migrator"]["USER"]
    return psycopg.connect(**address("migrator", user=user, dbname=dbname), autocommit=True)


def create_database(name: str) -> None:
    """An empty database of the owner, marked as a test database so that it may be emptied between tests.

    Whoever waits there for a lock that never comes is told so: no test waits for another.
    """
    drop_database(name)
    identifier, owner = sql.Identifier(name), sql.Identifier(settings.DATABASES["migrator"]["USER"])
    with administrator("postgres") as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(identifier, owner))
        mark = sql.Literal(TEST_DATABASE_MARK)
        connection.execute(sql.SQL("COMMENT ON DATABASE {} IS {}").format(identifier, mark))
        connection.execute(sql.SQL("ALTER DATABASE {} SET lock_timeout = {}").format(identifier, LOCK_TIMEOUT))
    if settings.EMBEDDED:
        embedded.prepare_database(embedded.home(), name)


def drop_database(name: str) -> None:
    with administrator("postgres") as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(scope="session")
def server() -> Iterator[None]:
    with ExitStack() as stack:
        if settings.EMBEDDED:
            stack.enter_context(embedded.running(options={"fsync": "off", "autovacuum": "off"}))
        yield


@pytest.fixture(scope="session")
def django_db_setup(server: None, django_db_blocker: Any) -> Iterator[None]:
    with django_db_blocker.unblock(), administrator("postgres") as locks:
        (free,) = locks.execute("SELECT pg_try_advisory_lock(hashtext(%s))", [TEST_DATABASE]).fetchone() or (False,)
        if not free:
            told = f"Another run uses {TEST_DATABASE}: wait for its end, or set TEST_DATABASE to another name."
            pytest.fail(told, pytrace=False)
        # Roles belong to the whole server, and two workers would be in each other's way.
        locks.execute("SELECT pg_advisory_lock(hashtext(%s))", [SETUP])
        create_database(TEST_DATABASE)
        for connection in connections.all():
            connection.settings_dict["NAME"] = TEST_DATABASE
        call_command("create_roles", verbosity=0)
        locks.execute("SELECT pg_advisory_unlock(hashtext(%s))", [SETUP])
        call_command("migrate", verbosity=0, interactive=False)
        yield
        for connection in connections.all():
            connection.close()
        drop_database(TEST_DATABASE)


def _empty_as_owner(self: TransactionTestCase) -> None:
    """What Django's flush does, as the role that may: `gatehouse_app` truncates nothing."""
    tables = sorted({model._meta.db_table for model in apps.get_models(include_auto_created=True)} - KEPT)
    with psycopg.connect(**address("migrator")) as connection:
        connection.execute(sql.SQL("TRUNCATE {}").format(sql.SQL(", ").join(map(sql.Identifier, tables))))
        connection.execute("INSERT INTO system_control DEFAULT VALUES")
        connection.execute("TRUNCATE audit_log")  # the line above has left a row


TransactionTestCase._fixture_teardown = _empty_as_owner  # type: ignore[method-assign]


@pytest.fixture(autouse=True)
def forget() -> None:
    """What one test has kept for some minutes is not the next one's."""
    cache.clear()


@pytest.fixture
def connect(django_db_setup: None) -> Iterator[Callable[..., psycopg.Connection[Any]]]:
    """Plain SQL as any role, never through Django: `connect("gatehouse_agent")`. Rolled back at the end."""
    opened: list[psycopg.Connection[Any]] = []

    def opener(role: str, **options: Any) -> psycopg.Connection[Any]:
        alias = "default" if role == "gatehouse_app" else "migrator"
        login = role if settings.EMBEDDED else settings.DATABASES[alias]["USER"]
        connection = psycopg.connect(**address(alias, user=login), **options)
        if login != role:
            connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
        opened.append(connection)
        return connection

    yield opener
    for connection in opened:
        connection.rollback()
        connection.close()
