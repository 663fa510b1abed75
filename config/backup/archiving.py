"""Whether PostgreSQL's log reaches the directory of BACKUP_URL: while it does not, a lost server takes it along."""

from datetime import datetime

from django.db import connection

# A failure that no success has followed.
FAILING = """
    SELECT last_failed_time IS NOT NULL AND last_failed_time > coalesce(last_archived_time, '-infinity')
    FROM pg_stat_archiver
"""


def failing_since() -> datetime | None:
    """The last moment that is safe: when a piece of the log was archived last, or counting began. None: all is well."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT coalesce(last_archived_time, stats_reset) FROM pg_stat_archiver WHERE ({FAILING})")
        row = cursor.fetchone()
    return row[0] if row else None
