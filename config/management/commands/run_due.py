"""`run_due`: what time must do. For cron, every minute; killable at any instruction, and several at once do no harm."""

from typing import Any

from django.core.management.base import BaseCommand

from audit.context import Actor
from campaigns.services import resume_due_campaigns
from content.services import open_missing_review_items, settle_decisions

ACTOR = Actor.system("run_due")


class Command(BaseCommand):
    help = "Resume campaigns whose pause is over, put before people what waits for one, settle decisions."

    def handle(self, *args: Any, **options: Any) -> None:
        done = {
            "resumed": resume_due_campaigns(actor=ACTOR),
            "opened for review": open_missing_review_items(actor=ACTOR),
            "settled": settle_decisions(actor=ACTOR),
        }
        if said := ", ".join(f"{count} {what}" for what, count in done.items() if count):
            self.stdout.write(f"{said}.")
