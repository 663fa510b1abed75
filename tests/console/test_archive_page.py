"""The page of the archive: where every month is, what is wrong, what happens next, and what came in last."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from audit.models import CronJob
from config.groups import ADMINISTRATOR, AUDITOR, OPERATOR, REVIEWER
from metrics import archive_page
from metrics.archive_page import Cell, Known, Leaf, Line
from metrics.choices import ArchiveState, IngestState
from metrics.models import MetricArchive, MetricIngest
from metrics.partitions import AUDIT, EVENTS, Month, this_month
from tests.factories import make_events, published_post

pytestmark = pytest.mark.django_db
URL = "/admin/archive/"
NOW = this_month()
WAY = [ArchiveState.VERIFIED, ArchiveState.DETACHED, ArchiveState.DROPPED, ArchiveState.RESTORED]


def plain(answer: Any) -> str:
    """The words of the page, without its tags."""
    return " ".join(re.sub(r"<[^>]+>", " ", answer.content.decode()).split())


MARCH = Month(2020, 3)


def receipt(month: Month = MARCH, state: str = ArchiveState.DROPPED, **fields: Any) -> MetricArchive:
    """On the way that leads to the state."""
    given = {
        "table_name": EVENTS.name,
        "row_count": 2_000_000,
        "byte_count": 63_000_000,
        "created_by": "archive_metrics",
    }
    made = MetricArchive.objects.create(
        **(given | fields),
        range_start=month.start,
        range_end=month.plus(1).start,
        files={"files": [], "columns": {}},
        schema_fingerprint="1",
        state=ArchiveState.EXPORTING,
    )
    for step in WAY[: WAY.index(state) + 1] if state in WAY else []:
        made = made.change("test", state=step)
    return made


def ingest(name: str, **fields: Any) -> None:
    counts = ["position", "line", "rejects_bytes", "row_count", "accepted", "duplicates", "corrections", "rejected"]
    given = dict.fromkeys(counts, 0) | {"sha256": "0" * 64, "created_by": "ingest_metrics"} | fields
    ended = given.pop("state", IngestState.DONE)
    given |= {"head_sha256": f"{hash(name):064x}"[-64:], "state": IngestState.RUNNING}  # as every ingest begins
    begun = MetricIngest.objects.create(name=name, **given)
    MetricIngest.objects.filter(pk=begun.pk).update(state=ended)


def drawn(leaves: dict[Month, Leaf], *receipts: MetricArchive) -> Line:
    """The line of the metric events, where these and no others are."""
    of_events = {Month.of(row.range_start): row for row in receipts}
    known = Known({EVENTS.name: leaves, AUDIT.name: all_ahead()}, {EVENTS.name: of_events, AUDIT.name: {}})
    return archive_page.lines(known, timezone.now())[0]


def all_ahead() -> dict[Month, Leaf]:
    return {NOW.plus(ahead): Leaf(0, 8192, True) for ahead in range(-1, EVENTS.ahead + 1)}


def cell(line: Line, month: Month) -> Cell:
    (found,) = [cell for cell in line.cells if cell.month == month]
    return found


@pytest.mark.parametrize("group", [REVIEWER, OPERATOR, AUDITOR, ADMINISTRATOR])
def test_everybody_who_works_here_sees_it(group: str, sign_in: Callable[..., Any]) -> None:
    client = sign_in(group)
    answer = client.get(URL)
    assert answer.status_code == 200
    assert "Nothing has been archived yet" in plain(answer)
    assert reverse("admin:archive") == URL
    assert re.search(r'<a href="/admin/archive/" aria-current="page"[^>]*>\s*Archive', answer.content.decode())
    assert "Archive receipts" in plain(answer)


def test_whoever_may_not_is_told_why(sign_in: Callable[..., Any]) -> None:
    answer = sign_in().get(URL)
    assert answer.status_code == 403
    assert "metrics.view_metricarchive" in plain(answer)


def test_hot_cold_and_future_months_are_told_apart(sign_in: Callable[..., Any]) -> None:
    make_events(published_post())
    row = receipt()
    answer = sign_in(AUDITOR).get(URL)
    line = answer.context["lines"][0]
    assert cell(line, NOW).word == "hot"
    assert cell(line, NOW.plus(1)).word == "ahead"
    cold = cell(line, Month(2020, 3))
    assert (cold.word, cold.rows, cold.receipt) == ("cold", "2 M rows", row)
    assert f"metric_event {Month(2020, 3)} dropped 2,000,000" in plain(answer)
    assert "31.5 bytes a row" in plain(answer)
    assert "1 archived, 2 M rows, 60.1" in plain(answer)


def test_a_gap_is_named_with_what_to_do(sign_in: Callable[..., Any]) -> None:
    receipt(Month(2020, 3))
    said = plain(sign_in(AUDITOR).get(URL))
    first, last = Month(2020, 4), NOW.plus(-2)
    assert f"metric_event has a gap: {first} to {last}" in said
    assert f"manage.py rotate_partitions --from {first}" in said


def test_each_word_of_a_month() -> None:
    past, leaf = NOW.plus(-3), Leaf(10, 8192, False)
    around = all_ahead() | {past: leaf, NOW.plus(-2): leaf}
    without = {month: leaf for month, leaf in around.items() if month != past}
    assert cell(drawn(around), past).word == "hot"
    assert cell(drawn(without, receipt(NOW.plus(-4), ArchiveState.DROPPED)), past).word == "missing"
    row = receipt(past, ArchiveState.EXPORTING)
    told = []
    for state in [ArchiveState.EXPORTING, *WAY]:
        row = row if row.state == state else row.change("test", state=state)
        told.append((cell(drawn(around, row), past).word, cell(drawn(without, row), past).word))
    assert told == [
        ("leaving", "lost"),
        ("leaving", "lost"),
        ("attached", "cold"),
        ("attached", "cold"),
        ("restored", "lost"),
    ]


def test_months_that_are_missing_ahead_are_told_first() -> None:
    there = all_ahead()
    del there[NOW.plus(2)]
    (trouble,) = drawn(there).troubles
    assert f"metric_event has no month {NOW.plus(2)}" in trouble.sentence
    assert trouble.what_to_do == "rotate_partitions"


def test_a_receipt_with_a_problem_is_an_alarm(sign_in: Callable[..., Any]) -> None:
    receipt(problem="part-1.parquet is 3 bytes short")
    answer = sign_in(AUDITOR).get(URL)
    assert "The archive of metric_event 2020-03 is not whole: part-1.parquet is 3 bytes short" in plain(answer)
    assert cell(answer.context["lines"][0], Month(2020, 3)).word == "damaged"


def test_an_archive_that_stopped_halfway_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    row = receipt(NOW.plus(-1), ArchiveState.VERIFIED)
    assert drawn(all_ahead(), row).troubles == []
    monkeypatch.setattr(archive_page, "STUCK_AFTER", timedelta(0))
    (trouble,) = drawn(all_ahead(), row).troubles
    assert "stands at “verified”" in trouble.sentence
    assert trouble.what_to_do == "archive_metrics"


def test_what_the_next_run_does(settings: Any) -> None:
    old = all_ahead() | {NOW.plus(-1): Leaf(5, 9000, False), NOW: Leaf(5, 9000, False)}
    assert drawn(old).due == []
    month, leaves_at = drawn(old).next_due
    assert (month, leaves_at) == (NOW.plus(-1), NOW.start + timedelta(days=180))
    settings.METRIC_RETENTION_DAYS = 1
    if timezone.now() > NOW.start + timedelta(days=1):
        assert drawn(old).due == [NOW.plus(-1)]
        assert drawn(all_ahead()).due == []  # nothing is in it
    settings.METRIC_RETENTION_DAYS = 0
    assert (drawn(old).due, drawn(old).next_due) == ([], None)


def test_the_last_runs_are_told(sign_in: Callable[..., Any]) -> None:
    now = timezone.now()
    CronJob.objects.create(name="archive_metrics", started_at=now, succeeded_at=now, said="Archived 2026-01.")
    said = plain(sign_in(AUDITOR).get(URL))
    assert "archive_metrics succeeded" in said
    assert "Archived 2026-01." in said
    assert "verify_archives never ran" in said


def test_what_came_in_last_answers_whether_a_file_went_in(sign_in: Callable[..., Any]) -> None:
    ingest("yesterday.csv", row_count=1200, accepted=1000, duplicates=150, corrections=20, rejected=30)
    ingest("today.csv", row_count=7, accepted=7)
    ingest("running.parquet", state=IngestState.RUNNING, row_count=5000)
    said = plain(sign_in(AUDITOR).get(URL))
    assert "yesterday.csv done, with rejects the rejects file says why" in said
    assert "1,200 rows 1,000 new 170 nothing new 30 rejected" in said
    assert "today.csv done 7 rows 7 new" in said
    assert "running.parquet running 5,000 rows" in said


def test_an_input_that_stopped_says_how_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_page, "STOPPED_AFTER", timedelta(0))
    ingest("half.csv", state=IngestState.RUNNING)
    (shown,) = archive_page.inputs(timezone.now() + timedelta(seconds=1))
    assert shown.word == "stopped"
    assert "run the same command again" in shown.advice


def test_commands_name_a_month_that_they_work_for(sign_in: Callable[..., Any]) -> None:
    receipt()
    said = plain(sign_in(AUDITOR).get(URL))
    assert "manage.py restore_metrics --month 2020-03" in said
    assert "WHERE year = 2020 AND month = 3" in said


def test_the_number_of_queries_does_not_grow_with_the_months(sign_in: Callable[..., Any]) -> None:
    client = sign_in(AUDITOR)
    numbers = []
    for amount in (1, 40):
        for month in range(amount):
            if not MetricArchive.objects.filter(range_start=Month(2018, 1).plus(month).start).exists():
                receipt(Month(2018, 1).plus(month))
            ingest(f"{amount}-{month}.csv")
        client.get(URL)
        with CaptureQueriesContext(connection) as asked:
            answer = client.get(URL)
        numbers.append(len(asked))
    assert numbers[0] == numbers[1]
    assert "and 16 more" in plain(answer)
