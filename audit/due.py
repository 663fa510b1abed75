"""What time must do, one row after the other."""

import logging
from collections.abc import Callable, Iterable
from typing import TypeVar

from django.db import models, transaction

from audit.context import Actor, acting
from audit.errors import Conflict, Refused

log = logging.getLogger(__name__)
M = TypeVar("M", bound=models.Model)


def one_by_one(rows: Iterable[M], settle: Callable[[M], bool], actor: Actor) -> int:
    """Settle each row in a transaction of its own; returns how many `settle` says it did.

    A run that is killed has done a part, and the next one does the rest. What somebody else was quicker at is left to
    them, and a row that fails keeps no other waiting. Raises Conflict at the end when there were such.
    """
    settled, failed = 0, 0
    for row in rows:
        try:
            with transaction.atomic(), acting(actor):
                settled += settle(row)
        except Refused as refusal:
            log.info("Not done for %s %s: %s", row._meta.verbose_name, row.pk, refusal)
        except Exception:
            log.exception("What is due for %s %s could not be done", row._meta.verbose_name, row.pk)
            failed += 1
    if failed:
        raise Conflict(f"{failed} could not be done, {settled} were; the log says why.")
    return settled
