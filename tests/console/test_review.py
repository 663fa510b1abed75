"""A person approves, rejects, escalates and takes back at the review desk."""

import pytest
from django.urls import reverse

from audit.models import AuditLog
from campaigns.choices import TaskStatus
from config.groups import ADMINISTRATOR, AUDITOR, OPERATOR, REVIEWER
from content.choices import Decision, PublishStatus, ReviewItemStatus
from content.models import PublishRecord, ReviewDecision, ReviewItem
from content.services import decide_review_item
from tests import factories
from tests.factories import Actor, decided_item, make_agent, make_artifact, make_user, waiting_item

pytestmark = pytest.mark.django_db


def page_of(item) -> str:
    return reverse("admin:content_reviewitem_change", args=[item.pk])


def form(item, decision, reasons="") -> dict[str, str]:
    return {
        "decision": decision,
        "reasons": reasons,
        "seen_version": item.version,
        "seen_sha256": item.artifact.content_sha256,
    }


def text(answer) -> str:
    return answer.content.decode()


def test_an_approval_queues_the_posts_and_leaves_its_rows(sign_in) -> None:
    reviewer, item = sign_in(REVIEWER), waiting_item()

    answer = reviewer.post(page_of(item), form(item, "approve", "Read it.\nIt is fine."), follow=True)

    assert answer.status_code == 200
    assert f"Approved “{item.task}”" in text(answer)
    assert "Take it back" in text(answer)
    posts = PublishRecord.objects.filter(artifact=item.artifact)
    assert {post.platform for post in posts} == {"tiktok", "instagram"}
    assert {post.status for post in posts} == {PublishStatus.QUEUED}
    decision = ReviewDecision.objects.get(reviewer_type="human")
    assert decision.reasons == ["Read it.", "It is fine."]
    rows = AuditLog.objects.filter(trace_id=item.task.trace_id, actor_id=f"user:{reviewer.user.pk}")
    assert sorted(rows.values_list("entity_type", "action")) == [
        ("publish_record", "queue"),
        ("publish_record", "queue"),
        ("review_decision", "approve"),
        ("review_item", "approve"),
    ]
    assert set(rows.values_list("tool_name", flat=True)) == {"console"}


@pytest.mark.parametrize("decision", [Decision.REJECT, Decision.ESCALATE])
def test_reasons_are_required_and_nothing_that_was_typed_is_lost(sign_in, decision) -> None:
    reviewer, item = sign_in(REVIEWER), waiting_item()
    answer = reviewer.post(page_of(item), form(item, decision, "   "))
    assert answer.status_code == 422
    assert f"Say why you {decision} it" in text(answer)

    answer = reviewer.post(page_of(item), form(item, "burn", "The price is wrong."), follow=True)
    assert ">The price is wrong.</textarea>" in text(answer)
    reviewer.post(page_of(item), form(item, decision, "The price is wrong."))
    assert "The price is wrong." in text(reviewer.get(page_of(item)))
    item.refresh_from_db()
    assert item.status == ReviewItemStatus.DECIDED


def test_a_form_that_is_sent_twice_decides_once_and_alarms_nobody(sign_in) -> None:
    reviewer, item = sign_in(REVIEWER), waiting_item()
    sent = form(item, "approve")
    reviewer.post(page_of(item), sent)

    answer = reviewer.post(page_of(item), sent, follow=True)

    assert answer.status_code == 200
    assert "This was recorded already" in text(answer)
    assert ReviewDecision.objects.filter(reviewer_type="human").count() == 1


def test_whoever_escalated_is_told_before_writing_that_another_person_decides(sign_in) -> None:
    reviewer, item = sign_in(REVIEWER), waiting_item()
    reviewer.post(page_of(item), form(item, "escalate", "A second look."))
    second = ReviewItem.objects.open().get()

    answer = text(reviewer.get(page_of(second)))

    assert "You have decided on this already" in answer
    assert 'value="approve"' not in answer
    assert 'value="approve"' in text(sign_in(REVIEWER).get(page_of(second)))


def test_people_are_called_by_their_names_where_their_decision_is_shown(sign_in) -> None:
    item = decided_item(person=make_user(REVIEWER, display_name="Dawit Haile"))
    post = item.decision.publish_records.first()
    for row, name in ((item.decision, "reviewdecision"), (post, "publishrecord")):
        page = text(sign_in(AUDITOR).get(reverse(f"admin:content_{name}_change", args=[row.pk])))
        assert "approve by Dawit Haile" in page
        assert "user:" not in page


def test_a_policy_hit_does_not_hide_that_the_judge_was_unsure(sign_in) -> None:
    waiting_item(confidence="0.610", policy_hits=["medical claims", "x" * 500])
    answer = text(sign_in(REVIEWER).get(reverse("admin:content_reviewitem_changelist")))
    assert "judge unsure (0.61; approves at 0.85)" in answer
    assert "hits policy: medical claims" in answer
    assert "x" * 100 not in answer


def test_whoever_is_late_is_told_who_was_first(sign_in) -> None:
    item, first = waiting_item(), make_user(REVIEWER, display_name="Dawit Haile")
    decide_review_item(item_id=item.pk, decision="reject", reasons=["No."], actor=Actor.human(first))

    answer = sign_in(REVIEWER).post(page_of(item), form(item, "approve", "I like it"))

    assert answer.status_code == 409
    assert "Dawit Haile decided to reject it" in text(answer)
    assert "I like it" in text(answer)
    assert ReviewDecision.objects.filter(reviewer_type="human").count() == 1


@pytest.mark.parametrize("stale", [{"seen_version": "7"}, {"seen_sha256": "0" * 64}])
def test_a_stale_form_decides_nothing(sign_in, stale) -> None:
    item = waiting_item()
    answer = sign_in(REVIEWER).post(page_of(item), form(item, "approve", "typed") | stale)
    assert answer.status_code == 409
    assert "has changed since you opened it" in text(answer)
    assert ">typed</textarea>" in text(answer)
    assert not PublishRecord.objects.exists()


@pytest.mark.parametrize(
    "damage", [{"seen_version": "x"}, {"decision": ""}, {"decision": "publish"}, {"reasons": "a\0b"}]
)
def test_a_damaged_form_gets_a_sentence(sign_in, damage) -> None:
    item = waiting_item()
    answer = sign_in(REVIEWER).post(page_of(item), form(item, "approve") | damage)
    assert answer.status_code == 422
    assert 'class="errornote"' in text(answer)


@pytest.mark.parametrize("group", [OPERATOR, AUDITOR])
def test_without_the_permission_one_reads_but_does_not_decide(sign_in, group) -> None:
    item, client = waiting_item(), sign_in(group)

    page = client.get(page_of(item))
    assert page.status_code == 200
    assert "You may read this, but not decide it" in text(page)
    assert "<textarea" not in text(page)

    answer = client.post(page_of(item), form(item, "approve"))
    assert answer.status_code == 403
    assert "You may not decide what waits for a person" in text(answer)
    assert not PublishRecord.objects.exists()


def test_the_owner_of_the_agent_sees_why_approving_is_not_theirs(sign_in) -> None:
    owner = sign_in(REVIEWER)
    item = waiting_item(agent=make_agent(owner=owner.user))

    page = text(owner.get(page_of(item)))
    assert "somebody else approves it" in page
    assert 'value="approve"' not in page
    assert 'value="reject"' in page

    answer = owner.post(page_of(item), form(item, "approve", "mine"))
    assert answer.status_code == 403
    assert not PublishRecord.objects.exists()


def test_the_planner_of_the_task_does_not_approve_it_either(sign_in) -> None:
    planner = sign_in(ADMINISTRATOR)
    item = waiting_item(actor=Actor.human(planner.user))
    assert planner.post(page_of(item), form(item, "approve")).status_code == 403


def test_a_decision_is_taken_back_while_there_is_time(sign_in) -> None:
    reviewer = sign_in(REVIEWER)
    item = decided_item(person=reviewer.user)
    assert "Take it back" in text(reviewer.get(page_of(item)))
    assert "Take it back" not in text(sign_in(REVIEWER).get(page_of(item)))

    answer = reviewer.post(page_of(item), {"decision": "undo"}, follow=True)

    assert "Taken back." in text(answer)
    item.refresh_from_db()
    assert item.status == ReviewItemStatus.OPEN
    assert set(PublishRecord.objects.values_list("status", flat=True)) == {PublishStatus.FAILED}


def test_after_the_time_it_is_too_late_to_take_back(sign_in, settings) -> None:
    reviewer = sign_in(REVIEWER)
    item = decided_item(person=reviewer.user)
    settings.REVIEW_UNDO_SECONDS = 0
    assert "Take it back" not in text(reviewer.get(page_of(item)))
    answer = reviewer.post(page_of(item), {"decision": "undo"})
    assert answer.status_code == 409
    assert "time to take it back is over" in text(answer)


def test_the_page_shows_what_a_reviewer_needs(sign_in) -> None:
    item = waiting_item(
        title="Reel: 3 fees",
        content="Ask <b>before</b> you pay ☕".encode(),
        policy_hits=["medical claims", {"policy": "financial promise", "version": 2}],
        reasons=[{"tone": "too loud"}],
        sources=["https://nbe.gov.et/rates", "javascript:alert(1)", {"title": "A book", "url": "data:text/html,x"}],
        campaign=factories.make_campaign(goal="No promises.", constraints={"no": ["rates"]}),
    )
    page = text(sign_in(REVIEWER).get(page_of(item)))
    for shown in (
        'sandbox=""',
        "medical claims",
        "policy: financial promise, version: 2",
        "tone: too loud",
        "No promises.",
        'href="https://nbe.gov.et/rates" rel="noreferrer',
        "javascript:alert(1)",
        "A book",
        reverse("admin:trace", args=[item.task.trace_id]),
    ):
        assert shown in page
    assert 'href="javascript:' not in page
    assert 'href="data:' not in page


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (
            {"content_ref": "https://cdn.example.org/a.mp4", "content_sha256": "a" * 64},
            'href="https://cdn.example.org/a.mp4"',
        ),
        ({"content_ref": "s3://bucket/a.mp4", "content_sha256": "a" * 64}, "which a browser cannot open"),
        ({"content_ref": "sha256/no/thing", "content_sha256": "a" * 64}, "The content is missing"),
        ({"content_ref": "../../etc/passwd", "content_sha256": "a" * 64}, "The content is missing"),
        ({"content_ref": "sha256", "content_sha256": "a" * 64}, "The content is missing"),
        ({"content_ref": "https://cdn.example.org/b.mp4"}, "Nobody gave the hash of this content"),
        ({"content": b"x" * 100_000}, "Only the beginning is shown"),
        ({"content": b""}, "The content is empty"),
    ],
)
def test_content_that_is_elsewhere_missing_or_odd_is_said_so(sign_in, made, said) -> None:
    page = sign_in(REVIEWER).get(page_of(waiting_item(**made)))
    assert page.status_code == 200
    assert said in text(page)


def test_content_that_was_changed_in_the_store_is_not_trusted(sign_in) -> None:
    item = waiting_item(content_ref=factories.make_artifact(content=b"one").content_ref, content_sha256="b" * 64)
    assert "its hash differs" in text(sign_in(REVIEWER).get(page_of(item)))


def test_earlier_versions_are_shown_with_what_was_decided(sign_in) -> None:
    first = make_artifact(content=b"one")
    factories.judged(artifact=first, decision="reject", reasons=["too loud"])
    retry = first.task.retries.get()
    retry.change("update", not_before=None)
    task = factories.claim_tasks(agent=retry.agent, actor=factories.worker(retry))[0]
    item = waiting_item(artifact=make_artifact(task=task, content=b"two"))

    page = text(sign_in(REVIEWER).get(page_of(item)))

    assert "version 2" in page
    assert reverse("admin:content_artifact_change", args=[first.pk]) in page


def test_a_routine_check_hides_the_judge_until_it_is_decided(sign_in) -> None:
    item = waiting_item(reasons=["the judge's own words"])
    item.change("update", reason="blind_sample")
    reviewer = sign_in(REVIEWER)
    assert "own words" not in text(reviewer.get(page_of(item)))
    reviewer.post(page_of(item), form(item, "approve"))
    assert "own words" in text(reviewer.get(page_of(item)))


def test_the_queue_has_what_waits_riskiest_first_and_says_why(sign_in) -> None:
    waiting_item(title="sure enough", confidence="0.80")
    waiting_item(title="unsure", confidence="0.41")
    decided_item(person=make_user(REVIEWER), title="decided already")
    page = text(sign_in(REVIEWER).get("/admin/content/reviewitem/"))
    assert page.index("unsure") < page.index("sure enough")
    assert "judge unsure (0.41; approves at 0.85)" in page
    assert "due in 3 h" in page
    assert "decided already" not in page
    assert "decided already" in text(sign_in(REVIEWER).get("/admin/content/reviewitem/?state=all"))


def test_an_overdue_item_says_so(sign_in) -> None:
    item = waiting_item()
    item.change("update", due_at=item.opened_at)
    assert "overdue" in text(sign_in(REVIEWER).get("/admin/content/reviewitem/"))


def test_an_item_of_a_stopped_campaign_is_not_decided(sign_in) -> None:
    item = waiting_item()
    operator = sign_in(OPERATOR)
    operator.post(f"/admin/campaigns/campaign/{item.campaign_id}/control/stop/", {"reason": "over"})
    answer = sign_in(REVIEWER).post(page_of(item), form(item, "approve"))
    assert answer.status_code == 409
    assert "withdrawn" in text(answer)
    assert ReviewItem.objects.get().task.status == TaskStatus.FAILED


@pytest.mark.parametrize("key", ["019a0000-0000-7000-8000-000000000000", "nonsense"])
def test_an_item_that_does_not_exist(sign_in, key) -> None:
    answer = sign_in(REVIEWER).get(f"/admin/content/reviewitem/{key}/change/", follow=True)
    assert answer.status_code in {200, 404}
    assert "There is no review item under this address" in text(answer)
