"""Plain connections, as the agents' role and as the owner, and a database that is nobody's test database."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from django.conf import settings
from psycopg import sql as q

from config import embedded
from tests.conftest import TEST_DATABASE, address, administrator, drop_database
from tests.contract.rows import Sql

AGENT, APP, READONLY = "gatehouse_agent", "gatehouse_app", "gatehouse_readonly"
OWNER = settings.DATABASES["migrator"]["USER"]
UNMARKED = f"{TEST_DATABASE}_unmarked"
embedded_only = pytest.mark.skipif(not settings.EMBEDDED, reason="only on the embedded server, where the roles log in")


@pytest.fixture
def agent(connect: Callable[..., Sql]) -> Sql:
    return connect(AGENT)


@pytest.fixture
def owner(connect: Callable[..., Sql]) -> Sql:
    return connect(OWNER)


@pytest.fixture(params=["agent", "owner"])
def sql(request: pytest.FixtureRequest, connect: Callable[..., Sql]) -> Sql:
    """The same test as an agent and as the owner of the schema."""
    return connect({"agent": AGENT, "owner": OWNER}[request.param])


@contextmanager
def new_database(name: str) -> Iterator[str]:
    """An empty database as a deployment has it: the owner's, and not marked as one that tests may empty."""
    drop_database(name)
    with administrator("postgres") as connection:
        connection.execute(q.SQL("CREATE DATABASE {} OWNER {}").format(q.Identifier(name), q.Identifier(OWNER)))
    if settings.EMBEDDED:
        embedded.prepare_database(embedded.home(), name)
    yield name
    drop_database(name)


@pytest.fixture(scope="session")
def unmarked(django_db_setup: None) -> Iterator[str]:
    """The name of a migrated database that is nobody's test database. What is committed there stays for the session."""
    with new_database(UNMARKED) as name:
        migrate(name)
        yield name


@pytest.fixture
def production(unmarked: str) -> Iterator[Sql]:
    """The owner in the unmarked database. Rolled back at the end."""
    connection = psycopg.connect(**address("migrator", dbname=unmarked))
    yield connection
    connection.rollback()
    connection.close()


@pytest.fixture
def two(unmarked: str) -> Iterator[tuple[Sql, Sql]]:
    """Two sessions that see what the other has committed; what one wants and the other holds is refused soon."""
    sessions = [psycopg.connect(**address("migrator", dbname=unmarked)) for _ in range(2)]
    for session in sessions:
        session.execute("SET lock_timeout = '100ms'")
        session.commit()
    yield sessions[0], sessions[1]
    for session in sessions:
        session.rollback()
        session.close()


def migrate(database: str, owner: str = OWNER) -> str:
    """`manage.py migrate` as a deployment runs it, against a database of the tests' server."""
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "DATABASE_URL": url("default", settings.DATABASES["default"]["USER"], database),
        "MIGRATOR_DATABASE_URL": url("migrator", owner, database),
        "SECRET_KEY": "only for tests",
    }
    command = [sys.executable, "manage.py", "migrate", "--no-color"]
    done = subprocess.run(command, cwd=settings.BASE_DIR, env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def url(alias: str, role: str, database: str) -> str:
    given: dict[str, Any] = settings.DATABASES[alias]
    user = ":".join(quote(part, safe="") for part in (role, given["PASSWORD"]) if part)
    return f"postgresql://{user}@{quote(given['HOST'], safe='')}:{given['PORT'] or 5432}/{database}"
