"""A month comes back to the byte, and what has happened to its files meanwhile is found out first."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connections

from audit.context import Actor
from audit.models import AuditLog
from content.models import PublishRecord
from metrics.choices import ArchiveState
from metrics.models import MetricArchive
from metrics.partitions import AUDIT, EVENTS, TABLES, PartitionedTable, make
from metrics.services.archive import archive_month
from metrics.services.restore import restore_month
from tests.concurrency import together
from tests.factories import published_post
from tests.metrics.months import (
    OLD,
    StopAt,
    Stopped,
    attached,
    dump,
    files,
    fill,
    in_files,
    in_postgresql,
    late_row,
    owner,
    receipt,
    tables_like,
)

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "migrator"]),
    pytest.mark.usefixtures("store"),
]

ACTOR = Actor.system("restore_metrics")
BESIDE = f"{EVENTS.leaf(OLD)}_restored"
both = pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)


@pytest.fixture
def post() -> PublishRecord:
    return published_post()


def archived(post: PublishRecord, rows: int = 300, table: PartitionedTable = EVENTS) -> bytes:
    """A month that has left; returns how it was."""
    fill(post, rows, table=table)
    before = dump(table.leaf(OLD), table)
    archive_month(table=table, month=OLD, actor=ACTOR)
    return before


def restore(*arguments: Any) -> str:
    return run("restore_metrics", "--month", OLD, *arguments)


def run(command: str, *arguments: Any) -> str:
    out = StringIO()
    call_command(command, *map(str, arguments), stdout=out)
    return out.getvalue()


# --- Beside ----------------------------------------------------------------------------------------------------------


@both
def test_the_table_beside_is_the_month_to_the_byte(post: PublishRecord, table: PartitionedTable) -> None:
    before = archived(post, table=table)
    said = restore("--table", table.name)
    assert f"300 rows in the table {table.leaf(OLD)}_restored" in said
    assert dump(f"{table.leaf(OLD)}_restored", table) == before
    assert receipt(table).state == ArchiveState.DROPPED
    assert not attached(table)
    assert "is there already" in restore("--table", table.name)
    assert "the rows are in the files" in restore("--table", table.name, "--drop")
    assert tables_like(f"{table.leaf(OLD)}%") == []


def test_who_may_read_the_table_may_read_the_month_beside_and_nobody_writes(post: PublishRecord, connect: Any) -> None:
    archived(post, 5)
    restore()
    for role in ("gatehouse_readonly", "gatehouse_app"):
        reader = connect(role)
        assert reader.execute(f"SELECT count(*) FROM {BESIDE}").fetchone() == (5,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            reader.execute(f"DELETE FROM {BESIDE}")


# --- Attached --------------------------------------------------------------------------------------------------------

SHAPE = """
    SELECT array(SELECT replace(pg_get_indexdef(indexrelid), '{leaf}', 'LEAF') || indisprimary::text
                 FROM pg_index WHERE indrelid = '{leaf}'::regclass),
           array(SELECT conname || pg_get_constraintdef(oid)
                 FROM pg_constraint WHERE conrelid = '{leaf}'::regclass AND contype <> 'p'),
           array(SELECT replace(pg_get_triggerdef(oid), '{leaf}', 'LEAF') || tgenabled::text
                 FROM pg_trigger WHERE tgrelid = '{leaf}'::regclass AND NOT tgisinternal),
           array(SELECT attname || format_type(atttypid, atttypmod) || attnotnull::text
                        || coalesce(pg_get_expr(adbin, adrelid), '')
                 FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
                 WHERE attrelid = '{leaf}'::regclass AND attnum > 0),
           (SELECT coalesce(relacl, acldefault('r', relowner))::text[] FROM pg_class WHERE oid = '{leaf}'::regclass)
"""


def shape(leaf: str) -> list[list[str]]:
    """Indexes (by what they do), constraints, triggers, columns and privileges of a month."""
    with owner() as connection:
        (row,) = connection.execute(SHAPE.format(leaf=leaf)).fetchall()
    indexes, *others = row
    return [sorted(text.partition(" ON ")[2] for text in indexes), *[sorted(other or []) for other in others]]


@both
def test_an_attached_month_is_like_one_that_never_left(post: PublishRecord, table: PartitionedTable) -> None:
    before = archived(post, table=table)
    logged = AuditLog.objects.count()
    assert "open again" in restore("--table", table.name, "--attach")
    assert dump(table.leaf(OLD), table) == before
    assert attached(table)
    make(table, OLD.plus(-1))
    assert shape(table.leaf(OLD)) == shape(table.leaf(OLD.plus(-1)))
    assert receipt(table).state == ArchiveState.RESTORED
    assert AuditLog.objects.count() == logged + 1 + (300 if table is AUDIT else 0)  # the receipt's; no row is new
    assert "attached already" in restore("--table", table.name, "--attach")
    with owner() as connection:
        if table is EVENTS:
            connection.execute(*late_row(post))
        with pytest.raises(psycopg.errors.CheckViolation):
            connection.execute(f"DELETE FROM {table.leaf(OLD)}")


def test_attaching_reads_no_row(post: PublishRecord) -> None:
    """PostgreSQL says so itself: the month's bounds stood in a constraint that the rows have met already."""
    archived(post)
    restore()
    said: list[str] = []
    migrator = connections["migrator"]
    with migrator.cursor() as cursor:
        cursor.execute("SET client_min_messages = debug1")
    migrator.connection.add_notice_handler(lambda notice: said.append(str(notice.message_primary)))
    try:
        restore("--attach")
    finally:
        migrator.close()
    assert any("is implied by existing constraints" in line for line in said), said


def test_what_was_written_into_the_table_beside_does_not_come_back(post: PublishRecord) -> None:
    archived(post)
    restore()
    with owner() as connection:
        connection.execute(f"UPDATE {BESIDE} SET metric_value = metric_value + 1 WHERE platform IS NOT NULL")
    with pytest.raises(CommandError, match=r"is not what was archived .metric_value differ"):
        restore("--attach")
    assert not attached()
    restore("--drop")
    restore("--attach")
    assert attached()


# --- Not now ---------------------------------------------------------------------------------------------------------


def test_a_month_that_never_left_is_not_restored(post: PublishRecord) -> None:
    with pytest.raises(CommandError, match="was never archived"):
        restore()
    fill(post, 5)
    with pytest.raises(Stopped):
        archive_month(table=EVENTS, month=OLD, actor=ACTOR, watch=StopAt("verified"))
    with pytest.raises(CommandError, match="has not left PostgreSQL: its archive is verified"):
        restore()
    with pytest.raises(CommandError, match="There is no table"):
        restore("--drop")


def test_two_at_once_are_harmless(post: PublishRecord) -> None:
    before = archived(post)
    together(*[lambda: restore_month(table=EVENTS, month=OLD, actor=ACTOR, attached=True)] * 3)
    assert dump(EVENTS.leaf(OLD)) == before
    assert tables_like(f"{EVENTS.leaf(OLD)}%") == [EVENTS.leaf(OLD)]


@pytest.mark.parametrize("place", ["loading", "building", "restored"])
def test_the_next_run_goes_on_wherever_one_was_cut_off(post: PublishRecord, place: str) -> None:
    before = archived(post)
    with pytest.raises(Stopped):
        restore_month(table=EVENTS, month=OLD, actor=ACTOR, attached=True, watch=StopAt(place))
    assert (attached(), in_postgresql()) == (False, (0, 0))
    restore("--attach")
    assert dump(EVENTS.leaf(OLD)) == before
    assert tables_like(f"{EVENTS.leaf(OLD)}%") == [EVENTS.leaf(OLD)]


# --- Damaged ---------------------------------------------------------------------------------------------------------


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


DAMAGE = [(Path.unlink, "it is not there"), (flip, "SHA-256 differs"), (shorten, "bytes instead of")]


@pytest.mark.parametrize(("damage", "said"), DAMAGE, ids=["gone", "flipped", "shortened"])
def test_damage_is_found_told_and_kept_until_it_is_mended(post: PublishRecord, damage: Any, said: str) -> None:
    archived(post)
    assert "1 archives are whole." in run("verify_archives")
    (path,) = files()
    whole, first = path.read_bytes(), receipt().verified_at
    damage(path)
    with pytest.raises(CommandError, match=rf"1 of 1 archives are not whole\. .*{said}"):
        run("verify_archives")
    told = receipt()
    assert said in (told.problem or "")
    assert told.verified_at == first  # when it was last whole
    with pytest.raises(CommandError, match=r"it is not there|SHA-256 differs"):
        restore()
    assert tables_like(f"{EVENTS.leaf(OLD)}%") == []
    path.write_bytes(whole)
    (line,) = run("verify_archives", "--json").splitlines()
    assert json.loads(line)["step"] == "whole"
    assert receipt().problem is None


def test_a_whole_file_that_holds_something_else_is_found_too(post: PublishRecord) -> None:
    """The receipt says what was in the table: a file with its right hash in it says nothing of its rows."""
    archived(post)
    told = receipt()
    told.files["columns"]["metric_value"]["sum"] += 1
    MetricArchive.objects.filter(pk=told.pk).change("test", files=told.files)
    with pytest.raises(CommandError, match="hold something else than their receipt says: metric_value"):
        run("verify_archives", "--table", "metric_event", "--month", OLD)
    assert in_files(receipt())[0] == 300
