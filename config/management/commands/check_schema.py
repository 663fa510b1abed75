"""`check_schema`: is the schema what the migrations made, or has somebody changed it by hand?"""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection

from config import schema_fingerprint
from config.management.commands.migrate import require_owner
from config.schema_fingerprint import Difference


class Command(BaseCommand):
    help = (
        "Compare the schema with what the last migrate left, and name what differs. Exits with 1 when something does."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--accept", action="store_true", help="what is there now is as it should be (as the owner)")
        parser.add_argument("--json", action="store_true", help="one JSON object instead of sentences")

    def handle(self, *args: Any, **options: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT FROM django_migrations LIMIT 1")  # no schema at all is told as that
        compared = schema_fingerprint.compare()
        if options["json"]:
            told = {
                "fingerprint": compared.fingerprint,
                "alarm": compared.alarm or None,
                "differences": [vars(difference) for difference in compared.differences],
            }
            self.stdout.write(json.dumps(told, indent=2, ensure_ascii=False))
        else:
            for difference in compared.differences:
                self.stdout.write(shown(difference))
        if options["accept"] and compared.differences:
            require_owner()
            schema_fingerprint.accept("migrator")
            self.stderr.write("Accepted: the schema is what it should be.")
        elif compared.alarm:
            raise CommandError(f"The schema {compared.alarm.removesuffix(': run check_schema')}.")
        elif not options["json"]:
            short = compared.fingerprint[: schema_fingerprint.SHOWN_DIGITS]
            self.stdout.write(f"The schema is what the migrations made: {short}.")


def shown(difference: Difference) -> str:
    """The definition as it ought to be is what mends it; the one that is found shows what somebody wanted."""
    lines = [f"{difference}."]
    if difference.expected:
        lines.append(f"  ought to be: {difference.expected.strip()}")
    if difference.found:
        lines.append(f"  is: {difference.found.strip()}")
    return "\n".join(lines)
