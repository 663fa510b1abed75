"""One query sees hot and archived months together, each row once and to the last digit, and nothing of the machine."""

import csv
import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from audit.context import Actor
from audit.models import AuditLog
from metrics.choices import ArchiveState
from metrics.models import MetricArchive, MetricEvent, MetricRollup
from metrics.partitions import AUDIT, EVENTS, Month, make, this_month
from metrics.services import archive_query
from metrics.services.archive import archive_month
from metrics.services.archive_store import Store, files_of
from metrics.services.rollup_repair import repair_month
from metrics.services.rollups import check_month
from tests.conftest import address
from tests.factories import make_events, published_post

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "migrator"])
pytest.importorskip("duckdb", reason="DuckDB is not installed (dependency group “analysis”).")

OLD, OLDER = Month(2020, 3), Month(2020, 2)
LARGEST = 2**63 - 1
ACTOR = Actor.system("test")


@pytest.fixture(autouse=True)
def old_months(settings: Any, tmp_path: Path) -> Iterator[None]:
    """Two months of 2020 to archive, and a place for their files."""
    settings.ARCHIVE_URL = (tmp_path / "archive").as_uri()
    for month in (OLDER, OLD):
        make(EVENTS, month)
    yield
    with psycopg.connect(**address("migrator")) as owner:
        for month in (OLDER, OLD):
            owner.execute(f"DROP TABLE IF EXISTS {EVENTS.leaf(month)}")


def ask(query: str, *arguments: str) -> list[dict[str, Any]]:
    out = StringIO()
    call_command("query_archive", query, "--format", "json", *arguments, stdout=out)
    found: list[dict[str, Any]] = json.loads(out.getvalue())
    return found


def refused(query: str) -> str:
    with pytest.raises(CommandError) as failure:
        call_command("query_archive", query, stdout=StringIO())
    return str(failure.value)


def archived(month: Month = OLD) -> MetricArchive:
    receipt = archive_month(table=EVENTS, month=month, actor=ACTOR)
    assert receipt is not None
    assert receipt.state == ArchiveState.DROPPED
    return receipt


def events(*values: int, month: Month = OLD, **fields: Any) -> None:
    post = published_post()
    for hours, value in enumerate(values):
        at = month.start + timedelta(days=3, hours=hours, microseconds=hours)
        make_events(post, metric_value=value, **({"observed_at": at} | fields))


def in_postgresql(query: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchall()


def test_the_same_query_answers_the_same_before_and_after_a_month_leaves() -> None:
    events(1, 2, 3)
    events(10, 20, month=OLDER)
    events(LARGEST, month=this_month())
    queries = [
        "SELECT count(*) AS n, sum(metric_value) AS s, min(observed_at) AS a, max(observed_at) AS b FROM metric_event",
        "SELECT year, month, sum(metric_value) AS s FROM metric_event GROUP BY ALL ORDER BY ALL",
        "SELECT * EXCLUDE (ingested_at) FROM metric_event ORDER BY observed_at, event_id",
    ]
    before = [ask(query) for query in queries]
    assert before[0][0]["s"] == LARGEST + 36
    archived()
    assert [ask(query) for query in queries] == before
    archived(OLDER)
    assert [ask(query) for query in queries] == before
    assert ask("SELECT sum(metric_value) AS s FROM metric_event", "--cold-only") == [{"s": 36}]


def test_every_column_is_what_postgresql_has() -> None:
    events(7, platform='a "quoted", one')
    columns = [field.column for field in MetricEvent._meta.concrete_fields]
    (there,) = in_postgresql(f"SELECT {', '.join(columns)} FROM metric_event")
    expected = {name: value.isoformat() if isinstance(value, datetime) else str(value)
                for name, value in zip(columns, there, strict=True)}  # fmt: skip
    for archive in (lambda: None, archived):
        archive()
        (row,) = ask("SELECT * EXCLUDE (year, month) FROM metric_event")
        assert {name: str(value) for name, value in row.items()} == expected
    assert (row["observed_at"], row["metric_value"]) == ("2020-03-04T00:00:00+00:00", 7)


def test_sums_are_exact_beyond_bigint() -> None:
    events(LARGEST, LARGEST)
    archived()
    events(LARGEST, month=this_month())
    assert ask("SELECT sum(metric_value) AS s FROM metric_event") == [{"s": 3 * LARGEST}]


def test_the_audit_log_is_there_too() -> None:
    events(1)
    amount = AuditLog.objects.count()
    assert ask("SELECT count(*) AS n FROM audit_log") == [{"n": amount}]
    (entry,) = ask("SELECT action, changes->>'$.metric_value[1]' AS value FROM audit_log"
                   " WHERE entity_type = 'metric_event'")  # fmt: skip
    assert entry == {"action": "create", "value": "1"}


class Brought:
    """Which months came out of PostgreSQL, and with which columns."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.months: dict[str, set[str]] = {}
        bring = archive_query.Hot.bring

        def noted(hot: archive_query.Hot, month: archive_query.HotMonth) -> Path:
            self.months[month.table.leaf(month.month)] = {*month.wanted}
            return bring(hot, month)

        monkeypatch.setattr(archive_query.Hot, "bring", noted)


def test_only_the_months_and_columns_that_a_query_needs_leave_postgresql(monkeypatch: pytest.MonkeyPatch) -> None:
    events(1, 2)
    events(5, month=this_month())
    brought = Brought(monkeypatch)
    first = this_month().start.isoformat()
    assert ask(f"SELECT sum(metric_value) AS s FROM metric_event WHERE observed_at >= '{first}'") == [{"s": 5}]
    assert EVENTS.leaf(this_month()) in brought.months
    assert not {EVENTS.leaf(OLD), EVENTS.leaf(this_month().plus(-1)), AUDIT.leaf(this_month())} & brought.months.keys()
    assert brought.months[EVENTS.leaf(this_month())] == {"metric_value", "observed_at"}
    brought.months.clear()
    assert ask("SELECT count(*) AS n FROM metric_event WHERE year = 2020 AND month = 3") == [{"n": 2}]
    assert brought.months.keys() == {EVENTS.leaf(OLD)}


def test_an_archived_month_that_a_query_passes_over_is_not_read() -> None:
    events(1)
    (file,) = files_of(archived())
    Store().remove(file.path)
    assert ask("SELECT count(*) AS n FROM metric_event WHERE observed_at >= '2020-04-01'") == [{"n": 0}]
    assert file.path.rpartition("/")[2] in refused("SELECT sum(metric_value) FROM metric_event")
    assert "No such file" in refused("SELECT sum(metric_value) FROM metric_event")


def test_a_month_is_read_from_one_place_whatever_is_left_beside_it() -> None:
    """A file that no receipt names, and a table that was left behind when its month was detached."""
    events(1, 2)
    (file,) = files_of(archived())
    path = Path(Store().full(file.path))
    (path.parent / "left-over.parquet").write_bytes(path.read_bytes())
    with psycopg.connect(**address("migrator")) as owner:
        owner.execute(f"CREATE TABLE {EVENTS.leaf(OLD)} (LIKE metric_event)")
    assert ask("SELECT count(*) AS n FROM metric_event") == [{"n": 2}]


def test_what_is_written_meanwhile_is_not_half_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    events(1, month=this_month())
    view = archive_query._columns_of_the_plan

    def and_more(engine: Any, text: str) -> set[str]:
        with psycopg.connect(**address("default")) as other:
            other.execute(
                "INSERT INTO metric_event (campaign_id, agent_id, content_id, platform, metric_type, metric_value,"
                " observed_at, source) SELECT campaign_id, agent_id, content_id, platform, metric_type, 100,"
                " observed_at, source FROM metric_event"
            )
        return view(engine, text)

    monkeypatch.setattr(archive_query, "_columns_of_the_plan", and_more)
    assert ask("SELECT sum(metric_value) AS s FROM metric_event") == [{"s": 1}]


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("INSERT INTO metric_event SELECT * FROM metric_event", "Only queries are answered here"),
        ("DELETE FROM audit_log", "Only queries are answered here"),
        ("COPY (SELECT 1) TO '{path}'", "Only queries are answered here"),
        ("ATTACH '{path}' AS other", "Only queries are answered here"),
        ("SET enable_external_access = true", "Only queries are answered here"),
        ("INSTALL httpfs", "Only queries are answered here"),
        ("SELECT 1; SELECT 2", "Give one query"),
        ("", "Give one query"),
        ("SELEC 1", "Parser Error"),
        ("SELECT nothing FROM metric_event", 'Referenced column "nothing" not found'),
        ("SELECT * FROM read_text('{path}')", "file system operations are disabled"),
        ("SELECT * FROM '{path}'", "file system operations are disabled"),
        ("SELECT * FROM read_parquet('s3://bucket/x')", "disabled"),
        ("SELECT * FROM engine", "does not exist"),
        ("SELECT * FROM accounts_user", "does not exist"),
        ("SELECT CAST('x' AS int)", "Conversion Error"),
    ],
)
def test_what_is_no_query_or_reaches_beyond_is_refused(query: str, why: str, tmp_path: Path) -> None:
    path = tmp_path / "secret.csv"
    path.write_text("a,b\n1,2\n")
    assert why in refused(query.replace("{path}", str(path)))
    assert path.read_text() == "a,b\n1,2\n"


def test_a_table_is_for_reading_and_csv_gives_everything(capsys: pytest.CaptureFixture[str]) -> None:
    events(5, 6)
    query = "SELECT observed_at, metric_value, NULL AS nothing FROM metric_event ORDER BY metric_value"
    out = StringIO()
    call_command("query_archive", query, stdout=out)
    assert out.getvalue().splitlines() == [
        "observed_at                       metric_value  nothing",
        "--------------------------------  ------------  -------",
        "2020-03-04T00:00:00+00:00         5",
        "2020-03-04T01:00:00.000001+00:00  6",
        "(2 rows)",
    ]
    out = StringIO()
    call_command("query_archive", query, "--format", "csv", stdout=out)
    assert list(csv.reader(StringIO(out.getvalue()))) == [
        ["observed_at", "metric_value", "nothing"],
        ["2020-03-04T00:00:00+00:00", "5", ""],
        ["2020-03-04T01:00:00.000001+00:00", "6", ""],
    ]
    out = StringIO()
    call_command("query_archive", "SELECT * FROM range(2000)", stdout=out)
    assert "(1,000 rows and more: --format csv gives them all)" in out.getvalue()


def test_without_duckdb_a_sentence_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "duckdb", None)
    assert "dependency group “analysis”" in refused("SELECT 1")


# --- The sums of archived months (check_rollups needs no DuckDB, but an archived month) -------------------------------


def test_sums_of_an_archived_month_agree_with_its_files() -> None:
    events(1, 2, LARGEST, LARGEST, platform='a "quoted", one')
    archived()
    checked = check_month(OLD)
    assert (checked.where, checked.events, checked.agrees) == ("cold", 4, True)


@pytest.mark.parametrize("table", ["metric_rollup", "metric_rollup_daily", "metric_rollup_campaign"])
def test_wrong_sums_of_an_archived_month_are_found_and_mended(table: str) -> None:
    events(1, 2)
    archived()
    before = in_postgresql(f"SELECT sum, count, max, last_observed_at FROM {table} ORDER BY bucket")
    with psycopg.connect(**address("migrator")) as owner:
        owner.execute(f"UPDATE {table} SET sum = 0, count = 77")
    assert check_month(OLD).different == {table: len(before)}
    assert repair_month(OLD, actor=ACTOR).mended == len(before)
    assert check_month(OLD).agrees
    assert in_postgresql(f"SELECT sum, count, max, last_observed_at FROM {table} ORDER BY bucket") == before


def test_files_that_are_not_whole_mend_nothing() -> None:
    events(1, 2)
    receipt = archived()
    (file,) = files_of(receipt)
    with psycopg.connect(**address("migrator")) as owner:
        owner.execute("UPDATE metric_archive SET row_count = 3")
    checked = repair_month(OLD, actor=ACTOR)
    assert "have 2 rows, and its receipt 3" in checked.problem
    Store().remove(file.path)
    with pytest.raises(CommandError, match="2020-03 could not be checked"):
        call_command("check_rollups", "--month", "2020-03", "--repair", stdout=(out := StringIO()))
    assert "it is not there" in out.getvalue()
    assert MetricRollup.objects.filter(count=1).count() == 2
