"""`run_due`: what time must do. For cron, every minute; killable at any instruction, and several at once do no harm."""

import logging
from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError, connection

from audit.context import Actor
from campaigns.services import resume_due_campaigns
from content.services import open_missing_review_items, settle_decisions

log = logging.getLogger(__name__)

ACTOR = Actor.system("run_due")
# What was done, for the report; what is being done, for a failure; and the verb.
STEPS: list[tuple[str, str, Callable[..., int]]] = [
    ("resumed", "resuming campaigns", resume_due_campaigns),
    ("opened for review", "opening review items", open_missing_review_items),
    ("settled", "settling decisions", settle_decisions),
]


class Command(BaseCommand):
    help = "Resume campaigns whose pause is over, put before people what waits for one, settle decisions."

    def handle(self, *args: Any, **options: Any) -> None:
        said, failed = [], []
        for done, doing, step in STEPS:
            try:
                if count := step(actor=ACTOR):
                    said.append(f"{count} {done}")
            except OperationalError as error:  # the database's own words are enough
                log.error("%s failed: %s", doing.capitalize(), str(error).strip().partition("\n")[0])  # noqa: TRY400
                failed.append(doing)
                if not connection.is_usable():
                    connection.close()  # the next step opens another
            except Exception:  # whatever it is, the other steps are still due
                log.exception("%s failed", doing.capitalize())
                failed.append(doing)
        if said:
            self.stdout.write(f"{', '.join(said)}.")
        if failed:
            raise CommandError(f"What failed: {', '.join(failed)}; the lines above say why.")
