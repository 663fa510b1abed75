"""All that people are told of, from every room."""

from django.utils import timezone

from accounts.services.notifications import tell_people
from audit.context import Actor
from campaigns.notices import halt_notices
from content.notices import post_notices, review_notices
from metrics.notices import archive_notices


def tell_what_waits(*, actor: Actor) -> int:
    """A step of `run_due`; returns how much of it is news to somebody."""
    now = timezone.now()
    return tell_people([*halt_notices(), *review_notices(now), *post_notices(now), *archive_notices(now)])
