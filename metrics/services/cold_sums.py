"""The sums of an archived month, from its files: one row group at a time into PostgreSQL, which adds them up.

However long the month is, one row group is in memory. The sums of a group are exact (bigints are added as decimals),
and a month whose groups share no key at all spills to PostgreSQL's disk.
"""

import io
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from django.db import connections

from metrics.models import MetricArchive
from metrics.services.archive_batches import cold_batches
from metrics.services.archive_store import StoreProblem

PARTS = "cold_part"
KEY = ["bucket", "campaign_id", "content_id", "agent_id", "platform", "metric_type"]
READ = ["observed_at", "campaign_id", "content_id", "agent_id", "platform", "metric_type", "metric_value"]
MEASURES = [("value", "sum"), ("metric_value", "count"), ("metric_value", "max"), ("observed_at", "max")]
EXACT = pa.decimal128(38, 0)
QUOTED = pa.csv.WriteOptions(include_header=False)


def bring_in(receipt: MetricArchive, *, using: str) -> str:
    """Makes the temporary table PARTS of the receipt's files; returns why it cannot be done, or nothing.

    Files that have lost rows must not pass for what should be summed.
    """
    rows = 0
    with connections[using].cursor() as cursor:
        cursor.execute(
            f"CREATE TEMPORARY TABLE {PARTS} (bucket timestamptz, campaign_id uuid, content_id uuid, agent_id text,"
            " platform text, metric_type text, sum numeric, count bigint, max bigint, last_observed_at timestamptz)"
            " ON COMMIT DROP"
        )
        try:
            for part, amount in parts(receipt):
                with cursor.copy(f"COPY {PARTS} FROM STDIN (FORMAT csv)") as copy:
                    copy.write(part)
                rows += amount
        except StoreProblem as problem:
            return problem.sentence
    if rows != receipt.row_count:
        return f"The files of {receipt} have {rows:,} rows, and its receipt {receipt.row_count:,}: run verify_archives."
    return ""


def parts(receipt: MetricArchive) -> Iterator[tuple[Any, int]]:
    """The sums of each row group as CSV, and how many events it had."""
    for batch in cold_batches(receipt, READ):
        written = io.BytesIO()
        pa.csv.write_csv(_summed(pa.Table.from_batches([batch])), written, QUOTED)
        yield written.getbuffer(), batch.num_rows


def _summed(events: pa.Table) -> pa.Table:
    value = events["metric_value"].cast(EXACT)
    events = events.append_column("value", value).append_column(
        "bucket", pc.floor_temporal(events["observed_at"], unit="hour")
    )
    sums = events.group_by(KEY).aggregate(MEASURES)
    columns = [*KEY, *(f"{name}_{function}" for name, function in MEASURES)]
    return sums.select(columns).set_column(len(KEY), "sum", sums["value_sum"].cast(pa.string()))
