"""What a migration must not do to a version that is running: keep it waiting, or break it.

What blocks is found by squawk, a linter for PostgreSQL, in the SQL that Django would run. Ours is what squawk does not
know: which tables are new with this release, what Django's statements mean together, which migrations are one
transaction, and sentences that say what would happen to whom. Tables that come with the release are nobody's yet:
everything may be done to them.
"""

import json
import re
import subprocess
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from django.db import NotSupportedError, connections
from django.db.migrations import Migration
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations import RunPython, RunSQL, SeparateDatabaseAndState
from django.db.migrations.operations.base import Operation

SQUAWK = Path(sysconfig.get_path("scripts")) / "squawk"
POSTGRESQL = "18.0"
# Taste, and what `migrate` sees to itself: it sets lock_timeout, and sqlmigrate's BEGIN and COMMIT are its own.
NOT_HEEDED = (
    "ban-char-field",
    "ban-drop-function",  # triggers call ours; PostgreSQL refuses while one does
    "prefer-bigint-over-int",
    "prefer-bigint-over-smallint",
    "prefer-identity",
    "prefer-robust-stmts",
    "prefer-text-field",
    "prefer-timestamptz",
    "require-lock-timeout",
    "require-statement-timeout",
    "transaction-nesting",
)
# Squawk's rules and ours: what would happen to whom, and how it is done instead.
SENTENCES = {
    "adding-field-with-default": (
        "Every row would be written anew while nobody reads or writes the table, because this default differs from row "
        "to row. Add the column nullable, fill it in batches in a later migration, then set the default."
    ),
    "adding-foreign-key-constraint": (
        "Writers of both tables would wait while every row is looked up. Add the key NOT VALID, and VALIDATE it in the "
        "next migration."
    ),
    "adding-not-nullable-field": (
        "Everybody would wait while the whole table is read, and a running version that leaves the column out would "
        "be refused. When no running version does so any more: ADD CONSTRAINT … NOT NULL … NOT VALID, and VALIDATE it "
        "in the next migration."
    ),
    "adding-required-field": (
        "The running version does not know this column, and each of its inserts would be refused; where the table has "
        "rows, so is this statement. Add it nullable or with a db_default, fill it, and demand it in a later release."
    ),
    "ban-alter-domain-with-add-constraint": "Every table with this domain would be read while nobody writes to it.",
    "ban-concurrent-index-creation-in-transaction": (
        "PostgreSQL refuses this inside a transaction. Put it into a migration of its own with atomic = False."
    ),
    "ban-drop-column": (
        "The running version still reads and writes this column, and each of its requests would fail. First take it "
        "out of the code (RemoveField in SeparateDatabaseAndState, state only); drop it in the release after, when no "
        "such version runs, with that as the reason in `reviewed`."
    ),
    "ban-drop-constraint": (
        "The running version counts on this rule: what it refuses today would come in, and the new rule may find rows "
        "that break it. Add the new one first, under another name and NOT VALID; drop the old one in the release after."
    ),
    "ban-drop-default": (
        "The running version leaves this column out of its inserts, and each would be refused when Django takes the "
        "default away again. Give the field a db_default."
    ),
    "ban-drop-not-null": "The running version may read a NULL that it does not expect. Say in `reviewed` why it can.",
    "ban-drop-table": (
        "The running version still uses this table. First take the model out of the code (DeleteModel in "
        "SeparateDatabaseAndState, state only); drop it in the release after."
    ),
    "changing-column-type": (
        "Everybody would wait while every row and index is written anew, and the running version would get values of "
        "another type. Add a new column, write both, fill the old rows in batches, then read the new one."
    ),
    "constraint-missing-not-valid": (
        "Writers would wait while every row is checked. Add the constraint NOT VALID (AddConstraintNotValid), and "
        "validate it in the next migration (ValidateConstraint)."
    ),
    "disallowed-unique-constraint": (
        "Everybody would wait while the index is built. Build a unique index CONCURRENTLY in a migration of its own, "
        "then ADD CONSTRAINT … UNIQUE USING INDEX."
    ),
    "renaming-column": (
        "The running version asks for the old name, and each of its requests would fail. Keep the column's name with "
        "db_column, or add a new column, write both, and drop the old one later."
    ),
    "renaming-table": (
        "The running version asks for the old name, and each of its requests would fail. Keep it with Meta.db_table."
    ),
    "require-concurrent-index-creation": (
        "Writers would wait while the index is built. Build it CONCURRENTLY (AddIndexConcurrently) in a migration of "
        "its own with atomic = False. For an index that a foreign key brings: db_index=False, and the index after."
    ),
    "require-concurrent-index-deletion": (
        "Everybody would wait for the longest query that uses the table. Drop it CONCURRENTLY "
        "(RemoveIndexConcurrently) in a migration of its own with atomic = False."
    ),
    # Ours.
    "adding-checked-column": (
        "Everybody would wait while the whole table is read, because the column brings a check of its own (as "
        "PositiveIntegerField does). Add the column without it, and the check NOT VALID."
    ),
    "concurrent-index-of-months": (
        "PostgreSQL builds no index CONCURRENTLY on a table with partitions. Create it ON ONLY the parent, build one "
        "CONCURRENTLY on each month in a migration of its own, and attach each with ALTER INDEX … ATTACH PARTITION."
    ),
    "data-with-schema": (
        "The locks of the schema change would be held while rows are written, with everybody waiting. Put the rows "
        "into a migration of their own."
    ),
    "locks-everybody-out": (
        "Nobody could use the table, or its rules would not hold, while this runs. It is nothing for a migration."
    ),
    "no-estimate": (
        "Nobody knows how long this takes on a large database. Measure it, and say so in the migration: estimate = “…”."
    ),
    "irreversible": (
        "After a bad deploy there would be no way back over this migration. Give it its reverse; a noop will do where "
        "the version before does not mind what was done."
    ),
    "schema-outside-transaction": (
        "Without a transaction this waits for its lock without an end, with everybody queued behind it, and a run that "
        "is killed leaves it half done. With atomic = False do only what is CONCURRENTLY, VALIDATE, or rows in batches."
    ),
    "several-outside-transaction": (
        "A run that is killed between the two could not be run again, since the first one is there. Put each into a "
        "migration of its own, or write IF NOT EXISTS."
    ),
}
# What was looked at in libraries' migrations, which cannot say so themselves: {"axes.0011_…": {rule: reason}}
ELSEWHERE: dict[str, dict[str, str]] = {}

NAME = r'"?(?P<table>\w+)"?'
TABLE = re.compile(
    rf"(?:ALTER TABLE|UPDATE|DELETE FROM|INSERT INTO|DROP TABLE|TRUNCATE(?: TABLE)?)(?: IF EXISTS)?(?: ONLY)? {NAME}"
    rf"|CREATE (?:UNIQUE )?INDEX .*?\bON (?:ONLY )?{NAME.replace('table', 'indexed')}",
    re.IGNORECASE,
)
NEW_TABLE = re.compile(rf"CREATE (?:UNLOGGED )?TABLE (?:IF NOT EXISTS )?{NAME}", re.IGNORECASE)
HIDDEN = re.compile(r"\$(\w*)\$.*?\$\1\$|'(?:[^']|'')*'|--[^\n]*|/\*.*?\*/", re.DOTALL)  # bodies, texts, comments
LOCKS_OUT = re.compile(
    r"TRUNCATE|CLUSTER|VACUUM FULL|VACUUM \(.*FULL|LOCK |REFRESH MATERIALIZED VIEW (?!CONCURRENTLY)"
    r"|ALTER TABLE .*(SET (UN)?LOGGED|SET TABLESPACE|SET ACCESS METHOD|DISABLE TRIGGER)",
    re.IGNORECASE,
)
WRITES_ROWS = re.compile(r"(UPDATE|DELETE|INSERT|MERGE|WITH)\b", re.IGNORECASE)
SCHEMA = re.compile(r"(ALTER|CREATE|DROP|COMMENT|GRANT|REVOKE)\b", re.IGNORECASE)
SAME_FOR_ALL = r"DEFAULT \(?((now|statement_timestamp|transaction_timestamp)\(\)|CURRENT_TIMESTAMP)"
HARMLESS_ALONE = re.compile(r"\bCONCURRENTLY\b|VALIDATE CONSTRAINT|ATTACH PARTITION", re.IGNORECASE)


@dataclass(frozen=True)
class Statement:
    start: int
    text: str  # one line, as it would be run
    bare: str  # without texts, bodies and comments

    @property
    def table(self) -> str:
        found = TABLE.match(self.bare)
        return (found["table"] or found["indexed"]) if found else ""

    def has(self, words: str) -> bool:
        return re.search(rf"\b{words}(?!\w)", self.bare, re.IGNORECASE) is not None


@dataclass(frozen=True)
class Refusal:
    migration: str
    rule: str
    statement: str
    sentence: str
    reviewed: str = ""  # the reason for which it may be done all the same


@dataclass(frozen=True)
class Checked:
    migration: str
    refusals: list[Refusal]
    unused: list[str]  # exceptions to rules that it does not break

    @property
    def ok(self) -> bool:
        return not self.unused and all(refusal.reviewed for refusal in self.refusals)


def check(migrations: Sequence[Migration], loader: MigrationLoader, using: str) -> Iterator[Checked]:
    """Each migration in turn, with what the ones before it have made."""
    new: set[str] = set()
    partitioned = partitioned_tables(using)
    for migration in migrations:
        name = f"{migration.app_label}.{migration.name}"
        try:
            script = script_of(migration, loader, using)
        except NotSupportedError as problem:  # Django's operations say so themselves
            rule = "ban-concurrent-index-creation-in-transaction"
            yield Checked(name, [Refusal(name, rule, str(problem), SENTENCES[rule])], [])
            continue
        statements = statements_in(script)
        new |= {found["table"] for one in statements if (found := NEW_TABLE.match(one.bare))}
        broken = [
            *from_squawk(script, statements, new, partitioned),
            *from_statements(statements, new, partitioned, atomic=migration.atomic),
            *from_operations(migration, statements, new),
        ]
        reviewed: dict[str, str] = {**ELSEWHERE.get(name, {}), **getattr(migration, "reviewed", {})}
        refusals = [replace(one, migration=name, reviewed=reviewed.get(one.rule, "").strip()) for one in broken]
        yield Checked(name, unique(refusals), sorted(reviewed.keys() - {one.rule for one in refusals}))


def unique(refusals: Iterable[Refusal]) -> list[Refusal]:
    return list(dict.fromkeys(refusals))


def partitioned_tables(using: str) -> set[str]:
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT relname FROM pg_class WHERE relkind = 'p'")
        return {name for (name,) in cursor.fetchall()}


def script_of(migration: Migration, loader: MigrationLoader, using: str) -> str:
    """What Django would run, as `sqlmigrate` shows it."""
    state = loader.project_state((migration.app_label, migration.name), at_end=False)
    with connections[using].schema_editor(collect_sql=True, atomic=migration.atomic) as editor:
        migration.apply(state, editor, collect_sql=True)
    lines = [str(line) for line in editor.collected_sql]
    return "\n".join(["BEGIN;", *lines, "COMMIT;", ""] if migration.atomic else [*lines, ""])


def statements_in(script: str) -> list[Statement]:
    bare = HIDDEN.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), script)
    found, start = [], 0
    for end in [match.start() for match in re.finditer(";", bare)] + [len(bare)]:
        words = " ".join(bare[start:end].split())
        if words and words not in {"BEGIN", "COMMIT"}:
            first = start + len(bare[start:end]) - len(bare[start:end].lstrip())
            found.append(Statement(first, " ".join(script[first:end].split()), words))
        start = end + 1
    return found


def from_squawk(
    script: str, statements: Sequence[Statement], new: set[str], partitioned: set[str]
) -> Iterator[Refusal]:
    lines = script.split("\n")
    for told in squawk(script):
        at = sum(len(line) + 1 for line in lines[: told["line"]]) + int(told["column"])
        statement = max((one for one in statements if one.start <= at), key=lambda one: one.start, default=None)
        rule = str(told["rule_name"])
        if statement is None or statement.table in new or harmless(rule, statement, statements, partitioned):
            continue
        if rule == "require-concurrent-index-creation" and statement.table in partitioned:
            rule = "concurrent-index-of-months"
        own = f"{told['message']} {told.get('help') or ''}".strip()
        yield Refusal("", rule, statement.text, SENTENCES.get(rule, own))


def harmless(rule: str, statement: Statement, statements: Sequence[Statement], partitioned: set[str]) -> bool:
    """What squawk cannot know, as it looks at one statement at a time."""
    if rule == "adding-foreign-key-constraint":  # a column of NULLs is not looked up, and what is not enforced is not
        fresh = statement.has("ADD COLUMN") and not statement.has("DEFAULT") and not statement.has("NOT NULL")
        return fresh or statement.has("NOT ENFORCED")
    if rule == "constraint-missing-not-valid":  # another rule says it better
        return statement.has("ADD") and statement.has("(FOREIGN KEY|UNIQUE)")
    if rule == "adding-field-with-default":  # one value for all rows, or none that is stored
        return statement.has(SAME_FOR_ALL) or statement.has("VIRTUAL")
    if rule == "require-concurrent-index-creation":  # ON ONLY a parent: an index without content
        return statement.has("ON ONLY") and statement.table in partitioned
    if rule == "ban-drop-default":  # of a column that was added nullable just before
        column = re.search(r'ALTER COLUMN "?(\w+)"? DROP DEFAULT', statement.bare, re.IGNORECASE)
        added = rf'ADD COLUMN "?{column[1]}"? ' if column else "$^"
        return any(
            one.table == statement.table and re.search(added, one.bare, re.IGNORECASE) and not one.has("NOT NULL")
            for one in statements
        )
    return False


def squawk(script: str) -> list[dict[str, Any]]:
    command = [
        str(SQUAWK),
        "--reporter=json",
        f"--pg-version={POSTGRESQL}",
        *(f"--exclude={rule}" for rule in NOT_HEEDED),
    ]
    done = subprocess.run([*command, "--stdin-filepath=migration.sql"], input=script, capture_output=True, text=True)  # noqa: S603
    if done.returncode not in {0, 1}:
        raise RuntimeError(f"squawk failed: {done.stderr.strip()}")
    told: list[dict[str, Any]] = json.loads(done.stdout or "[]")
    return told


def from_statements(
    statements: Sequence[Statement], new: set[str], partitioned: set[str], *, atomic: bool
) -> Iterator[Refusal]:
    for one in statements:
        if one.table in new:
            continue
        if LOCKS_OUT.match(one.bare):
            yield ours("locks-everybody-out", one)
        if one.has("ADD COLUMN") and re.search(r"\bCHECK \(", one.bare):
            yield ours("adding-checked-column", one)
        if one.has("INDEX CONCURRENTLY") and one.table in partitioned:
            yield ours("concurrent-index-of-months", one)
        if not atomic and SCHEMA.match(one.bare) and not HARMLESS_ALONE.search(one.bare):
            yield ours("schema-outside-transaction", one)
    if not atomic:
        only_once = [one for one in statements if one.has("CONCURRENTLY") and not one.has("IF (NOT )?EXISTS")]
        yield from (ours("several-outside-transaction", one) for one in only_once[1:])


def ours(rule: str, statement: Statement) -> Refusal:
    return Refusal("", rule, statement.text, SENTENCES[rule])


def from_operations(migration: Migration, statements: Sequence[Statement], new: set[str]) -> Iterator[Refusal]:
    written = [operation for operation in every(migration.operations) if isinstance(operation, RunSQL | RunPython)]
    for operation in written:
        if not operation.reversible:
            yield Refusal("", "irreversible", shown(operation), SENTENCES["irreversible"])
        if takes_time(operation, new) and not str(getattr(migration, "estimate", "")).strip():
            yield Refusal("", "no-estimate", shown(operation), SENTENCES["no-estimate"])
    old = [one for one in statements if one.table not in new]
    if not migration.atomic or not any(SCHEMA.match(one.bare) for one in old):
        return
    for one in old:
        if WRITES_ROWS.match(one.bare):
            yield ours("data-with-schema", one)
    for operation in written:
        if isinstance(operation, RunPython):
            yield Refusal("", "data-with-schema", shown(operation), SENTENCES["data-with-schema"])


def takes_time(operation: RunSQL | RunPython, new: set[str]) -> bool:
    if isinstance(operation, RunPython):
        return True
    return any(WRITES_ROWS.match(one.bare) and one.table not in new for one in statements_in(str(operation.sql)))


def every(operations: Iterable[Operation]) -> Iterator[Operation]:
    for operation in operations:
        if isinstance(operation, SeparateDatabaseAndState):
            yield from every(operation.database_operations)
        else:
            yield operation


def shown(operation: RunSQL | RunPython) -> str:
    if isinstance(operation, RunPython):
        return f"RunPython({getattr(operation.code, '__name__', operation.code)})"
    return " ".join(str(operation.sql).split())
