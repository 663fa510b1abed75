"""Measurements become metric events, by one way for files and for the API.

A batch is copied into a staging table, checked as a set, and merged in one statement, which also brings the running
totals, the corrections, the hourly sums and the audit log up to date: all of it commits, or none.

An increase is the event's value as it stands. Platforms report running totals: there the value is the increase over
the highest total that this source has reported before, so that the sum of increases is the highest total whatever the
order of arrival, and the same observation twice adds nothing.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from audit.context import Actor
from audit.statement import actor_parameters, insert_audit
from campaigns.services.locks import share_campaigns
from content.choices import PublishStatus
from content.post_file import LARGEST, LONGEST_ID, Reject
from metrics.choices import MetricType
from metrics.models import MetricEvent
from metrics.partitions import EARLIEST, EVENTS, Month, closed, existing, this_month

LONGEST_NAME = 100  # characters of a platform and of a source; both stand in unique indexes
CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What `source` saw of a post, named by its platform's id, or of an artifact on a platform.

    Either an increase or a running total. Two are the same event when their `event_id` and `observed_at` are; without
    an id, when all that they say is. `line` is where it stands in its file or request.
    """

    line: int
    platform: str
    metric_type: MetricType
    observed_at: datetime
    source: str
    platform_post_id: str | None = None
    artifact_id: UUID | None = None
    increase: int | None = None
    total: int | None = None
    event_id: UUID | None = None


@dataclass(frozen=True)
class BatchResult:
    """Each measurement is in exactly one of the four: a new event, nothing new, a total that fell, a reject."""

    accepted: int
    duplicates: int
    corrections: int
    rejects: list[Reject]


STAGING = """
    CREATE TEMPORARY TABLE metric_staging (
        item integer, platform text, platform_post_id text, artifact_id uuid, metric_type text, observed_at timestamptz,
        source text, increase bigint, total bigint, event_id uuid, publish_id uuid
    ) ON COMMIT DROP
"""

# Which post and which artifact each one means is settled once. A post that comes out later is for the next batch.
RESOLVE = """
    UPDATE metric_staging s
    SET publish_id = COALESCE(named.publish_id, made.publish_id), artifact_id = a.artifact_id,
        platform_post_id = COALESCE(named.platform_post_id, made.platform_post_id)
    FROM metric_staging o
    LEFT JOIN publish_record named ON named.platform = o.platform AND named.platform_post_id = o.platform_post_id
                                  AND named.status = %(published)s
    LEFT JOIN publish_record made ON made.artifact_id = o.artifact_id AND made.platform = o.platform
                                 AND made.status = %(published)s
    LEFT JOIN artifact a ON a.artifact_id = COALESCE(named.artifact_id, o.artifact_id)
    WHERE s.item = o.item
"""

TAKE_OUT_UNKNOWN = """
    DELETE FROM metric_staging WHERE artifact_id IS NULL OR (publish_id IS NULL AND total IS NOT NULL)
    RETURNING item, artifact_id IS NOT NULL
"""

# Two batches lock the campaigns and then the posts that they share in one order: the second waits, and then sees the
# totals of the first. Increases need no lock; their ids settle who counts.
CAMPAIGNS = "SELECT DISTINCT a.campaign_id FROM metric_staging s JOIN artifact a USING (artifact_id)"
LOCK_POSTS = """
    SELECT FROM publish_record WHERE publish_id IN (SELECT publish_id FROM metric_staging WHERE total IS NOT NULL)
    ORDER BY publish_id FOR NO KEY UPDATE
"""

NEW_EVENTS = """(
    SELECT NULL::jsonb AS before, to_jsonb(e) AS after, r.trace_id, e.campaign_id
    FROM events e JOIN risen r USING (event_id, observed_at)
) new"""

MERGE = f"""
    WITH identified AS MATERIALIZED (
        -- What a batch says twice counts once, as its first line says it.
        SELECT DISTINCT ON (event_id, observed_at) * FROM (
            SELECT s.item, s.platform, s.artifact_id AS content_id, s.publish_id, s.metric_type, s.observed_at,
                   s.source, s.increase, s.total, s.event_id IS NOT NULL AS id_given,
                   a.campaign_id, t.agent_id, t.trace_id,
                   -- Shaped like a UUIDv7 of the measurement, so that a replay is recognised and the index stays local.
                   COALESCE(s.event_id, (lpad(to_hex(floor(extract(epoch FROM observed_at) * 1000)::bigint), 12, '0')
                       || '7' || substr(digest, 1, 3) || '8' || substr(digest, 4, 15))::uuid) AS event_id
            FROM metric_staging s
            JOIN artifact a ON a.artifact_id = s.artifact_id
            JOIN task t ON t.task_id = a.task_id
            CROSS JOIN LATERAL (
                SELECT CASE WHEN s.total IS NULL
                       THEN concat_ws(chr(31), 'increase', s.platform, s.artifact_id, s.metric_type, s.source,
                                      extract(epoch FROM s.observed_at), s.increase)
                       ELSE concat_ws(chr(31), s.platform, s.platform_post_id, s.metric_type, s.source, s.total)
                       END AS said) w
            CROSS JOIN LATERAL (SELECT encode(sha256(convert_to(said, 'UTF8')), 'hex') AS digest) d
        ) i ORDER BY event_id, observed_at, item
    ), observed AS MATERIALIZED (
        SELECT i.*, k.highest_total, k.last_total AS known_total, k.last_observed_at AS known_at,
               max(i.total) OVER (post ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS highest_in_batch,
               lag(i.total) OVER post AS previous_total, lag(i.observed_at) OVER post AS previous_at
        FROM identified i
        LEFT JOIN metric_counter k
               ON k.publish_id = i.publish_id AND k.metric_type = i.metric_type AND k.source = i.source
        WINDOW post AS (PARTITION BY i.total IS NULL, i.publish_id, i.metric_type, i.source
                        ORDER BY i.observed_at, i.total, i.item)
    ), risen AS MATERIALIZED (
        SELECT o.*, COALESCE(increase, total - COALESCE(GREATEST(highest_total, highest_in_batch), 0)) AS metric_value
        FROM observed o
        WHERE increase IS NOT NULL OR total > COALESCE(GREATEST(highest_total, highest_in_batch), -1)
    ), events AS (
        -- In one order, since batches that share ids wait for each other here.
        INSERT INTO metric_event (event_id, campaign_id, agent_id, content_id, platform, metric_type, metric_value,
                                  observed_at, source)
        SELECT event_id, campaign_id, agent_id, content_id, platform, metric_type, metric_value, observed_at, source
        FROM risen ORDER BY event_id, observed_at
        ON CONFLICT (event_id, observed_at) DO NOTHING
        RETURNING event_id, campaign_id, agent_id, content_id, platform, metric_type, metric_value, observed_at, source
    ), rollups AS (
        -- Nonsense near the end of bigint fills a sum up, and refuses nobody else's measurements.
        INSERT INTO metric_rollup AS r (bucket, campaign_id, content_id, agent_id, platform, metric_type,
                                        sum, count, max, last_observed_at)
        SELECT date_trunc('hour', observed_at, 'UTC'), campaign_id, content_id, agent_id, platform, metric_type,
               LEAST(sum(metric_value), %(largest)s), count(*), max(metric_value), max(observed_at)
        FROM events GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 2, 3, 4, 5, 6, 1
        ON CONFLICT (campaign_id, content_id, agent_id, platform, metric_type, bucket) DO UPDATE
        SET sum = LEAST(r.sum::numeric + EXCLUDED.sum, %(largest)s), count = r.count + EXCLUDED.count,
            max = GREATEST(r.max, EXCLUDED.max),
            last_observed_at = GREATEST(r.last_observed_at, EXCLUDED.last_observed_at)
    ), counters AS (
        INSERT INTO metric_counter AS k (publish_id, metric_type, source, highest_total, last_total, last_observed_at)
        SELECT publish_id, metric_type, source, max(total),
               (array_agg(total ORDER BY observed_at DESC, total DESC))[1], max(observed_at)
        FROM observed WHERE total IS NOT NULL
        GROUP BY publish_id, metric_type, source ORDER BY publish_id, metric_type, source
        ON CONFLICT (publish_id, metric_type, source) DO UPDATE
        SET highest_total = GREATEST(k.highest_total, EXCLUDED.highest_total),
            last_total = CASE WHEN EXCLUDED.last_observed_at > k.last_observed_at
                              THEN EXCLUDED.last_total ELSE k.last_total END,
            last_observed_at = GREATEST(k.last_observed_at, EXCLUDED.last_observed_at)
    ), corrections AS (
        -- A total that arrives late is lower than what we know, but has not fallen: only newer ones count.
        INSERT INTO metric_correction (publish_id, metric_type, source, from_total, to_total, observed_at)
        SELECT publish_id, metric_type, source, f.before, total, observed_at
        FROM observed
        CROSS JOIN LATERAL (SELECT CASE WHEN known_at IS NULL OR previous_at > known_at THEN previous_total
                                        ELSE known_total END AS before) f
        WHERE total < f.before AND observed_at > COALESCE(known_at, '-infinity')
          AND observed_at > COALESCE(previous_at, '-infinity')
        ON CONFLICT (publish_id, metric_type, source, observed_at) DO NOTHING
        RETURNING 1
    ), audited AS (
        {insert_audit(MetricEvent, "ingest", trace="trace_id", campaign="campaign_id", rows=NEW_EVENTS)}
    )
    SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM corrections),
           EXISTS (SELECT FROM risen r WHERE r.id_given AND r.total IS NOT NULL AND NOT EXISTS (
               SELECT FROM events e WHERE e.event_id = r.event_id AND e.observed_at = r.observed_at))
"""

# A total under a taken id changes nothing. Each one looks into the index of its month; a join might read all events.
TAKE_OUT_KNOWN = """
    DELETE FROM metric_staging s
    WHERE s.total IS NOT NULL AND s.event_id IS NOT NULL
      AND (SELECT true FROM metric_event e WHERE e.event_id = s.event_id AND e.observed_at = s.observed_at)
"""


@transaction.atomic
def append_events(*, measurements: Sequence[Measurement], actor: Actor) -> BatchResult:
    """Take what was measured; returns what was new, and what could not be taken and why.

    Idempotent: a batch that was taken already adds nothing, so that whoever was killed simply starts again.

    An artifact needs no published post for an increase: a post may be out before its publisher has said so, and what
    was measured must not be lost for that. A running total belongs to one post.
    """
    good, rejects = _sorted_out(measurements)
    parameters = {"published": PublishStatus.PUBLISHED, "largest": LARGEST, **actor_parameters(actor)}
    with connection.cursor() as cursor:
        cursor.execute(STAGING)
        _stage(good)
        cursor.execute(RESOLVE, parameters)
        cursor.execute(TAKE_OUT_UNKNOWN)
        unknown = [(good[item], artifact_is_known) for item, artifact_is_known in cursor.fetchall()]
        cursor.execute(CAMPAIGNS)
        share_campaigns([campaign_id for (campaign_id,) in cursor.fetchall()])
        cursor.execute(LOCK_POSTS)
        events, corrections = _merge(cursor, parameters)
        cursor.execute("DROP TABLE metric_staging")
    rejects |= {row.line: _why_unknown(row, artifact_is_known) for row, artifact_is_known in unknown}
    return BatchResult(
        accepted=events,
        duplicates=len(good) - len(unknown) - events - corrections,
        corrections=corrections,
        rejects=[Reject(line, why) for line, why in sorted(rejects.items())],
    )


def _merge(cursor: Any, parameters: dict[str, Any]) -> tuple[int, int]:
    """How many events and corrections there were.

    A given id may be taken at this very moment, by another batch: what was counted on its total is counted again.
    """
    while True:
        cursor.execute(TAKE_OUT_KNOWN)
        savepoint = transaction.savepoint()
        cursor.execute(MERGE, parameters)
        events, corrections, id_was_taken = cursor.fetchone()
        if not id_was_taken:
            transaction.savepoint_commit(savepoint)
            return events, corrections
        transaction.savepoint_rollback(savepoint)


def _stage(measurements: Iterable[Measurement]) -> None:
    with (
        connection.cursor() as cursor,
        cursor.copy(
            "COPY metric_staging (item, platform, platform_post_id, artifact_id, metric_type, observed_at, source,"
            " increase, total, event_id) FROM STDIN (FORMAT BINARY)"
        ) as copy,
    ):
        copy.set_types(["int4", "text", "text", "uuid", "text", "timestamptz", "text", "int8", "int8", "uuid"])
        for item, row in enumerate(measurements):
            post, kind = row.platform_post_id, str(row.metric_type)
            what = (item, row.platform, post, row.artifact_id, kind, row.observed_at, row.source)
            copy.write_row((*what, row.increase, row.total, row.event_id))


def _sorted_out(measurements: Iterable[Measurement]) -> tuple[list[Measurement], dict[int, str]]:
    """Those that may go in, and why the others may not, by line: a single one would refuse the whole batch."""
    present, gone = existing(EVENTS), closed(EVENTS)
    good, bad = [], {}
    for row in measurements:
        if problem := _problem(row) or _no_month(row.observed_at, present, gone):
            bad[row.line] = problem
        else:
            good.append(row)
    return good, bad


def _problem(row: Measurement) -> str:
    """Why this cannot be stored; empty when it can."""
    number = row.increase if row.total is None else row.total
    if (row.increase is None) == (row.total is None) or number is None:
        return "give either increase or total."
    if not 0 <= number <= LARGEST:
        return f"the number is not from 0 to {LARGEST}."
    if (row.artifact_id is None) == (row.platform_post_id is None):
        return "give either artifact_id or platform_post_id."
    if len(row.platform_post_id or "") > LONGEST_ID or "\x00" in (row.platform_post_id or ""):
        return f"platform_post_id has more than {LONGEST_ID} characters, or a NUL."
    for name, value in (("platform", row.platform), ("source", row.source)):
        if not 1 <= len(value) <= LONGEST_NAME or value != value.strip() or CONTROL.search(value):
            return f"{name} is a name of 1 to {LONGEST_NAME} characters, without spaces around it."
    if row.artifact_id and row.platform != row.platform.lower():
        return f"platform is written in small letters: {row.platform.lower()}."
    return ""


def _why_unknown(row: Measurement, artifact_is_known: bool) -> str:
    if row.artifact_id is None:
        unknown = f"no published {row.platform} post has the id {row.platform_post_id!r}"
        return f"{unknown}; report it as published, or adopt it (adopt_posts)."
    if not artifact_is_known:
        return f"there is no artifact {row.artifact_id}."
    return (
        f"artifact {row.artifact_id} has no published {row.platform} post, and a running total is one post's;"
        " report it as published first, or give an increase."
    )


def _no_month(observed_at: datetime, present: set[Month], gone: set[Month]) -> str:
    """Why nothing can be stored that was observed then; empty when it can."""
    try:
        month = Month.of(observed_at.astimezone(UTC))
    except OverflowError:  # the calendar's first or last day, in another zone
        return f"{observed_at.isoformat()} lies outside of the calendar."
    if month in present and month not in gone:  # a month that is being archived is still there
        return ""
    if month in gone:
        return f"{month} is closed, since it was or is being archived; restore it first."
    if month < EARLIEST:
        return f"{month} lies before {EARLIEST.year}."
    if month > this_month().plus(EVENTS.ahead):
        return f"{month} lies in the future."
    return f"there is no month {month} yet; make it: manage.py rotate_partitions --from {min(month, this_month())}"
