"""The pages of metrics: which sums they show, with what they compare them, what made them, and for whom."""

import csv
import io
import re
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pyarrow.parquet as pq
import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from audit.admin.cells import admin_url
from audit.models import AuditLog
from config.groups import AUDITOR, GROUPS, REVIEWER
from content.services import publish_succeeded
from metrics import reading
from metrics.choices import MetricType
from metrics.models import MetricCorrection
from metrics.views import contents
from metrics.views.period import DAY, HOUR, NoPeriod, Step, last_time, period_of
from metrics.views.subject import page_of
from tests import factories

EVERYTHING = "/admin/metrics/"
NOW = datetime(2026, 11, 20, 14, 35, tzinfo=UTC)  # a Friday


def text(answer) -> str:
    return (b"".join(answer.streaming_content) if answer.streaming else answer.content).decode()


def at(days: float, hours: float = 0) -> datetime:
    """Noon of so many days ago, which is a whole day whatever the time is now."""
    noon = timezone.now().astimezone(UTC).replace(hour=12, minute=0, second=0, microsecond=0)
    return noon - timedelta(days=days, hours=hours)


def measured(post, value: int, when: datetime, kind: str = MetricType.VIEWS) -> None:
    factories.make_events(post, metric_value=value, observed_at=when, metric_type=kind)


def listed(answer, place: int = 0) -> list[tuple[str, str]]:
    return [(str(row.artifact.task), row.total) for row in answer.context["lists"][place].rows]


def figures(answer) -> dict[str, tuple[str, str]]:
    return {figure.name: (figure.total, figure.compared) for figure in answer.context["curve"].figures}


# The period.


@pytest.mark.parametrize(
    ("given", "first", "last", "step", "buckets"),
    [
        ({}, "2026-10-24", "2026-11-20", Step.DAY, 28),
        ({"period": "7d"}, "2026-11-14", "2026-11-20", Step.DAY, 7),
        ({"period": "24h"}, "2026-11-19", "2026-11-20", Step.HOUR, 24),
        ({"period": "90d"}, "2026-08-23", "2026-11-20", Step.DAY, 90),
        ({"period": "12m"}, "2025-11-17", "2026-11-20", Step.WEEK, 53),
        ({"period": "nonsense"}, "2026-10-24", "2026-11-20", Step.DAY, 28),
        ({"from": "2026-11-18", "to": "2026-11-18"}, "2026-11-18", "2026-11-18", Step.HOUR, 24),
        ({"from": "2026-11-17", "to": "2026-11-18"}, "2026-11-17", "2026-11-18", Step.HOUR, 48),
        ({"from": "2026-11-18T23", "to": "2026-11-18T23"}, "2026-11-18", "2026-11-18", Step.HOUR, 1),
        ({"from": "2026-11-01T05", "to": "2026-11-09T05"}, "2026-11-01", "2026-11-09", Step.DAY, 9),
        ({"from": "2026-11-18"}, "2026-11-18", "2026-11-20", Step.DAY, 3),
        ({"to": "2026-11-18"}, "2026-10-22", "2026-11-18", Step.DAY, 28),
        ({"from": "2026-01-01", "to": "2026-06-30"}, "2026-01-01", "2026-06-30", Step.WEEK, 27),
        ({"from": "2024-01-15", "to": "2026-11-20"}, "2024-01-15", "2026-11-20", Step.MONTH, 35),
    ],
)
def test_a_period_is_what_its_address_says(given, first, last, step, buckets) -> None:
    period = period_of(given, NOW)
    assert (period.first_day, period.last_day, period.step, len(period.buckets)) == (first, last, step, buckets)
    assert (period.buckets[0].start, period.buckets[-1].end) == (period.start, period.end)
    for one, other in zip(period.buckets, period.buckets[1:], strict=False):
        assert one.end == other.start
    again = dict(pair.split("=") for pair in period.query.replace("%3A", ":").split("&"))
    assert period_of(again, NOW).start == period.start
    assert period_of(again, NOW).end == period.end


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"from": "yesterday"}, "is not a day"),
        ({"from": "2026-02-30"}, "is not a day"),
        ({"from": "٢٠٢٦-١١-٢٠"}, "is not a day"),
        ({"to": "20261120"}, "is not a day"),
        ({"from": "2026-11-20", "to": "2026-11-19"}, "ends before it begins"),
        ({"from": "0001-01-01", "to": "2026-11-19"}, "lies between 1970"),
        ({"from": "2026-01-01", "to": "9999-12-31"}, "lies between 1970"),
        ({"from": "2026-01-01", "to": "2029-01-01"}, "a year from now"),
        ({"from": "2001-01-01", "to": "2026-01-01"}, "at most ten years"),
    ],
)
def test_what_is_no_period_is_said(given, why) -> None:
    with pytest.raises(NoPeriod, match=why):
        period_of(given, NOW)


def test_weeks_begin_on_monday_and_months_on_their_first() -> None:
    weeks = last_time("12m", NOW).buckets
    assert {bucket.start.weekday() for bucket in weeks} == {0}
    assert [bucket.is_open for bucket in weeks[-2:]] == [False, True]
    months = period_of({"from": "2024-01-15", "to": "2026-11-20"}, NOW).buckets
    assert {bucket.start.day for bucket in months[1:]} == {1}
    assert months[1].name == "February 2024"
    assert months[0].name == "15 – 31 Jan 2024"


def test_what_is_not_over_is_not_compared() -> None:
    days = last_time("7d", NOW)
    assert (days.over, days.is_over, days.before) == (NOW.replace(hour=0, minute=0), False, days.start - 7 * DAY)
    hours = last_time("24h", NOW)
    assert hours.over == hours.end - HOUR == NOW.replace(minute=0)
    past = period_of({"from": "2026-11-01", "to": "2026-11-09"}, NOW)
    assert past.is_over
    ahead = period_of({"from": "2026-12-01", "to": "2026-12-09"}, NOW)
    assert ahead.over == ahead.start


def test_a_period_has_words() -> None:
    def words(**given: str) -> tuple[str, str]:
        period = period_of({name.strip("_"): value for name, value in given.items()}, NOW)
        return period.words, period.title

    assert words(period="7d") == ("7 days", "last 7 days")
    assert words(from_="2026-11-18", to="2026-11-18") == ("day", "Wed 18 Nov 2026")
    assert words(from_="2026-11-09", to="2026-11-15") == ("7 days", "9 – 15 Nov 2026")
    assert words(from_="2026-11-18T14", to="2026-11-18T14") == ("hour", "Wed 18 Nov 2026, 14:00 to 15:00 UTC")


# The pages.

db = pytest.mark.django_db


@db
def test_a_sum_is_compared_with_the_time_before_without_what_is_not_over(sign_in) -> None:
    post = factories.published_post()
    for days, views in ((0, 1000), (1, 50), (6, 62), (7, 9000), (8, 90), (13, 10), (14, 7777)):
        measured(post, views, at(days) if days else timezone.now())
    answer = sign_in(AUDITOR).get(f"{EVERYTHING}?period=7d")
    assert figures(answer)["Views"] == ("1,112", "+12 % on the 7 days before")  # 112 on 100, with neither first day
    assert figures(answer)["Likes"] == ("0", "none, as in the 7 days before")
    rows = answer.context["curve"].rows
    assert [row.sums[0] for row in rows] == ["62", "0", "0", "0", "0", "50", "1,000"]
    assert [row.before for row in rows] == ["10", "0", "0", "0", "0", "90", "9,000"]
    assert answer.context["curve"].chart.before
    assert "This day is not over" in text(answer)


@db
def test_a_first_total_counts_and_is_not_compared(sign_in) -> None:
    """What gathered before anybody looked is no growth of the day on which somebody did."""
    old, new = factories.published_post(), factories.published_post()
    for post, days, total in ((old, 9, 5000), (old, 8, 5100), (old, 2, 5212), (new, 3, 7000), (new, 2, 7000)):
        factories.total_of(post, total=total, observed_at=at(days))
    client = sign_in(AUDITOR)
    for kind, key, views in (
        ("", None, ("7,112", "+12 % on the 7 days before")),
        ("platform", old.platform, ("7,112", "+12 % on the 7 days before")),
        ("agent", old.artifact.task.agent_id, ("112", "+12 % on the 7 days before")),
        ("campaign", old.campaign_id, ("112", "+12 % on the 7 days before")),
        ("content", old.artifact_id, ("112", "+12 % on the 7 days before")),
        ("content", new.artifact_id, ("7,000", "none, as in the 7 days before")),
    ):
        answer = client.get(f"{page_of(kind, key)}?period=7d")
        assert figures(answer)["Views"] == views, kind
    page = client.get(f"{EVERYTHING}?period=7d")
    assert [row.sums[0] for row in page.context["curve"].rows] == ["0", "0", "0", "7,000", "112", "0", "0"]
    (by_platform, by_campaign, _) = page.context["breakdowns"]
    assert [(row.total, row.change) for row in by_platform.rows] == [("7,112", "+12 %")]
    assert {(row.total, row.change) for row in by_campaign.rows} == {("112", "+12 %"), ("7,000", "–")}
    (listed,) = page.context["lists"]
    assert {(row.total, row.change) for row in listed.rows} == {("112", "+12 %"), ("7,000", "–")}


@db
def test_every_page_shows_its_own_sums(sign_in) -> None:
    ours, theirs = factories.make_campaign(name="Ours"), factories.make_campaign(name="Theirs")
    writer, other = factories.make_agent("writer-4"), factories.make_agent("odd/key:1")
    first = factories.published_post(campaign=ours, agent=writer, title="First")
    second = factories.published_post(campaign=theirs, agent=other, title="Second")
    measured(first, 30, at(1))
    measured(second, 12, at(1))
    factories.make_events(second, metric_value=5, observed_at=at(2), platform="a b/ä?#%")
    client = sign_in(REVIEWER)
    for path, total in (
        (page_of(""), "47"),
        (page_of("campaign", ours.pk), "30"),
        (page_of("campaign", theirs.pk), "17"),
        (page_of("content", first.artifact_id), "30"),
        (page_of("agent", "writer-4"), "30"),
        (page_of("agent", "odd/key:1"), "17"),
        (page_of("platform", first.platform), "42"),
        (page_of("platform", "a b/ä?#%"), "5"),
        (page_of("platform", "nobody knows it"), "0"),
    ):
        for period in ("7d", "12m"):
            answer = client.get(f"{path}?period={period}")
            assert (answer.status_code, figures(answer)["Views"][0]) == (200, total), path
    hours = client.get(page_of("agent", "writer-4") + f"?from={at(1):%Y-%m-%dT%H}&to={at(1):%Y-%m-%dT%H}")
    assert figures(hours)["Views"] == ("30", "none in the hour before")


@db
def test_what_nobody_knows_is_not_there(sign_in) -> None:
    client = sign_in(AUDITOR)
    nobody = factories.make_agent().pk  # an agent's key is nobody's campaign
    for path in (f"campaign/{reading.NONE}/", f"content/{reading.NONE}/", "agent/nobody/", f"campaign/{nobody}/"):
        assert client.get(f"{EVERYTHING}{path}").status_code == 404
    assert client.get(f"{EVERYTHING}?file=secrets.csv").status_code == 404
    assert client.get(f"{EVERYTHING}?list=best&after=nonsense").status_code == 404
    assert page_of("platform", "..") == page_of("agent", "") == page_of("platform", "x" * 300) == ""


@db
def test_a_wrong_period_is_said_and_something_is_shown(sign_in) -> None:
    answer = sign_in(AUDITOR).get(f"{EVERYTHING}?from=%3Cb%3E")
    assert answer.status_code == 422
    assert "“&lt;b&gt;” is not a day" in text(answer)
    assert answer.context["period"].name == "28d"


@db
def test_the_best_and_the_worst_are_counted_among_what_was_out(sign_in, monkeypatch) -> None:
    monkeypatch.setattr(contents, "SHOWN", 2)
    monkeypatch.setattr(contents, "ON_A_PAGE", 3)
    campaign = factories.make_campaign()
    given = {"campaign": campaign, "agent": factories.make_agent()}
    for number in range(6):
        post = factories.published_post(**given, title=f"Post {number}", at=at(40))
        measured(post, number * 10, at(3))
    factories.published_post(**given, title="Nobody looks", at=at(2))
    old = factories.published_post(**given, title="Long ago", at=at(40))
    measured(old, 900, at(20))
    factories.queued_posts(**given, title="Not out")
    client, page = sign_in(AUDITOR), page_of("campaign", campaign.pk)
    answer = client.get(f"{page}?period=7d")
    best, worst = answer.context["lists"]
    assert (best.of, listed(answer)) == (7, [("Post 5", "50"), ("Post 4", "40")])
    assert {name for name, total in listed(answer, 1) if total == "0"} == {"Nobody looks", "Post 0"}
    assert (best.rows[0].share, best.rows[0].change) == ("33 %", "new")
    assert "even when nothing was measured" in text(answer)
    seen, path = [], page + best.more
    while path:
        answer = client.get(path)
        seen += listed(answer)
        path = answer.context["lists"][0].more and page + answer.context["lists"][0].more
    assert [int(total) for _, total in seen] == [50, 40, 30, 20, 10, 0, 0]
    assert len({name for name, _ in seen}) == 7
    from_below = client.get(page + worst.more)
    assert [total for _, total in listed(from_below)] == ["0", "0", "10"]
    for kind, key in (("", None), ("agent", given["agent"].pk), ("platform", old.platform)):
        assert client.get(f"{page_of(kind, key)}?period=7d").context["lists"][0].of == 7, kind


@db
def test_a_content_has_its_posts_its_trace_and_what_fell(sign_in) -> None:
    campaign = factories.make_campaign(target_platforms=["tiktok"])
    post = factories.published_post("7291846372910001", title="Thread: the ceremony", campaign=campaign)
    measured(post, 30, at(1))
    MetricCorrection.objects.create(
        publish=post, metric_type="views", source="platform_api", from_total=1230, to_total=1028, observed_at=at(1)
    )
    client = sign_in(AUDITOR)
    page = text(client.get(page_of("content", post.artifact_id)))
    assert "https://www.tiktok.com/video/7291846372910001" in page
    for link in (admin_url(post.artifact), admin_url(post), reverse("admin:trace", args=[post.artifact.task.trace_id])):
        assert link in page
    assert "1,230" in page
    assert "1,028" in page
    everything = text(client.get(EVERYTHING))
    assert "https://www.tiktok.com/video/7291846372910001" in everything
    assert page_of("content", post.artifact_id) in everything


@db
def test_a_point_of_the_curve_leads_to_the_contents_that_made_it(sign_in) -> None:
    given = {"campaign": factories.make_campaign(), "agent": factories.make_agent()}
    one, other = (factories.published_post(**given, title=title, at=at(9)) for title in ("One", "Other"))
    measured(one, 7, at(2))
    measured(one, 5, at(3))
    measured(other, 70, at(3, hours=1))
    client = sign_in(AUDITOR)
    rows = client.get(f"{EVERYTHING}?period=7d").context["curve"].rows
    day = next(row for row in rows if row.sums[0] == "75")
    answer = client.get(EVERYTHING + day.url)
    assert listed(answer) == [("Other", "70"), ("One", "5")]
    hour = next(row for row in answer.context["curve"].rows if row.sums[0] == "70")
    assert "T" in hour.url
    answer = client.get(EVERYTHING + hour.url)
    assert listed(answer) == [("Other", "70")]
    assert [row.url for row in answer.context["curve"].rows] == [""]  # nothing is smaller


@db
def test_the_page_of_another_measure_and_period_keeps_the_other(sign_in) -> None:
    post = factories.published_post()
    measured(post, 7200, at(1), MetricType.WATCH_TIME_SECONDS)
    answer = sign_in(AUDITOR).get(f"{EVERYTHING}?period=7d&measure=watch_time_seconds")
    assert figures(answer)["Watch time"][0] == "2.0 h"
    assert answer.context["curve"].here.name == "Watch time"
    assert "?period=7d&amp;measure=likes" in text(answer)
    assert "?period=24h&amp;measure=watch_time_seconds" in text(answer)
    assert listed(answer)[0][1] == "2.0 h"
    assert sign_in(AUDITOR).get(f"{EVERYTHING}?measure=nonsense").context["chosen"].measure == MetricType.VIEWS


@db
def test_nothing_measured_says_what_to_do(sign_in) -> None:
    page = text(sign_in(AUDITOR).get(EVERYTHING))
    assert "Nothing was measured in this time." in page
    assert reverse("admin:publishing") in page


@db
@pytest.mark.parametrize("kind", ["", "campaign", "content", "agent", "platform"])
def test_it_needs_its_permission(sign_in, kind) -> None:
    post = factories.published_post()
    keys = {"campaign": post.campaign_id, "content": post.artifact_id, "agent": post.artifact.task.agent_id}
    path = page_of(kind, keys.get(kind, post.platform))
    client = sign_in()
    for query in ("", "?file=buckets.csv", "?file=contents.parquet"):
        answer = client.get(path + query)
        assert answer.status_code == 403
        assert "You may not see metrics. Ask an Administrator for the permission “metrics.view_metricevent”." in text(
            answer
        )
    assert not AuditLog.objects.filter(entity_type="list").exists()
    client.user.user_permissions.add(Permission.objects.get(codename="view_metricevent"))
    page = text(client.get(path))
    assert reverse("admin:trace", args=[post.artifact.task.trace_id]) not in page  # which they may not open
    assert admin_url(post.artifact) not in page
    for group in GROUPS:
        assert sign_in(group).get(path).status_code == 200


@db
def test_names_that_agents_write_are_text(sign_in) -> None:
    hostile = "<script>alert(1)</script>\"'{{ 7|add:7 }}"
    post = factories.published_post(title=hostile, agent=factories.make_agent("writer-9", display_name=hostile))
    factories.make_events(post, platform=hostile, observed_at=at(1))
    client = sign_in(AUDITOR)
    for path in (
        EVERYTHING,
        page_of("content", post.artifact_id),
        page_of("agent", "writer-9"),
        page_of("platform", hostile),
    ):
        page = text(client.get(path))
        assert "<script>alert" not in page
        assert "&lt;script&gt;alert" in page


@db
@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_buckets_and_contents_are_taken_as_files_and_that_is_on_record(sign_in, form, monkeypatch) -> None:
    monkeypatch.setattr(reading, "PAGE", 2)
    given = {"campaign": factories.make_campaign(name="Meskel"), "agent": factories.make_agent()}
    for number in range(5):
        post = factories.published_post(f"p-{number}", **given, title=f"=Post {number}", at=at(9))
        measured(post, 10 + number, at(2))
        measured(post, 2, at(9))
    client, page = sign_in(AUDITOR), page_of("campaign", given["campaign"].pk)

    def rows(what: str) -> list[dict]:
        answer = client.get(f"{page}?period=7d&file={what}.{form}")
        assert answer["Content-Disposition"].endswith(f'.{form}"')
        whole = b"".join(answer.streaming_content)
        if form == "csv":
            return list(csv.DictReader(io.StringIO(whole.decode("utf-8-sig"))))
        return pq.read_table(io.BytesIO(whole)).to_pylist()

    buckets, found = rows("buckets"), rows("contents")
    assert len(buckets) == 7
    assert sum(int(row["views"]) for row in buckets) == 60
    assert sum(int(row["views_before"]) for row in buckets) == 10
    assert sorted(int(row["sum"]) for row in found) == [10, 11, 12, 13, 14]
    assert {row["campaign"] for row in found} == {"Meskel"}
    assert {row["posts"] for row in found} == {f"instagram:p-{number}" for number in range(5)}
    if form == "csv":
        assert found[0]["title"].startswith("'=")  # begins no formula
    taken = AuditLog.objects.filter(entity_type="list", action="export").order_by("created_at")
    assert [row.entity_id for row in taken] == ["metric_rollup_campaign", "metric_rollup_daily"]
    assert taken[0].actor_id == f"user:{client.user.pk}"
    assert taken[0].changes["query"][1] == f"{page}?period=7d&file=buckets.{form}"


@db
def test_no_page_reads_the_events(sign_in) -> None:
    post = factories.published_post()
    measured(post, 30, at(1))
    client = sign_in(AUDITOR)
    keys = {"campaign": post.campaign_id, "content": post.artifact_id, "agent": post.artifact.task.agent_id}
    for kind in ("", "campaign", "content", "agent", "platform"):
        for query in ("", "?period=24h", "?period=12m", "?list=best", "?file=buckets.csv", "?file=contents.csv"):
            with CaptureQueriesContext(connection) as asked:
                answer = client.get(page_of(kind, keys.get(kind, post.platform)) + query)
                assert text(answer)
            said = " ".join(query["sql"] for query in asked)
            assert "metric_event" not in said.replace("view_metricevent", ""), (kind, query)
            assert bool(re.search(r"\bmetric_rollup\b", said)) == (query == "?period=24h"), (kind, query)


@db
def test_a_list_shows_what_came_out_on_several_platforms_once(sign_in) -> None:
    campaign = factories.make_campaign(target_platforms=["tiktok", "instagram"])
    post = factories.published_post(campaign=campaign, at=at(1))
    other = post.artifact.publish_records.exclude(pk=post.pk).get()
    factories.claim_posts(platform=other.platform, actor=factories.PLANNER, limit=5)
    other.refresh_from_db()
    publish_succeeded(record=other, platform_post_id="abcDEF", published_at=at(1), actor=factories.PLANNER)
    (row,) = sign_in(AUDITOR).get(f"{EVERYTHING}?period=7d").context["lists"][0].rows
    assert [post.record.platform for post in row.posts] == sorted([post.platform, other.platform])


@db
def test_the_pages_lead_to_it(sign_in) -> None:
    post = factories.published_post()
    measured(post, 30, at(1))
    client, task = sign_in(AUDITOR), post.artifact.task
    for row, page in (
        (post.campaign, page_of("campaign", post.campaign_id)),
        (post.artifact, page_of("content", post.artifact_id)),
        (post, page_of("content", post.artifact_id)),
        (task.agent, page_of("agent", task.agent_id)),
    ):
        assert f'href="{page}"' in text(client.get(admin_url(row))), row
    assert f'href="{EVERYTHING}?period=7d"' in text(client.get("/admin/"))
    here = [
        place.name
        for _, found in client.get("/admin/metrics/metricevent/").context["places"]
        for place in found
        if place.is_here
    ]
    assert here == ["Metric events"]


@db
def test_a_plain_sql_name_without_an_address_is_only_a_name(sign_in) -> None:
    post = factories.published_post()
    factories.make_events(post, platform="..", observed_at=at(1))
    factories.make_events(post, platform="ä" * 300, observed_at=at(1))
    answer = sign_in(AUDITOR).get(f"{EVERYTHING}?period=7d")
    by_platform = answer.context["breakdowns"][0]
    assert {row.url for row in by_platform.rows} == {""}
    assert quote("..") not in {row.url for row in by_platform.rows}


@db
def test_more_parts_than_are_shown_are_counted(sign_in) -> None:
    post = factories.published_post()
    for number in range(reading.PARTS + 3):
        factories.make_events(post, platform=f"place {number:02}", observed_at=at(1), metric_value=100 - number)
    answer = sign_in(AUDITOR).get(f"{EVERYTHING}?period=7d")
    by_platform = answer.context["breakdowns"][0]
    assert [row.name for row in by_platform.rows] == [f"place {number:02}" for number in range(reading.PARTS)]
    assert by_platform.others == 3
    assert "and 3 more" in text(answer)
