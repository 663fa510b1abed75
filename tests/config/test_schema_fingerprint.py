"""The schema's fingerprint: what somebody changes by hand is seen and named, and what time changes is not."""

import json
from collections.abc import Iterator
from io import StringIO
from typing import Any

import psycopg
import pytest
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from config import schema_fingerprint
from metrics import partitions
from tests.conftest import TEST_DATABASE, address

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "migrator"])
Owner = psycopg.Connection[Any]
TRIGGER = """
    SELECT pg_get_triggerdef(oid), tgrelid::regclass::text, tgname FROM pg_trigger
    WHERE tgrelid = 'task'::regclass AND NOT tgisinternal ORDER BY tgname LIMIT 1
"""


@pytest.fixture
def owner(django_db_setup: None) -> Iterator[Owner]:
    with psycopg.connect(**address("migrator", dbname=TEST_DATABASE), autocommit=True) as session:
        yield session


@pytest.fixture
def dropped(owner: Owner) -> Iterator[str]:
    """The name of a trigger that somebody has dropped; it is there again at the end."""
    definition, table, name = owner.execute(TRIGGER).fetchone() or ("", "", "")
    owner.execute(f'DROP TRIGGER "{name}" ON {table}')
    yield f"trigger {name} of {table}"
    owner.execute(definition)
    assert schema_fingerprint.compare().alarm == ""


def readyz() -> dict[str, Any]:
    cache.clear()
    told: dict[str, Any] = Client().get("/readyz").json()
    return told


def schema_warnings() -> list[str]:
    return [warning for warning in readyz()["warnings"] if warning.startswith("the schema")]


def migrate() -> str:
    err = StringIO()
    call_command("migrate", verbosity=0, stderr=err)
    return err.getvalue()


def test_what_the_migrations_made_is_what_is_there() -> None:
    compared = schema_fingerprint.compare()
    assert (compared.alarm, compared.differences) == ("", [])
    assert readyz()["schema"] == compared.fingerprint[:12]
    assert schema_warnings() == []
    out = StringIO()
    call_command("check_schema", stdout=out)
    assert out.getvalue() == f"The schema is what the migrations made: {compared.fingerprint[:12]}.\n"


def test_python_and_postgresql_come_to_the_same_figure() -> None:
    assert schema_fingerprint.of(schema_fingerprint.found_objects("default")) == schema_fingerprint.fingerprint(
        "default"
    )
    kinds = {name.split()[0] for name in schema_fingerprint.found_objects("default")}
    assert kinds == {"table", "view", "column", "constraint", "index", "trigger", "function", "privileges"}


def test_a_dropped_trigger_is_a_warning_and_no_reason_to_be_taken_away(dropped: str) -> None:
    answer = Client().get("/readyz")
    assert answer.status_code == 200
    assert schema_warnings() == ["the schema is not what the migrations made, one difference: run check_schema"]
    assert dropped not in answer.content.decode()  # names are not for strangers


def test_the_command_names_it_and_says_how_it_ought_to_be(dropped: str) -> None:
    out = StringIO()
    with pytest.raises(CommandError, match="is not what the migrations made, one difference"):
        call_command("check_schema", stdout=out)
    assert out.getvalue().startswith(f"{dropped} is gone.\n  ought to be: CREATE TRIGGER ")


def test_programs_get_json(dropped: str) -> None:
    out = StringIO()
    with pytest.raises(CommandError):
        call_command("check_schema", stdout=out, json=True)
    (difference,) = json.loads(out.getvalue())["differences"]
    assert (difference["name"], difference["found"]) == (dropped, None)


def test_migrate_tells_it_and_does_not_bless_it(dropped: str) -> None:
    assert migrate() == f"Changed by hand since the last migrate: {dropped} is gone; check_schema shows how.\n"
    assert [one.name for one in schema_fingerprint.compare().differences] == [dropped]


@pytest.mark.parametrize(
    ("change", "back", "told"),
    [
        ("CREATE INDEX by_hand ON task (title)", "DROP INDEX by_hand", "index by_hand of task was added"),
        (
            "ALTER TABLE task ALTER title SET DEFAULT 'x'",
            "ALTER TABLE task ALTER title DROP DEFAULT",
            "column title of task was changed",
        ),
        (
            "GRANT DELETE ON task TO gatehouse_app",
            "REVOKE DELETE ON task FROM gatehouse_app",
            "privileges of gatehouse_app on task was changed",
        ),
        ("CREATE TABLE by_hand ()", "DROP TABLE by_hand", "table by_hand was added"),
    ],
    ids=["an index", "a default", "a privilege", "a table"],
)
def test_other_changes_are_named_too(owner: Owner, change: str, back: str, told: str) -> None:
    owner.execute(change)
    try:
        assert [str(one) for one in schema_fingerprint.compare().differences] == [told]
    finally:
        owner.execute(back)
    assert schema_fingerprint.compare().alarm == ""


def test_what_somebody_has_looked_at_can_be_accepted(owner: Owner) -> None:
    owner.execute("CREATE INDEX by_hand ON task (title)")
    try:
        call_command("check_schema", accept=True, stdout=StringIO(), stderr=StringIO())
        assert schema_fingerprint.compare().alarm == ""
    finally:
        owner.execute("DROP INDEX by_hand")
        call_command("check_schema", accept=True, stdout=StringIO(), stderr=StringIO())


def test_months_and_what_is_restored_beside_them_change_nothing(owner: Owner) -> None:
    before = schema_fingerprint.fingerprint("default")
    last = max(partitions.existing(partitions.EVENTS))
    leaf = partitions.EVENTS.leaf(last.plus(1))
    owner.execute(f"CREATE TABLE {leaf}_restoring (LIKE metric_event INCLUDING ALL)")
    owner.execute(
        f"CREATE TABLE {leaf} PARTITION OF metric_event"
        f" FOR VALUES FROM ('{last.plus(1).start.isoformat()}') TO ('{last.plus(2).start.isoformat()}')"
    )
    try:
        assert schema_fingerprint.fingerprint("default") == before
    finally:
        owner.execute(f"DROP TABLE {leaf}, {leaf}_restoring")


def test_a_migrate_that_was_killed_is_told_and_its_work_is_no_change_by_hand(owner: Owner) -> None:
    assert schema_fingerprint.begin("migrator") == []
    assert schema_warnings() == [
        "the schema is not compared: a migrate is under way, or was ended before its end; run it again"
    ]
    owner.execute("CREATE TABLE made_by_a_migration ()")
    try:
        assert migrate() == ""
        assert schema_fingerprint.compare().alarm == ""
    finally:
        owner.execute("DROP TABLE made_by_a_migration")
        schema_fingerprint.accept("migrator")


def test_another_ruler_s_figures_are_not_compared(owner: Owner) -> None:
    (ruler,) = owner.execute("SELECT ruler FROM schema_record").fetchone() or ("",)
    owner.execute("UPDATE schema_record SET ruler = 'of an older version', fingerprint = 'x'")
    try:
        assert schema_fingerprint.compare().alarm == ""
    finally:
        schema_fingerprint.accept("migrator")
    assert owner.execute("SELECT ruler FROM schema_record").fetchone() == (ruler,)


def test_it_is_read_at_most_once_a_minute() -> None:
    readyz()
    with CaptureQueriesContext(connection) as queries:
        Client().get("/readyz")
    assert not [query for query in queries if "schema_record" in query["sql"] or "pg_get_triggerdef" in query["sql"]]
