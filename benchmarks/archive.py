"""How fast a month leaves and comes back: `python -m benchmarks.archive --rows 2000000`.

In each round the same month is copied to nowhere by PostgreSQL, dumped by pg_dump, archived (closed, exported, read
back and compared, detached, dropped), restored, restored by pg_restore, and attached again; a ratio is taken within a
round. The commands run as they do for cron, in processes of their own; their times are those that they tell
themselves, without the start of Python, and their memory is what the system counted.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks import HOME, PLACE, report, world
from config import embedded
from metrics.partitions import EVENTS, make, this_month

ROUNDS = 3
MONTH = this_month().plus(-8)
LEAF = EVENTS.leaf(MONTH)
BESIDE = f"{LEAF}_restored"
CHECKOUT = Path(__file__).parents[1]

# What a fleet's collectors bring: some thousand posts on three platforms, five metrics, all day long.
ROWS = """
    INSERT INTO metric_event (event_id, campaign_id, agent_id, content_id, platform, metric_type, metric_value,
                              observed_at, ingested_at, source)
    SELECT (lpad(to_hex(floor(extract(epoch FROM at) * 1000)::bigint), 12, '0')
            || '7' || substr(digest, 1, 3) || '8' || substr(digest, 4, 15))::uuid,
           md5('campaign' || n %% 20)::uuid, 'writer-' || n %% 20, md5('post' || n %% 4000)::uuid,
           (ARRAY['youtube', 'tiktok', 'instagram'])[1 + n %% 4000 %% 3],
           (ARRAY['views', 'likes', 'comments', 'shares', 'watch_time_seconds'])[1 + n %% 5],
           floor(exp(random() * 9))::bigint, at, at + random() * interval '5 minutes',
           (ARRAY['collector', 'api', 'file'])[1 + n %% 3]
    FROM generate_series(1, %(rows)s) n,
         LATERAL (SELECT %(start)s::timestamptz + n::float / %(rows)s * interval '27 days'
                         + random() * interval '10 seconds' AS at) a,
         LATERAL (SELECT md5(n::text) AS digest) d
"""


def timed(*command: str) -> float:
    began = time.monotonic()
    subprocess.run(command, check=True, capture_output=True)
    return time.monotonic() - began


def copied() -> float:
    """PostgreSQL alone: every row in its binary form, to nowhere."""
    with world.administrator("gatehouse") as connection:
        began = time.monotonic()
        connection.execute(f"COPY {LEAF} TO '/dev/null' (FORMAT BINARY)")
        return time.monotonic() - began


def program(name: str, *arguments: str) -> float:
    return timed(str(embedded.programs() / name), *arguments)


def command(name: str, *arguments: str) -> tuple[dict[str, dict[str, Any]], float]:
    """What each step of a command told, and the megabytes that it needed at most."""
    path, environment = PLACE / "told", {**os.environ, "GATEHOUSE_HOME": str(HOME)}
    arguments = (name, "--month", str(MONTH), "--json", *arguments)
    with path.open("w") as out:
        child = subprocess.Popen(
            [sys.executable, "manage.py", *arguments], cwd=CHECKOUT, env=environment, stdout=out, stderr=subprocess.PIPE
        )
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    assert child.stderr is not None
    errors = child.stderr.read().decode()
    assert child.returncode == 0, errors
    steps = [json.loads(line) for line in path.read_text().splitlines()]
    return {step["step"]: step for step in steps}, used.ru_maxrss / 1024


def until(steps: dict[str, dict[str, Any]], *names: str) -> float:
    return float(sum(steps[name]["seconds"] for name in names))


def fill(rows: int) -> None:
    make(EVENTS, MONTH)
    with world.administrator("gatehouse") as connection:
        connection.execute(ROWS, {"rows": rows, "start": MONTH.start})
        connection.execute(f"VACUUM ANALYZE {LEAF}")


def one_round(got: dict[str, list[float]]) -> None:
    database, dump = embedded.url("postgres", "gatehouse"), PLACE / "month.dump"
    with world.administrator("gatehouse") as connection:
        connection.execute("CHECKPOINT")
    found = {"copy": copied()}
    found["pg_dump"] = program("pg_dump", "-Fc", "-t", LEAF, "-f", str(dump), database)
    found["dump size"] = dump.stat().st_size
    steps, found["archive memory"] = command("archive_metrics", "--table", EVENTS.name)
    found["file size"] = steps["verified"]["bytes"]
    found["verified"] = until(steps, "closed", "verified")
    found["archived"] = until(steps, "closed", "verified", "detached", "dropped")
    steps, found["restore memory"] = command("restore_metrics")
    found["restored"] = until(steps, "restored")
    program("pg_dump", "-Fc", "-O", "-x", "-t", BESIDE, "-f", str(dump), database)
    with world.administrator("postgres") as connection:
        connection.execute("CREATE DATABASE rival")
        found["pg_restore"] = program("pg_restore", "-O", "-x", "-d", embedded.url("postgres", "rival"), str(dump))
        connection.execute("DROP DATABASE rival")
    steps, _ = command("restore_metrics", "--attach")
    found["attached"] = until(steps, "attached")
    for name, value in found.items():
        got.setdefault(name, []).append(value)


def main() -> None:
    parser = report.parser(__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000, help="rows in the month")
    arguments = parser.parse_args()
    rows, rounds = (20_000, 1) if arguments.quick else (arguments.rows, ROUNDS)
    got: dict[str, list[float]] = {}
    with world.server():
        report.say(f"Filling a month with {rows:,} rows")
        fill(rows)
        for number in range(rounds):
            report.say(f"Round {number + 1} of {rounds}")
            one_round(got)
    sections = {
        f"A month of {rows:,} rows, out and back": [
            {"what": what, "ratio": report.ratios(got[theirs], got[ours]), "seconds": report.spread(got[ours]),
             "against, seconds": report.spread(got[theirs])}
            for what, ours, theirs in (
                ("COPY BINARY to nowhere ÷ archive, verified", "verified", "copy"),
                ("COPY BINARY to nowhere ÷ archive, to the end", "archived", "copy"),
                ("pg_dump -Fc ÷ archive, to the end", "archived", "pg_dump"),
                ("pg_restore with indexes ÷ restore, compared", "restored", "pg_restore"),
            )
        ],
        "Sizes and memory": [
            {"what": "file ÷ pg_dump -Fc", "value": report.ratios(got["file size"], got["dump size"])},
            {"what": "file, MB", "value": report.spread([size / 1e6 for size in got["file size"]])},
            {"what": "archive_metrics, MB at most", "value": report.spread(got["archive memory"])},
            {"what": "restore_metrics, MB at most", "value": report.spread(got["restore memory"])},
            {"what": "attaching, seconds", "value": report.spread(got["attached"])},
        ],
    }  # fmt: skip
    report.publish(sections, arguments.json)


if __name__ == "__main__":
    main()
