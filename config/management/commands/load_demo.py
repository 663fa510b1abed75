"""`load_demo`: a small fleet to look at. Only into an empty console."""

import secrets
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.models import User
from config import demo


class Command(BaseCommand):
    help = "Load a small, believable demo and print the login. Refused where people work already."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--password", default="", help="of everybody in the demo; made up when it is not given")

    def handle(self, *args: Any, **options: Any) -> str:
        if User.objects.exists():
            raise CommandError("There are people here already; the demo is for an empty console.")
        password = options["password"] or secrets.token_urlsafe(9)
        demo.load(password)
        return demo.login(password)
