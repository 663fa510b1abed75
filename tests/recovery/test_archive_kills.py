"""`kill -9` of archive and restore at random instants, with events coming in: hot and cold together never lose a row.

KILLS says how often; six are quick, fifty take some minutes.
"""

import os
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pyarrow.parquet as pq
import pytest

from config import embedded
from metrics.partitions import EVENTS, this_month
from tests.recovery.support import FAST, kill_group, manage, query, start, write_parents

KILLS = int(os.environ.get("KILLS", "6"))
ROWS = 60_000
OLD = this_month().plus(-9)
LEAF = EVENTS.leaf(OLD)
NOT_COLD = ("exporting", "verified", "restored")

EVENTS_SQL = """
    INSERT INTO metric_event (campaign_id, agent_id, content_id, platform, metric_type, metric_value, observed_at,
                              source)
    SELECT a.campaign_id, 'writer-1', a.artifact_id, 'tiktok', 'views', n, {at}, 'test'
    FROM artifact a, generate_series(1, {rows}) n
"""


@pytest.fixture
def house(place: Path) -> Iterator[Path]:
    """A server with one old month, and events that come in for this one all the time."""
    with embedded.running(place, FAST):
        setup = manage(place, "setup")
        _, err = setup.communicate(timeout=120)
        assert (setup.returncode, err) == (0, "")
        rotate = manage(place, "rotate_partitions", "--from", str(OLD))
        rotate.communicate(timeout=120)
        with psycopg.connect(embedded.url("postgres", home=place), autocommit=True) as connection:
            connection.execute("SET session_replication_role = replica")  # parents of any shape, and rows in a second
            fill(connection)
        yield place


def fill(connection: psycopg.Connection[Any]) -> None:
    write_parents(connection)
    at = f"'{OLD.start.isoformat()}'::timestamptz + n * interval '30 seconds'"
    connection.execute(EVENTS_SQL.format(at=at, rows=ROWS))


class Collector(threading.Thread):
    """Writes events of this month, one batch after the other, until it is told to stop."""

    def __init__(self, place: Path) -> None:
        super().__init__()
        self.place, self.over, self.rows, self.problems = place, threading.Event(), 0, list[str]()

    def run(self) -> None:
        with psycopg.connect(embedded.url("gatehouse_agent", home=self.place), autocommit=True) as connection:
            while not self.over.is_set():
                try:
                    connection.execute(EVENTS_SQL.format(at="now()", rows=20))
                    self.rows += 20
                except psycopg.Error as error:
                    self.problems.append(str(error))
                time.sleep(0.02)


def hot_and_cold(place: Path) -> tuple[int, int]:
    """Rows and sum of the old month, wherever its rows are at this moment: once each."""
    bounds = f"observed_at >= '{OLD.start.isoformat()}' AND observed_at < '{OLD.plus(1).start.isoformat()}'"
    with psycopg.connect(embedded.url("postgres", home=place)) as connection:
        (hot,) = connection.execute(
            f"SELECT count(*), coalesce(sum(metric_value), 0)::bigint FROM metric_event WHERE {bounds}"
        )
        receipts = connection.execute("SELECT state, files FROM metric_archive").fetchall()
    rows, total = hot
    for state, files in receipts:
        if state not in NOT_COLD:
            for file in files["files"]:
                table = pq.read_table(place / "archive" / file["path"], partitioning=None, columns=["metric_value"])
                rows, total = rows + table.num_rows, total + sum(table["metric_value"].to_pylist())
    return rows, total


def test_no_kill_loses_or_doubles_a_row(house: Path) -> None:
    expected = (ROWS, ROWS * (ROWS + 1) // 2)
    assert hot_and_cold(house) == expected
    collector = Collector(house)
    collector.start()
    out = ["archive_metrics", "--table", "metric_event", "--month", str(OLD)]
    back = ["restore_metrics", "--month", str(OLD), "--attach"]
    try:
        lasts = {tuple(command): to_the_end(house, command) for command in (out, back)}
        for number in range(KILLS):
            command = back if state(house) == "dropped" else out
            began = time.monotonic()
            child = start(house, *command)
            time.sleep(random.uniform(0, lasts[tuple(command)]))
            kill_group(child)
            assert hot_and_cold(house) == expected, (number, command, time.monotonic() - began)
            if number % 3 == 2:  # and sometimes somebody runs it again at once, to its end
                to_the_end(house, command)
                assert hot_and_cold(house) == expected
        if state(house) != "dropped":
            to_the_end(house, out)
        assert state(house) == "dropped"
        assert hot_and_cold(house) == expected
        to_the_end(house, back)
        assert hot_and_cold(house) == expected
        assert query(house, f"SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relname LIKE '{LEAF}\\_rest%'") == [
            (0,)
        ]
        assert len(list((house / "archive").rglob("*.parquet*"))) == 1
    finally:
        collector.over.set()
        collector.join(30)
    assert collector.problems == []
    now = this_month().start.isoformat()
    assert query(house, f"SELECT count(*) FROM metric_event WHERE observed_at >= '{now}'") == [(collector.rows,)]


def to_the_end(place: Path, command: list[str]) -> float:
    """Runs it, again while one that was killed still holds its lock; returns how long the last run took."""
    wanted = {"archive_metrics": "dropped", "restore_metrics": "restored"}[command[0]]
    for _ in range(20):
        child = start(place, *command)
        began = time.monotonic()
        _, err = child.communicate(timeout=120)
        if child.returncode == 0 and state(place) == wanted:
            return time.monotonic() - began
        assert "Traceback" not in err, err
        time.sleep(0.5)
    raise AssertionError(err)


def state(place: Path) -> str | None:
    rows = query(place, "SELECT state FROM metric_archive")
    return rows[0][0] if rows else None
