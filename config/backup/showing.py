"""How far a backup or a recovery is: a bar in a terminal, a line now and then in a log."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.management.base import CommandError
from tqdm import tqdm

from config.backup.wal import BackupProblem
from config.embedded import ServerProblem
from metrics.services.archive_store import StoreProblem

SECONDS_BETWEEN_LINES = 10


class Bytes:
    def __init__(self, what: str) -> None:
        self.what, self.seen, self.last_line = what, 0, time.monotonic()
        self.bar: Any = None

    def __enter__(self) -> "Bytes":
        return self

    def __exit__(self, *exception: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def __call__(self, amount: int, total: int | None = None) -> None:
        self.seen += amount
        if sys.stderr.isatty():
            if self.bar is None:
                self.bar = tqdm(desc=self.what, total=total, unit="B", unit_scale=True, leave=False)
            self.bar.update(amount)
        elif time.monotonic() - self.last_line > SECONDS_BETWEEN_LINES:
            self.last_line = time.monotonic()
            of = f" of about {total:,}" if total else ""
            sys.stderr.write(f"{self.what}: {self.seen:,}{of} bytes\n")


@contextmanager
def in_sentences() -> Iterator[None]:
    try:
        yield
    except (BackupProblem, ServerProblem, StoreProblem) as problem:
        raise CommandError(str(problem)) from None
    except OSError as error:
        raise CommandError(
            f"{error.filename or 'It'} cannot be used: {(error.strerror or str(error)).lower()}."
        ) from None
