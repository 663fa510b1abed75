"""`migrate` queues nobody behind it: it asks for locks briefly, says who is in the way, and gives up whole."""

from collections.abc import Callable
from io import StringIO
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connections

from config import schema_fingerprint
from metrics import patience

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "migrator"])


def test_who_is_in_the_way_is_named_and_nothing_is_changed(
    connect: Callable[..., psycopg.Connection[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "PATIENCE", 0.0)
    monkeypatch.setattr(patience, "PAUSE", 0.01)
    before, err = schema_fingerprint.fingerprint("migrator"), StringIO()
    reader = connect("gatehouse_app")
    reader.execute("SELECT FROM metric_event LIMIT 1")
    with pytest.raises(
        CommandError, match=r"^metrics\.0001_metric_tables waited 0 seconds for process \d+ of gatehouse"
    ):
        call_command("migrate", "metrics", "zero", verbosity=0, stderr=err)
    assert err.getvalue().startswith("metrics.0001_metric_tables waits for process ")
    assert schema_fingerprint.fingerprint("migrator") == before
    reader.rollback()

    call_command("migrate", verbosity=0, stderr=err)
    assert schema_fingerprint.compare().alarm == ""
    with connections["migrator"].cursor() as cursor:  # as the session has it otherwise
        cursor.execute("SELECT setting = reset_val FROM pg_settings WHERE name = 'lock_timeout'")
        assert cursor.fetchone() == (True,)


def test_what_is_only_shown_is_not_recorded() -> None:
    out = StringIO()
    call_command("migrate", plan=True, stdout=out)
    assert "No planned migration operations." in out.getvalue()
    record = schema_fingerprint.recorded("migrator")
    assert record is not None
    assert record.before is None
