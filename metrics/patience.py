"""Locks that somebody else may hold: asked for briefly, again and again, and never without saying who is in the way.

A lock that waits holds up everybody who comes after it. So PostgreSQL waits a moment only, well below the time after
which it looks for deadlocks; between the tries everybody else goes on.
"""

import time
from collections.abc import Callable
from typing import Any, TypeVar

from django.db import OperationalError, connections, transaction

from audit.errors import Conflict, sqlstate

T = TypeVar("T")
Tell = Callable[[str], None]
LOCK_TIMEOUT = "500ms"
PAUSE = 1.0  # seconds between two tries
PATIENCE = 60.0  # seconds until the next run is left to try again
BUSY = {"55P03", "40P01"}  # lock_not_available, deadlock_detected

HOLDERS = """
    SELECT DISTINCT a.pid, a.usename, a.usesysid, l.relation::regclass::text
    FROM pg_locks l JOIN pg_stat_activity a USING (pid)
    WHERE l.locktype = 'relation' AND l.granted AND a.pid <> pg_backend_pid()
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND l.relation = ANY (SELECT to_regclass(name) FROM unnest(%s::text[]) name)
    ORDER BY a.pid
"""
WHAT_THEY_DO = """
    SELECT state, extract(epoch FROM clock_timestamp() - xact_start)::int, regexp_replace(query, '\\s+', ' ', 'g')
    FROM pg_stat_activity WHERE pid = %s
"""
LONGEST_QUERY = 80
SHOWN = 3  # of those who are in the way


def quiet(line: str) -> None:
    pass


def patiently(
    work: Callable[[Any], T],
    what: str,
    *tables: str,
    using: str = "migrator",
    tell: Tell = quiet,
    patience: float = PATIENCE,
) -> T:
    """`work(cursor)` in one short transaction, until it has the locks that it needs.

    `what` completes "… waits for"; `tables` are where somebody may hold them. Raises Conflict when patience is over:
    nothing has been changed then.
    """
    deadline, said = time.monotonic() + patience, ""
    while True:
        try:
            with transaction.atomic(using=using), connections[using].cursor() as cursor:
                cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
                return work(cursor)
        except OperationalError as error:
            if sqlstate(error) not in BUSY:
                raise
        who = holders(tables, using) or "somebody who has just gone"
        if time.monotonic() > deadline:
            raise Conflict(f"{what} waited {patience:.0f} seconds for {who}. Run it again later; nothing is lost.")
        if who.partition(" for ")[0] != said:
            tell(f"{what} waits for {who}.")
            said = who.partition(" for ")[0]
        time.sleep(PAUSE)


def holders(tables: tuple[str, ...], using: str) -> str:
    """Who holds a lock on any of these tables, as people know them: process, user, since when, doing what.

    Those who have held on for longest come first: beside many short writers it is one of them that is in the way.
    """
    with transaction.atomic(using=using), connections[using].cursor() as cursor:
        cursor.execute(HOLDERS, [list(tables)])
        found: dict[int, tuple[str, int]] = {pid: (user, role) for pid, user, role, _ in cursor.fetchall()}
        told = [_described(cursor, pid, user, role) for pid, (user, role) in found.items()]
    return "; ".join(text for _, text in sorted(told, key=lambda one: one[0], reverse=True)[:SHOWN])


def _described(cursor: Any, pid: int, user: str, role: int) -> tuple[int, str]:
    """The age of its transaction in seconds, -1 where it is hidden, and the words for it.

    PostgreSQL shows what a session does only to those who have its role; the owner may take some on.
    """
    cursor.execute("SELECT pg_has_role(session_user, %s::oid, 'SET')", [role])
    if cursor.fetchone() == (True,):
        cursor.execute("SELECT set_config('role', %s, true)", [user])
    cursor.execute(WHAT_THEY_DO, [pid])
    state, age, query = cursor.fetchone() or (None, None, "")
    cursor.execute("SELECT set_config('role', 'none', true)")
    told = f"process {pid} of {user}"
    if age is None:
        return -1, told
    shown = query if len(query) <= LONGEST_QUERY else f"{query[:LONGEST_QUERY]}…"
    return age, f"{told} ({state} for {age} seconds: {shown})"
