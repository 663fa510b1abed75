"""`backup`: a base backup into BACKUP_URL, the old ones removed, the week's cold copy. For cron, once a night."""

import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyrage
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit.heartbeat import heartbeat
from audit.models import CronJob
from config.backup import base
from config.backup.cold import Cold
from config.backup.showing import Bytes, in_sentences
from config.backup.store import Store
from config.backup.wal import for_us_alone
from config.management.commands.backup_files import copy_files, copying, files_told


class Command(BaseCommand):
    help = (
        "Make a base backup of the whole cluster, compressed, encrypted and read back; remove those that are older "
        "than BACKUP_DAYS. Copy what is new of the files beside it, and once a week all of it to BACKUP_COLD_URL. "
        "Safe to kill and to run again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="the receipt as one JSON object")
        parser.add_argument(
            "--new-key", type=Path, metavar="FILE", help="only make a pair of keys: the secret one goes into FILE"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        with in_sentences():
            if options["new_key"]:
                self.stdout.write(new_key(options["new_key"]))
                return
            store = Store(settings.BACKUP_URL)
            with heartbeat("backup") as beat, store.locked():
                left = store.remove_leftovers()
                with Bytes("backup") as bar:
                    receipt = base.take(store, bar)
                with copying(store, wait=True), Bytes("files") as bar:
                    copied = copy_files(store, bar)
                note_drill(store)
                removed = store.prune(settings.BACKUP_DAYS, datetime.now(UTC))
                seconds = (receipt.ended_at - receipt.began_at).total_seconds()
                beat.said = f"Backed up {receipt.bytes_unpacked:,} bytes as {receipt.id} in {seconds:.1f} seconds."
                beat.said += f" {files_told(copied)}"
                if settings.BACKUP_COLD_URL:
                    with Bytes("cold copy") as bar:
                        cold = Cold(settings.BACKUP_COLD_URL)
                        removed += cold.keep(store, settings.BACKUP_COLD_DAYS, datetime.now(UTC), bar)
        if options["json"]:
            told = {
                **asdict(receipt),
                "files": asdict(copied),
                "seconds": seconds,
                "removed": removed,
                "leftovers_removed": left,
            }
            self.stdout.write(json.dumps(told, default=lambda value: value.isoformat()))
            return
        self.stdout.write(f"{beat.said} It takes {receipt.bytes:,} bytes in {store.base}.")
        if removed:
            self.stdout.write(f"{len(removed)} that were too old were removed.")


def note_drill(store: Store) -> None:
    """Drills run on other machines, which have no login here: their heartbeat comes with the next backup."""
    told = store.last_drill()
    if told is None or CronJob.objects.filter(name="restore_drill", started_at__gte=told["began_at"]).exists():
        return
    began = datetime.fromisoformat(told["began_at"])
    said = "; ".join(told["faults"]) or (
        f"The backup {told['backup']} served after {told['seconds_until_it_serves']} seconds."
    )
    end = {"failed_at" if told["faults"] else "succeeded_at": began + timedelta(seconds=told["seconds"])}
    CronJob.objects.update_or_create(name="restore_drill", defaults={"started_at": began, "said": said, **end})


def new_key(path: Path) -> str:
    """The public key; the secret one is in a file that only its owner reads, and that was not there before."""
    identity = pyrage.x25519.Identity.generate()
    try:
        with open(path, "x", opener=for_us_alone) as file:
            file.write(f"# public key: {identity.to_public()}\n{identity}\n")
    except OSError as error:
        raise CommandError(f"{path} cannot be made ({(error.strerror or '').lower()}).") from None
    return str(identity.to_public())
