"""Months that are missing are found and named, and a lock in the way is said aloud."""

import threading
from io import StringIO
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.db import connections

from audit.models import CronJob
from metrics.partitions import EVENTS, gaps, make, this_month
from metrics.services.archive import archive_month
from tests.conftest import address
from tests.factories import published_post
from tests.metrics.months import OLD, fill, owner
from tests.metrics.test_restore import ACTOR

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "migrator"]),
    pytest.mark.usefixtures("store"),
]


def rotate() -> tuple[str, str]:
    out, err = StringIO(), StringIO()
    call_command("rotate_partitions", stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def test_gaps_are_named_and_archived_months_are_none() -> None:
    assert gaps(EVENTS) == []
    fill(published_post(), 5)  # with nothing between it and last month
    between = [OLD.plus(number) for number in range(1, 8)]
    assert gaps(EVENTS) == between
    _, err = rotate()
    assert f"metric_event has gaps: {', '.join(map(str, between))}; rotate_partitions --from {between[0]}" in err
    assert "has gaps" in CronJob.objects.get(name="rotate_partitions").said
    for month in between:
        make(EVENTS, month)
    assert gaps(EVENTS) == []
    archive_month(table=EVENTS, month=OLD, actor=ACTOR)
    assert gaps(EVENTS) == []
    assert rotate()[1] == ""


def test_rotation_says_whom_it_waits_for() -> None:
    gone = this_month().plus(6)
    with owner() as connection:
        connection.execute(f"DROP TABLE {EVENTS.leaf(gone)}")
    said: list[tuple[str, str]] = []

    def work() -> None:
        try:
            said.append(rotate())
        finally:
            connections.close_all()

    with psycopg.connect(**address("migrator")) as busy:
        busy.execute("LOCK TABLE metric_event IN SHARE ROW EXCLUSIVE MODE")
        process = busy.info.backend_pid
        thread = threading.Thread(target=work)
        thread.start()
        thread.join(3)
        assert thread.is_alive()
        busy.rollback()
    thread.join(20)
    ((out, err),) = said
    assert f"Making {EVENTS.leaf(gone)} waits for process {process} of " in err
    assert f"Made {EVENTS.leaf(gone)}." in out


def test_a_lock_that_stays_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    from metrics import patience

    gone: Any = this_month().plus(6)
    with owner() as connection:
        connection.execute(f"DROP TABLE {EVENTS.leaf(gone)}")
    with psycopg.connect(**address("migrator")) as busy:
        busy.execute("LOCK TABLE metric_event IN SHARE ROW EXCLUSIVE MODE")
        with pytest.raises(patience.Conflict, match=r"waited 1 seconds for process .* nothing is lost"):
            patience.patiently(
                lambda cursor: cursor.execute("LOCK TABLE metric_event"), "It", "metric_event", patience=1
            )
        busy.rollback()
    assert f"Made {EVENTS.leaf(gone)}." in rotate()[0]
