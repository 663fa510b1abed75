"""`rotate_token gh_4kXw2Qa9L`: a new token in the place of one, printed alone on stdout, once."""

import re
from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from agents.management.commands.create_token import lasting, moment
from agents.models import ApiToken
from agents.services import OVERLAP, rotate_token
from audit.context import Actor
from audit.errors import Invalid, Refused

ACTOR = Actor.system("rotate_token")
UNITS = {"m": "minutes", "h": "hours", "d": "days"}


class Command(BaseCommand):
    help = "Make a new token in the place of one, which lives on for a while. The new one alone goes to stdout."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("prefix", help="its first characters, as the console and the audit log show them")
        parser.add_argument(
            "--overlap", metavar="24h", help="how long the old one works on: 30m, 24h, 7d, or 0 where it has leaked"
        )
        parser.add_argument(
            "--expires",
            metavar="90d|2027-01-31",
            help="when the new one ends; otherwise it lives for as long as the old one was made for",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            old, new, text = rotate_token(
                token_id=named(options["prefix"]).pk,
                overlap=span(options["overlap"]),
                expires_at=moment(options["expires"]),
                actor=ACTOR,
            )
        except Refused as refusal:
            raise CommandError(refusal.sentence) from None
        self.stdout.write(text)
        end = "is revoked" if old.revoked_at else f"works until {old.expires_at:%Y-%m-%d %H:%M} UTC"
        seen = f"{old.last_used_at:%Y-%m-%d %H:%M} UTC" if old.last_used_at else "never"
        said = f"Made “{new}”, which {lasting(new)}. “{old}” {end}; it was last used: {seen}. Nothing is shown again."
        self.stderr.write(said, str)  # in the colour of words, and not of errors


def named(prefix: str) -> ApiToken:
    """The one token that works and begins like this. A whole token is not wanted here: commands are seen by others."""
    valid = ApiToken.objects.filter(revoked_at=None).exclude(expires_at__lte=timezone.now())
    found = list(valid.filter(prefix=prefix)[:2]) if prefix.isprintable() else []
    if len(found) != 1:
        raise Invalid("No token that works, or more than one, begins like that: write its first 12 characters.")
    return found[0]


def span(text: str | None) -> timedelta:
    if text is None:
        return OVERLAP
    if text == "0":
        return timedelta(0)
    if told := re.fullmatch(r"(\d{1,5})([mhd])", text):
        return timedelta(**{UNITS[told[2]]: int(told[1])})
    raise Invalid(f"--overlap is written like 30m, 24h, 7d or 0; {text!r} is none of them.")
