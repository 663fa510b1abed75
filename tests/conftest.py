"""One real server for all tests, its schema made by the owner, everything else done as `gatehouse_app`."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
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

TEST_DATABASE = os.environ.get("TEST_DATABASE", "test_gatehouse")  # another name lets two runs go on side by side
# What migrations put there, and every test may count on.
KEPT = {"django_content_type", "auth_permission", "auth_group", "auth_group_permissions"}


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
    """An empty database of the owner, marked as a test database so that it may be emptied between tests."""
    drop_database(name)
    identifier, owner = sql.Identifier(name), sql.Identifier(settings.DATABASES["migrator"]["USER"])
    with administrator("postgres") as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(identifier, owner))
        mark = sql.Literal(TEST_DATABASE_MARK)
        connection.execute(sql.SQL("COMMENT ON DATABASE {} IS {}").format(identifier, mark))
    if settings.EMBEDDED:
        embedded.prepare_database(embedded.home(), name)


def drop_database(name: str) -> None:
    with administrator("postgres") as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(scope="session")
def server() -> Iterator[None]:
    with ExitStack() as stack:
        if settings.EMBEDDED:
            stack.enter_context(embedded.running(options={"fsync": "off"}))
        yield


@pytest.fixture(scope="session")
def django_db_setup(server: None, django_db_blocker: Any) -> Iterator[None]:
    with django_db_blocker.unblock():
        create_database(TEST_DATABASE)
        for connection in connections.all():
            connection.settings_dict["NAME"] = TEST_DATABASE
        call_command("create_roles", verbosity=0)
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
