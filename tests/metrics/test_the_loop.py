"""Real posts come in and real totals become events: the commands on the excerpt, and on files with broken lines."""

import csv
import hashlib
import os
import shutil
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models import Count, Max, Sum
from django.utils import timezone

from agents.models import Agent
from audit.context import Actor, acting
from audit.errors import Conflict
from audit.models import AuditLog
from campaigns.choices import TaskStatus
from campaigns.models import Campaign, Task
from content.models import Artifact, PublishRecord
from content.services.adoption import Post, adopt_posts, adopting_agent, campaign_to_adopt_into
from metrics.choices import ArchiveState, MetricType
from metrics.models import MetricArchive, MetricCorrection, MetricCounter, MetricEvent, MetricRollup
from metrics.partitions import AUDIT, EVENTS, Month, existing, months, months_ahead, rotate, this_month
from metrics.services import BatchResult, Measurement, append_events
from tests.concurrency import together
from tests.conftest import address
from tests.factories import published_post

EXCERPT = Path(__file__).parents[2] / "examples" / "youtube-excerpt.csv"
NOVEMBER = Month(2017, 11)

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "migrator"])


@pytest.fixture
def november() -> Iterator[None]:
    """The months since November 2017 exist during the test, and only during it."""
    rotate(start=NOVEMBER)
    yield
    with psycopg.connect(**address("migrator")) as owner:
        for month in existing(EVENTS):
            if month < this_month().plus(-1):
                owner.execute(f"DROP TABLE {EVENTS.leaf(month)}")


def run(command: str, *arguments: Any) -> str:
    out = StringIO()
    call_command(command, *map(str, arguments), stdout=out)
    return out.getvalue()


def adopt(path: Path = EXCERPT, campaign: str = "Trending") -> str:
    return run("adopt_posts", path, "--campaign", campaign, "--platform", "youtube")


def ingest(path: Path = EXCERPT) -> str:
    return run("ingest_metrics", path, "--platform", "youtube", "--cumulative")


def highest() -> dict[tuple[str, str], int]:
    """The highest total of each post and metric in the excerpt, read by other means than ours."""
    found: dict[tuple[str, str], int] = defaultdict(int)
    with EXCERPT.open(newline="") as file:
        for row in csv.DictReader(file):
            for metric in ("views", "likes", "comments"):
                key = row["platform_post_id"], metric
                found[key] = max(found[key], int(row[metric]))
    return found


def sums() -> dict[tuple[str, str], int]:
    """The sum of increases of each post and metric, from the raw events."""
    rows = MetricEvent.objects.values_list("content__publish_records__platform_post_id", "metric_type")
    return {(post, metric): total for post, metric, total in rows.annotate(total=Sum("metric_value"))}


def test_adoption_walks_each_post_through_its_legal_states() -> None:
    assert "adopted 16 posts" in adopt()
    assert (Campaign.objects.count(), Agent.objects.count()) == (1, 1)
    assert Task.objects.filter(status=TaskStatus.DONE).count() == 16
    assert Artifact.objects.count() == 16
    records = PublishRecord.objects.filter(status="published", adopted=True, decision=None, published_at__isnull=False)
    assert records.count() == 16
    steps = AuditLog.objects.filter(trace_id=Task.objects.first().trace_id).order_by("created_at", "audit_id")  # type: ignore[union-attr]
    assert list(steps.values_list("entity_type", "action")) == [
        ("task", "create"),
        ("task", "claim"),
        ("artifact", "adopt"),
        ("task", "complete"),
        ("publish_record", "adopt"),
        ("publish_record", "publish"),
    ]


def test_adoption_twice_changes_nothing() -> None:
    adopt()
    rows = AuditLog.objects.count()
    assert "adopted 0 posts" in adopt()
    assert AuditLog.objects.count() == rows


def test_the_sum_of_increases_is_the_highest_total(november: None) -> None:
    adopt()
    ingest()
    assert sums() == highest()
    counters = MetricCounter.objects.values_list("publish__platform_post_id", "metric_type", "highest_total")
    assert {(post, metric): total for post, metric, total in counters} == highest()


def test_a_second_run_adds_nothing(november: None) -> None:
    adopt()
    ingest()
    before = MetricEvent.objects.count(), MetricCorrection.objects.count(), AuditLog.objects.count()
    assert "added 0 events" in ingest()
    assert (MetricEvent.objects.count(), MetricCorrection.objects.count(), AuditLog.objects.count()) == before


def test_the_sums_are_the_same_in_any_order_of_arrival(november: None, tmp_path: Path) -> None:
    adopt()
    header, *rows = EXCERPT.read_text().splitlines()
    for number, row in enumerate(reversed(rows)):
        (tmp_path / f"{number}.csv").write_text(f"{header}\n{row}\n")
        ingest(tmp_path / f"{number}.csv")
    assert sums() == highest()


def test_a_batch_has_one_audit_row_with_the_hash_of_its_file(november: None) -> None:
    adopt()
    ingest()
    entry = AuditLog.objects.get(entity_type="metric_event")
    assert entry.inputs_hash == hashlib.sha256(EXCERPT.read_bytes()).hexdigest()
    assert entry.changes["accepted"] == [None, MetricEvent.objects.count()]


def test_the_hourly_sums_agree_with_the_events(november: None) -> None:
    adopt()
    ingest()
    rollups = MetricRollup.objects.values_list("content", "metric_type", "sum", "count", "max", "last_observed_at")
    events = MetricEvent.objects.values("content", "metric_type", "observed_at").annotate(
        sum=Sum("metric_value"), count=Count("*"), max=Max("metric_value"), last=Max("observed_at")
    )
    fields = ("content", "metric_type", "sum", "count", "max", "last")
    assert sorted(map(str, rollups)) == sorted(str(tuple(event[field] for field in fields)) for event in events)


def take(post: PublishRecord, *totals: tuple[datetime, int]) -> BatchResult:
    """Totals of views, each with the time at which it was seen."""
    rows = [
        Measurement(
            line=line,
            platform=post.platform,
            platform_post_id=post.platform_post_id,
            metric_type=MetricType.VIEWS,
            observed_at=when,
            total=total,
            source="test",
        )
        for line, (when, total) in enumerate(totals, 2)
    ]
    return append_events(measurements=rows, actor=Actor.system("collector"))


def observe(post: PublishRecord, *totals: tuple[int, int]) -> BatchResult:
    """`totals` as (hours ago, total)."""
    now = timezone.now()
    return take(post, *((now - timedelta(hours=hours), total) for hours, total in totals))


def test_a_total_that_fell_is_kept_as_a_correction() -> None:
    post = published_post()
    assert observe(post, (5, 100), (4, 90), (3, 95), (2, 120)).corrections == 1
    assert list(MetricEvent.objects.order_by("observed_at").values_list("metric_value", flat=True)) == [100, 20]
    assert MetricCorrection.objects.values_list("from_total", "to_total").get() == (100, 90)
    assert observe(post, (1, 110)).corrections == 1  # against what an earlier batch knew
    assert MetricEvent.objects.aggregate(sum=Sum("metric_value"))["sum"] == 120


def test_a_total_that_comes_late_has_not_fallen() -> None:
    post = published_post()
    observe(post, (1, 100))
    assert observe(post, (5, 40)) == observe(post, (5, 40))
    assert MetricCorrection.objects.count() == 0
    assert MetricEvent.objects.get().metric_value == 100


def test_a_first_total_of_zero_is_an_observation_too() -> None:
    post = published_post()
    assert observe(post, (2, 0), (1, 0)).accepted == 1
    assert observe(post, (1, 0)).accepted == 0


def test_collectors_at_once_count_each_increase_once() -> None:
    post = published_post()
    results = together(*[lambda: observe(post, *((hours, 100 - hours) for hours in range(50, 0, -1)))] * 3)
    assert all(not result.rejects for result in results)
    assert MetricEvent.objects.aggregate(sum=Sum("metric_value"))["sum"] == 99
    assert MetricCounter.objects.get().highest_total == 99
    assert MetricRollup.objects.aggregate(sum=Sum("sum"))["sum"] == 99


BROKEN = """platform_post_id,title,published_at,observed_at,views,likes,comments
good1,One,{today},{today},10,1,1
good2,"Two, with a comma",{today},{today},20,,
,no id,{today},{today},1,1,1
badnum,x,{today},{today},many,1,1
negative,x,{today},{today},-5,1,1
badtime,x,yesterday,never,1,1,1
short,x
"open quote,x,{today},{today},1,1,1
nototals,x,{today},{today},,,
old,x,{today},1999-01-01T00:00:00Z,1,1,1
good3,Three,{today},{today},30,3,3
"""


def test_broken_lines_are_reported_and_the_rest_goes_in(tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "broken.csv"
    path.write_text(BROKEN.format(today=timezone.now().isoformat()))
    with pytest.raises(CommandError, match="4 rows were rejected"):
        adopt(path)
    adopted = PublishRecord.objects.order_by("platform_post_id").values_list("platform_post_id", flat=True)
    assert list(adopted) == ["badnum", "good1", "good2", "good3", "negative", "nototals", "old"]
    capsys.readouterr()
    with pytest.raises(CommandError, match="8 rows were rejected"):
        ingest(path)
    told = capsys.readouterr().err
    for expected in (
        "line 4: platform_post_id is empty.",
        "line 5: views is not a whole number",
        "line 6: views is not a whole number",
        "line 7: observed_at is not a time: 'never'.",
        "line 8: 2 columns instead of 7.",
        "line 9: a quote is opened and not closed.",
        "line 10: no totals",
        "line 11: there is no month 1999-01 yet; make it: manage.py rotate_partitions --from 1999-01",
    ):
        assert expected in told
    assert MetricEvent.objects.count() == 7
    assert sums()["good3", "views"] == 30


def test_unknown_posts_are_rejected_with_what_to_do(capsys: Any, november: None, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="rows were rejected"):
        ingest(Path(shutil.copy(EXCERPT, tmp_path)))
    assert "report it as published" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("when", "reason"),
    [
        ("1969-12-31", "1969-12 lies before 1970."),
        ("1999-01-01", "there is no month 1999-01 yet; make it: manage.py rotate_partitions --from 1999-01"),
        ("2999-01-01", "2999-01 lies in the future."),
        ("9999-12-31", "9999-12 lies in the future."),
    ],
)
def test_a_row_without_its_month_is_told_what_can_be_done(when: str, reason: str) -> None:
    post = published_post()
    result = take(post, (datetime.fromisoformat(f"{when}T12:00Z"), 1))
    assert [reject.reason for reject in result.rejects] == [reason]


def test_a_post_that_is_not_out_has_no_events() -> None:
    """A platform's id may be known while the post is still queued: a scheduled one, say."""
    out = published_post()
    queued = PublishRecord.objects.create(
        campaign_id=out.campaign_id,
        artifact=out.artifact,
        platform="x",
        platform_post_id="queued-1",
        disclosure_level=out.disclosure_level,
        status="queued",
        adopted=True,
        content_sha256=out.content_sha256,
    )
    result = observe(queued, (1, 100))
    assert (result.accepted, len(result.rejects)) == (0, 1)
    assert not MetricEvent.objects.exists()
    assert not MetricCounter.objects.exists()


def test_the_audit_row_names_the_door_and_not_the_source() -> None:
    post = published_post()
    observe(post, (2, 1))
    with acting(tool_name="ingest-token"):
        observe(post, (1, 2))
    rows = AuditLog.objects.filter(entity_type="metric_event").order_by("created_at")
    assert list(rows.values_list("tool_name", flat=True)) == [None, "ingest-token"]


def archive(month: Month) -> None:
    """The receipt with which an archive begins."""
    MetricArchive.objects.create(
        table_name="metric_event",
        range_start=month.start,
        range_end=month.plus(1).start,
        row_count=0,
        byte_count=0,
        files=[],
        schema_fingerprint="",
        state=ArchiveState.EXPORTING,
        created_by="test",
    )


def test_a_month_is_closed_from_its_receipt_until_it_is_restored() -> None:
    post, month = published_post(), this_month()  # the month is still there, as it is while it is exported
    archive(month)
    states = [state for state in ArchiveState if state != ArchiveState.EXPORTING]
    for state in [ArchiveState.EXPORTING, *states]:
        if state != ArchiveState.EXPORTING:
            MetricArchive.objects.get().change("test", state=state)
        result = take(post, (month.start, 1))
        if state == ArchiveState.RESTORED:
            assert (result.accepted, result.rejects) == (1, [])
        else:
            assert [str(reject) for reject in result.rejects] == [
                f"line 2: {month} is closed, since it was or is being archived; restore it first."
            ]


def test_a_closed_month_is_not_made_anew() -> None:
    gone = this_month().plus(-1)
    archive(gone)
    with psycopg.connect(**address("migrator")) as owner:
        owner.execute(f"DROP TABLE {EVENTS.leaf(gone)}")
    try:
        assert rotate() == []
    finally:
        for state in (ArchiveState.VERIFIED, ArchiveState.DETACHED, ArchiveState.DROPPED, ArchiveState.RESTORED):
            MetricArchive.objects.get().change("test", state=state)
        assert rotate() == [EVENTS.leaf(gone)]


@pytest.mark.parametrize("bound", ["DEFAULT", "FOR VALUES FROM (MINVALUE) TO ('1960-01-01')"])
def test_a_partition_that_is_no_month_is_passed_over(bound: str) -> None:
    before = existing(EVENTS)
    with psycopg.connect(**address("migrator")) as owner:
        owner.execute(f"CREATE TABLE by_hand PARTITION OF metric_event {bound}")
    try:
        assert existing(EVENTS) == before
        assert rotate() == []
    finally:
        with psycopg.connect(**address("migrator")) as owner:
            owner.execute("DROP TABLE by_hand")


@pytest.mark.parametrize(
    ("content", "problem"), [(None, "cannot be read"), ("", "The file is empty"), ("a,b\n1,2\n", "has no column")]
)
@pytest.mark.parametrize("command", [adopt, ingest])
def test_a_file_that_is_none_is_refused_in_a_sentence(
    command: Any, content: str | None, problem: str, tmp_path: Path
) -> None:
    path = tmp_path / "file.csv"
    if content is not None:
        path.write_text(content)
    with pytest.raises(CommandError, match=problem):
        command(path)
    assert not Campaign.objects.exists()


@pytest.mark.parametrize("rows", ["", "x,never\n"], ids=["only a header", "no row that is a post"])
def test_a_file_without_posts_makes_no_campaign(rows: str, tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    path.write_text(f"platform_post_id,published_at\n{rows}")
    out = StringIO()
    with pytest.raises(CommandError, match="1 rows were rejected") if rows else nullcontext():
        call_command("adopt_posts", str(path), "--campaign", "Trending", "--platform", "youtube", stdout=out)
    assert "There is nothing to adopt" in out.getvalue()
    assert not Campaign.objects.exists()
    assert not Agent.objects.exists()


@pytest.mark.parametrize("command", [adopt, ingest])
def test_a_pipe_is_a_file_too(command: Any, tmp_path: Path, november: None) -> None:
    adopt()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=[EXCERPT.read_bytes()])
    writer.start()
    said = command(pipe)
    writer.join()
    assert "Found campaign" in said if command is adopt else "0 rejected" in said


def test_adoptions_at_once_make_one_campaign() -> None:
    def verb() -> tuple[Campaign, bool]:
        return campaign_to_adopt_into(name="Trending", platform="youtube", actor=Actor.system("adopt_posts"))

    results = together(*[verb] * 6)
    assert sorted(made for _, made in results) == [False] * 5 + [True]
    assert Campaign.objects.count() == 1


@pytest.mark.parametrize("status", ["stopped", "completed"])
def test_an_adoption_meets_the_end_of_its_campaign(status: str) -> None:
    """The campaign ends after the first batch of a long file."""
    actor = Actor.system("adopt_posts")
    campaign, _ = campaign_to_adopt_into(name="Trending", platform="youtube", actor=actor)
    agent = adopting_agent(platform="youtube", actor=actor)
    Campaign.objects.filter(pk=campaign.pk).change("test", status=status)
    with pytest.raises(Conflict, match=f"“Trending” is {status}; it takes no more posts"):
        post = Post("a", "A", "", timezone.now())
        adopt_posts(campaign=campaign, agent=agent, platform="youtube", posts=[post], actor=actor)
    assert not PublishRecord.objects.exists()


def test_adoption_into_an_unclear_or_ended_campaign_is_refused() -> None:
    adopt()
    Campaign.objects.create(name="Trending", goal="-", target_platforms=[], budget_cap_etb=0, status="draft")
    with pytest.raises(CommandError, match="More than one campaign"):
        adopt()
    Campaign.objects.create(name="Over", goal="-", target_platforms=[], budget_cap_etb=0, status="active").change(
        "stop", status="stopped"
    )
    with pytest.raises(CommandError, match="is stopped; it takes no more posts"):
        adopt(campaign="Over")


@pytest.mark.parametrize("platform", ["", "you tube", "x;y"])
def test_a_platform_is_a_word(platform: str) -> None:
    with pytest.raises(CommandError, match="a platform is a word"):
        run("adopt_posts", EXCERPT, "--campaign", "x", "--platform", platform)


def test_the_months_ahead_are_in_place_and_rotation_says_so() -> None:
    assert [months_ahead(table) for table in (EVENTS, AUDIT)] == [6, 6]
    assert "nothing to do" in run("rotate_partitions")


def test_a_backfill_is_prepared_without_a_gap(november: None) -> None:
    assert existing(EVENTS) == set(months(NOVEMBER, this_month().plus(6)))
    assert NOVEMBER not in existing(AUDIT)
    assert rotate(start=NOVEMBER) == []


@pytest.mark.parametrize("text", ["2017", "2017-13", "november", "2017-11-01", "0000-01"])
def test_a_month_is_written_like_one(text: str) -> None:
    with pytest.raises(CommandError, match=r"2017-11|calendar"):
        run("rotate_partitions", "--from", text)


def test_a_backfill_does_not_begin_in_the_future() -> None:
    with pytest.raises(CommandError, match="2999-01 lies in the future"):
        run("rotate_partitions", "--from", "2999-01")


def test_two_rotations_at_once_are_harmless() -> None:
    with psycopg.connect(**address("migrator")) as owner:
        owner.execute(f"DROP TABLE {EVENTS.leaf(this_month().plus(6))}")
    made = together(rotate, rotate)
    assert sorted(map(len, made)) == [0, 1]
    assert months_ahead(EVENTS) == 6


def test_a_gap_is_seen_and_mended() -> None:
    gap = this_month().plus(2)
    with psycopg.connect(**address("migrator")) as owner:
        owner.execute(f"DROP TABLE {EVENTS.leaf(gap)}")
    assert months_ahead(EVENTS) == 1
    assert f"Made {EVENTS.leaf(gap)}." in run("rotate_partitions")


def test_rows_land_in_the_month_of_their_instant_in_utc() -> None:
    """Midnight belongs to the month that begins, whatever the session's time zone is."""
    post, midnight = published_post(), this_month().start
    take(post, (midnight - timedelta(microseconds=1), 1), (midnight, 2))
    with connection.cursor() as cursor:
        cursor.execute("SELECT tableoid::regclass::text FROM metric_event ORDER BY observed_at")
        leaves = [name for (name,) in cursor.fetchall()]
    assert leaves == [EVENTS.leaf(this_month().plus(-1)), EVENTS.leaf(this_month())]
