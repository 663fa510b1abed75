"""`check_migrations` refuses what keeps a running version waiting or breaks it, and lets the same be done in steps."""

import json
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from django.contrib.postgres.operations import (
    AddConstraintNotValid,
    AddIndexConcurrently,
    RemoveIndexConcurrently,
    ValidateConstraint,
)
from django.core.management import CommandError, call_command
from django.db import connections, models
from django.db.migrations import Migration, operations
from django.db.migrations.loader import MigrationLoader

from audit.base import SQLNow
from config import migration_rules
from config.management.commands import check_migrations
from config.migration_rules import Checked, check

pytestmark = pytest.mark.usefixtures("database")

POSITIVE = models.CheckConstraint(condition=models.Q(priority__gt=""), name="task_effort_check")
BY_TITLE = models.Index(fields=["title"], name="idx_task_title")
BY_PLATFORM = models.Index(fields=["platform"], name="idx_metric_event_platform")
STATE_ONLY = operations.SeparateDatabaseAndState(state_operations=[operations.RemoveField("task", "title")])
NEW_TABLE = operations.CreateModel(
    "Note",
    [
        ("id", models.BigAutoField(primary_key=True)),
        ("task", models.ForeignKey("campaigns.Task", models.DO_NOTHING)),
        ("amount", models.PositiveIntegerField(default=1)),
    ],
    options={"db_table": "note", "indexes": [models.Index(fields=["amount"], name="idx_note_amount")]},
)


def add(field: Any) -> operations.AddField:
    return operations.AddField("task", "effort", field)


def sql(text: str, reverse: str | None = operations.RunSQL.noop) -> operations.RunSQL:
    return operations.RunSQL(text, reverse)


def fill(apps: Any, editor: Any) -> None:
    raise AssertionError("It is looked at, and never run.")


@pytest.fixture
def database(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Outside a transaction, as CONCURRENTLY wants it. Nothing is written."""
    with django_db_blocker.unblock():
        yield


class House:
    """The loader of all migrations, to which one more can be added and taken away again."""

    def __init__(self) -> None:
        self.loader = MigrationLoader(connections["migrator"])
        self.added: list[tuple[str, str]] = []

    def add(self, app: str, name: str, *given: Any, atomic: bool = True, **attributes: Any) -> Migration:
        kind = type("Migration", (Migration,), {"operations": list(given), "atomic": atomic, **attributes})
        migration, last = kind(name, app), self.loader.graph.leaf_nodes(app)[0]
        self.loader.graph.add_node((app, name), migration)
        self.loader.graph.add_dependency(migration, (app, name), last)
        self.added.append((app, name))
        return migration

    def check(self, *given: Any, app: str = "campaigns", **options: Any) -> Checked:
        migration = self.add(app, "0099_next", *given, **options)
        return next(check([migration], self.loader, "migrator"))


@pytest.fixture
def house(database: None) -> House:
    return House()


def rules(checked: Checked) -> set[str]:
    return {refusal.rule for refusal in checked.refusals}


REFUSED: list[tuple[str, list[Any], dict[str, Any]]] = [
    ("adding-required-field", [add(models.IntegerField())], {}),
    ("ban-drop-default", [add(models.IntegerField(default=5))], {}),
    ("adding-field-with-default", [add(models.DateTimeField(db_default=models.functions.Random()))], {}),
    ("adding-checked-column", [add(models.PositiveIntegerField(null=True))], {}),
    ("disallowed-unique-constraint", [add(models.IntegerField(null=True, unique=True))], {}),
    ("ban-drop-column", [operations.RemoveField("task", "title")], {}),
    ("renaming-column", [operations.RenameField("task", "title", "name")], {}),
    ("renaming-table", [operations.AlterModelTable("task", "job")], {}),
    ("ban-drop-table", [operations.DeleteModel("SystemControl")], {}),
    ("changing-column-type", [operations.AlterField("task", "title", models.IntegerField(null=True))], {}),
    ("adding-not-nullable-field", [sql("ALTER TABLE task ALTER COLUMN title SET NOT NULL")], {}),
    ("require-concurrent-index-creation", [operations.AddIndex("task", BY_TITLE)], {}),
    ("require-concurrent-index-deletion", [sql("DROP INDEX idx_task_status")], {}),
    ("constraint-missing-not-valid", [operations.AddConstraint("task", POSITIVE)], {}),
    (
        "constraint-missing-not-valid",
        [AddConstraintNotValid("task", POSITIVE), ValidateConstraint("task", POSITIVE.name)],
        {},
    ),
    (
        "adding-foreign-key-constraint",
        [sql("ALTER TABLE task ADD FOREIGN KEY (title) REFERENCES agent (agent_id)")],
        {},
    ),
    ("ban-drop-constraint", [sql("ALTER TABLE task DROP CONSTRAINT task_status_check")], {}),
    ("locks-everybody-out", [sql("LOCK TABLE task")], {}),
    ("locks-everybody-out", [sql("ALTER TABLE task DISABLE TRIGGER ALL")], {}),
    ("data-with-schema", [sql("UPDATE task SET title = ''"), add(models.IntegerField(null=True))], {"estimate": "1 s"}),
    (
        "data-with-schema",
        [operations.RunPython(fill, fill), add(models.IntegerField(null=True))],
        {"estimate": "1 s"},
    ),
    ("no-estimate", [operations.RunPython(fill, fill)], {"atomic": False}),
    ("no-estimate", [sql("UPDATE task SET title = ''")], {}),
    ("irreversible", [operations.RunPython(fill)], {"atomic": False, "estimate": "1 s"}),
    ("irreversible", [sql("CREATE VIEW v AS SELECT 1", None)], {}),
    ("ban-concurrent-index-creation-in-transaction", [sql("CREATE INDEX CONCURRENTLY i ON task (title)")], {}),
    (
        "several-outside-transaction",
        [AddIndexConcurrently("task", BY_TITLE), sql("CREATE INDEX CONCURRENTLY i ON task (title)")],
        {"atomic": False},
    ),
    ("schema-outside-transaction", [add(models.IntegerField(null=True))], {"atomic": False}),
    ("concurrent-index-of-months", [operations.AddIndex("metricevent", BY_PLATFORM)], {"app": "metrics"}),
    ("ban-concurrent-index-creation-in-transaction", [AddIndexConcurrently("task", BY_TITLE)], {}),
    (
        "concurrent-index-of-months",
        [AddIndexConcurrently("metricevent", BY_PLATFORM)],
        {"app": "metrics", "atomic": False},
    ),
]


@pytest.mark.parametrize(
    ("rule", "given", "options"), REFUSED, ids=[f"{n}-{case[0]}" for n, case in enumerate(REFUSED)]
)
def test_what_keeps_waiting_or_breaks_is_refused(house: House, rule: str, given: list[Any], options: Any) -> None:
    checked = house.check(*given, **options)
    assert rules(checked) == {rule}
    assert not checked.ok
    assert all(refusal.sentence == migration_rules.SENTENCES[rule] for refusal in checked.refusals)


ACCEPTED: list[tuple[str, list[Any], dict[str, Any]]] = [
    ("a nullable column", [add(models.IntegerField(null=True))], {}),
    ("a nullable column that Python fills", [add(models.IntegerField(null=True, default=5))], {}),
    ("a default of the database", [add(models.IntegerField(db_default=5))], {}),
    ("the time of the statement", [add(models.DateTimeField(db_default=SQLNow()))], {}),
    ("a key that is NULL", [add(models.ForeignKey("agents.Agent", models.DO_NOTHING, null=True, db_index=False))], {}),
    ("a column taken out of the code", [STATE_ONLY], {}),
    ("a check for new rows", [AddConstraintNotValid("task", POSITIVE)], {}),
    ("an index beside writers", [AddIndexConcurrently("task", BY_TITLE)], {"atomic": False}),
    ("an index given up", [RemoveIndexConcurrently("task", "idx_task_status")], {"atomic": False}),
    (
        "an index of each month",
        [
            sql(
                "CREATE INDEX CONCURRENTLY IF NOT EXISTS a ON metric_event_2026_11 (platform);"
                "CREATE INDEX CONCURRENTLY IF NOT EXISTS b ON metric_event_2026_12 (platform)"
            )
        ],
        {"app": "metrics", "atomic": False},
    ),
    ("a unique index taken on", [sql("ALTER TABLE task ADD CONSTRAINT u UNIQUE USING INDEX i")], {}),
    ("rows that somebody has measured", [operations.RunPython(fill, fill)], {"atomic": False, "estimate": "9 s"}),
    ("a new table with all that belongs to it", [NEW_TABLE], {}),
    ("rows of a new table", [NEW_TABLE, sql("INSERT INTO note (amount) VALUES (1)")], {}),
    ("a function", [sql("CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS $$ UPDATE task SET x = 1 $$")], {}),
    ("the index of a parent", [sql("CREATE INDEX i ON ONLY metric_event (platform)")], {"app": "metrics"}),
]


@pytest.mark.parametrize(("given", "options"), [case[1:] for case in ACCEPTED], ids=[case[0] for case in ACCEPTED])
def test_what_a_running_version_does_not_notice_is_accepted(house: House, given: list[Any], options: Any) -> None:
    checked = house.check(*given, **options)
    assert (checked.refusals, checked.ok) == ([], True)


def test_what_is_validated_in_the_next_migration_is_accepted(house: House) -> None:
    added = house.add("campaigns", "0098_rule", AddConstraintNotValid("task", POSITIVE))
    validated = house.add("campaigns", "0099_rule_holds", ValidateConstraint("task", POSITIVE.name))
    assert [one.ok for one in check([added, validated], house.loader, "migrator")] == [True, True]


def test_a_table_is_new_for_the_whole_release(house: House) -> None:
    made = house.add("campaigns", "0098_note", NEW_TABLE)
    more = house.add("campaigns", "0099_more", operations.AddField("note", "text", models.TextField()))
    assert [one.ok for one in check([made, more], house.loader, "migrator")] == [True, True]
    assert rules(next(check([more], house.loader, "migrator"))) == {"adding-required-field"}


def test_a_trigger_that_is_replaced_is_no_reason(house: House) -> None:
    """As makemigrations writes it when a rule's text has changed."""
    from pgtrigger.migrations import AddTrigger, RemoveTrigger

    from campaigns.models import Task

    trigger = Task._meta.triggers[0]
    given = [RemoveTrigger("task", trigger.name), AddTrigger("task", trigger.compile(Task))]
    assert house.check(*given).refusals == []


def test_a_new_table_of_months_is_no_reason(house: House) -> None:
    made = house.loader.get_migration("metrics", "0001_metric_tables")
    assert rules(next(check([made], house.loader, "migrator"))) == set()


def test_an_exception_is_reviewed_and_shown(house: House) -> None:
    reason = "Nobody reads it since 0.3."
    drop = operations.RemoveField("task", "title")
    checked = house.check(drop, reviewed={"ban-drop-column": reason})
    assert checked.ok
    assert [refusal.reviewed for refusal in checked.refusals] == [reason]


@pytest.mark.parametrize("reviewed", [{"ban-drop-column": " "}, {"ban-drop-table": "gone"}], ids=["empty", "another"])
def test_an_exception_needs_a_reason(house: House, reviewed: dict[str, str]) -> None:
    assert not house.check(operations.RemoveField("task", "title"), reviewed=reviewed).ok


def test_an_exception_to_a_rule_that_is_kept_is_refused(house: House) -> None:
    assert not house.check(add(models.IntegerField(null=True)), reviewed={"ban-drop-column": "gone"}).ok


def test_every_sentence_says_who_and_how(house: House) -> None:
    for rule, sentence in migration_rules.SENTENCES.items():
        assert sentence.endswith("."), rule
        assert rule not in migration_rules.NOT_HEEDED


# --- The command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def next_release(house: House, monkeypatch: pytest.MonkeyPatch) -> House:
    """What the command finds unapplied: the migrations added to this house."""

    def pending(executor: Any) -> list[Migration]:
        executor.loader = house.loader
        return [house.loader.graph.nodes[key] for key in house.added]

    monkeypatch.setattr(check_migrations, "pending", pending)
    return house


def told(*arguments: str, **options: Any) -> str:
    out = StringIO()
    call_command("check_migrations", *arguments, stdout=out, **options)
    return out.getvalue()


def test_where_every_migration_is_applied_nothing_is_to_check() -> None:
    assert told() == "Nothing to check: every migration is applied.\n"


def test_a_refusal_is_a_sentence_and_a_failure(next_release: House) -> None:
    next_release.add("campaigns", "0099_tidy", operations.RemoveField("task", "title"))
    out = StringIO()
    with pytest.raises(CommandError, match="1 of 1 migrations must not be applied while another version runs"):
        call_command("check_migrations", stdout=out)
    assert 'campaigns.0099_tidy: refused\n  ALTER TABLE "task" DROP COLUMN "title"' in out.getvalue()
    assert "each of its requests would fail" in out.getvalue()


def test_programs_get_json(next_release: House) -> None:
    reviewed = {"ban-drop-column": "Nobody reads it since 0.3."}
    next_release.add("campaigns", "0099_tidy", operations.RemoveField("task", "title"), reviewed=reviewed)
    answer = json.loads(told(json=True))
    assert (answer["first_installation"], answer["ok"]) == (False, True)
    (migration,) = answer["migrations"]
    assert migration["migration"] == "campaigns.0099_tidy"
    assert migration["refusals"][0]["reviewed"] == reviewed["ban-drop-column"]


def test_what_is_applied_can_be_named() -> None:
    assert told("metrics.0001") == "metrics.0001_metric_tables: may be applied\n"


@pytest.mark.parametrize("name", ["nothing", "nothing.0001", "metrics.0099", "accounts.000"])
def test_a_name_that_is_none_gets_a_sentence(name: str) -> None:
    with pytest.raises(CommandError, match=r"There is (no migration|more than one)"):
        told(name)
