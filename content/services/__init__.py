"""The verbs of content: made, decided, published; one function each, called by every door."""

from content.services.artifacts import store_content, submit_artifact
from content.services.claims import claim_artifacts, claim_posts
from content.services.desk import claim_item, claim_next, decide_items, release_item, undo_items
from content.services.judging import ask_people_for_judges, decide_artifact, follow_decisions
from content.services.post_control import (
    hold_post,
    queue_post_again,
    release_hold,
    reschedule_post,
    settle_unknown_post,
)
from content.services.publishing import (
    heartbeat_post,
    hold_expired_posts,
    publish_failed,
    publish_succeeded,
    publish_unknown,
    queue_posts,
    release_post,
)
from content.services.review import decide_review_item, mark_overdue_items, open_review_item, undo_decision
from content.services.settlement import settle_decisions
from content.services.thresholds import set_approve_threshold

__all__ = [
    "ask_people_for_judges",
    "claim_artifacts",
    "claim_item",
    "claim_next",
    "claim_posts",
    "decide_artifact",
    "decide_items",
    "decide_review_item",
    "follow_decisions",
    "heartbeat_post",
    "hold_expired_posts",
    "hold_post",
    "mark_overdue_items",
    "open_review_item",
    "publish_failed",
    "publish_succeeded",
    "publish_unknown",
    "queue_post_again",
    "queue_posts",
    "release_hold",
    "release_item",
    "release_post",
    "reschedule_post",
    "set_approve_threshold",
    "settle_decisions",
    "settle_unknown_post",
    "store_content",
    "submit_artifact",
    "undo_decision",
    "undo_items",
]
