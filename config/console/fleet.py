"""What the agents are at, read in a fixed number of queries over bounded numbers of rows.

What is said about failures is counted among the tasks that ended last, at most `NEWEST` and at most a week ago;
`Window.since` says how far back that reaches.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import sqrt

from django.db import connections, router
from django.db.models import Count, Max, Min
from django.utils import timezone

from agents.models import Agent, ApiToken
from campaigns.choices import TaskStatus
from campaigns.models import RUNS, Task
from content.choices import ReviewerType

QUIET_AFTER = timedelta(minutes=15)
DAY, WEEK = timedelta(days=1), timedelta(days=7)
NEWEST = 10_000  # tasks, and decisions, that are looked at
COUNTED = 1000  # pending tasks of an agent that are counted
FEW = 20  # ended tasks; of fewer, a share in percent would say more than is known
CUT_OFF = "Cut off by"  # how the error of a task begins that a halt ended: no failure of its agent


@dataclass(frozen=True)
class Ended:
    """How many tasks ended in a time, and how many of those failed at work; rejections by review are another thing."""

    ended: int = 0
    failed: int = 0
    rejected: int = 0

    @property
    def in_words(self) -> str:
        if not self.ended:
            return "none ended"
        share = f" ({100 * self.failed / self.ended:.0f} %)" if self.ended >= FEW else ""
        return f"{self.failed:,} of {self.ended:,}{share}"

    @property
    def at_least(self) -> float:
        """The error rate that it surely has (Wilson's lower bound): one of one does not come before 30 of 100."""
        if not self.ended:
            return 0.0
        n, p, z = self.ended, self.failed / self.ended, 1.96
        return (p + z * z / (2 * n) - z * sqrt(p * (1 - p) / n + z * z / (4 * n * n))) / (1 + z * z / n)


@dataclass
class AtWork:
    """One agent, and all that the page says of it."""

    agent: Agent
    in_progress: int = 0
    since: datetime | None = None
    lease_until: datetime | None = None  # of its tasks, the lease that ends first
    unleased: int = 0
    last_seen: datetime | None = None
    has_work: bool = False  # that waits for it, and could begin
    pending: int | None = None
    day: Ended = field(default_factory=Ended)
    week: Ended = field(default_factory=Ended)
    judged: int = 0

    def quiet_because(self, now: datetime) -> str:
        """Why it counts as quiet; empty when it does not."""
        if self.lease_until is not None and self.lease_until <= now:
            return "its lease has ended, and nothing was heard"
        if self.in_progress or self.last_seen is None or now - self.last_seen < QUIET_AFTER:
            return ""
        return "work waits for it, and it does not ask" if self.has_work else ""


@dataclass(frozen=True)
class Window:
    """Among which tasks failures were counted."""

    since: datetime
    is_cut: bool  # there were more than were looked at


def at_work(agents: Sequence[Agent], now: datetime) -> tuple[list[AtWork], Window]:
    """What there is to say of these agents, but how much is pending, which is asked for a page of them only."""
    rows = {agent.pk: AtWork(agent) for agent in agents}
    _in_progress(rows)
    window = _ended(rows, now)
    _seen_by_token(rows)
    _judged(rows)
    asked = [key for key, row in rows.items() if not row.in_progress and row.last_seen]
    for key in _with_work(asked, now):
        rows[key].has_work = True
    return list(rows.values()), window


def _see(row: AtWork, moment: datetime | None) -> None:
    if moment is not None and (row.last_seen is None or moment > row.last_seen):
        row.last_seen = moment


def _in_progress(rows: dict[str, AtWork]) -> None:
    running = Task.objects.filter(status=TaskStatus.IN_PROGRESS, deleted_at=None).order_by().values("agent_id")
    told = running.annotate(
        amount=Count("pk"),
        leased=Count("lease_id"),
        since=Min("claimed_at"),
        last=Max("claimed_at"),
        until=Min("lease_expires_at"),
    )
    for one in told:
        if row := rows.get(one["agent_id"]):
            row.in_progress, row.unleased = one["amount"], one["amount"] - one["leased"]
            row.since, row.lease_until = one["since"], one["until"]
            _see(row, one["last"])


# The newest of both, by the index on when they ended, and so as few as there were in a week.
ENDED = """
    WITH newest AS MATERIALIZED (
        SELECT * FROM (
            SELECT agent_id, status, updated_at, claimed_at, completed_at, error FROM task
            WHERE status = 'done' AND deleted_at IS NULL AND updated_at > %(week)s
            UNION ALL
            SELECT agent_id, status, updated_at, claimed_at, completed_at, error FROM task
            WHERE status = 'failed' AND deleted_at IS NULL AND updated_at > %(week)s
        ) t ORDER BY updated_at DESC LIMIT %(newest)s
    ), ended AS (
        SELECT agent_id, status = 'failed' AND completed_at IS NULL AS failed,
               status = 'failed' AND completed_at IS NOT NULL AS rejected, updated_at > %(day)s AS today, claimed_at
        FROM newest WHERE claimed_at IS NOT NULL AND (error IS NULL OR NOT starts_with(error, %(cut_off)s))
    )
    SELECT agent_id, count(*), count(*) FILTER (WHERE failed), count(*) FILTER (WHERE rejected),
           count(*) FILTER (WHERE today), count(*) FILTER (WHERE today AND failed),
           count(*) FILTER (WHERE today AND rejected), max(claimed_at), NULL::timestamptz, NULL::bigint
    FROM ended GROUP BY agent_id
    UNION ALL SELECT NULL, 0, 0, 0, 0, 0, 0, NULL, min(updated_at), count(*) FROM newest
"""


def _ended(rows: dict[str, AtWork], now: datetime) -> Window:
    since, amount = None, 0
    with connections[router.db_for_read(Task)].cursor() as cursor:
        cursor.execute(ENDED, {"week": now - WEEK, "day": now - DAY, "newest": NEWEST, "cut_off": CUT_OFF})
        for key, ended, failed, rejected, today, failed_today, rejected_today, last, first, looked in cursor.fetchall():
            if looked is not None:
                since, amount = first, looked
            elif row := rows.get(key):
                row.week, row.day = Ended(ended, failed, rejected), Ended(today, failed_today, rejected_today)
                _see(row, last)
    return Window(since or now - WEEK, amount >= NEWEST)


def _seen_by_token(rows: dict[str, AtWork]) -> None:
    """Tokens that belong to no agent tell of none."""
    used = ApiToken.objects.filter(agent__isnull=False, last_used_at__isnull=False).order_by().values("agent_id")
    for one in used.annotate(last=Max("last_used_at")):
        if row := rows.get(one["agent_id"]):
            _see(row, one["last"])


JUDGED = """
    WITH newest AS MATERIALIZED (
        SELECT reviewer_id, reviewer_type, created_at FROM review_decision ORDER BY review_id DESC LIMIT %(newest)s
    )
    SELECT reviewer_id, count(*), max(created_at) FROM newest
    WHERE reviewer_type = %(judge)s AND created_at >= %(midnight)s GROUP BY reviewer_id
"""


def _judged(rows: dict[str, AtWork]) -> None:
    """Since midnight where the viewer is, among the newest decisions (their keys are in the order of time)."""
    midnight = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
    with connections[router.db_for_read(Task)].cursor() as cursor:
        cursor.execute(JUDGED, {"newest": NEWEST, "judge": ReviewerType.JUDGE.value, "midnight": midnight})
        for key, amount, last in cursor.fetchall():
            if row := rows.get(key):
                row.judged = amount
                _see(row, last)


WITH_WORK = f"""
    SELECT a.agent_id FROM unnest(%(agents)s::text[]) a(agent_id)
    WHERE EXISTS (
        SELECT FROM campaign c CROSS JOIN system_control s
        JOIN LATERAL (
            SELECT FROM task t
            WHERE t.agent_id = a.agent_id AND t.campaign_id = c.campaign_id AND t.status = 'pending'
              AND t.deleted_at IS NULL AND t.created_at < %(before)s
              AND (t.not_before IS NULL OR t.not_before < %(before)s)
            LIMIT 1
        ) waiting ON true
        WHERE {RUNS}
    )
"""


def _with_work(agents: Collection[str], now: datetime) -> list[str]:
    """Those for whom work has waited for a while that could begin: its campaign runs, and its time has come."""
    with connections[router.db_for_read(Task)].cursor() as cursor:
        cursor.execute(WITH_WORK, {"agents": list(agents), "before": now - QUIET_AFTER})
        return [key for (key,) in cursor.fetchall()]


PENDING = """
    SELECT a.agent_id, (SELECT count(*) FROM (
        SELECT FROM task t WHERE t.agent_id = a.agent_id AND t.status = 'pending' AND t.deleted_at IS NULL
        LIMIT %(most)s) p)
    FROM unnest(%(agents)s::text[]) a(agent_id)
"""


def count_pending(rows: Sequence[AtWork]) -> None:
    """How much waits for each; `COUNTED` stands for that and more."""
    by_key = {row.agent.pk: row for row in rows}
    with connections[router.db_for_read(Task)].cursor() as cursor:
        cursor.execute(PENDING, {"agents": list(by_key), "most": COUNTED})
        for key, amount in cursor.fetchall():
            by_key[key].pending = amount
