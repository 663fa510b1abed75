"""Posts leave once, with exactly what was approved; what nobody knows the end of waits for a person."""

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from audit.context import Actor
from audit.errors import Conflict, Invalid, NotAllowed, TooLate
from campaigns.choices import Backlog, CampaignVerb
from campaigns.services import control_campaign, halt_campaign, halt_everything, resume_everything
from config.groups import OPERATOR, REVIEWER
from content.choices import Hold, Outcome, PublishStatus
from content.models import PublishRecord
from content.services import (
    claim_posts,
    heartbeat_post,
    hold_expired_posts,
    publish_failed,
    publish_succeeded,
    publish_unknown,
    release_post,
    settle_unknown_post,
    submit_artifact,
)
from content.services.adoption import Post, adopt_posts, adopting_agent
from tests.concurrency import one_then_other, together
from tests.factories import (
    claimed_post,
    claimed_task,
    judged,
    make_artifact,
    make_campaign,
    make_user,
    queued_posts,
    worker,
)

CLOCK = Actor.system("run_due")
PUBLISHER = Actor.system("publisher")


def published(record: PublishRecord, post_id: str = "7001", **given: Any) -> PublishRecord:
    return publish_succeeded(
        record=record, platform_post_id=post_id, published_at=timezone.now(), actor=PUBLISHER, **given
    )


def expire(record: PublishRecord) -> None:
    record.change("test", lease_expires_at=timezone.now() - timedelta(seconds=1))


def expire_and_notice(record: PublishRecord) -> None:
    expire(record)
    assert hold_expired_posts(actor=CLOCK) == 1


def halt(record: PublishRecord) -> None:
    halt_campaign(campaign_id=record.campaign_id, actor=Actor.human(make_user(OPERATOR)), reason="a wrong price")


def halt_all(record: PublishRecord) -> None:
    halt_everything(actor=Actor.human(make_user(OPERATOR)), reason="a leaked key")


LOSSES = pytest.mark.parametrize("loss", [expire, expire_and_notice, halt, halt_all])


@pytest.mark.django_db
@LOSSES
def test_a_late_published_is_refused_and_its_post_id_kept(loss: Callable[[PublishRecord], None]) -> None:
    record = claimed_post()
    loss(record)
    with pytest.raises(TooLate, match="id is kept"):
        published(record)
    record.refresh_from_db()
    assert (record.status, record.hold, record.platform_post_id) == ("queued", Hold.OUTCOME_UNKNOWN, "7001")
    with pytest.raises(Conflict):
        published(record, "7002")
    record.refresh_from_db()
    assert record.platform_post_id == "7001"


@pytest.mark.django_db
@LOSSES
@pytest.mark.parametrize(
    "write",
    [
        lambda record: publish_failed(record=record, error="HTTP 500", actor=PUBLISHER),
        lambda record: publish_unknown(record=record, error="timeout", actor=PUBLISHER),
        lambda record: release_post(record=record, actor=PUBLISHER),
        lambda record: heartbeat_post(record=record, actor=PUBLISHER, lease_seconds=60),
    ],
    ids=["failed", "unknown", "release", "heartbeat"],
)
def test_whoever_lost_the_lease_changes_nothing(loss: Callable[[PublishRecord], None], write: Any) -> None:
    record = claimed_post()
    loss(record)
    before = PublishRecord.objects.filter(pk=record.pk).values().get()
    with pytest.raises(Conflict, match="nothing was changed"):
        write(record)
    assert PublishRecord.objects.filter(pk=record.pk).values().get() == before


@pytest.mark.django_db
@pytest.mark.parametrize("how", ["settled as not out", "told failed, then published"])
def test_a_try_that_follows_is_held_when_the_first_was_out_after_all(how: str) -> None:
    record = claimed_post(campaign=make_campaign(target_platforms=["tiktok"]))
    if how.startswith("settled"):
        expire_and_notice(record)
        operator = Actor.human(make_user(OPERATOR))
        settle_unknown_post(publish_id=record.pk, outcome=Outcome.RETRY, actor=operator, reason="Not there.")
    else:
        publish_failed(record=record, error="HTTP 500", retryable=True, actor=PUBLISHER)
    following = PublishRecord.objects.queued().get()
    following.change("test", scheduled_for=timezone.now())
    with pytest.raises(TooLate):
        published(record)
    following.refresh_from_db()
    assert (following.hold, "7001" in (following.error or "")) == (Hold.OUTCOME_UNKNOWN, True)
    assert claim_posts(platform="tiktok", actor=PUBLISHER, limit=9) == []
    settled = settle_unknown_post(
        publish_id=following.pk,
        outcome=Outcome.PUBLISHED,
        platform_post_id="7001",
        actor=Actor.human(make_user(OPERATOR)),
        reason="It is there.",
    )
    assert settled.platform_post_id == "7001"


@pytest.mark.django_db
def test_what_was_reported_meanwhile_is_not_tried_again_unseen() -> None:
    record, operator = claimed_post(), Actor.human(make_user(OPERATOR))
    expire_and_notice(record)
    with pytest.raises(TooLate):
        published(record)
    given: dict[str, Any] = {"publish_id": record.pk, "outcome": Outcome.RETRY, "actor": operator, "reason": "Gone."}
    with pytest.raises(Conflict, match="reported as published: 7001"):
        settle_unknown_post(**given)
    assert settle_unknown_post(**given, platform_post_id="7001").status == "failed"


@pytest.mark.django_db
def test_an_invented_lease_changes_nothing() -> None:
    record = release_post(record=claimed_post(), actor=PUBLISHER)
    record.lease_id = uuid4()
    before = PublishRecord.objects.filter(pk=record.pk).values().get()
    for given in ({}, {"content_sha256": "0" * 64}):
        with pytest.raises(Conflict, match="nothing was changed"):
            published(record, **given)
    assert PublishRecord.objects.filter(pk=record.pk).values().get() == before


@pytest.mark.django_db
def test_what_is_held_is_held_even_when_its_id_is_anothers() -> None:
    published(claimed_post(), "7001")
    record = claimed_post()
    with pytest.raises(TooLate, match="held until a person"):
        published(record, "7001", content_sha256="0" * 64)
    record.refresh_from_db()
    assert (record.hold, record.platform_post_id, "7001" in (record.error or "")) == (Hold.OUTCOME_UNKNOWN, None, True)
    same = claimed_post()
    with pytest.raises(Conflict, match="Another record already has that post"):
        published(same, "7001")


@pytest.mark.django_db
def test_other_content_than_what_was_approved_is_refused_and_looked_at() -> None:
    record = claimed_post()
    with pytest.raises(TooLate, match="not the content that was approved"):
        published(record, content_sha256="0" * 64)
    record.refresh_from_db()
    assert (record.hold, record.platform_post_id, record.lease_id) == (Hold.OUTCOME_UNKNOWN, "7001", None)
    assert "other content" in (record.error or "")
    again = claimed_post()
    assert published(again, "7002", content_sha256=again.content_sha256).status == "published"


@pytest.mark.django_db
def test_unknown_is_held_and_never_tried_by_itself() -> None:
    record = publish_unknown(record=claimed_post(), error="The connection broke.", actor=PUBLISHER)
    assert (record.status, record.hold, record.lease_id) == ("queued", Hold.OUTCOME_UNKNOWN, None)
    assert claim_posts(platform=record.platform, actor=PUBLISHER, limit=9) == []
    assert hold_expired_posts(actor=CLOCK) == 0


@pytest.mark.django_db
def test_a_person_who_looked_settles_it() -> None:
    operator = Actor.human(make_user(OPERATOR))

    def unknown() -> PublishRecord:
        return publish_unknown(record=claimed_post(), error="The connection broke.", actor=PUBLISHER)

    def settle(record: PublishRecord, outcome: str, **given: Any) -> PublishRecord:
        return settle_unknown_post(
            publish_id=record.pk, outcome=outcome, actor=operator, reason="I looked at the page.", **given
        )

    out = unknown()
    with pytest.raises(Invalid, match="id of the post"):
        settle(out, Outcome.PUBLISHED)
    out = settle(out, Outcome.PUBLISHED, platform_post_id="7001")
    assert (out.status, out.platform_post_id, out.hold) == ("published", "7001", None)
    with pytest.raises(Conflict, match="has settled this post already: it is out"):
        settle(out, Outcome.DROP)
    gone = settle(unknown(), Outcome.DROP)
    assert (gone.status, gone.error) == ("failed", "I looked at the page.")
    again = settle(unknown(), Outcome.RETRY)
    following = PublishRecord.objects.get(artifact=again.artifact, platform=again.platform, status="queued")
    assert (again.status, following.attempt, following.decision_id) == ("failed", 1, again.decision_id)
    reviewer = Actor.human(make_user(REVIEWER))
    with pytest.raises(NotAllowed):
        settle_unknown_post(publish_id=unknown().pk, outcome=Outcome.DROP, actor=reviewer, reason="-")


@pytest.mark.django_db
@pytest.mark.parametrize("loss", [halt, halt_all])
def test_what_a_halt_found_in_a_publishers_hands_can_be_settled_as_published(loss: Any) -> None:
    record = claimed_post()
    loss(record)
    with pytest.raises(TooLate):
        published(record)
    operator = Actor.human(make_user(OPERATOR))
    settled = settle_unknown_post(
        publish_id=record.pk, outcome=Outcome.PUBLISHED, actor=operator, reason="It is there."
    )
    assert (settled.status, settled.platform_post_id) == ("published", "7001")


@pytest.mark.django_db
def test_a_failure_that_may_be_tried_again_is_a_new_row_later_each_time_and_three_in_all() -> None:
    record, tries = claimed_post(), []
    while record is not None:
        failed, following = publish_failed(record=record, error="HTTP 500", retryable=True, actor=PUBLISHER)
        tries.append((failed.status, failed.attempt))
        if following is None:
            break
        assert claim_posts(platform=following.platform, actor=PUBLISHER) == []
        following.change("test", scheduled_for=timezone.now())
        (record,) = claim_posts(platform=following.platform, actor=PUBLISHER)
    assert tries == [("failed", 0), ("failed", 1), ("failed", 2)]
    assert publish_failed(record=claimed_post(), error="refused", actor=PUBLISHER)[1] is None


@pytest.mark.django_db(transaction=True)
def test_every_post_goes_to_one_publisher_however_many_ask() -> None:
    campaigns = [make_campaign(target_platforms=["tiktok"]) for _ in range(3)]
    posts = {queued_posts(campaign=campaigns[number % 3])[0].pk for number in range(24)}

    def publish() -> list[Any]:
        mine: list[Any] = []
        while found := claim_posts(platform="tiktok", actor=PUBLISHER, limit=2):
            mine += [published(record, str(record.pk)).pk for record in found]
        return mine

    out = Counter(key for mine in together(*[publish] * 5) for key in mine)
    assert set(out) == posts
    assert set(out.values()) == {1}


@pytest.mark.django_db
@pytest.mark.parametrize("backlog", ["", *Backlog])
def test_a_resume_asks_what_becomes_of_what_is_overdue(backlog: str) -> None:
    campaign, operator = make_campaign(target_platforms=["tiktok"]), Actor.human(make_user(OPERATOR))
    for _ in range(4):
        queued_posts(campaign=campaign)
    later = queued_posts(campaign=campaign)[0].change("test", scheduled_for=timezone.now() + timedelta(days=1))
    given: dict[str, Any] = {"campaign_id": campaign.pk, "actor": operator, "reason": "because"}
    control_campaign(CampaignVerb.PAUSE, **given)
    if not backlog:
        with pytest.raises(Invalid, match="4 posts have become overdue"):
            control_campaign(CampaignVerb.RESUME, **given)
        return
    assert control_campaign(CampaignVerb.RESUME, **given, backlog=backlog).status == "active"
    posts = PublishRecord.objects.exclude(pk=later.pk).order_by("scheduled_for", "created_at")
    ready = claim_posts(platform="tiktok", actor=PUBLISHER, limit=9)
    if backlog == Backlog.DROP:
        assert set(posts.values_list("status", flat=True)) == {PublishStatus.FAILED}
        assert ready == []
    elif backlog == Backlog.SPREAD:
        first, *_, last = posts.values_list("scheduled_for", flat=True)
        assert last - first == timedelta(minutes=45)
        assert len(ready) == 1
    else:
        assert len(ready) == 4
    later.refresh_from_db()
    assert (later.status, later.lease_id) == ("queued", None)


@pytest.mark.django_db
def test_what_could_not_leave_yet_is_no_backlog() -> None:
    """A text that is approved waits for its image, and not for the campaign: dropping the backlog leaves it alone."""
    task = claimed_task(campaign=make_campaign(target_platforms=["tiktok"]))
    submit_artifact(task=task, artifact_type="text", content=b"x", actor=worker(task))
    image = make_artifact(task=task, artifact_type="image", content=b"y")
    judged(artifact=task.artifacts.get(artifact_type="text"), confidence="0.99")
    operator = Actor.human(make_user(OPERATOR))
    given: dict[str, Any] = {"campaign_id": task.campaign_id, "actor": operator, "reason": "because"}
    control_campaign(CampaignVerb.PAUSE, **given)
    control_campaign(CampaignVerb.RESUME, **given, backlog=Backlog.DROP)
    judged(artifact=image, confidence="0.99")
    assert len(claim_posts(platform="tiktok", actor=PUBLISHER, limit=9)) == 2


@pytest.mark.django_db
def test_the_end_of_a_halt_of_everything_asks_too() -> None:
    queued_posts(campaign=make_campaign(target_platforms=["tiktok"]))
    operator = Actor.human(make_user(OPERATOR))
    halt_everything(actor=operator, reason="a leaked key")
    with pytest.raises(Invalid, match="1 post has become overdue"):
        resume_everything(actor=operator, reason="changed")
    resume_everything(actor=operator, reason="changed", backlog=Backlog.DROP)
    assert not PublishRecord.objects.queued().exists()


@pytest.mark.django_db
def test_many_posts_are_spread_in_order_over_the_time() -> None:
    campaign = make_campaign(target_platforms=[f"platform {number}" for number in range(150)])
    posts = queued_posts(campaign=campaign)
    start = timezone.now()
    PublishRecord.objects.overdue(start + timedelta(seconds=1)).spread("test", start, timedelta(hours=1))
    times = PublishRecord.objects.filter(pk__in=[post.pk for post in posts]).order_by("created_at", "publish_id")
    moments = list(times.values_list("scheduled_for", flat=True))
    assert moments == sorted(moments)
    assert (moments[0], moments[-1]) == (start, start + timedelta(minutes=59))
    assert max(Counter(moments).values()) == 3


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("how", ["failed", "settled"])
@pytest.mark.parametrize("order", ["the try first", "the report first"])
def test_a_try_that_is_planned_at_this_moment_is_held_too(how: str, order: str) -> None:
    operator = Actor.human(make_user(OPERATOR))
    first = claimed_post(campaign=make_campaign(target_platforms=["tiktok"]))
    following = publish_failed(record=first, error="HTTP 500", retryable=True, actor=PUBLISHER)[1]
    assert following is not None
    following.change("test", scheduled_for=None)
    (second,) = claim_posts(platform="tiktok", actor=PUBLISHER, limit=9)
    if how == "settled":
        publish_unknown(record=second, error="timeout", actor=PUBLISHER)

    def plan() -> Any:
        if how == "failed":
            return publish_failed(record=second, error="HTTP 500", retryable=True, actor=PUBLISHER)
        return settle_unknown_post(publish_id=second.pk, outcome=Outcome.RETRY, actor=operator, reason="Not there.")

    verbs = [plan, lambda: published(first)]
    one_then_other(*(verbs if order == "the try first" else verbs[::-1]))
    assert set(PublishRecord.objects.queued().values_list("hold", flat=True)) == {Hold.OUTCOME_UNKNOWN}


@pytest.mark.django_db
def test_a_post_whose_failed_try_was_out_after_all_can_be_adopted() -> None:
    record, operator = claimed_post(), Actor.human(make_user(OPERATOR))
    expire_and_notice(record)
    settle_unknown_post(publish_id=record.pk, outcome=Outcome.DROP, actor=operator, reason="Not there.")
    with pytest.raises(TooLate):
        published(record, "7001")
    agent = adopting_agent(platform=record.platform, actor=PUBLISHER)
    found = [Post("7001", "title", "channel", timezone.now())]
    given: dict[str, Any] = {"campaign": record.campaign, "agent": agent, "platform": record.platform}
    assert adopt_posts(**given, posts=found, actor=PUBLISHER) == 1
    assert adopt_posts(**given, posts=found, actor=PUBLISHER) == 0
