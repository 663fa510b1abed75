"""`restore --to DIR [--at TIME] [--from cold]`: a new home with the data of that moment.

Months of the archive: `restore_metrics`.
"""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from config.backup.cold import Cold
from config.backup.recovery import restore
from config.backup.showing import Bytes, in_sentences
from config.backup.store import Store

FROM: Any = {
    "choices": ("hot", "cold"),
    "default": "hot",
    "help": "cold: out of BACKUP_COLD_URL, as it was when the backup before that moment was made",
}


class Command(BaseCommand):
    help = (
        "Make a new directory with the data as they were at some moment, out of the backups in BACKUP_URL. The server "
        "that was backed up is neither needed nor touched."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--to", type=Path, required=True, metavar="DIR", help="a directory that is new or empty")
        parser.add_argument("--at", metavar="TIME", help="2026-03-01T12:34:56+00:00; without: all that there is")
        parser.add_argument("--from", dest="origin", **FROM)
        parser.add_argument("--json", action="store_true", help="one JSON object instead of sentences")

    def handle(self, *args: Any, **options: Any) -> None:
        at = moment(options["at"]) if options["at"] else None
        with in_sentences(), Bytes("restore") as bar:
            restored = restore(origin(options["origin"]), options["to"], at, bar)
        if options["json"]:
            self.stdout.write(json.dumps({**restored.told(), "start": restored.how_to_start}))
            return
        seconds = restored.seconds_unpacking + restored.seconds_recovering
        last = restored.last_transaction_at
        until = f"up to the transaction of {last.isoformat()}" if last else "as it was when it was made"
        until += (
            f", with the files of {restored.files_until.isoformat()}" if restored.files_until else ", without files"
        )
        self.stdout.write(
            f"The backup {restored.backup.id} was restored to {restored.place}, {until}, in {seconds:.1f} seconds.\n"
            f"Start it with: {restored.how_to_start}"
        )


def origin(name: str) -> Store | Cold:
    return Cold(settings.BACKUP_COLD_URL) if name == "cold" else Store(settings.BACKUP_URL)


def moment(text: str) -> datetime:
    """UTC where no zone is given."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise CommandError(f"--at takes a time such as 2026-03-01T12:34:56+00:00; it is {text!r}.") from None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    if at > datetime.now(UTC):
        raise CommandError("--at must lie in the past.")
    return at
