"""`verify_archives`: every file of every receipt is read again and compared with what its receipt says. For cron."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit.context import Actor
from audit.heartbeat import heartbeat
from metrics.management.showing import Showing, add_which, in_sentences, month
from metrics.services.verify import verify_archives

ACTOR = Actor.system("verify_archives")


class Command(BaseCommand):
    help = "Read every file of the archive again: is it there, is it whole, does it hold what its receipt says?"

    def add_arguments(self, parser: CommandParser) -> None:
        add_which(parser)
        parser.add_argument("--month", type=month, metavar="YYYY-MM", help="only this month")

    def handle(self, *args: Any, **options: Any) -> None:
        showing = Showing(self.stdout, as_json=options["json"])
        with in_sentences(), heartbeat("verify_archives") as beat:
            try:
                whole, problems = verify_archives(
                    table=options["table"], month=options["month"], actor=ACTOR, watch=showing
                )
            finally:
                showing.close()
            if problems:
                raise CommandError(f"{len(problems)} of {whole + len(problems)} archives are not whole. {problems[0]}")
            beat.said = f"{whole} archives are whole."
            if not showing.as_json:
                self.stdout.write(beat.said)
