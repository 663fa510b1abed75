"""The review desk in a real browser: by keyboard alone, two people at once, and pages that are no longer true."""

from typing import Any

import pytest
from playwright.sync_api import expect

from accounts.models import User
from audit.context import Actor
from config.groups import REVIEWER
from content.choices import Decision, ReviewItemStatus
from content.models import ReviewDecision, ReviewItem
from content.services import claim_item, decide_review_item
from tests.e2e.barriers import what_axe_finds
from tests.factories import make_agent, make_campaign, make_user, waiting_item

# To the tab, as after a look elsewhere: the claim is renewed then, as it is each minute.
COMES_BACK = "document.dispatchEvent(new Event('visibilitychange'))"


def reviewer(name: str) -> User:
    return make_user(REVIEWER, display_name=name)


def page_of(item: ReviewItem) -> str:
    return f"/admin/content/reviewitem/{item.pk}/change/"


def heading(page: Any, title: str) -> None:
    page.get_by_role("heading", name=title, level=2).wait_for()
    page.wait_for_load_state()  # only then do the keys do something


def work(amount: int) -> list[ReviewItem]:
    """That many items, the riskiest first, of one campaign with its own reasons."""
    policy = {"blind_share": 0, "reasons": ["wrong price", "too loud"]}
    given = {"campaign": make_campaign(constraints={"review_policy": policy}), "agent": make_agent()}
    return [waiting_item(**given, title=f"Post number {n}", confidence=f"0.{n + 10}") for n in range(amount)]


def test_a_reviewer_clears_ten_items_by_keyboard_alone(visit: Any) -> None:
    items, dawit = work(10), reviewer("Dawit Haile")
    window = visit(user=dawit)
    page = window.open("/admin/content/reviewitem/")
    page.keyboard.press("j")
    for number, item in enumerate(items):
        heading(page, item.task.title)
        if number % 3 == 0:
            page.keyboard.press("a")
            page.keyboard.press("Enter")
        elif number % 3 == 1:
            page.keyboard.press("r")
            page.keyboard.press("1")
            page.keyboard.press("Control+Enter")
        else:
            page.keyboard.press("e")
            page.keyboard.press("w")
            page.keyboard.type("Ask a lawyer, are rates allowed?")
            page.keyboard.press("Control+Enter")
    page.get_by_text("Nothing waits here that is free and yours to decide.").wait_for()

    made = {decision.artifact_id: decision for decision in ReviewDecision.objects.filter(reviewer_type="human")}
    told = [(made[item.artifact_id].decision, made[item.artifact_id].reasons) for item in items]
    approved, rejected = (Decision.APPROVE, []), (Decision.REJECT, ["wrong price"])
    escalated = (Decision.ESCALATE, ["Ask a lawyer, are rates allowed?"])
    assert told == [approved, rejected, escalated] * 3 + [approved]
    assert window.wrong == []


def test_keys_are_letters_while_somebody_types(visit: Any) -> None:
    (item,) = work(1)
    window = visit(user=reviewer("Dawit Haile"))
    page = window.open(page_of(item))
    words = page.get_by_label("Reasons")
    page.keyboard.press("w")
    page.keyboard.type("a1 jar, reek? u")
    expect(words).to_have_value("a1 jar, reek? u")
    page.keyboard.press("Control+Enter")
    page.get_by_text("Choose first: Esc, then a, r or e.").wait_for()
    page.keyboard.press("Escape")
    page.keyboard.press("a")
    assert page.get_by_role("button", name="Approve").evaluate("button => button === document.activeElement")
    page.keyboard.press("Escape")
    expect(page.locator("[data-chosen]")).to_have_count(0)
    page.keyboard.press("Control+Enter")
    page.get_by_text("Choose first: a, r or e.").wait_for()
    assert page.url.endswith(page_of(item))
    assert ReviewItem.objects.get().is_open
    assert window.wrong == []


def test_what_was_written_is_not_left_by_a_slip(visit: Any) -> None:
    first, second = work(2)
    window = visit(user=reviewer("Dawit Haile"))
    page = window.open(page_of(first))
    page.keyboard.press("w")
    page.keyboard.type("Half a sent")
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.get_by_text("The same key again leaves it.").wait_for()
    page.keyboard.press("j")
    heading(page, second.task.title)
    assert window.wrong == []


def test_next_and_previous_and_what_was_passed_over(visit: Any) -> None:
    first, second, third = work(3)
    window = visit(user=reviewer("Dawit Haile"))
    page = window.open(page_of(first))
    page.keyboard.press("j")
    heading(page, second.task.title)
    page.keyboard.press("k")
    heading(page, first.task.title)
    page.keyboard.press("j")
    heading(page, second.task.title)
    for item in (second, third):  # the first was passed over, and comes back when nothing else waits
        heading(page, item.task.title)
        page.keyboard.press("a")
        page.keyboard.press("Enter")
    heading(page, first.task.title)
    page.get_by_text("this is what you passed over").wait_for()
    assert window.wrong == []


def test_the_keys_explain_themselves(visit: Any) -> None:
    (item,) = work(1)
    window = visit(user=reviewer("Dawit Haile"))
    page = window.open(page_of(item))
    page.keyboard.press("?")
    page.get_by_role("dialog", name="Keys").wait_for()
    page.keyboard.press("a")
    expect(page.locator("[data-chosen]")).to_have_count(0)
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.keyboard.press("e")
    page.keyboard.press("e")
    expect(page.get_by_label("to the Administrators")).to_be_checked()
    page.keyboard.press("2")
    expect(page.get_by_label("too loud")).to_be_checked()
    page.keyboard.press("Enter")
    page.get_by_text("Escalated “Post number 0”").wait_for()
    assert ReviewItem.objects.open().get().level == 3
    assert window.wrong == []


def test_enter_in_a_box_to_tick_decides_nothing(visit: Any) -> None:
    (item,) = work(1)
    page = visit(user=reviewer("Dawit Haile")).open(page_of(item))
    page.get_by_label("to the Administrators").focus()
    page.keyboard.press("Enter")
    page.wait_for_timeout(200)
    assert ReviewItem.objects.get().is_open


def test_without_scripts_too_enter_in_a_box_to_tick_decides_nothing(visit: Any) -> None:
    (item,) = work(1)
    page = visit(user=reviewer("Dawit Haile"), java_script_enabled=False).open(page_of(item))
    page.get_by_label("to the Administrators").focus()
    page.keyboard.press("Enter")
    page.get_by_text("is not a decision").wait_for()
    assert ReviewItem.objects.get().is_open


def test_two_reviewers_are_never_before_the_same_item(visit: Any) -> None:
    first, second = work(2)
    dawit, sara = visit(user=reviewer("Dawit Haile")), visit(user=reviewer("Sara Bekele"))
    for window in (dawit, sara):
        window.open("/admin/content/reviewitem/").get_by_role("button", name="Review next").click()
    heading(dawit.page, first.task.title)
    heading(sara.page, second.task.title)

    sara.open(page_of(first))
    sara.page.get_by_text("Dawit Haile is deciding on it, until").wait_for()
    expect(sara.page.get_by_role("button", name="Approve")).to_have_count(0)
    sara.page.get_by_text("Dawit Haile has it").wait_for()

    dawit.open("/admin/content/reviewitem/")  # who leaves lets it go
    assert dawit.soon(lambda: not ReviewItem.objects.get(pk=first.pk).claimed_by_id)
    sara.open(page_of(first))
    sara.page.get_by_text("held by you until").wait_for()
    assert dawit.wrong == sara.wrong == []


def test_a_claim_that_was_lost_is_told_while_the_page_is_open(visit: Any) -> None:
    (item,) = work(1)
    window = visit(user=reviewer("Dawit Haile"))
    page = window.open(page_of(item))
    page.get_by_label("Reasons").fill("Half a sent")
    ReviewItem.objects.get().change("test", claimed_until=item.opened_at)
    claim_item(item_id=item.pk, actor=Actor.human(reviewer("Sara Bekele")))

    page.evaluate(COMES_BACK)

    page.get_by_text("Sara Bekele is deciding on it").wait_for()
    page.get_by_text("What you have written stays here.").wait_for()
    expect(page.get_by_label("Reasons")).to_have_value("Half a sent")
    assert [told for told in window.wrong if "409" not in told] == []  # the browser reports the refusal itself


def test_an_open_page_renews_its_claim(visit: Any) -> None:
    (item,) = work(1)
    window = visit(user=reviewer("Dawit Haile"))
    page = window.open(page_of(item))
    before = ReviewItem.objects.get().claimed_until
    with page.expect_response("**/claim/"):
        page.evaluate(COMES_BACK)
    assert ReviewItem.objects.get().claimed_until > before
    assert window.wrong == []


@pytest.mark.parametrize("button", ["Approve", "Reject"])
def test_a_stale_page_says_who_was_first_and_keeps_the_words(visit: Any, button: str) -> None:
    (item,) = work(1)
    window = visit(user=reviewer("Sara Bekele"))
    page = window.open(page_of(item))
    page.get_by_label("Reasons").fill("I have read it twice.")
    ReviewItem.objects.get().change("test", claimed_by=None, claimed_until=None)
    dawit = Actor.human(reviewer("Dawit Haile"))
    decide_review_item(item_id=item.pk, decision=Decision.REJECT, reasons=["No."], actor=dawit)
    page.get_by_role("button", name=button).click()
    page.get_by_role("alert").get_by_text("Dawit Haile decided to reject it at").wait_for()
    expect(page.get_by_text("I have read it twice.")).to_be_visible()
    assert ReviewDecision.objects.filter(reviewer_type="human").count() == 1
    assert [told for told in window.wrong if "409" not in told] == []


def test_a_decision_is_taken_back_from_the_next_page(visit: Any) -> None:
    first, second = work(2)
    window = visit(user=reviewer("Dawit Haile"))
    page = window.open(page_of(first))
    page.keyboard.press("a")
    page.keyboard.press("Enter")
    heading(page, second.task.title)
    page.get_by_text(f"Approved “{first.task.title}”").wait_for()
    page.keyboard.press("u")
    heading(page, first.task.title)
    page.get_by_text("Taken back.").wait_for()
    page.get_by_text("held by you until").wait_for()
    assert set(ReviewItem.objects.values_list("status", flat=True)) == {ReviewItemStatus.OPEN}
    assert window.wrong == []


def test_many_are_decided_at_once_after_a_look_at_what_will_happen(visit: Any) -> None:
    items, dawit = work(4), reviewer("Dawit Haile")
    claim_item(item_id=items[1].pk, actor=Actor.human(reviewer("Sara Bekele")))
    window = visit(user=dawit)
    page = window.open("/admin/content/reviewitem/")
    expect(page.get_by_role("button", name="Reject…")).to_be_hidden()
    page.get_by_label("All on this page").check()
    page.get_by_label(f"Choose {items[0].task.title}").uncheck()
    page.get_by_text("3 chosen:").wait_for()
    page.get_by_role("button", name="Reject…").click()
    page.get_by_role("heading", name="Reject 2 of 3 items?").wait_for()
    page.get_by_text("Sara Bekele is deciding on it").wait_for()
    page.get_by_label("Reasons").fill("No source.")
    page.get_by_role("button", name="Reject 2 items").click()
    page.get_by_role("heading", name="2 rejected").wait_for()
    assert {item.pk for item in ReviewItem.objects.open()} == {items[0].pk, items[1].pk}
    page.get_by_role("button", name="Take all 2 back").click()
    page.get_by_role("heading", name="2 taken back").wait_for()
    assert ReviewItem.objects.open().count() == 4
    assert window.wrong == []


def test_without_scripts_the_buttons_lead_on(visit: Any) -> None:
    first, second = work(2)
    window = visit(user=reviewer("Dawit Haile"), java_script_enabled=False)
    page = window.open("/admin/content/reviewitem/")
    page.get_by_role("button", name="Review next").click()
    heading(page, first.task.title)
    page.get_by_label("wrong price").check(force=True)
    page.get_by_role("button", name="Reject").click()
    heading(page, second.task.title)
    page.get_by_role("button", name="Take it back").click()
    heading(page, first.task.title)
    page.get_by_role("button", name="Skip").click()
    heading(page, second.task.title)


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (390, "dark")])
def test_the_desk_is_usable_by_all(visit: Any, width: int, scheme: str) -> None:
    """axe, on the item as it is before and after a decision, and on the pages of many."""
    items = work(3)
    window = visit(user=reviewer("Dawit Haile"), width=width, color_scheme=scheme)
    found = []

    def look(name: str) -> None:
        found.extend((name, barrier) for barrier in what_axe_finds(window.page))

    page = window.open(page_of(items[0]))
    look("item")
    page.get_by_role("button", name="Approve").click()
    page.get_by_text("Approved “").wait_for()
    look("next")
    window.open(page_of(items[0]))
    look("decided")
    page = window.open("/admin/content/reviewitem/")
    page.get_by_label("All on this page").check()
    look("list")
    page.get_by_role("button", name="Reject…").click()
    page.get_by_role("heading", name="Reject 2 of 2 items?").wait_for()
    look("preview")
    page.get_by_label("Reasons").fill("No source.")
    page.get_by_role("button", name="Reject 2 items").click()
    page.get_by_role("heading", name="2 rejected").wait_for()
    look("report")
    assert found == []
    assert window.wrong == []
