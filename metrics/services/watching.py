"""Whom a long run tells how far it is."""

from typing import Any


class Watch:
    """Silent by itself; commands show a bar, lines or JSON."""

    def begin(self, what: str, rows: int) -> None:
        """A step begins that will go through so many rows."""

    def rows(self, amount: int) -> None:
        """So many more rows have gone through."""

    def tell(self, line: str) -> None:
        """What a person should know meanwhile."""

    def done(self, what: str, step: str, **facts: Any) -> None:
        """A step of `what` has come to its end."""


SILENT = Watch()
