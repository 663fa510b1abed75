"""Publishing and agents by hand: posts settled in three ways, queued again, held, released; an agent suspended."""

from typing import Any

import pytest
from playwright.sync_api import expect

from agents.models import Agent
from audit.context import Actor
from config.groups import OPERATOR, REVIEWER
from content.choices import Hold, PublishStatus
from content.models import PublishRecord
from content.services import publish_failed, publish_unknown
from tests import factories

PUBLISHER = Actor.system("publisher")


def unknown_post(title: str) -> PublishRecord:
    campaign = factories.make_campaign(target_platforms=["tiktok"])
    record = factories.claimed_post(campaign=campaign, title=title)
    return publish_unknown(record=record, error="The connection broke.", actor=PUBLISHER)


def opened(page: Any, title: str) -> None:
    page.get_by_role("heading", name=f"Is “{title}” out?").wait_for()
    page.wait_for_load_state()  # only then do the keys do something


def test_an_operator_settles_three_unknown_posts_one_after_the_other(visit: Any) -> None:
    """By keyboard: a key chooses, Ctrl+Enter settles, and the next opens by itself."""
    out, retried, dropped = (unknown_post(f"Reel {name}") for name in ("out", "again", "gone"))
    window = visit(user=factories.make_user(OPERATOR))
    page = window.page
    page.get_by_role("link", name="Publishing").click()
    page.get_by_role("link", name="Outcome unknown 3").click()
    page.get_by_role("link", name="Settle… Reel out").click()
    opened(page, "Reel out")
    expect(page.get_by_text("Ask for the amount that arrives.")).to_be_visible()

    page.keyboard.press("1")
    page.get_by_label("The post’s id, or its address").fill("https://www.tiktok.com/@habesha/video/7291846372910001")
    page.get_by_label("How do you know?").fill("I see it on the page.")
    page.keyboard.press("Control+Enter")

    opened(page, "Reel again")
    page.keyboard.press("2")
    expect(page.get_by_label("When it appeared")).to_be_hidden()
    page.get_by_label("How do you know?").fill("Not there after an hour.")
    page.keyboard.press("Control+Enter")

    opened(page, "Reel gone")
    page.keyboard.press("3")
    expect(page.get_by_label("The post’s id, or its address")).to_be_hidden()
    page.get_by_label("How do you know?").fill("Not there, and too late now.")
    page.get_by_role("button", name="Settle").click()

    page.get_by_text("Of every post it is known whether it is out.").wait_for()
    for post in (out, retried, dropped):
        post.refresh_from_db()
    assert (out.status, out.platform_post_id) == (PublishStatus.PUBLISHED, "7291846372910001")
    assert (retried.status, dropped.status) == (PublishStatus.FAILED, PublishStatus.FAILED)
    assert PublishRecord.objects.queued().get().artifact == retried.artifact
    assert window.wrong == []


def test_without_scripts_too_a_refusal_keeps_the_words(visit: Any) -> None:
    post = unknown_post("Reel")
    window = visit(user=factories.make_user(OPERATOR), java_script_enabled=False)
    page = window.open(f"/admin/publishing/{post.pk}/settle/")
    page.get_by_label("It is out").check()
    page.get_by_label("How do you know?").fill("I see it on the page.")
    page.get_by_role("button", name="Settle").click()
    page.get_by_text("Give the platform").wait_for()
    expect(page.get_by_label("It is out")).to_be_checked()
    expect(page.get_by_label("How do you know?")).to_have_value("I see it on the page.")


def test_an_operator_queues_a_failed_post_again_then_holds_and_releases_it(visit: Any) -> None:
    record = factories.claimed_post(campaign=factories.make_campaign(target_platforms=["tiktok"]), title="Reel")
    publish_failed(record=record, error="HTTP 500", actor=PUBLISHER)
    window = visit(user=factories.make_user(OPERATOR))
    page = window.open("/admin/publishing/failures/")
    page.get_by_role("link", name="Queue again… Reel").click()
    page.get_by_label("Reason").fill("The platform is back.")
    page.get_by_role("button", name="Queue again now").click()
    page.get_by_text("Queued again: this is the new try.").wait_for()
    fresh = PublishRecord.objects.queued().get()
    assert fresh.attempt == 1

    page.get_by_role("link", name="Hold…").click()
    page.get_by_label("Reason").fill("The price changed.")
    page.get_by_role("button", name="Hold now").click()
    page.get_by_text("“The price changed.”").first.wait_for()
    fresh.refresh_from_db()
    assert fresh.hold == Hold.OPERATOR

    page.get_by_role("link", name="Publishing").click()
    page.get_by_role("link", name="Release… Reel").click()
    page.get_by_label("Reason").fill("It is right now.")
    page.get_by_role("button", name="Release now").click()
    page.get_by_text("It is released.").wait_for()
    fresh.refresh_from_db()
    assert fresh.hold is None
    assert window.wrong == []


def test_an_operator_suspends_an_agent_and_reactivates_it(visit: Any) -> None:
    task = factories.claimed_task(agent=factories.make_agent("writer-4"))
    factories.make_task(agent=task.agent, campaign=task.campaign)
    window = visit(user=factories.make_user(OPERATOR))
    page = window.page
    page.get_by_role("link", name="Agents", exact=True).click()
    page.get_by_role("link", name="Suspend… writer-4").click()
    page.get_by_text("1 task in progress").wait_for()
    expect(page.get_by_text("1 pending task")).to_be_visible()
    page.get_by_label("Reason").fill("It repeats itself.")
    page.get_by_role("button", name="Suspend now").click()
    page.get_by_text("“writer-4” is suspended.").wait_for()
    assert Agent.objects.get().status == "suspended"

    page.get_by_role("link", name="Agents", exact=True).click()
    page.get_by_text("Suspended and retired (1)").click()
    expect(page.get_by_text("It repeats itself.")).to_be_visible()
    page.get_by_role("link", name="Reactivate… writer-4").click()
    page.get_by_label("Reason").fill("Mended.")
    page.get_by_role("button", name="Reactivate now").click()
    page.get_by_text("“writer-4” is active again.").wait_for()
    assert Agent.objects.get().status == "active"
    assert window.wrong == []


@pytest.mark.parametrize("path", ["/admin/publishing/{}/settle/", "/admin/fleet/writer-4/suspend/"])
def test_a_reviewer_sees_neither_buttons_nor_pages_of_verbs(visit: Any, path: str) -> None:
    post = unknown_post("Reel")
    factories.make_agent("writer-4")
    window = visit(user=factories.make_user(REVIEWER))
    for seen in ("/admin/publishing/unknown/", "/admin/fleet/", f"/admin/content/publishrecord/{post.pk}/change/"):
        page = window.open(seen)
        expect(page.get_by_role("link", name="Settle").or_(page.get_by_role("link", name="Suspend…"))).to_have_count(0)
    answer = window.page.goto(window.base + path.format(post.pk))
    assert answer.status == 403
    expect(window.page.locator("main")).to_contain_text("Ask an Administrator for the permission")


def test_what_hostile_agents_and_publishers_write_does_nothing(visit: Any) -> None:
    hostile = "<img src=x onerror=alert(1)><script>alert(2)</script>\"'><svg/onload=alert(3)>"
    agent = factories.make_agent("evil", display_name=hostile, agent_group=hostile)
    campaign = factories.make_campaign(name=hostile, target_platforms=[hostile])
    given = {"agent": agent, "campaign": campaign, "title": hostile, "content": hostile.encode()}
    record = factories.claimed_post(**given, metadata={"account": hostile})
    publish_unknown(record=record, error=hostile, actor=PUBLISHER)
    record.refresh_from_db()
    record.change("test", platform_post_id="javascript:alert(4)")
    failed = factories.claimed_post(**given)
    publish_failed(record=failed, error=hostile, actor=PUBLISHER)
    factories.queued_posts(**given)
    window = visit(user=factories.make_user(OPERATOR))
    paths = ["publishing/", "publishing/failures/", "publishing/unknown/", f"publishing/{record.pk}/settle/"]
    paths += [f"publishing/{failed.pk}/again/", f"content/publishrecord/{record.pk}/change/", "fleet/"]
    for path in [*paths, "fleet/evil/suspend/"]:
        page = window.open(f"/admin/{path}")
        page.wait_for_timeout(50)
        expect(page.locator("a[href^='javascript:' i], img[onerror], svg[onload]"), path).to_have_count(0)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth + 1"), path
    assert window.dialogs == []
    assert window.wrong == []
    assert window.elsewhere == []
