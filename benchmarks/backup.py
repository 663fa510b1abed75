"""How long a loss lasts: `python -m benchmarks.backup --rows 5000000`.

A month of metric events is backed up, some more are written, and all of it is restored; in each round PostgreSQL's own
pg_basebackup also writes its tar to nowhere. Then a drill. The log is archived all the while, as `make run` does it.
"""

import json
import os
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyrage

from benchmarks import HOME, PLACE, report, world
from benchmarks.archive import MONTH, ROWS, fill
from config import embedded

ROUNDS = 3
CHECKOUT = Path(__file__).parents[1]
SIZE = "SELECT sum(pg_database_size(oid))::bigint FROM pg_database"
ARCHIVED = "SELECT last_archived_wal >= %s FROM pg_stat_archiver"


def keys() -> dict[str, str]:
    identity = pyrage.x25519.Identity.generate()
    public, secret = PLACE / "public", PLACE / "secret"
    public.write_text(f"{identity.to_public()}\n")
    secret.write_text(f"{identity}\n")
    place = {"BACKUP_URL": (PLACE / "backup").as_uri(), "BACKUP_DRILL_DIR": str(PLACE)}
    return {**place, "BACKUP_RECIPIENTS_FILE": str(public), "BACKUP_IDENTITY_FILE": str(secret)}


def manage(*words: str) -> tuple[dict[str, Any], float]:
    """What it told, and the megabytes that it needed at most.

    A drill ends with 1 here, and rightly: the events were written without their sums.
    """
    told = PLACE / "told"
    with told.open("w") as out:
        child = subprocess.Popen(
            [sys.executable, "manage.py", *words, "--json"],
            cwd=CHECKOUT,
            env={**os.environ, "GATEHOUSE_HOME": str(HOME)},
            stdout=out,
            stderr=subprocess.DEVNULL,
        )
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == (words[0] == "restore_drill")
    found: dict[str, Any] = json.loads(told.read_text())
    return found, used.ru_maxrss / 1024


def tar_to_nowhere() -> float:
    command = [str(embedded.programs() / "pg_basebackup"), "--pgdata=-", "--format=tar", "--wal-method=none"]
    command += ["--checkpoint=fast", "--manifest-checksums=SHA256", "--dbname", embedded.url("postgres", "postgres")]
    began = time.monotonic()
    with open(os.devnull, "wb") as nowhere:
        subprocess.run(command, check=True, stdout=nowhere, stderr=subprocess.DEVNULL)
    return time.monotonic() - began


def write_more(rows: int) -> float:
    """Until the last of it is archived: the log that a restore replays. Returns the seconds after the commit."""
    with world.administrator("gatehouse") as connection:
        connection.execute(ROWS, {"rows": rows, "start": MONTH.start + timedelta(hours=12)})
        began = time.monotonic()
        (last,) = connection.execute("SELECT pg_walfile_name(pg_switch_wal())").fetchone() or ("",)
        while connection.execute(ARCHIVED, [last]).fetchone() != (True,):
            time.sleep(0.05)
    return time.monotonic() - began


def one_round(number: int, got: dict[str, list[float]]) -> None:
    with world.administrator("postgres") as connection:
        (size,) = connection.execute(SIZE).fetchone() or (0,)
        connection.execute("CHECKPOINT")
    found = {"bytes": float(size), "tar": tar_to_nowhere()}
    made, found["backup memory"] = manage("backup")
    found |= {"backup": made["seconds"], "backup bytes": float(made["bytes"])}
    there = PLACE / f"there-{number}"
    told, found["restore memory"] = manage("restore", "--to", str(there))
    found |= {"unpacking": told["seconds_unpacking"], "recovering": told["seconds_recovering"]}
    subprocess.run(["rm", "-rf", str(there)], check=True)
    for name, value in found.items():
        got.setdefault(name, []).append(value)


def replayed(rows: int, got: dict[str, list[float]]) -> None:
    """A restore with log after the backup, and a drill of the same."""
    before = _log()
    got["archived after"] = [write_more(rows)]
    got["log bytes"] = [float(_log() - before)]
    told, _ = manage("restore_drill")
    for name in ("seconds_until_it_serves", "seconds_recovering", "seconds", "seconds_lost"):
        got[name] = [told[name]]


def _log() -> int:
    with world.administrator("postgres") as connection:
        (position,) = connection.execute("SELECT (pg_current_wal_lsn() - '0/0')::bigint").fetchone() or (0,)
    return int(position)


def main() -> None:
    parser = report.parser(__doc__)
    parser.add_argument("--rows", type=int, default=5_000_000, help="rows in the month")
    arguments = parser.parse_args()
    rows, rounds = (20_000, 1) if arguments.quick else (arguments.rows, ROUNDS)
    os.environ.update(keys())
    got: dict[str, list[float]] = {}
    with world.server():
        report.say(f"Filling a month with {rows:,} rows")
        fill(rows)
        for number in range(rounds):
            report.say(f"Round {number + 1} of {rounds}")
            one_round(number, got)
        report.say("More rows, and a drill")
        replayed(rows // 5, got)
    report.publish(sections(rows, got), arguments.json)


def sections(rows: int, got: dict[str, list[float]]) -> dict[str, list[dict[str, Any]]]:
    def mb(name: str) -> dict[str, float]:
        return report.spread([size / 1e6 for size in got[name]])

    def rate(name: str) -> dict[str, float]:
        return report.spread([size / 1e6 / lasts for size, lasts in zip(got["bytes"], got[name], strict=True)])

    return {
        f"Backup and restore with {rows:,} metric events": [
            {"what": "the database, MB", "value": mb("bytes")},
            {"what": "the backup, MB", "value": mb("backup bytes")},
            {"what": "backup, seconds", "value": report.spread(got["backup"])},
            {"what": "backup, MB/s of the database", "value": rate("backup")},
            {"what": "pg_basebackup to nowhere ÷ backup", "value": report.ratios(got["tar"], got["backup"])},
            {"what": "restore: unpacking and verifying, seconds", "value": report.spread(got["unpacking"])},
            {"what": "restore: the same, MB/s of the database", "value": rate("unpacking")},
            {"what": "restore: recovering, seconds", "value": report.spread(got["recovering"])},
            {"what": "backup, MB of memory at most", "value": report.spread(got["backup memory"])},
            {"what": "restore, MB of memory at most", "value": report.spread(got["restore memory"])},
        ],
        "A drill with log after the backup": [
            {"what": "the log, MB", "value": mb("log bytes")},
            {"what": "archived after its end, seconds", "value": report.spread(got["archived after"])},
            {"what": "replayed, seconds", "value": report.spread(got["seconds_recovering"])},
            {"what": "it serves after, seconds", "value": report.spread(got["seconds_until_it_serves"])},
            {"what": "the whole drill, seconds", "value": report.spread(got["seconds"])},
            {"what": "lost, seconds", "value": report.spread(got["seconds_lost"])},
        ],
    }


if __name__ == "__main__":
    main()
