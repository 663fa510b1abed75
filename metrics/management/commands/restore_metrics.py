"""`restore_metrics --month 2026-03`: a month comes back from the archive, beside its table or into it."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from audit.context import Actor
from metrics.management.showing import Showing, in_sentences, month
from metrics.partitions import EVENTS, TABLES
from metrics.services.restore import drop_restored, restore_month

ACTOR = Actor.system("restore_metrics")


class Command(BaseCommand):
    help = (
        "Bring an archived month back: into a table of its own, or with --attach into the one that it left, where it "
        "is open again. Safe to kill and to run again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--month", type=month, required=True, metavar="YYYY-MM")
        parser.add_argument("--table", choices=[table.name for table in TABLES], default=EVENTS.name)
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--attach", action="store_true", help="make it a month of its table again")
        what.add_argument("--drop", action="store_true", help="remove the table beside; the files stay")
        parser.add_argument("--json", action="store_true", help="one JSON object a line instead of sentences")

    def handle(self, *args: Any, **options: Any) -> None:
        (table,) = (table for table in TABLES if table.name == options["table"])
        showing = Showing(self.stdout, as_json=options["json"])
        with in_sentences():
            try:
                if options["drop"]:
                    drop_restored(table=table, month=options["month"], actor=ACTOR, watch=showing)
                else:
                    restore_month(
                        table=table, month=options["month"], actor=ACTOR, attached=options["attach"], watch=showing
                    )
            finally:
                showing.close()
