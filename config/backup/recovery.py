# ruff: noqa: S603 - the programs and their arguments are ours
"""A new home with the data of some moment: the backup before it, unpacked and verified, then the log up to it.

The server that recovers lets nobody in before it is whole, and ends then. It needs the directory
of BACKUP_URL and the secret key, and no login of the server that was backed up. Killed, it leaves a `restoring` in a
directory that is no home; the next run begins anew.
"""

import fcntl
import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from config import embedded
from config.backup import files, stream, wal
from config.backup.cold import FETCHED, Cold
from config.backup.place import Count, Place
from config.backup.store import Receipt, Store, write_whole
from config.backup.wal import BackupProblem, keys_of
from config.embedded_home import as_server_user, give_to_server, prepare_home, prepare_socket_dir, server_user

DRAFT, RECEIPT, LOCK, LOG = "restoring", "restored.json", "restore.lock", "restore.log"
LAST = re.compile(r"last completed transaction was at log time (\S+ \S+)")
TOO_EARLY = "recovery ended before configured recovery target was reached"
NOBODY_KNOWS = embedded.PORT - 1  # PostgreSQL insists on a socket; whoever looks for the restored house looks elsewhere
# Some keep these elsewhere, as Debian does in /etc. Who can open the directory of the socket is let in.
AS_INITDB = {"postgresql.conf": "", "pg_hba.conf": "local all all trust\nlocal replication all trust\n"}
Tell = Callable[[int, int], None]


@dataclass(frozen=True)
class Restored:
    place: Path
    backup: Receipt
    asked_for: datetime | None
    last_transaction_at: datetime | None  # None: nothing was committed after the backup
    seconds_unpacking: float
    seconds_recovering: float
    seconds_for_files: float
    files_until: datetime | None  # every file that was there then came back; None: there is no copy of files

    def told(self) -> dict[str, Any]:
        return {
            "place": str(self.place),
            "backup": self.backup.id,
            "asked_for": self.asked_for and self.asked_for.isoformat(),
            "last_transaction_at": self.last_transaction_at and self.last_transaction_at.isoformat(),
            "seconds_unpacking": round(self.seconds_unpacking, 1),
            "seconds_recovering": round(self.seconds_recovering, 1),
            "seconds_for_files": round(self.seconds_for_files, 1),
            "files_until": self.files_until and self.files_until.isoformat(),
        }

    @property
    def how_to_start(self) -> str:
        return f"GATEHOUSE_HOME={shlex.quote(str(self.place))} manage.py serve"


def restore(origin: Store | Cold, place: Path, at: datetime | None, tell: Tell) -> Restored:
    place = place.resolve()
    receipt = origin.newest(before=at)
    keys = identities() if receipt.encrypted else []
    if place.exists() and (not place.is_dir() or not _may_go_on(place)):
        whole = f" What was restored there is whole; {RECEIPT} in it says what." if (place / RECEIPT).exists() else ""
        raise BackupProblem(f"{place} is not empty: name a new directory, so that nothing is written over.{whole}")
    prepare_home(place)
    with open(place / LOCK, "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BackupProblem(f"Another restore into {place} is under way.") from None
        draft = place / DRAFT
        if draft.exists():
            _end_left_over(draft)
            shutil.rmtree(draft)
        copies = origin.files if isinstance(origin, Cold) else Place(origin.files.as_uri())
        total = receipt.bytes + files.size(copies)
        began = time.monotonic()
        # A cold copy has no log after its end: it comes back as it was then.
        store, until = (origin.fetch(receipt, place), None) if isinstance(origin, Cold) else (origin, at)
        _unpack(store, receipt, keys, place, lambda amount: tell(amount, total))
        unpacked = time.monotonic()
        log = _recover(store, place, keys, until)
        recovered = time.monotonic()
        files.bring_back(copies, place, identities, lambda amount: tell(amount, total))
        restored = Restored(
            place=place,
            backup=receipt,
            asked_for=at,
            last_transaction_at=_last_transaction(log),
            seconds_unpacking=unpacked - began,
            seconds_recovering=recovered - unpacked,
            seconds_for_files=time.monotonic() - recovered,
            files_until=files.copied_at(copies),
        )
        shutil.rmtree(place / FETCHED, ignore_errors=True)
        draft.rename(place / "pgdata")
        write_whole(place / RECEIPT, restored.told())
        (place / LOCK).unlink()
    return restored


def _may_go_on(place: Path) -> bool:
    """It is empty, or a restore was killed in it, which was not whole then and so had no `pgdata`.

    Named by GATEHOUSE_HOME it has a new secret key already, which the old one replaces.
    """
    names = {path.name for path in place.iterdir()}
    return names <= {files.KEY} or (LOCK in names and "pgdata" not in names)


def identities() -> list[str]:
    """The secret keys: only who restores has them."""
    name = os.environ.get("BACKUP_IDENTITY_FILE")
    if not name:
        raise BackupProblem("The backups are encrypted: BACKUP_IDENTITY_FILE must name the file with the secret key.")
    return keys_of(name, "BACKUP_IDENTITY_FILE", "AGE-SECRET-KEY-")


def _unpack(store: Store, receipt: Receipt, keys: list[str], place: Path, count: Count) -> None:
    """As it was when it was made: pg_verifybackup compares each file with the server's own manifest."""
    draft = place / DRAFT
    draft.mkdir(mode=0o700)
    stream.unpack(store.base / receipt.file, keys, draft, count)
    program = [str(embedded.programs() / "pg_verifybackup"), "--no-parse-wal", "--quiet", str(draft)]
    done = subprocess.run(program, check=False, capture_output=True, text=True, env=embedded.server_environment())
    if done.returncode:
        raise BackupProblem(f"The backup {receipt.id} is damaged: {(done.stderr.strip().splitlines() or ['?'])[0]}")
    for name, text in AS_INITDB.items():
        if not (draft / name).exists():
            (draft / name).write_text(text)
    if os.geteuid() == 0:
        # Whose the log is may read it, so it is that user who recovers.
        owner = store.wal.stat()
        if owner.st_uid != 0 and place.stat().st_uid == 0:
            os.chown(place, owner.st_uid, owner.st_gid)
    give_to_server(draft, place)


def _recover(store: Store, place: Path, keys: list[str], at: datetime | None) -> str:
    """Runs the server until it has recovered and ended; returns what it said."""
    draft = place / DRAFT
    prepare_socket_dir(place)
    (draft / "recovery.signal").touch()
    if os.geteuid() == 0:
        os.chown(draft / "recovery.signal", *server_user(place))
    options = {
        **embedded.OPTIONS,
        "unix_socket_directories": str(embedded.socket_dir(place)),
        "port": str(NOBODY_KNOWS),
        "hot_standby": "off",
        "archive_mode": "off",
        "restore_command": wal.restore_command(store.place),
        "recovery_target_action": "promote",
        **({"recovery_target_time": at.astimezone(UTC).isoformat(sep=" ")} if at else {}),
    }
    command = [*_with_us(as_server_user(place, wal.program("", place)[0])), str(embedded.programs() / "postgres")]
    command += ["-D", str(draft)]
    for name, value in options.items():
        command += ["-c", f"{name}={value}"]
    environment = {**embedded.server_environment(), wal.IDENTITY: " ".join(keys)}
    path = place / LOG
    with open(path, "w") as log:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, cwd="/", start_new_session=True
        )
        try:
            while child.poll() is None and not _ready(draft):
                time.sleep(0.1)
        finally:
            if child.poll() is None:
                child.send_signal(signal.SIGINT)
            child.wait()
            shutil.rmtree(embedded.socket_dir(place), ignore_errors=True)
    said = path.read_text(errors="replace")
    if child.returncode or (draft / "recovery.signal").exists():
        raise BackupProblem(_why(said, at, path))
    path.unlink()
    return said


def _with_us(words: list[str]) -> list[str]:
    """A server whose restore was killed ends too (Linux)."""
    setpriv = shutil.which("setpriv")
    if not setpriv:
        return words
    return [words[0], "--pdeathsig=INT", *words[1:]] if words else [setpriv, "--pdeathsig=INT"]


def _end_left_over(data: Path) -> None:
    """The server of a restore that was killed may still be recovering in that directory, or about to write there."""
    while left := [process for process in Path("/proc").glob("[0-9]*") if _serves(data, process)]:
        for process in left:
            with suppress(ProcessLookupError):
                os.kill(int(process.name), signal.SIGQUIT)
        time.sleep(0.1)


def _serves(data: Path, process: Path) -> bool:
    """By its name too: somebody's shell may stand there, and would not end."""
    try:
        return (process / "comm").read_text() == "postgres\n" and os.path.samefile(process / "cwd", data)
    except OSError:  # it has ended
        return False


def _ready(data: Path) -> bool:
    """What pg_ctl waits for: the state in the eighth line of postmaster.pid."""
    try:
        return (data / "postmaster.pid").read_text().split("\n")[7].strip() == "ready"
    except (OSError, IndexError):
        return False


def _why(said: str, at: datetime | None, log: Path) -> str:
    if at and TOO_EARLY in said:
        last = _last_transaction(said)
        until = f"its last transaction is of {last.isoformat()}" if last else "it has no transaction after the backup"
        return f"The log ends before {at.isoformat()}: {until}. Without --at everything that is there comes back."
    for line in reversed(said.splitlines()):
        if " is missing in " in line or " is damaged" in line:
            return line
    faults = [line.split("FATAL:", 1)[1].strip() for line in said.splitlines() if "FATAL:" in line]
    return f"The server could not recover: {faults[0] if faults else 'it gave no reason'} ({log} has the whole story)."


def _last_transaction(said: str) -> datetime | None:
    found = LAST.findall(said)
    return datetime.fromisoformat(found[-1]).replace(tzinfo=UTC) if found else None
