"""What operators do with posts: queue again, hold, release, reschedule; each once, with a reason that the log keeps."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from audit.context import Actor
from audit.errors import Conflict, Invalid, NotAllowed, TooLate
from audit.models import AuditLog
from campaigns.choices import TaskVerb
from campaigns.services import control_campaign, operate_task
from config.groups import AUDITOR, OPERATOR, REVIEWER
from content.choices import Decision, Hold, Outcome, PublishStatus
from content.models import PublishRecord, ReviewDecision
from content.platforms import post_id_in, post_url
from content.services import (
    claim_posts,
    decide_review_item,
    hold_expired_posts,
    hold_post,
    publish_failed,
    publish_succeeded,
    publish_unknown,
    queue_post_again,
    release_hold,
    reschedule_post,
    settle_unknown_post,
    submit_artifact,
    undo_decision,
)
from tests.concurrency import one_then_other, together
from tests.factories import (
    claimed_post,
    claimed_task,
    judged,
    make_artifact,
    make_campaign,
    make_user,
    queued_posts,
    waiting_item,
    worker,
)

PUBLISHER = Actor.system("publisher")


def person(group: str = OPERATOR) -> Actor:
    return Actor.human(make_user(group))


def post(**fields: Any) -> PublishRecord:
    return queued_posts(campaign=make_campaign(target_platforms=["tiktok"]), **fields)[0]


def failed_post() -> PublishRecord:
    record = claimed_post(campaign=make_campaign(target_platforms=["tiktok"]))
    return publish_failed(record=record, error="HTTP 500", actor=PUBLISHER)[0]


def claim() -> list[PublishRecord]:
    return claim_posts(platform="tiktok", actor=PUBLISHER, limit=9)


def again(record: PublishRecord, actor: Actor, **given: Any) -> Callable[[], Any]:
    return lambda: queue_post_again(publish_id=record.pk, actor=actor, reason="The platform is back.", **given)


def last_entry(record: PublishRecord) -> AuditLog:
    return AuditLog.objects.filter(entity_id=str(record.pk)).latest("created_at")


# --- Queue again -----------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_failed_post_is_queued_again_however_often_it_was_tried() -> None:
    record: PublishRecord | None = claimed_post(campaign=make_campaign(target_platforms=["tiktok"]))
    while record is not None:
        failed, following = publish_failed(record=record, error="HTTP 500", retryable=True, actor=PUBLISHER)
        if following is None:
            break
        following.change("test", scheduled_for=timezone.now())
        (record,) = claim()
    assert failed.attempt == 2

    operator = person()
    fresh = again(failed, operator)()

    assert (fresh.status, fresh.attempt, fresh.hold, fresh.scheduled_for) == ("queued", 3, None, None)
    assert (fresh.decision_id, fresh.content_sha256) == (failed.decision_id, failed.content_sha256)
    entry = last_entry(fresh)
    assert (entry.action, entry.actor_id, entry.output_summary) == ("queue", operator.id, "The platform is back.")
    assert [each.pk for each in claim()] == [fresh.pk]


@pytest.mark.django_db
def test_what_is_live_already_is_not_queued_again() -> None:
    record, operator = failed_post(), person()
    again(record, operator)()
    with pytest.raises(Conflict, match="queued already"):
        again(record, operator)()
    (held,) = claim()
    publish_succeeded(record=held, platform_post_id="7001", published_at=timezone.now(), actor=PUBLISHER)
    with pytest.raises(Conflict, match="published already"):
        again(record, operator)()
    assert PublishRecord.objects.count() == 2


@pytest.mark.django_db
@pytest.mark.parametrize("verb", ["stop", "complete"])
def test_nothing_of_a_campaign_that_has_ended_is_tried_again(verb: str) -> None:
    record, operator = failed_post(), person()
    control_campaign(verb, campaign_id=record.campaign_id, actor=operator, reason="over")
    with pytest.raises(Conflict, match="has ended"):
        again(record, operator)()


@pytest.mark.django_db
def test_an_approval_that_was_taken_back_allows_no_new_try() -> None:
    reviewer = make_user(REVIEWER)
    item = waiting_item(campaign=make_campaign(target_platforms=["tiktok"]))
    decide_review_item(item_id=item.pk, decision=Decision.APPROVE, reasons=["Fine."], actor=Actor.human(reviewer))
    record = PublishRecord.objects.get()
    undo_decision(item_id=item.pk, actor=Actor.human(reviewer))
    record.refresh_from_db()
    assert record.status == PublishStatus.FAILED
    with pytest.raises(Conflict, match="approved again first"):
        again(record, person())()


@pytest.mark.django_db
def test_what_a_rejected_task_made_is_not_published() -> None:
    """The text was approved and queued, and the image beside it rejected: the task has failed with both."""
    task = claimed_task(campaign=make_campaign(target_platforms=["tiktok"]))
    submit_artifact(task=task, artifact_type="text", content=b"x", actor=worker(task))
    image = make_artifact(task=task, artifact_type="image", content=b"y")
    judged(artifact=task.artifacts.get(artifact_type="text"), confidence="0.99")
    judged(artifact=image, decision=Decision.REJECT, confidence="0.99")
    record = PublishRecord.objects.get()
    assert record.status == PublishStatus.FAILED
    with pytest.raises(Conflict, match="Its task is failed"):
        again(record, person())()


@pytest.mark.django_db
def test_what_was_sent_back_does_not_leave_beside_its_next_attempt() -> None:
    record, operator = post(), person()
    operate_task(TaskVerb.SEND_BACK, task_id=record.artifact.task_id, actor=operator, reason="Say it shorter.")
    with pytest.raises(Conflict, match="was sent back"):
        again(record, operator)()
    assert not PublishRecord.objects.queued().exists()


@pytest.mark.django_db
def test_an_older_version_is_not_published_in_place_of_the_newer() -> None:
    """Plain SQL can approve an older version; what it queued is not tried again once there is a newer one."""
    task = claimed_task(campaign=make_campaign(target_platforms=["tiktok"]))
    submit_artifact(task=task, artifact_type="text", content=b"first", actor=worker(task))
    first = task.artifacts.get()
    approval = ReviewDecision.objects.create(
        **{"task": task, "artifact": first, "decision": "approve", "confidence_score": 1, "reasons": []},
        **{"next_action": "publish", "reviewer_type": "judge", "trace_id": task.trace_id},
    )
    queued = {"campaign": task.campaign, "artifact": first, "platform": "tiktok", "disclosure_level": "automated"}
    older = PublishRecord.objects.create(**queued, status="queued", decision=approval)
    older.change("drop", status=PublishStatus.FAILED)
    make_artifact(task=task, content=b"second")
    with pytest.raises(Conflict, match="newer version"):
        again(older, person())()


@pytest.mark.django_db
def test_what_was_reported_meanwhile_is_named_before_it_is_tried_again() -> None:
    record = claimed_post(campaign=make_campaign(target_platforms=["tiktok"]))
    publish_failed(record=record, error="HTTP 500", actor=PUBLISHER)
    with pytest.raises(TooLate):
        publish_succeeded(record=record, platform_post_id="7001", published_at=timezone.now(), actor=PUBLISHER)
    operator = person()
    with pytest.raises(Conflict, match="reported as published: 7001"):
        again(record, operator)()
    assert again(record, operator, platform_post_id="7001")().status == "queued"


@pytest.mark.django_db
def test_a_time_is_one_to_come() -> None:
    record, operator = failed_post(), person()
    with pytest.raises(Invalid, match="has passed already"):
        again(record, operator, scheduled_for=timezone.now())()
    later = timezone.now() + timedelta(hours=3)
    assert again(record, operator, scheduled_for=later)().scheduled_for == later
    assert claim() == []


@pytest.mark.django_db(transaction=True)
def test_two_operators_queue_again_at_once_and_one_try_is_made() -> None:
    record, one, other = failed_post(), person(), person()
    made, refused = one_then_other(again(record, one), again(record, other))
    assert made.attempt == 1
    assert isinstance(refused, Conflict)
    assert "queued already" in refused.sentence
    results = together(*[again(failed_post(), person())] * 4)
    assert sum(isinstance(result, PublishRecord) for result in results) == 1
    assert PublishRecord.objects.queued().count() == 2


@pytest.mark.django_db
def test_the_unique_key_has_the_last_word_and_is_a_sentence(monkeypatch: Any) -> None:
    """Something else queued it between our look and our write, as plain SQL may."""
    record, operator = failed_post(), person()
    again(record, operator)()
    monkeypatch.setattr("content.services.post_control.why_not_again", lambda *_: "")
    with pytest.raises(Conflict, match="already queued or published on that platform"):
        again(record, operator)()


# --- Hold and release ------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_what_an_operator_holds_stays_until_it_is_released() -> None:
    record, operator = post(), person()
    held = hold_post(publish_id=record.pk, actor=operator, reason="The price changed.")
    assert (held.hold, last_entry(record).output_summary) == (Hold.OPERATOR, "The price changed.")
    assert claim() == []
    with pytest.raises(Conflict, match="held by an operator"):
        hold_post(publish_id=record.pk, actor=operator, reason="Again.")
    released = release_hold(publish_id=record.pk, actor=operator, reason="It is right now.")
    assert (released.hold, last_entry(record).action) == (None, "release")
    with pytest.raises(Conflict, match="nobody holds it"):
        release_hold(publish_id=record.pk, actor=operator, reason="Again.")
    assert [each.pk for each in claim()] == [record.pk]


@pytest.mark.django_db
@pytest.mark.parametrize("state", ["leased", "unknown", "published", "failed"])
def test_only_what_waits_is_held_or_rescheduled(state: str) -> None:
    record, operator = claimed_post(), person()
    if state == "unknown":
        publish_unknown(record=record, error="timeout", actor=PUBLISHER)
    elif state == "published":
        publish_succeeded(record=record, platform_post_id="7001", published_at=timezone.now(), actor=PUBLISHER)
    elif state == "failed":
        publish_failed(record=record, error="HTTP 500", actor=PUBLISHER)
    before = PublishRecord.objects.filter(pk=record.pk).values().get()
    given: dict[str, Any] = {"publish_id": record.pk, "actor": operator, "reason": "Wait."}
    for verb in (
        lambda: hold_post(**given),
        lambda: release_hold(**given),
        lambda: reschedule_post(**given, scheduled_for=timezone.now() + timedelta(hours=1)),
    ):
        with pytest.raises(Conflict, match="Nothing was changed"):
            verb()
    assert PublishRecord.objects.filter(pk=record.pk).values().get() == before


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("first", ["publisher", "operator"])
def test_a_publisher_and_an_operator_at_the_same_moment(first: str) -> None:
    record, operator = post(), person()

    def hold() -> Any:
        return hold_post(publish_id=record.pk, actor=operator, reason="Stop.")

    if first == "publisher":
        claimed, refused = one_then_other(claim, hold)
        assert [each.pk for each in claimed] == [record.pk]
        assert isinstance(refused, Conflict)
        assert "publisher has this post in hand" in refused.sentence
    else:
        held, claimed = one_then_other(hold, claim)
        assert held.hold == Hold.OPERATOR
        assert claimed == []
    record.refresh_from_db()
    assert (record.lease_id is None) != (record.hold is None)


@pytest.mark.django_db
def test_what_an_operator_holds_stays_held_when_its_approval_is_taken_back_and_given_again() -> None:
    reviewer, operator = person(REVIEWER), person()
    item = waiting_item(campaign=make_campaign(target_platforms=["tiktok", "youtube"]))
    approval = {"item_id": item.pk, "decision": Decision.APPROVE, "reasons": [], "actor": reviewer}
    decide_review_item(**approval)
    held = PublishRecord.objects.get(platform="tiktok")
    hold_post(publish_id=held.pk, actor=operator, reason="Legal looks at it.")
    undo_decision(item_id=item.pk, actor=reviewer)
    assert not PublishRecord.objects.queued().exists()
    decide_review_item(**approval)
    assert dict(PublishRecord.objects.queued().values_list("platform", "hold")) == {
        "tiktok": Hold.OPERATOR,
        "youtube": None,
    }
    again = PublishRecord.objects.queued().get(platform="tiktok")
    assert release_hold(publish_id=again.pk, actor=operator, reason="Legal agrees.").hold is None


@pytest.mark.django_db(transaction=True)
def test_a_stop_and_a_hold() -> None:
    record, operator = post(), person()
    _, refused = one_then_other(
        lambda: control_campaign("stop", campaign_id=record.campaign_id, actor=operator, reason="over"),
        lambda: hold_post(publish_id=record.pk, actor=operator, reason="Wait."),
    )
    assert isinstance(refused, Conflict)
    assert "failed already" in refused.sentence


@pytest.mark.django_db
def test_a_post_is_given_another_time_or_none() -> None:
    record, operator = post(), person()
    later = timezone.now() + timedelta(hours=5)
    given: dict[str, Any] = {"publish_id": record.pk, "actor": operator, "reason": "After the feast."}
    assert reschedule_post(**given, scheduled_for=later).scheduled_for == later
    assert claim() == []
    assert reschedule_post(**given, scheduled_for=None).scheduled_for is None
    with pytest.raises(Invalid, match="has passed already"):
        reschedule_post(**given, scheduled_for=timezone.now() - timedelta(minutes=1))
    assert [each.pk for each in claim()] == [record.pk]


@pytest.mark.django_db
@pytest.mark.parametrize("group", [REVIEWER, AUDITOR])
def test_each_verb_asks_for_the_permission_and_for_a_reason(group: str) -> None:
    waiting, failed = post(), failed_post()
    verbs: list[Any] = [
        lambda **given: hold_post(publish_id=waiting.pk, **given),
        lambda **given: release_hold(publish_id=waiting.pk, **given),
        lambda **given: reschedule_post(publish_id=waiting.pk, scheduled_for=None, **given),
        lambda **given: queue_post_again(publish_id=failed.pk, **given),
    ]
    for verb in verbs:
        with pytest.raises(NotAllowed, match="You may not"):
            verb(actor=person(group), reason="Because.")
        with pytest.raises(Invalid, match="Say why"):
            verb(actor=person(), reason="  ")


# --- Settling --------------------------------------------------------------------------------------------------------


def unknown_post() -> PublishRecord:
    record = claimed_post(campaign=make_campaign(target_platforms=["tiktok"]))
    return publish_unknown(record=record, error="timeout", actor=PUBLISHER)


@pytest.mark.django_db(transaction=True)
def test_two_people_settle_one_post_and_the_second_learns_who_and_what() -> None:
    record = unknown_post()
    first = Actor.human(make_user(OPERATOR, display_name="Sara"))
    given: dict[str, Any] = {"publish_id": record.pk, "reason": "I looked."}
    settled, refused = one_then_other(
        lambda: settle_unknown_post(**given, outcome=Outcome.PUBLISHED, platform_post_id="7001", actor=first),
        lambda: settle_unknown_post(**given, outcome=Outcome.RETRY, actor=person()),
    )
    assert settled.status == "published"
    assert isinstance(refused, Conflict)
    assert refused.sentence == "Sara has settled this post already: it is out. Nothing was changed."
    assert PublishRecord.objects.count() == 1


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"platform_post_id": "70 01"}, "no spaces"),
        ({"platform_post_id": "7" * 256}, "255 characters at most"),
        ({"platform_post_id": "7001", "published_at": timezone.now() + timedelta(days=1)}, "still to come"),
    ],
)
def test_what_cannot_be_true_of_a_post_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(Invalid, match=said):
        settle_unknown_post(
            publish_id=unknown_post().pk, outcome=Outcome.PUBLISHED, actor=person(), reason="I looked.", **given
        )


@pytest.mark.django_db
def test_why_it_was_settled_is_kept_for_each_outcome() -> None:
    for outcome in Outcome:
        record = unknown_post()
        settle_unknown_post(
            publish_id=record.pk,
            outcome=outcome,
            actor=person(),
            reason=f"R {outcome}",
            platform_post_id="" if outcome != Outcome.PUBLISHED else "7001",
        )
        assert (last_entry(record).action, last_entry(record).output_summary) == (outcome, f"R {outcome}")
    assert hold_expired_posts(actor=Actor.system("run_due")) == 0


# --- Addresses -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("platform", "given", "expected"),
    [
        ("youtube", "https://www.youtube.com/watch?v=-id1234567x&t=3", "-id1234567x"),
        ("youtube", "https://youtu.be/dQw4w9WgXcQ?si=x", "dQw4w9WgXcQ"),
        ("youtube", "https://m.youtube.com/shorts/dQw4w9WgXcQ", "dQw4w9WgXcQ"),
        ("tiktok", "https://www.tiktok.com/@habesha/video/7291846372910001?lang=en", "7291846372910001"),
        ("instagram", "https://www.instagram.com/reel/DEMO0x7Kq/?igsh=1", "DEMO0x7Kq"),
        ("x", "https://twitter.com/habesha/status/1725", "1725"),
        ("linkedin", "https://www.linkedin.com/feed/update/urn%3Ali%3Ashare%3A72/", "urn:li:share:72"),
        ("mastodon", " 110 ", "110"),
        ("tiktok", "7291", "7291"),
    ],
)
def test_an_id_is_found_in_what_people_paste(platform: str, given: str, expected: str) -> None:
    assert post_id_in(platform, given) == expected


@pytest.mark.parametrize(
    ("platform", "given", "said"),
    [
        ("tiktok", "https://www.youtube.com/watch?v=x", "an address on youtube.com"),
        ("tiktok", "https://eviltiktok.com/video/1", "an address on eviltiktok.com"),
        ("tiktok", "https://www.tiktok.com/@habesha", "give the id alone"),
        ("mastodon", "https://mastodon.social/@habesha/110", "give the id alone"),
    ],
)
def test_an_address_that_does_not_name_the_post_is_refused(platform: str, given: str, said: str) -> None:
    with pytest.raises(Invalid, match=said):
        post_id_in(platform, given)


@pytest.mark.parametrize(
    ("platform", "post_id", "expected"),
    [
        ("YouTube", "-id1", "https://www.youtube.com/watch?v=-id1"),
        ("facebook", "12_34", "https://www.facebook.com/12_34"),
        ("facebook", "34", ""),
        ("instagram", "17900000000000001", ""),
        ("instagram", "DEMO0x7Kq", "https://www.instagram.com/p/DEMO0x7Kq/"),
        ("linkedin", "urn:li:share:72", "https://www.linkedin.com/feed/update/urn:li:share:72/"),
        ("linkedin", "72", ""),
        ("mastodon", "1", ""),
        ("x", "../../evil", "https://x.com/i/status/..%2F..%2Fevil"),
    ],
)
def test_a_post_has_an_address_only_where_it_is_certain(platform: str, post_id: str, expected: str) -> None:
    assert post_url(platform, post_id) == expected
