"""`run_due`: what time must do. For cron, every minute; killable at any instruction, and several at once do no harm."""

import logging
from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError, connection

from accounts.services.notification_emails import send_notifications
from accounts.services.sessions import forget_ended_sessions
from agents.services import purge_idempotency_keys
from audit.context import Actor
from audit.heartbeat import heartbeat
from campaigns.services import fail_expired_tasks, resume_due_campaigns
from config.notices import tell_what_waits
from content.services import (
    ask_people_for_judges,
    follow_decisions,
    hold_expired_posts,
    mark_overdue_items,
    settle_decisions,
)

log = logging.getLogger(__name__)

ACTOR = Actor.system("run_due")
# What was done, for the report; what is being done, for a failure; and the verb.
STEPS: list[tuple[str, str, Callable[..., int]]] = [
    ("campaigns resumed", "resuming campaigns", resume_due_campaigns),
    ("tasks of silent workers failed", "failing tasks with lost leases", fail_expired_tasks),
    ("posts of silent publishers held", "holding posts with lost leases", hold_expired_posts),
    ("decisions of judges followed", "following decisions of judges", follow_decisions),
    ("put before people for want of a judge", "asking people for judges", ask_people_for_judges),
    ("reviews found overdue", "marking what is overdue", mark_overdue_items),
    ("decisions settled", "settling decisions", settle_decisions),
    ("old answers forgotten", "forgetting old answers", purge_idempotency_keys),
    ("ended sessions forgotten", "forgetting ended sessions", forget_ended_sessions),
    ("notifications made", "telling people what waits", tell_what_waits),
    ("e-mails sent", "sending e-mails", send_notifications),  # last: a mail server may take its time
]


class Command(BaseCommand):
    help = (
        "Do what time must do: lost leases, ended pauses, overdue reviews, decisions that take effect, old answers; "
        "and tell people what waits for them."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        with heartbeat("run_due") as beat:
            said, failed = do_all()
            done = f"{', '.join(said)}." if said else ""
            beat.said = done or "Nothing was due."
            if done:
                self.stdout.write(done)
            if failed:
                beat.said = f"What failed: {', '.join(failed)}. {done}".strip()
                raise CommandError(f"What failed: {', '.join(failed)}; the lines above say why.")


def do_all() -> tuple[list[str], list[str]]:
    """What was done, and what failed: every step is tried, whatever became of the others."""
    said, failed = [], []
    for done, doing, step in STEPS:
        try:
            if count := step(actor=ACTOR):
                said.append(f"{done}: {count}")
        except (OperationalError, OSError) as error:  # the database's or the mail server's own words are enough
            log.error("%s failed: %s", doing.capitalize(), str(error).strip().partition("\n")[0])  # noqa: TRY400
            failed.append(doing)
            if not connection.is_usable():
                connection.close()  # the next step opens another
        except Exception:  # whatever it is, the other steps are still due
            log.exception("%s failed", doing.capitalize())
            failed.append(doing)
    return said, failed
