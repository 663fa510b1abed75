"""Agents are suspended, reactivated and retired: by verbs alone, with a reason that the log keeps."""

import threading
from typing import Any

import pytest
from django.db import IntegrityError, connections, transaction

from agents.choices import AGENT_TRANSITIONS, VERB_TO, AgentStatus, AgentVerb
from agents.models import Agent
from agents.services import control_agent, possible_verbs, reactivate_agent, retire_agent, suspend_agent
from audit.context import Actor
from audit.errors import Conflict, Invalid, NotAllowed
from audit.models import AuditLog
from campaigns.services import claim_tasks, complete_task, create_task
from config.groups import ADMINISTRATOR, AUDITOR, OPERATOR, REVIEWER
from content.services import claim_artifacts, claim_posts, submit_artifact
from tests.concurrency import one_then_other, together
from tests.factories import (
    PLANNER,
    claimed_task,
    make_agent,
    make_artifact,
    make_campaign,
    make_task,
    make_user,
    queued_posts,
    worker,
)


def operator() -> Actor:
    return Actor.human(make_user(OPERATOR))


@pytest.mark.django_db
def test_each_verb_with_its_row_in_the_log() -> None:
    agent, actor = make_agent("writer-4"), operator()
    for verb, status in (
        (suspend_agent, AgentStatus.SUSPENDED),
        (reactivate_agent, AgentStatus.ACTIVE),
        (retire_agent, AgentStatus.RETIRED),
    ):
        changed = verb(agent_id=agent.pk, actor=actor, reason=f" for {status} ")
        assert changed.status == status
        row = AuditLog.objects.filter(entity_type="agent", entity_id="writer-4").latest("created_at")
        assert (row.action, row.actor_id, row.output_summary) == (
            verb.__name__.removesuffix("_agent"),
            actor.id,
            f"for {status}",
        )
        assert row.changes["status"][1] == status


@pytest.mark.django_db
@pytest.mark.parametrize("verb", AgentVerb)
@pytest.mark.parametrize("status", AgentStatus)
def test_what_is_possible_is_what_the_database_allows(status: AgentStatus, verb: AgentVerb) -> None:
    agent, actor = make_agent(), operator()
    if status != AgentStatus.ACTIVE:
        agent.change("test", status=status)
        agent.refresh_from_db()
    allowed = VERB_TO[verb] in AGENT_TRANSITIONS[status]
    assert (verb in possible_verbs(agent)) == allowed
    if allowed:
        assert control_agent(verb, agent_id=agent.pk, actor=actor, reason="x").status == VERB_TO[verb]
        return
    with pytest.raises(Conflict, match=f"is {status}; {verb} is possible only when it is"):
        control_agent(verb, agent_id=agent.pk, actor=actor, reason="x")
    if status != VERB_TO[verb]:
        with pytest.raises(IntegrityError), transaction.atomic():
            agent.change("test", status=VERB_TO[verb])


@pytest.mark.django_db
def test_a_reason_an_agent_and_the_permission_are_asked_for() -> None:
    agent = make_agent()
    with pytest.raises(Invalid, match="Say why you suspend it"):
        suspend_agent(agent_id=agent.pk, actor=operator(), reason=" ")
    with pytest.raises(Invalid, match="no agent “nobody”"):
        suspend_agent(agent_id="nobody", actor=operator(), reason="x")
    for group in (REVIEWER, AUDITOR):
        with pytest.raises(NotAllowed, match="You may not suspend agents"):
            suspend_agent(agent_id=agent.pk, actor=Actor.human(make_user(group)), reason="x")
    suspend_agent(agent_id=agent.pk, actor=Actor.human(make_user(ADMINISTRATOR)), reason="x")


@pytest.mark.django_db
def test_a_suspended_agent_is_given_nothing_and_finishes_what_it_has() -> None:
    task, actor = claimed_task(), operator()
    make_task(campaign=task.campaign, agent=task.agent)
    suspend_agent(agent_id=task.agent_id, actor=actor, reason="it repeats itself")
    assert claim_tasks(agent=task.agent, actor=worker(task)) == []
    submit_artifact(task=task, artifact_type="text", content=b"x", actor=worker(task))
    assert complete_task(task=task, actor=worker(task)).status == "review"
    reactivate_agent(agent_id=task.agent_id, actor=actor, reason="mended")
    assert len(claim_tasks(agent=task.agent, actor=worker(task))) == 1


@pytest.mark.django_db
def test_judges_and_publishers_that_are_suspended_are_given_nothing_either() -> None:
    judge, publisher, actor = make_agent("judge-9"), make_agent("publisher-1"), operator()
    make_artifact()
    queued_posts(campaign=make_campaign(target_platforms=["tiktok"]))
    for agent in (judge, publisher):
        suspend_agent(agent_id=agent.pk, actor=actor, reason="x")
    program = Actor.system("test")
    assert claim_artifacts(judge=judge, actor=program) == []
    assert claim_posts(platform="tiktok", actor=program, agent=publisher) == []
    for agent in (judge, publisher):
        reactivate_agent(agent_id=agent.pk, actor=actor, reason="x")
    assert len(claim_artifacts(judge=judge, actor=program)) == 1
    assert len(claim_posts(platform="tiktok", actor=program, agent=publisher)) == 1


@pytest.mark.django_db
def test_a_retired_agent_is_planned_no_work() -> None:
    agent = make_agent()
    retire_agent(agent_id=agent.pk, actor=operator(), reason="another does its work")
    with pytest.raises(Conflict, match="is retired"):
        make_task(agent=Agent.objects.get(pk=agent.pk))


@pytest.mark.django_db(transaction=True)
def test_two_operators_at_once() -> None:
    agent, one, other = make_agent(), operator(), operator()
    retired, refused = one_then_other(
        lambda: retire_agent(agent_id=agent.pk, actor=one, reason="over"),
        lambda: suspend_agent(agent_id=agent.pk, actor=other, reason="wait"),
    )
    assert retired.status == AgentStatus.RETIRED
    assert isinstance(refused, Conflict)
    assert "is retired" in refused.sentence
    agent = make_agent()
    verbs: list[Any] = [lambda: suspend_agent(agent_id=agent.pk, actor=operator(), reason="x")] * 4
    assert sum(isinstance(result, Agent) for result in together(*verbs)) == 1
    assert AuditLog.objects.filter(entity_id=agent.pk, action="suspend").count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_suspension_does_not_wait_for_those_who_plan_for_the_agent() -> None:
    """Whoever plans or measures holds the agent's key until they commit; a busy fleet always does."""
    agent, campaign, actor = make_agent(), make_campaign(), operator()
    done: list[Any] = []

    def suspend() -> None:
        try:
            done.append(suspend_agent(agent_id=agent.pk, actor=actor, reason="x"))
        finally:
            connections.close_all()

    thread = threading.Thread(target=suspend)
    with transaction.atomic():
        create_task(campaign=campaign, agent=agent, task_type="draft_post", context={}, actor=PLANNER)
        thread.start()
        thread.join(10)
        assert [changed.status for changed in done] == [AgentStatus.SUSPENDED]
