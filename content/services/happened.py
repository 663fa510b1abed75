"""What became of an item while somebody looked at it: who did what, for the page that is no longer true."""

from django.core.exceptions import ValidationError

from accounts.models import User
from audit.admin.cells import clock
from audit.choices import EntityType
from audit.models import AuditLog
from campaigns.choices import CampaignVerb, TaskVerb
from content.choices import Decision, ReviewItemStatus
from content.models import ReviewDecision, ReviewItem

UNDO = "undo"
# Verbs that withdraw what waits for a person, as the audit log calls them.
WITHDREW = {
    CampaignVerb.STOP: "stopped the campaign",
    TaskVerb.SEND_BACK: "sent the work back to its maker",
    Decision.REJECT: "rejected another part of this work",
    UNDO: "took the escalation back",
}


def what_happened(item: ReviewItem) -> str:
    """Why an item is no longer open, in a clause."""
    made = item.decision
    if item.status == ReviewItemStatus.WITHDRAWN:
        return _withdrawn(item)
    if made is None:
        return f"this item is {item.get_status_display()}"
    return f"{reviewer_name(made)} decided to {made.decision} it at {clock(made.created_at)}"


def what_changed(item: ReviewItem) -> str:
    """Why an open item is another than it was when its page was made, in a sentence."""
    changed = "This item has changed since you opened it"
    if item.undone_at is None:
        return f"{changed}."
    return f"{changed}: {item.undone_by or 'somebody'} decided it, and took that back at {clock(item.undone_at)}."


def who_holds(item: ReviewItem) -> str:
    """“Dawit Haile is deciding on it until 14:11”, of an item that somebody holds."""
    assert item.claimed_until is not None
    return f"{item.claimed_by} is deciding on it, until {clock(item.claimed_until)} at the latest"


def _withdrawn(item: ReviewItem) -> str:
    """The audit log knows who withdrew it and by which verb."""
    rows = AuditLog.objects.filter(entity_type=EntityType.REVIEW_ITEM, entity_id=str(item.pk))
    row = rows.order_by("-created_at", "-audit_id").first()
    if row is None or row.action not in WITHDREW:
        return "this item was withdrawn"
    return f"{person_named(row.actor_id)} {WITHDREW[row.action]} at {clock(row.created_at)}, so this item was withdrawn"


def reviewer_name(decision: ReviewDecision) -> str:
    """Who decided, as people know them."""
    return person_named(decision.reviewer_id, otherwise="a judge")


def person_named(handle: str | None, otherwise: str = "Gatehouse") -> str:
    """The name behind `user:<id>`; an agent or a program is called by its id."""
    if not handle or not handle.startswith("user:"):
        return handle or otherwise
    try:
        person = User.objects.filter(pk=handle.removeprefix("user:")).first()
    except ValidationError:  # plain SQL may write anything
        person = None
    return str(person) if person else "somebody"
