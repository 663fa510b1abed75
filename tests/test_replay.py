"""The audit log is complete and exact: played back from the beginning, it gives every row as it is now.

A change without its row, a row twice, or one that tells another before than the row before it, and the replay breaks.
"""

from collections import defaultdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from accounts.models import User
from audit.base import audited_models
from audit.context import Actor
from audit.models import AuditLog
from audit.receivers import REDACTED, _values
from campaigns.choices import Backlog, CampaignVerb
from campaigns.models import Campaign, SystemControl, Task
from campaigns.services import claim_tasks, control_campaign, fail_task, release_task
from config.groups import OPERATOR
from content.choices import Decision
from content.models import ReviewItem
from content.services import claim_posts, decide_review_item, publish_failed, settle_decisions, undo_decision
from metrics.models import MetricEvent
from tests.factories import make_user, worker

EXCERPT = Path(__file__).parents[1] / "examples" / "youtube-excerpt.csv"


def everything_happens() -> None:
    """Every verb at least once, on the demo."""
    call_command("load_demo", verbosity=0)
    call_command("adopt_posts", EXCERPT, campaign="Trending", platform="youtube")
    reviewer, operator = (
        Actor.human(User.objects.get(email=f"{name}@example.org")) for name in ("reviewer", "operator")
    )
    first, second, third, fourth = ReviewItem.objects.open()
    for item, decision in ((first, Decision.APPROVE), (second, Decision.REJECT), (third, Decision.ESCALATE)):
        decide_review_item(item_id=item.pk, decision=decision, reasons=["Read it."], actor=reviewer)
    undo_decision(item_id=first.pk, actor=reviewer)
    undo_decision(item_id=third.pk, actor=reviewer)
    decide_review_item(item_id=fourth.pk, decision=Decision.APPROVE, reasons=[], actor=reviewer)
    assert settle_decisions(actor=Actor.system("run_due"), now=timezone.now() + timedelta(hours=1)) == 2
    running = Task.objects.filter(status="in_progress").first()
    assert running is not None
    release_task(task=running, actor=worker(running))
    (again,) = claim_tasks(agent=running.agent, actor=worker(running))
    fail_task(task=again, actor=worker(again), error="The model timed out.")
    (record,) = claim_posts(platform="tiktok", actor=Actor.system("publisher"))
    publish_failed(record=record, error="HTTP 500", actor=Actor.system("publisher"))
    meskel, coffee = Campaign.objects.get(name="Meskel launch"), Campaign.objects.get(name="Coffee stories")
    for campaign, verbs in (
        (meskel, [CampaignVerb.PAUSE, CampaignVerb.RESUME, CampaignVerb.HALT]),
        (coffee, [CampaignVerb.STOP]),
        (Campaign.objects.get(name="Trending"), [CampaignVerb.COMPLETE]),
    ):
        for verb in verbs:
            choice = {"backlog": Backlog.PUBLISH} if verb == CampaignVerb.RESUME else {}
            control_campaign(verb, campaign_id=campaign.pk, actor=operator, reason="Because.", **choice)
    person = make_user(OPERATOR, display_name="Before")
    person.is_active = False
    person.save()


def replayed() -> dict[tuple[str, str], dict[str, Any]]:
    """The last known values of every row, from nothing but its audit rows."""
    states: dict[tuple[str, str], dict[str, Any]] = defaultdict(dict)
    # People are redacted; groups and their members are links, not columns.
    for entry in AuditLog.objects.exclude(entity_type__in=["user", "group"]).order_by("created_at", "audit_id"):
        state = states[entry.entity_type, entry.entity_id]
        for column, (before, after) in entry.changes.items():
            assert state.get(column) == before, (entry, column)
            state[column] = after
    return states


@pytest.mark.django_db
def test_the_audit_log_played_back_is_the_database() -> None:
    everything_happens()
    states = replayed()
    compared = 0
    for model in audited_models():
        if model in (MetricEvent, User, SystemControl):  # written by the merge, redacted, written by the migration
            continue
        for row in (
            model._base_manager.exclude(pk=1) if model._meta.db_table == "system_control" else model._base_manager.all()
        ):
            told, real = states[model.audit.entity, str(row.pk)], _values(row)
            for column in real.keys() - model.audit.ignore:
                assert told.get(column) == real[column], (row, column)
            compared += 1
    assert compared > 100
    assert REDACTED not in str(states)


@pytest.mark.django_db
def test_the_order_of_the_log_is_the_order_of_events() -> None:
    """The time of an audit row is that of the change, and not of the beginning of its transaction."""
    everything_happens()
    trace = AuditLog.objects.filter(entity_type="publish_record", action="publish").first()
    assert trace is not None
    steps = AuditLog.objects.filter(trace_id=trace.trace_id).order_by("created_at", "audit_id")
    assert list(steps.values_list("action", flat=True))[:2] == ["create", "claim"]
