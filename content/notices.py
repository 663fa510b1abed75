"""What reviewers and operators are told: reviews that are due or overdue, posts that failed or that nobody knows of.

One notice for each campaign, however many things it tells of; one thing is told, and linked, by its own name. Each kind
costs two queries.
"""

from datetime import datetime, timedelta
from typing import Any

from django.db.models import (
    Case,
    Count,
    DateTimeField,
    Exists,
    ExpressionWrapper,
    F,
    Max,
    Min,
    OuterRef,
    QuerySet,
    TextField,
    Value,
    When,
)
from django.db.models.functions import Cast, Greatest
from django.urls import reverse
from django.utils.http import urlencode

from accounts.choices import NotificationType
from accounts.services.notifications import Notice, quoted
from audit.admin.cells import admin_url
from audit.choices import EntityType
from audit.models import AuditLog
from campaigns.choices import CAMPAIGN_FINAL
from content.choices import Outcome
from content.models import PublishRecord, ReviewItem
from content.publishing_page import failures, part_url, unknown
from content.services.post_control import PERMISSION as SETTLE
from content.services.review import PERMISSION as DECIDE

DECIDE_ESCALATED = "content.decide_escalation"
LAST = 3  # the level that is the Administrators'
SOON = timedelta(hours=1)
FAILED_WITHIN = timedelta(days=7)  # what nobody has cared for so long is left to the list of failures
DUE_SOON = ExpressionWrapper(F("due_at") - SOON, output_field=DateTimeField())  # when it becomes so


def review_notices(now: datetime) -> list[Notice]:
    """What waits again because a decision was taken back is news again."""
    waiting = ReviewItem.objects.open()
    due, late = waiting.filter(due_at__gt=now, due_at__lte=now + SOON), waiting.filter(due_at__lte=now)
    became_due, became_late = Greatest(DUE_SOON, "opened_at", "undone_at"), Greatest("due_at", "undone_at")
    return [
        *_of_reviews(due, NotificationType.REVIEW_DUE, became_due, "due within the hour"),
        *_of_reviews(late, NotificationType.REVIEW_OVERDUE, became_late, "overdue"),
    ]


def _of_reviews(rows: QuerySet[ReviewItem], type: NotificationType, event: Any, is_what: str) -> list[Notice]:
    """Those of the last level apart: other people decide on them."""
    last = Case(When(level__gte=LAST, then=Value(True)), default=Value(False))
    groups = list(
        _by_campaign(rows.annotate(last=last), event, "last").annotate(since=Min("due_at"), until=Max("due_at"))
    )
    single = _single(groups, ReviewItem.objects.select_related("task"))
    notices = []
    for group in groups:
        escalated, campaign = group["last"], quoted(group["campaign__name"])
        if item := single.get(group["key"]):
            title = f"{'The escalated review of ' if escalated else ''}{quoted(item.task)} of {campaign} is {is_what}"
            url = admin_url(item)
        else:
            kind = "escalated reviews" if escalated else "reviews"
            title = f"{group['amount']:,} {kind} of {campaign} are {is_what}"
            level = {"level__gte": LAST} if escalated else {"level__lt": LAST}
            between = {"due_at__gte": group["since"].isoformat(), "due_at__lte": group["until"].isoformat()}
            exactly = urlencode({"campaign": group["campaign_id"], **level, **between})
            url = f"{reverse('admin:content_reviewitem_changelist')}?{exactly}"
        notices.append(
            Notice(
                type=type,
                about=f"{group['campaign_id']}{' escalated' if escalated else ''}",
                permission=DECIDE_ESCALATED if escalated else DECIDE,
                title=title,
                url=url,
                amount=group["amount"],
                happened_at=group["newest"],
                since=group["since"],
            )
        )
    return notices


def post_notices(now: datetime) -> list[Notice]:
    return [
        *_of_posts(
            unknown(),
            NotificationType.PUBLISH_UNKNOWN,
            "unknown",
            one="Nobody knows whether {post} is out",
            many="Nobody knows whether {amount} posts of {campaign} are out",
        ),
        *_of_posts(
            failed(now),
            NotificationType.PUBLISH_FAILED,
            "failures",
            one="{post} failed",
            many="{amount} posts of {campaign} failed",
        ),
    ]


def failed(now: datetime) -> QuerySet[PublishRecord]:
    """Failures that somebody may still mend; not what an operator has looked at and dropped."""
    since = now - FAILED_WITHIN
    dropped = AuditLog.objects.filter(
        entity_type=EntityType.PUBLISH_RECORD,
        entity_id=Cast(OuterRef("pk"), TextField()),
        action=Outcome.DROP,
        created_at__gte=since,
    )
    recent = failures().filter(updated_at__gte=since).exclude(campaign__status__in=CAMPAIGN_FINAL)
    return recent.exclude(Exists(dropped))


def _of_posts(rows: QuerySet[PublishRecord], type: NotificationType, part: str, *, one: str, many: str) -> list[Notice]:
    groups = list(_by_campaign(rows, F("updated_at")))
    single = _single(groups, PublishRecord.objects.select_related("artifact__task"))
    notices = []
    for group in groups:
        campaign = quoted(group["campaign__name"])
        if post := single.get(group["key"]):
            title = one.format(post=f"{quoted(post.artifact.task)} of {campaign} on {post.platform}")
            url = admin_url(post)
        else:
            title = many.format(amount=f"{group['amount']:,}", campaign=campaign)
            url = f"{part_url(part)}?campaign={group['campaign_id']}"
        notices.append(
            Notice(
                type=type,
                about=str(group["campaign_id"]),
                permission=SETTLE,
                title=title,
                url=url,
                amount=group["amount"],
                happened_at=group["newest"],
            )
        )
    return notices


def _by_campaign(rows: QuerySet[Any], event: Any, *more: str) -> QuerySet[Any, Any]:
    """How many, the newest event, and the key of one of them, for each campaign."""
    groups = rows.order_by().values("campaign_id", "campaign__name", *more)
    told: QuerySet[Any, Any] = groups.annotate(amount=Count("pk"), newest=Max(event), key=Min(Cast("pk", TextField())))
    return told


def _single(groups: list[dict[str, Any]], rows: QuerySet[Any]) -> dict[str, Any]:
    """Those that are the only one of their group, by key."""
    keys = [group["key"] for group in groups if group["amount"] == 1]
    return {str(row.pk): row for row in rows.filter(pk__in=keys)} if keys else {}
