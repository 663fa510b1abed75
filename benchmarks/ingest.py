"""How fast measurements come in: `python -m benchmarks.ingest`.

The same rows go through each way into a table of its own, round by round, and ratios are taken within a round. What
they are compared with is the specification's table as it is written: partitioned, three indexes, a foreign key check
for every row; it knows no rollups and takes a row twice.
"""

import csv
import http.client
import json
import random
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection, connections, models
from django.db.models.functions import Now

from agents.choices import TokenRole
from agents.services import create_token
from audit.context import Actor
from benchmarks import PLACE, report, world
from benchmarks.api import NDJSON, headers, served
from config import embedded
from metrics.choices import MetricType
from metrics.partitions import Month, rotate, this_month
from metrics.reading import Span, points
from metrics.services.files import Rejects, ingest_input
from metrics.services.inputs import Format, HowToRead


class Size(NamedTuple):
    rows: int = 1_000_000
    posts: int = 1_000
    rounds: int = 3
    slow: int = 100_000  # rows of the way that is slowest; rates are compared
    month: int = 500_000  # events of each full month
    months: int = 24


QUICK = Size(20_000, 100, 1, 2_000, 2_000, 2)
BATCH = 5_000  # events in one request
ACTOR = Actor.system("benchmark")
PSQL, SERVICE, API, DJANGO = (
    "psql \\copy into the specified table",
    "service",
    "API, batches of 5,000",
    "bulk_create(1000)",
)
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
    GRANT ALL ON specified TO gatehouse_app;
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


def measurements(posts: list[tuple[str, str, str]], amount: int, seed: str) -> Iterator[list[str]]:
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


class Specified(models.Model):
    """The specification's table, as Django would be told of it."""

    event_id = models.UUIDField(primary_key=True)
    campaign_id = models.UUIDField()
    agent_id = models.TextField()
    content_id = models.UUIDField()
    platform = models.TextField()
    metric_type = models.TextField()
    metric_value = models.BigIntegerField()
    observed_at = models.DateTimeField()
    ingested_at = models.DateTimeField(db_default=Now())
    source = models.TextField()

    class Meta:
        app_label, managed, db_table = "benchmarks", False, "specified"


def by_django(path: Path) -> None:
    with path.open(newline="") as file:
        rows = [
            Specified(**{**row, "observed_at": datetime.fromisoformat(row["observed_at"])})
            for row in csv.DictReader(file)
        ]
    Specified.objects.bulk_create(rows, batch_size=1000)


def by_api(port: int, token: str, bodies: Sequence[bytes]) -> None:
    """By two collectors at once."""

    def send(mine: Sequence[bytes]) -> None:
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        for body in mine:
            client.request("POST", "/api/v1/metrics/events", body, headers(token, NDJSON))
            answer = client.getresponse()
            text = answer.read()
            assert answer.status == 200, text
            assert json.loads(text)["accepted"] == BATCH, text

    with ThreadPoolExecutor(2) as collectors:
        list(collectors.map(send, (bodies[::2], bodies[1::2])))


def bodies(path: Path) -> list[bytes]:
    with path.open(newline="") as file:
        lines = [
            json.dumps(
                {
                    "event_id": row["event_id"],
                    "artifact_id": row["content_id"],
                    "platform": row["platform"],
                    "metric_type": row["metric_type"],
                    "increase": int(row["metric_value"]),
                    "observed_at": row["observed_at"],
                    "source": row["source"],
                }
            )
            for row in csv.DictReader(file)
        ]
    return ["\n".join(lines[at : at + BATCH]).encode() for at in range(0, len(lines), BATCH)]


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def ways_in(size: Size, posts: list[tuple[str, str, str]], port: int, token: str) -> list[dict[str, Any]]:
    rates: dict[str, list[float]] = {}
    for turn in range(size.rounds):
        report.say(f"Round {turn + 1} of {size.rounds}")
        rows = max(size.rows // BATCH, 1) * BATCH
        files = [
            written(PLACE / f"{name}.csv", measurements(posts, rows, f"{name}-{turn}")) for name in ("file", "api")
        ]
        slow = written(PLACE / "slow.csv", measurements(posts, size.slow, f"slow-{turn}"))
        sent = bodies(files[1])
        for name, amount, work in (
            (PSQL, rows, partial(by_psql, files[0])),
            (SERVICE, rows, partial(by_service, files[0])),
            (API, rows, partial(by_api, port, token, sent)),
            (DJANGO, size.slow, partial(by_django, slow)),
        ):
            rates.setdefault(name, []).append(amount / seconds(work))
        with world.administrator("gatehouse") as owner:
            owner.execute("CHECKPOINT")
    pairs = ((SERVICE, PSQL), (SERVICE, DJANGO), (API, SERVICE))
    return [
        {
            "what": f"{ours} ÷ {theirs}",
            "ratio": report.ratios(rates[ours], rates[theirs]),
            "rows/s": report.spread(rates[ours])["median"],
            "against, rows/s": report.spread(rates[theirs])["median"],
        }
        for ours, theirs in pairs
    ]


# Many months

MONTH = """
    INSERT INTO metric_event (campaign_id, agent_id, content_id, platform, metric_type, metric_value, observed_at,
                              source)
    SELECT a.campaign_id, %(agent)s, a.artifact_id, 'tiktok',
           (ARRAY['views', 'likes', 'comments', 'shares', 'watch_time_seconds'])[1 + n %% 5], 1 + n %% 500, at,
           'filled'
    FROM generate_series(1, %(amount)s) n
    JOIN (SELECT artifact_id, campaign_id, row_number() OVER () AS place FROM artifact) a
      ON a.place = 1 + n / 5 %% %(posts)s
    CROSS JOIN LATERAL (SELECT %(start)s::timestamptz + n::float / %(amount)s * interval '27 days' AS at) t
"""
RAW = """
    SELECT metric_type, date_bin('1 day', observed_at, 'epoch') AS bucket, sum(metric_value), max(observed_at)
    FROM metric_event WHERE observed_at >= %s AND observed_at < %s GROUP BY 1, 2
"""


def fill_months(size: Size, last: Month) -> int:
    """That many full months before `last`, sums and all; returns how many events there are."""
    rotate(start=last.plus(-size.months))
    with world.administrator("gatehouse") as owner:
        owner.execute("SET session_replication_role = origin")
        owner.execute("SET ROLE gatehouse_app")
        for back in range(size.months, 0, -1):
            month = last.plus(-back)
            report.say(f"Filling {month}")
            values = {"agent": world.AGENT, "amount": size.month, "posts": size.posts, "start": month.start}
            owner.execute(MONTH, values)
        owner.execute("RESET ROLE")
        owner.execute("VACUUM ANALYZE")
        (amount,) = owner.execute("SELECT count(*) FROM metric_event").fetchone() or (0,)
    return int(amount)


def dashboard(size: Size, last: Month, amount: int) -> list[dict[str, Any]]:
    """What the Metrics page asks first, 28 days and the 28 before; and the same answer from raw partitions."""
    end = last.start
    start, middle = end - timedelta(days=56), end - timedelta(days=28)
    span = Span("views", middle, end, start, end, by_hour=False)
    times: dict[str, list[float]] = {"sums": [], "raw": []}
    for _ in range(size.rounds + 2):
        began = time.perf_counter()
        told = {(point.measure, point.bucket, point.total, point.newest) for point in points({}, span)}
        times["sums"].append(time.perf_counter() - began)
        with connection.cursor() as cursor:
            began = time.perf_counter()
            cursor.execute(RAW, [start, end])
            raw = {(measure, bucket, int(total), newest) for measure, bucket, total, newest in cursor.fetchall()}
            times["raw"].append(time.perf_counter() - began)
        assert raw == told
    ratio = report.ratios(times["raw"], times["sums"])
    return [
        {
            "events": f"{amount:,}",
            "raw partitions ÷ sums": ratio,
            "sums, ms": report.spread([each * 1000 for each in times["sums"]]),
            "raw, ms": report.spread([each * 1000 for each in times["raw"]]),
            "at 100 M events, if raw grows with them": f"{ratio['median'] * 100e6 / amount:,.0f}",
        }
    ]


def growth(size: Size, posts: list[tuple[str, str, str]], first: list[float]) -> list[dict[str, Any]]:
    later = [
        size.rows
        / seconds(partial(by_service, written(PLACE / "late.csv", measurements(posts, size.rows, f"late-{turn}"))))
        for turn in range(len(first))
    ]
    return [
        {
            "rate after the full months ÷ before": report.ratios(later, first),
            "rows/s before": report.spread(first)["median"],
            "rows/s after": report.spread(later)["median"],
        }
    ]


def main() -> None:
    parser = report.parser(__doc__)
    parser.add_argument("--rows", type=int, default=Size().rows, help="of one file; a full month has half of them")
    arguments = parser.parse_args()
    size = QUICK if arguments.quick else Size(rows=arguments.rows, month=arguments.rows // 2)
    with world.server():
        posts = fill(size.posts)
        _, token = create_token(name="collector", role=TokenRole.METRICS, actor=ACTOR)
        connections.close_all()
        with served() as port:
            ways = ways_in(size, posts, port, token)
        first = [
            size.rows
            / seconds(
                partial(by_service, written(PLACE / "first.csv", measurements(posts, size.rows, f"first-{turn}")))
            )
            for turn in range(size.rounds)
        ]
        last = this_month().plus(-1)
        amount = fill_months(size, last)
        grown = growth(size, posts, first)
        shown = dashboard(size, last, amount)
    sections = {
        f"{size.rows:,} rows in": ways,
        f"After {size.months} full months of {size.month:,} events": grown,
        "A curve of 28 days and the 28 before": shown,
    }
    report.publish(sections, arguments.json)


if __name__ == "__main__":
    main()
