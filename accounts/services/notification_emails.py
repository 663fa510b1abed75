"""The e-mails that tell people of their notifications: one to each person, whatever it lists."""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from smtplib import SMTPRecipientsRefused
from typing import Any

from django.core.mail import get_connection
from django.db import transaction
from django.db.models import F, Q
from django.urls import reverse
from django.utils import timezone

from accounts.choices import Channel
from accounts.models import Notification
from accounts.services.emails import absolute, message
from accounts.services.notifications import alone, sentence, short
from audit.context import Actor

log = logging.getLogger(__name__)

AGAIN_AFTER = timedelta(hours=1)  # a row that was sent and goes on growing is sent again no sooner
LONGEST_SUBJECT = 120  # characters


def send_notifications(*, actor: Actor) -> int:
    """One e-mail to each person who has something new and wants it by e-mail; returns how many were sent.

    Killed between sending and marking, it sends once more: told twice is better than not at all. A mail server that
    does not answer ends the step (OSError), and the next run tries again; an address that it refuses does not.
    """
    people = {row.user_id for row in _unsent(timezone.now()) if row.user.channel(row.type) == Channel.EMAIL}
    if not people:
        return 0
    with get_connection() as server:
        return sum(_send(person, server) for person in sorted(people))


def _unsent(now: datetime, person: Any = None) -> list[Notification]:
    again = Q(emailed_at__lt=F("happened_at")) & Q(emailed_at__lt=now - AGAIN_AFTER)
    rows = Notification.objects.filter(Q(emailed_at=None) | again, is_read=False, user__is_active=True)
    if person is not None:
        rows = rows.filter(user=person)
    return list(rows.select_related("user").order_by("happened_at", "notification_id"))


@transaction.atomic
def _send(person: Any, server: Any) -> int:
    """In a transaction of its own, which holds no row while the mail server takes its time."""
    now = timezone.now()
    if not alone(f"gatehouse.emails.{person}"):
        return 0
    rows = [row for row in _unsent(now, person) if row.user.channel(row.type) == Channel.EMAIL]
    if not rows:
        return 0
    sent = _deliver(rows, now, server)
    Notification.objects.filter(pk__in=[row.pk for row in rows]).update(emailed_at=now)
    return sent


def _deliver(rows: Sequence[Notification], now: datetime, server: Any) -> int:
    person = rows[0].user
    told = [(sentence(row, now), absolute(reverse("admin:notification", args=[row.pk]))) for row in rows]
    subject = f"{len(told)} things that you may have to act on"
    if len(told) == 1:
        subject = short(told[0][0], LONGEST_SUBJECT)
    context = {"person": person, "told": told, "you": absolute(reverse("admin:you"))}
    mail = message(person.email, subject, "accounts/email/notifications.txt", context)
    try:
        server.send_messages([mail])
    except SMTPRecipientsRefused:
        log.warning("The mail server does not take %s; nothing is sent there until something new happens.", person.pk)
        return 0
    return 1
