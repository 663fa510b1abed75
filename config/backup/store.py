"""The directory of BACKUP_URL: base backups with their receipts, the log, the drills; and what is too old to stay.

A backup is there when its receipt is: that is written last and appears at once. Whatever else lies in `base` was left
by a run that was killed, and the next run, which holds the lock, removes it.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from config.backup import wal
from config.backup.wal import BackupProblem


@dataclass(frozen=True)
class Receipt:
    id: str
    file: str
    began_at: datetime
    ended_at: datetime
    start_lsn: str
    stop_lsn: str
    start_segment: str  # the log is needed from here on
    bytes: int
    bytes_unpacked: int
    sha256: str
    encrypted: bool
    server_version: str
    system_id: str
    schema: str  # a hash of the migrations that were applied
    stop_segment: str = ""  # up to here the backup itself needs the log; the first releases did not write it down


class Store:
    def __init__(self, address: str) -> None:
        if not address:
            raise BackupProblem("BACKUP_URL must be set, to an address such as file:///srv/backup.")
        self.place = wal.directory(address)
        self.base, self.wal, self.drills = self.place / "base", self.place / "wal", self.place / "drills"
        self.files = self.place / "files"

    @contextmanager
    def locked(self, name: str = "lock", *, wait: bool = False) -> Iterator[None]:
        """One run at a time makes or removes backups; the kernel gives the lock back when it dies.

        Whoever starts the server has made `wal`. Without it, this is the empty place of a disk that is not mounted, and
        what is written there is no backup.
        """
        try:
            if not self.wal.is_dir():
                raise BackupProblem(
                    f"{self.wal} is not there. Is its disk mounted? It is made when Gatehouse starts with BACKUP_URL."
                )
            self.base.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self.place / name, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise BackupProblem(f"{self.place} cannot be written to ({(error.strerror or '').lower()}).") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            yield
        except BlockingIOError:
            raise BackupProblem("Another run is at it at this moment.") from None
        finally:
            os.close(descriptor)

    def receipts(self) -> list[Receipt]:
        """Oldest first."""
        try:
            found = [
                receipt_of(json.loads(path.read_text()))
                for path in self.base.glob("*.json")
                if not path.name.startswith(".")
            ]
        except (OSError, ValueError, TypeError) as error:
            raise BackupProblem(f"A receipt in {self.base} cannot be read: {error}.") from None
        return sorted(found, key=lambda receipt: receipt.ended_at)

    def newest(self, before: datetime | None = None) -> Receipt:
        """The one from which to recover to that moment."""
        if not os.path.isdir(self.place):  # also where one may not look
            raise BackupProblem(f"{self.place} is not there: is BACKUP_URL right, and its disk mounted?")
        return newest(self.receipts(), str(self.base), before)

    def keep(self, receipt: Receipt) -> None:
        write_whole(self.base / f"{receipt.id}.json", asdict(receipt))

    def remove_leftovers(self) -> list[str]:
        """What a killed run has left; call it with the lock only."""
        known = {name for receipt in self.receipts() for name in (receipt.file, f"{receipt.id}.json")}
        left = [path for path in self.base.iterdir() if path.name not in known]
        for path in left:
            path.unlink()
        return sorted(path.name for path in left)

    def prune(self, days: int, now: datetime) -> list[str]:
        """Every moment of the last `days` stays within reach: so does the newest backup that is older than that.

        The receipt goes first, so that one that is killed here leaves no receipt without its file; the log goes last.
        """
        receipts = self.receipts()
        old = [receipt for receipt in receipts if receipt.ended_at < now - timedelta(days=days)][:-1]
        for receipt in old:
            (self.base / f"{receipt.id}.json").unlink()
            (self.base / receipt.file).unlink(missing_ok=True)
        kept = receipts[len(old) :]
        if kept:
            needed = min(receipt.start_segment[8:] for receipt in kept)
            for name, path in wal.segments(self.wal).items():
                if name[8:] < needed:
                    path.unlink(missing_ok=True)
        return [receipt.id for receipt in old]

    def last_drill(self) -> dict[str, Any] | None:
        names = sorted(self.drills.glob("2*.json"))
        return json.loads(names[-1].read_text()) if names else None

    def note_drill(self, told: dict[str, Any]) -> Path:
        self.drills.mkdir(mode=0o700, exist_ok=True)
        path = self.drills / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
        write_whole(path, told)
        return path


def newest(receipts: list[Receipt], there: str, before: datetime | None = None) -> Receipt:
    found = [receipt for receipt in receipts if before is None or receipt.ended_at <= before]
    if not found:
        until = f" that ended before {before.isoformat()}" if before else ""
        oldest = f": the oldest ended at {receipts[0].ended_at.isoformat(timespec='seconds')}" if receipts else ""
        raise BackupProblem(f"There is no backup in {there}{until}{oldest}.")
    return found[-1]


def receipt_of(told: dict[str, Any]) -> Receipt:
    times = {name: datetime.fromisoformat(told[name]) for name in ("began_at", "ended_at")}
    return Receipt(**{**told, **times})


def write_whole(path: Path, told: dict[str, Any]) -> None:
    draft = path.with_name(f".{path.name}.part")
    with open(draft, "w") as file:
        json.dump(told, file, indent=1, default=lambda value: value.isoformat())
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    wal.sync(path.parent)
