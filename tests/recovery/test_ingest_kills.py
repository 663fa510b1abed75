"""`kill -9` of ingest, of the web server and of PostgreSQL at random instants, all of it while measurements come in.

What was acknowledged is there, and nothing twice: the sum over all events is that of the inputs, and the sums of hours
and days agree with the events. KILLS says how often; five are quick, one of each kind, fifty take some minutes.
"""

import csv
import http.client
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from config import embedded
from metrics.partitions import this_month
from tests.recovery.support import (
    children,
    first_line,
    free_port,
    kill_group,
    manage,
    query,
    send,
    start,
    write_parents,
)

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
KILLS = int(os.environ.get("KILLS", "5"))
ROWS = 250_000  # of a file: some pieces
AGAIN = 120  # seconds in which whatever was killed is back


class House:
    """`manage.py serve` in a home of its own, started again whenever it is gone."""

    def __init__(self, place: Path) -> None:
        self.place, self.port = place, free_port()
        self.server = self._started()
        with self.owner() as owner:
            owner.execute("SET session_replication_role = replica")  # parents of any shape
            write_parents(owner)
        (self.artifact,) = (row[0] for row in query(place, "SELECT artifact_id FROM artifact"))
        token = manage(place, "create_token", "collector", "--role", "metrics")
        self.token = token.communicate(timeout=60)[0].strip()

    def _started(self) -> subprocess.Popen[str]:
        child = manage(self.place, "serve", PORT=str(self.port))
        assert f"127.0.0.1:{self.port}" in first_line(child)
        return child

    def owner(self) -> psycopg.Connection[Any]:
        return psycopg.connect(embedded.url("postgres", home=self.place), autocommit=True)

    def kill_web(self) -> None:
        """Serve, the web server and its workers, all at once; PostgreSQL stays, and somebody starts serve again."""
        kill_group(self.server)
        self.server = self._started()

    def kill_worker(self) -> None:
        """One process that is answering: the others go on, and the web server makes another."""
        (master,) = children(self.server.pid, "gunicorn")[:1]
        send(children(master, "gunicorn")[:1], signal.SIGKILL)

    def kill_database(self) -> None:
        """The server and so all of its processes: serve brings it back."""
        pid = int((self.place / "pgdata" / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGKILL)

    def kill_backend(self) -> None:
        """One connection's process: PostgreSQL then starts all of them again, with recovery."""
        with self.owner() as owner:
            rows = owner.execute(
                "SELECT pid FROM pg_stat_activity WHERE usename <> 'postgres' AND backend_type = 'client backend'"
            ).fetchall()
            if rows:
                send(random.choice(rows), signal.SIGKILL)


AT_WORK = """
    SELECT pid, usename, backend_type, state, wait_event, age(clock_timestamp(), xact_start)::text,
           pg_blocking_pids(pid)::text, query
    FROM pg_stat_activity WHERE state <> 'idle' OR wait_event_type = 'Lock'
"""


class Collector(threading.Thread):
    """Sends one batch after the other, each until it is acknowledged, as the documentation tells collectors to."""

    def __init__(self, house: House) -> None:
        super().__init__(daemon=True)
        self.house, self.over, self.rows, self.sum, self.tries = house, threading.Event(), 0, 0, 0

    def run(self) -> None:
        chance = random.Random(7)
        while not self.over.is_set():
            values = [chance.randrange(100) for _ in range(200)]
            at = this_month().start.isoformat()
            body = "\n".join(
                json.dumps(
                    {
                        "event_id": str(uuid4()),
                        "artifact_id": str(self.house.artifact),
                        "platform": "tiktok",
                        "metric_type": "likes",
                        "increase": value,
                        "observed_at": at,
                        "source": "api",
                    }
                )
                for value in values
            )
            while not self._sent(body.encode()):
                time.sleep(0.1)
            self.rows, self.sum = self.rows + len(values), self.sum + sum(values)

    def _sent(self, body: bytes) -> bool:
        self.tries += 1
        headers = {"Authorization": f"Bearer {self.house.token}", "Content-Type": "application/x-ndjson"}
        try:
            with closing(http.client.HTTPConnection("127.0.0.1", self.house.port, timeout=30)) as client:
                client.request("POST", "/api/v1/metrics/events", body, headers)
                answer = client.getresponse()
                told = answer.read()
        except (OSError, http.client.HTTPException):
            return False
        assert answer.status == 200 or answer.status >= 500, told
        return answer.status == 200


class Files(threading.Thread):
    """One file after the other, each ingested until it is in; whoever is killed is started again."""

    def __init__(self, house: House) -> None:
        super().__init__(daemon=True)
        self.house, self.over, self.done, self.problems = house, threading.Event(), 0, list[str]()
        self.child: subprocess.Popen[str] | None = None

    def run(self) -> None:
        while not self.over.is_set():
            path = self.house.place.parent / f"file-{self.done}.csv"
            written(path, self.house.artifact, self.done)
            while not self._ingested(path):
                time.sleep(0.1)
            self.done += 1

    def _ingested(self, path: Path) -> bool:
        try:
            self.child = start(self.house.place, "ingest_metrics", str(path), "--platform", "tiktok")
            _, err = self.child.communicate(timeout=AGAIN)
        except (AssertionError, OSError, ValueError):  # killed before it had begun
            return False
        if self.child.returncode != 0 and "Traceback" in err:
            self.problems.append(err)
        return self.child.returncode == 0

    def kill(self) -> None:
        if self.child and self.child.poll() is None:
            os.killpg(self.child.pid, signal.SIGKILL)


def written(path: Path, artifact: UUID, number: int) -> None:
    """A file that says nothing of ids, with a value of each row that no other row of it has."""
    first = this_month().start
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["artifact_id", "metric_type", "increase", "observed_at", "source"])
        for n in range(ROWS):
            out.writerow(
                [artifact, "views", n, (first + timedelta(milliseconds=n * 100)).isoformat(), f"file-{number}"]
            )


@pytest.fixture
def house(place: Path) -> Iterator[House]:
    setup = manage(place, "setup")
    _, err = setup.communicate(timeout=120)
    assert (setup.returncode, err) == (0, "")
    house = House(place)
    yield house
    house.server.terminate()
    house.server.communicate(timeout=60)


def test_no_kill_loses_or_doubles_a_measurement(house: House) -> None:
    collector, files = Collector(house), Files(house)
    ways: list[Callable[[], None]] = [files.kill, house.kill_backend, house.kill_web, house.kill_database]
    ways.append(house.kill_worker)
    collector.start()
    files.start()
    try:
        for number in range(KILLS):
            time.sleep(random.uniform(0.5, 4))
            ways[number % len(ways)]()
            assert settled(house)
    finally:
        collector.over.set()
        files.over.set()
    files.join(AGAIN)
    collector.join(AGAIN)
    assert not files.is_alive()
    assert not collector.is_alive()
    assert files.problems == []
    assert query(
        house.place, "SELECT metric_type, count(*), sum(metric_value)::bigint FROM metric_event GROUP BY 1"
    ) == [
        ("likes", collector.rows, collector.sum),
        ("views", files.done * ROWS, files.done * ROWS * (ROWS - 1) // 2),
    ]
    assert (collector.rows > 0, files.done > 0) == (True, True)
    check = manage(house.place, "check_rollups")
    try:
        out, err = check.communicate(timeout=120)
    except subprocess.TimeoutExpired as late:  # 3 seconds are usual
        pytest.fail(f"check_rollups does not end: {late.output!r} {late.stderr!r} {query(house.place, AT_WORK)}")
    assert check.returncode == 0, out + err


def settled(house: House) -> bool:
    """Whatever was killed is back."""
    deadline = time.monotonic() + AGAIN
    while time.monotonic() < deadline:
        try:
            with closing(http.client.HTTPConnection("127.0.0.1", house.port, timeout=5)) as client:
                client.request("GET", "/readyz")
                if client.getresponse().status == 200:
                    return True
        except (OSError, http.client.HTTPException):
            pass
        time.sleep(0.1)
    return False
