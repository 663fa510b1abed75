"""Every command is run by some test; what it says on the way is for the person or the cron that reads it."""

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from accounts.models import User
from audit.models import AuditLog
from campaigns.models import Campaign
from content.models import PublishRecord, ReviewItem
from metrics.models import MetricEvent

ROOT = Path(__file__).parents[2]


def test_every_command_has_a_test() -> None:
    commands = {path.stem for path in ROOT.glob("[a-z]*/management/commands/*.py") if path.stem != "__init__"}
    assert len(commands) > 5
    tests = "\n".join(path.read_text() for path in ROOT.glob("tests/**/*.py"))
    assert not {command for command in commands if f'"{command}"' not in tests}


@pytest.mark.django_db
def test_the_demo_is_small_believable_and_loaded_once() -> None:
    out = StringIO()
    call_command("load_demo", stdout=out)
    assert "admin@example.org; the password of all four is" in out.getvalue()
    assert Campaign.objects.count() == 4
    assert ReviewItem.objects.open().count() == 4
    assert PublishRecord.objects.filter(status="published").count() == 2
    assert MetricEvent.objects.exists()
    # Everything went through the verbs: whatever is there left its audit row.
    for model, entity in ((User, "user"), (PublishRecord, "publish_record"), (MetricEvent, "metric_event")):
        created = AuditLog.objects.filter(entity_type=entity, action__in=["create", "queue", "ingest"]).count()
        assert created - (4 if entity == "user" else 0) >= 0
        assert model.objects.count() <= created
    with pytest.raises(CommandError, match="people here already"):
        call_command("load_demo")


@pytest.mark.django_db
def test_run_due_says_what_it_did_and_nothing_when_there_was_nothing() -> None:
    out = StringIO()
    call_command("run_due", stdout=out)
    assert out.getvalue() == ""
