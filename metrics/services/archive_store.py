"""Where archived months lie: a directory or a bucket, and the files of a receipt in it.

A month's files are `<table>/year=2026/month=03/<receipt>-<export>.parquet` below ARCHIVE_URL. The receipt's key begins
each name, so that what an export left behind can be told from another Gatehouse's files in the same place. A file
becomes visible when it is complete: on disk by a rename, on S3 because an upload is one until it ends.
"""

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq
from django.conf import settings
from uuid_utils.compat import uuid7

from audit.errors import Refused
from metrics.models import MetricArchive
from metrics.partitions import Month

PIECE = 4 << 20  # bytes read at once for a hash
DRAFT = "."  # a name that begins so is passed over by Spark, DuckDB and pyarrow alike


class StoreProblem(Refused):
    """The archive's place cannot be read or written; nothing is lost."""


class FileProblem(StoreProblem):
    """A file of a receipt is not there, or is not what it was."""


@contextmanager
def told(what: str, kind: type[StoreProblem] = StoreProblem) -> Iterator[None]:
    """What the file system refuses, as a sentence: `what` is who could not be what."""
    try:
        yield
    except FileNotFoundError:
        raise FileProblem(f"{what}: it is not there.") from None
    except (OSError, pa.ArrowException) as error:
        number = getattr(error, "errno", None)
        reason = os.strerror(number) if number else str(error).strip().partition("\n")[0]
        raise kind(f"{what}: {reason.rstrip('.')}.") from None


@dataclass(frozen=True)
class ArchiveFile:
    """A file as its receipt knows it; `path` is relative to ARCHIVE_URL."""

    path: str
    rows: int
    bytes: int
    sha256: str


def files_of(receipt: MetricArchive) -> list[ArchiveFile]:
    files = receipt.files["files"] if isinstance(receipt.files, dict) else []
    return [ArchiveFile(**file) for file in files]


def columns_of(receipt: MetricArchive) -> dict[str, dict[str, int]]:
    """The checks of each column, as the export took them."""
    return dict(receipt.files["columns"]) if isinstance(receipt.files, dict) else {}


class Store:
    """ARCHIVE_URL: `file:///srv/archive` or `s3://bucket/prefix`, as `pyarrow.fs` understands them."""

    def __init__(self, url: str | None = None) -> None:
        self.url = url or settings.ARCHIVE_URL
        with told(f"The archive {self} cannot be used"):
            self.fs, root = pyarrow.fs.FileSystem.from_uri(self.url)
        self.root = root.rstrip("/")
        self.local = isinstance(self.fs, pyarrow.fs.LocalFileSystem)

    def __str__(self) -> str:
        """Without the keys that an s3:// address may hold."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

    def full(self, path: str) -> str:
        """As `fs` wants it."""
        return f"{self.root}/{path}"

    def shown(self, path: str) -> str:
        """As people want it."""
        return f"{str(self).rstrip('/')}/{path}"

    # --- Reading -----------------------------------------------------------------------------------------------------

    def parquet(self, file: ArchiveFile, **options: Any) -> pq.ParquetFile:
        """Opened: read it row group by row group, and only the columns that are needed."""
        with told(f"{self.shown(file.path)} cannot be read"):
            return pq.ParquetFile(self.fs.open_input_file(self.full(file.path)), **options)

    def sha256(self, path: str) -> tuple[int, str]:
        """The bytes of a file and their hash."""
        digest, size = hashlib.sha256(), 0
        with told(f"{self.shown(path)} cannot be read"), self.fs.open_input_stream(self.full(path)) as stream:
            while piece := stream.read_buffer(PIECE):
                size += len(piece)
                digest.update(piece)
        return size, digest.hexdigest()

    # --- Writing -----------------------------------------------------------------------------------------------------

    def prepare(self, directory: str) -> None:
        """The place is there and can be written to. A bucket shows that only when something is written."""
        with told(f"{self.shown(directory)} cannot be written"):
            if not self.local:
                self.fs.get_file_info(self.root)
                return
            Path(self.root).mkdir(mode=0o700, parents=True, exist_ok=True)  # the audit log is not everybody's
            self.fs.create_dir(self.full(directory), recursive=True)
            if not os.access(self.full(directory), os.W_OK):
                raise PermissionError(errno.EACCES, "")

    @contextmanager
    def new_file(self, directory: str, receipt: MetricArchive) -> Iterator[tuple[str, Any]]:
        """A path that nothing has had before, and a stream into it. What fails inside leaves no file."""
        name = f"{receipt.pk.hex}-{uuid7().hex}.parquet"
        path, draft = f"{directory}/{name}", f"{directory}/{DRAFT if self.local else ''}{name}"
        stream = None
        with told(f"{self.shown(path)} cannot be written"):
            try:
                self.prepare(directory)
                stream = self.fs.open_output_stream(self.full(draft))
                yield path, stream
                stream.close()
                if self.local:
                    _make_durable(Path(self.full(draft)), Path(self.full(path)), Path(self.root))
            except BaseException:
                if stream is not None:
                    with suppress(Exception):
                        stream.close()
                self.remove(draft)
                raise

    def remove(self, path: str) -> None:
        with suppress(OSError):
            self.fs.delete_file(self.full(path))

    def remove_leftovers(self, directory: str, receipt: MetricArchive) -> list[str]:
        """What exports of this month that never came to their end have left, and what a newer export has replaced."""
        kept = {self.full(file.path) for file in files_of(receipt)}
        with told(f"{self.shown(directory)} cannot be read"):
            found = self.fs.get_file_info(pyarrow.fs.FileSelector(self.full(directory), allow_not_found=True))
        gone = [
            info.path
            for info in found
            if info.base_name.removeprefix(DRAFT).startswith(receipt.pk.hex) and info.path not in kept
        ]
        for path in gone:
            with told(f"{path} cannot be removed"), suppress(FileNotFoundError):
                self.fs.delete_file(path)
        return gone


def directory(table: str, month: Month) -> str:
    """Hive's layout: who asks for a year or a month reads only its directories."""
    return f"{table}/year={month.year:04}/month={month.month:02}"


def _make_durable(draft: Path, path: Path, root: Path) -> None:
    """On the disk itself before anybody counts on it: the rows leave PostgreSQL soon."""
    _sync(draft)
    draft.rename(path)
    for parent in path.parents:
        _sync(parent)
        if parent == root:
            break


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
