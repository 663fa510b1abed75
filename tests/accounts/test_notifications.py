"""What people are told: once, grouped, with the way to the thing, and no longer than it is so."""

from datetime import timedelta
from smtplib import SMTPRecipientsRefused

import pytest
from django.core import mail
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.choices import Channel, NotificationType
from accounts.models import Notification, User
from accounts.services.notification_emails import send_notifications
from accounts.services.notifications import mark_read, sentence
from audit.context import Actor
from audit.models import CronJob
from campaigns.services import halt_campaign, resume_campaign, stop_campaign
from campaigns.services.control import halt_everything, resume_everything
from config.groups import ADMINISTRATOR, AUDITOR, OPERATOR, REVIEWER
from config.notices import tell_what_waits
from content.choices import Decision, Outcome
from content.models import PublishRecord, ReviewItem
from content.services import (
    decide_review_item,
    publish_failed,
    publish_unknown,
    queue_post_again,
    settle_unknown_post,
    undo_decision,
)
from metrics.models import MetricArchive
from tests import factories
from tests.concurrency import together
from tests.console.world import populate

pytestmark = pytest.mark.django_db
SYSTEM = Actor.system("run_due")
PUBLISHER = Actor.system("publisher")


def tell() -> int:
    return tell_what_waits(actor=SYSTEM)


def send() -> int:
    return send_notifications(actor=SYSTEM)


def told(person: User, unread: bool = True) -> list[tuple[str, str]]:
    rows = Notification.objects.filter(user=person, is_read=not unread).order_by("type", "about")
    return [(row.type, row.payload_json["title"]) for row in rows]


def overdue(amount: int = 1, minutes: float = 41, **fields) -> list[ReviewItem]:
    fields.setdefault("campaign", None)
    campaign = fields.pop("campaign") or factories.make_campaign(name="Meskel launch")
    items = [factories.waiting_item(campaign=campaign, **fields) for _ in range(amount)]
    for number, item in enumerate(items):
        item.change("test", due_at=timezone.now() - timedelta(minutes=minutes - number))
    return items


def client_of(person: User) -> Client:
    client = Client()
    client.force_login(person, backend="django.contrib.auth.backends.ModelBackend")
    return client


# --- Who is told of what ---------------------------------------------------------------------------------------------


def test_many_overdue_reviews_are_one_notification_that_links_to_exactly_them() -> None:
    reviewer = factories.make_user(REVIEWER)
    items = overdue(3)
    factories.waiting_item(campaign=items[0].campaign)  # in good time
    factories.waiting_item(campaign=factories.make_campaign(name="Other"))
    assert tell() == 1
    row = Notification.objects.get(user=reviewer)
    assert sentence(row) == "3 reviews of “Meskel launch” are overdue, the oldest by 41 min"
    assert (row.type, row.about, row.payload_json["amount"]) == ("review_overdue", str(items[0].campaign_id), 3)
    found = client_of(reviewer).get(row.payload_json["url"]).context["cl"].result_list
    assert {item.pk for item in found} == {item.pk for item in items}


def test_one_thing_is_called_and_linked_by_its_own_name() -> None:
    reviewer = factories.make_user(REVIEWER)
    (item,) = overdue(title="Reel: 3 fees")
    tell()
    row = Notification.objects.get(user=reviewer)
    assert sentence(row) == "“Reel: 3 fees” of “Meskel launch” is overdue, by 41 min"
    assert row.payload_json["url"] == f"/admin/content/reviewitem/{item.pk}/change/"


def test_what_is_due_within_the_hour_is_told_before_it_is_overdue() -> None:
    reviewer = factories.make_user(REVIEWER)
    (item,) = overdue(minutes=-12.5, title="Reel: 3 fees")
    tell()
    assert sentence(Notification.objects.get()) == (
        "“Reel: 3 fees” of “Meskel launch” is due within the hour, in 12 min"
    )
    item.change("test", due_at=timezone.now() - timedelta(minutes=1))
    tell()
    assert [type for type, _ in told(reviewer)] == ["review_overdue"]
    assert [type for type, _ in told(reviewer, unread=False)] == ["review_due"]


def test_those_are_told_who_can_act_and_are_here() -> None:
    reviewer, other = factories.make_user(REVIEWER), factories.make_user(ADMINISTRATOR)
    for group in (OPERATOR, AUDITOR, ""):
        factories.make_user(group)
    factories.make_user(REVIEWER, is_active=False)
    overdue()
    tell()
    assert set(Notification.objects.values_list("user", flat=True)) == {reviewer.pk, other.pk}


def test_what_was_escalated_to_administrators_is_told_to_them_alone() -> None:
    reviewer, administrator = factories.make_user(REVIEWER), factories.make_user(ADMINISTRATOR)
    first, second = overdue(2)
    second.change("test", level=3)
    tell()
    assert [title for _, title in told(reviewer)] == [f"“{first.task}” of “Meskel launch” is overdue"]
    assert [title for _, title in told(administrator)] == [
        f"“{first.task}” of “Meskel launch” is overdue",
        f"The escalated review of “{second.task}” of “Meskel launch” is overdue",
    ]


def test_a_failed_post_is_told_with_the_way_to_that_post() -> None:
    operator = factories.make_user(OPERATOR)
    post = factories.claimed_post(title="Reel: 3 fees", campaign=factories.make_campaign(name="Meskel launch"))
    publish_failed(record=post, error="The account is suspended.", actor=PUBLISHER)
    tell()
    row = Notification.objects.get(user=operator)
    assert row.payload_json["title"] == f"“Reel: 3 fees” of “Meskel launch” on {post.platform} failed"
    assert row.payload_json["url"] == f"/admin/content/publishrecord/{post.pk}/change/"


def failed_posts(amount: int) -> list[PublishRecord]:
    campaign = factories.make_campaign(name="Meskel launch", target_platforms=["tiktok"])
    posts = [factories.claimed_post(campaign=campaign) for _ in range(amount)]
    return [publish_failed(record=post, error="No.", actor=PUBLISHER)[0] for post in posts]


def test_many_failed_posts_are_one_notification_and_link_to_the_list_of_them() -> None:
    operator = factories.make_user(OPERATOR)
    posts = failed_posts(3)
    factories.claimed_post()
    tell()
    row = Notification.objects.get(user=operator)
    assert row.payload_json["title"] == "3 posts of “Meskel launch” failed"
    page = client_of(operator).get(row.payload_json["url"])
    assert {shown.post.pk for shown in page.context["rows"]} == {post.pk for post in posts}


def test_a_failed_post_that_is_tried_again_is_no_news_any_more() -> None:
    operator = factories.make_user(OPERATOR)
    (post,) = failed_posts(1)
    tell()
    queue_post_again(publish_id=post.pk, actor=Actor.human(operator), reason="The account is back.")
    tell()
    assert told(operator) == []


def test_what_an_operator_dropped_or_a_stop_ended_is_not_told_as_failed() -> None:
    operator = factories.make_user(OPERATOR)
    post = publish_unknown(record=factories.claimed_post(), error="Timed out.", actor=PUBLISHER)
    settle_unknown_post(publish_id=post.pk, outcome=Outcome.DROP, actor=Actor.human(operator), reason="Too old.")
    (failed,) = failed_posts(1)
    stop_campaign(campaign_id=failed.campaign_id, actor=Actor.human(operator), reason="over")
    tell()
    assert told(operator) == []


def test_an_unknown_outcome_is_told_until_somebody_has_settled_it() -> None:
    operator = factories.make_user(OPERATOR)
    post = publish_unknown(record=factories.claimed_post(title="Reel"), error="Timed out.", actor=PUBLISHER)
    tell()
    ((type, title),) = told(operator)
    assert (type, title.startswith("Nobody knows whether “Reel” of")) == ("publish_unknown", True)
    settle_unknown_post(
        publish_id=post.pk,
        outcome=Outcome.PUBLISHED,
        platform_post_id="77",
        actor=Actor.human(operator),
        reason="Seen.",
    )
    tell()
    assert told(operator) == []


def test_a_halted_campaign_and_a_halt_of_everything_are_told_until_they_end() -> None:
    operator, halted_by = factories.make_user(OPERATOR), factories.make_user(OPERATOR, display_name="Sara Bekele")
    campaign, actor = factories.make_campaign(name="Rainy season"), Actor.human(halted_by)
    halt_campaign(campaign_id=campaign.pk, actor=actor, reason="wrong price")
    halt_everything(actor=actor, reason="the accounts are locked")
    tell()
    assert [title for _, title in told(operator)] == [
        "“Rainy season” is halted by Sara Bekele: wrong price",
        "Everything is halted by Sara Bekele: the accounts are locked",
    ]
    resume_campaign(campaign_id=campaign.pk, actor=actor, reason="mended")
    resume_everything(actor=actor, reason="mended")
    tell()
    assert told(operator) == []
    halt_campaign(campaign_id=campaign.pk, actor=actor, reason="again")
    assert tell() == 2  # both operators
    assert len(told(operator)) == 1


def test_an_archive_that_is_stuck_or_failed_is_told() -> None:
    operator = factories.make_user(OPERATOR)
    populate()
    tell()
    assert not [type for type, _ in told(operator) if type == "archive_failed"]
    now = timezone.now()
    CronJob.objects.create(name="archive_metrics", started_at=now, failed_at=now, said="The store is full.")
    late = now + timedelta(hours=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("config.notices.timezone.now", lambda: late)
        tell()
    titles = [title for type, title in told(operator) if type == "archive_failed"]
    assert titles == [
        "archive_metrics failed: The store is full.",
        f"The archive of {MetricArchive.objects.get()} is stuck at “exporting”",
    ]
    CronJob.objects.filter(name="archive_metrics").update(succeeded_at=now + timedelta(seconds=1))
    tell()
    assert not [type for type, _ in told(operator) if type == "archive_failed"]


# --- Once, and no longer than it is so --------------------------------------------------------------------------------


def test_the_same_is_told_once_and_grows() -> None:
    factories.make_user(REVIEWER)
    (first,) = overdue()
    assert [tell(), tell(), tell()] == [1, 0, 0]
    overdue(campaign=first.campaign, minutes=3)
    assert tell() == 1
    row = Notification.objects.get()
    assert row.payload_json["amount"] == 2


def test_what_was_read_is_not_told_again_before_something_new_happens() -> None:
    reviewer = factories.make_user(REVIEWER)
    (first,) = overdue()
    tell()
    mark_read(person=reviewer)
    assert tell() == 0
    assert told(reviewer) == []
    overdue(campaign=first.campaign, minutes=2)
    assert tell() == 1
    assert told(reviewer) == [("review_overdue", "2 reviews of “Meskel launch” are overdue")]


def test_what_was_decided_is_marked_as_read_and_fewer_are_told_as_fewer() -> None:
    reviewer = factories.make_user(REVIEWER)
    first, second = overdue(2)
    tell()
    for item, left in ((first, f"“{second.task}” of “Meskel launch” is overdue"), (second, "")):
        decide_review_item(item_id=item.pk, decision=Decision.APPROVE, reasons=[], actor=Actor.human(reviewer))
        assert tell() == 0
        assert [title for _, title in told(reviewer)] == ([left] if left else [])


def test_what_waits_again_after_an_undo_is_told_again() -> None:
    reviewer, actor = (person := factories.make_user(REVIEWER)), Actor.human(person)
    (item,) = overdue()
    tell()
    decide_review_item(item_id=item.pk, decision=Decision.APPROVE, reasons=[], actor=actor)
    assert (tell(), told(reviewer)) == (0, [])
    undo_decision(item_id=item.pk, actor=actor)
    assert (tell(), tell()) == (1, 0)
    assert [type for type, _ in told(reviewer)] == ["review_overdue"]


@pytest.mark.parametrize("change", [{"is_active": False}, {"notify_by": {"review_overdue": "none"}}])
def test_who_left_or_wants_to_hear_nothing_is_told_nothing(change) -> None:
    reviewer = factories.make_user(REVIEWER)
    overdue()
    tell()
    for name, value in change.items():
        setattr(reviewer, name, value)
    reviewer.save()
    tell()
    assert told(reviewer) == []
    assert tell() == 0


@pytest.mark.django_db(transaction=True)
def test_several_runs_at_once_tell_and_send_once() -> None:
    reviewers = [factories.make_user(REVIEWER) for _ in range(3)]
    overdue(2)
    for _ in range(3):
        together(*[tell] * 4)
    assert Notification.objects.filter(is_read=False).count() == len(reviewers)
    for _ in range(3):
        together(*[send] * 4)
    assert sorted(message.to[0] for message in mail.outbox) == sorted(person.email for person in reviewers)


@pytest.mark.django_db(transaction=True)
def test_a_run_that_is_killed_anywhere_is_made_good_by_the_next(monkeypatch) -> None:
    factories.make_user(REVIEWER)
    items = overdue(2)
    tell()
    overdue(campaign=items[0].campaign, minutes=2)
    overdue(campaign=factories.make_campaign(name="Other"))

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    for step in ("_told", "_row", "_grow"):
        with monkeypatch.context() as patch:
            patch.setattr(f"accounts.services.notifications.{step}", killed)
            with pytest.raises(KeyboardInterrupt):
                tell()
        assert Notification.objects.get().payload_json["amount"] == 2
    assert tell() == 2


def test_many_things_and_people_cost_no_more_questions_than_few() -> None:
    def world(amount: int) -> None:
        for _ in range(amount):
            factories.make_user(REVIEWER)
            factories.make_user(OPERATOR)
            overdue(2, campaign=factories.make_campaign(target_platforms=["x"]))
            overdue(1, minutes=-5)
            failed_posts(2)

    world(1)
    tell()
    with CaptureQueriesContext(connection) as few:
        tell()
    world(4)
    with CaptureQueriesContext(connection) as first:
        tell()
    with CaptureQueriesContext(connection) as again:
        tell()
    assert len(again) <= len(few)
    assert len(first) <= 30


# --- By e-mail -------------------------------------------------------------------------------------------------------


def test_one_e_mail_lists_what_is_new_with_links_and_is_sent_once(settings) -> None:
    settings.CONSOLE_URL = "https://gatehouse.example.org"
    reviewer = factories.make_user(REVIEWER, email="dawit@example.org", display_name="Dawit Haile")
    overdue(3)
    overdue(1, campaign=factories.make_campaign(name="Other"), title="Reel\nBcc: everybody@example.org")
    tell()
    assert [send(), send()] == [1, 0]
    (message,) = mail.outbox
    assert (message.to, message.subject) == (["dawit@example.org"], "[Gatehouse] 2 things that you may have to act on")
    assert "Hello Dawit Haile," in message.body
    assert "3 reviews of “Meskel launch” are overdue, the oldest by 41 min." in message.body
    for row in Notification.objects.filter(user=reviewer):
        assert f"https://gatehouse.example.org/admin/notifications/{row.pk}/" in message.body
        assert row.emailed_at is not None


def test_a_single_thing_is_the_subject_on_one_line() -> None:
    factories.make_user(REVIEWER)
    overdue(1, title="Reel\nBcc: everybody@example.org")
    tell()
    send()
    (message,) = mail.outbox
    assert message.subject.startswith("[Gatehouse] “Reel Bcc: everybody@example.org” of “Meskel launch” is overdue")
    assert message.message()["Bcc"] is None


@pytest.mark.parametrize("channel", [Channel.CONSOLE, Channel.NONE])
def test_who_does_not_want_e_mails_gets_none(channel) -> None:
    factories.make_user(REVIEWER, notify_by={NotificationType.REVIEW_OVERDUE.value: channel.value})
    overdue()
    tell()
    assert send() == 0
    assert mail.outbox == []


def test_what_was_read_in_time_is_not_sent() -> None:
    reviewer = factories.make_user(REVIEWER)
    overdue()
    tell()
    mark_read(person=reviewer)
    assert send() == 0


def test_what_goes_on_growing_is_sent_again_after_an_hour_and_no_sooner() -> None:
    factories.make_user(REVIEWER)
    (first,) = overdue()
    tell()
    send()
    overdue(campaign=first.campaign, minutes=-1)[0].change("test", due_at=timezone.now())
    tell()
    Notification.objects.update(emailed_at=timezone.now() - timedelta(minutes=59))
    assert send() == 0
    Notification.objects.update(emailed_at=timezone.now() - timedelta(minutes=61))
    assert [send(), send()] == [1, 0]


class Broken:
    """A mail server that does not answer."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __enter__(self) -> "Broken":
        raise ConnectionRefusedError(111, "Connection refused")

    def __exit__(self, *_: object) -> None:
        pass


def test_a_mail_server_that_is_away_is_said_blocks_nothing_and_is_tried_again(monkeypatch, caplog) -> None:
    factories.make_user(REVIEWER)
    overdue()
    with monkeypatch.context() as patch:
        patch.setattr("accounts.services.notification_emails.get_connection", Broken)
        with pytest.raises(CommandError, match="What failed: sending e-mails"):
            call_command("run_due")
    assert "Sending e-mails failed: [Errno 111] Connection refused" in caplog.text
    assert Notification.objects.get().emailed_at is None
    call_command("run_due")
    assert len(mail.outbox) == 1


def test_an_address_that_is_refused_keeps_no_other_from_its_mail(monkeypatch) -> None:
    refused, other = factories.make_user(REVIEWER), factories.make_user(REVIEWER)
    overdue()
    tell()
    from django.core.mail.backends.locmem import EmailBackend

    deliver = EmailBackend.send_messages

    def picky(self, messages) -> int:
        if messages[0].to == [refused.email]:
            raise SMTPRecipientsRefused({refused.email: (550, b"No such user")})
        return deliver(self, messages)

    monkeypatch.setattr(EmailBackend, "send_messages", picky)
    assert [send(), send()] == [1, 0]
    assert [message.to for message in mail.outbox] == [[other.email]]


# --- The page --------------------------------------------------------------------------------------------------------


def test_the_page_shows_unread_first_and_following_one_reads_it() -> None:
    reviewer = factories.make_user(REVIEWER)
    (item,) = overdue(title="Reel: 3 fees")
    tell()
    client = client_of(reviewer)
    assert "<strong>1</strong> new" in client.get("/admin/").content.decode()
    page = client.get("/admin/notifications/").content.decode()
    assert "“Reel: 3 fees” of “Meskel launch” is overdue, by 41 min" in page
    row = Notification.objects.get()
    answer = client.get(f"/admin/notifications/{row.pk}/")
    assert answer["Location"] == f"/admin/content/reviewitem/{item.pk}/change/"
    row.refresh_from_db()
    assert row.is_read
    assert "Nothing new." in client.get("/admin/notifications/").content.decode()


def test_nobody_reads_what_others_are_told() -> None:
    factories.make_user(REVIEWER)
    overdue()
    tell()
    row = Notification.objects.get()
    stranger = client_of(factories.make_user(REVIEWER))
    assert stranger.get(f"/admin/notifications/{row.pk}/").status_code == 404
    assert stranger.post("/admin/notifications/read/").status_code == 302
    row.refresh_from_db()
    assert not row.is_read


def test_all_are_marked_as_read_but_not_what_came_since_the_page_was_opened() -> None:
    reviewer = factories.make_user(REVIEWER)
    overdue()
    tell()
    client, before = client_of(reviewer), (timezone.now() - timedelta(minutes=1)).isoformat()
    client.post("/admin/notifications/read/", {"seen_until": before})
    assert len(told(reviewer)) == 1
    for given in ({"seen_until": "x"}, {"seen_until": "2026-02-31T00:00"}, {"seen_until": "2026-01-01T00:00:00"}):
        assert client.post("/admin/notifications/read/", given).status_code == 302
    client.post("/admin/notifications/read/", {"seen_until": (timezone.now() + timedelta(minutes=1)).isoformat()})
    assert told(reviewer) == []
    assert client.get("/admin/notifications/read/").status_code == 405


def test_the_page_costs_the_same_however_many_rows() -> None:
    reviewer = factories.make_user(REVIEWER)
    client = client_of(reviewer)
    client.get("/admin/notifications/")
    with CaptureQueriesContext(connection) as few:
        client.get("/admin/notifications/")
    now = timezone.now()
    Notification.objects.bulk_create(
        Notification(user=reviewer, type="review_due", about=str(n), payload_json={"title": "x"}, happened_at=now)
        for n in range(300)
    )
    with CaptureQueriesContext(connection) as many:
        answer = client.get("/admin/notifications/")
    assert len(many) <= len(few)
    assert len(answer.content) < 200_000
