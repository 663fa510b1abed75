"""The sums agree with the events; where they were made wrong on purpose, it is found, told and mended."""

import json
import random
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command

from audit.context import Actor
from audit.models import AuditLog
from content.models import PublishRecord
from metrics.choices import MetricType
from metrics.models import MetricCounter, MetricEvent, MetricRollup, MetricRollupCampaign, MetricRollupDaily
from metrics.partitions import this_month
from metrics.services import rollup_repair
from metrics.services.rollup_repair import repair_month
from metrics.services.rollups import check_month
from tests.concurrency import one_then_other
from tests.conftest import address
from tests.factories import make_agent, make_events, published_post

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "migrator"])

NOW = this_month()
TABLES = [MetricRollup, MetricRollupDaily, MetricRollupCampaign]
NAMES = [model._meta.db_table for model in TABLES]
LARGEST = 2**63 - 1


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("check_rollups", *arguments, stdout=out)
    return out.getvalue()


def refused(*arguments: str) -> tuple[str, str]:
    """What the command wrote, and with which sentence it failed."""
    out = StringIO()
    with pytest.raises(CommandError) as failure:
        call_command("check_rollups", *arguments, stdout=out)
    assert failure.value.returncode == 1
    return out.getvalue(), str(failure.value)


def as_owner(statement: str, *values: Any) -> int:
    with psycopg.connect(**address("migrator")) as owner:
        return owner.execute(statement, values).rowcount


def measured(post: PublishRecord, *values: int, **fields: Any) -> list[MetricEvent]:
    """Each value an hour after the one before, from the second day of this month on."""
    start = NOW.start + timedelta(days=1, minutes=20)
    return [
        make_events(post, metric_value=value, **({"observed_at": start + timedelta(hours=hour)} | fields))[0]
        for hour, value in enumerate(values)
    ]


def sums(model: Any = MetricRollup) -> list[tuple[int, int, int]]:
    return list(model.objects.order_by("bucket").values_list("sum", "count", "max"))


def test_nothing_agrees_with_nothing() -> None:
    assert "agree with 0 events" in run()


@pytest.mark.parametrize("seed", range(3))
def test_sums_agree_whatever_comes_in_and_in_whatever_order(seed: int) -> None:
    chance, posts = random.Random(seed), [published_post() for _ in range(3)]
    for _ in range(40):
        post = chance.choice(posts)
        at = NOW.plus(-1).start + timedelta(seconds=chance.randrange(58 * 86_400))
        make_events(
            post,
            amount=chance.randint(1, 3),
            observed_at=at,
            metric_value=chance.choice([0, 1, 7, 10**12]),
            metric_type=chance.choice(MetricType.values),
            platform=chance.choice(["tiktok", 'a "quoted", one', ""]),
        )
    assert f"agree with {MetricEvent.objects.count():,} events" in run()


def test_a_sum_that_is_full_agrees() -> None:
    measured(published_post(), LARGEST, LARGEST, observed_at=NOW.start)
    assert sums() == [(LARGEST, 2, LARGEST)]
    assert "agree with 2 events" in run()


WRONG = {
    "a sum": "UPDATE {table} SET sum = sum + 1",
    "a count": "UPDATE {table} SET count = count - 1",
    "a largest": "UPDATE {table} SET max = max + 5",
    "a last": "UPDATE {table} SET last_observed_at = last_observed_at + interval '1 second'",
    "a platform": "UPDATE {table} SET platform = 'elsewhere'",
    "a bucket": "UPDATE {table} SET bucket = bucket + interval '1 minute'",
}


@pytest.mark.parametrize("what", WRONG)
@pytest.mark.parametrize("table", NAMES)
def test_what_was_made_wrong_is_found_and_mended(table: str, what: str) -> None:
    measured(published_post(), 5, 7)
    before = {model: sums(model) for model in TABLES}
    changed = as_owner(WRONG[what].format(table=table))
    wrong = changed * (2 if what in {"a platform", "a bucket"} else 1)  # one is missing, and one is too many
    told, why = refused("--month", str(NOW))
    assert f"{wrong} rows of {table} differ" in told
    assert f"{table} (content " in told or f"{table} (metric_type views" in told
    assert f"{wrong} sums differ from their events" in why

    said = run("--repair")
    assert f"{wrong} mended" in said
    assert f"{wrong} sums were mended. All sums of" in said
    assert {model: [row for row in sums(model) if row[1]] for model in TABLES} == before
    assert "mended" not in run("--repair")


def test_rows_that_are_missing_are_made() -> None:
    measured(published_post(), 5, 7)
    with psycopg.connect(**address("migrator")) as owner:
        for table in NAMES:
            owner.execute(f"TRUNCATE {table}")
    _, why = refused()
    assert "4 sums differ" in why
    assert "4 sums were mended" in run("--repair")
    assert [sums(model) for model in TABLES] == [[(5, 1, 5), (7, 1, 7)], [(12, 2, 7)], [(12, 2, 7)]]


def test_a_row_to_which_no_event_belongs_is_mended_to_nothing() -> None:
    measured(published_post(), 5)
    as_owner("UPDATE metric_rollup SET agent_id = %s", make_agent().pk)
    told, _ = refused()
    assert "expected nothing, found sum 5, count 1" in told
    assert "expected sum 5, count 1" in told
    run("--repair")
    assert sorted(sums()) == [(0, 0, 0), (5, 1, 5)]
    make_events(published_post(), observed_at=NOW.start)
    assert "agree" in run()


def test_only_the_first_differences_are_told_and_all_are_mended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollup_repair, "AT_ONCE", 10)
    measured(published_post(), *range(1, 46))
    as_owner("UPDATE metric_rollup SET sum = 0")
    told, why = refused()
    assert told.count("expected sum") == 20
    assert "45 sums differ" in why
    assert "45 mended" in run("--repair")
    assert sorted(row[0] for row in sums()) == [*range(1, 46)]


def test_a_repair_is_on_record() -> None:
    measured(published_post(), 5)
    as_owner("UPDATE metric_rollup_daily SET sum = 0")
    before = AuditLog.objects.count()
    run("--repair")
    assert AuditLog.objects.count() == before + 1
    entry = AuditLog.objects.order_by("-created_at")[0]
    assert (entry.actor_id, entry.action, entry.severity) == ("check_rollups", "repair", "warning")
    assert entry.entity_id == f"metric_rollup_daily {NOW}"
    assert entry.changes["mended"] == [None, 1]
    assert "expected sum 5" in entry.changes["first"][1][0]


def test_json_says_the_same() -> None:
    measured(published_post(), 5)
    as_owner("UPDATE metric_rollup SET sum = 6")
    told = json.loads(refused("--json")[0])
    assert told["agrees"] is False
    (month,) = [month for month in told["months"] if month["different"]]
    assert month == {
        "month": str(NOW),
        "where": "hot",
        "events": 1,
        "different": {"metric_rollup": 1},
        "mended": 0,
        "problem": "",
    }
    (difference,) = told["differences"]
    assert (difference["expected"]["sum"], difference["found"]["sum"]) == (5, 6)
    assert json.loads(run("--json", "--repair"))["agrees"] is True


def test_only_the_months_that_are_asked_for_are_checked() -> None:
    measured(published_post(), 5)
    as_owner("UPDATE metric_rollup SET sum = 6")
    assert "All sums of 1 months agree" in run("--month", str(NOW.plus(-1)))
    assert "agree" in run("--since", str(NOW.plus(1)))
    refused("--since", str(NOW))


def test_sums_of_a_month_that_is_nowhere_are_left_alone() -> None:
    """Its events were lost: what they added up to is all that is left of them."""
    measured(published_post(), 5)
    as_owner("UPDATE metric_rollup SET bucket = bucket - interval '50 years'")
    lost = NOW.plus(-600)
    for arguments in ([], ["--repair"]):
        told, why = refused(*arguments)
        assert f"{lost} (nowhere): {lost} is in no partition and has no receipt" in told
        assert f"{lost} could not be checked" in why
    assert (5, 1, 5) in sums()


def test_the_application_cannot_mend() -> None:
    measured(published_post(), 5)
    as_owner("UPDATE metric_rollup SET sum = 6")
    with pytest.raises(Exception, match="permission denied for table metric_rollup"):
        repair_month(NOW, actor=Actor.system("test"), using="default")
    assert sums() == [(6, 1, 5)]


def with_writer(verb: Callable[[], Any], *, kinds: list[str]) -> Any:
    """`verb` runs while somebody has written events and not committed yet."""
    post = published_post()
    measured(post, 5)
    for table in kinds:
        as_owner(f"UPDATE {table} SET sum = sum + 100, max = 100")
    return one_then_other(lambda: measured(post, 7), verb)[1]


def test_a_check_neither_waits_for_a_writer_nor_counts_the_half_of_it() -> None:
    assert with_writer(lambda: check_month(NOW), kinds=[]).agrees


@pytest.mark.parametrize("table", NAMES)
def test_a_repair_counts_what_is_committed_meanwhile(table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits for the writer, whose events it did not see when it looked."""
    monkeypatch.setattr(rollup_repair, "LOCK_TIMEOUT", "10s")
    mended = with_writer(lambda: repair_month(NOW, actor=Actor.system("test")), kinds=[table])
    assert mended.mended == 1
    assert check_month(NOW).agrees
    assert [row[:2] for row in sums(MetricRollupDaily)] == [(12, 2)]


def test_a_repair_steps_back_from_a_writer_that_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollup_repair, "TRIES", 2)
    measured(published_post(), 5)
    as_owner("UPDATE metric_rollup SET sum = 6")
    with psycopg.connect(**address("migrator")) as writer:
        writer.execute("SELECT FROM metric_rollup FOR UPDATE")
        assert "is written without a pause" in refused("--repair")[1]
    assert "1 mended" in run("--repair")


def test_running_totals_that_are_higher_than_their_events_are_told() -> None:
    post = published_post("clip-1")
    measured(post, 5)
    counter = {"publish": post, "metric_type": MetricType.VIEWS, "last_observed_at": NOW.start}
    counter |= {"first_total": 2, "first_observed_at": NOW.start, "platform": post.platform}
    counter |= {"campaign": post.campaign, "agent": post.artifact.task.agent}
    MetricCounter.objects.create(**counter, source="api", highest_total=5, last_total=5)
    assert "agree" in run()  # a source that also sends increases may only raise the sum
    MetricCounter.objects.create(**counter, source="file", highest_total=2, last_total=2)
    told, why = refused()
    assert "post clip-1, views: running totals have reached 7, but its events add up to 5" in told
    assert "of 1 posts, running totals are higher" in why
    assert "agree" in run("--month", str(NOW))


def test_a_month_that_nobody_knows_is_told() -> None:
    told, _ = refused("--month", "1999-12")
    assert "1999-12 is in no partition" in told
    with pytest.raises(CommandError, match="write it like 2017-11"):
        run("--month", "soon")


def test_a_month_ends_where_the_next_begins() -> None:
    for at in (NOW.start, NOW.plus(1).start - timedelta(microseconds=1), NOW.plus(1).start):
        make_events(published_post(), observed_at=at)
    assert [check_month(month).events for month in (NOW, NOW.plus(1))] == [2, 1]
