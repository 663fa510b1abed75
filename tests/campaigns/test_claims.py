"""Work is handed out: to one worker each, the most urgent first, and only where work may start."""

import random
import threading
import time
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from audit.context import Actor, acting
from audit.errors import Conflict
from audit.models import AuditLog
from campaigns.choices import CampaignStatus, TaskPriority, TaskType
from campaigns.models import Campaign, SystemControl, Task
from campaigns.services import (
    claim_tasks,
    complete_task,
    create_task,
    halt_campaign,
    halt_everything,
    pause_campaign,
    resume_campaign,
    resume_due_campaigns,
    resume_everything,
)
from campaigns.services.claims import FUNCTION
from campaigns.services.locks import share_campaign
from config.groups import OPERATOR
from tests.concurrency import one_then_other, together
from tests.factories import PLANNER, claimed_task, make_agent, make_campaign, make_task, make_user, worker

CLOCK = Actor.system("run_due")


def claim(agent: Any, **options: Any) -> list[Task]:
    return claim_tasks(agent=agent, actor=CLOCK, **options)


@pytest.mark.django_db
def test_high_goes_before_medium_before_low_and_the_oldest_first() -> None:
    agent = make_agent()
    given = [TaskPriority.LOW, TaskPriority.MEDIUM, TaskPriority.HIGH, TaskPriority.MEDIUM, TaskPriority.HIGH]
    tasks = [make_task(agent=agent, priority=priority) for priority in given]
    order = [tasks[2], tasks[4], tasks[1], tasks[3], tasks[0]]
    assert [claim(agent)[0].pk for _ in given] == [task.pk for task in order]
    assert claim(agent) == []


@pytest.mark.django_db
def test_only_what_was_asked_for_is_handed_out() -> None:
    agent, other = make_agent(), make_agent()
    draft = make_task(agent=agent, task_type=TaskType.DRAFT_POST)
    media = make_task(agent=agent, task_type=TaskType.GENERATE_MEDIA)
    make_task(agent=other)
    make_task(agent=agent, not_before=timezone.now() + timedelta(minutes=1))
    assert [task.pk for task in claim(agent, types=[TaskType.GENERATE_MEDIA], limit=9)] == [media.pk]
    assert [task.pk for task in claim(agent, limit=9)] == [draft.pk]


@pytest.mark.django_db
@pytest.mark.parametrize(
    "fields",
    [
        {"status": CampaignStatus.DRAFT},
        {"start_time": timezone.now() + timedelta(hours=1)},
        {"end_time": timezone.now() - timedelta(hours=1)},
    ],
)
def test_nothing_starts_where_the_campaign_does_not_run(fields: dict[str, Any]) -> None:
    task = make_task(campaign=make_campaign(**fields))
    assert claim(task.agent) == []
    with pytest.raises(IntegrityError, match="a campaign that runs now"), transaction.atomic():
        task.change("test", status="in_progress")


@pytest.mark.django_db
@pytest.mark.parametrize("status", ["suspended", "retired"])
def test_only_active_agents_are_given_work(status: str) -> None:
    task = make_task()
    task.agent.change("test", status=status)
    assert claim(task.agent) == []
    with pytest.raises(IntegrityError, match="only an active agent"), transaction.atomic():
        task.change("test", status="in_progress")


@pytest.mark.django_db
def test_a_pause_starts_nothing_and_lets_running_work_finish() -> None:
    running = claimed_task(task_type=TaskType.TREND_FETCH)
    make_task(campaign=running.campaign, agent=running.agent)
    pause_campaign(campaign_id=running.campaign_id, actor=Actor.human(make_user(OPERATOR)), reason="lunch")
    assert claim(running.agent) == []
    assert complete_task(task=running, actor=worker(running)).status == "done"


@pytest.mark.django_db
def test_what_a_worker_is_given_is_recorded_with_a_hash() -> None:
    task = make_task(context={"brief": "Three fees", "rate": 1.10})
    with acting(tool_name="writer's token"):
        (claimed,) = claim(task.agent, lease_seconds=60)
    entries = AuditLog.objects.filter(trace_id=task.trace_id).order_by("created_at", "audit_id")
    assert [(entry.entity_type, entry.action, entry.tool_name) for entry in entries] == [
        ("task", "create", None),
        ("task", "claim", "writer's token"),
        ("context_snapshot", "give", "writer's token"),
    ]
    _, taken, given = entries
    assert taken.changes["status"] == ["pending", "in_progress"]
    assert taken.changes["lease_id"] == [None, str(claimed.lease_id)]
    assert given.entity_id == str(claimed.lease_id)
    assert given.inputs_hash == claimed.context_sha256
    assert given.changes["context"] == [None, claimed.context]
    assert timedelta(seconds=55) < claimed.lease_expires_at - timezone.now() <= timedelta(seconds=60)


@pytest.mark.django_db
def test_the_function_in_the_database_is_the_one_in_the_code() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT prosrc, proacl::text FROM pg_proc WHERE proname = 'claim_tasks'")
        ((source, privileges),) = cursor.fetchall()
    assert source.strip() == FUNCTION.split("$$")[1].strip()
    assert "gatehouse_app=X" in privileges
    assert "gatehouse_agent" not in privileges
    assert "{=X" not in privileges  # nobody else, by way of everybody


@pytest.mark.django_db
def test_a_claim_is_one_statement(django_assert_num_queries: Any) -> None:
    agent = make_agent()
    for _ in range(20):
        make_task(agent=agent)
    with django_assert_num_queries(3):  # with its savepoint, because the test has a transaction already
        assert len(claim(agent, limit=20)) == 20


@pytest.mark.django_db(transaction=True)
def test_everything_goes_to_one_worker_each_however_many_ask() -> None:
    agent = make_agent()
    campaigns = [make_campaign() for _ in range(3)]
    tasks = {make_task(agent=agent, campaign=campaigns[number % 3]).pk for number in range(120)}

    def work() -> list[Any]:
        mine: list[Any] = []
        while found := claim(agent, limit=3):
            mine += [task.pk for task in found]
        return mine

    handed_out = Counter(key for mine in together(*[work] * 6) for key in mine)
    assert set(handed_out) == tasks
    assert set(handed_out.values()) == {1}
    assert AuditLog.objects.filter(action="claim").count() == AuditLog.objects.filter(action="give").count() == 120


@pytest.mark.django_db(transaction=True)
def test_a_claim_does_not_wait_for_an_operator_and_does_not_overtake_one() -> None:
    task, other = make_task(), make_task()
    operator = Actor.human(make_user(OPERATOR))
    other.change("test", agent=task.agent)
    _, claimed = one_then_other(
        lambda: halt_campaign(campaign_id=task.campaign_id, actor=operator, reason="stop"),
        lambda: claim(task.agent, limit=5),
    )
    assert [each.pk for each in claimed] == [other.pk]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("halt", ["campaign", "everything"])
def test_an_operator_gets_through_a_fleet_that_never_stops_writing(halt: str) -> None:
    """Key share locks let each other in without end, so that the operator's would never be granted: the gate is why."""
    campaign, operator = make_campaign(), Actor.human(make_user(OPERATOR))
    ended = threading.Event()

    def write() -> None:
        chance = random.Random()
        while not ended.is_set():
            with transaction.atomic():
                share_campaign(campaign.pk)
                time.sleep(chance.uniform(0.02, 0.08))

    def halting() -> None:
        try:
            time.sleep(0.5)
            if halt == "campaign":
                halt_campaign(campaign_id=campaign.pk, actor=operator, reason="stop")
            else:
                halt_everything(actor=operator, reason="stop")
        finally:
            ended.set()

    assert together(*[write] * 6, halting) == [None] * 7  # and not the refusal "somebody does not finish"


@pytest.mark.django_db
def test_the_halt_of_everything_and_its_end() -> None:
    operator = Actor.human(make_user(OPERATOR))
    running = claimed_task()
    halt_everything(actor=operator, reason="a leaked key")
    assert SystemControl.objects.get().halted
    running.refresh_from_db()
    assert (running.status, running.campaign.status) == ("failed", "active")
    again = Task.objects.get(parent_task=running)
    assert (again.status, again.attempt, again.max_attempts) == ("pending", 1, 4)
    assert claim(running.agent) == []
    resume_everything(actor=operator, reason="the key is changed")
    assert [task.pk for task in claim(running.agent)] == [again.pk]
    with pytest.raises(Conflict, match="Nothing is halted"):
        resume_everything(actor=operator, reason="twice")


@pytest.mark.django_db
def test_a_task_on_an_ended_campaign_is_not_planned() -> None:
    campaign = make_campaign()
    campaign.change("test", status="stopped")
    with pytest.raises(Conflict, match="takes no more work"):
        create_task(campaign=campaign, agent=make_agent(), task_type="draft_post", context={}, actor=PLANNER)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("again", ["halt", "pause anew"])
def test_the_clock_does_not_end_what_an_operator_has_just_begun(again: str) -> None:
    campaign, operator = make_campaign(), Actor.human(make_user(OPERATOR))
    given: dict[str, Any] = {"campaign_id": campaign.pk, "actor": operator, "reason": "because"}
    pause_campaign(**given, resume_at=timezone.now() + timedelta(seconds=0.2))
    time.sleep(0.3)

    def begin() -> None:
        if again == "halt":
            halt_campaign(**given)
        else:
            resume_campaign(**given)
            pause_campaign(**given, resume_at=timezone.now() + timedelta(days=7))

    one_then_other(begin, lambda: resume_due_campaigns(actor=CLOCK))
    campaign.refresh_from_db()
    assert (campaign.status, campaign.halted_at is not None) == ("paused", again == "halt")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("what", ["campaign", "agent"])
def test_an_edit_does_not_wait_for_a_fleet_that_never_stops(what: str) -> None:
    """Suspending an agent is an act of safety, too."""
    task = make_task()
    ended = threading.Event()

    def write() -> None:
        chance = random.Random()
        while not ended.is_set():
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("SELECT FROM campaign FOR KEY SHARE")
                cursor.execute("SELECT FROM agent FOR KEY SHARE")
                time.sleep(chance.uniform(0.02, 0.08))

    def edit() -> str:
        time.sleep(0.3)
        row: Any = getattr(task, what)
        if what == "campaign":
            row.budget_cap_etb = 5
        else:
            row.status = "suspended"
        row.save()
        ended.set()  # not before: all of them go on writing until it is saved
        return "saved"

    assert together(*[write] * 6, edit)[-1] == "saved"


@pytest.mark.django_db(transaction=True)
def test_a_writer_who_does_not_finish_keeps_neither_claims_nor_other_campaigns_operators(connect: Any) -> None:
    agent = make_agent()
    stuck, other = make_campaign(), make_campaign()
    make_task(campaign=stuck, agent=agent, reserve_etb=1)
    busy = make_task(campaign=stuck, reserve_etb=1)
    writer = connect("gatehouse_agent")
    writer.execute("UPDATE task SET status = 'in_progress' WHERE task_id = %s", [busy.pk])
    operator = Actor.human(make_user(OPERATOR))

    def halting() -> Campaign:
        time.sleep(0.3)
        return halt_campaign(campaign_id=other.pk, actor=operator, reason="because")

    claimed, halted = together(lambda: claim(agent), halting)
    writer.rollback()
    assert claimed == []
    assert halted.halted_at  # and not the refusal "somebody does not finish"
    assert len(claim(agent)) == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("what", ["agent", "campaign"])
def test_a_claim_that_loses_a_race_hands_out_nothing_and_raises_nothing(what: str) -> None:
    task = make_task(reserve_etb=1)

    def stop() -> None:
        if what == "agent":
            task.agent.change("suspend", status="suspended")
        else:
            task.campaign.change("test", end_time=timezone.now() - timedelta(seconds=1))

    _, claimed = one_then_other(
        lambda: (task.campaign.change("test", goal="another"), stop()), lambda: claim(task.agent)
    )
    assert claimed == []


@pytest.mark.django_db(transaction=True)
def test_a_clock_that_has_to_wait_keeps_no_operator_away(connect: Any) -> None:
    campaign, operator = make_campaign(), Actor.human(make_user(OPERATOR))
    soon = timezone.now() + timedelta(seconds=0.2)
    pause_campaign(campaign_id=campaign.pk, actor=operator, reason="because", resume_at=soon)
    time.sleep(0.3)
    writer = connect("gatehouse_agent")
    writer.execute("SELECT FROM campaign WHERE campaign_id = %s FOR KEY SHARE", [campaign.pk])

    def halting() -> SystemControl:
        time.sleep(0.5)
        return halt_everything(actor=operator, reason="because")

    resumed, halted = together(lambda: resume_due_campaigns(actor=CLOCK), halting)
    writer.rollback()
    assert (resumed, halted.halted) == (0, True)
