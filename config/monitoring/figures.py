"""What the database knows of the work, as Prometheus reads it: asked at each scrape, so that any process answers right.

Each part is asked in a transaction of its own with little time: one that fails or takes too long is missing from the
answer, which says so, and the others are there. Labels have few values, which are ours: never a name that people,
agents or campaigns chose.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta

from django.db import DatabaseError, connection, transaction
from django.db.models import Count, Min
from django.utils import timezone
from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from audit.choices import EntityType
from audit.models import AuditLog
from campaigns.choices import CampaignStatus, TaskStatus, TaskType
from campaigns.models import Campaign, Task
from config.backup.archiving import failing_since
from config.console.overview import machine
from config.console.overview.reviews import waiting
from config.console.overview.work import OPEN, campaign_states
from config.health import halted_since, heartbeats, last_end
from config.monitoring import statements
from config.monitoring.statements import Unreadable
from config.replica.watch import is_configured, watch
from content.choices import Decision, Hold, PublishStatus, ReviewerType, ReviewReason
from content.models import PublishRecord, ReviewDecision
from metrics.partitions import EVENTS, leaves
from metrics.reading import newest_observed

log = logging.getLogger(__name__)

PATIENCE = "2s"  # for one statement
RECENT = timedelta(minutes=5)
EVER = datetime.min.replace(tzinfo=UTC)
Part = Callable[[datetime], Iterator[Metric]]


def gauge(name: str, says: str, rows: Iterable[tuple[list[str], float]], *labels: str) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"gatehouse_{name}", says, labels=labels)
    for values, number in rows:
        family.add_metric(values, number)
    return family


def counter(name: str, says: str, rows: Iterable[tuple[list[str], float]], *labels: str) -> CounterMetricFamily:
    family = CounterMetricFamily(f"gatehouse_{name}", says, labels=labels)
    for values, number in rows:
        family.add_metric(values, number)
    return family


def one(number: float) -> list[tuple[list[str], float]]:
    return [([], number)]


def tasks(now: datetime) -> Iterator[Metric]:
    found = {
        (status, kind): amount
        for status, kind, amount in Task.objects.filter(status__in=OPEN, deleted_at=None)
        .order_by()
        .values_list("status", "task_type")
        .annotate(amount=Count("*"))
    }
    rows = [([status.value, kind.value], found.get((status, kind), 0)) for status in OPEN for kind in TaskType]
    yield gauge("tasks", "Open tasks.", rows, "status", "type")


def campaigns(now: datetime) -> Iterator[Metric]:
    states = zip(CampaignStatus, campaign_states(), strict=True)
    rows = [([status.value], figure.number) for status, figure in states]
    yield gauge("campaigns", "Campaigns by status; one that is halted is paused too.", rows, "status")
    halted = Campaign.objects.filter(deleted_at=None, halted_at__isnull=False).count()
    yield gauge("campaigns_halted", "Campaigns whose work was cut off.", one(halted))
    since = halted_since()
    told = (now - since).total_seconds() if since else 0
    yield gauge("halted_seconds", "Since when everything is halted; 0 while it is not.", one(told))


def reviews(now: datetime) -> Iterator[Metric]:
    found = waiting(now)
    amounts = {reason: (every.number, overdue.number) for reason, every, _, overdue in found.rows}
    by_reason = [(reason.value, *amounts.get(str(reason.label), (0, 0))) for reason in ReviewReason]
    rows = [([reason], amount) for reason, amount, _ in by_reason]
    yield gauge("reviews_waiting", "What waits for a person.", rows, "reason")
    rows = [([reason], overdue) for reason, _, overdue in by_reason]
    yield gauge("reviews_overdue", "What waits for a person beyond its deadline.", rows, "reason")
    oldest = (now - found.oldest).total_seconds() if found.oldest else 0
    yield gauge("reviews_oldest_seconds", "How long the oldest of them waits.", one(oldest))


def posts(now: datetime) -> Iterator[Metric]:
    queued = PublishRecord.objects.queued().order_by().values("hold").annotate(all=Count("*"), oldest=Min("updated_at"))
    found = {row["hold"]: row for row in queued}
    rows = [([hold or "none"], found[hold]["all"] if hold in found else 0) for hold in (None, *Hold.values)]
    yield gauge("posts_queued", "Posts that have not left, by what holds them back.", rows, "hold")
    unknown = found.get(Hold.OUTCOME_UNKNOWN.value)
    told = (now - unknown["oldest"]).total_seconds() if unknown else 0
    yield gauge("posts_unknown_oldest_seconds", "How long nobody has known of a post whether it is out.", one(told))


def lately(now: datetime) -> Iterator[Metric]:
    """Counts of some minutes: rows are not taken away, but a sum over all of them would read all of them."""
    since = now - RECENT
    minutes = f"in the last {RECENT.seconds // 60} minutes"
    claims = AuditLog.objects.filter(created_at__gte=since, entity_type=EntityType.TASK, action="claim").count()
    yield gauge("recent_claims", f"Tasks that were claimed {minutes}.", one(claims))
    decided = ReviewDecision.objects.filter(created_at__gte=since).order_by().values_list("reviewer_type", "decision")
    found = {(by, decision): amount for by, decision, amount in decided.annotate(amount=Count("*"))}
    rows = [([by, what], found.get((by, what), 0)) for by in ReviewerType.values for what in Decision.values]
    yield gauge("recent_decisions", f"Decisions {minutes}.", rows, "by", "decision")
    published = PublishRecord.objects.filter(status=PublishStatus.PUBLISHED, published_at__gte=since).count()
    failed = PublishRecord.objects.filter(status=PublishStatus.FAILED, updated_at__gte=since).count()
    rows = [([PublishStatus.PUBLISHED.value], published), ([PublishStatus.FAILED.value], failed)]
    yield gauge("recent_posts", f"Posts that came out or failed {minutes}.", rows, "status")
    ended = Task.objects.filter(status__in=[TaskStatus.DONE, TaskStatus.FAILED], deleted_at=None, updated_at__gte=since)
    amounts = dict(ended.order_by().values_list("status").annotate(amount=Count("*")))
    rows = [([status.value], amounts.get(status, 0)) for status in (TaskStatus.DONE, TaskStatus.FAILED)]
    yield gauge("recent_tasks", f"Tasks that ended {minutes}.", rows, "status")


def events(now: datetime) -> Iterator[Metric]:
    """The server counts what is inserted: a counter for nothing. It begins anew after a crash, as counters may.

    By month, because months leave: their sum would fall then, and count anew all that is left.
    """
    newest = newest_observed()
    age = (now - newest).total_seconds() if newest else float("inf")
    yield gauge("events_newest_observed_seconds", "Since when nothing newer was observed; +Inf: never.", one(age))
    months = {name: str(month) for month, name in leaves(EVENTS).items()}
    with connection.cursor() as cursor:
        cursor.execute("SELECT relname, n_tup_ins FROM pg_stat_user_tables WHERE relname = ANY (%s)", [list(months)])
        rows = [([months[name]], amount) for name, amount in sorted(cursor.fetchall())]
    yield counter("events_ingested", "Metric events that came in, by the month of their observation.", rows, "month")


def jobs(now: datetime) -> Iterator[Metric]:
    beats = heartbeats(now)
    since = [
        (
            beat.name,
            (now - beat.job.succeeded_at).total_seconds() if beat.job and beat.job.succeeded_at else float("inf"),
        )
        for beat in beats
    ]
    rows = [([name], seconds) for name, seconds in since]
    yield gauge("cron_since_success_seconds", "Since a job of cron last succeeded; +Inf: never.", rows, "command")
    running = [beat.job for beat in beats if beat.job and (last_end(beat.job) or EVER) < beat.job.started_at]
    rows = [([job.name], (now - job.started_at).total_seconds()) for job in running]
    yield gauge("cron_running_seconds", "How long a job runs that has not come to its end.", rows, "command")
    rows = [([beat.name], bool(beat.alarm)) for beat in beats]
    told = (now - safe).total_seconds() if (safe := failing_since()) else 0
    yield gauge("log_unarchived_seconds", "Since when the log cannot be archived; 0: it can.", one(told))
    yield gauge("cron_alarm", "1: the job is late, has failed or did not finish, as /readyz says.", rows, "command")


def months(now: datetime) -> Iterator[Metric]:
    rows = [([ahead.table], ahead.months) for ahead in machine.months_ahead()]
    yield gauge("partitions_ahead", "Months that exist after this one; -1: not even this one.", rows, "table")


def server(now: datetime) -> Iterator[Metric]:
    """Transactions of our own role: all but those of the owner and of agents in SQL, which end after an idle minute.

    To see when others' began takes pg_read_all_stats, which a superuser may give.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT (SELECT sum(numbackends) FROM pg_stat_database)::int, current_setting('max_connections')::int,"
            " coalesce(extract(epoch FROM max(clock_timestamp() - xact_start)), 0)::float"
            " FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        used, most, oldest = cursor.fetchone()
        # Not from the statements: those that are rare are forgotten, and a counter must not fall.
        cursor.execute(
            "SELECT xact_commit + xact_rollback, active_time / 1000, deadlocks FROM pg_stat_database"
            " WHERE datname = current_database()"
        )
        transactions, seconds, deadlocks = cursor.fetchone()
    yield gauge("database_connections", "Connections to the database server, of everybody.", one(used))
    yield gauge("database_connections_max", "As many as it takes.", one(most))
    yield gauge("database_oldest_transaction_seconds", "How long the oldest transaction is open.", one(oldest))
    yield counter("database_transactions", "Transactions that ended.", one(transactions))
    yield counter("database_active_seconds", "How long statements took together.", one(seconds))
    yield counter("database_deadlocks", "Deadlocks that were found.", one(deadlocks))


def slow_statements(now: datetime) -> Iterator[Metric]:
    try:
        found = statements.counted()
    except Unreadable:
        return  # the page says why; an alert for what nobody installed would never end
    often = f"called {statements.OFTEN} times or more"
    says = f"Statements {often} that take more than {statements.SLOW_MS} ms on average."
    yield gauge("statements_slow", says, one(found.slow))
    yield gauge("statements_slowest_seconds", f"The longest mean of those {often}.", one(found.slowest))


def replica(now: datetime) -> Iterator[Metric]:
    """As the web process that answers sees it; each looks for itself."""
    if not is_configured():
        return
    age = watch.age()
    yield gauge("replica_used", "1: pages are read from the replica.", one(watch.usable()))
    told = float("inf") if age is None else age
    yield gauge("replica_lag_seconds", "How old what it shows may be; +Inf: it does not answer.", one(told))


PARTS: dict[str, Part] = {
    "tasks": tasks,
    "campaigns": campaigns,
    "reviews": reviews,
    "posts": posts,
    "lately": lately,
    "events": events,
    "jobs": jobs,
    "months": months,
    "server": server,
    "statements": slow_statements,
    "replica": replica,
}


class Figures(Collector):
    def collect(self) -> Iterator[Metric]:
        now, missing = timezone.now(), []
        for name, part in PARTS.items():
            try:
                yield from asked(part, now)
            except DatabaseError as problem:
                missing.append(name)
                log.warning("/metrics goes without %s: %s", name, str(problem).partition("\n")[0])
        rows = [([name], name in missing) for name in PARTS]
        yield gauge(
            "scrape_missing", "1: this part is missing, since the database did not answer in time.", rows, "part"
        )


def asked(part: Part, now: datetime) -> list[Metric]:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT set_config('statement_timeout', %s, true)", [PATIENCE])  # for this transaction alone
        return list(part(now))
