"""How fast measurements come in: `python -m benchmarks.ingest`.

The same rows go through each way into a table of its own, round by round, and ratios are taken within a round. What
they are compared with is the specification's table as it is written: partitioned, three indexes, a foreign key check
for every row; it knows no rollups and takes a row twice.
"""

import csv
import random
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from audit.context import Actor
from benchmarks import world
from config import embedded
from metrics.choices import MetricType
from metrics.partitions import this_month
from metrics.services.files import Rejects, ingest_input
from metrics.services.inputs import Format, HowToRead


class Size(NamedTuple):
    rows: int = 1_000_000
    posts: int = 1_000
    rounds: int = 3


QUICK = Size(20_000, 100, 1)
ACTOR = Actor.system("benchmark")
COLUMNS = "event_id, campaign_id, agent_id, content_id, platform, metric_type, metric_value, observed_at, source"
STEP = timedelta(minutes=10)  # between two observations of a post

POSTS = """
    WITH c AS (SELECT array_agg(campaign_id) AS ids FROM campaign WHERE status = 'active'),
    t AS (
        INSERT INTO task (campaign_id, agent_id, task_type, priority, status, title, context)
        SELECT ids[1 + n %% cardinality(ids)], %(agent)s, 'draft_post', 'medium', 'done', 'Post ' || n, '{}'
        FROM c, generate_series(1, %(posts)s) n RETURNING *
    ), a AS (
        INSERT INTO artifact (task_id, campaign_id, artifact_type, version, content_ref, content_sha256, metadata)
        SELECT task_id, campaign_id, 'text', 1, 'https://example.org/' || task_id, repeat('a', 64), '{}' FROM t
        RETURNING *
    )
    INSERT INTO publish_record (campaign_id, artifact_id, platform, platform_post_id, disclosure_level, status,
                                adopted, content_sha256, published_at)
    SELECT campaign_id, artifact_id, 'tiktok', artifact_id::text, 'assisted', 'published', true, content_sha256, now()
    FROM a
"""
SPECIFIED = """
    CREATE TABLE specified (
        event_id uuid, campaign_id uuid NOT NULL REFERENCES campaign, agent_id text NOT NULL REFERENCES agent,
        content_id uuid NOT NULL REFERENCES artifact, platform text NOT NULL,
        metric_type text NOT NULL CHECK (metric_type IN ('views', 'likes', 'comments', 'shares', 'watch_time_seconds')),
        metric_value bigint NOT NULL CHECK (metric_value >= 0), observed_at timestamptz NOT NULL,
        ingested_at timestamptz NOT NULL DEFAULT now(), source text NOT NULL, PRIMARY KEY (event_id, observed_at)
    ) PARTITION BY RANGE (observed_at);
    CREATE INDEX ON specified (campaign_id, observed_at);
    CREATE INDEX ON specified (content_id, observed_at);
    CREATE INDEX ON specified (platform, metric_type, observed_at);
"""


def fill(posts: int) -> list[tuple[str, str, str]]:
    """Published posts, as (campaign, agent, artifact)."""
    world.fill("gatehouse")
    with world.administrator("gatehouse") as owner:
        owner.execute(POSTS, {"agent": world.AGENT, "posts": posts})
        owner.execute(SPECIFIED)
        for month in (this_month().plus(back) for back in range(-2, 1)):
            bounds = f"FROM ('{month.start}') TO ('{month.plus(1).start}')"
            owner.execute(
                f"CREATE TABLE specified_{month.year}_{month.month} PARTITION OF specified FOR VALUES {bounds}"
            )
        owner.execute("VACUUM ANALYZE")
        found = owner.execute(
            "SELECT campaign_id::text, agent_id, artifact_id::text FROM artifact JOIN task USING (task_id, campaign_id)"
        )
        return found.fetchall()


def measurements(posts: list[tuple[str, str, str]], amount: int, seed: int) -> Iterator[list[str]]:
    """Rows of the specification's table: each post, each measure, every ten minutes, and never the same twice."""
    chance, at = random.Random(seed), this_month().plus(-1).start
    milliseconds, number = 0, 0
    while True:
        at += STEP
        milliseconds, moment = int(at.timestamp() * 1000), at.isoformat()
        for campaign, agent, content in posts:
            for kind in MetricType.values:
                key = UUID(
                    int=milliseconds << 80 | 7 << 76 | chance.getrandbits(12) << 64 | 2 << 62 | chance.getrandbits(62)
                )
                yield [
                    str(key),
                    campaign,
                    agent,
                    content,
                    "tiktok",
                    kind,
                    str(chance.randrange(500)),
                    moment,
                    f"collector-{seed}",
                ]
                number += 1
                if number == amount:
                    return


def written(path: Path, rows: Iterator[list[str]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS.split(", "))
        writer.writerows(rows)
    return path


def by_service(path: Path) -> None:
    with path.open("rb") as stream:
        counted = ingest_input(
            stream=stream, name=path.name, how=HowToRead(Format.CSV), actor=ACTOR, rejects=Rejects(None, print)
        )
    assert counted.accepted == counted.row_count, counted


def by_psql(path: Path) -> None:
    copy = f"\\copy specified ({COLUMNS}) FROM '{path}' (FORMAT CSV, HEADER)"
    url = embedded.url("postgres", "gatehouse")
    subprocess.run([str(embedded.programs() / "psql"), "-qc", copy, url], check=True)
