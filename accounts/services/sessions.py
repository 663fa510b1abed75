"""Who is signed in where, and the end of it. A session hides its person in what it keeps, so all are looked at."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.models import Session
from django.db import transaction
from django.utils import timezone

from accounts.models import User
from accounts.services.rights import require_over
from audit.choices import EntityType
from audit.context import Actor, acting
from audit.receivers import record

# As they name themselves, those first that claim to be others too.
BROWSERS = {"Edg": "Edge", "OPR": "Opera", "Firefox": "Firefox", "Chrom": "Chrome", "Safari": "Safari"}
SYSTEMS = {"Android": "Android", "iPhone": "iPhone", "Mac OS": "macOS", "Windows": "Windows", "Linux": "Linux"}


@dataclass(frozen=True)
class OpenSession:
    """One browser in which somebody is signed in; what is not known of it is empty."""

    key: str
    began: datetime | None
    seen: datetime | None
    address: str
    browser: str


def open_sessions(person: User) -> list[OpenSession]:
    """Where somebody is signed in, the one that was used last first."""
    found = [
        OpenSession(key, _moment(kept.get("began")), _moment(kept.get("seen")), kept.get("address", ""), _browser(kept))
        for key, kept in _of(person)
    ]
    return sorted(found, key=lambda one: one.seen or datetime.min.replace(tzinfo=UTC), reverse=True)


@transaction.atomic
def end_sessions(*, person: User, actor: Actor, but: str | None = None) -> int:
    """Signed out everywhere, as after a laptop was lost; returns how many sessions that were.

    Their own, everybody ends; `but` is the key of the one that stays, from which they do it.
    """
    if actor.person != person:
        require_over(actor, person, to="end somebody's sessions", does="ends the sessions")
    theirs = [key for key, _ in _of(person) if key != but]
    ended, _ = Session.objects.filter(pk__in=theirs).delete()
    if ended:
        with acting(actor):
            left = 1 if but else 0
            record(EntityType.USER, person.pk, "sign_out", {"sessions": [ended + left, left]})
    return ended


def forget_ended_sessions(*, actor: Actor) -> int:
    """Their rows, which nobody can use any more."""
    forgotten, _ = Session.objects.filter(expire_date__lte=timezone.now()).delete()
    return forgotten


def _of(person: User) -> Iterator[tuple[str, dict[str, Any]]]:
    for session in Session.objects.filter(expire_date__gt=timezone.now()).iterator():
        if (kept := session.get_decoded()).get(SESSION_KEY) == str(person.pk):
            yield session.pk, kept


def _moment(seconds: float | None) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds is not None else None


def _browser(kept: dict[str, Any]) -> str:
    """`Firefox on Linux`: enough to know one's own again."""
    told = kept.get("browser", "")
    names = (next((shown for word, shown in known.items() if word in told), "") for known in (BROWSERS, SYSTEMS))
    return " on ".join(filter(None, names))
