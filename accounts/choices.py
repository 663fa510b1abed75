"""What people are told of, how it reaches them, and the time zones they may choose."""

from functools import cache
from zoneinfo import available_timezones

from django.db.models import TextChoices


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


@cache
def known_zones() -> frozenset[str]:
    """The names that this machine's time zone database knows, such as Africa/Addis_Ababa."""
    return frozenset(available_timezones())
