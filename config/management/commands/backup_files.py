"""`backup_files`: what is new of content and archive into BACKUP_URL. For cron, every five minutes, as the log goes."""

import json
import os
from contextlib import AbstractContextManager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from audit.heartbeat import heartbeat
from config.backup import files
from config.backup.showing import Bytes, in_sentences
from config.backup.store import Store
from config.backup.wal import recipients


class Command(BaseCommand):
    help = (
        "Copy the files beside the database that are not in BACKUP_URL yet, encrypted: content, archived months, the "
        "secret key. Safe to kill and to run again; `backup` does it too."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="one JSON object instead of a sentence")

    def handle(self, *args: Any, **options: Any) -> None:
        with in_sentences():
            store = Store(settings.BACKUP_URL)
            with copying(store), heartbeat("backup_files") as beat, Bytes("files") as bar:
                copied = copy_files(store, bar)
                beat.said = files_told(copied)
        if options["json"]:
            self.stdout.write(json.dumps(asdict(copied), default=lambda value: value.isoformat()))
            return
        self.stdout.write(beat.said)


def copying(store: Store, *, wait: bool = False) -> AbstractContextManager[None]:
    return store.locked("files.lock", wait=wait)


def copy_files(store: Store, bar: Bytes) -> files.Copied:
    return files.copy(store, recipients(os.environ), datetime.now(UTC), bar)


def files_told(copied: files.Copied) -> str:
    told = f"Copied {copied.files} new file{'' if copied.files == 1 else 's'} with {copied.bytes:,} bytes."
    if copied.unlike:
        told += f" {copied.unlike} were left out: they are not what their names say."
    return told
