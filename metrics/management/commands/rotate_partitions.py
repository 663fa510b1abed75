"""`rotate_partitions`: the months ahead are there. For cron, once a day; `--from 2017-11` prepares a backfill."""

import argparse
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError, ProgrammingError

from audit.heartbeat import heartbeat
from metrics.partitions import LOCK_NOT_AVAILABLE, TABLES, Month, months_ahead, rotate, this_month


def month(text: str) -> Month:
    try:
        return Month.parse(text)
    except ValueError as problem:
        raise argparse.ArgumentTypeError(str(problem)) from None


class Command(BaseCommand):
    help = "Make the months of metric_event and audit_log that are missing, up to six months ahead."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--from", type=month, dest="start", metavar="YYYY-MM", help="the first month that metric events need"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        start = options["start"]
        if start and start > this_month():
            raise CommandError(f"{start} lies in the future: --from names the first month of a backfill.")
        with heartbeat("rotate_partitions") as beat:
            made = made_months(start)
            beat.said = f"Made {len(made)} months." if made else "Every month was there."
        for name in made:
            self.stdout.write(f"Made {name}.")
        for table in TABLES:
            ahead = months_ahead(table, using="migrator")
            self.stdout.write(f"{table.name}: {ahead} months ahead{'.' if made else ', nothing to do.'}")


def made_months(start: Month | None) -> list[str]:
    try:
        return rotate(start=start)
    except ProgrammingError as error:
        if getattr(error.__cause__, "sqlstate", "") != "42501":  # insufficient_privilege
            raise
        raise CommandError(
            "The months belong to the owner of the schema. Set MIGRATOR_DATABASE_URL to a login that owns it. "
            f"PostgreSQL says: {str(error).splitlines()[0]}"
        ) from None
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", "") != LOCK_NOT_AVAILABLE:
            raise
        raise CommandError(f"PostgreSQL did not let the months be made: {error}") from None
