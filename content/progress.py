"""Progress of a long command: a bar in a terminal, plain lines in a log."""

import sys
import time
from types import TracebackType
from typing import Self

from tqdm import tqdm

SECONDS_BETWEEN_LINES = 10


class Progress:
    """`with Progress("adopting", total=bytes) as progress: progress.at(position, "1,200 adopted")`."""

    def __init__(self, what: str, total: int) -> None:
        self.what, self.total = what, total
        self.bar = tqdm(desc=what, total=total, unit="B", unit_scale=True, disable=not sys.stderr.isatty())
        self.last_line = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.close()

    def at(self, position: int, so_far: str) -> None:
        """`position` in the unit of `total`; `so_far` in words."""
        self.bar.set_postfix_str(so_far, refresh=False)
        self.bar.update(position - self.bar.n)
        if self.bar.disable and time.monotonic() - self.last_line > SECONDS_BETWEEN_LINES:
            self.last_line = time.monotonic()
            sys.stderr.write(f"{self.what}: {100 * position // max(self.total, 1)} %, {so_far}\n")

    def line(self, text: str) -> None:
        """A line beside the bar, such as a row that was rejected."""
        self.bar.write(text, file=sys.stderr)
