"""`archive_metrics`: months older than their retention leave PostgreSQL for the archive. For cron, once a day."""

from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from audit.context import Actor
from audit.errors import Refused
from audit.heartbeat import heartbeat
from metrics.management.showing import Showing, add_which, in_sentences, month, sentence_of, tables
from metrics.models import MetricArchive
from metrics.partitions import Month, PartitionedTable, leaves, months_to_archive
from metrics.services.archive import archive_month, estimated_rows, has_rows
from metrics.services.archive_receipts import Busy, due
from metrics.services.archive_store import StoreProblem

ACTOR = Actor.system("archive_metrics")
USING = "migrator"


class Command(BaseCommand):
    help = (
        "Move months that are older than their retention into the archive: closed, exported, read back and compared, "
        "detached, dropped. Safe to kill and to run again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        add_which(parser)
        which = parser.add_mutually_exclusive_group()
        which.add_argument("--month", type=month, metavar="YYYY-MM", help="this month, whatever its age")
        which.add_argument("--older-than", type=int, metavar="DAYS", help="instead of the retention of the settings")
        parser.add_argument("--dry-run", action="store_true", help="only say what would be done")

    def handle(self, *args: Any, **options: Any) -> None:
        days = options["older_than"]
        if days is not None and days < 0:
            raise CommandError("--older-than takes a number of days, 0 or more.")
        self.showing = Showing(self.stdout, as_json=options["json"])
        with in_sentences():
            if options["dry_run"]:
                for table, each in self.due(options):
                    rows = estimated_rows(table, each)
                    self.showing.done(f"{table.name} {each}", "would", rows=rows)
                return
            with heartbeat("archive_metrics") as beat:
                beat.said = self.archive(self.due(options))

    def archive(self, due: list[tuple[PartitionedTable, Month]]) -> str:
        """Each month for itself: one that cannot leave keeps no other from leaving, unless the store is at fault."""
        moved, problems = 0, []
        for table, each in due:
            try:
                receipt = archive_month(table=table, month=each, actor=ACTOR, watch=self.showing)
                moved += receipt is not None
            except Busy as busy:
                self.showing.done(f"{table.name} {each}", "left", why=busy.sentence)
            except StoreProblem:
                raise
            except (Refused, DatabaseError) as error:
                problem = error.sentence if isinstance(error, Refused) else sentence_of(error)
                self.showing.done(f"{table.name} {each}", "problem", problem=problem)
                problems.append(problem)
            finally:
                self.showing.close()
        if problems:
            raise CommandError(f"{len(problems)} of {len(due)} months could not be archived. {problems[0]}")
        said = f"Archived {moved} {'month' if moved == 1 else 'months'}." if moved else "No month was due."
        if not self.showing.as_json:
            self.stdout.write(said)
        return said

    def due(self, options: dict[str, Any]) -> list[tuple[PartitionedTable, Month]]:
        """What was named, or else what is old enough; and first whatever an earlier run has left half way."""
        named: Month | None = options["month"]
        if named and named.plus(1).start > datetime.now(UTC):
            raise CommandError(f"{named} is not over yet.")
        return [(table, each) for table in tables(options["table"]) for each in self._months(table, named, options)]

    def _months(self, table: PartitionedTable, named: Month | None, options: dict[str, Any]) -> list[Month]:
        now = datetime.now(UTC)
        receipts = list(MetricArchive.objects.using(USING).filter(table_name=table.name))
        unfinished = due(receipts, [], now)
        if named:
            # A table whose months stay for ever gives one away only where it is named.
            meant = table.retention_days or options["table"]
            return (
                [named]
                if meant and (named in leaves(table, using=USING) or named in unfinished)
                else self._none(table, named, bool(options["table"]))
            )
        days = table.retention_days if options["older_than"] is None else options["older_than"]
        if not days and not (options["older_than"] is not None and options["table"]):
            return unfinished
        old = [each for each in months_to_archive(table, days, using=USING) if has_rows(table, each)]
        return due(receipts, old, now)

    def _none(self, table: PartitionedTable, named: Month, sure: bool) -> list[Month]:
        archived = MetricArchive.objects.using(USING).filter(table_name=table.name, range_start=named.start).exists()
        if archived:
            self.showing.done(f"{table.name} {named}", "left", why="it is archived already")
        elif sure:
            raise CommandError(f"There is no month {named} of {table.name} in PostgreSQL.")
        return []
