"""The pages of the review desk: claims, next, filters that are carried along, and one decision on many."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from audit.context import Actor
from audit.models import AuditLog
from campaigns.choices import TaskStatus
from config.groups import ADMINISTRATOR, AUDITOR, OPERATOR, REVIEWER
from content.choices import Decision, ReviewReason
from content.models import ReviewDecision, ReviewItem
from content.services import claim_item, decide_review_item
from tests.factories import decided_item, make_agent, make_campaign, make_user, waiting_item

pytestmark = pytest.mark.django_db
LIST = "/admin/content/reviewitem/"
NEXT, BULK = f"{LIST}next/", f"{LIST}bulk/"


def page_of(item: ReviewItem) -> str:
    return reverse("admin:content_reviewitem_change", args=[item.pk])


def form(item: ReviewItem, decision: str, reasons: str = "Read it.", **more: Any) -> dict[str, Any]:
    seen = {"seen_version": item.version, "seen_sha256": item.artifact.content_sha256}
    return {"decision": decision, "reasons": reasons, **seen, **more}


def text(answer: Any) -> str:
    return answer.content.decode()


def held_by(item: ReviewItem) -> Any:
    item.refresh_from_db()
    return item.claimed_by


def test_opening_an_item_claims_it_and_others_read_on(sign_in) -> None:
    item, dawit = waiting_item(), sign_in(user=make_user(REVIEWER, display_name="Dawit Haile"))
    assert "held by you until" in text(dawit.get(page_of(item)))
    assert held_by(item) == dawit.user

    sara = text(sign_in(REVIEWER).get(page_of(item)))
    assert "Dawit Haile is deciding on it, until" in sara
    assert "Dawit Haile has it" in sara
    assert 'value="approve"' not in sara
    assert held_by(item) == dawit.user
    assert "Dawit Haile until" in text(sign_in(AUDITOR).get(LIST))


@pytest.mark.parametrize("group", [OPERATOR, AUDITOR])
def test_whoever_may_not_decide_claims_nothing(sign_in, group) -> None:
    item, client = waiting_item(), sign_in(group)
    page = text(client.get(page_of(item)))
    assert held_by(item) is None
    assert "Review next" not in page
    listed = text(client.get(LIST))
    assert "Review next" not in listed
    assert 'type="checkbox"' not in listed
    for path in (NEXT, BULK):
        answer = client.post(path, {"decision": "approve", "item": [item.pk]})
        assert answer.status_code == 403
    answer = client.post(f"{LIST}{item.pk}/claim/")
    assert (answer.status_code, "You may not decide" in answer.json()["refusal"]) == (403, True)


def test_the_maker_of_a_thing_keeps_nobody_from_it(sign_in) -> None:
    maker = sign_in(REVIEWER)
    item = waiting_item(agent=make_agent(owner=maker.user))
    assert "somebody else approves it" in text(maker.get(page_of(item)))
    assert held_by(item) is None


def test_a_late_decision_is_refused_to_whom_lost_the_claim_and_keeps_the_words(sign_in) -> None:
    item, sara = waiting_item(), sign_in(REVIEWER)
    sara.get(page_of(item))
    item.change("test", claimed_until=timezone.now() - timedelta(seconds=1))
    claim_item(item_id=item.pk, actor=Actor.human(make_user(REVIEWER, display_name="Dawit Haile")))
    answer = sara.post(page_of(item), form(item, "reject", "No source.", reason="tone"))
    assert answer.status_code == 409
    assert "Dawit Haile is deciding on it" in text(answer)
    assert ">No source.</textarea>" in text(answer)
    assert 'value="tone" checked' in text(answer)


def test_ticked_and_written_reasons_are_both_given(sign_in) -> None:
    item, dawit = waiting_item(), sign_in(REVIEWER)
    dawit.post(page_of(item), form(item, "reject", "No source.\nToo long.", reason=["tone", "rights"]))
    assert ReviewDecision.objects.get(reviewer_type="human").reasons == ["tone", "rights", "No source.", "Too long."]


def test_the_reasons_of_the_campaign_are_offered_nine_at_most(sign_in) -> None:
    given = [f"reason <{n}>" for n in range(12)]
    item = waiting_item(campaign=make_campaign(constraints={"review_policy": {"reasons": given}}))
    page = text(sign_in(REVIEWER).get(page_of(item)))
    assert page.count('name="reason"') == 9
    assert "reason &lt;8&gt;" in page


def test_after_a_decision_one_is_before_the_next_with_the_way_back(sign_in) -> None:
    first, second = waiting_item(confidence="0.2", title="First"), waiting_item(title="Second")
    dawit = sign_in(REVIEWER)
    answer = dawit.post(page_of(first), form(first, "approve"))
    assert answer.url == page_of(second)
    assert held_by(second) == dawit.user
    page = text(dawit.get(answer.url))
    assert "Approved “First”" in page
    assert "you have decided 1 today" in page
    answer = dawit.post(page_of(first), {"decision": "undo"})
    assert answer.url == page_of(first)
    assert "Taken back." in text(dawit.get(answer.url))


def test_filters_go_along(sign_in) -> None:
    waiting_item(confidence="0.1", title="A riskier text")
    images = [waiting_item(artifact_type="image", title=f"Image {n}", content=b"png") for n in range(2)]
    dawit, query = sign_in(REVIEWER), "?type=image&platform=tiktok"
    answer = dawit.post(NEXT + query)
    assert answer.url in [page_of(item) + query for item in images]
    page = text(dawit.get(answer.url))
    assert "A riskier text" not in page
    assert "2 waiting" in page
    item = ReviewItem.objects.get(claimed_by=dawit.user)
    other = next(each for each in images if each != item)
    assert dawit.post(answer.url, form(item, "approve")).url == page_of(other) + query
    # The list's own links keep the filters in Django's way.
    page = text(dawit.get(f"{page_of(other)}?_changelist_filters=type%3Dvideo"))
    assert "0 waiting" in page
    assert f"{NEXT}?type=video" in page or "?type=video" in page
    assert dawit.post(f"{NEXT}?type=plan").url == f"{LIST}?type=plan"
    assert dawit.post(f"{NEXT}?campaign=nonsense").status_code == 302


def test_what_was_passed_over_comes_back_last(sign_in) -> None:
    first, second = waiting_item(confidence="0.2"), waiting_item()
    dawit = sign_in(REVIEWER)
    dawit.get(page_of(first))
    assert dawit.post(page_of(first), {"decision": "skip"}).url == page_of(second)
    assert held_by(first) is None
    assert dawit.post(page_of(second), form(second, "approve")).url == page_of(first)
    assert "this is what you passed over" in text(dawit.get(page_of(first)))


def test_the_open_page_renews_and_the_leaver_lets_go(sign_in) -> None:
    item, dawit = waiting_item(), sign_in(REVIEWER)
    dawit.get(page_of(item))
    told = dawit.post(f"{LIST}{item.pk}/claim/").json()
    assert told["clock"]
    for until, status in (("nonsense", 409), ("2020-01-01T00:00:00+00:00", 204)):
        assert dawit.post(f"{LIST}{item.pk}/release/", {"until": until}).status_code == status
        assert held_by(item) == dawit.user
    assert dawit.post(f"{LIST}{item.pk}/release/", {"until": told["until"]}).status_code == 204
    assert held_by(item) is None
    assert dawit.get(f"{LIST}{item.pk}/claim/").status_code == 405
    assert dawit.get(NEXT).status_code == 405
    actions = AuditLog.objects.filter(entity_type="review_item", entity_id=item.pk).values_list("action", flat=True)
    assert sorted(actions) == ["claim", "create", "release"]


def test_the_page_of_an_administrators_item(sign_in) -> None:
    item, first = waiting_item(), make_user(REVIEWER)
    given = {"decision": "escalate", "reasons": ["Ask."], "actor": Actor.human(first)}
    decide_review_item(item_id=item.pk, escalate_to_administrators=True, **given)
    third = ReviewItem.objects.open().get()
    page = text(sign_in(REVIEWER).get(page_of(third)))
    assert "escalated to the Administrators" in page
    assert 'value="approve"' not in page
    boss = sign_in(ADMINISTRATOR)
    page = text(boss.get(page_of(third)))
    assert 'value="approve"' in page
    assert 'value="escalate"' not in page


def test_escalating_asks_a_person_or_the_administrators(sign_in) -> None:
    item, other, dawit = waiting_item(), waiting_item(), sign_in(REVIEWER)
    dawit.post(page_of(item), form(item, "escalate"))
    dawit.post(page_of(other), form(other, "escalate", to_administrators="yes"))
    assert [ReviewItem.objects.open().get(artifact=each.artifact).level for each in (item, other)] == [2, 3]
    second = ReviewItem.objects.open().get(level=2)
    page = text(sign_in(REVIEWER).get(page_of(second)))
    assert "Escalate to the Administrators" in page
    assert 'name="to_administrators"' not in page


def test_the_queue_beside_an_item_leaves_out_what_one_may_not_decide(sign_in) -> None:
    dawit, other, items = (
        sign_in(REVIEWER),
        sign_in(REVIEWER),
        [waiting_item(title="First"), waiting_item(title="Second")],
    )
    dawit.post(page_of(items[0]), form(items[0], "escalate"))
    second_person = ReviewItem.objects.open().get(artifact=items[0].artifact)
    beside = page_of(second_person)
    assert beside not in text(dawit.get(page_of(items[1])))
    assert beside in text(other.get(page_of(items[1])))
    assert beside in text(sign_in(AUDITOR).get(page_of(items[1])))


def test_the_margin_tells_the_way_so_far_and_not_what_the_judge_of_a_blind_sample_said(sign_in) -> None:
    item, reviewer = waiting_item(), sign_in(REVIEWER)
    page = text(reviewer.get(page_of(item)))
    for step in (
        "planned by planner-1",
        "claimed by ",
        "version 1 by ",
        "judge-2: approve, 0.620",
        "opened for a person",
    ):
        assert step in page
    item.change("test", reason=ReviewReason.BLIND_SAMPLE)
    assert "judge-2" not in text(reviewer.get(page_of(item)))


# One decision on many.


def preview(client: Any, items: list[ReviewItem], decision: str = "approve") -> Any:
    return client.post(BULK, {"decision": decision, "item": [item.pk for item in items]})


def seen(answer: Any) -> list[str]:
    return [row.seen for row in answer.context["rows"] if not row.refusal]


def test_many_are_shown_with_what_will_happen_before_anything_does(sign_in) -> None:
    reviewer = sign_in(REVIEWER)
    fine, mine = waiting_item(), waiting_item(agent=make_agent(owner=reviewer.user))
    held, blind, unread = waiting_item(), waiting_item(), waiting_item()
    claim_item(item_id=held.pk, actor=Actor.human(make_user(REVIEWER, display_name="Dawit Haile")))
    blind.change("test", reason=ReviewReason.BLIND_SAMPLE)
    unread.change("test", reason=ReviewReason.NO_JUDGE)
    decided = decided_item(person=make_user(REVIEWER, display_name="Sara Bekele"))

    answer = preview(reviewer, [fine, mine, held, blind, unread, decided])

    told = {row.item.pk: row.refusal or row.effect for row in answer.context["rows"]}
    assert told[fine.pk] == "is posted to tiktok, instagram"
    for item, said in (
        *((mine, "somebody else approves"), (held, "Dawit Haile is deciding"), (blind, "routine check")),
        *((unread, "not approved unread"), (decided, "Sara Bekele decided to approve")),
    ):
        assert said in told[item.pk]
    assert "Approve 1 of 6 items?" in text(answer)
    assert ReviewDecision.objects.filter(reviewer_id=f"user:{reviewer.user.pk}").count() == 0


@pytest.mark.parametrize(
    ("decision", "said"),
    [("reject", "is told why, and tries again (2 left)"), ("escalate", "waits for another person")],
)
def test_what_will_happen_depends_on_the_decision(sign_in, decision, said) -> None:
    assert said in text(preview(sign_in(REVIEWER), [waiting_item()], decision))


def test_the_report_tells_item_by_item(sign_in) -> None:
    reviewer, items = sign_in(REVIEWER), [waiting_item(title=f"Number {n}") for n in range(3)]
    shown = seen(preview(reviewer, items, "reject"))
    decide_review_item(
        item_id=items[1].pk, decision="approve", reasons=[], actor=Actor.human(make_user(REVIEWER, display_name="Sara"))
    )
    sent = {"decision": "reject", "confirmed": "yes", "seen": shown}
    refused = reviewer.post(BULK, {**sent, "reasons": " "})
    assert refused.status_code == 422
    assert "Say why you reject it" in text(refused)

    answer = reviewer.post(BULK, {**sent, "reasons": "No source."})

    assert "2 rejected, 1 not" in text(answer)
    assert "Sara decided to approve it at" in text(answer)
    assert all(page_of(item) in text(answer) for item in items)
    made = ReviewDecision.objects.filter(reviewer_id=f"user:{reviewer.user.pk}")
    assert [decision.reasons for decision in made] == [["No source."]] * 2

    answer = reviewer.post(BULK, {"decision": "undo", "item": [items[0].pk, items[2].pk]})
    assert "2 taken back" in text(answer)
    assert set(ReviewItem.objects.open()) == {items[0], items[2]}
    assert items[0].task.status == TaskStatus.REVIEW


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({"decision": "approve"}, "Nothing is selected"),
        ({"decision": "burn", "item": ["x"]}, "not a decision"),
        ({"decision": "approve", "item": ["x"]}, "damaged"),
        ({"decision": "approve", "confirmed": "yes", "seen": ["x:y:z"]}, "damaged"),
        ({"decision": "approve", "item": [f"019a0000-0000-7000-8000-{n:012}" for n in range(101)]}, "at most 100"),
    ],
)
def test_a_damaged_form_of_many_gets_a_sentence(sign_in, sent, said) -> None:
    answer = sign_in(REVIEWER).post(BULK, sent)
    assert answer.status_code == 422
    assert said in text(answer)


def test_the_address_of_many_leads_to_the_list(sign_in) -> None:
    assert sign_in(REVIEWER).get(BULK).url == LIST


# Cost.


def asked(client: Any, path: str) -> int:
    with CaptureQueriesContext(connection) as queries:
        assert client.get(path).status_code == 200
    return len(queries)


def test_the_page_of_an_item_asks_as_often_however_many_wait(sign_in) -> None:
    reviewer = sign_in(REVIEWER)
    first = waiting_item(confidence="0.1")
    decided_item(person=reviewer.user)
    reviewer.get(page_of(first))
    few = asked(reviewer, page_of(first))
    for n in range(6):
        waiting_item(policy_hits=["claims"], confidence=f"0.{n + 2}")
        decided_item(person=reviewer.user)
    claim_item(item_id=ReviewItem.objects.open().last().pk, actor=Actor.human(make_user(REVIEWER)))
    assert asked(reviewer, page_of(first)) <= few
    assert few <= 45


def test_the_preview_of_many_asks_as_often_however_many(sign_in) -> None:
    reviewer, items = sign_in(REVIEWER), [waiting_item() for _ in range(6)]
    escalated = decided_item(Decision.ESCALATE, person=make_user(REVIEWER))
    second = ReviewItem.objects.open().get(artifact=escalated.artifact)

    def cost(chosen: list[ReviewItem]) -> int:
        with CaptureQueriesContext(connection) as queries:
            assert preview(reviewer, chosen).context["able"] == len(chosen)
        return len(queries)

    cost([second])
    assert cost([*items, second]) <= cost([second])
