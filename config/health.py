"""Two questions of load balancers: does this process live (`/healthz`), and can it serve (`/readyz`)?

The answers are plain words for a stranger: what is wrong, never a host, a user or a statement.

A job of cron that is late, and a halt of everything, are told by `/readyz` as warnings, and are no reason to be taken
out of service: the console and the API serve all the same, and taking every web process away would make an outage of a
delay. Watch `warnings`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache

from django.conf import settings
from django.db import DatabaseError, connection, connections
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts.services.second_factor import unknown_groups
from audit.admin.cells import duration
from audit.models import CronJob
from campaigns.models import SystemControl
from config.backup.archiving import failing_since
from config.replica.watch import trouble_of_replica
from config.schema_fingerprint import compared_lately

MONTHS_AHEAD = 2
# The jobs that cron must run, and how long after its last success each is late: some strokes of its clock.
LATE_AFTER = {"run_due": timedelta(minutes=5), "rotate_partitions": timedelta(days=2)}
# These only where BACKUP_URL is set, and these once somebody has let them run.
BACKUPS_LATE_AFTER = {
    "backup": timedelta(days=2),
    "backup_files": timedelta(minutes=15),
    "restore_drill": timedelta(days=9),
}
LATE_ONCE_RUN = {"archive_metrics": timedelta(days=2), "verify_archives": timedelta(days=9)}
UNFINISHED_AFTER = timedelta(minutes=5)  # a job that runs longer is worth a look, whether it was killed or not
LONG = {*BACKUPS_LATE_AFTER, *LATE_ONCE_RUN}  # as large as the database is
UNFINISHED_AFTER_LONG = timedelta(hours=12)


class NotReady(Exception):
    """A check failed; the text is shown to whoever asks."""


@never_cache
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """Answers without the database: a lost database must not make an orchestrator restart every web process."""
    return HttpResponse("ok", content_type="text/plain; charset=utf-8")


@never_cache
@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    checks = {name: answer_of(check) for name, check in CHECKS.items()}
    ready = all(answer == "ok" for answer in checks.values())
    try:
        beats, halted, unknown = heartbeats(timezone.now()), halted_since(), unknown_groups()
    except DatabaseError:
        beats, halted, unknown = [], None, []  # the checks have said so
    trouble, unarchived = trouble_of_replica(), log_not_archived()
    schema = schema_lately()
    told = {
        "status": "ready" if ready else "not ready",
        "checks": checks,
        "jobs": {beat.name: beat.for_strangers() for beat in beats if beat.job},
        "halted_since": halted,
        "schema": schema["fingerprint"] or None,
        "warnings": [
            *([f"everything is halted, since {duration(timezone.now() - halted)} ago"] if halted else []),
            *(f"{beat.name} {beat.alarm}" for beat in beats if beat.alarm),
            *(f"REQUIRE_SECOND_FACTOR names “{name}”, which is no group here" for name in unknown),
            *([f"the read replica {trouble}: pages are read from the primary"] if trouble else []),
            *([f"the schema {schema['alarm']}"] if schema["alarm"] else []),
            *([f"PostgreSQL’s log {unarchived}"] if unarchived else []),
        ],
    }
    return JsonResponse(told, status=200 if ready else 503)


def schema_lately() -> dict[str, str]:
    """A schema that was changed by hand is a warning: the rules that are left hold, and who dropped one must look."""
    try:
        return compared_lately()
    except DatabaseError:  # without an answer, or under a change at this moment
        return {"fingerprint": "", "alarm": ""}


def log_not_archived() -> str:
    """Completes “PostgreSQL’s log …”; empty while all is well. What is not archived is lost with the server."""
    try:
        since = failing_since()
    except DatabaseError:  # the checks have said so
        return ""
    if since is None:
        return ""
    return f"has not been archived for {duration(timezone.now() - since)}: the server’s own log says why"


def halted_since() -> datetime | None:
    """When everything was halted, if it is: no reason to be taken out of service. Who did it and why is for people."""
    system = SystemControl.objects.filter(halted=True).first()
    return (system.controlled_at or system.updated_at) if system else None


def answer_of(check: Callable[[], None]) -> str:
    try:
        check()
    except NotReady as problem:
        return str(problem)
    except DatabaseError:
        return "the database does not answer"
    return "ok"


def database_answers() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def schema_is_current() -> None:
    if missing := missing_migrations():
        raise NotReady(f"{len(missing)} migrations are not applied")


def missing_migrations(using: str = "default") -> frozenset[tuple[str, str]]:
    """What the code brings and the database has not; all of it where the database is empty."""
    return known_migrations() - set(MigrationRecorder(connections[using]).applied_migrations())


@cache
def known_migrations() -> frozenset[tuple[str, str]]:
    """The migrations in the code; they cannot change while the process lives."""
    return frozenset(MigrationLoader(None, ignore_no_migrations=True).disk_migrations)


def months_lie_ahead() -> None:
    """Without its month every write would stop, since every write leaves an audit row: say so while there is time."""
    from metrics import partitions

    late = [table.name for table in partitions.TABLES if partitions.months_ahead(table) < MONTHS_AHEAD]
    if late:
        raise NotReady(f"fewer than {MONTHS_AHEAD} months lie ahead in {' and '.join(late)}: run rotate_partitions")


CHECKS: dict[str, Callable[[], None]] = {
    "database": database_answers,
    "migrations": schema_is_current,
    "partitions": months_lie_ahead,
}


@dataclass(frozen=True)
class Heartbeat:
    """How a job of cron is; `alarm` completes “run_due …”, and is empty while all is well."""

    name: str
    job: CronJob | None  # None: it has never run
    word: str
    colour: str
    alarm: str = ""

    def for_strangers(self) -> dict[str, object]:
        """Times, and what a run that succeeded did; why one failed is for people who have signed in."""
        assert self.job is not None
        told = {name: getattr(self.job, name) for name in ("started_at", "succeeded_at", "failed_at")}
        return {**told, "did": self.job.said if last_end(self.job) == self.job.succeeded_at else None}


def heartbeats(now: datetime) -> list[Heartbeat]:
    """Of the jobs that must run, and of the others that have."""
    jobs = CronJob.objects.in_bulk()
    must = [*LATE_AFTER, *(BACKUPS_LATE_AFTER if settings.BACKUP_URL else {})]
    return [heartbeat_of(name, jobs.get(name), now) for name in [*must, *sorted(jobs.keys() - set(must))]]


def late_after(name: str) -> timedelta | None:
    """None: nobody said when that one is late."""
    backups = BACKUPS_LATE_AFTER if settings.BACKUP_URL else {}
    return {**LATE_AFTER, **backups, **LATE_ONCE_RUN}.get(name)


def heartbeat_of(name: str, job: CronJob | None, now: datetime) -> Heartbeat:
    if job is None:
        return Heartbeat(name, None, "never ran", "bad", "has never run: is cron set up?")
    end, alarms = last_end(job), []
    word, colour = "succeeded", "good"
    if end is not None and end == job.failed_at:
        word, colour = "failed", "bad"
        alarms.append(f"failed {duration(now - end)} ago")
    if end is None or end < job.started_at:
        hangs = now - job.started_at > (UNFINISHED_AFTER_LONG if name in LONG else UNFINISHED_AFTER)
        word, colour = ("did not finish", "bad") if hangs else ("running", "info")
        if hangs:
            alarms.append(f"began {duration(now - job.started_at)} ago and did not finish")
    since = job.succeeded_at or job.created_at
    late = late_after(name)
    if late is not None and now - since > late:
        word, colour = (word, colour) if alarms else ("late", "bad")
        alarms.append(f"has not succeeded for {duration(now - since)}")
    return Heartbeat(name, job, word, colour, ", ".join(alarms))


def last_end(job: CronJob) -> datetime | None:
    return max((end for end in (job.succeeded_at, job.failed_at) if end), default=None)
