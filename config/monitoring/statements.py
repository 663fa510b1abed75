"""What pg_stat_statements tells of this database's statements.

How long they took is everybody's to see; what others' statements say is for members of pg_read_all_stats, which
`gatehouse_app` is not. The page that shows them reads them as the owner, on a connection of its own that ends with it.
"""

from contextlib import closing
from dataclasses import dataclass
from typing import Any

import psycopg
from django.db import connection, connections

SLOW_MS = 100  # mean, from which a statement is slow
OFTEN = 20  # calls, from which a mean says something: a migration that ran once is no trouble
MOST = 50
LONGEST = 600  # characters of a statement
EXTENSION = "pg_stat_statements"
RIGHT = "pg_read_all_stats"
PATIENCE = "5s"
# Values are left out of what is kept, but not those of commands that make a role or set its password.
SECRETIVE = r"\mpassword\M"

_KEPT = """
    SELECT left(s.query, %(longest)s) AS query, length(s.query) > %(longest)s AS is_cut, r.rolname AS role,
        s.calls, s.mean_exec_time AS mean, s.total_exec_time AS total, s.query ~* %(secretive)s AS is_secretive,
        s.total_exec_time / nullif(sum(s.total_exec_time) OVER (), 0) AS share
    FROM pg_stat_statements s
    JOIN pg_database d ON d.oid = s.dbid AND d.datname = current_database()
    LEFT JOIN pg_roles r ON r.oid = s.userid
"""
_COUNTED = """
    SELECT count(*) FILTER (WHERE mean_exec_time > %(slow)s AND calls >= %(often)s) AS slow,
        coalesce(max(mean_exec_time) FILTER (WHERE calls >= %(often)s), 0) / 1000 AS slowest
    FROM pg_stat_statements(false) s
    JOIN pg_database d ON d.oid = s.dbid AND d.datname = current_database()
"""


class Unreadable(Exception):
    """The statements cannot be read; the text says what to do."""


@dataclass(frozen=True)
class Statement:
    query: str
    role: str | None
    calls: int
    mean: float  # milliseconds, as the next
    total: float
    share: float  # of the time of all statements, in percent

    @property
    def seconds(self) -> float:
        return self.total / 1000


@dataclass(frozen=True)
class Counted:
    """Of those that were called often enough for their mean to say something."""

    slow: int
    slowest: float  # seconds, the longest mean


def slow() -> list[Statement]:
    """Those that take long on average, what takes most of the server's time first."""
    owner = connections["migrator"]
    try:
        with closing(owner.get_new_connection(owner.get_connection_params())) as own, own.cursor() as cursor:
            cursor.execute("SELECT set_config('statement_timeout', %s, false)", [PATIENCE])
            check(cursor)
            if not _asked(cursor, "SELECT pg_has_role(current_user, %s, 'USAGE')", RIGHT):
                role = _asked(cursor, "SELECT current_user")
                raise Unreadable(
                    f"{role} may not read what others ask: as the server's superuser, run GRANT {RIGHT} TO {role}."
                )
            cursor.execute(
                f"SELECT * FROM ({_KEPT}) kept WHERE mean > %(slow)s ORDER BY total DESC LIMIT %(most)s",
                {"longest": LONGEST, "secretive": SECRETIVE, "slow": SLOW_MS, "most": MOST},
            )
            return [_statement(*row) for row in cursor.fetchall()]
    except psycopg.Error:
        raise Unreadable("The database of MIGRATOR_DATABASE_URL does not answer, or not in time.") from None


def _statement(
    query: str, is_cut: bool, role: str | None, calls: int, mean: float, total: float, secretive: bool, share: float
) -> Statement:
    text = "(not shown: it names a password)" if secretive else " ".join(query.split()) + ("…" if is_cut else "")
    return Statement(text, role, calls, mean, total, 100 * (share or 0))


def counted() -> Counted:
    """For `/metrics`: without the texts, which lie in a file."""
    with connection.cursor() as cursor:
        check(cursor)
        cursor.execute(_COUNTED, {"slow": SLOW_MS, "often": OFTEN})
        return Counted(*cursor.fetchone())


def check(cursor: Any) -> None:
    """Asked before: an error would end the transaction in which somebody asks."""
    if not _asked(cursor, "SELECT current_setting('pg_stat_statements.max', true) IS NOT NULL"):
        raise Unreadable(
            f"The server does not count its statements: add {EXTENSION} to shared_preload_libraries and restart it."
        )
    if not _asked(cursor, "SELECT EXISTS (SELECT FROM pg_extension WHERE extname = %s)", EXTENSION):
        raise Unreadable(f"This database has no {EXTENSION}: as its superuser, run CREATE EXTENSION {EXTENSION}.")


def _asked(cursor: Any, question: str, *given: str) -> Any:
    cursor.execute(question, given)
    return cursor.fetchone()[0]
