"""`load_demo`: a small fleet to look at. Only into an empty console."""

import secrets
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.models import User
from config import demo


class Command(BaseCommand):
    help = "Load a small, believable demo and print the login. Refused where people work already."

    def handle(self, *args: Any, **options: Any) -> str:
        if User.objects.exists():
            raise CommandError("There are people here already; the demo is for an empty console.")
        password = secrets.token_urlsafe(9)
        demo.load(password)
        names = ", ".join(email.split("@")[0] for email in demo.PEOPLE)
        return f"Sign in as admin@example.org with the password {password} (also: {names} @example.org)."
