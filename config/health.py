"""Two questions of load balancers: does this process live (`/healthz`), and can it serve (`/readyz`)?

The answers are plain words for a stranger: what is wrong, never a host, a user or a statement.
"""

from collections.abc import Callable
from functools import cache

from django.db import DatabaseError, connection, connections
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

MONTHS_AHEAD = 2


class NotReady(Exception):
    """A check failed; the text is shown to whoever asks."""


@never_cache
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """Answers without the database: a lost database must not make an orchestrator restart every web process."""
    return HttpResponse("ok", content_type="text/plain")


@never_cache
@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    checks = {name: answer_of(check) for name, check in CHECKS.items()}
    ready = all(answer == "ok" for answer in checks.values())
    return JsonResponse({"status": "ready" if ready else "not ready", "checks": checks}, status=200 if ready else 503)


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
