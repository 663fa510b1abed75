"""`control halt "Meskel launch" --reason … --as you@example.org`: the emergency switch where no console answers."""

from argparse import ArgumentParser
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from accounts.models import User
from audit.context import Actor
from audit.errors import Invalid, Refused
from campaigns.choices import Backlog, CampaignStatus, CampaignVerb, SystemVerb
from campaigns.models import Campaign, SystemControl
from campaigns.services import control_campaign, halt_everything, resume_everything
from campaigns.services.consequences import Consequence, consequences, consequences_everywhere

STATUS = "status"
VERBS = [STATUS, *CampaignVerb.values]
NAMESAKES = 5  # that are listed


class Command(BaseCommand):
    help = "Say what is halted and paused, or pause, halt, resume, … a campaign or everything. It takes effect at once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("verb", choices=VERBS, metavar="verb", help=", ".join(VERBS))
        parser.add_argument("campaign", nargs="?", help="its name, or its id")
        parser.add_argument("--everything", action="store_true", help="instead of one campaign; halt and resume only")
        parser.add_argument("--reason", default="", help="why; everybody who meets the campaign reads it")
        parser.add_argument("--as", dest="email", metavar="EMAIL", help="who you are; the audit log shows it")
        parser.add_argument("--backlog", default="", choices=Backlog.values, help="at a resume: what is overdue")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self.control(**options)
        except Refused as refusal:
            raise CommandError(refusal.sentence) from None

    def control(
        self, verb: str, campaign: str | None, everything: bool, reason: str, email: str, **options: Any
    ) -> None:
        if verb == STATUS:
            return self.status()
        if everything == bool(campaign):
            raise Invalid("Name one campaign, or say --everything.")
        if everything and verb not in SystemVerb.values:
            raise Invalid(f"There is no {verb} of everything; there is {' and '.join(SystemVerb.values)}.")
        backlog = {"backlog": options["backlog"]} if verb == CampaignVerb.RESUME else {}
        actor = Actor.human(person(email))
        if everything:
            rows = consequences_everywhere(SystemVerb(verb), **backlog)
            (halt_everything if verb == SystemVerb.HALT else resume_everything)(actor=actor, reason=reason, **backlog)
            return self.tell(f"{SystemVerb(verb).label}: everything.", rows)
        one = named(campaign or "")
        rows = consequences(one, CampaignVerb(verb), **backlog)
        changed = control_campaign(CampaignVerb(verb), campaign_id=one.pk, actor=actor, reason=reason, **backlog)
        return self.tell(f"Campaign “{changed}” is {changed.state}.", rows)

    def tell(self, done: str, rows: Sequence[Consequence]) -> None:
        self.stdout.write(done)
        for row in rows:
            self.stdout.write(
                f"  {row.what}: {row.word} ({row.meaning})" if row.meaning else f"  {row.what}: {row.word}"
            )

    def status(self) -> None:
        system = SystemControl.objects.get()
        if system.halted:
            self.stdout.write(f"Everything is halted, since {at(system.controlled_at)}: {system.control_reason}")
        else:
            self.stdout.write("Nothing is halted as a whole.")
        for one in Campaign.objects.filter(status=CampaignStatus.PAUSED, deleted_at=None).order_by("-controlled_at"):
            self.stdout.write(f"{one.pk}  {one}: {one.state}, since {at(one.controlled_at)}: {one.control_reason}")
        active = Campaign.objects.filter(status=CampaignStatus.ACTIVE, deleted_at=None).order_by("name", "pk")
        for one in active:
            self.stdout.write(f"{one.pk}  {one}: {one.state}")


def at(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC" if moment else "its beginning"


def person(email: str | None) -> User:
    """Whoever has the shell could do worse; the name is there for everybody who asks later who did it."""
    if not email:
        raise Invalid("Say who you are: --as and the e-mail address that you sign in with.")
    found: User | None = (
        User.objects.filter(email=email.strip().lower(), is_active=True).first() if email.isprintable() else None
    )
    if found is None:
        raise Invalid(f"Nobody signs in as {email!r}.")
    return found


def named(name: str) -> Campaign:
    try:
        found = Campaign.objects.filter(pk=UUID(name))
    except ValueError:
        found = Campaign.objects.filter(name=name) if name.isprintable() else Campaign.objects.none()
    rows = list(found.filter(deleted_at=None).order_by("pk")[: NAMESAKES + 1])
    if not rows:
        raise Invalid(f"There is no campaign “{name}”; `control status` lists those that run or are paused.")
    if len(rows) > 1:
        told = ", ".join(str(row.pk) for row in rows[:NAMESAKES])
        raise Invalid(f"Several campaigns are called “{name}”; give the id: {told}.")
    return rows[0]
