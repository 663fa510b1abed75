"""The review desk: who has which item in hand, what comes next, and one decision on many.

A claim is for people what a lease is for agents: it keeps two from reading the same. It ends by itself; while the page
is open it is renewed, which leaves no audit rows. A claim is no condition of a decision, only somebody else's refuses.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import DatabaseError, transaction
from django.db.models.functions import Now

from accounts.models import User
from audit.admin.refusals import sentence
from audit.context import Actor, acting
from audit.errors import Conflict, Invalid, NotAllowed, Refused
from content.choices import Decision, ReviewReason
from content.models import ReviewItem
from content.models.review import ReviewItemQuerySet
from content.services.duties import MADE_IT, check_may_decide, decidable_by, made_by, obstacle
from content.services.happened import what_happened, who_holds
from content.services.review import PERMISSION, decide_review_item, decision_named, undo_decision, usable_reasons

CLAIM = timedelta(minutes=10)
ORDER = ("-risk", "due_at", "review_item_id")  # the riskiest first, then by deadline
MOST = 100  # items in one go
ONE_BY_ONE = "A routine check tells how good the judges are, so each is read and decided by itself."
UNREAD = "Neither a judge nor a person has read this yet, so it is not approved unread: open it."


@dataclass(frozen=True)
class Queue:
    """A part of what waits; what is empty leaves nothing out."""

    campaign: UUID | None = None
    artifact_type: str = ""
    reason: str = ""
    platform: str = ""

    def waiting(self) -> ReviewItemQuerySet:
        given = {
            "campaign": self.campaign,
            "artifact__artifact_type": self.artifact_type,
            "reason": self.reason,
            "campaign__target_platforms__contains": [self.platform] if self.platform else "",
        }
        return ReviewItem.objects.open().filter(**{path: value for path, value in given.items() if value})


EVERYTHING = Queue()


def _person(actor: Actor) -> User:
    if actor.person is None:
        raise NotAllowed("Only a person claims what waits for a person.")
    actor.require(PERMISSION, to="decide what waits for a person")
    person: User = actor.person
    return person


@transaction.atomic
def claim_next(*, actor: Actor, queue: Queue = EVERYTHING, skipped: Collection[UUID] = ()) -> ReviewItem | None:
    """The first item of the queue that is free and that this person may decide, claimed; None when there is none.

    What another transaction is claiming or deciding at this instant is passed over (SKIP LOCKED), and a row that was
    claimed a moment ago is looked at again under its lock: no item is handed to two people.
    """
    person = _person(actor)
    free = decidable_by(queue.waiting().free_for(person), person).exclude(pk__in=skipped).order_by(*ORDER)
    found: ReviewItem | None = free.select_for_update(skip_locked=True, of=("self",)).first()
    if found is None:
        return None
    with acting(actor):
        return _claim(ReviewItem.objects.filter(pk=found.pk), person)[0]


@transaction.atomic
def claim_item(*, item_id: UUID, actor: Actor) -> ReviewItem:
    """Claim an item that is free or one's own, or prolong one's claim; Conflict says who has it, or what became of it.

    The maker of a thing does not keep others from deciding on it.
    """
    person = _person(actor)
    item = ReviewItem.objects.select_related("task__agent", "claimed_by", "decision").filter(pk=item_id).first()
    if item is None:
        raise Invalid("There is no such item.")
    if item.is_open:
        check_may_decide(item, person)
        if made_by(item, person):
            raise NotAllowed(MADE_IT)
    with acting(actor):
        claimed = _claim(ReviewItem.objects.open().free_for(person).filter(pk=item_id), person)
    if claimed:
        return claimed[0]
    item.refresh_from_db()
    raise Conflict(f"{who_holds(item)}." if item.is_open else f"Too late: {what_happened(item)}.")


def _claim(items: ReviewItemQuerySet, person: User) -> list[ReviewItem]:
    return items.change("claim", claimed_by=person, claimed_until=Now() + CLAIM)


@transaction.atomic
def release_item(*, item_id: UUID, actor: Actor, until: datetime | None = None) -> bool:
    """Let others have what one has claimed. `until` is the claim's end as the leaver knows it.

    A page that is loaded again says good-bye too, perhaps after it has claimed anew: that claim is not its to end.
    """
    held = ReviewItem.objects.open().filter(pk=item_id, claimed_by=_person(actor))
    if until is not None:
        held = held.filter(claimed_until=until)
    with acting(actor):
        return bool(held.change("release", claimed_by=None, claimed_until=None))


@dataclass(frozen=True)
class Seen:
    """An item as it was shown before a decision on many."""

    item_id: UUID
    version: int
    sha256: str


@dataclass(frozen=True)
class Outcome:
    item_id: UUID
    refusal: str = ""  # empty when it was done


def bulk_obstacle(item: ReviewItem, decision: Decision, person: User) -> str:
    """Why an item is left out of a decision on many; empty when it is not."""
    if not item.is_open:
        return f"Too late: {what_happened(item)}."
    if item.reason == ReviewReason.BLIND_SAMPLE:
        return ONE_BY_ONE
    if item.reason == ReviewReason.NO_JUDGE and decision == Decision.APPROVE:
        return UNREAD
    if item.held_by_other(person):
        return f"{who_holds(item)}."
    return obstacle(item, decision, person)


def decide_items(
    *,
    seen: Sequence[Seen],
    decision: str,
    reasons: Sequence[str],
    actor: Actor,
    escalate_to_administrators: bool = False,
) -> list[Outcome]:
    """One decision on many items, each by itself: what is refused for one of them does not stop the others."""
    person, verdict = _person(actor), decision_named(decision)
    _check_number(seen)
    usable_reasons(verdict, reasons)

    def decide(shown: Seen) -> None:
        item = ReviewItem.objects.select_related("artifact", "task__agent", "claimed_by").get(pk=shown.item_id)
        if refusal := bulk_obstacle(item, verdict, person):
            raise Conflict(refusal)
        decide_review_item(
            item_id=shown.item_id,
            decision=decision,
            reasons=reasons,
            actor=actor,
            seen_version=shown.version,
            seen_sha256=shown.sha256,
            escalate_to_administrators=escalate_to_administrators,
        )

    return [_tried(shown.item_id, lambda shown=shown: decide(shown)) for shown in seen]  # type: ignore[misc]


def undo_items(*, item_ids: Sequence[UUID], actor: Actor) -> list[Outcome]:
    """Take one's decisions on many items back, each by itself."""
    _check_number(item_ids)
    return [_tried(key, lambda key=key: undo_decision(item_id=key, actor=actor)) for key in item_ids]  # type: ignore[misc]


def _check_number(items: Sequence[object]) -> None:
    if not items:
        raise Invalid("Nothing is selected; tick what you mean.")
    if len(items) > MOST:
        raise Invalid(f"These are {len(items)} items; at most {MOST} are decided in one go.")


def _tried(item_id: UUID, verb: Callable[[], object]) -> Outcome:
    try:
        verb()
    except (Refused, DatabaseError) as problem:
        return Outcome(item_id, sentence(problem))
    except ReviewItem.DoesNotExist:
        return Outcome(item_id, "There is no such item.")
    return Outcome(item_id)
