"""What operators do to tasks: retry, reassign, release, send back; and what is refused."""

from decimal import Decimal
from typing import Any

import pytest

from audit.context import Actor
from audit.errors import Conflict, Invalid, NotAllowed
from audit.models import AuditLog
from campaigns.choices import TASK_VERB_FROM, CampaignVerb, TaskStatus, TaskType, TaskVerb
from campaigns.models import Campaign, Task
from campaigns.services import (
    claim_tasks,
    complete_task,
    control_campaign,
    create_task,
    fail_task,
    operate_task,
    possible_task_verbs,
    reassign_pending,
    release_task,
)
from campaigns.services.operating import MAY, seen
from config.groups import AUDITOR, OPERATOR, REVIEWER
from content.choices import Decision, PublishStatus, ReviewItemStatus
from content.models import PublishRecord, ReviewItem
from content.services import decide_review_item, settle_decisions, submit_artifact
from tests.concurrency import one_then_other, together
from tests.factories import (
    PLANNER,
    claimed_post,
    claimed_task,
    judged,
    make_agent,
    make_artifact,
    make_campaign,
    make_task,
    make_user,
    published_post,
    queued_posts,
    task_in,
    waiting_item,
    worker,
)

pytestmark = pytest.mark.django_db


def operate(verb: TaskVerb, task: Task, group: str = OPERATOR, **arguments: Any) -> Task:
    given = {"actor": Actor.human(make_user(group)), "reason": "It looks stuck."} | arguments
    return operate_task(verb, task_id=task.pk, **given)


def fresh(task: Task) -> Task:
    return Task.objects.get(pk=task.pk)


@pytest.mark.parametrize("status", list(TaskStatus))
@pytest.mark.parametrize("verb", list(TaskVerb))
def test_a_verb_works_from_its_states_and_no_others(verb: TaskVerb, status: TaskStatus) -> None:
    task, other = task_in(status), make_agent()
    PublishRecord.objects.queued().drop("test", "so that nothing is on its way")
    assert (verb in possible_task_verbs(seen(pk=task.pk).get())) == (status in TASK_VERB_FROM[verb])
    if status in TASK_VERB_FROM[verb]:
        now = operate(verb, task, agent_id=other.pk)
        assert (now.status, now.agent_id, now.trace_id) == (TaskStatus.PENDING, other.pk, task.trace_id)
        assert AuditLog.objects.filter(action=verb, output_summary="It looks stuck.", trace_id=task.trace_id).exists()
    else:
        with pytest.raises(Conflict, match=f"is {task.get_status_display()}; only"):
            operate(verb, task, agent_id=other.pk)
        assert Task.objects.count() == 1


@pytest.mark.parametrize("group", ["", REVIEWER, AUDITOR])
@pytest.mark.parametrize("verb", list(TaskVerb))
def test_without_the_permission_a_verb_is_refused_in_a_sentence(verb: TaskVerb, group: str) -> None:
    task = task_in(next(iter(TASK_VERB_FROM[verb])))
    with pytest.raises(NotAllowed, match=f"You may not {MAY[verb]}"):
        operate(verb, task, group)


@pytest.mark.parametrize("reason", ["", "  ", "a\x00b"])
@pytest.mark.parametrize("verb", list(TaskVerb))
def test_a_reason_is_required(verb: TaskVerb, reason: str) -> None:
    with pytest.raises(Invalid):
        operate(verb, make_task(), reason=reason)


@pytest.mark.parametrize("end", [CampaignVerb.STOP, CampaignVerb.COMPLETE])
def test_nothing_of_a_campaign_that_is_over_is_tried_again(end: CampaignVerb) -> None:
    task = task_in(TaskStatus.FAILED)
    control_campaign(end, campaign_id=task.campaign_id, actor=Actor.human(make_user(OPERATOR)), reason="Over.")
    with pytest.raises(Conflict, match="nothing of it is worked on again"):
        operate(TaskVerb.RETRY, task)
    assert possible_task_verbs(seen(pk=task.pk).get()) == []


def test_a_retry_grants_an_attempt_when_the_tries_are_used_up_and_waits_for_nothing() -> None:
    task = task_in(TaskStatus.FAILED, max_attempts=1)
    now = operate(TaskVerb.RETRY, task)
    assert (now.attempt, now.max_attempts, now.parent_task_id, now.not_before) == (1, 2, task.pk, None)
    assert [each.pk for each in claim_tasks(agent=now.agent, actor=worker(now))] == [now.pk]
    with pytest.raises(Conflict, match="a later attempt"):
        operate(TaskVerb.RETRY, task)


def test_a_retry_leaves_the_number_of_tries_alone_while_there_are_some() -> None:
    assert operate(TaskVerb.RETRY, task_in(TaskStatus.FAILED, max_attempts=5)).max_attempts == 5


def test_a_child_that_a_planner_asked_for_is_no_later_attempt() -> None:
    task = task_in(TaskStatus.FAILED)
    create_task(
        campaign=task.campaign,
        agent=task.agent,
        task_type=task.task_type,
        context={},
        actor=PLANNER,
        parent_task=task,
    )
    assert operate(TaskVerb.RETRY, task).attempt == 1


@pytest.mark.parametrize(
    ("status", "error", "said"),
    [
        ("suspended", Conflict, "is suspended"),
        ("retired", Conflict, "is retired"),
        (None, Invalid, "There is no agent"),
    ],
)
def test_work_is_given_to_active_agents_only(status: str | None, error: type[Exception], said: str) -> None:
    name = "nobody"
    if status:
        name = make_agent().change("update", status=status).pk
    with pytest.raises(error, match=said):
        operate(TaskVerb.REASSIGN, make_task(), agent_id=name)


def test_a_retry_does_not_go_to_an_agent_that_is_retired() -> None:
    task = task_in(TaskStatus.FAILED)
    task.agent.change("update", status="retired")
    with pytest.raises(Conflict, match="name another"):
        operate(TaskVerb.RETRY, task)
    assert operate(TaskVerb.RETRY, task, agent_id=make_agent("fresh").pk).agent_id == "fresh"


def test_a_reassigned_task_is_the_same_task() -> None:
    task, other = make_task(), make_agent()
    now = operate(TaskVerb.REASSIGN, task, agent_id=other.pk)
    assert (now.pk, now.agent_id, now.attempt) == (task.pk, other.pk, 0)
    assert claim_tasks(agent=task.agent, actor=worker(task)) == []
    with pytest.raises(Conflict, match="already"):
        operate(TaskVerb.REASSIGN, task, agent_id=other.pk)


def test_what_an_agent_has_made_stays_its_own_when_its_task_changes_hands() -> None:
    task, other = claimed_task(), make_agent()
    submit_artifact(task=task, artifact_type="text", actor=worker(task), content=b"Half of it")
    release_task(task=task, actor=worker(task))
    now = operate(TaskVerb.REASSIGN, task, agent_id=other.pk)
    assert (now.parent_task_id, now.agent_id, fresh(task).agent_id) == (task.pk, other.pk, task.agent_id)
    assert fresh(task).status == TaskStatus.FAILED


def test_a_released_task_is_done_again_and_its_worker_is_refused() -> None:
    campaign = make_campaign()
    task = claimed_task(campaign=campaign, reserve_etb=Decimal(50), max_attempts=1)
    now = operate(TaskVerb.RELEASE, task)
    released = fresh(task)
    assert (released.status, released.lease_id) == (TaskStatus.FAILED, None)
    assert released.error == "Released by an operator: It looks stuck."
    assert (now.attempt, now.max_attempts, now.status) == (1, 2, TaskStatus.PENDING)
    campaign.refresh_from_db()
    assert (campaign.reserved_etb, campaign.spent_etb) == (0, 50)  # nobody can say what the worker has spent
    for late in (
        lambda: complete_task(task=task, actor=worker(task)),
        lambda: submit_artifact(task=task, artifact_type="text", actor=worker(task), content=b"Late"),
        lambda: fail_task(task=task, actor=worker(task), error="late"),
    ):
        with pytest.raises(Conflict, match="no longer yours"):
            late()
    assert Task.objects.count() == 2


def test_work_in_review_goes_back_with_the_comments() -> None:
    item = waiting_item(max_attempts=1)
    now = operate(TaskVerb.SEND_BACK, item.task, reason="The price is wrong.")
    sent = fresh(item.task)
    assert (sent.status, sent.error) == (TaskStatus.FAILED, "Sent back: The price is wrong.")
    assert (now.context["feedback"], now.attempt, now.max_attempts) == ("The price is wrong.", 1, 2)
    assert ReviewItem.objects.get().status == ReviewItemStatus.WITHDRAWN
    with pytest.raises(Conflict):
        decide_review_item(
            item_id=item.pk, decision=Decision.APPROVE, reasons=[], actor=Actor.human(make_user(REVIEWER))
        )


def test_posts_of_a_fresh_approval_are_dropped_when_the_work_goes_back() -> None:
    item, reviewer = waiting_item(), make_user(REVIEWER)
    decide_review_item(item_id=item.pk, decision=Decision.APPROVE, reasons=[], actor=Actor.human(reviewer))
    assert PublishRecord.objects.queued().count() == 2
    operate(TaskVerb.SEND_BACK, item.task)
    assert set(PublishRecord.objects.values_list("status", flat=True)) == {PublishStatus.FAILED}
    settle_decisions(actor=Actor.system("test"))
    assert fresh(item.task).status == TaskStatus.FAILED


def test_work_that_is_done_goes_back_while_its_posts_are_still_queued() -> None:
    task = queued_posts()[0].artifact.task
    now = operate(TaskVerb.SEND_BACK, task, reason="Say it shorter.")
    assert fresh(task).status == TaskStatus.DONE
    assert (now.context["feedback"], now.parent_task_id) == ("Say it shorter.", task.pk)
    assert not PublishRecord.objects.queued().exists()
    assert AuditLog.objects.get(entity_id=str(now.pk), action="send_back").output_summary == "Say it shorter."
    with pytest.raises(Conflict, match="a later attempt"):
        operate(TaskVerb.SEND_BACK, task)


@pytest.mark.parametrize(
    ("post", "said"), [(published_post, "is published already"), (claimed_post, "A publisher has")]
)
def test_what_may_be_out_is_not_sent_back(post: Any, said: str) -> None:
    task = post().artifact.task
    with pytest.raises(Conflict, match=said):
        operate(TaskVerb.SEND_BACK, task)
    assert Task.objects.count() == 1


def test_what_was_lost_at_a_publisher_is_settled_first() -> None:
    post = claimed_post()
    PublishRecord.objects.mark_unknown("halt", "halted")
    with pytest.raises(Conflict, match="settle that post first"):
        operate(TaskVerb.SEND_BACK, post.artifact.task)


def test_all_that_waits_for_an_agent_changes_hands() -> None:
    old, new, operator = make_agent("old"), make_agent("new"), make_user(OPERATOR)
    tasks = [make_task(agent=old, campaign=make_campaign()) for _ in range(3)]
    begun = claimed_task(agent=old, campaign=tasks[0].campaign, priority="high")
    submit_artifact(task=begun, artifact_type="text", actor=worker(begun), content=b"Half of it")
    release_task(task=begun, actor=worker(begun))
    busy = claimed_task(agent=old, priority="high")
    old.change("update", status="suspended")
    given = {"from_agent": old, "agent_id": "new", "reason": "Its host is down."}
    with pytest.raises(NotAllowed):
        reassign_pending(**given, actor=Actor.human(make_user(REVIEWER)))
    assert reassign_pending(**given, actor=Actor.human(operator)) == (4, 0)
    assert {fresh(task).agent_id for task in tasks} == {"new"}
    assert (fresh(busy).agent_id, fresh(begun).agent_id) == ("old", "old")
    assert Task.objects.get(parent_task=begun).agent == new
    assert AuditLog.objects.filter(action="reassign", output_summary="Its host is down.").count() == 4
    with pytest.raises(Conflict):
        reassign_pending(**{**given, "agent_id": "old"}, actor=Actor.human(operator))


def test_unreviewed_work_that_is_done_goes_back_too() -> None:
    task = task_in(TaskStatus.DONE, task_type=TaskType.TREND_FETCH)
    assert operate(TaskVerb.SEND_BACK, task).attempt == 1


# --- Two at once ------------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_an_operator_releases_while_the_worker_completes_and_one_wins() -> None:
    operator = Actor.human(make_user(OPERATOR))
    for first in ("release", "complete"):
        task = claimed_task()
        submit_artifact(task=task, artifact_type="text", actor=worker(task), content=b"Here it is")
        verbs = {
            "release": lambda task=task: operate_task(
                TaskVerb.RELEASE, task_id=task.pk, actor=operator, reason="Stuck."
            ),
            "complete": lambda task=task: complete_task(task=task, actor=worker(task)),
        }
        second = "complete" if first == "release" else "release"
        won, lost = one_then_other(verbs[first], verbs[second])
        assert isinstance(won, Task), won
        assert isinstance(lost, Conflict), lost
        expected = (TaskStatus.FAILED, 2) if first == "release" else (TaskStatus.REVIEW, 1)
        assert (fresh(task).status, Task.objects.filter(trace_id=task.trace_id).count()) == expected


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("verb", "status"), [("retry", TaskStatus.FAILED), ("send_back", TaskStatus.DONE)])
def test_two_operators_at_the_same_task_make_one_attempt(verb: str, status: TaskStatus) -> None:
    task = task_in(status)
    people = [Actor.human(make_user(OPERATOR)) for _ in range(2)]
    first, second = (
        lambda actor=actor: operate_task(TaskVerb(verb), task_id=task.pk, actor=actor, reason="Again.")
        for actor in people
    )
    won, lost = one_then_other(first, second)
    assert isinstance(won, Task), won
    assert "a later attempt" in str(lost)
    assert Task.objects.filter(parent_task=task).count() == 1
    results = together(*[lambda: operate_task(TaskVerb.RETRY, task_id=task.pk, actor=people[0], reason="x")] * 3)
    assert all(isinstance(result, Conflict) for result in results)


@pytest.mark.django_db(transaction=True)
def test_work_is_sent_back_or_handed_to_a_publisher_but_not_both() -> None:
    from content.services import claim_posts

    operator = Actor.human(make_user(OPERATOR))
    for first in ("send back", "claim"):
        Campaign.objects.filter(status="active").change("test", status="paused")
        post = queued_posts(campaign=make_campaign(target_platforms=["tiktok"]))[0]
        task = post.artifact.task
        verbs = {
            "send back": lambda task=task: operate_task(
                TaskVerb.SEND_BACK, task_id=task.pk, actor=operator, reason="No."
            ),
            "claim": lambda: claim_posts(platform="tiktok", actor=Actor.system("publisher")),
        }
        second = "claim" if first == "send back" else "send back"
        won, lost = one_then_other(verbs[first], verbs[second])
        post.refresh_from_db()
        if first == "send back":
            assert (isinstance(won, Task), lost, post.status) == (True, [], PublishStatus.FAILED)
        else:
            assert (len(won), isinstance(lost, Conflict), post.status) == (1, True, PublishStatus.QUEUED)


@pytest.mark.django_db(transaction=True)
def test_work_is_sent_back_or_decided_but_not_both() -> None:
    operator, reviewer = Actor.human(make_user(OPERATOR)), Actor.human(make_user(REVIEWER))
    item = waiting_item()
    won, lost = one_then_other(
        lambda: operate_task(TaskVerb.SEND_BACK, task_id=item.task_id, actor=operator, reason="No."),
        lambda: decide_review_item(item_id=item.pk, decision=Decision.APPROVE, reasons=[], actor=reviewer),
    )
    assert isinstance(won, Task)
    assert isinstance(lost, Conflict)
    assert not PublishRecord.objects.exists()


def test_a_judge_that_comes_late_is_refused() -> None:
    artifact = make_artifact()
    operate(TaskVerb.SEND_BACK, artifact.task)
    with pytest.raises(Conflict):
        judged(artifact=artifact)
