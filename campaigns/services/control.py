"""What operators do to a campaign: activate, pause, halt, resume, complete, stop; and a halt of everything.

Each verb locks the campaign FOR UPDATE first. That waits for whatever is being written for the campaign at this moment
(claims, artifacts and posts hold a key share lock on it), so that a verb sees all work that began before it, and
everything later sees the verb. Posts and review items are reached through the campaign's own relations, because their
app is a higher room.
"""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from functools import wraps
from typing import Any, TypeVar, cast
from uuid import UUID

from django.db import OperationalError, connection, transaction
from django.db.models import F
from django.utils import timezone

from audit.context import Actor, acting
from audit.due import one_by_one
from audit.errors import Conflict, Invalid, sqlstate, written
from campaigns.choices import TASK_OPEN, VERB_FROM, Backlog, CampaignStatus, CampaignVerb, TaskStatus
from campaigns.models import MOST_ATTEMPTS, Campaign, SystemControl, Task
from campaigns.services.consequences import bounded, under_way
from campaigns.services.locks import close_gate
from campaigns.services.tasks import next_attempt

PERMISSION = "campaigns.control_campaign"
SYSTEM_PERMISSION = "campaigns.change_systemcontrol"
TRIES = 3
SPREAD = timedelta(hours=1)  # over which overdue posts leave, where they are to be spread
STUCK = (
    "Somebody is writing for this campaign and does not finish, so that nothing could be changed. Try again; "
    "if it goes on, end the oldest transaction on the database."
)
DEADLOCK, LOCK_TIMEOUT = "40P01", "55P03"

S = TypeVar("S", Campaign, SystemControl)
V = TypeVar("V", bound=Callable[..., Campaign | SystemControl | bool])


def waiting_at_most(patience: str) -> Callable[[V], V]:
    """A control verb in a transaction that gets through, or says why not.

    Writers in plain SQL need not keep our order of locks, so PostgreSQL may choose the operator's verb to resolve a
    deadlock; it is simply done again. A writer that never ends does not keep an operator waiting for ever.
    """

    def urgent(verb: V) -> V:
        @wraps(verb)
        def through(**arguments: Any) -> Any:
            for left in reversed(range(TRIES)):
                try:
                    with transaction.atomic():
                        with connection.cursor() as cursor:
                            cursor.execute("SELECT current_setting('lock_timeout')")
                            (before,) = cursor.fetchone()
                            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [patience])
                            changed = verb(**arguments)
                            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [before])
                        return changed
                except OperationalError as error:
                    if sqlstate(error) not in {DEADLOCK, LOCK_TIMEOUT}:
                        raise
                    if sqlstate(error) == LOCK_TIMEOUT or not left:
                        break
            raise Conflict(STUCK)

        return cast(V, through)

    return urgent


urgent = waiting_at_most("10s")


def _lock(campaign_id: UUID, verb: CampaignVerb, actor: Actor, reason: str) -> Campaign:
    """The campaign under its lock, when `verb` is possible and the actor may; otherwise the refusal in a sentence."""
    actor.require(PERMISSION, to=f"{verb} campaigns")
    written(reason, f"Say why you {verb} it; everybody who meets this campaign will read it.")
    close_gate(campaign_id)
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


def _set(switch: S, verb: str, actor: Actor, reason: str, **values: Any) -> S:
    told = {"control_reason": reason.strip(), "controlled_by": actor.person, "controlled_at": timezone.now()}
    return switch.change(verb, **told, **values)


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
        why = f"Cut off by a halt: {reason.strip()}"
        _cut_off(campaign, why)
        campaign.publish_records.mark_unknown(CampaignVerb.HALT, why)
        return halted


def _cut_off(campaign: Campaign, error: str) -> None:
    """Fail what is in progress, and plan it anew: being cut off does not use up one of the agent's tries."""
    Task.objects.create_all(
        next_attempt(task, max_attempts=min(task.max_attempts + 1, MOST_ATTEMPTS))
        for task in campaign.tasks.cut_off(CampaignVerb.HALT, error)
        if task.deleted_at is None
    )


@urgent
def resume_campaign(*, campaign_id: UUID, actor: Actor, reason: str, backlog: Backlog | str = "") -> Campaign:
    """Work is handed out again, and what is queued to be posted leaves.

    `backlog` says what becomes of posts whose time came meanwhile; it must be said when there are any.
    """
    with acting(actor):
        campaign = _lock(campaign_id, CampaignVerb.RESUME, actor, reason)
        _settle_backlog([campaign], backlog, reason)
        return _set(campaign, CampaignVerb.RESUME, actor, reason, status=CampaignStatus.ACTIVE)


def overdue(campaign: Campaign) -> int:
    """How many posts would leave at once if the campaign ran; a resume asks what becomes of them."""
    return bounded(campaign.publish_records.overdue(timezone.now()))


def _settle_backlog(campaigns: Iterable[Campaign], backlog: Backlog | str, reason: str) -> None:
    """What becomes of the posts of these campaigns whose time came while nothing left; refuses when nobody says."""
    late = [campaign.publish_records.overdue(timezone.now()) for campaign in campaigns]
    if backlog not in Backlog.values and (count := sum(posts.count() for posts in late)):
        words = "1 post has" if count == 1 else f"{count:,} posts have"
        choices = ", ".join(f"{choice} ({choice.label})" for choice in Backlog)
        raise Invalid(f"{words} become overdue meanwhile. Choose what becomes of them: {choices}.")
    for posts in late:
        if backlog == Backlog.DROP:
            posts.drop(CampaignVerb.RESUME, f"Dropped at a resume: {reason.strip()}")
        elif backlog == Backlog.SPREAD:
            posts.spread(CampaignVerb.RESUME, timezone.now(), SPREAD)


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
        campaign.tasks.cut_off(CampaignVerb.STOP, error)
        waiting = campaign.tasks.filter(status__in=TASK_OPEN)
        waiting.change(CampaignVerb.STOP, status=TaskStatus.FAILED, error=error)
        campaign.review_items.withdraw(CampaignVerb.STOP)
        campaign.publish_records.mark_unknown(CampaignVerb.STOP, error)
        campaign.publish_records.drop(CampaignVerb.STOP, error)
        return stopped


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


@urgent
def halt_everything(*, actor: Actor, reason: str) -> SystemControl:
    """The switch for all: nothing is handed out, and what has begun no longer counts; campaigns keep their states."""
    with acting(actor):
        system = _lock_system("halt", actor, reason)
        if system.halted:
            raise Conflict(f"Everything is halted already: {system.control_reason}")
        halted = _set(system, "halt", actor, reason, halted=True, epoch=F("epoch") + 1)
        why = f"Cut off by a halt of everything: {reason.strip()}"
        for campaign in Campaign.objects.filter(tasks__status=TaskStatus.IN_PROGRESS).distinct().order_by("pk"):
            _cut_off(campaign, why)
        for campaign in Campaign.objects.filter(publish_records__lease_id__isnull=False).distinct().order_by("pk"):
            campaign.publish_records.mark_unknown("halt", why)
        return halted


@urgent
def resume_everything(*, actor: Actor, reason: str, backlog: Backlog | str = "") -> SystemControl:
    """Ends a halt of everything. Campaigns that were paused or halted themselves stay so.

    `backlog` says what becomes of overdue posts of those that run, as in a campaign's resume.
    """
    with acting(actor):
        system = _lock_system("resume", actor, reason)
        if not system.halted:
            raise Conflict("Nothing is halted as a whole; a campaign that is paused is resumed by itself.")
        running = Campaign.objects.filter(status=CampaignStatus.ACTIVE, publish_records__status="queued").distinct()
        _settle_backlog(running.order_by("pk"), backlog, reason)
        return _set(system, "resume", actor, reason, halted=False)


def overdue_everywhere() -> int:
    """How many posts would leave at once if everything ran: those of campaigns that are active themselves."""
    return bounded(under_way(timezone.now(), campaign__status=CampaignStatus.ACTIVE)["overdue"])


def _lock_system(verb: str, actor: Actor, reason: str) -> SystemControl:
    actor.require(SYSTEM_PERMISSION, to=f"{verb} everything")
    written(reason, f"Say why you {verb} everything; everybody will read it.")
    close_gate()
    return SystemControl.objects.select_for_update().get()


def resume_due_campaigns(*, actor: Actor) -> int:
    """Resume what was paused until now; returns how many. Called every minute, killable at any instruction."""
    due = Campaign.objects.filter(
        status=CampaignStatus.PAUSED, halted_at=None, deleted_at=None, resume_at__lte=timezone.now()
    )

    @waiting_at_most("2s")  # behind a gate that is closed: the clock gives way to operators
    def resume(*, campaign: Campaign) -> bool:
        close_gate(campaign.pk)
        if not due.select_for_update().filter(pk=campaign.pk).exists():
            return False  # halted, or paused anew, a moment ago
        reason = "The pause ended at the time it was given."
        # Nobody is there to be asked; spread, they neither flood nor get lost.
        resume_campaign(campaign_id=campaign.pk, actor=actor, reason=reason, backlog=Backlog.SPREAD)
        return True

    return one_by_one(due, lambda campaign: resume(campaign=campaign), actor)
