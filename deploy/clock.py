"""Cron for a container: `clock.py CRONTAB` begins commands of manage.py when they are due, as the user that it runs as.

Debian's cron wants root and a file system to write to. This one keeps nothing: what was due while it was down is not
made up for, the next stroke does it, since every command of ours may be killed and run again. With --spool and --wal it
also moves the log that PostgreSQL left in the one directory into the other, encrypted as `backup` would.
"""

import argparse
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import NoReturn

from cronsim import CronSim, CronSimError

APP = Path(__file__).resolve().parents[1]
ALIVE = Path("/tmp/clock")  # noqa: S108 - a container's own; its age is what the health check looks at
SPOOL_SECONDS = 10
GRACE_SECONDS = 30


@dataclass
class Job:
    when: str
    command: list[str]
    due: datetime
    child: subprocess.Popen[bytes] | None = None

    def tick(self, now: datetime) -> None:
        if self.child is not None and (status := self.child.poll()) is not None:
            if status:
                say(f"{self.command[0]} ended with status {status}.")
            self.child = None
        if now < self.due:
            return
        self.due = following(self.when, now)
        if self.child is not None:
            say(f"{self.command[0]} still runs; this stroke is left out.")
            return
        self.child = subprocess.Popen([sys.executable, "manage.py", *self.command], cwd=APP)  # noqa: S603 - ours


def following(when: str, now: datetime) -> datetime:
    return next(CronSim(when, now))


def jobs(table: Path, now: datetime) -> Iterator[Job]:
    for number, line in enumerate(table.read_text().splitlines(), 1):
        words = shlex.split(line, comments=True)
        if not words:
            continue
        when, command = " ".join(words[:5]), words[5:]
        try:
            due = following(when, now)
        except CronSimError as error:
            refuse(f"{table}, line {number}: {error}.")
        if not command:
            refuse(f"{table}, line {number}: there is no command after the five fields.")
        yield Job(when, command, due)


def move_log(spool: Path, wal: Path) -> None:
    """One segment after the other, oldest first; what cannot be moved stays, and is tried again."""
    waiting = sorted(path for path in spool.iterdir() if not path.name.startswith("."))
    if not waiting:
        return
    sys.path.insert(0, str(APP))
    from config.backup.wal import BackupProblem, archive, recipients

    try:
        keys = recipients(os.environ)
        for path in waiting:
            archive(wal, keys, path, path.name)
            path.unlink()
    except (BackupProblem, OSError) as problem:
        say(f"The log waits in {spool}: {problem}")


def say(sentence: str) -> None:
    sys.stderr.write(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} clock: {sentence}\n")


def refuse(sentence: str) -> NoReturn:
    say(sentence)
    raise SystemExit(2)


def end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


def main() -> None:
    parser = argparse.ArgumentParser(description="Run commands of manage.py by the clock, until SIGTERM.")
    parser.add_argument("crontab", type=Path, nargs="?", help="which commands, and when; not asked for with --healthy")
    parser.add_argument("--spool", type=Path, help="where PostgreSQL leaves its log")
    parser.add_argument("--wal", type=Path, help="where it is kept")
    parser.add_argument("--healthy", action="store_true", help="only tell whether the clock goes")
    given = parser.parse_args()
    if given.healthy:
        raise SystemExit(0 if time.time() - ALIVE.stat().st_mtime < 60 else 1)
    if given.crontab is None:
        refuse("Name the crontab.")
    if (given.spool is None) != (given.wal is None):
        refuse("--spool and --wal belong together.")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    try:
        due = list(jobs(given.crontab, datetime.now(UTC)))
    except OSError as error:
        refuse(f"{given.crontab} cannot be read ({(error.strerror or '').lower()}).")
    if given.wal:  # at the start only: once it is gone, so is its disk
        try:
            given.wal.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            refuse(f"{given.wal} cannot be made ({(error.strerror or '').lower()}).")
    keep(due, given.spool, given.wal)


def keep(due: list[Job], spool: Path | None, wal: Path | None) -> None:
    moved = datetime.now(UTC) - timedelta(seconds=SPOOL_SECONDS)
    try:
        while True:
            ALIVE.touch()
            now = datetime.now(UTC)
            for job in due:
                job.tick(now)
            if spool and wal and now - moved >= timedelta(seconds=SPOOL_SECONDS):
                move_log(spool, wal)
                moved = now
            time.sleep(0.5)
    finally:
        under_way = [job.child for job in due if job.child is not None]
        for child in under_way:
            child.terminate()
        deadline = time.monotonic() + GRACE_SECONDS
        for child in under_way:
            try:
                child.wait(max(0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()


if __name__ == "__main__":
    main()
