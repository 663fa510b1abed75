"""`create_token NAME --role worker`: a token for a program, printed alone on stdout, once."""

import re
from argparse import ArgumentParser
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from agents.choices import TokenRole
from agents.models import Agent, ApiToken
from agents.services import create_token
from audit.context import Actor
from audit.errors import Invalid, Refused

ACTOR = Actor.system("create_token")


class Command(BaseCommand):
    help = "Make a token for the API. It alone goes to stdout, so that a script can take it; it is never shown again."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="what will carry it; the audit log shows this name")
        parser.add_argument("--role", required=True, help=", ".join(TokenRole.values))
        parser.add_argument("--agent", help="the one agent that it may act as; a judge's token needs one")
        parser.add_argument(
            "--expires", metavar="90d|2027-01-31", help="after so many days, or as that day begins (UTC)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            token, text = create_token(
                name=options["name"],
                role=options["role"],
                agent=agent_named(options["agent"]),
                expires_at=moment(options["expires"]),
                actor=ACTOR,
            )
        except Refused as refusal:
            raise CommandError(refusal.sentence) from None
        self.stdout.write(text)
        bound = f"acts as {token.agent_id} alone" if token.agent_id else "is bound to no agent"
        said = f"Made “{token}” for the role {token.role}; it {bound} and {lasting(token)}. It is not shown again."
        self.stderr.write(said, str)  # in the colour of words, and not of errors


def agent_named(name: str | None) -> Agent | None:
    if name is None:
        return None
    agent = Agent.objects.filter(pk=name).first() if name.isprintable() else None
    if agent is None:
        raise Invalid(f"There is no agent “{name}”.")
    return agent


def lasting(token: ApiToken) -> str:
    return f"expires {token.expires_at:%Y-%m-%d %H:%M} UTC" if token.expires_at else "never expires"


def moment(text: str | None) -> datetime | None:
    """`90d` or `2027-01-31`."""
    if text is None:
        return None
    if days := re.fullmatch(r"(\d{1,5})d", text):
        return timezone.now() + timedelta(days=int(days[1]))
    try:
        return datetime.combine(date.fromisoformat(text), time.min, UTC)
    except ValueError:
        raise Invalid(f"--expires is written like 90d or 2027-01-31; {text!r} is neither.") from None
