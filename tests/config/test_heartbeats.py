"""Cron's heartbeats: written whatever becomes of the job, and read by `/readyz` and on the console's first page."""

import os
import subprocess
import sys
from datetime import datetime, timedelta
from io import StringIO
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import DatabaseError, OperationalError, connection, transaction
from django.test import Client
from django.utils import timezone

from audit.errors import Invalid
from audit.heartbeat import UNFORESEEN, heartbeat
from audit.models import AuditLog, CronJob
from config import health
from config.groups import ADMINISTRATOR, AUDITOR, OPERATOR, REVIEWER
from config.management.commands import run_due
from tests.conftest import TEST_DATABASE, address
from tests.contract.conftest import url
from tests.factories import make_user

pytestmark = pytest.mark.django_db
FULL = ("started_at", "succeeded_at", "failed_at", "said")


def job(name: str = "nightly") -> CronJob:
    return CronJob.objects.get(name=name)


def beat(
    name: str, *, began: float, succeeded: float | None = None, failed: float | None = None, said: str = ""
) -> None:
    """A heartbeat whose beginning and ends lie so many seconds back."""
    now = timezone.now()
    ago = {"started_at": began, "succeeded_at": succeeded, "failed_at": failed}
    values = {column: None if seconds is None else now - timedelta(seconds=seconds) for column, seconds in ago.items()}
    CronJob.objects.create(name=name, said=said, **values)


# --- Written ---------------------------------------------------------------------------------------------------------


def test_a_job_that_comes_to_its_end_says_what_it_did() -> None:
    before, audited = timezone.now(), AuditLog.objects.count()
    with heartbeat("nightly") as told:
        began = job()
        assert (began.succeeded_at, began.failed_at, began.said) == (None, None, "")
        told.said = "Moved 3 months."
    ended = job()
    assert before <= ended.started_at == began.started_at <= ended.succeeded_at <= timezone.now()
    assert (ended.failed_at, ended.said) == (None, "Moved 3 months.")
    with heartbeat("nightly"):
        again = job()
        assert again.started_at > ended.started_at
        assert (again.succeeded_at, again.said) == (ended.succeeded_at, "Moved 3 months.")
    assert CronJob.objects.count() == 1
    assert AuditLog.objects.count() == audited


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        (CommandError("The store is full."), "The store is full."),
        (Invalid("There is no such month."), "There is no such month."),
        (RuntimeError("/srv/secret: SELECT 1"), UNFORESEEN),
        (OperationalError("connection to 10.0.0.7 failed"), UNFORESEEN),
    ],
)
def test_a_job_that_fails_says_why_in_words_for_people(problem: Exception, said: str) -> None:
    with heartbeat("nightly") as told:
        told.said = "Fine."
    good = job()
    with pytest.raises(type(problem)), heartbeat("nightly"):
        raise problem
    failed = job()
    assert failed.failed_at >= failed.started_at > good.started_at
    assert (failed.succeeded_at, failed.said) == (good.succeeded_at, said)


@pytest.mark.parametrize("end", [SystemExit(0), KeyboardInterrupt()])
def test_a_job_that_a_signal_ends_has_a_beginning_only(end: BaseException) -> None:
    with pytest.raises(type(end)), heartbeat("nightly"):
        raise end
    assert [getattr(job(), name) for name in FULL[1:]] == [None, None, ""]


def test_a_run_does_not_hide_that_another_began_after_it() -> None:
    with heartbeat("nightly"):
        with heartbeat("nightly"):
            second = job().started_at
        assert job().started_at == second
    assert job().started_at == second


@pytest.mark.django_db(transaction=True)
def test_the_beginning_is_committed_before_the_work_and_survives_its_rollback() -> None:
    with pytest.raises(CommandError), heartbeat("nightly"), transaction.atomic():
        with psycopg.connect(**address("default")) as another:
            assert another.execute("SELECT name FROM cron_job").fetchall() == [("nightly",)]
        raise CommandError("No.")
    assert job().failed_at is not None


@pytest.mark.django_db(transaction=True)
def test_a_heartbeat_inside_a_transaction_is_a_mistake() -> None:
    with transaction.atomic(), pytest.raises(RuntimeError, match="durable"), heartbeat("nightly"):
        raise AssertionError("never reached")


@pytest.mark.django_db(transaction=True)
def test_a_connection_that_was_lost_meanwhile_is_made_anew_for_the_end() -> None:
    with heartbeat("nightly"), pytest.raises(OperationalError), connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    assert job().succeeded_at is not None


WAITING = """
import django, time
django.setup()
from django.core.management import call_command
from config.management.commands import run_due
def wait(**given):
    print("begun", flush=True)
    time.sleep(60)
run_due.STEPS = [("waited", "waiting", wait)]
call_command("run_due")
"""


@pytest.mark.django_db(transaction=True)
def test_a_job_that_is_killed_leaves_a_beginning_without_an_end_and_runs_again() -> None:
    variables = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "DATABASE_URL": url("default", settings.DATABASES["default"]["USER"], TEST_DATABASE),
        "SECRET_KEY": "only for tests",
    }
    command = [sys.executable, "-c", WAITING]
    with subprocess.Popen(command, cwd=settings.BASE_DIR, env=variables, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "begun\n"
        child.kill()
    killed = job("run_due")
    assert [getattr(killed, name) for name in FULL[1:]] == [None, None, ""]
    call_command("run_due", stdout=StringIO())
    assert job("run_due").succeeded_at > job("run_due").started_at > killed.started_at


def test_a_heartbeat_that_cannot_be_written_keeps_no_job_from_its_work(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*args: Any, **kwargs: Any) -> None:
        raise OperationalError("the server is gone\nreally")

    monkeypatch.setattr("django.db.models.query.QuerySet.bulk_create", broken)
    done = []
    with heartbeat("nightly"):
        done.append(True)
    assert done
    assert [record.getMessage() for record in caplog.records] == [
        "The heartbeat of nightly could not be written: the server is gone"
    ]
    caplog.clear()
    with pytest.raises(CommandError), heartbeat("nightly"):
        raise CommandError("The job's own word is enough.")
    assert not caplog.records


def test_heartbeats_are_never_deleted() -> None:
    beat("nightly", began=1)
    with pytest.raises(DatabaseError), transaction.atomic():
        CronJob.objects.all().delete()


# --- By the commands -------------------------------------------------------------------------------------------------


def test_run_due_leaves_its_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    call_command("run_due", stdout=StringIO())
    assert job("run_due").said == "Nothing was due."
    monkeypatch.setattr(run_due, "STEPS", [("settled", "settling decisions", lambda **given: 3)])
    call_command("run_due", stdout=StringIO())
    assert job("run_due").said == "settled: 3."
    assert job("run_due").succeeded_at >= job("run_due").started_at


def test_run_due_with_a_step_that_fails_has_not_succeeded(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(**given: object) -> int:
        raise RuntimeError("a fault of ours")

    steps = [("resumed", "resuming campaigns", failing), ("settled", "settling decisions", lambda **given: 3)]
    monkeypatch.setattr(run_due, "STEPS", steps)
    with pytest.raises(CommandError):
        call_command("run_due", stdout=StringIO())
    told = job("run_due")
    assert (told.succeeded_at, told.said) == (None, "What failed: resuming campaigns. settled: 3.")
    assert told.failed_at is not None


@pytest.mark.django_db(transaction=True, databases=["default", "migrator"])
def test_rotate_partitions_leaves_its_heartbeat() -> None:
    call_command("rotate_partitions", stdout=StringIO())
    assert job("rotate_partitions").said == "Every month was there."
    with pytest.raises(CommandError, match="lies in the future"):
        call_command("rotate_partitions", "--from", "2999-01", stdout=StringIO())
    assert job("rotate_partitions").failed_at is None  # what a person misspelt is no failure of the job


# --- Read by load balancers ------------------------------------------------------------------------------------------

MINUTE, HOUR, DAY = 60, 3600, 86_400


def readyz() -> dict[str, Any]:
    answer = Client().get("/readyz")
    assert answer.status_code == 200  # whatever cron does: a process that can serve is not taken away
    told: dict[str, Any] = answer.json()
    assert told["status"] == "ready"
    return told


def all_is_well() -> None:
    beat("run_due", began=20, succeeded=19, said="3 settled.")
    beat("rotate_partitions", began=20 * HOUR, succeeded=20 * HOUR - 1, said="Every month was there.")


def test_readyz_lists_the_heartbeats() -> None:
    all_is_well()
    told = readyz()
    assert told["warnings"] == []
    assert set(told["jobs"]) == {"run_due", "rotate_partitions"}
    row = told["jobs"]["run_due"]
    assert (row["did"], row["failed_at"]) == ("3 settled.", None)
    assert datetime.fromisoformat(row["started_at"]) < datetime.fromisoformat(row["succeeded_at"])


def test_where_cron_was_never_set_up_readyz_says_so() -> None:
    assert readyz()["warnings"] == [
        "run_due has never run: is cron set up?",
        "rotate_partitions has never run: is cron set up?",
    ]


@pytest.mark.parametrize(
    ("name", "given", "alarm"),
    [
        ("run_due", {"began": 20, "succeeded": 19}, ""),
        ("run_due", {"began": 20}, ""),  # it runs
        ("run_due", {"began": 20, "succeeded": 4 * MINUTE}, ""),
        ("run_due", {"began": 7 * MINUTE, "succeeded": 7 * MINUTE - 1}, "has not succeeded for 6 min"),
        ("run_due", {"began": 20, "succeeded": 7 * MINUTE}, "has not succeeded for 7 min"),
        ("run_due", {"began": 20, "succeeded": 80, "failed": 19}, "failed 19 s ago"),
        ("run_due", {"began": 20, "succeeded": 19, "failed": 80}, ""),
        ("run_due", {"began": 20, "succeeded": HOUR, "failed": 19}, "failed 19 s ago, has not succeeded for 1 h"),
        (
            "run_due",
            {"began": 9 * MINUTE, "succeeded": 10 * MINUTE},
            "began 9 min ago and did not finish, has not succeeded for 10 min",
        ),
        ("rotate_partitions", {"began": DAY, "succeeded": DAY - 1}, ""),
        ("rotate_partitions", {"began": 3 * HOUR, "succeeded": 27 * HOUR}, "began 3 h ago and did not finish"),
        ("rotate_partitions", {"began": 3 * DAY, "succeeded": 3 * DAY - 5}, "has not succeeded for 2 d"),
        ("nightly", {"began": 300 * DAY, "succeeded": 300 * DAY - 1}, ""),  # nobody said when it is late
        ("nightly", {"began": HOUR}, "began 1 h ago and did not finish"),
        ("nightly", {"began": HOUR, "failed": HOUR - 1}, "failed 59 min ago"),
    ],
)
def test_what_is_wrong_with_a_job_is_said_in_words(name: str, given: dict[str, Any], alarm: str) -> None:
    beat(name, **given)
    assert [told for told in readyz()["warnings"] if told.startswith(name)] == ([f"{name} {alarm}"] if alarm else [])


@pytest.mark.parametrize(
    ("name", "given", "alarm"),
    [
        ("backup", {"began": DAY, "succeeded": DAY - 300}, ""),
        ("backup", {"began": 3 * HOUR, "succeeded": 27 * HOUR}, ""),  # a large one takes hours
        ("backup", {"began": 20, "succeeded": 3 * DAY}, "has not succeeded for 3 d"),
        ("backup_files", {"began": 20 * MINUTE, "succeeded": 20 * MINUTE}, "has not succeeded for 20 min"),
        ("restore_drill", {"began": 8 * DAY, "succeeded": 8 * DAY}, ""),
        ("restore_drill", {"began": 10 * DAY, "succeeded": 10 * DAY}, "has not succeeded for 10 d"),
    ],
)
def test_backups_are_late_where_there_are_backups(name: str, given: dict[str, Any], alarm: str, settings: Any) -> None:
    all_is_well()
    beat(name, **given)
    settings.BACKUP_URL = ""
    assert readyz()["warnings"] == []
    settings.BACKUP_URL = "file:///srv/backup"
    assert [told for told in readyz()["warnings"] if told.startswith(f"{name} ")] == (
        [f"{name} {alarm}"] if alarm else []
    )


def test_where_backups_are_wanted_and_never_ran_readyz_says_so(settings: Any) -> None:
    all_is_well()
    settings.BACKUP_URL = "file:///srv/backup"
    assert readyz()["warnings"] == [
        f"{name} has never run: is cron set up?" for name in ("backup", "backup_files", "restore_drill")
    ]


def test_an_archive_is_late_where_somebody_has_begun_with_it() -> None:
    all_is_well()
    beat("archive_metrics", began=3 * DAY, succeeded=3 * DAY)
    assert readyz()["warnings"] == ["archive_metrics has not succeeded for 3 d"]


def test_strangers_are_not_told_why_a_job_failed() -> None:
    beat("run_due", began=20, failed=19, said="/srv/store cannot be written")
    answer = Client().get("/readyz")
    assert answer.json()["jobs"]["run_due"]["did"] is None
    assert "/srv" not in answer.content.decode()


def test_readyz_without_a_database_says_so_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*args: Any, **kwargs: Any) -> None:
        raise OperationalError("connection to server at 10.0.0.7 failed")

    monkeypatch.setattr(connection, "cursor", gone)
    answer = Client().get("/readyz")
    assert answer.status_code == 503
    assert (answer.json()["jobs"], answer.json()["warnings"]) == ({}, [])
    assert "10.0.0.7" not in answer.content.decode()


def test_every_job_that_must_run_is_a_command() -> None:
    from django.core.management import get_commands

    named = {*health.LATE_AFTER, *health.BACKUPS_LATE_AFTER, *health.LATE_ONCE_RUN}
    assert named <= set(get_commands())


# --- Read by people --------------------------------------------------------------------------------------------------


def first_page(group: str) -> str:
    client = Client()
    client.force_login(make_user(group), backend="django.contrib.auth.backends.ModelBackend")
    return client.get("/admin/").content.decode()


@pytest.mark.parametrize("group", [REVIEWER, OPERATOR, AUDITOR, ADMINISTRATOR])
def test_the_first_page_shows_the_jobs_and_no_alarm_while_all_is_well(group: str) -> None:
    all_is_well()
    page = first_page(group)
    assert "Scheduled jobs" in page
    assert "3 settled." in page
    assert 'id="job-run_due"' in page
    assert "need-bad" not in page


def test_the_first_page_sounds_the_alarm_and_tells_why_a_job_failed() -> None:
    beat("run_due", began=9 * MINUTE, succeeded=10 * MINUTE)
    beat("nightly", began=20, failed=19, said="The store <is> full.")
    page = first_page(OPERATOR)
    assert "run_due began 9 min ago and did not finish, has not succeeded for 10 min" in page
    assert "rotate_partitions has never run" in page
    assert "The store &lt;is&gt; full." in page
    assert "did not finish</span>" in page


def test_who_belongs_to_no_group_sees_no_jobs() -> None:
    assert "Scheduled jobs" not in first_page("")
