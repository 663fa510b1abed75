"""Posts: queued by an approval, and what became of them.

A publisher carries the lease that its claim gave: functions that take a `record` take it as its publisher holds it. A
post whose publisher went silent, or does not know, may be out: it is held until a person has looked.
"""

from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.utils import timezone

from audit.base import rule_in_words
from audit.choices import EntityType
from audit.context import Actor, acting
from audit.due import one_by_one
from audit.errors import Conflict, TooLate, written
from audit.models import AuditLog
from campaigns.services.locks import present_epoch, share_campaign
from campaigns.services.tasks import LONGEST_DELAY, RETRY_DELAY
from content.choices import PUBLISHABLE, DisclosureLevel, Hold, PublishStatus
from content.models import PublishRecord, ReviewDecision
from content.models.publishing import PublishRecordQuerySet

MOST_TRIES = 3
FREE: dict[str, Any] = {"lease_id": None, "lease_expires_at": None}
HELD: dict[str, Any] = {"hold": Hold.OUTCOME_UNKNOWN, **FREE}


def queue_posts(
    *, decision: ReviewDecision, actor: Actor, scheduled_for: datetime | None = None
) -> list[PublishRecord]:
    """One queued post for each platform of the campaign, bound to exactly the approved content.

    Nothing for what no audience sees (plans, metrics), and nothing where the artifact is queued or out already. What
    an operator held stays held when its approval is taken back and given again.
    """
    artifact = decision.artifact
    if artifact.artifact_type not in PUBLISHABLE:
        return []
    # What plain SQL queued without a decision is never handed out; it makes room for what is approved.
    unapproved = PublishRecord.objects.queued().filter(artifact=artifact, decision=None, adopted=False)
    with acting(actor):
        unapproved.change("replace", status=PublishStatus.FAILED, error="Replaced by an approved post.")
        tries = PublishRecord.objects.filter(artifact=artifact).order_by("created_at", "attempt")
        last = {post.platform: post for post in tries}
        taken = {platform for platform, post in last.items() if post.status != PublishStatus.FAILED}
        held = {platform for platform, post in last.items() if post.hold == Hold.OPERATOR}
        return PublishRecord.objects.create_all(
            [
                PublishRecord(
                    campaign_id=artifact.campaign_id,
                    artifact=artifact,
                    platform=platform,
                    disclosure_level=DisclosureLevel.AUTOMATED,
                    status=PublishStatus.QUEUED,
                    decision=decision,
                    content_sha256=artifact.content_sha256,
                    scheduled_for=scheduled_for,
                    hold=Hold.OPERATOR if platform in held else None,
                )
                for platform in artifact.campaign.platforms
                if platform not in taken
            ],
            action="queue",
        )


def leased(record: PublishRecord) -> PublishRecordQuerySet:
    """The post while the lease that its publisher holds is good: not lost, not expired, not of before a halt."""
    held: PublishRecordQuerySet = PublishRecord.objects.queued().filter(
        pk=record.pk,
        lease_id=record.lease_id,
        lease_id__isnull=False,
        lease_expires_at__gt=Now(),
        lease_epoch__gte=present_epoch(),
    )
    return held


@transaction.atomic
def _change_leased(record: PublishRecord, action: str, actor: Actor, **values: Any) -> PublishRecord:
    """What became of a post, told by the publisher that still holds it."""
    share_campaign(record.campaign_id)
    try:
        with transaction.atomic(), acting(actor):
            changed = leased(record).change(action, **values)
    except IntegrityError as refused:  # the database's last word: an approval that no longer stands, an id twice
        raise Conflict(sentence(refused)) from None
    if changed:
        return changed[0]
    now = PublishRecord.objects.get(pk=record.pk)
    state = now.get_hold_display() or now.get_status_display()
    raise Conflict(f"This post is {state}, and not yours (any more); nothing was changed.")


def heartbeat_post(*, record: PublishRecord, actor: Actor, lease_seconds: int) -> PublishRecord:
    """The publisher is still at it: its lease is prolonged."""
    return _change_leased(record, "heartbeat", actor, lease_expires_at=Now() + timedelta(seconds=lease_seconds))


def release_post(*, record: PublishRecord, actor: Actor) -> PublishRecord:
    """The publisher gives the post back and has sent nothing; another may take it."""
    return _change_leased(record, "release", actor, **FREE)


def publish_succeeded(
    *,
    record: PublishRecord,
    platform_post_id: str,
    published_at: datetime,
    actor: Actor,
    content_sha256: str | None = None,
) -> PublishRecord:
    """The post is out, under the platform's own id. `content_sha256` is what the publisher posted, if it says so.

    Raises TooLate when the lease has ended, or what was posted is not what was approved: the post's id is kept on the
    record, and a person has to look.
    """
    if content_sha256 is not None and content_sha256 != record.content_sha256:
        posted = f"The publisher posted other content: SHA-256 {content_sha256}."
        if _keep_evidence(record, actor, platform_post_id, posted):
            raise TooLate("This is not the content that was approved. The post is held until a person has looked.")
        raise Conflict("This is not the content that was approved, and the post is not yours; nothing was changed.")
    try:
        return _change_leased(
            record,
            "publish",
            actor,
            status=PublishStatus.PUBLISHED,
            platform_post_id=platform_post_id,
            published_at=published_at,
        )
    except Conflict as late:
        if not _keep_evidence(record, actor, platform_post_id, "Its publisher reported it as published, but too late."):
            raise
        raise TooLate(f"{late.sentence} The post’s id is kept for a person to look at.") from None


@transaction.atomic
def _keep_evidence(record: PublishRecord, actor: Actor, platform_post_id: str, error: str) -> bool:
    """Write down what a late publisher says about a post that it once had; False when there is nothing to learn.

    Nothing of it leaves any more until a person has looked: neither this try nor the one that follows it.
    """
    share_campaign(record.campaign_id)
    tries = tries_of(record)
    list(tries.order_by("pk").select_for_update(of=("self",)))  # a try that is planned at this moment is seen after it
    now = tries.exclude(status=PublishStatus.PUBLISHED).filter(pk=record.pk, platform_post_id=None).first()
    if now is None or not _had(record):
        return False
    if now.error and now.hold:  # why it was held comes first, and what was told since after it
        error = f"{now.error} {error}"
    with acting(actor):
        if now.status == PublishStatus.FAILED:
            now.change("evidence", platform_post_id=platform_post_id)
            told = f"An earlier try of it was reported as published: {platform_post_id}."
            tries.queued().change("evidence", error=told, **HELD)
            return True
        try:
            with transaction.atomic():
                now.change("evidence", platform_post_id=platform_post_id, error=error, **HELD)
        except IntegrityError:  # another record has that id already
            now.change("evidence", error=f"{error} Its id {platform_post_id} is another post's.", **HELD)
    return True


def tries_of(record: PublishRecord) -> PublishRecordQuerySet:
    """All tries to bring the record's artifact to its platform, this one among them."""
    tries: PublishRecordQuerySet = PublishRecord.objects.filter(
        artifact_id=record.artifact_id, platform=record.platform
    )
    return tries


def _had(record: PublishRecord) -> bool:
    """Whether the lease that the caller names is one that was given on this post. The log knows them all."""
    claims = AuditLog.objects.filter(entity_type=EntityType.PUBLISH_RECORD, entity_id=str(record.pk))
    return claims.filter(changes__lease_id__1=str(record.lease_id)).exists()


def sentence(refused: IntegrityError) -> str:
    """What the database says, in words for people."""
    return rule_in_words(refused) or f"The post cannot be settled so: {str(refused).splitlines()[0]}."


@transaction.atomic
def publish_failed(
    *, record: PublishRecord, error: str, actor: Actor, retryable: bool = False
) -> tuple[PublishRecord, PublishRecord | None]:
    """The post did not appear, and will not. Returns it, and the next try when there is one."""
    error = written(error, "Say what went wrong: whoever looks at this post will ask.")
    failed = _change_leased(record, "fail", actor, status=PublishStatus.FAILED, error=error)
    return failed, next_try(failed, actor) if retryable and failed.attempt + 1 < MOST_TRIES else None


def next_try(
    failed: PublishRecord, actor: Actor, *, attempt: int | None = None, scheduled_for: datetime | None = None
) -> PublishRecord:
    """The try that follows, a row of its own: by itself after a delay, or as an operator asks for it."""
    if attempt is None:
        attempt = failed.attempt + 1
        scheduled_for = timezone.now() + min(RETRY_DELAY * 2 ** min(failed.attempt, 10), LONGEST_DELAY)
    kept = ("campaign_id", "artifact_id", "platform", "disclosure_level", "decision_id", "content_sha256")
    again = PublishRecord(
        **{name: getattr(failed, name) for name in kept},
        status=PublishStatus.QUEUED,
        attempt=attempt,
        scheduled_for=scheduled_for,
    )
    with acting(actor):
        (created,) = PublishRecord.objects.create_all([again], action="queue")
    return created


def publish_unknown(*, record: PublishRecord, error: str, actor: Actor) -> PublishRecord:
    """The publisher does not know whether the post is out: it is held for a person, and never tried by itself."""
    error = written(error, "Say what happened: somebody has to find out whether the post is there.")
    return _change_leased(record, "unknown", actor, **HELD, error=error)


def hold_expired_posts(*, actor: Actor) -> int:
    """Hold what a publisher went silent on, since it may be out; returns how many."""
    expired = PublishRecord.objects.queued().filter(lease_expires_at__lte=Now())

    def hold(record: PublishRecord) -> bool:
        share_campaign(record.campaign_id)
        error = f"Its publisher went silent: the lease ended at {record.lease_expires_at:%Y-%m-%d %H:%M:%S} UTC."
        return bool(expired.filter(pk=record.pk, lease_id=record.lease_id).mark_unknown("expire", error))

    return one_by_one(expired.order_by("lease_expires_at"), hold, actor)
