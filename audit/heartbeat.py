"""The heartbeats of what cron runs: that it began, that it came to its end, and what it did.

What began is committed before the job does anything, outside of its transactions: a job that is killed at any
instruction leaves a beginning without an end, and `/readyz` and the console show just that.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core.management.base import CommandError
from django.db import Error, connection, transaction
from django.utils import timezone

from audit.errors import Refused
from audit.models import CronJob

log = logging.getLogger(__name__)

UNFORESEEN = "It met a fault that nobody foresaw; its log tells more."


@dataclass
class Beat:
    """What the job says of its run: a sentence for people, set before the end."""

    said: str = ""


@contextmanager
def heartbeat(name: str) -> Iterator[Beat]:
    """Around all that a job does. A heartbeat that cannot be written never keeps the job from its work.

    An end by a signal (SystemExit, KeyboardInterrupt) is no failure of the job's, and none of its ends.
    """
    beat, started_at = Beat(), timezone.now()
    _write(name, started_at)
    try:
        yield beat
    except Exception as problem:
        told = str(problem) if isinstance(problem, CommandError | Refused) else UNFORESEEN
        _write(name, started_at, failed_at=timezone.now(), said=beat.said or told)
        raise
    if unwritten := _write(name, started_at, succeeded_at=timezone.now(), said=beat.said):
        log.warning("The heartbeat of %s could not be written: %s", name, str(unwritten).partition("\n")[0])


def _write(name: str, started_at: datetime, **end: Any) -> Error | None:
    """One statement, committed at once. An end says nothing of the beginning: another run may have begun meanwhile.

    Returns what kept it from being written: where the job fails too, the job's own words are enough.
    """
    if not connection.in_atomic_block:
        connection.close_if_unusable_or_obsolete()  # a long job's connection may have ended meanwhile
    try:
        with transaction.atomic(durable=True):
            CronJob.objects.bulk_create(
                [CronJob(name=name, started_at=started_at, **end)],
                update_conflicts=True,
                unique_fields=["name"],
                update_fields=[*end] or ["started_at"],
            )
    except Error as problem:
        return problem
    return None
