"""`rotate_partitions`: the months ahead are there. For cron, once a day; `--from 2017-11` prepares a backfill."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit.heartbeat import heartbeat
from metrics.management.showing import in_sentences, month
from metrics.partitions import EVENTS, TABLES, PartitionedTable, gaps, months_ahead, rotate, this_month

MOST_NAMED = 12  # months of a gap


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
        with heartbeat("rotate_partitions") as beat, in_sentences():
            made = rotate(start=start, tell=lambda line: self.stderr.write(line))
            missing = [_missing(table) for table in TABLES if gaps(table, using="migrator")]
            beat.said = " ".join([f"Made {len(made)} months." if made else "Every month was there.", *missing])
        for name in made:
            self.stdout.write(f"Made {name}.")
        for table in TABLES:
            ahead = months_ahead(table, using="migrator")
            self.stdout.write(f"{table.name}: {ahead} months ahead{'.' if made else ', nothing to do.'}")
        for sentence in missing:
            self.stderr.write(sentence)


def _missing(table: PartitionedTable) -> str:
    """Months in the midst of others that nobody archived: somebody has removed them, or left them out."""
    found = gaps(table, using="migrator")
    named = ", ".join(map(str, found[:MOST_NAMED])) + (" and more" if len(found) > MOST_NAMED else "")
    mend = f"; rotate_partitions --from {found[0]} makes them" if table is EVENTS else ""
    return f"{table.name} has gaps: {named}{mend}."
