"""What people are told of, how it reaches them, and the time zones they may choose."""

from functools import cache
from zoneinfo import available_timezones

from django.db.models import TextChoices
from django.http import HttpRequest


class NotificationType(TextChoices):
    REVIEW_DUE = "review_due", "reviews due soon"
    REVIEW_OVERDUE = "review_overdue", "reviews overdue"
    PUBLISH_FAILED = "publish_failed", "posts failed"
    PUBLISH_UNKNOWN = "publish_unknown", "posts with an unknown outcome"
    CAMPAIGN_HALTED = "campaign_halted", "campaigns halted"
    ARCHIVE_FAILED = "archive_failed", "archiving failed"


class Channel(TextChoices):
    """How a notification reaches a person; an e-mail is in the console too."""

    NONE = "none", "not at all"
    CONSOLE = "console", "in the console"
    EMAIL = "email", "in the console and by e-mail"


# What can wait until somebody looks stays in the console; the rest leaves it, whoever is there to see.
DEFAULT_CHANNEL = {
    NotificationType.REVIEW_DUE: Channel.CONSOLE,
    NotificationType.REVIEW_OVERDUE: Channel.EMAIL,
    NotificationType.PUBLISH_FAILED: Channel.EMAIL,
    NotificationType.PUBLISH_UNKNOWN: Channel.EMAIL,
    NotificationType.CAMPAIGN_HALTED: Channel.EMAIL,
    NotificationType.ARCHIVE_FAILED: Channel.EMAIL,
}
# Who is told: those who can do something about it. Each notice names the one of these that it is for.
CAN_ACT = {
    NotificationType.REVIEW_DUE: ("content.decide_reviewitem", "content.decide_escalation"),
    NotificationType.REVIEW_OVERDUE: ("content.decide_reviewitem", "content.decide_escalation"),
    NotificationType.PUBLISH_FAILED: ("content.settle_publishrecord",),
    NotificationType.PUBLISH_UNKNOWN: ("content.settle_publishrecord",),
    NotificationType.CAMPAIGN_HALTED: ("campaigns.control_campaign", "campaigns.change_systemcontrol"),
    NotificationType.ARCHIVE_FAILED: ("campaigns.change_systemcontrol",),
}
NOTIFICATION_COLOUR = {
    NotificationType.REVIEW_DUE: "warn",
    NotificationType.REVIEW_OVERDUE: "bad",
    NotificationType.PUBLISH_FAILED: "bad",
    NotificationType.PUBLISH_UNKNOWN: "bad",
    NotificationType.CAMPAIGN_HALTED: "warn",
    NotificationType.ARCHIVE_FAILED: "bad",
}


@cache
def known_zones() -> frozenset[str]:
    """The names that this machine's time zone database knows, such as Africa/Addis_Ababa."""
    return frozenset(available_timezones())


def zone_of_browser(request: HttpRequest) -> str:
    """As console.js has written it down; by https under a name that no other host of the domain can set."""
    return request.COOKIES.get("__Host-zone") or request.COOKIES.get("zone", "")
