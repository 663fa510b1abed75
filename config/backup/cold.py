"""Copies for longer, in BACKUP_COLD_URL: one backup a week, with just the log that makes it whole, and all files.

Each backup lies in a directory of its own; its receipt is put there last and is removed first. It comes back as it was
when it was made: the log between two of these weeks is not kept.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path

from pyarrow.fs import FileType

from config.backup import wal
from config.backup.place import Count, Place
from config.backup.store import Receipt, Store, newest, receipt_of
from config.backup.wal import BackupProblem
from config.embedded_home import give_to_server

EVERY = timedelta(days=6, hours=12)  # the night of the week, even when cron is some hours early
RECEIPT, FETCHED = "receipt.json", "fetched"


class Cold:
    def __init__(self, address: str) -> None:
        if not address:
            raise BackupProblem("BACKUP_COLD_URL must be set, to an address such as file:///srv/cold or s3://bucket.")
        self.place, self.files = Place(address), Place(address, "files")

    # --- Into it -----------------------------------------------------------------------------------------------------

    def keep(self, store: Store, days: int, now: datetime, count: Count) -> list[str]:
        """What is due this week, and every file that is not there yet; returns the backups that are too old and went.

        A copy that a kill has ended goes on, as long as the backup is still there.
        """
        whole, half = self.receipts(), self.unfinished()
        made = {receipt.id: receipt for receipt in store.receipts()}
        last = newest(list(made.values()), str(store.base))
        if whole and whole[-1].system_id != last.system_id:
            raise BackupProblem(f"{self.place} has the backups of another server: give each its own BACKUP_COLD_URL.")
        due = [made[name] for name in half if name in made]
        if not due and not (whole and last.ended_at - whole[-1].ended_at < EVERY):
            due = [last]
        for receipt in due:
            self.add(store, receipt, count)
        for name in half:
            if name not in made:
                self.place.remove_directory(f"base/{name}")
        self.add_files(store.files, count)
        return self.prune(days, now)

    def add(self, store: Store, receipt: Receipt, count: Count) -> None:
        self._put(store.base / receipt.file, f"base/{receipt.id}/{receipt.file}", count)
        for path in _log_of(store, receipt):
            self._put(path, f"base/{receipt.id}/wal/{path.relative_to(store.wal)}", count)
        with tempfile.NamedTemporaryFile("w") as file:
            json.dump(asdict(receipt), file, default=lambda value: value.isoformat())
            file.flush()
            self.place.put(Path(file.name), f"base/{receipt.id}/{RECEIPT}", count)

    def add_files(self, there: Path, count: Count) -> None:
        """Directory by directory: there may be millions. `copied.json` and the key, which may change, go each time."""
        for directory, _, names in os.walk(there):
            below = os.path.relpath(directory, there)
            prefix = "" if below == "." else f"{below}/"
            known = {info.base_name: info.size for info in self.files.under(prefix.rstrip("/"))} if prefix else {}
            for name in sorted(names):
                path = Path(directory, name)
                if not name.startswith(".") and known.get(name) != path.stat().st_size:
                    self.files.put(path, f"{prefix}{name}", count)

    def _put(self, source: Path, path: str, count: Count) -> None:
        there = self.place.fs.get_file_info(self.place.full(path))
        if there.type == FileType.NotFound or there.size != source.stat().st_size:
            self.place.put(source, path, count)

    def prune(self, days: int, now: datetime) -> list[str]:
        """The newest always stays."""
        old = [receipt.id for receipt in self.receipts()[:-1] if receipt.ended_at < now - timedelta(days=days)]
        for name in old:
            self.place.remove(f"base/{name}/{RECEIPT}")
            self.place.remove_directory(f"base/{name}")
        return old

    # --- Out of it ---------------------------------------------------------------------------------------------------

    def receipts(self) -> list[Receipt]:
        """Oldest first."""
        found = [receipt_of(self.place.text(f"base/{name}/{RECEIPT}")) for name, whole in self._directories() if whole]
        return sorted(found, key=lambda receipt: receipt.ended_at)

    def unfinished(self) -> list[str]:
        return [name for name, whole in self._directories() if not whole]

    def _directories(self) -> Iterator[tuple[str, bool]]:
        for info in self.place.under("base"):
            names = {found.base_name for found in self.place.under(f"base/{info.base_name}")}
            yield info.base_name, RECEIPT in names

    def newest(self, before: datetime | None = None) -> Receipt:
        return newest(self.receipts(), self.place.shown("base"), before)

    def fetch(self, receipt: Receipt, home: Path) -> Store:
        """A backup directory inside that home, which PostgreSQL's user may read."""
        target = home / FETCHED
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(mode=0o711)
        store = Store(target.as_uri())
        self.place.get(f"base/{receipt.id}/{receipt.file}", store.base / receipt.file)
        for path, _ in self.place.walk(f"base/{receipt.id}/wal"):
            self.place.get(path, target / path.removeprefix(f"base/{receipt.id}/"))
        give_to_server(store.wal, home)
        return store


def _log_of(store: Store, receipt: Receipt) -> list[Path]:
    """From where the backup began to where it ended, and the histories of timelines."""
    first, last = receipt.start_segment, receipt.stop_segment
    log = {name: path for name, path in wal.segments(store.wal).items() if first <= name <= last}
    if first not in log or last not in log:
        raise BackupProblem(f"The log of the backup {receipt.id} is not whole in {store.wal}.")
    return [*log.values(), *store.wal.glob("*.history*"), *store.wal.glob("history/[0-9A-F]*")]
