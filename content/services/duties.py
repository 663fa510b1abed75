"""Who may decide what: separation of duties at the review desk, asked in three places by the same words.

Pages ask before somebody reads in vain, the queue asks for what it may hand to a person, and a decision asks under the
item's lock, which is where it counts.
"""

from django.db.models import Exists, OuterRef, Q

from accounts.models import User
from audit.errors import Conflict, NotAllowed, Refused
from content.choices import Decision, ReviewItemStatus
from content.models import ReviewItem
from content.models.review import ReviewItemQuerySet

ADMINISTRATORS = 3  # the level on which only people with this permission decide
ESCALATION = "content.decide_escalation"

MADE_IT = "You planned this work or answer for the agent that made it, so somebody else approves it."
DECIDED_BEFORE = "You have decided on this already; an escalated item wants another person."
FOR_ADMINISTRATORS = (
    "This was escalated to the Administrators: you may read it, but not decide it. "
    f"Ask an Administrator for the permission “{ESCALATION}”."
)
UNKNOWN_CONTENT = (
    "Nobody gave the hash of this content, so what you see is not certainly what would be posted. "
    "Reject it, and ask its maker for the content itself."
)


def decided_before(person: User) -> Exists:
    """Whether the person has decided on an item's artifact on a lower level, and not taken it back."""
    lower = ReviewItem.objects.filter(
        task=OuterRef("task"),  # which has an index
        artifact=OuterRef("artifact"),
        level__lt=OuterRef("level"),
        status=ReviewItemStatus.DECIDED,
        undone_at=None,
        decision__reviewer_id=f"user:{person.pk}",
    )
    return Exists(lower)


def decidable_by(items: ReviewItemQuerySet, person: User) -> ReviewItemQuerySet:
    """What the queue may hand to this person: nothing that they made, or have decided on a lower level."""
    allowed = items.exclude(Q(task__created_by=person) | Q(task__agent__owner=person))
    if not person.has_perm(ESCALATION):
        allowed = allowed.exclude(level=ADMINISTRATORS)
    return allowed.filter(Q(level=1) | ~decided_before(person))


def check_may_decide(item: ReviewItem, person: User) -> None:
    if item.level == ADMINISTRATORS and not person.has_perm(ESCALATION):
        raise NotAllowed(FOR_ADMINISTRATORS)
    known = getattr(item, "was_decided_before", None)  # a list of items asks for all of them at once
    if known is None:
        known = item.level > 1 and ReviewItem.objects.filter(decided_before(person), pk=item.pk).exists()
    if known:
        raise NotAllowed(DECIDED_BEFORE)


def check_may_approve(item: ReviewItem, person: User) -> None:
    if made_by(item, person):
        raise NotAllowed(MADE_IT)
    if not item.artifact.has_known_content:
        raise Conflict(UNKNOWN_CONTENT)


def check_duties(item: ReviewItem, decision: Decision, person: User) -> None:
    check_may_decide(item, person)
    if decision == Decision.APPROVE:
        check_may_approve(item, person)
    if decision == Decision.ESCALATE and item.level == ADMINISTRATORS:
        raise Conflict("This is before the Administrators already; there is nobody above them. Approve or reject it.")


def made_by(item: ReviewItem, person: User) -> bool:
    return person.pk in item.task.makers()


def obstacle(item: ReviewItem, decision: Decision, person: User) -> str:
    """Why this person cannot decide so, in a sentence; empty when they can."""
    try:
        check_duties(item, decision, person)
    except Refused as refusal:
        return refusal.sentence
    return ""
