"""What operators do to a campaign: activate, pause, halt, resume, complete, stop.

Each verb locks the campaign FOR UPDATE first. That waits for whatever is being written for the campaign at this moment
(claims, artifacts and posts hold a key share lock on it), so that a verb sees all work that began before it, and
everything later sees the verb. Posts and review items are reached through the campaign's own relations, because their
app is a higher room.
"""

import logging
from collections.abc import Callable
from datetime import datetime
from functools import wraps
from typing import Any, TypeVar, cast
from uuid import UUID

from django.db import OperationalError, connection, transaction
from django.db.models import F
from django.utils import timezone

from audit.context import Actor, acting
from audit.errors import Conflict, Invalid, Refused
from campaigns.choices import TASK_OPEN, VERB_FROM, CampaignStatus, CampaignVerb, TaskStatus
from campaigns.models import MOST_ATTEMPTS, Campaign, Task
from campaigns.services.tasks import next_attempt

log = logging.getLogger(__name__)

PERMISSION = "campaigns.control_campaign"
PATIENCE = "10s"  # how long a verb waits for those who write for the campaign at this moment
TRIES = 3
DEADLOCK, LOCK_TIMEOUT = "40P01", "55P03"

V = TypeVar("V", bound=Callable[..., Campaign])


def urgent(verb: V) -> V:
    """A control verb in a transaction that gets through, or says why not.

    Writers in plain SQL need not keep our order of locks, so PostgreSQL may choose the operator's verb to resolve a
    deadlock; it is simply done again. A writer that never ends does not keep an operator waiting for ever.
    """

    @wraps(verb)
    def through(**arguments: Any) -> Campaign:
        for left in reversed(range(TRIES)):
            try:
                with transaction.atomic():
                    with connection.cursor() as cursor:
                        cursor.execute("SELECT current_setting('lock_timeout')")
                        (before,) = cursor.fetchone()
                        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [PATIENCE])
                        changed = verb(**arguments)
                        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [before])
                    return changed
            except OperationalError as error:
                sqlstate = getattr(error.__cause__, "sqlstate", "")
                if sqlstate not in {DEADLOCK, LOCK_TIMEOUT}:
                    raise
                if sqlstate == LOCK_TIMEOUT or not left:
                    break
        raise Conflict(
            "Somebody is writing for this campaign and does not finish, so that nothing could be changed. Try again; "
            "if it goes on, end the oldest transaction on the database."
        )

    return cast(V, through)


def _lock(campaign_id: UUID, verb: CampaignVerb, actor: Actor, reason: str) -> Campaign:
    """The campaign under its lock, when `verb` is possible and the actor may; otherwise the refusal in a sentence."""
    actor.require(PERMISSION, to=f"{verb} campaigns")
    if not reason.strip():
        raise Invalid(f"Say why you {verb} it; everybody who meets this campaign will read it.")
    if "\x00" in reason:
        raise Invalid("The reason contains a character that cannot be stored (NUL).")
    try:
        campaign = Campaign.objects.select_for_update().get(pk=campaign_id, deleted_at=None)
    except Campaign.DoesNotExist:
        raise Invalid("There is no such campaign.") from None
    if verb not in possible_verbs(campaign):
        states = sorted(str(status.label) for status in VERB_FROM[verb])
        raise Conflict(f"Campaign “{campaign}” is {campaign.state}; {verb} is possible only when it is {_or(states)}.")
    return campaign


def _or(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def possible_verbs(campaign: Campaign) -> list[CampaignVerb]:
    """What can be done to the campaign as it stands; a halted one is not halted again."""
    return [
        verb
        for verb in CampaignVerb
        if campaign.status in VERB_FROM[verb] and not (verb == CampaignVerb.HALT and campaign.halted_at)
    ]


def _set(campaign: Campaign, verb: CampaignVerb, actor: Actor, reason: str, **values: Any) -> Campaign:
    return campaign.change(verb, control_reason=reason.strip(), controlled_by=actor.person, **values)


@urgent
def activate_campaign(*, campaign_id: UUID, actor: Actor, reason: str) -> Campaign:
    """A draft begins to run."""
    with acting(actor):
        campaign = _lock(campaign_id, CampaignVerb.ACTIVATE, actor, reason)
        return _set(campaign, CampaignVerb.ACTIVATE, actor, reason, status=CampaignStatus.ACTIVE)


@urgent
def pause_campaign(*, campaign_id: UUID, actor: Actor, reason: str, resume_at: datetime | None = None) -> Campaign:
    """Nothing new starts, nothing is posted; work in progress may finish. Ends by itself at `resume_at`, if given."""
    if resume_at is not None and resume_at <= timezone.now():
        raise Invalid("The time to resume has passed already; choose one in the future, or none.")
    with acting(actor):
        campaign = _lock(campaign_id, CampaignVerb.PAUSE, actor, reason)
        return _set(campaign, CampaignVerb.PAUSE, actor, reason, status=CampaignStatus.PAUSED, resume_at=resume_at)


@urgent
def halt_campaign(*, campaign_id: UUID, actor: Actor, reason: str) -> Campaign:
    """A pause that also cuts off work in progress: its results no longer count, and it is done again after a resume."""
    with acting(actor):
        campaign = _lock(campaign_id, CampaignVerb.HALT, actor, reason)
        halted = _set(
            campaign,
            CampaignVerb.HALT,
            actor,
            reason,
            status=CampaignStatus.PAUSED,
            halted_at=timezone.now(),
            resume_at=None,
            epoch=F("epoch") + 1,
        )
        cut_off = _fail(campaign, CampaignVerb.HALT, TaskStatus.IN_PROGRESS, f"Cut off by a halt: {reason.strip()}")
        # Being cut off is not the agent's failure, so that it does not use up one of the tries.
        Task.objects.create_all(
            next_attempt(task, max_attempts=min(task.max_attempts + 1, MOST_ATTEMPTS))
            for task in cut_off
            if task.deleted_at is None
        )
        campaign.publish_records.mark_unknown(CampaignVerb.HALT)
        return halted


@urgent
def resume_campaign(*, campaign_id: UUID, actor: Actor, reason: str) -> Campaign:
    """Work is handed out again, and what is queued to be posted leaves."""
    with acting(actor):
        campaign = _lock(campaign_id, CampaignVerb.RESUME, actor, reason)
        return _set(campaign, CampaignVerb.RESUME, actor, reason, status=CampaignStatus.ACTIVE)


@urgent
def complete_campaign(*, campaign_id: UUID, actor: Actor, reason: str) -> Campaign:
    """The goal is reached. Refused while anything is unfinished: losing work is what a stop is for."""
    with acting(actor):
        campaign = _lock(campaign_id, CampaignVerb.COMPLETE, actor, reason)
        if left := unfinished(campaign):
            raise Conflict(f"Campaign “{campaign}” still has {left}. Let it finish, or stop the campaign.")
        return _set(campaign, CampaignVerb.COMPLETE, actor, reason, status=CampaignStatus.COMPLETED)


def unfinished(campaign: Campaign) -> str:
    """What is left to do, in words; empty when nothing is."""
    tasks, posts = campaign.tasks.open().count(), campaign.publish_records.queued().count()
    counts = [(tasks, "open task"), (posts, "queued post")]
    return " and ".join(f"{count} {word}{'s' if count > 1 else ''}" for count, word in counts if count)


@urgent
def stop_campaign(*, campaign_id: UUID, actor: Actor, reason: str) -> Campaign:
    """The end, for good: open work fails without a retry, what waits for a person is withdrawn, posts are dropped."""
    with acting(actor):
        campaign = _lock(campaign_id, CampaignVerb.STOP, actor, reason)
        stopped = _set(campaign, CampaignVerb.STOP, actor, reason, status=CampaignStatus.STOPPED, epoch=F("epoch") + 1)
        error = f"The campaign was stopped: {reason.strip()}"
        for status in sorted(TASK_OPEN):
            _fail(campaign, CampaignVerb.STOP, status, error)
        campaign.review_items.withdraw(CampaignVerb.STOP)
        campaign.publish_records.mark_unknown(CampaignVerb.STOP)
        campaign.publish_records.drop(CampaignVerb.STOP, error)
        return stopped


def _fail(campaign: Campaign, verb: CampaignVerb, status: TaskStatus, error: str) -> list[Task]:
    return campaign.tasks.filter(status=status).change(verb, status=TaskStatus.FAILED, error=error)


CONTROL: dict[CampaignVerb, Callable[..., Campaign]] = {
    CampaignVerb.ACTIVATE: activate_campaign,
    CampaignVerb.PAUSE: pause_campaign,
    CampaignVerb.HALT: halt_campaign,
    CampaignVerb.RESUME: resume_campaign,
    CampaignVerb.COMPLETE: complete_campaign,
    CampaignVerb.STOP: stop_campaign,
}


def control_campaign(verb: CampaignVerb, **arguments: Any) -> Campaign:
    """The verb by its name, for doors that offer all of them."""
    return CONTROL[verb](**arguments)


def resume_due_campaigns(*, actor: Actor) -> int:
    """Resume what was paused until now; returns how many. Called every minute, killable at any instruction."""
    due = Campaign.objects.filter(
        status=CampaignStatus.PAUSED, halted_at=None, deleted_at=None, resume_at__lte=timezone.now()
    )
    resumed = 0
    for campaign_id in due.values_list("pk", flat=True):
        try:
            resume_campaign(campaign_id=campaign_id, actor=actor, reason="The pause ended at the time it was given.")
            resumed += 1
        except Refused as refusal:  # somebody resumed or stopped it in between
            log.info("Not resumed: %s", refusal)
    return resumed
