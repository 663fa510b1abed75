"""The control room: its numbers are those of the lists behind them, it says what needs somebody, and asks little."""

from datetime import UTC, timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import Permission
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from audit.admin.cells import admin_url
from audit.heartbeat import heartbeat
from campaigns.services import halt_everything, pause_campaign
from config.console.overview import machine, measures, reviews, work
from config.groups import ADMINISTRATOR, AUDITOR, OPERATOR, REVIEWER
from content.choices import Decision
from tests import factories
from tests.console.world import populate

pytestmark = pytest.mark.django_db
ROOM = "/admin/control-room/"
LIMIT = 45  # questions, of which the session, the person and the permissions take five


def text(answer) -> str:
    return answer.content.decode()


def needs(client) -> list[str]:
    return [need.sentence for need in client.get(ROOM).context["needs"]]


def figures(context):
    """Every number of the page with the list that it leads to."""
    yield from ((card.number, card.url) for card in context["cards"])
    yield from ((figure.number, figure.url) for figure in context["pipeline"].figures)
    yield from ((figure.number, figure.url) for figure in context["posts"].figures)
    yield from ((figure.number, figure.url) for figure in context["states"])
    for _, everything, ages, overdue in context["reviews"].rows:
        yield from ((figure.number, figure.url) for figure in (everything, *ages, overdue))
    for row in context["campaigns"]:
        yield from ((figure.number, figure.url) for figure in row.work)


def amount_in(context) -> int:
    if "cl" in context:
        return context["cl"].result_count
    return next(int(tab["amount"]) for tab in context["tabs"] if tab["is_here"])


def test_each_number_is_that_of_the_list_behind_it(sign_in) -> None:
    populate()
    now, client = timezone.now(), sign_in(ADMINISTRATOR)
    for hours, due in ((2, 30), (5, -1), (30, -20)):
        waits = {"opened_at": now - timedelta(hours=hours), "due_at": now + timedelta(hours=due)}
        factories.waiting_item().change("update", **waits)
    factories.queued_posts()[0].change("update", hold="outcome_unknown")
    context = client.get(ROOM).context
    seen = list(figures(context))
    assert len(seen) > 30
    wrong = []
    for number, url in seen:
        answer = client.get(url)
        shown = amount_in(answer.context)
        wrong += [] if (answer.status_code, shown) == (200, number) else [(url, number, shown)]
    assert wrong == []
    assert (
        sum(context["reviews"].rows[0][2][place].number for place in range(4)) == context["reviews"].rows[0][1].number
    )


@pytest.mark.parametrize("group", [REVIEWER, OPERATOR, AUDITOR, ADMINISTRATOR])
def test_verbs_are_offered_to_whoever_may(sign_in, group) -> None:
    campaign = factories.make_campaign()
    page = text(sign_in(group).get("/admin/"))
    pause = reverse("admin:campaigns_campaign_control", args=[campaign.pk, "pause"])
    assert (pause in page) == (group in (OPERATOR, ADMINISTRATOR))


def test_one_sees_what_one_may(sign_in) -> None:
    populate()
    for permission, seen, hidden in (
        ("campaigns.view_task", "Task pipeline", "Waiting reviews"),
        ("content.view_reviewitem", "Waiting reviews", "Task pipeline"),
        ("content.view_publishrecord", "published", "Needs a campaign"),
        ("metrics.view_metricevent", "last 7 days", "Publishing</h2>"),
        ("audit.view_auditlog", "What happened last", "Waiting reviews"),
    ):
        client = sign_in()
        app, codename = permission.split(".")
        client.user.user_permissions.add(Permission.objects.get(content_type__app_label=app, codename=codename))
        page = text(client.get(ROOM))
        assert (seen in page, hidden in page) == (True, False), permission


def test_the_part_that_refreshes_is_only_the_body_and_only_for_whoever_signed_in(sign_in, client) -> None:
    answer = sign_in(REVIEWER).get(ROOM)
    assert "<html" not in text(answer)
    assert "no-store" in answer["Cache-Control"]
    assert client.get(ROOM)["Location"].startswith("/admin/login/")
    assert sign_in(REVIEWER).post(ROOM).status_code == 405


def test_it_asks_the_same_however_much_there_is_and_weighs_little(sign_in) -> None:
    populate()
    client = sign_in(ADMINISTRATOR)
    client.get(ROOM)
    with CaptureQueriesContext(connection) as few:
        client.get(ROOM)
    for number in range(6):
        factories.waiting_item(title=f"more {number}")
        factories.make_events(factories.published_post())
        factories.make_campaign(budget_cap_etb=100, name=f"more {number}")
    with CaptureQueriesContext(connection) as many:
        answer = client.get(ROOM)
    assert len(many) <= len(few) + 2 <= LIMIT  # the log may name two more kinds of things
    assert len(answer.content) < 100_000


def test_nothing_is_counted_row_by_row_of_what_has_ended(sign_in) -> None:
    """Tasks that ended long ago are not even looked at: the index of what ended has them by time."""
    factories.task_in("done")
    client = sign_in(ADMINISTRATOR)
    with CaptureQueriesContext(connection) as asked:
        client.get(ROOM)
    for query in asked:
        sql = query["sql"]
        if 'FROM "task"' in sql and "COUNT(" in sql and "GROUP BY" in sql:
            assert '"updated_at" >=' in sql or "'pending', 'in_progress', 'review'" in sql or "in_progress" in sql, sql


def test_nothing_needs_anybody(sign_in) -> None:
    for name in ("run_due", "rotate_partitions"):
        with heartbeat(name):
            pass
    page = sign_in(ADMINISTRATOR).get(ROOM)
    assert page.context["needs"] == []
    assert "Nothing needs anybody." in text(page)


def test_what_needs_somebody_is_said_most_urgent_first(sign_in, monkeypatch) -> None:
    client, now = sign_in(ADMINISTRATOR), timezone.now()
    operator = factories.make_user(OPERATOR)
    nearly = factories.make_campaign(name="Nearly", budget_cap_etb=Decimal(1000))
    factories.claimed_task(campaign=nearly, reserve_etb=Decimal(900))
    holding = factories.make_campaign(name="Holding", budget_cap_etb=Decimal(10))
    factories.make_task(campaign=holding, reserve_etb=Decimal(11))
    halted = factories.make_campaign(name="Halted")
    factories.Campaign.objects.filter(pk=halted.pk).change("halt", status="paused", halted_at=now, control_reason="why")
    post = factories.queued_posts()[0]
    post.change("unknown", hold="outcome_unknown")
    item = factories.waiting_item(title="Reel: 3 fees")
    item.change("update", due_at=now - timedelta(minutes=11))
    monkeypatch.setattr(machine, "MONTHS_AHEAD", 100)
    told = client.get(ROOM).context["needs"]
    said = [need.sentence for need in told]
    for sentence in (
        "Months are missing in metric_event",
        "run_due has never run: is cron set up?",
        "1 post, outcome unknown",
        "Review overdue by 11 min",
        "“Halted” is halted",
        "The budget of “Holding” holds 1 task back",
        "The budget of “Nearly” is nearly used",
    ):
        assert sentence in said
    colours = [need.colour for need in told]
    assert colours == sorted(colours)  # bad before warn
    assert next(need.url for need in told if "overdue" in need.sentence) == admin_url(item)
    for need in told:
        assert need.url.startswith("#") or client.get(need.url).status_code == 200, need
    assert operator


def test_an_agent_that_went_quiet_needs_somebody(sign_in) -> None:
    task = factories.claimed_task(agent=factories.make_agent("writer-4"))
    task.change("update", lease_expires_at=timezone.now() - timedelta(minutes=3))
    assert any(sentence.startswith("writer-4 has been quiet") for sentence in needs(sign_in(OPERATOR)))


def test_a_halt_of_everything_comes_first(sign_in) -> None:
    from audit.context import Actor

    halt_everything(actor=Actor.human(factories.make_user(OPERATOR)), reason="wrong price")
    assert needs(sign_in(OPERATOR))[0] == "Everything is halted"


def test_a_pause_is_no_need_and_a_failed_job_is(sign_in) -> None:
    from audit.context import Actor
    from audit.errors import Invalid

    campaign = factories.make_campaign(name="Waits")
    pause_campaign(campaign_id=campaign.pk, actor=Actor.human(factories.make_user(OPERATOR)), reason="later")
    with pytest.raises(Invalid), heartbeat("run_due"):
        raise Invalid("The disk is full.")
    told = sign_in(OPERATOR).get(ROOM).context["needs"]
    assert not any("Waits" in need.sentence for need in told)
    failed = next(need for need in told if need.sentence.startswith("run_due failed"))
    assert failed.more == "The disk is full."


def test_the_curve_compares_two_weeks_and_loses_nothing(sign_in) -> None:
    post = factories.published_post()
    hour = timezone.now().astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    for hours, views in ((0, 5), (3, 50), (24 * 7 - 1, 57), (24 * 7, 100), (24 * 14 - 1, 0), (24 * 14, 1000)):
        factories.make_events(post, observed_at=hour - timedelta(hours=hours), metric_value=views)
    week = measures.week(timezone.now())
    views = week.measures[0]
    assert (views.total, views.compared) == (112, "+12 % on the week before")
    assert sum(sums[0] for _, sums in week.days) == 112
    page = text(sign_in(AUDITOR).get(ROOM))
    assert "views 112, +12 % on the week before" in page


def test_ages_have_no_gap_and_no_overlap() -> None:
    now = timezone.now()
    for minutes, place in ((0, 0), (59, 0), (60, 1), (239, 1), (240, 2), (24 * 60 - 1, 2), (24 * 60, 3), (9999, 3)):
        moment = now - timedelta(minutes=minutes)
        within = []
        for index, age in enumerate(reviews.AGES):
            bounds = reviews._between(age, now)
            if bounds.get("opened_at__lte", now) >= moment > bounds.get("opened_at__gt", moment - timedelta(1)):
                within.append(index)
        assert within == [place], minutes


def test_the_dearest_numbers_are_kept_for_some_seconds(settings) -> None:
    settings.CONTROL_ROOM_KEEPS = True
    cache.clear()
    try:
        factories.make_task()
        before = work.under_way().by_status
        factories.make_task()
        with CaptureQueriesContext(connection) as asked:
            assert work.under_way().by_status == before
        assert len(asked) == 0
        cache.clear()
        assert work.under_way().by_status["pending"] == before["pending"] + 1
    finally:
        cache.clear()


def test_decisions_make_the_number_fall(sign_in) -> None:
    client = sign_in(ADMINISTRATOR)
    factories.waiting_item()
    assert client.get(ROOM).context["reviews"].total == 1
    factories.decided_item(Decision.APPROVE, person=factories.make_user(REVIEWER))
    assert client.get(ROOM).context["reviews"].total == 1
