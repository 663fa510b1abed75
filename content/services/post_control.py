"""What operators do with posts: settle what nobody knows, queue a failed one again, hold, release, reschedule.

Each verb asks for a reason and the log keeps it. A publisher that has a post in hand goes first: what it holds is not
held, rescheduled or queued a second time.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Max
from django.utils import timezone

from accounts.models import User
from audit.choices import EntityType
from audit.context import Actor, acting
from audit.errors import Conflict, Invalid, broken_rule, written
from audit.models import AuditLog
from campaigns.choices import CAMPAIGN_FINAL, TaskStatus
from campaigns.models import Task
from campaigns.services.locks import share_campaign
from content.choices import Hold, Outcome, PublishStatus
from content.models import PublishRecord
from content.models.publishing import PublishRecordQuerySet
from content.post_file import LONGEST_ID
from content.services.publishing import next_try, sentence, tries_of

PERMISSION = "content.settle_publishrecord"
SETTLED = {
    Outcome.PUBLISHED: "it is out",
    Outcome.RETRY: "it was not out, and was queued again",
    Outcome.DROP: "it was not out, and was dropped",
}


@transaction.atomic
def settle_unknown_post(
    *,
    publish_id: UUID,
    outcome: str,
    actor: Actor,
    reason: str,
    platform_post_id: str = "",
    published_at: datetime | None = None,
) -> PublishRecord:
    """A person has looked: the post is out, or is to be tried again, or dropped. Returns it as it then is.

    `platform_post_id` is the post that was found; to try again what a publisher has reported, the one that is gone.
    """
    if actor.person is None:
        raise Invalid("Only a person settles what became of a post whose outcome is unknown.")
    actor.require(PERMISSION, to="settle posts whose outcome is unknown")
    missing = f"Say how you know, and choose one of: {', '.join(Outcome.values)}."
    reason = written(reason, missing)
    if outcome not in Outcome.values:
        raise Invalid(missing)
    post_id = _post_id(platform_post_id)
    if published_at is not None and published_at > timezone.now():
        raise Invalid("The time at which it appeared is still to come.")
    record = _found(publish_id)
    if share_campaign(record.campaign_id) in CAMPAIGN_FINAL and outcome == Outcome.RETRY:
        raise Conflict(f"Campaign “{record.campaign}” has ended; nothing of it is tried again.")
    values: dict[str, Any] = {"status": PublishStatus.FAILED, "error": reason}
    if outcome == Outcome.PUBLISHED:
        post_id = post_id or record.platform_post_id or ""
        if not post_id:
            raise Invalid("Give the platform's id of the post that you found.")
        values = {"status": PublishStatus.PUBLISHED, "platform_post_id": post_id}
        values["published_at"] = published_at or record.claimed_at or timezone.now()
    unknown = PublishRecord.objects.queued().filter(pk=publish_id, hold=Hold.OUTCOME_UNKNOWN)
    try:
        with transaction.atomic(), acting(actor, reason=reason):
            settled = unknown.change(outcome, hold=None, **values)
    except IntegrityError as refused:
        raise Conflict(sentence(refused)) from None
    if not settled:
        raise Conflict(f"{who_settled(record)} Nothing was changed.")
    if outcome == Outcome.RETRY:
        _require_gone(record, post_id)
        _try_again(settled[0], actor, reason)
    return settled[0]


def who_settled(record: PublishRecord) -> str:
    """What became of a post whose outcome is not unknown any more, in a sentence; the log knows who said so."""
    rows = AuditLog.objects.filter(entity_type=EntityType.PUBLISH_RECORD, entity_id=str(record.pk))
    last = rows.filter(action__in=Outcome.values).order_by("-created_at").first()
    if last is None:
        return "The outcome of this post is not unknown (any more)."
    person = User.objects.filter(pk=(last.actor_id or "").removeprefix("user:")).first()
    return f"{person or 'Somebody'} has settled this post already: {SETTLED[Outcome(last.action)]}."


@transaction.atomic
def queue_post_again(
    *,
    publish_id: UUID,
    actor: Actor,
    reason: str,
    platform_post_id: str = "",
    scheduled_for: datetime | None = None,
) -> PublishRecord:
    """A failed post is tried once more, however often it was tried before. Returns the new try, a row of its own.

    `platform_post_id`: where an earlier try was reported as published, the post that is gone.
    """
    actor.require(PERMISSION, to="queue failed posts again")
    reason = written(reason, "Say why it is to be tried again; the log keeps it.")
    _refuse_past(scheduled_for)
    record = _found(publish_id)
    if share_campaign(record.campaign_id) in CAMPAIGN_FINAL:
        raise Conflict(f"Campaign “{record.campaign}” has ended; nothing of it is tried again.")
    task = Task.objects.select_for_update(of=("self",)).get(pk=record.artifact.task_id)
    list(tries_of(record).order_by("pk").select_for_update(of=("self",)))  # whoever is quicker is seen after it
    if refusal := why_not_again(record, task):
        raise Conflict(refusal)
    _require_gone(record, _post_id(platform_post_id))
    last = tries_of(record).aggregate(last=Max("attempt"))["last"]
    return _try_again(record, actor, reason, attempt=last + 1, scheduled_for=scheduled_for)


def _try_again(record: PublishRecord, actor: Actor, reason: str, **given: Any) -> PublishRecord:
    """A new try, unless the database has the last word: an approval that no longer stands, a post that is there."""
    try:
        with transaction.atomic(), acting(reason=reason):
            return next_try(record, actor, **given)
    except IntegrityError as refused:
        if broken_rule(refused) == "publish_record_decision_allows":
            raise Conflict("Its approval was taken back or replaced: it has to be approved again first.") from None
        raise Conflict(sentence(refused)) from None


def why_not_again(record: PublishRecord, task: Task) -> str:
    """Why a post cannot be queued again, in a sentence; empty when it can. The approval itself the database knows."""
    if live := tries_of(record).live().first():
        state = "published" if live.status == PublishStatus.PUBLISHED else "queued"
        return f"This post is {state} already; nothing is posted twice."
    if record.decision_id is None:
        return "Nobody has approved it, so that it cannot be queued."
    if task.status not in {TaskStatus.DONE, TaskStatus.REVIEW}:
        return f"Its task is {task.get_status_display()}: what it made is not published."
    if task.retries.filter(attempt__gt=0, task_type=task.task_type).exists():
        return "The work was sent back: what its next attempt makes is published in its place."
    made = record.artifact
    if task.artifacts.filter(artifact_type=made.artifact_type, version__gt=made.version).exists():
        return "A newer version of it was made, which is published in its place."
    return ""


@transaction.atomic
def hold_post(*, publish_id: UUID, actor: Actor, reason: str) -> PublishRecord:
    """A queued post does not leave until somebody releases it."""
    actor.require(PERMISSION, to="hold posts")
    reason = written(reason, "Say why it is held; everybody who meets this post will read it.")
    free = PublishRecord.objects.queued().filter(hold=None, lease_id=None)
    return _change_queued(free, publish_id, "hold", actor, reason, hold=Hold.OPERATOR)


@transaction.atomic
def release_hold(*, publish_id: UUID, actor: Actor, reason: str) -> PublishRecord:
    """What an operator has held may leave; at once, when its time has come meanwhile."""
    actor.require(PERMISSION, to="release posts")
    reason = written(reason, "Say why it may leave now; the log keeps it.")
    held = PublishRecord.objects.queued().filter(hold=Hold.OPERATOR)
    return _change_queued(held, publish_id, "release", actor, reason, hold=None)


@transaction.atomic
def reschedule_post(*, publish_id: UUID, actor: Actor, reason: str, scheduled_for: datetime | None) -> PublishRecord:
    """A queued post leaves no earlier than then; None: as soon as everything else allows it."""
    actor.require(PERMISSION, to="reschedule posts")
    reason = written(reason, "Say why its time changes; the log keeps it.")
    _refuse_past(scheduled_for)
    waiting = PublishRecord.objects.queued().filter(lease_id=None).exclude(hold=Hold.OUTCOME_UNKNOWN)
    return _change_queued(waiting, publish_id, "reschedule", actor, reason, scheduled_for=scheduled_for)


def _change_queued(
    possible: PublishRecordQuerySet, publish_id: UUID, verb: str, actor: Actor, reason: str, **values: Any
) -> PublishRecord:
    """Change the post if it is still among those with which that is possible; or say where it stands."""
    share_campaign(_found(publish_id).campaign_id)
    with acting(actor, reason=reason):
        changed = possible.filter(pk=publish_id).change(verb, **values)
    if not changed:
        raise Conflict(f"{_where(_found(publish_id))} Nothing was changed.")
    return changed[0]


def _where(record: PublishRecord) -> str:
    if record.status != PublishStatus.QUEUED:
        return f"This post is {record.get_status_display()} already."
    if record.lease_id is not None:
        return "A publisher has this post in hand right now; wait until it says what became of it."
    return f"This post is {record.get_hold_display() or 'queued, and nobody holds it'}."


def _found(publish_id: UUID) -> PublishRecord:
    record = PublishRecord.objects.select_related("artifact", "campaign").filter(pk=publish_id).first()
    if record is None:
        raise Invalid("There is no such post.")
    return record


def _post_id(text: str) -> str:
    """The platform's id as a person wrote it. Ids are opaque, but none has spaces in it."""
    given = text.strip()
    if any(character.isspace() or not character.isprintable() for character in given):
        raise Invalid("The id of a post has no spaces or line breaks in it.")
    if len(given) > LONGEST_ID:
        raise Invalid(f"The id of a post has {LONGEST_ID} characters at most.")
    return given


def _refuse_past(moment: datetime | None) -> None:
    if moment is not None and moment <= timezone.now():
        raise Invalid("That time has passed already; choose one to come, or none: then it leaves as soon as it may.")


def _require_gone(record: PublishRecord, named: str) -> None:
    """What was reported as published is tried again only by somebody who names that post: it may have come in while
    they looked."""
    if (told := told_ids(record)) and named not in told:
        raise Conflict(f"It was reported as published: {', '.join(told)}. Name that id if the post is gone.")


def told_ids(record: PublishRecord) -> list[str]:
    """The ids under which any try of this post was reported."""
    told = tries_of(record).exclude(platform_post_id=None).order_by("created_at")
    return [str(post_id) for post_id in told.values_list("platform_post_id", flat=True)]
