"""What is measured becomes events: by post or artifact, as increases or totals, once, however often it is sent."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.db.models import Sum
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit.context import Actor
from audit.models import AuditLog
from content.models import Artifact, PublishRecord
from content.services import claim_posts, publish_succeeded
from metrics.choices import MetricType
from metrics.models import MetricCorrection, MetricCounter, MetricEvent, MetricRollup
from metrics.partitions import this_month
from metrics.services import BatchResult, Measurement, append_events
from tests.concurrency import one_then_other, together
from tests.factories import make_artifact, published_post, queued_posts

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "migrator"])

COLLECTOR = Actor.system("collector")
NOON = this_month().start + timedelta(hours=12)


def of(where: PublishRecord | Artifact, platform: str = "tiktok", **fields: Any) -> Measurement:
    """Ten views more, at noon on the first of this month; of a post by its platform's id, or of an artifact."""
    if isinstance(where, PublishRecord):
        target: dict[str, Any] = {"platform": where.platform, "platform_post_id": where.platform_post_id}
    else:
        target = {"platform": platform, "artifact_id": where.pk}
    if "total" not in fields:
        fields = {"increase": 10} | fields
    defaults = {"line": 1, "metric_type": MetricType.VIEWS, "observed_at": NOON, "source": "test"}
    return Measurement(**(defaults | target | fields))


def append(*measurements: Measurement) -> BatchResult:
    """Sends them as one batch, its lines counted from 1."""
    lines = [each._replace(line=line) for line, each in enumerate(measurements, 1)]
    return append_events(measurements=lines, actor=COLLECTOR)


def counts(result: BatchResult) -> tuple[int, int, int, int]:
    return result.accepted, result.duplicates, result.corrections, len(result.rejects)


def stored() -> tuple[int, int]:
    """The sum over all events, and over the hourly sums."""
    events = MetricEvent.objects.aggregate(sum=Sum("metric_value"))["sum"] or 0
    return events, MetricRollup.objects.aggregate(sum=Sum("sum"))["sum"] or 0


def posts_of_one_artifact() -> list[PublishRecord]:
    """One artifact that is out on two platforms."""
    posts = []
    for queued in queued_posts():
        (record,) = claim_posts(platform=queued.platform, actor=COLLECTOR)
        posts.append(
            publish_succeeded(
                record=record, platform_post_id=f"{queued.platform}-1", published_at=timezone.now(), actor=COLLECTOR
            )
        )
    return posts


def test_one_batch_takes_increases_and_totals_of_several_platforms() -> None:
    instagram, tiktok = posts_of_one_artifact()
    batch = (
        of(instagram, increase=3),
        of(tiktok, total=100),
        of(tiktok.artifact, "tiktok", total=120, observed_at=NOON + timedelta(hours=1)),
        of(tiktok.artifact, "tiktok", increase=0, metric_type=MetricType.LIKES),
    )
    assert counts(append(*batch)) == (4, 0, 0, 0)
    events = MetricEvent.objects.order_by("observed_at", "metric_value").values_list("platform", "metric_value")
    assert list(events) == [("tiktok", 0), ("instagram", 3), ("tiktok", 100), ("tiktok", 20)]
    assert set(MetricEvent.objects.values_list("content", flat=True)) == {tiktok.artifact_id}
    assert MetricCounter.objects.values_list("publish", "highest_total").get() == (tiktok.pk, 120)
    assert stored() == (123, 123)


def test_a_batch_sent_twice_adds_nothing() -> None:
    post = published_post()
    batch = (
        of(post),
        of(post, event_id=uuid4()),
        of(post, total=50),
        of(post, total=40, observed_at=NOON + timedelta(minutes=1)),
        of(post, total=60, observed_at=NOON + timedelta(minutes=2), event_id=uuid4()),
        of(make_artifact()),
    )
    assert counts(append(*batch)) == (5, 0, 1, 0)
    rows = AuditLog.objects.count(), MetricCorrection.objects.count(), stored()
    assert counts(append(*batch)) == (0, 6, 0, 0)
    assert (AuditLog.objects.count(), MetricCorrection.objects.count(), stored()) == rows


def test_every_line_is_counted_once_as_new_known_fallen_or_rejected() -> None:
    post = published_post()
    append(of(post, total=100))
    batch = (
        of(post, total=100),
        of(post, total=90, observed_at=NOON + timedelta(hours=1)),
        of(post, total=110, observed_at=NOON + timedelta(hours=2)),
        of(post),
        of(post),
        of(post, increase=-1),
        of(post, platform_post_id="nobody's"),
    )
    assert counts(append(*batch)) == (2, 2, 1, 2)


def test_an_increase_is_the_same_event_by_post_and_by_artifact() -> None:
    post = published_post()
    assert counts(append(of(post), of(post.artifact, post.platform))) == (1, 1, 0, 0)
    assert counts(append(of(post.artifact, post.platform))) == (0, 1, 0, 0)


@pytest.mark.parametrize(
    "other",
    [
        {"increase": 11},
        {"source": "another"},
        {"metric_type": MetricType.LIKES},
        {"observed_at": NOON + timedelta(microseconds=1)},
        {"total": 10, "increase": None},
    ],
)
def test_an_increase_without_an_id_is_known_by_all_that_it_says(other: dict[str, Any]) -> None:
    post = published_post()
    assert counts(append(of(post), of(post, **other))) == (2, 0, 0, 0)


def test_a_made_id_is_a_uuid7_of_the_time_it_was_observed() -> None:
    append(of(published_post()))
    event = MetricEvent.objects.get()
    assert event.event_id.version == 7
    assert event.event_id.int >> 80 == int(NOON.timestamp() * 1000)


def test_an_id_that_a_batch_names_twice_counts_as_its_first_good_line_says() -> None:
    post, key = published_post(), uuid4()
    lost = of(make_artifact(), increase=None, total=7, event_id=key)
    result = append(lost, of(post, increase=1, event_id=key), of(post, increase=2, event_id=key))
    assert counts(result) == (1, 1, 0, 1)
    assert MetricEvent.objects.values_list("event_id", "metric_value").get() == (key, 1)


@pytest.mark.parametrize("other", [{"increase": 99}, {"total": 99}, {"metric_type": MetricType.SHARES, "total": 5}])
def test_a_known_id_with_other_content_changes_nothing(other: dict[str, Any]) -> None:
    post, key = published_post(), uuid4()
    append(of(post, event_id=key))
    assert counts(append(of(post, **other, event_id=key))) == (0, 1, 0, 0)
    assert stored() == (10, 10)
    assert not MetricCounter.objects.exists()


def test_a_lower_total_under_a_taken_id_has_not_fallen() -> None:
    post, key, later = published_post(), uuid4(), NOON + timedelta(hours=1)
    append(of(post, total=100), of(post, observed_at=later, event_id=key))
    assert counts(append(of(post, total=90, observed_at=later, event_id=key))) == (0, 1, 0, 0)
    assert MetricCounter.objects.get().last_total == 100


def test_a_total_under_a_taken_id_does_not_take_from_the_next_one() -> None:
    """The increase over it would be missing from the sum for ever."""
    post, key = published_post(), uuid4()
    append(of(post, metric_type=MetricType.LIKES, event_id=key))
    later = of(post, total=120, observed_at=NOON + timedelta(hours=1), event_id=uuid4())
    assert counts(append(of(post, total=100, event_id=key), later)) == (1, 1, 0, 0)
    assert MetricEvent.objects.get(metric_type="views").metric_value == 120
    assert MetricCounter.objects.get().highest_total == 120


def test_an_id_with_another_time_is_another_event() -> None:
    """The month is part of an event's key, and one that was archived could not be asked."""
    post, key = published_post(), uuid4()
    last_month = NOON - timedelta(days=20)
    assert counts(append(of(post, event_id=key), of(post, observed_at=last_month, event_id=key))) == (2, 0, 0, 0)
    assert counts(append(of(post, observed_at=last_month, event_id=key))) == (0, 1, 0, 0)


def test_a_total_keeps_the_id_that_it_was_given() -> None:
    key = uuid4()
    append(of(published_post(), total=5, event_id=key))
    assert MetricEvent.objects.values_list("event_id", "metric_value").get() == (key, 5)


def test_each_source_counts_by_itself() -> None:
    post = published_post()
    assert counts(append(of(post, total=5), of(post, total=5, source="another"))) == (2, 0, 0, 0)
    assert MetricCounter.objects.count() == 2


def test_an_artifact_needs_no_post_for_an_increase() -> None:
    """It may be out before its publisher has said so; what was measured is not lost for that."""
    post = queued_posts()[0]
    assert counts(append(of(post.artifact, post.platform))) == (1, 0, 0, 0)
    assert MetricEvent.objects.values_list("content", "platform").get() == (post.artifact_id, post.platform)


def test_a_total_of_an_artifact_needs_its_published_post() -> None:
    post = queued_posts()[0]
    (reject,) = append(of(post.artifact, post.platform, total=5)).rejects
    assert f"has no published {post.platform} post, and a running total is one post's" in reject.reason
    assert stored() == (0, 0)


NOBODY = UUID(int=7)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"artifact_id": NOBODY, "platform_post_id": None}, f"there is no artifact {NOBODY}."),
        ({"platform_post_id": "nobody's"}, 'has the id "nobody\'s"; report it as published'),
        ({"artifact_id": NOBODY}, "give either artifact_id or platform_post_id."),
        ({"platform_post_id": None}, "give either artifact_id or platform_post_id."),
        ({"total": 1}, "give either increase or total."),
        ({"increase": None}, "give either increase or total."),
        ({"increase": -1}, "the number is no whole one from 0 to"),
        ({"increase": 2**63}, "the number is no whole one from 0 to"),
        ({"increase": 1.5}, "the number is no whole one from 0 to"),
        ({"source": ""}, "source is a name of 1 to 100 characters"),
        ({"source": "a\nb"}, "source is a name of 1 to 100 characters"),
        ({"platform": "x" * 101}, "platform is a name of 1 to 100 characters"),
        ({"platform": " tiktok"}, "platform is a name of 1 to 100 characters"),
        ({"platform": "TikTok", "artifact_id": NOBODY, "platform_post_id": None}, "in small letters: tiktok."),
        ({"platform_post_id": "a\x00b"}, "more than 255 characters, or a NUL"),
        ({"platform_post_id": "x" * 256}, "more than 255 characters, or a NUL"),
        ({"observed_at": datetime(1969, 12, 31, tzinfo=UTC)}, "1969-12 lies before 1970."),
        ({"observed_at": datetime.max.replace(tzinfo=timezone.get_fixed_timezone(-60))}, "outside of the calendar"),
    ],
)
def test_a_bad_line_is_named_and_the_others_are_taken(fields: dict[str, Any], reason: str) -> None:
    post = published_post()
    bad = of(post)._replace(**fields)
    result = append(of(post, total=1), bad, of(post, total=2, observed_at=NOON + timedelta(hours=1)))
    assert [reject.line for reject in result.rejects] == [2]
    assert reason in result.rejects[0].reason
    assert counts(result) == (2, 0, 0, 1)


def test_a_time_belongs_to_its_month_in_utc() -> None:
    """In UTC the last of the months ahead is over while west of Greenwich it is not."""
    ends = this_month().plus(7).start - timedelta(microseconds=1)
    west = timezone.get_fixed_timezone(-60)
    post = published_post()
    assert counts(append(of(post, observed_at=ends.astimezone(west)))) == (1, 0, 0, 0)
    assert counts(append(of(post, observed_at=(ends + timedelta(minutes=30)).astimezone(west)))) == (0, 0, 0, 1)


def test_a_sum_beyond_all_numbers_is_filled_up_and_refuses_nobody() -> None:
    post, largest = published_post(), 2**63 - 1
    assert counts(append(of(post, increase=largest), of(post, increase=largest - 1))) == (2, 0, 0, 0)
    assert counts(append(of(post, increase=1))) == (1, 0, 0, 0)
    assert MetricRollup.objects.values_list("sum", "count").get() == (largest, 3)


def test_a_batch_has_one_audit_row_with_what_was_read_and_what_came_of_it() -> None:
    post, unpublished = published_post(), make_artifact()
    batch = [of(post), of(post), of(post, total=4), of(unpublished), of(post, increase=-1)]
    append_events(measurements=batch, actor=COLLECTOR, inputs_hash="ab" * 32)
    entry = AuditLog.objects.get(entity_type="metric_event")
    assert (entry.action, entry.entity_id, entry.inputs_hash, entry.actor_id) == (
        "ingest",
        "ab" * 32,
        "ab" * 32,
        "collector",
    )
    assert entry.changes == {
        "accepted": [None, 3],
        "duplicates": [None, 1],
        "corrections": [None, 0],
        "rejected": [None, 1],
    }
    assert entry.output_summary == "3 new, 1 known, 0 fallen, 1 rejected"
    append_events(measurements=batch, actor=COLLECTOR, inputs_hash="ab" * 32)
    assert AuditLog.objects.filter(entity_type="metric_event").count() == 1  # nothing changed


def test_a_python_caller_without_a_hash_has_one_of_what_it_gave() -> None:
    post = published_post()
    append(of(post))
    append(of(post, increase=3))
    hashes = AuditLog.objects.filter(entity_type="metric_event").values_list("inputs_hash", flat=True)
    assert len(set(hashes)) == 2
    assert {len(each) for each in hashes if each} == {64}


def test_a_thousand_lines_take_no_more_queries_than_one() -> None:
    posts = [published_post(), published_post()]
    batch = [of(posts[n % 2], total=n, observed_at=NOON + timedelta(seconds=n)) for n in range(900)]
    batch += [of(posts[0].artifact, event_id=uuid4()) for _ in range(100)]
    for lines in (batch[899:901], batch):
        with CaptureQueriesContext(connection) as queries:
            append(*lines)
        assert len(queries) == 15


def mixed(posts: list[PublishRecord], chance: random.Random) -> list[Measurement]:
    """Totals and increases, with ids and without, of all posts, in any order."""
    batch = []
    for n in range(1, 41):
        at = NOON + timedelta(minutes=n)
        for number, post in enumerate(posts):
            given = UUID(int=chance.getrandbits(128))
            batch += [
                of(post, total=n * 10, observed_at=at),
                of(post, metric_type=MetricType.LIKES, total=n, observed_at=at, event_id=UUID(int=n * 10 + number)),
                of(post, metric_type=MetricType.SHARES, increase=1, observed_at=at),
                of(post.artifact, post.platform, metric_type=MetricType.COMMENTS, observed_at=at, event_id=given),
            ]
    return batch


def test_collectors_at_once_with_the_same_lines_count_each_once_and_never_block_each_other() -> None:
    posts = [published_post() for _ in range(4)]
    batch = mixed(posts, random.Random(1))

    def collector(seed: int) -> Any:
        def verb() -> list[BatchResult]:
            chance = random.Random(seed)
            shuffled = chance.sample(batch, len(batch))
            return [append(*shuffled[start : start + 160]) for start in range(0, len(shuffled), 160)]

        return verb

    results = together(*map(collector, range(6)))
    assert all(not each.rejects for result in results for each in result)
    for post in posts:
        events = MetricEvent.objects.filter(content=post.artifact)
        sums = dict(events.values_list("metric_type").annotate(sum=Sum("metric_value")))
        assert sums == {"views": 400, "likes": 40, "shares": 40, "comments": 400}
    assert stored() == (4 * 880, 4 * 880)
    assert sum(each.accepted for result in results for each in result) == MetricEvent.objects.count()
    ingests = AuditLog.objects.filter(entity_type="metric_event", action="ingest").values_list("changes", flat=True)
    assert sum(changes["accepted"][1] for changes in ingests) == MetricEvent.objects.count()


def test_an_id_that_is_taken_at_this_moment_by_another_post_is_waited_for() -> None:
    one, other, key = published_post(), published_post(), uuid4()
    later = of(other, total=70, observed_at=NOON + timedelta(hours=1))
    results = one_then_other(
        lambda: append(of(one, total=5, event_id=key)), lambda: append(of(other, total=50, event_id=key), later)
    )
    assert [counts(result) for result in results] == [(1, 0, 0, 0), (1, 1, 0, 0)]
    assert MetricEvent.objects.get(content=other.artifact).metric_value == 70
    assert stored() == (75, 75)


def test_a_batch_waits_for_the_totals_of_the_one_before() -> None:
    post = published_post()
    results = one_then_other(lambda: append(of(post, total=5)), lambda: append(of(post, total=8)))
    assert [counts(result) for result in results] == [(1, 0, 0, 0), (1, 0, 0, 0)]
    assert stored() == (8, 8)
