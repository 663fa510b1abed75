# ruff: noqa: S603 - the programs and their arguments are ours
"""A base backup: pg_basebackup's tar, compressed and encrypted on its way to the disk, then read back.

Killed at any instruction it leaves a file without a receipt, which is no backup.
"""

import hashlib
import os
import re
import secrets
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from django.conf import settings
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from config import embedded
from config.backup import stream
from config.backup.archiving import FAILING
from config.backup.store import Receipt, Store
from config.backup.wal import BackupProblem, for_us_alone, recipients, sync

Progress = Callable[[int, int], None]  # bytes just done, and of how many
# The manifest is the last file of the tar, and this is nearly the last of the manifest.
RANGE = re.compile(rb'"Timeline": (\d+), "Start-LSN": "([0-9A-F/]+)", "End-LSN": "([0-9A-F/]+)"')
# Longer than the minute after which PostgreSQL tries again: one bad moment of a disk far away ends no backup.
PATIENCE = 90  # seconds
NOT_ARCHIVED = (
    "The server cannot archive its log, and a backup is worth nothing without: its own log (server.log) says why."
)
FACTS = f"""
    SELECT current_setting('server_version'), (SELECT system_identifier::text FROM pg_control_system()),
           (SELECT sum(pg_database_size(oid))::bigint FROM pg_database), current_setting('archive_mode'),
           ({FAILING}),
           (SELECT setting::bigint FROM pg_settings WHERE name = 'wal_segment_size')
"""


def address() -> str:
    """A login with the right to REPLICATION."""
    if settings.BACKUP_DATABASE_URL:
        return str(settings.BACKUP_DATABASE_URL)
    if not settings.EMBEDDED:
        raise BackupProblem("BACKUP_DATABASE_URL must name a login with REPLICATION on the server of DATABASE_URL.")
    return embedded.url(embedded.SUPERUSER, "postgres", settings.HOME)


def _server() -> psycopg.Connection[Any]:
    """A cluster of no particular encoding would send bytes."""
    return psycopg.connect(address(), autocommit=True, connect_timeout=10, client_encoding="UTF8")


def take(store: Store, progress: Progress) -> Receipt:
    keys = recipients(os.environ)
    try:
        with _server() as server:
            row = server.execute(FACTS).fetchone()
    except psycopg.Error as error:
        raise BackupProblem(f"The server cannot be asked for a backup: {_first(str(error))}") from None
    assert row is not None
    version, system_id, size, archive_mode, failing, segment_bytes = row
    if archive_mode == "off":
        raise BackupProblem(
            "The server does not archive its log yet, and a backup is worth nothing without it: restart Gatehouse with "
            "BACKUP_URL in its environment (or set archive_mode and archive_command of your own server)."
        )
    if failing:
        raise BackupProblem(NOT_ARCHIVED)
    began = datetime.now(UTC)
    name = f"{began:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
    file = store.base / f"{name}.tar.zst{'.age' if keys else ''}"
    draft = store.base / f".{file.name}.part"
    seen = 0

    def tell(amount: int) -> None:
        nonlocal seen
        seen += amount
        progress(amount, size)

    with open(draft, "wb", opener=for_us_alone) as output:
        hashed = stream.Hashed(output)
        end = _run(lambda source: stream.write(source, hashed, keys, tell))
        output.flush()
        os.fsync(output.fileno())
    _compare(draft, hashed.hash.hexdigest())
    draft.replace(file)
    sync(store.base)
    timeline, start, stop = (found.decode() for found in RANGE.findall(end)[-1])
    receipt = Receipt(
        id=name,
        file=file.name,
        began_at=began,
        ended_at=datetime.now(UTC),
        start_lsn=start,
        stop_lsn=stop,
        start_segment=segment(start, int(timeline), segment_bytes),
        stop_segment=segment(stop, int(timeline), segment_bytes, before=True),
        bytes=hashed.bytes,
        bytes_unpacked=seen,
        sha256=hashed.hash.hexdigest(),
        encrypted=bool(keys),
        server_version=version,
        system_id=system_id,
        schema=schema(connection),
    )
    store.keep(receipt)
    return receipt


def _run(consume: Callable[[stream.Source], None]) -> bytes:
    """pg_basebackup with its tar as our input. Returns the end of the tar.

    Before that end it waits until all of the log that belongs to it is archived: for ever, where that fails.
    """
    command = [str(embedded.programs() / "pg_basebackup"), "--dbname", address(), "--pgdata=-", "--format=tar"]
    command += ["--wal-method=none", "--checkpoint=fast", "--manifest-checksums=SHA256"]
    with tempfile.TemporaryFile("w+") as errors:  # a pipe that nobody reads would stop it
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=embedded.server_environment(),
            cwd="/",
        )
        assert child.stdout is not None
        problems: list[str] = []
        watch = threading.Thread(target=_end_when_not_archived, args=(child, problems))
        watch.start()
        try:
            with child.stdout:
                source = stream.Source(child.stdout)
                consume(source)
            child.wait()
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
            watch.join()
        errors.seek(0)
        said = errors.read()
    if problems:
        raise BackupProblem(problems[0])
    if child.returncode:
        raise BackupProblem(f"pg_basebackup failed: {(said.strip().splitlines() or ['it gave no reason'])[-1]}")
    return source.end


def _end_when_not_archived(child: subprocess.Popen[bytes], problems: list[str]) -> None:
    failing_since = None
    while not _ended(child):
        failing_since = (failing_since or time.monotonic()) if _archiving_fails() else None
        if failing_since and time.monotonic() - failing_since > PATIENCE:
            problems.append(NOT_ARCHIVED)
            child.kill()


def _ended(child: subprocess.Popen[bytes]) -> bool:
    with suppress(subprocess.TimeoutExpired):
        child.wait(1)
    return child.returncode is not None


def _archiving_fails() -> bool:
    try:
        with _server() as server:
            row = server.execute(FAILING).fetchone()
    except psycopg.Error:
        return False  # pg_basebackup tells it better
    return row is not None and bool(row[0])


def _compare(file: Path, expected: str) -> None:
    with open(file, "rb") as written:
        if hashlib.file_digest(written, "sha256").hexdigest() != expected:
            raise BackupProblem(f"{file.parent} did not keep what was written to it; no backup was made.")


def segment(lsn: str, timeline: int, segment_bytes: int, *, before: bool = False) -> str:
    """The name of the file of the log in which that point lies, or the byte before it."""
    high, low = (int(part, 16) for part in lsn.split("/"))
    number = ((high << 32) + low - before) // segment_bytes
    a_file = (1 << 32) // segment_bytes
    return f"{timeline:08X}{number // a_file:08X}{number % a_file:08X}"


def schema(database: Any) -> str:
    """Two databases with the same have the same migrations; of a schema changed by hand it knows nothing."""
    applied = sorted(MigrationRecorder(database).applied_migrations())
    return hashlib.sha256(repr(applied).encode()).hexdigest()[:16]


def _first(text: str) -> str:
    return (text.strip().splitlines() or ["no reason given"])[0]
