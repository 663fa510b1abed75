"""Where a post stands, in words: what keeps it from leaving, and why; the same on every page that shows one."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone

from audit.admin.cells import clock, duration
from audit.admin.entries import read
from audit.choices import EntityType
from audit.models import AuditLog
from campaigns.choices import CampaignStatus, TaskStatus
from campaigns.models import Campaign, SystemControl
from content.choices import Hold, PublishStatus, ReviewerType
from content.models import PublishRecord
from content.services.policy import undo_time

UNASKED_AFTER = timedelta(minutes=15)  # in which a publisher that is at work has asked for what is due


@dataclass(frozen=True)
class Standing:
    """One thing to say of a post: a few words with their colour, and why."""

    words: str
    colour: str = "neutral"
    why: str = ""


def standing(post: PublishRecord, system: SystemControl, reason: str = "") -> list[Standing]:
    """What is to say of a post; of one that is queued, everything that keeps it. `reason` is why somebody holds it.

    Reads `campaign`, `decision` and `artifact.task`: put them into `select_related`.
    """
    now = timezone.now()
    if post.status == PublishStatus.PUBLISHED:
        return [Standing("published", "good")]
    if post.status == PublishStatus.FAILED:
        return [Standing("failed" if post.claimed_at else "dropped", "bad", post.error or "")]
    if post.hold == Hold.OUTCOME_UNKNOWN:
        return [Standing("outcome unknown", "bad", post.error or "")]
    if post.lease_expires_at is not None:
        until = f"until {clock(post.lease_expires_at)}" if post.lease_expires_at > now else "its lease has ended"
        return [Standing("with a publisher", "info", until)]
    kept = [*_holds(post, system, reason), *_waits(post, now), *_campaign(post.campaign, now)]
    return kept or [_leaving(post, now)]


def _holds(post: PublishRecord, system: SystemControl, reason: str) -> list[Standing]:
    told = []
    if system.halted:
        told.append(Standing("everything is halted", "bad", system.control_reason or ""))
    if post.hold:
        told.append(Standing(str(post.get_hold_display()), "warn", reason))
    return told


def _waits(post: PublishRecord, now: datetime) -> list[Standing]:
    """What has not happened yet: an approval for good, of everything that belongs to it."""
    decision, task = post.decision, post.artifact.task
    if decision is None:
        return [Standing("nobody has approved it", "bad", "it is never handed out")]
    if task.status == TaskStatus.REVIEW:
        until = decision.created_at + undo_time()
        if decision.reviewer_type == ReviewerType.HUMAN and now < until:
            return [Standing("can still be taken back", "neutral", f"until {clock(until)}")]
        return [Standing("waits for the other parts of its task", "neutral")]
    if task.status != TaskStatus.DONE:
        return [Standing(f"its task is {task.get_status_display()}", "bad", task.error or "")]
    return []


def _campaign(campaign: Campaign, now: datetime) -> list[Standing]:
    if campaign.status != CampaignStatus.ACTIVE:
        colour = "bad" if campaign.halted_at or campaign.status == CampaignStatus.STOPPED else "warn"
        return [Standing(f"campaign {campaign.state}", colour, campaign.control_reason or "")]
    if campaign.start_time and campaign.start_time > now:
        return [Standing(f"campaign begins in {duration(campaign.start_time - now)}")]
    if campaign.end_time and campaign.end_time <= now:
        return [Standing(f"campaign ended {duration(now - campaign.end_time)} ago", "warn", "its time window is over")]
    return []


def _leaving(post: PublishRecord, now: datetime) -> Standing:
    due = post.scheduled_for or post.created_at
    if due > now:
        return Standing(f"leaves in {duration(due - now)}", "good")
    if now - due > UNASKED_AFTER:
        return Standing("no publisher asks for it", "warn", f"due for {duration(now - due)}")
    return Standing("may leave now", "good", "waits for a publisher")


def reasons_of_holds(posts: Iterable[PublishRecord], person: object) -> dict[object, str]:
    """“why” and who, for those that an operator holds; from the log, in a fixed number of queries."""
    held = {str(post.pk): post.pk for post in posts if post.hold == Hold.OPERATOR}
    if not held:
        return {}
    rows = AuditLog.objects.filter(
        entity_type=EntityType.PUBLISH_RECORD, entity_id__in=held, action="hold", output_summary__isnull=False
    )
    newest = {row.entity_id: row for row in rows.order_by("created_at")}
    entries = read(list(newest.values()), person)
    return {held[entry.row.entity_id]: f"“{entry.row.output_summary}” {entry.actor}" for entry in entries}
