"""A month leaves PostgreSQL for files, step by step, and whatever happens on the way loses no row."""

import hashlib
import json
import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from io import StringIO
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from django.core.management import CommandError, call_command
from django.db import connections

from audit.context import Actor
from audit.errors import Conflict, Refused
from audit.models import AuditLog, CronJob
from content.models import PublishRecord
from metrics.choices import ArchiveState
from metrics.models import MetricArchive, MetricRollup
from metrics.partitions import AUDIT, EVENTS, TABLES, Month, PartitionedTable, make, this_month
from metrics.services import Measurement, append_events
from metrics.services.archive import archive_month
from metrics.services.archive_receipts import Busy
from metrics.services.archive_store import StoreProblem, columns_of, files_of
from metrics.services.restore import restore_month
from metrics.services.watching import SILENT, Watch
from tests.concurrency import together
from tests.conftest import address
from tests.factories import published_post
from tests.metrics.months import (
    OLD,
    Listening,
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

ACTOR = Actor.system("archive_metrics")
both = pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)


@pytest.fixture
def post() -> PublishRecord:
    return published_post()


def archive(table: PartitionedTable = EVENTS, month: Month = OLD, watch: Watch = SILENT, patience: float = 10) -> Any:
    return archive_month(table=table, month=month, actor=ACTOR, watch=watch, patience=patience)


def run(*arguments: Any) -> str:
    out = StringIO()
    call_command("archive_metrics", *map(str, arguments), stdout=out)
    return out.getvalue()


# --- The whole way ---------------------------------------------------------------------------------------------------


def test_a_month_is_in_the_files_and_nowhere_else(post: PublishRecord) -> None:
    fill(post, 500)
    before = in_postgresql()
    sums = MetricRollup.objects.count()
    archive()
    told = receipt()
    assert told.state == ArchiveState.DROPPED
    assert in_files(told) == before
    assert in_postgresql() == (0, 0)
    assert tables_like(f"{EVENTS.leaf(OLD)}%") == []
    assert MetricRollup.objects.count() == sums  # the sums outlive the rows
    (path,), (file,) = files(), files_of(told)
    assert (path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest()) == (file.bytes, file.sha256)
    assert (told.row_count, told.byte_count, told.problem) == (500, file.bytes, None)
    assert told.verified_at is not None
    assert columns_of(told)["metric_value"] == {"sum": before[1], "min": 10**11, "max": 500 * 10**11}


def test_the_log_has_one_row_for_each_step(post: PublishRecord) -> None:
    fill(post, 10)
    archive()
    rows = AuditLog.objects.filter(entity_type="metric_archive").order_by("created_at")
    assert list(rows.values_list("actor_id", "action")) == [
        ("archive_metrics", action) for action in ("close", "verify", "detach", "drop")
    ]


def test_others_read_the_files_by_year_and_month(post: PublishRecord, store: Path) -> None:
    fill(post, 20)
    archive()
    found = ds.dataset(store / "metric_event", partitioning="hive").to_table()
    assert set(found["year"].to_pylist()) == {OLD.year}
    assert set(found["month"].to_pylist()) == {OLD.month}
    assert set(found["campaign_id"].to_pylist()) == {str(post.campaign_id)}
    assert str(found.schema.field("event_id").type) == "string"
    assert str(found.schema.field("observed_at").type) == "timestamp[us, tz=UTC]"


def test_the_audit_log_leaves_the_same_way(post: PublishRecord, store: Path) -> None:
    fill(post, 300, table=AUDIT)
    with owner() as connection:
        (json_sum,) = connection.execute(
            "SELECT sum(length(changes::text)) FROM audit_log WHERE created_at < %s", [OLD.plus(1).start]
        ).fetchone() or (0,)
    archive(AUDIT)
    found = ds.dataset(store / "audit_log", partitioning="hive").to_table()
    assert found.num_rows == 300
    assert sum(len(text) for text in found["changes"].to_pylist() if text) == json_sum
    assert found["campaign_id"].null_count == 150


def test_texts_may_contain_what_stands_between_them_on_the_way(post: PublishRecord) -> None:
    fill(post, 12_000)  # several pieces: the first ones do not contain it
    statement, given = late_row(post)
    marked = statement.replace("'ቡና “'", "(ARRAY['', chr(31), 'a' || chr(31) || chr(31)])[1 + n %% 3]")
    with owner() as connection:
        connection.execute(marked, given | {"rows": 12_000})
    before = dump("metric_event")
    assert archive().row_count == 24_000
    restore_month(table=EVENTS, month=OLD, actor=ACTOR, attached=True)
    assert dump("metric_event") == before


# --- Which months ----------------------------------------------------------------------------------------------------


def test_the_command_takes_what_is_older_than_the_retention(post: PublishRecord, settings: Any) -> None:
    young = this_month().plus(-3)
    for month in (OLD, young):
        fill(post, 5, month)
    fill(post, 5, table=AUDIT)
    make(EVENTS, OLD.plus(1))  # an empty one
    assert "about" in run("--dry-run")
    assert not MetricArchive.objects.exists()
    assert "Archived 1 month." in run()
    assert [told.range_start for told in MetricArchive.objects.all()] == [OLD.start]
    assert attached(EVENTS, young)
    assert attached(EVENTS, OLD.plus(1))
    assert attached(AUDIT)  # for ever
    assert "No month was due." in run()
    settings.AUDIT_RETENTION_DAYS = 30
    assert f"audit_log {OLD}: archived" in run()
    assert "Archived 1 month." in run("--older-than", 60)
    assert not attached(EVENTS, young)


def test_a_named_month_goes_whatever_its_age_if_it_is_over(post: PublishRecord) -> None:
    fill(post, 5, this_month().plus(-2))
    assert "Archived 1 month." in run("--month", this_month().plus(-2))
    assert "archived already" in run("--month", this_month().plus(-2))
    with pytest.raises(CommandError, match="not over yet"):
        run("--month", this_month())
    with pytest.raises(CommandError, match="There is no month 2001-01 of metric_event"):
        run("--month", "2001-01", "--table", "metric_event")
    with pytest.raises(CommandError, match="0 or more"):
        run("--older-than", -1)


def test_scripts_are_told_each_step_as_json(post: PublishRecord) -> None:
    fill(post, 5)
    steps = [json.loads(line) for line in run("--json").splitlines()]
    assert [step["step"] for step in steps] == ["closed", "verified", "detached", "dropped"]
    assert {step["table"] for step in steps} == {"metric_event"}
    assert steps[1]["rows"] == 5
    assert CronJob.objects.get(name="archive_metrics").said == "Archived 1 month."


# --- Closed ----------------------------------------------------------------------------------------------------------

STATES = ["closed", "exporting", "comparing", "verified"]


@pytest.mark.parametrize("state", STATES)
@both
def test_nothing_comes_in_from_the_first_step_on(post: PublishRecord, table: PartitionedTable, state: str) -> None:
    fill(post, 5, table=table)
    with pytest.raises(Stopped):
        archive(table, watch=StopAt(state))
    with owner() as connection:
        for into in (table.name, table.leaf(OLD)):
            statement = f"INSERT INTO {into} SELECT * FROM {table.name} LIMIT 1"  # with its own id: taken as it is
            with pytest.raises(psycopg.errors.CheckViolation) as refused:
                connection.execute(statement)
            assert refused.value.diag.constraint_name == f"{table.name}_month_closed"
    if table is EVENTS:
        row = Measurement(
            line=2, platform=post.platform, platform_post_id=post.platform_post_id, metric_type="views",  # type: ignore[arg-type]
            observed_at=OLD.start, total=1, source="test",
        )  # fmt: skip
        (reject,) = append_events(measurements=[row], actor=Actor.system("collector")).rejects
        assert "is closed, since it was or is being archived" in reject.reason


def test_a_writer_who_was_first_is_waited_for(post: PublishRecord) -> None:
    fill(post, 5)
    watch = Listening()
    with psycopg.connect(**address("migrator")) as writer:
        writer.execute(*late_row(post))
        process = writer.info.backend_pid
        thread, result = _beside(lambda: archive(watch=watch, patience=30))
        while not watch.told:
            assert thread.is_alive()
        assert not MetricArchive.objects.exists()  # not closed yet: nothing has changed
        writer.commit()
    thread.join(30)
    assert result[0].row_count == 6
    assert f"Closing metric_event {OLD} waits for process {process} of " in watch.told[0]


def _beside(verb: Any) -> tuple[threading.Thread, list[Any]]:
    result: list[Any] = []

    def work() -> None:
        try:
            result.append(verb())
        except Refused as refusal:
            result.append(refusal)
        finally:
            connections.close_all()

    thread = threading.Thread(target=work)
    thread.start()
    return thread, result


def test_a_writer_with_an_old_snapshot_is_refused_and_not_lost(post: PublishRecord) -> None:
    """It cannot see the receipt; the constraint does not ask for a snapshot."""
    fill(post, 5)
    with psycopg.connect(**address("migrator")) as writer:
        writer.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        writer.execute("SELECT count(*) FROM campaign")
        with pytest.raises(Stopped):
            archive(watch=StopAt("closed"))
        with pytest.raises(psycopg.errors.CheckViolation):
            writer.execute(*late_row(post))


# --- Somebody in the way ---------------------------------------------------------------------------------------------


def test_a_long_reader_is_named_and_everybody_else_goes_on(post: PublishRecord) -> None:
    fill(post, 5)
    with pytest.raises(Stopped):
        archive(watch=StopAt("verified"))
    watch = Listening()
    with psycopg.connect(**address("migrator")) as reader:
        reader.execute("SELECT count(*) FROM metric_event")
        with pytest.raises(Conflict, match=f"waited 1 seconds for process {reader.info.backend_pid} of .*count"):
            archive(watch=watch, patience=1)
        assert any("Detaching" in line and "idle in transaction" in line for line in watch.told)
    assert receipt().state == ArchiveState.VERIFIED
    assert attached()
    assert in_postgresql()[0] == 5
    assert archive().state == ArchiveState.DROPPED


def test_two_at_once_are_harmless(post: PublishRecord) -> None:
    fill(post, 200)
    before = in_postgresql()
    results = together(archive, archive, archive)
    assert sorted(type(result).__name__ for result in results).count("MetricArchive") >= 1
    assert all(isinstance(result, MetricArchive | Busy | Conflict) for result in results)
    assert receipt().state == ArchiveState.DROPPED
    assert in_files(receipt()) == before
    assert len(files()) == 1


# --- Cut off ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["closed", "exporting", "comparing", "verified", "detached"])
@both
def test_the_next_run_goes_on_wherever_one_was_cut_off(
    post: PublishRecord, table: PartitionedTable, place: str
) -> None:
    fill(post, 50, table=table)
    with pytest.raises(Stopped):
        archive(table, watch=StopAt(place))
    assert f"{table.name} {OLD}: archived" in run()  # also where the table keeps its months for ever
    assert receipt(table).row_count == 50
    assert len(files()) == 1


def test_what_an_export_left_behind_is_removed_and_strangers_are_not(post: PublishRecord, store: Path) -> None:
    fill(post, 5)
    with pytest.raises(Stopped):
        archive(watch=StopAt("exporting"))
    directory = store / "metric_event" / f"year={OLD.year}" / f"month={OLD.month:02}"
    directory.mkdir(parents=True, exist_ok=True)
    mine, strange = directory / f".{receipt().pk.hex}-1.parquet", directory / "of-another-gatehouse.parquet"
    mine.write_text("half")
    strange.write_text("whole")
    archive()
    assert not mine.exists()
    assert strange.exists()


class Spoiling(Listening):
    """Does something to the file between its writing and its reading."""

    def __init__(self, times: int, spoil: Callable[[pa.Table], pa.Table] = lambda table: table.slice(1)) -> None:
        super().__init__()
        self.times, self.spoil = times, spoil

    def begin(self, what: str, rows: int) -> None:
        if what.startswith("comparing") and self.times:
            self.times -= 1
            (path,) = files()
            table = ds.dataset(path).to_table()
            pq.write_table(self.spoil(table), path)


def test_an_export_that_is_not_the_table_is_made_anew(post: PublishRecord) -> None:
    fill(post, 50)
    watch = Spoiling(1)
    assert archive(watch=watch).row_count == 50
    assert "differ" in watch.told[0]
    assert in_files(receipt())[0] == 50


@both
def test_two_values_that_changed_places_are_found_in_each_column(post: PublishRecord, table: PartitionedTable) -> None:
    """No sum over a column shows that: rows are compared as PostgreSQL sent them."""
    fill(post, 50, table=table)
    names: list[str] = []
    swapped: list[str] = []

    def swap(rows: pa.Table) -> pa.Table:
        names[:] = [name for name in rows.column_names if pc.count_distinct(rows[name]).as_py() > 1]
        left = [name for name in names if name not in swapped]
        if not left:
            return rows
        swapped.append(left[0])
        values = rows[left[0]].to_pylist()
        other = next(place for place, value in enumerate(values) if value != values[0])
        values[0], values[other] = values[other], values[0]
        field = rows.schema.field(left[0])
        return rows.set_column(rows.column_names.index(left[0]), field, pa.array(values, field.type))

    watch = Spoiling(99, swap)
    while not swapped or len(swapped) < len(names):
        with suppress(Conflict):
            archive(table, watch=watch)
    assert len(names) > 5
    assert [line.rpartition(": ")[2] for line in watch.told] == [f"{name} differ." for name in names]


def test_exports_that_always_differ_leave_everything_where_it_is(post: PublishRecord) -> None:
    fill(post, 50)
    with pytest.raises(Conflict, match="differ from the table each time"):
        archive(watch=Spoiling(9))
    assert (attached(), in_postgresql()[0], files()) == (True, 50, [])
    assert archive().state == ArchiveState.DROPPED


# --- The store fails -------------------------------------------------------------------------------------------------


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file of this process may grow beyond a kilobyte: what a full disk does to a writer."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_a_sentence_and_the_month_stays(post: PublishRecord, request: pytest.FixtureRequest) -> None:
    fill(post, 5000)
    request.getfixturevalue("small_files")
    with pytest.raises(StoreProblem, match="cannot be written: File too large"):
        archive()
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert (attached(), in_postgresql()[0], files()) == (True, 5000, [])
    assert receipt().state == ArchiveState.EXPORTING
    assert "Archived 1 month." in run()


def test_a_place_that_cannot_be_written_to_leaves_the_month_open(post: PublishRecord, store: Path) -> None:
    fill(post, 5)
    store.write_text("a file where the directory should be")
    with pytest.raises(CommandError, match="cannot be written"):
        run()
    assert not MetricArchive.objects.exists()
    assert CronJob.objects.get(name="archive_metrics").failed_at is not None


# --- Archived anew ---------------------------------------------------------------------------------------------------


def test_a_restored_month_takes_late_rows_and_leaves_anew(post: PublishRecord) -> None:
    fill(post, 5)
    archive()
    old = files()
    restore_month(table=EVENTS, month=OLD, actor=ACTOR, attached=True)
    with owner() as connection:
        connection.execute(*late_row(post))
    everything = dump("metric_event")
    assert "No month was due." in run()  # it was wanted back
    assert "Archived 1 month." in run("--month", OLD)
    assert receipt().row_count == 6
    assert len(files()) == 1
    assert files() != old
    restore_month(table=EVENTS, month=OLD, actor=ACTOR, attached=True)
    assert dump("metric_event") == everything
