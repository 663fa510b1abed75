"""The verbs of content: made, decided, published; one function each, called by every door."""

from content.services.artifacts import store_content, submit_artifact
from content.services.publishing import claim_posts, publish_failed, publish_succeeded, queue_posts
from content.services.review import (
    decide_artifact,
    decide_review_item,
    open_missing_review_items,
    open_review_item,
    undo_decision,
)
from content.services.settlement import settle_decisions

__all__ = [
    "claim_posts",
    "decide_artifact",
    "decide_review_item",
    "open_missing_review_items",
    "open_review_item",
    "publish_failed",
    "publish_succeeded",
    "queue_posts",
    "settle_decisions",
    "store_content",
    "submit_artifact",
    "undo_decision",
]
