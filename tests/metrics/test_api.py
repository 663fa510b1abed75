"""Collectors hand in events over HTTP: good ones are taken, bad ones are named, and nothing counts twice."""

import json
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.db.models import Sum
from django.test.utils import CaptureQueriesContext

from agents.choices import TokenRole
from audit.models import AuditLog
from content.models import PublishRecord
from metrics.api import MOST, NDJSON
from metrics.models import MetricCounter, MetricEvent
from tests.api.conftest import Machine, make_token
from tests.concurrency import together
from tests.factories import make_agent, make_artifact, published_post
from tests.metrics.test_append import NOON

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def collector() -> Machine:
    return Machine(make_token(TokenRole.METRICS, name="collector-eu"))


def event(post: PublishRecord | None = None, **fields: Any) -> dict[str, Any]:
    """Ten views more; a field that is None is left out."""
    given = {
        "platform": post.platform if post else "tiktok",
        "platform_post_id": post.platform_post_id if post else "nobody's",
        "metric_type": "views",
        "increase": None if "total" in fields else 10,
        "observed_at": NOON.isoformat(),
    }
    return {name: value for name, value in (given | fields).items() if value is not None}


def send(machine: Machine, *events: Any, **options: Any) -> Any:
    return machine.post("metrics/events", {"events": list(events)}, **options)


def send_lines(machine: Machine, *lines: Any, **options: Any) -> Any:
    """Texts go as they are, everything else as JSON."""
    raw = b"\n".join(
        line if isinstance(line, bytes) else line.encode() if isinstance(line, str) else json.dumps(line).encode()
        for line in lines
    )
    return machine.post("metrics/events", raw=raw, content_type=NDJSON, **options)


def numbers(answer: Any) -> tuple[int, int, int, int]:
    assert answer.status_code == 200, answer.content
    told = answer.json()
    return told["accepted"], told["duplicates"], told["corrections"], len(told["rejected"])


@pytest.mark.parametrize("way", [send, send_lines])
def test_a_batch_is_taken_as_json_and_as_lines(way: Any, collector: Machine) -> None:
    post, unpublished = published_post(), make_artifact()
    batch = [
        event(post, event_id=str(uuid4())),
        event(post, metric_type="likes", total=7, source="platform"),
        event(platform_post_id=None, artifact_id=str(unpublished.pk)),
    ]
    assert numbers(way(collector, *batch)) == (3, 0, 0, 0)
    assert numbers(way(collector, *batch)) == (0, 3, 0, 0)
    stored = MetricEvent.objects.order_by("metric_value", "content").values_list("metric_value", "source")
    assert list(stored) == [(7, "platform"), (10, "api"), (10, "api")]
    assert MetricCounter.objects.get().highest_total == 7


BAD = [
    (7, "an event is a JSON object"),
    ([], "an event is a JSON object"),
    ({}, "platform: Field required"),
    (event(increase=None), "give either increase or total."),
    (event(total=1, increase=1), "give either increase or total."),
    (event(artifact_id=str(uuid4())), "give either artifact_id or platform_post_id."),
    (event(increase=-1), "increase: Input should be greater than or equal to 0"),
    (event(increase=1.5), "increase: Input should be a valid integer"),
    (event(increase="10"), "increase: Input should be a valid integer"),
    (event(increase=True), "increase: Input should be a valid integer"),
    (event(increase=2**63), "increase: Input should be less than or equal to 9223372036854775807"),
    (event(metric_type="applause"), "metric_type: Input should be 'views', 'likes'"),
    (event(observed_at="2026-05-03"), "observed_at: must be a time with its zone"),
    (event(observed_at="2026-05-03T12:00:00"), "observed_at: must be a time with its zone"),
    (event(observed_at=1777777777), "observed_at: must be a time with its zone"),
    (event(observed_at="2999-01-01T00:00:00Z"), "2999-01 lies in the future."),
    (event(event_id="7"), "event_id: Input should be a valid UUID"),
    (event(source=""), "source: String should have at least 1 character"),
    (event(platform="x" * 101), "platform: String should have at most 100 characters"),
    (event(color="blue"), "color: Extra inputs are not permitted"),
    (event(platform_post_id="lost"), "no published tiktok post has the id 'lost'"),
    (event(platform_post_id=None, artifact_id=str(uuid4())), "there is no artifact"),
]


@pytest.mark.parametrize("way", [send, send_lines])
def test_bad_events_are_named_by_their_line_and_the_good_ones_are_taken(way: Any, collector: Machine) -> None:
    post = published_post()
    answer = way(collector, event(post, increase=1), *(bad for bad, _ in BAD), event(post, increase=2))
    assert numbers(answer) == (2, 0, 0, len(BAD))
    for line, (told, (bad, why)) in enumerate(zip(answer.json()["rejected"], BAD, strict=True), 2):
        assert told["line"] == line, bad
        assert why in told["why"], bad


def test_lines_that_are_no_json_are_rejected_by_themselves(collector: Machine) -> None:
    post = published_post()
    lines = [
        event(post, increase=1),
        "",
        "{",
        b'"\xff"',
        json.dumps(event(post, source="a\x00b")),
        '{"platform": "\\ud800"}',
        "[" * 100_000,
        "1e999999999",
        "NaN",
        f"{json.dumps(event(post, increase=2))}\r",
    ]
    answer = send_lines(collector, *lines)
    assert numbers(answer) == (2, 0, 0, 7)
    assert [told["line"] for told in answer.json()["rejected"]] == [3, 4, 5, 6, 7, 8, 9]
    assert answer.json()["rejected"][1]["why"] == "The line is not in UTF-8."


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"events": []}',
        b'{"events": {}}',
        b'{"events": null}',
        b'{"events": [{}], "source": "x"}',
        b"7",
        b"{",
        b'{"events": ["\xff"]}',
        b'{"events": ["\\u0000"]}',
    ],
)
def test_what_is_no_batch_is_refused_as_a_whole(body: bytes, collector: Machine) -> None:
    answer = collector.post("metrics/events", raw=body)
    assert answer.status_code in {400, 422}
    assert answer["Content-Type"] == "application/problem+json"
    assert not MetricEvent.objects.exists()


def test_no_lines_and_too_many_events_are_refused(collector: Machine) -> None:
    assert send_lines(collector, "", " ").json()["detail"] == "Send 1 to 10,000 events at once; these are 0."
    for way in (send, send_lines):
        answer = way(collector, *[7] * (MOST + 1))
        assert answer.status_code == 422
        assert answer.json()["detail"] == "Send 1 to 10,000 events at once; these are 10,001."


def test_a_body_of_16_megabytes_is_read_and_a_larger_one_is_not(collector: Machine) -> None:
    post, most = published_post(), 16 * 1024 * 1024
    body = json.dumps(event(post)).encode()
    for size, status in ((most, 200), (most + 1, 413)):
        answer = collector.post("metrics/events", raw=body.ljust(size), content_type=NDJSON)
        assert answer.status_code == status


@pytest.mark.parametrize("role", [role for role in TokenRole if role != TokenRole.METRICS])
def test_only_collectors_hand_in_events(role: str) -> None:
    post = published_post()
    assert send(Machine(make_token(role)), event(post)).status_code == 403
    assert send(Machine(), event(post)).status_code == 401
    assert not MetricEvent.objects.exists()


def test_the_audit_row_names_the_collector_and_its_token_on_the_trace_of_the_post(collector: Machine) -> None:
    post = published_post()
    send(collector, event(post))
    bound = Machine(make_token(TokenRole.METRICS, make_agent("collector-7"), name="bound"))
    send(bound, event(post, increase=11))
    rows = AuditLog.objects.filter(entity_type="metric_event").order_by("created_at")
    assert list(rows.values_list("actor_type", "actor_id", "tool_name", "trace_id")) == [
        ("system", "collector-eu", "collector-eu", post.artifact.task.trace_id),
        ("system", "collector-7", "bound", post.artifact.task.trace_id),
    ]


def test_a_request_that_names_itself_has_its_first_answer_again(collector: Machine) -> None:
    batch = [event(published_post()), event()]
    first, again = [send(collector, *batch, key="monday") for _ in range(2)]
    assert numbers(first) == (1, 0, 0, 1)
    assert again.content == first.content
    assert send(collector, event(), key="monday").status_code == 422


def test_collectors_at_once_with_the_same_batch_count_it_once() -> None:
    posts = [published_post() for _ in range(3)]
    tokens = [make_token(TokenRole.METRICS) for _ in range(4)]
    batch = [event(post, increase=n) for n in range(1, 31) for post in posts]
    batch += [event(post, metric_type="likes", total=n, event_id=str(uuid4())) for n in range(1, 31) for post in posts]

    def collect(number: int) -> Any:
        turned = batch[number * 40 :] + batch[: number * 40]
        return lambda: numbers(send(Machine(tokens[number]), *turned))

    results = together(*map(collect, range(4)))
    assert sum(accepted for accepted, _, _, _ in results) == MetricEvent.objects.count()
    sums = MetricEvent.objects.values_list("metric_type").annotate(sum=Sum("metric_value"))
    assert dict(sums) == {"views": 3 * sum(range(1, 31)), "likes": 3 * 30}


def test_a_thousand_events_take_no_more_queries_than_one(collector: Machine) -> None:
    post = published_post()
    send(collector, event(post))
    for amount in (1, 1000):
        batch = [event(post, event_id=str(uuid4())) for _ in range(amount)]
        with CaptureQueriesContext(connection) as queries:
            assert numbers(send_lines(collector, *batch)) == (amount, 0, 0, 0)
        assert len(queries) == 12
