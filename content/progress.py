"""Progress of a long command: a bar in a terminal, plain lines in a log."""

import os
import sys
import time
from types import TracebackType
from typing import BinaryIO, Self

from tqdm import tqdm

SECONDS_BETWEEN_LINES = 10


class Progress:
    """`with Progress("adopting", stream) as progress: progress.at("1,200 adopted")`.

    A pipe has no size, and no position either: there only the words are shown.
    """

    def __init__(self, what: str, stream: BinaryIO) -> None:
        self.what, self.stream = what, stream
        self.total = os.fstat(stream.fileno()).st_size if stream.seekable() else None
        self.bar = tqdm(desc=what, total=self.total, unit="B", unit_scale=True, disable=not sys.stderr.isatty())
        self.last_line = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.close()

    def at(self, so_far: str, position: int | None = None) -> None:
        """What has been done up to this position, or where the stream stands now, in words."""
        if self.total is None:
            position = 0
        elif position is None:
            position = self.stream.tell()
        self.bar.set_postfix_str(so_far, refresh=False)
        self.bar.update(position - self.bar.n)
        if self.bar.disable and time.monotonic() - self.last_line > SECONDS_BETWEEN_LINES:
            self.last_line = time.monotonic()
            share = f"{100 * position // self.total} %, " if self.total else ""
            sys.stderr.write(f"{self.what}: {share}{so_far}\n")

    def line(self, text: str) -> None:
        """A line beside the bar, such as a row that was rejected."""
        self.bar.write(text, file=sys.stderr)
