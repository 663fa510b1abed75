"""The emergency switch where no console answers."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from audit.context import Actor
from audit.models import AuditLog
from campaigns.choices import CampaignStatus, TaskStatus
from campaigns.models import Campaign, SystemControl
from campaigns.services import halt_everything
from config.groups import OPERATOR, REVIEWER
from content.choices import PublishStatus
from tests.factories import claimed_task, make_campaign, make_task, make_user, queued_posts

pytestmark = pytest.mark.django_db


def control(*words: str) -> str:
    out = StringIO()
    call_command("control", *words, stdout=out)
    return out.getvalue()


def operator() -> list[str]:
    return ["--reason", "Wrong price", "--as", make_user(OPERATOR).email]


def test_a_campaign_is_halted_and_the_log_says_who_did_it() -> None:
    task = claimed_task()
    words = operator()
    told = control("halt", task.campaign.name, *words)
    assert f"Campaign “{task.campaign}” is halted.\n  1 task in progress at 1 agent: cut off" in told
    task.refresh_from_db()
    assert task.status == TaskStatus.FAILED
    row = AuditLog.objects.filter(action="halt", entity_type="campaign").get()
    assert (row.actor_type, "Wrong price" in str(row.changes)) == ("human", True)
    assert "halted, since" in control("status")
    control("resume", str(task.campaign.pk), *words)
    assert Campaign.objects.get().status == CampaignStatus.ACTIVE


def test_everything_is_halted_and_runs_again() -> None:
    claimed_task()
    words = operator()
    assert "1 task in progress" in control("halt", "--everything", *words)
    assert SystemControl.objects.get().halted
    assert control("status").startswith("Everything is halted, since")
    assert "halted already" in refused("halt", "--everything", *words)
    paused = make_task()  # of a campaign that stays paused, and so starts nothing
    control("pause", str(paused.campaign.pk), *words)
    assert "1 pending task: start" in control("resume", "--everything", *words)
    assert not SystemControl.objects.get().halted


def test_a_resume_asks_what_becomes_of_overdue_posts() -> None:
    post = queued_posts()[0]
    halt_everything(actor=Actor.system("test"), reason="A test")
    words = operator()
    assert "become overdue" in refused("resume", "--everything", *words)
    assert "the overdue are dropped" in control("resume", "--everything", "--backlog", "drop", *words)
    post.refresh_from_db()
    assert post.status == PublishStatus.FAILED


def refused(*words: str) -> str:
    with pytest.raises(CommandError) as refusal:
        control(*words)
    return str(refusal.value)


def test_what_cannot_be_done_is_told_in_a_sentence() -> None:
    make_campaign(name="Twice")
    one, words = make_campaign(name="Twice"), operator()
    assert refused("halt", "Twice", *words).startswith("Several campaigns are called “Twice”; give the id: ")
    assert "There is no campaign “Nowhere”" in refused("halt", "Nowhere", *words)
    assert refused("halt", *words) == "Name one campaign, or say --everything."
    assert refused("halt", "Twice", "--everything", *words) == "Name one campaign, or say --everything."
    assert refused("pause", "--everything", *words) == "There is no pause of everything; there is halt and resume."
    assert refused("activate", str(one.pk), *words).startswith("Campaign “Twice” is active; activate is possible")
    assert refused("halt", str(one.pk), "--as", make_user(OPERATOR).email).startswith("Say why you halt it")
    assert refused("halt", str(one.pk), "--reason", "x").startswith("Say who you are")
    assert refused("halt", str(one.pk), "--reason", "x", "--as", "nobody@example.org").startswith("Nobody signs in as")
    assert "You may not halt" in refused("halt", str(one.pk), "--reason", "x", "--as", make_user(REVIEWER).email)
    assert not AuditLog.objects.filter(action="halt").exists()
