"""Old months with rows in them, an archive in a directory, and the two compared by other means than ours."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import psycopg
import pyarrow.parquet as pq
from django.conf import settings

from content.models import PublishRecord
from metrics.models import MetricArchive
from metrics.partitions import AUDIT, EVENTS, TABLES, Month, PartitionedTable, existing, make, this_month
from metrics.services.archive_store import files_of
from metrics.services.watching import Watch
from tests.conftest import address

OLD = this_month().plus(-9)
KEYS = {EVENTS: "event_id, observed_at", AUDIT: "audit_id, created_at"}

EVENT_ROWS = """
    INSERT INTO metric_event (campaign_id, agent_id, content_id, platform, metric_type, metric_value, observed_at,
                              ingested_at, source)
    SELECT %(campaign)s, %(agent)s, %(content)s, %(platform)s, (ARRAY['views', 'likes', 'shares'])[1 + n %% 3],
           n::bigint * 100000000000, %(start)s::timestamptz + n * interval '7.000001 seconds',
           now() - n * interval '1 second', 'ቡና “' || n %% 2 || '”'
    FROM generate_series(1, %(rows)s) n
"""
AUDIT_ROWS = """
    INSERT INTO audit_log (trace_id, actor_type, actor_id, entity_type, entity_id, action, severity, created_at,
                           campaign_id, changes, output_summary)
    SELECT md5(n::text), 'system', nullif('a' || n %% 3, 'a0'), 'task', n::text, 'create', 'info',
           %(start)s::timestamptz + n * interval '7.000001 seconds',
           CASE WHEN n %% 2 = 0 THEN uuidv7() END,
           CASE WHEN n %% 5 > 0
                THEN jsonb_build_object('n', n * 1.10, 'text', E'“\\n”', 'deep', '[null, {}]'::jsonb) END,
           CASE WHEN n %% 7 = 0 THEN E'tab\\there, ''quote'' and \\\\N' END
    FROM generate_series(1, %(rows)s) n
"""


def owner() -> psycopg.Connection[Any]:
    return psycopg.connect(**address("migrator"), autocommit=True)


def fill(post: PublishRecord, rows: int = 500, month: Month = OLD, table: PartitionedTable = EVENTS) -> None:
    """An old month, attached, with rows that try every corner of their types."""
    make(table, month)
    given = {"campaign": post.campaign_id, "content": post.artifact_id, "agent": post.artifact.task.agent_id}
    with owner() as connection:
        statement = EVENT_ROWS if table is EVENTS else AUDIT_ROWS
        connection.execute(statement, {**given, "platform": post.platform, "rows": rows, "start": month.start})


def late_row(post: PublishRecord, month: Month = OLD, into: str = "metric_event") -> tuple[str, dict[str, Any]]:
    given = {"campaign": post.campaign_id, "content": post.artifact_id, "agent": post.artifact.task.agent_id}
    statement = EVENT_ROWS.replace("INTO metric_event", f"INTO {into}")
    return statement, {**given, "platform": "late", "rows": 1, "start": month.start + timedelta(days=20)}


def dump(name: str, table: PartitionedTable = EVENTS) -> bytes:
    """Every row as PostgreSQL writes it, in the order of the key."""
    statement = f"COPY (SELECT * FROM {name} ORDER BY {KEYS[table]}) TO STDOUT"
    with owner() as connection, connection.cursor() as cursor, cursor.copy(statement) as copy:
        return b"".join(bytes(piece) for piece in copy)


def tables_like(pattern: str) -> list[str]:
    with owner() as connection:
        found = connection.execute("SELECT relname FROM pg_class WHERE relkind = 'r' AND relname LIKE %s", [pattern])
        return sorted(name for (name,) in found)


def attached(table: PartitionedTable = EVENTS, month: Month = OLD) -> bool:
    return month in existing(table, using="migrator")


def receipt(table: PartitionedTable = EVENTS, month: Month = OLD) -> MetricArchive:
    return MetricArchive.objects.get(table_name=table.name, range_start=month.start)


def root() -> Path:
    return Path(unquote(urlsplit(settings.ARCHIVE_URL).path))


def files() -> list[Path]:
    """Every file in the archive, whatever it is called."""
    return sorted(path for path in root().rglob("*") if path.is_file())


def in_files(told: MetricArchive) -> tuple[int, int]:
    """Rows, and the sum of what was measured, of a receipt's files."""
    tables = [pq.read_table(root() / file.path, partitioning=None) for file in files_of(told)]
    return sum(table.num_rows for table in tables), sum(sum(table["metric_value"].to_pylist()) for table in tables)


def in_postgresql() -> tuple[int, int]:
    with owner() as connection:
        (found,) = connection.execute("SELECT count(*), coalesce(sum(metric_value), 0)::bigint FROM metric_event")
    return found


class Stopped(Exception):
    """Stands for the kill of the process at this very place."""


class StopAt(Watch):
    """Stops a run when a step has begun or ended."""

    def __init__(self, place: str) -> None:
        self.place = place

    def begin(self, what: str, rows: int) -> None:
        if what.partition(" ")[0] == self.place:
            raise Stopped

    def done(self, what: str, step: str, **facts: Any) -> None:
        if step == self.place:
            raise Stopped


class Listening(Watch):
    def __init__(self) -> None:
        self.told: list[str] = []
        self.steps: list[str] = []

    def tell(self, line: str) -> None:
        self.told.append(line)

    def done(self, what: str, step: str, **facts: Any) -> None:
        self.steps.append(step)


@contextmanager
def no_old_months() -> Iterator[None]:
    """Whatever a test has made of old months is gone afterwards: partitions, and what lies beside them."""
    yield
    with owner() as connection:
        for table in TABLES:
            kept = {table.leaf(month) for month in existing(table, using="migrator") if month >= this_month().plus(-1)}
            for name in tables_like(f"{table.name}\\_20%") + tables_like(f"{table.name}\\_19%"):
                if name not in kept:
                    connection.execute(f"DROP TABLE IF EXISTS {name}")
