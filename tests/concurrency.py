"""Two at once, for real: two threads, two connections, and an order that the database's own locks enforce."""

import threading
import time
from collections.abc import Callable
from typing import Any

from django.db import connection, connections, transaction

from audit.errors import Refused

Verb = Callable[[], Any]
PATIENCE = 100  # seconds: a machine that is busy is slow, and no test is about that


def _outcome(verb: Verb) -> Any:
    try:
        return verb()
    except Refused as refusal:
        return refusal


def waiting_for_a_lock() -> bool:
    """Whether some connection waits for a lock that we hold. (pg_stat_activity would not do: it is a snapshot.)"""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid)))"
        )
        (waits,) = cursor.fetchone()
        return bool(waits)


def one_then_other(first: Verb, second: Verb) -> tuple[Any, Any]:
    """`second` begins while `first` has done its work and not yet committed; returns what each returned or refused.

    Fails when `second` neither waits for a lock nor ends: then nothing would settle the race.
    """
    result: list[Any] = []

    def run() -> None:
        try:
            result.append(_outcome(second))
        finally:
            connections.close_all()

    thread = threading.Thread(target=run, daemon=True)  # one that never ends is left behind
    with transaction.atomic():
        outcome = _outcome(first)
        thread.start()
        deadline = time.monotonic() + PATIENCE
        while thread.is_alive() and not waiting_for_a_lock():
            assert time.monotonic() < deadline, "the second neither waits nor ends"
            time.sleep(0.01)
    thread.join(PATIENCE)
    assert not thread.is_alive(), "the second never ended"
    return outcome, result[0]


def together(*verbs: Verb) -> list[Any]:
    """All of them at the same instant; returns what each returned, or the refusal that it met."""
    results: list[Any] = [None] * len(verbs)
    start = threading.Barrier(len(verbs))

    def run(index: int, verb: Verb) -> None:
        try:
            start.wait(PATIENCE)
            results[index] = _outcome(verb)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=pair, daemon=True) for pair in enumerate(verbs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive(), "a verb never ended"
    return results
