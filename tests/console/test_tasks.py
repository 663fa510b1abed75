"""Operators retry, reassign, release and send back; on one task, on several, on all that waits for an agent."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from audit.context import Actor
from campaigns.choices import TaskStatus, TaskVerb
from campaigns.models import Task
from campaigns.services import claim_tasks, control_campaign, halt_everything, operate_task
from campaigns.views.confirm import AT_ONCE
from campaigns.views.tasks import IN_BULK
from config.groups import AUDITOR, OPERATOR, REVIEWER
from tests import factories
from tests.factories import claimed_task, make_agent, make_campaign, make_task, make_user, task_in, worker

pytestmark = pytest.mark.django_db
LIST = "/admin/campaigns/task/"
DAYS = timedelta(days=2)
BEGUN = {
    TaskVerb.RETRY: TaskStatus.FAILED,
    TaskVerb.REASSIGN: TaskStatus.PENDING,
    TaskVerb.RELEASE: TaskStatus.IN_PROGRESS,
    TaskVerb.SEND_BACK: TaskStatus.REVIEW,
}


def address(task, verb) -> str:
    return reverse("admin:campaigns_task_operate", args=[task.pk, verb])


def page_of(task) -> str:
    return reverse("admin:campaigns_task_change", args=[task.pk])


def many(verb) -> str:
    return reverse("admin:campaigns_task_operate_many", args=[verb])


def all_of(agent) -> str:
    return f"{reverse('admin:campaigns_task_reassign_all')}?agent={agent.pk}"


def text(answer) -> str:
    return answer.content.decode()


@pytest.mark.parametrize("verb", list(TaskVerb))
def test_an_operator_uses_each_verb_from_the_page_of_the_task(sign_in, verb) -> None:
    operator, task, other = sign_in(OPERATOR), task_in(BEGUN[verb]), make_agent("writer-9")
    assert address(task, verb) in text(operator.get(page_of(task)))
    asked = text(operator.get(address(task, verb)))
    assert "What will happen" in asked
    assert '<option value="writer-9">' in asked

    answer = operator.post(address(task, verb), {"reason": "Stuck", "agent_id": "writer-9"}, follow=True)

    now = Task.objects.get(agent=other)
    assert answer.redirect_chain[-1][0] == page_of(now)
    assert now.trace_id == task.trace_id
    # Another one cannot do the same again.
    again = operator.post(address(task, verb), {"reason": "Typed with care", "agent_id": "writer-9"})
    assert again.status_code == 409
    assert "Typed with care" in text(again)


@pytest.mark.parametrize("group", [REVIEWER, AUDITOR])
def test_without_the_permission_no_button_and_a_sentence(sign_in, group) -> None:
    client = sign_in(group)
    for verb, status in BEGUN.items():
        task = task_in(status)
        assert "/operate/" not in text(client.get(page_of(task)))
        pages = [address(task, verb), all_of(task.agent), *([many(verb)] if verb in IN_BULK else [])]
        for page in pages:
            for answer in (client.get(page), client.post(page, {"reason": "x", "chosen": str(task.pk)})):
                assert answer.status_code == 403
                assert "campaigns.operate_task" in text(answer)
    assert 'name="chosen"' not in text(client.get(LIST))
    assert Task.objects.count() == len(BEGUN)


@pytest.mark.parametrize("path", ["operate/erase/", "operate/retry/"])
def test_unknown_verbs_and_tasks_are_not_found(sign_in, path) -> None:
    key = make_task().pk if "erase" in path else "019a0000-0000-7000-8000-000000000000"
    operator = sign_in(OPERATOR)
    assert operator.get(f"{LIST}{key}/{path}").status_code == 404
    assert operator.get(many("send_back")).status_code == 404
    assert operator.get(f"{reverse('admin:campaigns_task_reassign_all')}?agent=nobody").status_code == 404


def test_the_page_before_a_release_tells_of_lease_and_money(sign_in) -> None:
    task = claimed_task(reserve_etb="50.00")
    page = text(sign_in(OPERATOR).get(address(task, TaskVerb.RELEASE)))
    assert f"Attempt 1 at {task.agent}" in page
    assert "50.00 ETB reserved" in page
    assert "Attempt 2, on the same trace" in page


def test_the_page_before_work_goes_back_counts_reviews_and_posts(sign_in) -> None:
    operator = sign_in(OPERATOR)
    waiting = factories.waiting_item().task
    assert "1 review open" in text(operator.get(address(waiting, TaskVerb.SEND_BACK)))
    queued = factories.queued_posts()[0].artifact.task
    page = text(operator.get(address(queued, TaskVerb.SEND_BACK)))
    assert "2 posts queued" in page
    assert "stays done" in page


def test_a_refusal_is_a_sentence_and_keeps_what_was_typed(sign_in) -> None:
    operator, task = sign_in(OPERATOR), make_task()
    unsaid = operator.post(address(task, TaskVerb.REASSIGN), {"reason": "  ", "agent_id": task.agent_id})
    assert (unsaid.status_code, "Say why you reassign it" in text(unsaid)) == (422, True)
    unknown = operator.post(address(task, TaskVerb.REASSIGN), {"reason": "Why not", "agent_id": "nobody"})
    assert (unknown.status_code, "There is no agent “nobody”" in text(unknown)) == (422, True)
    assert "Why not" in text(unknown)
    damaged = operator.post(address(task, TaskVerb.REASSIGN), {"reason": "a\0b", "agent_id": "x"})
    assert damaged.status_code == 422


def test_several_are_retried_and_those_that_cannot_are_named(sign_in) -> None:
    operator, campaign = sign_in(OPERATOR), make_campaign()
    failed = [task_in(TaskStatus.FAILED, campaign=campaign, title=f"Failed {n}") for n in range(2)]
    pending = make_task(campaign=campaign, title="Pending one")
    chosen = {"chosen": [str(task.pk) for task in [*failed, pending]]}
    asked = text(operator.post(many("retry"), chosen))
    assert "Retry 2 tasks?" in asked
    assert "Task “Pending one” is pending; only a task that failed is retried" in asked
    assert f'value="{pending.pk}"' not in asked

    unsaid = operator.post(many("retry"), {**chosen, "confirmed": "yes", "reason": " "})
    assert (unsaid.status_code, Task.objects.count()) == (422, 3)
    # Meanwhile somebody else has retried one of them.
    operate_task(TaskVerb.RETRY, task_id=failed[0].pk, actor=Actor.human(make_user(OPERATOR)), reason="first")
    given = {"chosen": [str(task.pk) for task in failed], "confirmed": "yes", "reason": "The host is back"}
    report = text(operator.post(many("retry"), given))
    assert "a later attempt" in report
    assert f"Attempt 2 waits for {failed[1].agent_id}." in report
    assert Task.objects.filter(parent_task__in=failed).count() == 2


def test_several_change_hands(sign_in) -> None:
    operator, other = sign_in(OPERATOR), make_agent("writer-9")
    tasks = [make_task() for _ in range(3)]
    given = {"chosen": [str(task.pk) for task in tasks], "confirmed": "yes", "reason": "x"}
    assert operator.post(many("reassign"), given).status_code == 422
    operator.post(many("reassign"), {**given, "agent_id": "writer-9"})
    assert other.tasks.count() == 3


@pytest.mark.parametrize(
    "chosen", [[], ["not-a-key"], [f"019a0000-0000-7000-8000-{n:012}" for n in range(AT_ONCE + 1)]]
)
def test_what_cannot_be_chosen_is_told_on_the_list(sign_in, chosen) -> None:
    answer = sign_in(OPERATOR).post(many("retry"), {"chosen": chosen}, follow=True)
    assert answer.redirect_chain[-1][0] == LIST
    assert 'class="warning"' in text(answer)


def test_all_that_waits_for_an_agent_is_given_to_another(sign_in) -> None:
    operator, old, new = sign_in(OPERATOR), make_agent("old"), make_agent("new")
    for _ in range(2):
        make_task(agent=old)
    old.change("update", status="retired")
    assert "2 pending tasks" in text(operator.get(all_of(old)))
    assert operator.post(all_of(old), {"reason": "It is retired"}).status_code == 422
    assert operator.post(all_of(old), {"reason": "It is retired", "agent_id": "old"}).status_code == 409
    done = operator.post(all_of(old), {"reason": "It is retired", "agent_id": "new"}, follow=True)
    assert "2 tasks have changed hands" in text(done)
    assert new.tasks.count() == 2
    assert "Nothing waits for" in text(operator.get(all_of(old)))


def test_more_than_go_at_once_are_told(sign_in, monkeypatch) -> None:
    monkeypatch.setattr("campaigns.services.operating.REASSIGNED_AT_ONCE", 2)
    operator, old, new = sign_in(OPERATOR), make_agent("old"), make_agent("new")
    for _ in range(3):
        make_task(agent=old)
    done = operator.post(all_of(old), {"reason": "Moved", "agent_id": "new"}, follow=True)
    assert "1 task still waits for" in text(done)
    assert (old.tasks.count(), new.tasks.count()) == (1, 2)


# --- The page of a task -----------------------------------------------------------------------------------------------


def test_the_page_links_the_attempts_and_what_they_made(sign_in) -> None:
    reviewer = sign_in(REVIEWER)
    item = factories.waiting_item()
    operator = Actor.human(make_user(OPERATOR))
    second = operate_task(TaskVerb.SEND_BACK, task_id=item.task_id, actor=operator, reason="Shorter.")
    for task in (item.task, second):
        page = text(reviewer.get(page_of(task)))
        other = second if task == item.task else item.task
        assert page_of(other) in page
        assert reverse("admin:trace", args=[task.trace_id]) in page
    first = text(reviewer.get(page_of(item.task)))
    assert "Sent back: Shorter." in first
    for row in (item, item.artifact, item.artifact.decisions.first()):
        assert reverse(f"admin:content_{row._meta.model_name}_change", args=[row.pk]) in first


def test_a_lease_is_told_but_not_given_away(sign_in) -> None:
    task = claimed_task()
    page = text(sign_in(AUDITOR).get(page_of(task)))
    assert f"{task.agent} has it for" in page
    assert "its lease lasts until" in page
    assert str(task.lease_id) not in page


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: make_task(), "It waits until"),
        (lambda: make_task(not_before=timezone.now() + timedelta(hours=2)), "handed out in 1 h at the earliest"),
        (lambda: make_task(campaign=make_campaign(status="draft")), "its campaign is draft"),
        (
            lambda: make_task(campaign=make_campaign(start_time=timezone.now() + timedelta(days=2))),
            "campaign starts in",
        ),
        (lambda: make_task(campaign=make_campaign(end_time=timezone.now() - timedelta(days=2))), "campaign ended 2 d"),
        (lambda: make_task(agent=make_agent(status="suspended")), "its agent is suspended"),
        (lambda: make_task(reserve_etb="1000.01"), "would pass the campaign’s budget"),
        (lambda: task_in(TaskStatus.REVIEW), "waits for a judge"),
        (lambda: factories.waiting_item().task, "waits for a person"),
        (lambda: factories.published_post().artifact.task, "It is done, and published"),
        (lambda: task_in(TaskStatus.FAILED), "nobody tries it again"),
    ],
)
def test_where_a_task_stands_is_said_in_words(sign_in, made, said) -> None:
    assert said in text(sign_in(AUDITOR).get(page_of(made())))


def test_a_halt_of_everything_is_why_a_task_waits(sign_in) -> None:
    task = make_task()
    halt_everything(actor=Actor.human(make_user(OPERATOR)), reason="Wrong prices")
    assert "everything is halted." in text(sign_in(AUDITOR).get(page_of(task)))


def test_a_task_of_a_stopped_campaign_has_no_verbs_and_says_why(sign_in) -> None:
    operator, task = sign_in(OPERATOR), task_in(TaskStatus.FAILED)
    control_campaign("stop", campaign_id=task.campaign_id, actor=Actor.human(operator.user), reason="over")
    assert "/operate/" not in text(operator.get(page_of(task)))
    answer = operator.get(address(task, TaskVerb.RETRY))
    assert answer.status_code == 409
    assert "nothing of it is worked on again" in text(answer)


def test_the_pages_ask_the_same_however_many_attempts_and_tasks(sign_in) -> None:
    operator, actor = sign_in(OPERATOR), Actor.human(make_user(OPERATOR))
    task = first = task_in(TaskStatus.FAILED)
    tasks = [task_in(TaskStatus.FAILED) for _ in range(12)]
    chosen = [str(each.pk) for each in tasks]
    operator.get(page_of(task))
    with CaptureQueriesContext(connection) as few:
        operator.get(page_of(task))
        operator.post(many("retry"), {"chosen": chosen[:2]})
    for _ in range(4):
        task = operate_task(TaskVerb.RETRY, task_id=task.pk, actor=actor, reason="again")
        (begun,) = claim_tasks(agent=task.agent, actor=worker(task))
        task = begun.change("fail", status=TaskStatus.FAILED, error="no")
    with CaptureQueriesContext(connection) as more:
        page = text(operator.get(page_of(first)))
        operator.post(many("retry"), {"chosen": chosen})
    assert "Attempt 5" in page
    assert len(more) <= len(few), [query["sql"][:100] for query in more]
