"""The judges' page in a browser, and a threshold that is changed there with a keyboard alone."""

from decimal import Decimal
from typing import Any

from playwright.sync_api import expect

from audit.models import AuditLog
from campaigns.models import Campaign
from config.groups import OPERATOR, REVIEWER
from content.services.policy import ReviewPolicy
from tests import factories
from tests.console.judges import judges_at_work

PAGE = "/admin/judges/"


def test_an_operator_changes_a_threshold_by_keyboard(visit: Any) -> None:
    campaign = judges_at_work()
    window = visit(factories.make_user(OPERATOR))
    page = window.open(PAGE)
    page.get_by_role("link", name="Change a threshold…").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/threshold/")
    page.get_by_label("Threshold", exact=True).focus()
    page.keyboard.type("0.8")
    page.get_by_label(campaign.name).focus()
    page.keyboard.press("Space")
    page.keyboard.press("Enter")
    page.wait_for_url("**threshold=0.8**")
    expect(page.get_by_text("more would have been published")).to_be_visible()
    page.get_by_label("Reason").focus()
    page.keyboard.type("People agree with it.")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{PAGE}")
    expect(page.get_by_text(f"The threshold of “{campaign.name}” is 0.800 from now on.")).to_be_visible()
    assert ReviewPolicy.of(Campaign.objects.get(pk=campaign.pk)).approve_threshold == Decimal("0.8")
    assert AuditLog.objects.get(action="set_threshold").output_summary == "People agree with it."
    assert not window.wrong


def test_a_reviewer_reads_it_and_is_offered_no_change(visit: Any) -> None:
    judges_at_work()
    window = visit(factories.make_user(REVIEWER))
    page = window.open("/admin/")
    page.get_by_role("navigation", name="Places").get_by_role("link", name="Judges").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Judges")
    expect(page.get_by_role("img", name="How sure judge-2 was")).to_be_visible()
    expect(page.get_by_role("link", name="Change")).to_have_count(0)
    page.get_by_label("Judge", exact=True).select_option("judge-7")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_role("img", name="How sure judge-7 was")).to_be_visible()
    expect(page.get_by_role("img", name="How sure judge-2 was")).to_have_count(0)
    assert not window.wrong
