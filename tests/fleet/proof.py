"""What must be true once a fleet has come to rest: by the rows, by the platforms' memory, and by the fleet's own."""

import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from config import embedded

MONEY = """
    SELECT c.name, c.reserved_etb, c.spent_etb, t.reserved, t.spent
    FROM campaign c CROSS JOIN LATERAL (
        SELECT COALESCE(sum(reserve_etb) FILTER (WHERE status = 'in_progress'), 0) AS reserved,
               COALESCE(sum(cost_etb), 0) AS spent
        FROM task WHERE task.campaign_id = c.campaign_id
    ) t
    WHERE (c.reserved_etb, c.spent_etb) <> (t.reserved, t.spent)
"""

# What is neither over nor a person's.
UNSETTLED_TASKS = """
    SELECT * FROM task t WHERE status IN ('pending', 'in_progress') OR (status = 'review' AND NOT EXISTS (
        SELECT FROM review_item i WHERE i.task_id = t.task_id AND i.status = 'open'))
"""
UNSETTLED_POSTS = """
    SELECT p.* FROM publish_record p JOIN artifact a USING (artifact_id) JOIN task t USING (task_id)
    WHERE p.status = 'queued' AND p.hold IS DISTINCT FROM 'outcome_unknown' AND t.status = 'done'
"""

TWO_NEXT_TRIES = "SELECT parent_task_id FROM task WHERE attempt > 0 GROUP BY 1 HAVING count(*) > 1"
TRY_AFTER_SUCCESS = """
    SELECT t.* FROM task t JOIN task next ON next.parent_task_id = t.task_id WHERE t.status <> 'failed'
"""
GIVEN_UP = """
    SELECT * FROM task t WHERE status = 'failed' AND attempt + 1 < max_attempts AND error <> %(hopeless)s
    AND NOT EXISTS (SELECT FROM task next WHERE next.parent_task_id = t.task_id)
"""
FINISHED_TWICE = """
    SELECT entity_id FROM audit_log WHERE entity_type = 'task' AND action = 'complete' GROUP BY 1 HAVING count(*) > 1
"""
HANDED_OUT_TWICE = """
    SELECT entity_id FROM audit_log WHERE entity_type IN ('task', 'publish_record') GROUP BY entity_type, entity_id
    HAVING count(*) FILTER (WHERE action = 'claim') > 1 + count(*) FILTER (WHERE action = 'release')
"""
ROOTS = """
    WITH RECURSIVE chain AS (
        SELECT task_id, task_id AS root FROM task WHERE parent_task_id IS NULL
        UNION ALL SELECT t.task_id, c.root FROM task t JOIN chain c ON t.parent_task_id = c.task_id
    ) SELECT task_id::text, root::text FROM chain
"""

APPROVED = """
    SELECT d.artifact_id::text, d.artifact_sha256 FROM review_decision d JOIN task t USING (task_id)
    WHERE d.decision = 'approve' AND d.next_action = 'publish' AND t.status = 'done'
    AND NOT EXISTS (SELECT FROM review_item i WHERE i.artifact_id = d.artifact_id)
"""

DURING_A_HALT = """
    SELECT e.* FROM audit_log h
    JOIN audit_log r ON r.entity_id = h.entity_id AND r.action = 'resume'
    JOIN audit_log e ON e.campaign_id = h.campaign_id AND e.created_at > h.created_at AND e.created_at < r.created_at
    WHERE h.entity_type = 'campaign' AND h.action = 'halt'
    AND e.action IN ('claim', 'submit', 'heartbeat', 'complete', 'fail', 'release', 'publish')
    AND e.entity_type <> 'judge_lease'
"""

TRACES_OF_POSTS = """
    SELECT p.publish_id, p.attempt, p.artifact_id::text, t.task_id::text,
           e.entity_type, e.entity_id, e.action, e.changes
    FROM publish_record p JOIN artifact a USING (artifact_id) JOIN task t USING (task_id)
    JOIN audit_log e ON e.trace_id = t.trace_id
    WHERE p.status = 'published' ORDER BY e.created_at, e.audit_id
"""

ALL_CHANGES = """
    SELECT entity_type, entity_id, action, changes FROM audit_log
    WHERE entity_type IN ('task', 'publish_record', 'review_item', 'judge_lease', 'campaign')
    ORDER BY created_at, audit_id
"""

MISCOUNTED = """
    SELECT k.*, e.counted FROM (
        SELECT publish_id, sum(highest_total) AS highest FROM metric_counter WHERE source = 'platform' GROUP BY 1
    ) k
    JOIN publish_record p USING (publish_id)
    CROSS JOIN LATERAL (
        SELECT sum(metric_value) AS counted FROM metric_event e
        WHERE e.content_id = p.artifact_id AND e.platform = p.platform AND e.source = 'platform'
    ) e
    WHERE e.counted IS DISTINCT FROM k.highest
"""


class Proof:
    def __init__(self, home: Path, platforms: Path, log: Path) -> None:
        self.home = home
        self.posts = [
            {"platform": file.stem, **json.loads(line)}
            for file in platforms.glob("*.jsonl")
            for line in file.read_text().splitlines()
        ]
        self.heard: dict[str, list[str]] = defaultdict(list)  # what Gatehouse had said yes to
        for line in log.read_text().splitlines():
            word, _, _, which = line.split(" ")
            self.heard[word].append(which)

    def rows(self, statement: str, **values: Any) -> list[dict[str, Any]]:
        with psycopg.connect(embedded.url("postgres", home=self.home), row_factory=dict_row) as connection:
            return connection.execute(statement, values or None).fetchall()

    def none(self, statement: str, **values: Any) -> None:
        assert self.rows(statement, **values) == []

    def holds(self) -> None:
        self.none(MONEY)
        self.nothing_is_lost()
        self.no_task_is_done_twice()
        self.no_post_is_out_twice()
        self.nothing_unapproved_is_out()
        self.the_halt_held()
        self.every_trace_is_complete()
        self.the_log_tells_it_all()
        self.everything_is_measured_once()

    def nothing_is_lost(self) -> None:
        """What was answered with yes is there, and all that is there has come to an end or waits for a person."""
        tasks = {str(row["task_id"]): row for row in self.rows("SELECT * FROM task")}
        posts = {str(row["publish_id"]): row for row in self.rows("SELECT * FROM publish_record")}
        judged = {str(row["artifact_id"]) for row in self.rows("SELECT artifact_id FROM review_decision")}
        assert len(self.heard["planned"]) == len(set(self.heard["planned"])) > 100
        assert set(self.heard["planned"]) <= tasks.keys()
        assert all(tasks[task_id]["completed_at"] for task_id in self.heard["completed"])
        assert set(self.heard["judged"]) <= judged
        assert {posts[publish_id]["status"] for publish_id in self.heard["published"]} == {"published"}
        assert {posts[publish_id]["hold"] for publish_id in self.heard["unknown"]} <= {"outcome_unknown"}
        self.none(UNSETTLED_TASKS)
        self.none(UNSETTLED_POSTS)

    def no_task_is_done_twice(self) -> None:
        """A chain of tries goes on after a failure only; each try was handed out and finished once."""
        self.none(TWO_NEXT_TRIES)
        self.none(TRY_AFTER_SUCCESS)
        self.none(GIVEN_UP, hopeless="Nobody can do this.")
        self.none(FINISHED_TWICE)
        self.none(HANDED_OUT_TWICE)

    def no_post_is_out_twice(self) -> None:
        """By the platforms' own memory, which knows nothing of the database's rules."""
        root = {row["task_id"]: row["root"] for row in self.rows(ROOTS)}
        for key in ("content_sha256", "artifact_id", "root"):
            counts = Counter((post["platform"], (post | {"root": root[post["task_id"]]})[key]) for post in self.posts)
            assert max(counts.values()) == 1, (key, counts.most_common(3))
        records = {str(row["publish_id"]): row for row in self.rows("SELECT * FROM publish_record")}
        for post in self.posts:
            record = records[post["publish_id"]]
            if record["status"] == "published":
                assert record["platform_post_id"] == post["post_id"]
            else:  # it is out, and nobody came to say so: it waits for a person
                assert (record["status"], record["hold"]) == ("queued", "outcome_unknown"), (record, post)
        published = {row["platform_post_id"] for row in records.values() if row["status"] == "published"}
        assert published <= {post["post_id"] for post in self.posts}
        assert len(published) > 40

    def nothing_unapproved_is_out(self) -> None:
        allowed = {(row["artifact_id"], row["artifact_sha256"]) for row in self.rows(APPROVED)}
        assert {(post["artifact_id"], post["content_sha256"]) for post in self.posts} <= allowed

    def the_halt_held(self) -> None:
        """Nobody took anything or handed anything in between the halt and the resume; what it cut off was done anew."""
        self.none(DURING_A_HALT)
        cut_off = self.rows("SELECT entity_id FROM audit_log WHERE entity_type = 'task' AND action = 'halt'")
        assert cut_off
        self.none("SELECT * FROM campaign WHERE status <> 'active'")

    def every_trace_is_complete(self) -> None:
        """From the plan to the measurements, in the one order that is possible."""
        traces = defaultdict(list)
        for row in self.rows(TRACES_OF_POSTS):
            traces[row["publish_id"]].append(row)
        measured = {row["content_id"] for row in self.rows("SELECT DISTINCT content_id FROM metric_event")}
        for publish_id, rows in traces.items():
            it_is_complete(Trace(rows), str(publish_id), rows[0])
            assert str(rows[0]["artifact_id"]) in set(map(str, measured)), f"Nobody measured {publish_id}."

    def the_log_tells_it_all(self) -> None:
        """Every change begins where the one before it ended, and the last one tells what is there now."""
        states: dict[tuple[str, str], dict[str, Any]] = defaultdict(dict)
        for entry in self.rows(ALL_CHANGES):
            state = states[entry["entity_type"], entry["entity_id"]]
            for column, (before, after) in entry["changes"].items():
                assert state.get(column) == before, (entry, column)
                state[column] = after
        for table, key in {"task": "task_id", "publish_record": "publish_id"}.items():
            for row in self.rows(f"SELECT {key}::text AS id, status, lease_id::text FROM {table}"):
                state = states[table, row["id"]]
                assert (state["status"], state.get("lease_id")) == (row["status"], row["lease_id"])

    def everything_is_measured_once(self) -> None:
        self.none(MISCOUNTED)
        (row,) = self.rows("SELECT count(*), count(DISTINCT event_id) AS ids FROM metric_event WHERE source = 'fleet'")
        assert row["count"] == row["ids"] > 0


class Trace:
    """The entries of one trace, in order."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.rows = rows

    def last(self, entity: str, entity_id: str, action: str) -> int:
        """Where this was last done."""
        wanted = (entity, entity_id, action)
        places = [
            n for n, row in enumerate(self.rows) if (row["entity_type"], row["entity_id"], row["action"]) == wanted
        ]
        assert places, (wanted, [(row["entity_type"], row["action"]) for row in self.rows])
        return places[-1]

    def of(self, entity: str, column: str, value: str) -> list[int]:
        """Where rows of a kind were made that say so."""
        return [
            n
            for n, row in enumerate(self.rows)
            if row["entity_type"] == entity and row["changes"].get(column, [None, None])[1] == value
        ]


def it_is_complete(trace: Trace, publish_id: str, of: dict[str, Any]) -> None:
    task_id, artifact_id = of["task_id"], of["artifact_id"]
    (decided,) = trace.of("review_decision", "artifact_id", artifact_id)
    approved = trace.last("task", task_id, "approve")
    queued = trace.last("publish_record", publish_id, "queue")
    claimed = trace.last("publish_record", publish_id, "claim")
    made = [
        trace.last("task", task_id, "create"),
        trace.last("task", task_id, "claim"),
        trace.last("artifact", artifact_id, "submit"),
        trace.last("task", task_id, "complete"),
        decided,
    ]
    # A second try to post is queued when the task is long done.
    for way in ([*made, approved, claimed], [*made, queued, claimed]):
        whole = [*way, trace.last("publish_record", publish_id, "publish")]
        assert whole == sorted(whole), (publish_id, whole)
    assert of["attempt"] or queued < approved
