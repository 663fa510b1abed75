"""Posts: queued by an approval, and what became of them."""

import uuid
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.utils import timezone

from audit.context import Actor, acting
from audit.errors import Conflict
from campaigns.services.locks import share_campaign, share_running
from content.choices import PUBLISHABLE, DisclosureLevel, PublishStatus
from content.models import PublishRecord, ReviewDecision


def queue_posts(
    *, decision: ReviewDecision, actor: Actor, scheduled_for: datetime | None = None
) -> list[PublishRecord]:
    """One queued post for each platform of the campaign, bound to exactly the approved content.

    Nothing for what no audience sees (plans, metrics), and nothing where the artifact is queued or out already.
    """
    artifact = decision.artifact
    if artifact.artifact_type not in PUBLISHABLE:
        return []
    # What plain SQL queued without a decision is never handed out; it makes room for what is approved.
    unapproved = PublishRecord.objects.queued().filter(artifact=artifact, decision=None, adopted=False)
    with acting(actor):
        unapproved.change("replace", status=PublishStatus.FAILED, error="Replaced by an approved post.")
        taken = set(PublishRecord.objects.live().filter(artifact=artifact).values_list("platform", flat=True))
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
                )
                for platform in artifact.campaign.platforms
                if platform not in taken
            ],
            action="queue",
        )


@transaction.atomic
def claim_posts(*, platform: str, actor: Actor, limit: int = 1, lease_seconds: int = 300) -> list[PublishRecord]:
    """Hand out posts that may leave now; each to one publisher only.

    A post may leave when an approval allows it, its task is done (so that the time to take it back is over), its time
    has come, nothing holds it, and its campaign runs.
    """
    now = timezone.now()
    ready = PublishRecord.objects.ready(now).filter(platform=platform)
    running = share_running(list(ready.order_by().values_list("campaign_id", flat=True).distinct()))
    posts = ready.filter(campaign__in=running).order_by("scheduled_for", "created_at", "publish_id")
    with acting(actor):
        return [
            record.change("claim", lease_id=uuid.uuid4(), lease_expires_at=now + timedelta(seconds=lease_seconds))
            for record in posts.select_for_update(skip_locked=True, of=("self",))[:limit]
        ]


def _settle(record: PublishRecord, action: str, actor: Actor, **values: object) -> PublishRecord:
    """What became of a post, told by the publisher that still holds it."""
    with transaction.atomic(), acting(actor):
        share_campaign(record.campaign_id)
        held = PublishRecord.objects.queued().filter(pk=record.pk, lease_id=record.lease_id, lease_id__isnull=False)
        try:
            with transaction.atomic():
                settled = held.change(action, **values)
        except IntegrityError as refused:  # the database's last word: an approval that no longer stands, a halt, an id
            raise Conflict(f"The post cannot be settled so: {str(refused).splitlines()[0]}.") from None
    if not settled:
        record.refresh_from_db()
        raise Conflict(f"This post is {record.get_status_display()}, and not yours; nothing was changed.")
    return settled[0]


def publish_succeeded(
    *, record: PublishRecord, platform_post_id: str, published_at: datetime, actor: Actor
) -> PublishRecord:
    """The post is out, under the platform's own id."""
    return _settle(
        record,
        "publish",
        actor,
        status=PublishStatus.PUBLISHED,
        platform_post_id=platform_post_id,
        published_at=published_at,
    )


def publish_failed(*, record: PublishRecord, error: str, actor: Actor) -> PublishRecord:
    """The post did not appear, and will not."""
    return _settle(record, "fail", actor, status=PublishStatus.FAILED, error=error)
