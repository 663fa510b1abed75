"""Who is signed in where, and the end of it. A session hides its person in what it keeps, so all are looked at."""

from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.models import Session
from django.db import transaction
from django.utils import timezone

from accounts.models import User
from accounts.services.rights import require_over
from audit.choices import EntityType
from audit.context import Actor, acting
from audit.receivers import record


@transaction.atomic
def end_sessions(*, person: User, actor: Actor) -> int:
    """Signed out everywhere, as after a laptop was lost; returns how many sessions that were."""
    require_over(actor, person, to="end somebody's sessions", does="ends the sessions")
    live = Session.objects.filter(expire_date__gt=timezone.now())
    theirs = [session.pk for session in live.iterator() if session.get_decoded().get(SESSION_KEY) == str(person.pk)]
    ended, _ = Session.objects.filter(pk__in=theirs).delete()
    if ended:
        with acting(actor):
            record(EntityType.USER, person.pk, "sign_out", {"sessions": [ended, 0]})
    return ended


def forget_ended_sessions(*, actor: Actor) -> int:
    """Their rows, which nobody can use any more."""
    forgotten, _ = Session.objects.filter(expire_date__lte=timezone.now()).delete()
    return forgotten
