"""Every command is run by some test; what it says on the way is for the person or the cron that reads it."""

import sys
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError

from accounts.models import User
from audit.models import AuditLog
from campaigns.models import Campaign
from config.management.commands import run_due
from content.models import PublishRecord, ReviewItem
from metrics.models import MetricEvent
from tests.factories import make_campaign
from tests.recovery.support import environment, popen

ROOT = Path(__file__).parents[2]


def test_every_command_has_a_test() -> None:
    commands = {path.stem for path in ROOT.glob("[a-z]*/management/commands/*.py") if path.stem != "__init__"}
    assert len(commands) > 5
    tests = "\n".join(path.read_text() for path in ROOT.glob("tests/**/*.py"))
    assert not {command for command in commands if f'"{command}"' not in tests}


def test_a_reader_who_has_seen_enough_is_no_fault(tmp_path: Path) -> None:
    """As `| head` is."""
    with popen([sys.executable, "manage.py", "help"], environment(tmp_path)) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.close()
        assert (child.stderr.read(), child.wait(60)) == ("", 141)


@pytest.mark.django_db
def test_the_demo_is_small_believable_and_loaded_once() -> None:
    out = StringIO()
    call_command("load_demo", stdout=out)
    assert "admin@example.org; the password of all four is" in out.getvalue()
    assert Campaign.objects.count() == 4
    assert ReviewItem.objects.open().count() == 4
    assert PublishRecord.objects.filter(status="published").count() == 14
    assert MetricEvent.objects.exists()
    # Everything went through the verbs: whatever is there left its audit row.
    for model, entity in ((User, "user"), (PublishRecord, "publish_record")):
        created = AuditLog.objects.filter(entity_type=entity, action__in=["create", "queue", "ingest"]).count()
        assert created - (4 if entity == "user" else 0) >= 0
        assert model.objects.count() <= created
    taken = AuditLog.objects.get(entity_type="metric_event", action="ingest")  # one row for the batch
    assert taken.changes["accepted"] == [None, MetricEvent.objects.count()]
    with pytest.raises(CommandError, match="people here already"):
        call_command("load_demo")


@pytest.mark.parametrize("error", [RuntimeError("a fault of ours"), OperationalError("the server is gone\nreally")])
@pytest.mark.django_db
def test_a_step_of_run_due_that_fails_does_not_keep_the_others_from_running(
    error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def failing(**options: object) -> int:
        raise error

    for failed in range(len(run_due.STEPS)):
        steps = [
            (done, doing, failing if number == failed else lambda **options: 2)
            for number, (done, doing, _) in enumerate(run_due.STEPS)
        ]
        monkeypatch.setattr(run_due, "STEPS", steps)
        out = StringIO()
        with pytest.raises(CommandError, match=f"^What failed: {steps[failed][1]}; the lines above say why.$"):
            call_command("run_due", stdout=out)
        assert out.getvalue().count(": 2") == len(steps) - 1
        assert f"{steps[failed][1].capitalize()} failed" in caplog.text
    assert "really" not in caplog.text


@pytest.mark.django_db(transaction=True)
def test_dbshell_speaks_as_one_whose_statements_are_audited(capfd: pytest.CaptureFixture[str]) -> None:
    campaign = make_campaign(name="Before")
    statement = f"UPDATE campaign SET name = 'After' WHERE campaign_id = '{campaign.pk}'"
    call_command("dbshell", "--", "--no-psqlrc", "-c", statement)
    assert capfd.readouterr().out.strip() == "UPDATE 1"
    row = AuditLog.objects.get(entity_type="campaign", action="update", entity_id=str(campaign.pk))
    assert (row.tool_name, row.changes["name"]) == ("sql", ["Before", "After"])


@pytest.mark.django_db
def test_run_due_says_what_it_did_and_nothing_when_there_was_nothing() -> None:
    out = StringIO()
    call_command("run_due", stdout=out)
    assert out.getvalue() == ""
