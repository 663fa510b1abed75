"""What the database does when metric events arrive: once a statement, for all of its rows together."""

from typing import Any

import pgtrigger

from audit.triggers import DefinerGuard, refusal

# The keys are declared NOT ENFORCED, because a check for each row costs more than the rows themselves. Rows of
# campaign, agent and artifact are never deleted and their keys never change: one look at each parent is as strict.
PARENTS = (  # column, its table, the key there
    ("campaign_id", "campaign", "campaign_id"),
    ("agent_id", "agent", "agent_id"),
    ("content_id", "artifact", "artifact_id"),
)
LARGEST = 2**63 - 1
MEASURES = "sum, count, max, last_observed_at"


def _rollup(table: str, columns: str, key: str, source: str) -> str:
    """Nonsense near the end of bigint fills a sum up, and refuses nobody else's measurements.

    Rows are written in the order of their key, so that two batches never wait for each other in a circle.
    """
    return f"""
                INSERT INTO {table} AS r ({columns}, {MEASURES})
                SELECT {columns}, {MEASURES} FROM {source} ORDER BY {key}
                ON CONFLICT ({key}) DO UPDATE
                SET sum = CASE WHEN r.sum < {LARGEST} - EXCLUDED.sum THEN r.sum + EXCLUDED.sum ELSE {LARGEST} END,
                    count = r.count + EXCLUDED.count,
                    max = GREATEST(r.max, EXCLUDED.max), updated_at = now(),
                    last_observed_at = GREATEST(r.last_observed_at, EXCLUDED.last_observed_at)"""


HOURS = _rollup(
    "metric_rollup",
    "bucket, campaign_id, content_id, agent_id, platform, metric_type",
    "content_id, platform, metric_type, bucket, agent_id, campaign_id",
    "hours",
)
DAYS = _rollup(
    "metric_rollup_daily",
    "bucket, campaign_id, content_id, agent_id, platform, metric_type",
    "campaign_id, metric_type, bucket, content_id, platform, agent_id",
    "days",
)
CAMPAIGNS = _rollup(
    "metric_rollup_campaign",
    "bucket, campaign_id, agent_id, platform, metric_type",
    "metric_type, bucket, campaign_id, agent_id, platform",
    "campaigns",
)
SUMMED = (
    f"LEAST(sum(sum), {LARGEST})::bigint AS sum, sum(count)::bigint AS count, max(max) AS max,"
    " max(last_observed_at) AS last_observed_at"
)


def _refuse_unknown(column: str, parent: str) -> str:
    """In PostgreSQL's own words and with its code, so that writers cannot tell the difference."""
    constraint = f"metric_event_{column}_fkey"
    return f"""
            IF missing_{parent} IS NOT NULL THEN
                RAISE EXCEPTION 'insert or update on table "metric_event" violates foreign key constraint "%"',
                    '{constraint}'
                    USING ERRCODE = 'foreign_key_violation', TABLE = 'metric_event', SCHEMA = TG_TABLE_SCHEMA,
                    CONSTRAINT = '{constraint}',
                    DETAIL = format('Key ({column})=(%s) is not present in table "{parent}".', missing_{parent});
            END IF;"""


class Arrived(DefinerGuard):
    """Every event has its parents and an open month, and is in the sums of its hour and day, whoever wrote it."""

    name = "arrived"  # before audit_insert: triggers fire in the order of their names
    when = pgtrigger.After
    level = pgtrigger.Statement
    operation = pgtrigger.Insert
    referencing = pgtrigger.Referencing(new="new_rows")  # type: ignore[no-untyped-call]
    declare = [
        ("first", "timestamptz"),
        ("newest", "timestamptz"),
        ("month", "text"),
        *((f"missing_{parent}", "text") for _, parent, _ in PARENTS),
    ]

    def get_func(self, model: Any) -> str:
        missing = ",\n                   ".join(
            f"(SELECT p.{column}::text FROM (SELECT DISTINCT {column} FROM days) p"
            f" WHERE NOT EXISTS (SELECT FROM {parent} o WHERE o.{key} = p.{column}) LIMIT 1)"
            for column, parent, key in PARENTS
        )
        unknown = "".join(_refuse_unknown(column, parent) for column, parent, _ in PARENTS)
        closed = refusal("metric_event", "month_closed", "% is closed, since it was or is being archived", "month")
        return f"""
            SELECT min(observed_at), max(observed_at) INTO first, newest FROM new_rows;
            IF first IS NULL THEN
                RETURN NULL;
            END IF;
            -- Looked up after the rows are in: whoever closes a month then waits for the writers that it let pass.
            SELECT to_char(a.range_start AT TIME ZONE 'UTC', 'YYYY-MM') INTO month FROM metric_archive a
            WHERE a.table_name = 'metric_event' AND a.state <> 'restored'
              AND a.range_start <= newest AND a.range_end > first
              AND EXISTS (SELECT FROM new_rows n WHERE n.observed_at >= a.range_start AND n.observed_at < a.range_end)
            LIMIT 1;
            IF month IS NOT NULL THEN
                {closed}
            END IF;
            WITH hours AS MATERIALIZED (
                SELECT date_bin('1 hour', observed_at, 'epoch') AS bucket,
                       campaign_id, content_id, agent_id, platform, metric_type,
                       LEAST(sum(metric_value), {LARGEST})::bigint AS sum, count(*) AS count,
                       max(metric_value) AS max,
                       max(observed_at) AS last_observed_at
                FROM new_rows GROUP BY 1, 2, 3, 4, 5, 6
            ), days AS MATERIALIZED (
                SELECT date_bin('1 day', bucket, 'epoch') AS bucket,
                       campaign_id, content_id, agent_id, platform, metric_type, {SUMMED}
                FROM hours GROUP BY 1, 2, 3, 4, 5, 6
            ), campaigns AS (
                SELECT bucket, campaign_id, agent_id, platform, metric_type, {SUMMED} FROM days GROUP BY 1, 2, 3, 4, 5
            ), hourly AS ({HOURS}
            ), daily AS ({DAYS}
            ), of_campaigns AS ({CAMPAIGNS}
            )
            SELECT {missing}
            INTO {", ".join(f"missing_{parent}" for _, parent, _ in PARENTS)};{unknown}
            RETURN NULL;
        """
