"""Publishers take queued posts, and say what became of them."""

from typing import Annotated, Any
from uuid import UUID

from django.db.models import prefetch_related_objects
from django.utils import timezone
from ninja import Router
from pydantic import Field

from agents.api import ApiRequest, Bearer, actor_of, patient
from agents.choices import TokenRole
from audit.api import Flag, Moment, Name, Sha256, found
from campaigns.api.schemas import HeartbeatOut
from campaigns.api.worker import ClaimIn, HeartbeatIn, LeaseIn, Reason, stop_because
from content.api.schemas import ClaimedPostsOut, FailedPostOut, PostOut
from content.models import PublishRecord
from content.services import (
    claim_posts,
    heartbeat_post,
    publish_failed,
    publish_succeeded,
    publish_unknown,
    release_post,
)

router = Router(tags=["publish"])

PUBLISHER = Bearer(TokenRole.PUBLISHER)


class ClaimPostsIn(ClaimIn):
    platform: Name


class PublishedIn(LeaseIn):
    platform_post_id: Name
    content_sha256: Annotated[Sha256, Field(description="Of what was posted.")]
    published_at: Moment | None = None


class FailedIn(LeaseIn):
    error: Reason
    retryable: Flag = False


class UnknownIn(LeaseIn):
    error: Reason


@router.post("posts/claim", response=ClaimedPostsOut, auth=PUBLISHER)
@patient
def claim(request: ApiRequest, body: ClaimPostsIn) -> dict[str, Any]:
    """Take posts for one platform that are approved and due, on campaigns that run now. Inactive agents get none."""
    posts = claim_posts(
        platform=body.platform.strip().lower(),
        actor=actor_of(request),
        agent=request.auth.agent,
        limit=body.limit,
        lease_seconds=body.lease_seconds,
    )
    prefetch_related_objects(posts, "artifact")
    return {"posts": posts}


def held(publish_id: UUID, lease_id: UUID) -> PublishRecord:
    """The post as the caller holds it; whether the lease is still good is asked under a lock, by the verb."""
    post = found(PublishRecord.objects.filter(pk=publish_id).first(), "There is no post with this id.")
    post.lease_id = lease_id
    return post


@router.post("posts/{publish_id}/heartbeat", response=HeartbeatOut, auth=PUBLISHER)
def heartbeat(request: ApiRequest, publish_id: UUID, body: HeartbeatIn) -> dict[str, Any]:
    """Prolong the lease from now on. 409: it is lost, so send nothing more."""
    post = held(publish_id, body.lease_id)
    kept = heartbeat_post(record=post, actor=actor_of(request), lease_seconds=body.lease_seconds)
    why = stop_because(request.auth.agent) if request.auth.agent else None
    return {"lease_expires_at": kept.lease_expires_at, "stop": why is not None, "why": why}


@router.post("posts/{publish_id}/published", response=PostOut, auth=PUBLISHER)
def published(request: ApiRequest, publish_id: UUID, body: PublishedIn) -> PublishRecord:
    """The post is out. 409: the lease had ended, or other content was posted; the post's id is kept, a person looks."""
    return publish_succeeded(
        record=held(publish_id, body.lease_id),
        platform_post_id=body.platform_post_id,
        published_at=body.published_at or timezone.now(),
        content_sha256=body.content_sha256,
        actor=actor_of(request),
    )


@router.post("posts/{publish_id}/failed", response=FailedPostOut, auth=PUBLISHER)
def failed(request: ApiRequest, publish_id: UUID, body: FailedIn) -> dict[str, Any]:
    """The post did not appear, and will not. `next` is the try that follows, when it is `retryable` and one is left."""
    post, following = publish_failed(
        record=held(publish_id, body.lease_id), error=body.error, retryable=body.retryable, actor=actor_of(request)
    )
    return {"post": post, "next": following}


@router.post("posts/{publish_id}/unknown", response=PostOut, auth=PUBLISHER)
def unknown(request: ApiRequest, publish_id: UUID, body: UnknownIn) -> PublishRecord:
    """Nobody knows whether the post is out: it is held until a person has looked, and never tried by itself."""
    return publish_unknown(record=held(publish_id, body.lease_id), error=body.error, actor=actor_of(request))


@router.post("posts/{publish_id}/release", response=PostOut, auth=PUBLISHER)
def release(request: ApiRequest, publish_id: UUID, body: LeaseIn) -> PublishRecord:
    """Nothing was sent: another publisher may take the post."""
    return release_post(record=held(publish_id, body.lease_id), actor=actor_of(request))
