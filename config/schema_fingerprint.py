"""What the schema of a database is, object by object, and whether that is what `migrate` left.

`migrate` records what it has made in a table of its own, as Django does with `django_migrations`. What somebody changes
by hand afterwards (a trigger that was dropped at night) differs from it, and is named. Months come and go without a
migration, so partitions and what is restored beside them are left out; owners and extensions are the server's.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from django.core.cache import cache
from django.db import connections, transaction
from psycopg import sql

from config import roles

Objects = dict[str, str]  # "trigger task_status_transition of task" → how PostgreSQL writes it

# One row for each object: what people call it, and its definition. A table has a row, and each of its columns.
OBJECTS = r"""
    WITH relation AS MATERIALIZED (
        SELECT c.oid, c.relname::text, c.relkind, c.relacl FROM pg_class c
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm') AND NOT c.relispartition
          AND c.relname !~ '_\d{4}_\d{2}(_[a-z]+)?$'
          AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
    ), routine AS MATERIALIZED (
        SELECT p.oid, p.oid::regprocedure::text AS name, p.proacl FROM pg_proc p
        WHERE p.pronamespace = 'public'::regnamespace AND p.prokind IN ('f', 'p')
          AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
    )
    SELECT CASE relkind WHEN 'v' THEN 'view ' WHEN 'm' THEN 'view ' ELSE 'table ' END || relname AS name,
           CASE WHEN relkind IN ('v', 'm') THEN pg_get_viewdef(oid)
                WHEN relkind = 'p' THEN 'PARTITION BY ' || pg_get_partkeydef(oid) ELSE '' END AS definition
    FROM relation
    UNION ALL
    SELECT 'column ' || a.attname || ' of ' || r.relname,
           format_type(a.atttypid, a.atttypmod) || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END
           || CASE WHEN a.attgenerated <> '' THEN ' GENERATED ' || a.attgenerated::text ELSE '' END
           || CASE WHEN a.attidentity <> '' THEN ' IDENTITY ' || a.attidentity::text ELSE '' END
           || COALESCE(' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid), '')
    FROM relation r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE r.relkind IN ('r', 'p')
    UNION ALL
    SELECT 'constraint ' || k.conname || ' of ' || r.relname, pg_get_constraintdef(k.oid)
    FROM relation r JOIN pg_constraint k ON k.conrelid = r.oid AND k.contype <> 'n'
    UNION ALL
    SELECT 'index ' || c.relname || ' of ' || r.relname,
           pg_get_indexdef(i.indexrelid) || CASE WHEN i.indisvalid THEN '' ELSE ' (INVALID)' END
    FROM relation r JOIN pg_index i ON i.indrelid = r.oid JOIN pg_class c ON c.oid = i.indexrelid
    UNION ALL
    SELECT 'trigger ' || t.tgname || ' of ' || r.relname,
           pg_get_triggerdef(t.oid) || CASE t.tgenabled WHEN 'O' THEN '' ELSE ' (' || t.tgenabled::text || ')' END
    FROM relation r JOIN pg_trigger t ON t.tgrelid = r.oid AND NOT t.tgisinternal
    UNION ALL
    SELECT 'function ' || name, pg_get_functiondef(oid) FROM routine
    UNION ALL
    SELECT 'privileges of ' || grantee || ' on ' || name, string_agg(privilege_type, ', ' ORDER BY privilege_type)
    FROM (
        SELECT r.relname AS name, g.grantee, g.privilege_type FROM relation r, aclexplode(r.relacl) g
        UNION ALL
        SELECT f.name, g.grantee, g.privilege_type FROM routine f, aclexplode(f.proacl) g
        UNION ALL
        SELECT a.attname || ' of ' || r.relname, g.grantee, g.privilege_type
        FROM relation r JOIN pg_attribute a ON a.attrelid = r.oid, aclexplode(a.attacl) g
    ) granted (name, role, privilege_type)
    JOIN (SELECT oid, rolname::text FROM pg_roles WHERE rolname = ANY (%(roles)s)
          UNION ALL SELECT 0, 'everybody') grantees (oid, grantee) ON oid = role
    GROUP BY grantee, name
"""
FINGERPRINT = f"""
    SELECT encode(sha256(convert_to(string_agg(
        name || E'\\x1f' || definition, E'\\x1e' ORDER BY name COLLATE "C", definition COLLATE "C"
    ), 'UTF8')), 'hex') FROM ({OBJECTS}) object
"""
TABLE = """
    CREATE TABLE IF NOT EXISTS schema_record (
        one boolean PRIMARY KEY DEFAULT true CHECK (one),
        recorded_at timestamptz NOT NULL DEFAULT now(),
        ruler text NOT NULL,        -- how it was measured: other rulers' figures are not compared
        fingerprint text NOT NULL,
        objects jsonb NOT NULL,     -- as they ought to be
        before jsonb                -- as they were when the migrate began that has not ended
    )
"""
SHOWN_DIGITS = 12
KEPT_SECONDS = 60
PARAMETERS = {"roles": list(roles.ROLES)}


@dataclass(frozen=True)
class Record:
    ruler: str
    fingerprint: str
    objects: Objects
    before: Objects | None


@dataclass(frozen=True)
class Difference:
    name: str
    expected: str | None  # None: nobody made it by a migration
    found: str | None  # None: it is gone

    @property
    def word(self) -> str:
        return "is gone" if self.found is None else "was added" if self.expected is None else "was changed"

    def __str__(self) -> str:
        return f"{self.name} {self.word}"


@dataclass(frozen=True)
class Comparison:
    """What `/readyz` tells; `alarm` completes “the schema …”, and is empty while all is well."""

    fingerprint: str
    alarm: str = ""
    differences: list[Difference] = field(default_factory=list)


def ruler(using: str) -> str:
    """Another query, or another PostgreSQL that writes definitions another way, measures another thing."""
    major = getattr(connections[using], "pg_version", 0) // 10_000
    return hashlib.sha256(f"{major} {OBJECTS}".encode()).hexdigest()[:SHOWN_DIGITS]


def found_objects(using: str) -> Objects:
    with connections[using].cursor() as cursor:
        cursor.execute(OBJECTS, PARAMETERS)
        return dict(cursor.fetchall())


def fingerprint(using: str) -> str:
    with connections[using].cursor() as cursor:
        cursor.execute(FINGERPRINT, PARAMETERS)
        (found,) = cursor.fetchone()
        return str(found or "")


def differences(expected: Mapping[str, str], found: Mapping[str, str]) -> list[Difference]:
    names = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    return [Difference(name, expected.get(name), found.get(name)) for name in names]


def recorded(using: str) -> Record | None:
    """What the last `migrate` left; None where none has recorded anything yet."""
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT to_regclass('public.schema_record') IS NOT NULL")
        if cursor.fetchone() != (True,):
            return None
        cursor.execute("SELECT ruler, fingerprint, objects::text, before::text FROM public.schema_record")
        row = cursor.fetchone()
        return row and Record(row[0], row[1], json.loads(row[2]), json.loads(row[3]) if row[3] else None)


def begin(using: str) -> list[Difference]:
    """Before a `migrate`: keeps what is there now, for a run that is killed; returns what was changed by hand."""
    record = recorded(using)
    if record is None or record.ruler != ruler(using):
        return []
    if record.before is None:
        record = Record(record.ruler, record.fingerprint, record.objects, found_objects(using))
        with connections[using].cursor() as cursor:
            cursor.execute("UPDATE schema_record SET before = %s", [json.dumps(record.before)])
    assert record.before is not None
    return differences(record.objects, record.before)


def finish(using: str) -> None:
    """After a `migrate`: what it left is what ought to be.

    But for what had been changed by hand before and no migration has touched: that goes on being told.
    """
    with transaction.atomic(using=using):
        with connections[using].cursor() as cursor:
            cursor.execute(TABLE)
            for role in sorted(roles.existing(using)):
                cursor.execute(sql.SQL("GRANT SELECT ON schema_record TO {}").format(sql.Identifier(role)))
        record, after = recorded(using), found_objects(using)
        expected = dict(after)
        if record and record.before is not None and record.ruler == ruler(using):
            for one in differences(record.objects, record.before):
                if one.found == after.get(one.name):
                    expected.pop(one.name, None)
                    expected.update({one.name: one.expected} if one.expected is not None else {})
        write(using, expected)


def accept(using: str) -> None:
    """What is there now is what ought to be: somebody has looked at it."""
    write(using, found_objects(using))


def write(using: str, objects: Objects) -> None:
    with connections[using].cursor() as cursor:
        cursor.execute(
            "INSERT INTO schema_record (ruler, fingerprint, objects) VALUES (%s, %s, %s) ON CONFLICT (one) DO UPDATE"
            " SET ruler = excluded.ruler, fingerprint = excluded.fingerprint, objects = excluded.objects,"
            " before = NULL, recorded_at = CASE WHEN schema_record.fingerprint = excluded.fingerprint"
            " THEN schema_record.recorded_at ELSE now() END",
            [ruler(using), of(objects), json.dumps(objects)],
        )


def of(objects: Objects) -> str:
    """The same figure as FINGERPRINT's; UTF-8's order is that of collation "C"."""
    lines = sorted(f"{name}\x1f{definition}".encode() for name, definition in objects.items())
    return hashlib.sha256(b"\x1e".join(lines)).hexdigest()


def compare(using: str = "default") -> Comparison:
    """All of it, with names; some milliseconds."""
    record = recorded(using)
    if record is None:
        return Comparison(fingerprint(using), "was never recorded: run migrate")
    if record.before is not None:  # reading definitions would wait for the locks of that migrate
        return Comparison("", "is not compared: a migrate is under way, or was ended before its end; run it again")
    found = fingerprint(using)
    if record.fingerprint == found or record.ruler != ruler(using):
        return Comparison(found)  # what another version has recorded, the next migrate records anew
    changed = differences(record.objects, found_objects(using))
    amount = "one difference" if len(changed) == 1 else f"{len(changed)} differences"
    return Comparison(found, f"is not what the migrations made, {amount}: run check_schema", changed)


def compared_lately() -> dict[str, str]:
    """For `/readyz`: at most once a minute for each process, and never the names, which are not for strangers."""
    kept: dict[str, str] | None = cache.get("schema_fingerprint")
    if kept is None:
        with transaction.atomic(), connections["default"].cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '1s'")  # reading a definition waits for whoever changes it
            now = compare()
        kept = {"fingerprint": now.fingerprint[:SHOWN_DIGITS], "alarm": now.alarm}
        cache.set("schema_fingerprint", kept, KEPT_SECONDS)
    return kept
