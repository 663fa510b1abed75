"""Whose token this is."""

from datetime import timedelta

from django.db.models import Q
from django.utils import timezone

from agents.models import ApiToken
from agents.services import token_hash

SEEN_EVERY = timedelta(minutes=1)


class BadToken(Exception):
    """Nobody is let in with this; the text is a sentence for who tried."""


def authenticate(token: str) -> ApiToken:
    """The token's row with its agent, marked as seen. Raises BadToken."""
    row = ApiToken.objects.select_related("agent").filter(token_sha256=token_hash(token)).first()
    now = timezone.now()
    if row is None:
        raise BadToken("Nobody here knows this token.")
    if row.revoked_at is not None:
        raise BadToken(f"The token “{row.name}” was revoked.")
    if row.expires_at is not None and row.expires_at <= now:
        raise BadToken(f"The token “{row.name}” has expired.")
    if row.last_used_at is None or row.last_used_at < now - SEEN_EVERY:
        # Not worth an audit row. Of many requests at once, the first writes.
        unseen = Q(last_used_at=None) | Q(last_used_at__lt=now - SEEN_EVERY)
        ApiToken._base_manager.filter(unseen, pk=row.pk).update(last_used_at=now)
    return row
