"""`run_due` does all that time must do, twice at once as well as once."""

import io
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from audit.context import Actor
from audit.models import CronJob
from campaigns.models import Task
from campaigns.services import pause_campaign
from config.groups import OPERATOR, REVIEWER
from content.choices import ReviewReason
from content.models import PublishRecord, ReviewItem
from tests.concurrency import together
from tests.factories import (
    claimed_post,
    claimed_task,
    decided_item,
    make_artifact,
    make_campaign,
    make_user,
    waiting_item,
)

LONG_AGO = timedelta(hours=2)


def everything_is_due() -> None:
    past = timezone.now() - LONG_AGO
    claimed_task().change("test", lease_expires_at=past)
    claimed_post(campaign=make_campaign(target_platforms=["x"])).change("test", lease_expires_at=past)
    paused = make_campaign(name="Paused")
    soon = timezone.now() + timedelta(seconds=60)
    pause_campaign(campaign_id=paused.pk, actor=Actor.human(make_user(OPERATOR)), reason="lunch", resume_at=soon)
    paused.change("test", resume_at=past)
    make_artifact().task.change("test", completed_at=past)
    waiting_item().change("test", due_at=past)
    decided_item(person=make_user(REVIEWER))


def run() -> str:
    out = io.StringIO()
    call_command("run_due", stdout=out)
    return out.getvalue().strip()


@pytest.mark.django_db
def test_everything_that_is_due_is_done_and_told(settings) -> None:
    everything_is_due()
    settings.REVIEW_UNDO_SECONDS = 0
    assert run() == (
        "campaigns resumed: 1, tasks of silent workers failed: 1, posts of silent publishers held: 1,"
        " put before people for want of a judge: 1, reviews found overdue: 1, decisions settled: 1,"
        " notifications made: 2, e-mails sent: 2."
    )
    assert run() == ""
    assert CronJob.objects.get(name="run_due").said == "Nothing was due."


@pytest.mark.django_db(transaction=True)
def test_several_at_once_do_everything_once(settings) -> None:
    everything_is_due()
    settings.REVIEW_UNDO_SECONDS = 0
    together(*[run] * 4)
    assert Task.objects.filter(parent_task__isnull=False).count() == 1
    assert PublishRecord.objects.filter(hold="outcome_unknown").count() == 1
    assert ReviewItem.objects.filter(reason=ReviewReason.NO_JUDGE).count() == 1
    assert run() == ""


@pytest.mark.django_db
def test_a_step_that_fails_keeps_no_other_from_its_turn_and_is_told(monkeypatch) -> None:
    everything_is_due()

    def fail(**_: object) -> int:
        raise OverflowError("a number without end")

    monkeypatch.setattr("config.management.commands.run_due.STEPS", [("x", "counting", fail), *_steps()])
    with pytest.raises(CommandError, match="What failed: counting"):
        run()
    assert Task.objects.filter(parent_task__isnull=False).count() == 1
    assert "counting" in CronJob.objects.get(name="run_due").said


def _steps() -> list[object]:
    from config.management.commands.run_due import STEPS

    return list(STEPS)
