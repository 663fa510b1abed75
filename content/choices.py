"""What agents make, how it is judged, and how it is published."""

from django.db.models import TextChoices


class ArtifactType(TextChoices):
    TEXT = "text", "text"
    IMAGE = "image", "image"
    VIDEO = "video", "video"
    PLAN = "plan", "plan"
    METRICS_BATCH = "metrics_batch", "metrics batch"


# What an audience can see; plans and metrics are judged too, but never posted.
PUBLISHABLE = {ArtifactType.TEXT, ArtifactType.IMAGE, ArtifactType.VIDEO}


class VideoStatus(TextChoices):
    PENDING = "pending", "pending"
    RENDERING = "rendering", "rendering"
    READY = "ready", "ready"
    FAILED = "failed", "failed"
    ARCHIVED = "archived", "archived"


VIDEO_INITIAL = {VideoStatus.PENDING}
VIDEO_TRANSITIONS = {
    VideoStatus.PENDING: {VideoStatus.RENDERING, VideoStatus.FAILED},
    VideoStatus.RENDERING: {VideoStatus.READY, VideoStatus.FAILED},
    VideoStatus.READY: {VideoStatus.ARCHIVED},
    VideoStatus.FAILED: set[VideoStatus](),
    VideoStatus.ARCHIVED: set[VideoStatus](),
}
VIDEO_COLOUR = {
    VideoStatus.PENDING: "neutral",
    VideoStatus.RENDERING: "info",
    VideoStatus.READY: "good",
    VideoStatus.FAILED: "bad",
    VideoStatus.ARCHIVED: "neutral",
}


class Decision(TextChoices):
    APPROVE = "approve", "approve"
    REJECT = "reject", "reject"
    ESCALATE = "escalate", "escalate"


DECISION_COLOUR = {Decision.APPROVE: "good", Decision.REJECT: "bad", Decision.ESCALATE: "warn"}


class NextAction(TextChoices):
    PUBLISH = "publish", "publish"
    RETRY = "retry", "retry"
    HUMAN_REVIEW = "human_review", "review by a person"


NEXT_ACTION = {
    Decision.APPROVE: NextAction.PUBLISH,
    Decision.REJECT: NextAction.RETRY,
    Decision.ESCALATE: NextAction.HUMAN_REVIEW,
}


class ReviewerType(TextChoices):
    JUDGE = "judge", "judge"
    HUMAN = "human", "person"


class ReviewReason(TextChoices):
    """Why an artifact waits for a person."""

    ESCALATED = "escalated", "escalated"
    LOW_CONFIDENCE = "low_confidence", "judge unsure"
    POLICY_HIT = "policy_hit", "policy hit"
    NO_JUDGE = "no_judge", "no judge in time"
    BLIND_SAMPLE = "blind_sample", "routine check"


class ReviewItemStatus(TextChoices):
    OPEN = "open", "open"
    DECIDED = "decided", "decided"
    WITHDRAWN = "withdrawn", "withdrawn"


REVIEW_ITEM_INITIAL = {ReviewItemStatus.OPEN}
REVIEW_ITEM_TRANSITIONS = {
    ReviewItemStatus.OPEN: {ReviewItemStatus.DECIDED, ReviewItemStatus.WITHDRAWN},
    ReviewItemStatus.DECIDED: {ReviewItemStatus.OPEN},
    ReviewItemStatus.WITHDRAWN: set[ReviewItemStatus](),
}
REVIEW_ITEM_COLOUR = {
    ReviewItemStatus.OPEN: "warn",
    ReviewItemStatus.DECIDED: "good",
    ReviewItemStatus.WITHDRAWN: "neutral",
}


class DisclosureLevel(TextChoices):
    AUTOMATED = "automated", "made by an agent"
    ASSISTED = "assisted", "made with an agent's help"
    NONE = "none", "not disclosed"


class PublishStatus(TextChoices):
    QUEUED = "queued", "queued"
    PUBLISHED = "published", "published"
    FAILED = "failed", "failed"


PUBLISH_INITIAL = {PublishStatus.QUEUED}
PUBLISH_TRANSITIONS = {
    PublishStatus.QUEUED: {PublishStatus.PUBLISHED, PublishStatus.FAILED},
    PublishStatus.PUBLISHED: set[PublishStatus](),
    PublishStatus.FAILED: set[PublishStatus](),
}
PUBLISH_COLOUR = {PublishStatus.QUEUED: "info", PublishStatus.PUBLISHED: "good", PublishStatus.FAILED: "bad"}


class Outcome(TextChoices):
    """What a person found out about a post whose outcome was unknown."""

    PUBLISHED = "published", "it is out"
    RETRY = "retry", "it is not out: queue it again"
    DROP = "drop", "it is not out, and is not to be"


class Hold(TextChoices):
    """Why a queued post does not leave."""

    OPERATOR = "operator", "held by an operator"
    CAMPAIGN = "campaign", "held with its campaign"
    OUTCOME_UNKNOWN = "outcome_unknown", "outcome unknown"
