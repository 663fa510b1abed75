"""Publishing: what leaves next and what keeps it, what failed, what nobody knows; and each verb on its page."""

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from audit.context import Actor
from campaigns.services import control_campaign, halt_everything
from config.groups import ADMINISTRATOR, AUDITOR, OPERATOR, REVIEWER
from content.choices import Decision, Hold
from content.models import PublishRecord
from content.services import (
    decide_review_item,
    hold_post,
    publish_failed,
    publish_succeeded,
    publish_unknown,
    settle_unknown_post,
)
from tests import factories
from tests.factories import claimed_post, make_campaign, make_user, queued_posts, waiting_item

pytestmark = pytest.mark.django_db
PUBLISHER = Actor.system("publisher")
PARTS = ["/admin/publishing/", "/admin/publishing/failures/", "/admin/publishing/unknown/"]


def text(answer) -> str:
    return answer.content.decode()


def plain(answer) -> str:
    """The words of the page, without its tags."""
    return " ".join(re.sub(r"<[^>]+>", " ", text(answer)).split())


def page(post, verb) -> str:
    return reverse("admin:post_control", args=[post.pk, verb])


def post_in(state: str = "queued", **campaign):
    campaign = make_campaign(**({"target_platforms": ["tiktok"]} | campaign))
    if state == "queued":
        return queued_posts(campaign=campaign)[0]
    record = claimed_post(campaign=campaign)
    if state == "failed":
        return publish_failed(record=record, error="HTTP 500 from the platform", actor=PUBLISHER)[0]
    if state == "unknown":
        return publish_unknown(record=record, error="The connection broke.", actor=PUBLISHER)
    return record


def test_the_parts_have_their_counts_and_their_posts(sign_in) -> None:
    queued, failed, unknown = post_in(), post_in("failed"), post_in("unknown")
    reviewer = sign_in(REVIEWER)
    for path, shown in zip(PARTS, (queued, failed, unknown), strict=True):
        answer = reviewer.get(path)
        assert [row.post.pk for row in answer.context["rows"]] == [shown.pk]
        assert [tab["amount"] for tab in answer.context["tabs"]] == ["1", "1", "1"]
    assert "HTTP 500 from the platform" in text(reviewer.get(PARTS[1]))


@pytest.mark.parametrize("path", PARTS)
def test_an_empty_part_says_when_something_comes(sign_in, path) -> None:
    answer = sign_in(REVIEWER).get(path)
    assert answer.status_code == 200
    assert 'class="empty"' in text(answer)


def test_what_keeps_a_post_is_said_in_words(sign_in) -> None:
    operator = sign_in(OPERATOR)
    actor = Actor.human(operator.user)

    def said() -> str:
        return plain(operator.get(PARTS[0]))

    post = post_in()
    assert "may leave now" in said()
    hold_post(publish_id=post.pk, actor=actor, reason="The price changed.")
    assert f"held by an operator “The price changed.” {operator.user}" in said()
    control_campaign("pause", campaign_id=post.campaign_id, actor=actor, reason="lunch")
    assert "campaign paused lunch" in said()
    halt_everything(actor=actor, reason="a leaked key")
    assert "everything is halted a leaked key" in said()


def test_a_post_waits_for_the_undo_time_and_for_the_other_parts(sign_in) -> None:
    reviewer = sign_in(REVIEWER)
    item = waiting_item(campaign=make_campaign(target_platforms=["tiktok"]))
    decide_review_item(item_id=item.pk, decision=Decision.APPROVE, reasons=["Fine."], actor=Actor.human(reviewer.user))
    assert "can still be taken back until" in plain(reviewer.get(PARTS[0]))
    task = factories.claimed_task(campaign=make_campaign(target_platforms=["x"]))
    from content.services import submit_artifact

    submit_artifact(task=task, artifact_type="text", content=b"x", actor=factories.worker(task))
    factories.make_artifact(task=task, artifact_type="image", content=b"y")
    factories.judged(artifact=task.artifacts.get(artifact_type="text"), confidence="0.99")
    assert "waits for the other parts of its task" in plain(reviewer.get(PARTS[0] + "?platform=x"))


def test_who_has_a_post_and_what_nobody_asks_for(sign_in) -> None:
    reviewer = sign_in(REVIEWER)
    post_in("leased")
    assert "with a publisher until" in plain(reviewer.get(PARTS[0]))
    late = post_in()
    late.change("test", scheduled_for=timezone.now() - timedelta(hours=2))
    assert "no publisher asks for it due for 2 h" in plain(reviewer.get(PARTS[0]))


def test_the_queue_is_in_the_order_in_which_posts_leave(sign_in) -> None:
    first, second, third = post_in(), post_in(), post_in()
    now = timezone.now()
    first.change("test", scheduled_for=now + timedelta(hours=2))
    second.change("test", scheduled_for=now + timedelta(hours=1))
    rows = sign_in(REVIEWER).get(PARTS[0]).context["rows"]
    assert [row.post.pk for row in rows] == [third.pk, second.pk, first.pk]


def test_it_is_narrowed_by_campaign_and_platform(sign_in) -> None:
    one = post_in(name="Meskel launch")
    queued_posts(campaign=make_campaign(target_platforms=["youtube"]))
    reviewer = sign_in(REVIEWER)
    for query in (f"?campaign={one.campaign_id}", "?platform=tiktok", f"?campaign={one.campaign_id}&platform=tiktok"):
        answer = reviewer.get(PARTS[0] + query)
        assert [row.post.pk for row in answer.context["rows"]] == [one.pk], query
        assert [tab["amount"] for tab in answer.context["tabs"]] == ["1", "0", "0"]
    assert "Nothing matches" in text(reviewer.get(f"{PARTS[0]}?campaign={one.campaign_id}&platform=youtube"))
    assert reviewer.get(f"{PARTS[0]}?campaign=none").status_code == 404
    assert reviewer.get("/admin/publishing/nothing/").status_code == 404


def test_a_failure_is_shown_once_and_goes_when_another_try_is_live(sign_in) -> None:
    record = claimed_post(campaign=make_campaign(target_platforms=["tiktok"]))
    _, following = publish_failed(record=record, error="HTTP 500", retryable=True, actor=PUBLISHER)
    operator = sign_in(OPERATOR)
    assert operator.get(PARTS[1]).context["rows"] == []
    following.change("test", scheduled_for=None)
    from content.services import claim_posts

    (second,) = claim_posts(platform="tiktok", actor=PUBLISHER)
    publish_failed(record=second, error="HTTP 501", actor=PUBLISHER)
    (row,) = operator.get(PARTS[1]).context["rows"]
    assert (row.post.pk, row.post.attempt) == (second.pk, 1)


def test_what_never_left_the_queue_is_no_failure_of_publishing(sign_in) -> None:
    post, operator = post_in(), sign_in(OPERATOR)
    control_campaign("stop", campaign_id=post.campaign_id, actor=Actor.human(operator.user), reason="over")
    assert operator.get(PARTS[1]).context["rows"] == []


@pytest.mark.parametrize("path", PARTS)
def test_a_page_costs_the_same_however_many_posts_and_is_light(sign_in, path) -> None:
    operator = sign_in(OPERATOR)
    state = {"failures": "failed", "unknown": "unknown"}.get(path.split("/")[3], "queued")
    actor = Actor.human(operator.user)

    def more(amount: int) -> None:
        for _ in range(amount):
            post = post_in(state)
            if state == "queued":
                hold_post(publish_id=post.pk, actor=actor, reason="Wait.")

    more(2)
    operator.get(path)
    with CaptureQueriesContext(connection) as few:
        operator.get(path)
    more(8)
    with CaptureQueriesContext(connection) as many:
        answer = operator.get(path)
    assert len(many) <= len(few), [query["sql"][:90] for query in many]
    assert len(many) <= 22
    assert len(answer.content) < 100_000


def test_pages_of_the_queue(sign_in, monkeypatch) -> None:
    monkeypatch.setattr("content.publishing_page.ON_A_PAGE", 2)
    posts = [post_in() for _ in range(3)]
    reviewer = sign_in(REVIEWER)
    first = reviewer.get(PARTS[0])
    assert [row.post.pk for row in first.context["rows"]] == [post.pk for post in posts[:2]]
    second = reviewer.get(PARTS[0] + first.context["later"])
    assert [row.post.pk for row in second.context["rows"]] == [posts[2].pk]
    assert (second.context["later"], second.context["sooner"]) == ("", "?page=1")
    for odd in ("?page=0", "?page=x", "?page=-3", "?page=99999999"):
        assert reviewer.get(PARTS[0] + odd).status_code == 200


# --- Verbs -----------------------------------------------------------------------------------------------------------


def test_an_operator_holds_and_releases_on_their_pages(sign_in) -> None:
    post, operator = post_in(), sign_in(OPERATOR)
    assert page(post, "hold") in text(operator.get(PARTS[0]))
    assert "does not leave until somebody releases it" in text(operator.get(page(post, "hold")))
    answer = operator.post(page(post, "hold"), {"reason": "The price changed."}, follow=True)
    post.refresh_from_db()
    assert post.hold == Hold.OPERATOR
    assert "The price changed." in text(answer)
    assert page(post, "release") in text(answer)
    operator.post(page(post, "release"), {"reason": "Right now."})
    post.refresh_from_db()
    assert post.hold is None


def test_a_failed_post_is_queued_again_on_its_page(sign_in) -> None:
    post, operator = post_in("failed"), sign_in(OPERATOR)
    assert page(post, "again") in text(operator.get(PARTS[1]))
    answer = operator.post(page(post, "again"), {"reason": "The platform is back.", "scheduled_for": ""}, follow=True)
    (fresh,) = PublishRecord.objects.queued()
    assert answer.redirect_chain[-1][0] == reverse("admin:content_publishrecord_change", args=[fresh.pk])
    assert "The platform is back." in text(answer)
    assert "Its tries" in text(answer)
    again = operator.get(page(post, "again"))
    assert (again.status_code, "queued already" in text(again)) == (409, True)


def test_a_time_is_read_in_the_viewers_zone(sign_in) -> None:
    post, operator = post_in(), sign_in(OPERATOR)
    operator.cookies["zone"] = "Africa/Addis_Ababa"
    given = {"reason": "After the feast.", "scheduled_for": "2031-09-27T12:00"}
    assert "EAT" in text(operator.get(page(post, "reschedule")))
    assert operator.post(page(post, "reschedule"), given).status_code == 302
    post.refresh_from_db()
    assert f"{post.scheduled_for:%H:%M}" == "09:00"


@pytest.mark.parametrize(
    ("verb", "state", "given", "said"),
    [
        ("hold", "queued", {"reason": " "}, "Say why it is held"),
        ("reschedule", "queued", {"reason": "kept", "scheduled_for": "2020-01-01T10:00"}, "has passed already"),
        ("reschedule", "queued", {"reason": "kept", "scheduled_for": "soon"}, "as a date and a time"),
        ("again", "failed", {"reason": ""}, "Say why it is to be tried again"),
        ("settle", "unknown", {"reason": "kept"}, "choose one of"),
        ("settle", "unknown", {"reason": "kept", "outcome": "burnt"}, "Choose one of the three"),
        ("settle", "unknown", {"reason": "kept", "outcome": "published"}, "id of the post that you found"),
        (
            "settle",
            "unknown",
            {"reason": "kept", "outcome": "published", "platform_post_id": "https://youtu.be/x"},
            "an address on youtu.be",
        ),
        ("settle", "unknown", {"reason": "", "outcome": "drop"}, "Say how you know"),
        ("hold", "queued", {"reason": "a\0b"}, "Null characters"),
    ],
)
def test_a_refusal_is_a_sentence_and_keeps_what_was_typed(sign_in, verb, state, given, said) -> None:
    post, operator = post_in(state), sign_in(OPERATOR)
    answer = operator.post(page(post, verb), given)
    assert answer.status_code == 422
    assert said in text(answer)
    for typed in (given["reason"], given.get("platform_post_id", "")):
        assert typed.strip().split("\0")[0] in text(answer)
    assert PublishRecord.objects.get(pk=post.pk).updated_at == post.updated_at


def test_the_page_of_an_unknown_post_says_what_to_check(sign_in) -> None:
    record = claimed_post(campaign=make_campaign(target_platforms=["youtube"]))
    record.change("test", lease_expires_at=timezone.now() - timedelta(seconds=1))
    from audit.errors import TooLate

    with pytest.raises(TooLate):
        publish_succeeded(record=record, platform_post_id="abc-1", published_at=timezone.now(), actor=PUBLISHER)
    answer = sign_in(OPERATOR).get(page(record, "settle"))
    said = text(answer)
    assert "Ask for the amount that arrives." in said
    assert 'href="https://www.youtube.com/watch?v=abc-1"' in said
    assert "account on youtube" in said
    assert "when a publisher took it" in said
    assert "reported it as published, but too late" in said


@pytest.mark.parametrize(
    ("given", "then"),
    [
        ({"outcome": "published", "platform_post_id": "https://www.tiktok.com/@h/video/7291"}, ("published", "7291")),
        ({"outcome": "retry"}, ("failed", None)),
        ({"outcome": "drop"}, ("failed", None)),
    ],
)
def test_an_unknown_post_is_settled_in_three_ways_and_the_next_opens(sign_in, given, then) -> None:
    post, other, operator = post_in("unknown"), post_in("unknown"), sign_in(OPERATOR)
    answer = operator.post(page(post, "settle"), {"reason": "I looked.", "next": "1", **given})
    assert answer["Location"] == page(other, "settle")
    post.refresh_from_db()
    assert (post.status, post.platform_post_id) == then
    assert PublishRecord.objects.filter(artifact=post.artifact, status="queued").exists() == (
        given["outcome"] == "retry"
    )
    last = operator.post(page(other, "settle"), {"reason": "I looked.", "next": "1", "outcome": "drop"})
    assert last["Location"] == PARTS[2]


def test_a_post_that_somebody_else_settled_says_who_and_what_and_keeps_the_words(sign_in) -> None:
    post, other, operator = post_in("unknown"), post_in("unknown"), sign_in(OPERATOR)
    sara = Actor.human(make_user(OPERATOR, display_name="Sara"))
    settle_unknown_post(publish_id=post.pk, outcome="drop", actor=sara, reason="Not there.")
    for answer in (
        operator.post(page(post, "settle"), {"outcome": "retry", "reason": "I saw nothing on the page"}),
        operator.get(page(post, "settle")),
    ):
        assert answer.status_code == 409
        assert "Sara has settled this post already: it was not out, and was dropped." in text(answer)
        assert page(other, "settle") in text(answer)
        assert "What became" not in text(answer)
    assert PublishRecord.objects.queued().count() == 1
    again = operator.post(page(post, "settle"), {"outcome": "retry", "reason": "I saw nothing on the page"})
    assert "I saw nothing on the page" in text(again)


@pytest.mark.parametrize("group", [REVIEWER, AUDITOR])
def test_without_the_permission_no_button_and_a_sentence(sign_in, group) -> None:
    client = sign_in(group)
    posts = {"queued": "hold", "failed": "again", "unknown": "settle"}
    for state, verb in posts.items():
        post = post_in(state)
        for answer in (client.get(page(post, verb)), client.post(page(post, verb), {"reason": "x"})):
            assert answer.status_code == 403
            assert "content.settle_publishrecord" in text(answer)
        row = client.get(reverse("admin:content_publishrecord_change", args=[post.pk]))
        assert page(post, verb) not in text(row)
    for path in PARTS:
        assert not re.search(r"/publishing/[0-9a-f-]{36}/", text(client.get(path)))


def test_who_may_not_see_posts_is_told_so(sign_in) -> None:
    nobody = sign_in()
    for path in PARTS:
        answer = nobody.get(path)
        assert (answer.status_code, "content.view_publishrecord" in text(answer)) == (403, True)


def test_the_page_of_a_published_post_leads_to_it(sign_in) -> None:
    post = factories.published_post("abc-1", campaign=make_campaign(target_platforms=["youtube"]))
    said = text(sign_in(REVIEWER).get(reverse("admin:content_publishrecord_change", args=[post.pk])))
    assert 'href="https://www.youtube.com/watch?v=abc-1"' in said
    assert "What was done to it" in said


def test_unknown_verbs_and_posts_are_not_found(sign_in) -> None:
    administrator, post = sign_in(ADMINISTRATOR), post_in()
    assert administrator.get(f"/admin/publishing/{post.pk}/burn/").status_code == 404
    assert administrator.get("/admin/publishing/019a0000-0000-7000-8000-000000000000/hold/").status_code == 404
