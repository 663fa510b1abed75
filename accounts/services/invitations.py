"""Ways in that come by e-mail: the invitation of a new person, and the link for a forgotten password.

Nobody chooses a password for somebody else. A link works once, because choosing a password ends it, and for a time.
"""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from threading import Thread

from django.conf import settings
from django.contrib.auth.models import Group
from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.core.mail import EmailMessage
from django.db import transaction
from django.urls import reverse
from django.utils.encoding import force_bytes
from django.utils.http import base36_to_int, urlsafe_base64_encode

from accounts.models import User
from accounts.services.emails import absolute, environment, message
from audit.choices import EntityType
from audit.context import Actor, acting
from audit.errors import Conflict, NotAllowed
from audit.models import AuditLog
from audit.receivers import record

log = logging.getLogger(__name__)

PERMISSION = "accounts.add_user"
INVITE = "invite"


class LinkToken(PasswordResetTokenGenerator):
    """Django's token, with a purpose and a lifetime of its own: a link for one thing opens nothing else."""

    def __init__(self, purpose: str, lifetime: timedelta) -> None:
        super().__init__()
        self.key_salt = f"accounts.{purpose}"
        self.lifetime = lifetime

    def check_token(self, user: User | None, token: str | None) -> bool:
        if not super().check_token(user, token):
            return False
        made = base36_to_int(str(token).partition("-")[0])
        return self._num_seconds(self._now()) - made <= self.lifetime.total_seconds()


invitation_token = LinkToken("invitation", timedelta(days=settings.INVITATION_DAYS))
reset_token = LinkToken("reset", timedelta(hours=settings.RESET_HOURS))


@transaction.atomic
def invite_person(*, email: str, groups: Sequence[Group], actor: Actor, display_name: str = "") -> User:
    """An account without a password. `send_invitation` follows, once this is committed."""
    actor.require(PERMISSION, to="invite people")
    with acting(actor):
        person: User = User.objects.create_user(email, None, display_name=display_name.strip())
        person.groups.set(groups)
    return person


def send_invitation(*, person: User, actor: Actor) -> None:
    """Send the link, the first time or again. Raises OSError when the mail server does not take it."""
    actor.require(PERMISSION, to="invite people")
    if not person.is_active:
        raise NotAllowed(f"The account of {person} is switched off.")
    if not person.is_invited:
        raise Conflict(f"{person} has a password already and can sign in.")
    context = {"person": person, "by": actor.person, "days": settings.INVITATION_DAYS, "link": invitation_link(person)}
    message(person.email, f"You are invited to {environment()}", "accounts/email/invitation.txt", context).send()
    with acting(actor):
        record(EntityType.USER, person.pk, INVITE, {"invitation": [None, "sent"]})


def invited_at(person: User) -> datetime | None:
    """When the last invitation was sent."""
    rows = AuditLog.objects.filter(entity_type=EntityType.USER, entity_id=str(person.pk), action=INVITE)
    last = rows.order_by("-created_at").first()
    return last.created_at if last else None


def invitation_link(person: User) -> str:
    return _link("join", person, invitation_token)


def _link(page: str, person: User, token: LinkToken) -> str:
    key = urlsafe_base64_encode(force_bytes(person.pk))
    return absolute(reverse(f"admin:{page}", args=[key, token.make_token(person)]))


def send_reset(*, email: str) -> None:
    """A link for a forgotten password, if somebody with a password has this address; the caller is not told.

    The message is written and leaves in a thread of its own, so that the time of the answer does not tell it either.
    """
    person = User.objects.filter(email=email.strip().lower(), is_active=True).first()
    if person is not None and not person.is_invited:
        Thread(target=_send_quietly, args=[person], daemon=True).start()


def _reset_mail(person: User) -> EmailMessage:
    context = {
        "person": person,
        "hours": settings.RESET_HOURS,
        "link": _link("password_reset_confirm", person, reset_token),
    }
    return message(person.email, f"A new password for {environment()}", "accounts/email/reset.txt", context)


def _send_quietly(person: User) -> None:
    try:
        _reset_mail(person).send()
    except Exception:
        log.exception("A link for a forgotten password could not be sent")


@transaction.atomic
def choose_password(*, person: User, password: str, display_name: str | None = None) -> None:
    """Whoever has the link is that person; the link ends with this."""
    with acting(Actor.human(person)):
        if display_name is not None:
            person.display_name = display_name.strip()
        person.set_password(password)
        person.save()
