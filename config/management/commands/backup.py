"""`backup`: a base backup into BACKUP_URL, and the old ones removed. For cron, once a night."""

import json
import os
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyrage
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit.heartbeat import heartbeat
from config.backup import base
from config.backup.showing import Bytes, in_sentences
from config.backup.store import Store


class Command(BaseCommand):
    help = (
        "Make a base backup of the whole cluster, compressed, encrypted and read back; remove those that are older "
        "than BACKUP_DAYS. Safe to kill and to run again."
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
                removed = store.prune(settings.BACKUP_DAYS, datetime.now(UTC))
                seconds = (receipt.ended_at - receipt.began_at).total_seconds()
                beat.said = f"Backed up {receipt.bytes_unpacked:,} bytes as {receipt.id} in {seconds:.1f} seconds."
        if options["json"]:
            told = {**asdict(receipt), "seconds": seconds, "removed": removed, "leftovers_removed": left}
            self.stdout.write(json.dumps(told, default=lambda value: value.isoformat()))
            return
        self.stdout.write(f"{beat.said} It takes {receipt.bytes:,} bytes in {store.base}.")
        if removed:
            self.stdout.write(f"{len(removed)} older than {settings.BACKUP_DAYS} days were removed.")


def new_key(path: Path) -> str:
    """The public key; the secret one is in a file that only its owner reads, and that was not there before."""
    identity = pyrage.x25519.Identity.generate()
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(f"# public key: {identity.to_public()}\n{identity}\n")
    except OSError as error:
        raise CommandError(f"{path} cannot be made ({(error.strerror or '').lower()}).") from None
    return str(identity.to_public())
