"""Posts: queued by an approval, and what became of them."""

from datetime import datetime

from django.db import transaction

from audit.context import Actor, acting
from audit.errors import Conflict
from campaigns.services.locks import share_campaign
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
    taken = set(PublishRecord.objects.live().filter(artifact=artifact).values_list("platform", flat=True))
    with acting(actor):
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


def _settle(record: PublishRecord, action: str, actor: Actor, **values: object) -> PublishRecord:
    with transaction.atomic(), acting(actor):
        share_campaign(record.campaign_id)
        settled = PublishRecord.objects.queued().filter(pk=record.pk, lease_id=record.lease_id).change(action, **values)
    if not settled:
        record.refresh_from_db()
        raise Conflict(f"This post is {record.get_status_display()} already, or with another publisher.")
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
