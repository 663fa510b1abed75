"""Artifacts and posts as machines read them. A lease is never among it: whoever knows a lease holds it."""

from uuid import UUID

from audit.api import Answer, Fraction, Json, Moment
from campaigns.api.schemas import CampaignBrief, TaskOut
from content.choices import (
    ArtifactType,
    Decision,
    DisclosureLevel,
    Hold,
    NextAction,
    PublishStatus,
    ReviewReason,
)


class ArtifactOut(Answer):
    artifact_id: UUID
    task_id: UUID
    campaign_id: UUID
    artifact_type: ArtifactType
    version: int
    content_ref: str
    content_sha256: str
    metadata: Json
    sources: Json
    created_at: Moment


class ArtifactsOut(Answer):
    items: list[ArtifactOut]
    next: str | None


class PostOut(Answer):
    publish_id: UUID
    campaign_id: UUID
    artifact_id: UUID
    platform: str
    platform_post_id: str | None
    disclosure_level: DisclosureLevel
    status: PublishStatus
    hold: Hold | None
    scheduled_for: Moment | None
    published_at: Moment | None
    attempt: int
    content_sha256: str
    error: str | None
    created_at: Moment


class PostsOut(Answer):
    items: list[PostOut]
    next: str | None


class ClaimedArtifact(ArtifactOut):
    """An artifact with the lease under which it is judged, the task that it is for, and what its campaign asks."""

    lease_id: UUID
    lease_expires_at: Moment
    task: TaskOut
    campaign: CampaignBrief


class ClaimedArtifactsOut(Answer):
    artifacts: list[ClaimedArtifact]


class AskedOut(Answer):
    """The item on which a person decides now."""

    review_item_id: UUID
    reason: ReviewReason
    due_at: Moment | None


class DecisionOut(Answer):
    review_id: UUID
    artifact_id: UUID
    task_id: UUID
    decision: Decision
    confidence: Fraction
    next_action: NextAction
    review_item: AskedOut | None
    created_at: Moment


class ClaimedPost(PostOut):
    lease_id: UUID
    lease_expires_at: Moment
    artifact: ArtifactOut


class ClaimedPostsOut(Answer):
    posts: list[ClaimedPost]


class FailedPostOut(Answer):
    post: PostOut
    next: PostOut | None
