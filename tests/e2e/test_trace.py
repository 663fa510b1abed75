"""An auditor follows a trace from a measurement back to the plan, by clicks."""

from typing import Any

from playwright.sync_api import expect

from config.groups import AUDITOR
from tests import factories


def test_an_auditor_goes_from_a_metric_to_the_plan(visit: Any) -> None:
    post = factories.published_post("7291", title="Thread: the ceremony")
    factories.make_events(post)
    window = visit(user=factories.make_user(AUDITOR))
    page = window.page
    page.get_by_role("link", name="Metrics", exact=True).click()
    page.get_by_role("link", name="trace of Thread: the ceremony").click()

    way = page.get_by_role("navigation", name="How far it has come")
    expect(way.locator(".reached")).to_have_count(7)  # no person was asked
    expect(way.get_by_text("no person was asked")).to_be_visible()
    expect(page.get_by_text("every hash agrees")).to_be_visible()

    way.get_by_role("link", name="measured").click()
    measured = page.locator("#measured:target")
    expect(measured).to_contain_text("10 views")
    way.get_by_role("link", name="planned").click()
    planned = page.locator("li:target")
    expect(planned).to_contain_text("planner-1 created task")
    planned.get_by_role("link", name="Thread: the ceremony").click()
    expect(page.locator("h1")).to_have_text("Thread: the ceremony")
    assert window.wrong == []


def test_a_single_event_leads_to_its_trace_and_that_to_the_content_s_metrics(visit: Any) -> None:
    post = factories.published_post("7291", title="Thread: the ceremony")
    factories.make_events(post)
    window = visit(user=factories.make_user(AUDITOR))
    page = window.page
    page.get_by_role("link", name="Metric events", exact=True).click()
    page.locator("#result_list tbody th a").first.click()
    page.get_by_role("link", name="text v1 of Thread: the ceremony").click()
    page.get_by_role("link", name=post.artifact.task.trace_id[:8]).click()
    page.locator("#measured").get_by_role("link", name="Thread: the ceremony").click()
    expect(page.locator("h1")).to_have_text("Metrics of Thread: the ceremony")
    assert window.wrong == []


def test_the_trace_is_taken_as_a_file(visit: Any) -> None:
    task = factories.make_task(title="Thread")
    window = visit(user=factories.make_user(AUDITOR))
    page = window.open(f"/admin/trace/{task.trace_id}/")
    with page.expect_download() as taken:
        page.get_by_role("link", name="JSON").click()
    assert taken.value.suggested_filename == f"trace-{task.trace_id}.json"
    assert window.wrong == []


def test_the_log_is_searched_by_its_form(visit: Any) -> None:
    factories.make_agent("writer-4")
    factories.make_campaign(name="Meskel launch")
    window = visit(user=factories.make_user(AUDITOR))
    page = window.page
    page.get_by_role("link", name="Audit", exact=True).click()
    form = page.get_by_role("search", name="Audit log")
    form.get_by_label("To what").select_option("campaign")
    form.get_by_label("Did").fill("create")
    form.get_by_role("button", name="Search").click()
    page.wait_for_url("**entity_type=campaign**")
    expect(page.locator("#result_list tbody tr")).to_have_count(1)
    expect(page.get_by_text("Meskel launch").first).to_be_visible()
    form.get_by_text("More to search by").click()
    form.get_by_label("Words in what changed").fill("no such words")
    form.get_by_role("button", name="Search").click()
    page.get_by_text("Nothing matches.").wait_for()
    assert window.wrong == []
