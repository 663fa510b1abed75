"""What the archive's commands show on the way: a bar in a terminal, lines in a log, JSON for a script."""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import adbc_driver_manager
import pyarrow as pa
from django.core.management.base import CommandError, CommandParser, OutputWrapper
from django.db import Error, InterfaceError, OperationalError
from tqdm import tqdm

from audit.errors import Refused, sqlstate
from audit.triggers import APP_ROLE
from metrics.partitions import TABLES, Month, PartitionedTable
from metrics.patience import BUSY
from metrics.services.watching import Watch

SECONDS_BETWEEN_LINES = 10
NOT_ALLOWED = "42501"  # SQLSTATE: insufficient_privilege
DISK_FULL = "53100"
NO_TABLE = "42P01"
MONTHS = "The months belong to the owner of the schema."
SENTENCES = {
    "closed": "closed: nothing is written into it any more",
    "verified": "exported, read back and found the same: {rows:,} rows, {bytes:,} bytes, {file}",
    "detached": "detached",
    "dropped": "archived: {rows:,} rows in {bytes:,} bytes",
    "left": "left as it is: {why}",
    "restored": "restored: {rows:,} rows in the table {name}",
    "attached": "attached as {name}, and open again",
    "removed": "the table {name} was removed; the rows are in the files",
    "whole": "whole: {rows:,} rows, {bytes:,} bytes",
    "would": "would be archived: about {rows:,} rows",
    "problem": "{problem}",
}


class Showing(Watch):
    def __init__(self, out: OutputWrapper, *, as_json: bool) -> None:
        self.out, self.as_json = out, as_json
        self.bar: Any = None
        self.what, self.total, self.seen, self.last_line = "", 0, 0, time.monotonic()
        self.step_began = time.monotonic()

    def begin(self, what: str, rows: int) -> None:
        self.close()
        self.what, self.total, self.seen, self.last_line = what, rows, 0, time.monotonic()
        if sys.stderr.isatty():
            self.bar = tqdm(desc=what, total=rows or None, unit=" rows", unit_scale=True, leave=False)

    def rows(self, amount: int) -> None:
        self.seen += amount
        if self.bar is not None:
            self.bar.update(amount)
        elif time.monotonic() - self.last_line > SECONDS_BETWEEN_LINES:
            self.last_line = time.monotonic()
            share = f" of about {self.total:,}" if self.total else ""
            sys.stderr.write(f"{self.what}: {self.seen:,}{share} rows\n")

    def tell(self, line: str) -> None:
        if self.bar is not None:
            self.bar.write(line, file=sys.stderr)
        else:
            sys.stderr.write(f"{line}\n")

    def done(self, what: str, step: str, **facts: Any) -> None:
        self.close()
        if self.as_json:
            table, month = what.split(" ")
            now = time.monotonic()
            seconds, self.step_began = round(now - self.step_began, 3), now
            self.out.write(json.dumps({"table": table, "month": month, "step": step, **facts, "seconds": seconds}))
        else:
            self.out.write(f"{what}: {SENTENCES[step].format(**facts)}.".replace("..", "."))

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None


def month(text: str) -> Month:
    try:
        return Month.parse(text)
    except ValueError as problem:
        raise argparse.ArgumentTypeError(str(problem)) from None


def add_which(parser: CommandParser) -> None:
    """The arguments that all commands of the archive have in common."""
    parser.add_argument("--table", choices=[table.name for table in TABLES], help="only of this table")
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of sentences")


def tables(name: str | None) -> list[PartitionedTable]:
    return [table for table in TABLES if name in (None, table.name)]


@contextmanager
def in_sentences(owned: str = MONTHS) -> Iterator[None]:
    """Whatever the database, the store or a verb refuses, as the sentence with which the command ends.

    Not where the database cannot be reached, or is not set up: for those manage.py has one sentence for all commands.
    """
    try:
        yield
    except Refused as refusal:
        raise CommandError(refusal.sentence) from None
    except (Error, adbc_driver_manager.Error) as error:
        if _is_of_any_command(error):
            raise
        raise CommandError(sentence_of(error, owned)) from None
    except (MemoryError, pa.ArrowException) as error:
        raise CommandError(
            f"It could not be done: {str(error).partition(chr(10))[0] or 'no memory is left'}."
        ) from None


def _is_of_any_command(error: Exception) -> bool:
    if sqlstate(error) == NO_TABLE or f'role "{APP_ROLE}" does not exist' in str(error):
        return True
    return isinstance(error, OperationalError | InterfaceError) and sqlstate(error) not in {DISK_FULL, *BUSY}


def sentence_of(error: Exception, owned: str = MONTHS) -> str:
    reason = (str(error).strip().splitlines() or ["no reason given"])[0]
    if sqlstate(error) == NOT_ALLOWED:
        return f"{owned} Set MIGRATOR_DATABASE_URL to a login that owns it. PostgreSQL says: {reason}"
    if sqlstate(error) == DISK_FULL:
        return f"PostgreSQL's disk is full; nothing was changed. PostgreSQL says: {reason}"
    if sqlstate(error) in BUSY:
        return f"Somebody else is in the way; run it again later. PostgreSQL says: {reason}"
    return f"PostgreSQL says: {reason}"
