"""`create_roles`: the database's roles, and what each may do."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import ProgrammingError

from config import roles
from config.management.commands.migrate import require_owner


class Command(BaseCommand):
    help = "Make the roles gatehouse_app, gatehouse_agent and gatehouse_readonly, and grant what each needs."

    def handle(self, *args: Any, **options: Any) -> None:
        require_owner()
        login = settings.DATABASES["default"]
        passwords = {login["USER"]: login["PASSWORD"]} if login["PASSWORD"] else {}
        try:
            made = roles.create("migrator", passwords)
        except ProgrammingError:
            missing = ", ".join(role for role in roles.ROLES if role not in roles.existing("migrator"))
            raise CommandError(
                f"The login of MIGRATOR_DATABASE_URL may not create roles. Ask whoever administers the server for "
                f"{missing} (LOGIN, nothing more), granted to that login WITH SET; then run this again."
            ) from None
        roles.grant("migrator")
        self.stdout.write(f"Made {', '.join(made)}." if made else "The roles are there.")
        for role in made:
            if role not in passwords and not settings.EMBEDDED:
                self.stdout.write(f"{role} has no password yet: ALTER ROLE {role} PASSWORD '…';")
