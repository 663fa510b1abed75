"""`restore_drill`: proves that the newest backup comes back, and how long that takes. For cron, once a week."""

import json
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from audit.heartbeat import heartbeat
from config.backup.drill import drill, refuse
from config.backup.load import DONE
from config.backup.showing import Bytes, in_sentences
from config.backup.store import Store
from config.management.commands.restore import FROM, moment, origin
from config.management.commands.simulate_fleet import amount


class Command(BaseCommand):
    help = (
        "Restore the newest backup into a temporary directory, start it, look whether it is whole, write down how long "
        "it took and what would have been lost, and remove it. Exits with 1 when something is wrong."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--at", metavar="TIME", help="to this moment: 2026-03-01T12:34:56+00:00")
        parser.add_argument("--from", dest="origin", **FROM)
        parser.add_argument(
            "--load",
            type=amount,
            default=0,
            metavar="SECONDS",
            help="let a simulated fleet work in the copy for so long",
        )
        parser.add_argument("--json", action="store_true", help="one JSON object instead of sentences")

    def handle(self, *args: Any, **options: Any) -> None:
        at = moment(options["at"]) if options["at"] else None
        with in_sentences():
            store = Store(settings.BACKUP_URL)
            with heartbeat("restore_drill") as beat, Bytes("restore") as bar:
                told = drill(origin(options["origin"]), at, bar, options["load"])
                receipt = store.note_drill(told)
                if options["json"]:
                    self.stdout.write(json.dumps(told))
                refuse(told)
                beat.said = (
                    f"The backup {told['backup']} served after {told['seconds_until_it_serves']} seconds; "
                    f"{told['seconds_lost']} seconds of work would have been lost."
                )
        if not options["json"]:
            if work := told["load"]:
                done = ", ".join(f"{work[name]} {name}" for name in DONE)
                self.stdout.write(
                    f"The console answered {work['seconds_until_it_answered']} s later; the fleet: {done}."
                )
            self.stdout.write(f"{beat.said} All checks passed; {receipt} has the figures.")
