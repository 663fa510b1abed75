"""Somebody goes from a curve to what made it, by keyboard and by mouse, and takes a file."""

import re
from datetime import UTC, timedelta
from typing import Any

from django.utils import timezone
from playwright.sync_api import expect

from config.groups import AUDITOR
from tests import factories


def measured(title: str, value: int, hours: int = 0) -> Any:
    noon = timezone.now().astimezone(UTC).replace(hour=12, minute=0, second=0, microsecond=0)
    post = factories.published_post(title=title, at=noon - timedelta(days=20))
    factories.make_events(post, metric_value=value, observed_at=noon - timedelta(days=3, hours=hours))
    return post


def test_from_a_curve_to_its_contents_and_their_traces_by_keyboard(visit: Any) -> None:
    post = measured("Thread: the ceremony", 1200)
    measured("Caption: the bonfire", 30, hours=1)
    window = visit(user=factories.make_user(AUDITOR))
    page = window.page
    page.get_by_role("link", name="Metrics", exact=True).click()
    expect(page.get_by_role("link", name="Views 1,230")).to_have_attribute("aria-current", "true")
    page.get_by_role("navigation", name="Period").get_by_role("link", name="7 days").click()

    page.locator("#buckets summary").focus()
    page.keyboard.press("Enter")
    row = page.locator("#buckets tbody tr").filter(has_text="1,230")
    row.get_by_role("link").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**from=**")
    expect(page.locator(".contents tbody th").first).to_have_text(re.compile(r"^\s*Thread: the ceremony"))

    page.locator("#buckets summary").click()
    page.locator("#buckets tbody tr").filter(has_text="1,200").get_by_role("link").click()
    page.wait_for_url("**T12**")
    expect(page.locator(".contents tbody tr")).to_have_count(1)
    page.get_by_role("link", name="trace of Thread: the ceremony").click()
    page.wait_for_url(f"**/admin/trace/{post.artifact.task.trace_id}/")
    assert window.wrong == []


def test_a_place_on_the_curve_leads_on_by_mouse(visit: Any) -> None:
    measured("Thread: the ceremony", 1200)
    window = visit(user=factories.make_user(AUDITOR))
    page = window.open("/admin/metrics/?period=7d")
    box = page.locator(".columns").bounding_box()
    page.mouse.click(box["x"] + box["width"] * 3.5 / 7, box["y"] + box["height"] / 2)  # the day three days ago
    page.wait_for_url("**from=**")
    expect(page.get_by_role("link", name="Thread: the ceremony", exact=True)).to_be_visible()
    assert window.wrong == []


def test_days_are_chosen_by_their_form_and_a_file_is_taken(visit: Any) -> None:
    measured("Thread: the ceremony", 1200)
    window = visit(user=factories.make_user(AUDITOR))
    page = window.open("/admin/metrics/?measure=likes")
    today = timezone.now().astimezone(UTC)
    page.get_by_role("textbox", name="from").fill(f"{today - timedelta(days=9):%Y-%m-%d}")
    page.get_by_role("textbox", name="to", exact=True).fill(f"{today - timedelta(days=1):%Y-%m-%d}")
    page.get_by_role("button", name="Show").click()
    page.wait_for_url("**measure=likes**")
    page.get_by_role("link", name="Views 1,200").click()
    with page.expect_download() as taken:
        page.get_by_role("link", name="Parquet").first.click()
    assert taken.value.suggested_filename.startswith("metrics-buckets-")
    assert window.wrong == []
