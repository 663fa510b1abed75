"""An operator at three in the morning: one campaign, several, everything, and a task that is stuck."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from audit.context import Actor
from campaigns.choices import TaskStatus
from campaigns.models import Campaign, SystemControl, Task
from campaigns.services import claim_tasks, complete_task, control_campaign
from config.groups import AUDITOR, OPERATOR, REVIEWER
from content.choices import Hold, PublishStatus
from content.models import PublishRecord
from content.services import claim_posts
from tests import factories
from tests.e2e.pages import campaign_page

BACKLOG = {
    "publish": "publish them now",
    "spread": "spread them over the next hour",
    "drop": "drop them: they never leave",
}


def verb(page: Any, word: str) -> None:
    page.get_by_role("link", name=f"{word}…", exact=True).click()


def test_a_campaign_is_paused_until_a_time_in_the_operators_zone(visit: Any) -> None:
    campaign = factories.make_campaign(name="Meskel launch")
    window = visit(user=factories.make_user(OPERATOR), timezone_id="Africa/Addis_Ababa")
    page = window.open(campaign_page("Meskel launch"))
    verb(page, "Pause")
    page.get_by_label("Reason").fill("Lunch")
    until = (timezone.now() + timedelta(days=1)).replace(hour=9, minute=30, second=0, microsecond=0)
    page.get_by_label("or at").fill(f"{until + timedelta(hours=3):%Y-%m-%dT%H:%M}")
    page.get_by_role("button", name="Pause now").click()

    banner = page.locator(".banner")
    expect(banner).to_contain_text("resumes by itself")
    expect(banner).to_contain_text("12:30:00 EAT")
    campaign.refresh_from_db()
    assert (campaign.status, campaign.resume_at) == ("paused", until)
    assert window.wrong == []


def test_a_campaign_is_paused_for_an_hour_by_one_click(visit: Any) -> None:
    campaign = factories.make_campaign(name="Meskel launch")
    window = visit(user=factories.make_user(OPERATOR))
    page = window.open(campaign_page("Meskel launch"))
    verb(page, "Pause")
    page.get_by_label("Reason").fill("Lunch")
    page.get_by_label("in 1 h").check()
    page.get_by_role("button", name="Pause now").click()
    page.get_by_text("“Meskel launch” is paused.").wait_for()
    campaign.refresh_from_db()
    assert timedelta(minutes=59) < campaign.resume_at - timezone.now() < timedelta(hours=1)
    assert window.wrong == []


@pytest.mark.parametrize("choice", BACKLOG)
def test_a_campaign_is_halted_and_resumes_with_a_choice_for_its_posts(visit: Any, choice: str) -> None:
    campaign = factories.make_campaign(name="Meskel launch", target_platforms=["tiktok", "x"])
    with_publisher = factories.claimed_post(campaign=campaign)
    posts = factories.queued_posts(campaign=campaign)
    task = factories.claimed_task(campaign=campaign)
    window = visit(user=factories.make_user(OPERATOR))
    page = window.open(campaign_page("Meskel launch"))
    verb(page, "Halt")
    expect(page.get_by_role("row", name="1 task in progress at 1 agent")).to_contain_text("cut off")
    expect(page.get_by_role("row", name="1 post with a publisher right now")).to_contain_text("may still appear")
    page.get_by_label("Reason").fill("Wrong price in the second reel")
    page.get_by_role("button", name="Halt now").click()
    expect(page.locator(".banner").first).to_contain_text("Wrong price in the second reel")
    task.refresh_from_db()
    with_publisher.refresh_from_db()
    assert (task.status, with_publisher.hold) == (TaskStatus.FAILED, Hold.OUTCOME_UNKNOWN)

    verb(page, "Resume")
    page.get_by_label("Reason").fill("Mended")
    page.get_by_role("button", name="Resume now").click()
    page.get_by_role("alert").get_by_text("Choose what becomes of them").wait_for()
    expect(page.get_by_label("Reason")).to_have_value("Mended")
    page.get_by_label(BACKLOG[choice]).check()
    page.get_by_role("button", name="Resume now").click()
    page.get_by_text("is active again").wait_for()

    for post in posts:
        post.refresh_from_db()
    fates = {post.status for post in posts}
    assert fates == ({PublishStatus.FAILED} if choice == "drop" else {PublishStatus.QUEUED})
    late = [post.scheduled_for for post in posts if post.scheduled_for and post.scheduled_for > timezone.now()]
    assert len(late) == (2 if choice == "spread" else 0)  # after an older one, which leaves at once
    leaving = {record.pk for name in ("tiktok", "x") for record in claim_posts(platform=name, actor=PUBLISHER, limit=9)}
    assert bool(leaving & {post.pk for post in posts}) == (choice == "publish")
    assert with_publisher.pk not in leaving  # a person looks first
    # Only the bad answer to the missing choice is in the browser's log.
    assert [told for told in window.wrong if "422" not in told] == []


PUBLISHER = Actor.system("publisher")


def test_three_campaigns_are_paused_at_once_and_the_one_that_cannot_be_is_named(visit: Any) -> None:
    names = ["Meskel launch", "School bags", "Timket posters"]
    campaigns = [factories.make_campaign(name=name) for name in names]
    factories.make_campaign(name="Untouched")
    operator = factories.make_user(OPERATOR)
    control_campaign("stop", campaign_id=campaigns[1].pk, actor=Actor.human(operator), reason="The client left")
    window = visit(user=operator)
    page = window.open("/admin/campaigns/campaign/")
    for name in names:
        page.get_by_label(f"Choose {name}").check()
    page.get_by_text("With the 3 that are ticked").wait_for()
    page.get_by_role("button", name="Pause…").click()

    page.get_by_role("heading", name="Pause 2 campaigns?").wait_for()
    expect(page.get_by_role("listitem").filter(has_text="School bags")).to_contain_text("it is stopped")
    page.get_by_label("Reason").fill("Holiday")
    page.get_by_role("button", name="Pause now").click()

    page.get_by_role("heading", name="Pause: what was done").wait_for()
    expect(page.get_by_text("It is paused.")).to_have_count(2)
    assert dict(Campaign.objects.values_list("name", "status")) == {
        "Meskel launch": "paused",
        "School bags": "stopped",
        "Timket posters": "paused",
        "Untouched": "active",
    }
    assert window.wrong == []


def test_all_of_a_page_are_ticked_by_one_box_and_without_scripts_one_by_one(visit: Any) -> None:
    for name in ("A", "B", "C"):
        factories.make_campaign(name=name)
    operator = factories.make_user(OPERATOR)
    page = visit(user=operator).open("/admin/campaigns/campaign/")
    page.get_by_label("Choose all on this page").check()
    page.get_by_role("button", name="Halt…").click()
    page.get_by_role("heading", name="Halt 3 campaigns?").wait_for()

    plain = visit(user=operator, java_script_enabled=False).open("/admin/campaigns/campaign/")
    plain.get_by_label("Choose B").check()
    plain.get_by_role("button", name="Stop…").click()
    plain.get_by_role("heading", name="Stop 1 campaign?").wait_for()


def test_everything_is_halted_and_resumed(visit: Any) -> None:
    campaign = factories.make_campaign(name="Meskel launch")
    factories.queued_posts(campaign=campaign)
    task, waiting = factories.claimed_task(campaign=campaign), factories.make_task(campaign=campaign)
    window = visit(user=factories.make_user(OPERATOR))
    page = window.page
    page.get_by_role("link", name="Halt everything…").click()
    expect(page.get_by_role("row", name="1 task in progress at 1 agent")).to_contain_text("cut off")
    page.get_by_label("Reason").fill("The bank called")
    page.get_by_role("button", name="Halt everything now").click()

    page.get_by_text("Everything is halted.").first.wait_for()
    for path in ("/admin/", "/admin/campaigns/campaign/", "/admin/content/reviewitem/", campaign_page("Meskel launch")):
        expect(window.open(path).locator("#halted")).to_contain_text("The bank called")
    assert claim_tasks(agent=waiting.agent, actor=factories.worker(waiting)) == []
    assert claim_posts(platform="tiktok", actor=PUBLISHER) == []
    with pytest.raises(Exception, match="no longer yours"):
        complete_task(task=task, actor=factories.worker(task))
    told = page.request.get(f"{window.base}/readyz").json()
    assert told["halted_since"]
    assert "The bank called" not in str(told)

    page.locator("#halted").get_by_role("link", name="Resume everything…").click()
    page.get_by_label("Reason").fill("A false alarm")
    page.get_by_label(BACKLOG["publish"]).check()
    page.get_by_role("button", name="Resume everything now").click()
    page.get_by_text("Everything runs again.").wait_for()
    expect(page.locator("#halted")).to_have_count(0)
    assert not SystemControl.objects.get().halted
    assert claim_tasks(agent=waiting.agent, actor=factories.worker(waiting))
    assert window.wrong == []


def test_a_stuck_task_is_released_and_goes_back_with_comments(visit: Any) -> None:
    agent, other = factories.make_agent("writer-4"), factories.make_agent("writer-9")
    task = factories.claimed_task(agent=agent, title="Caption: the bonfire")
    window = visit(user=factories.make_user(OPERATOR))
    page = window.open(f"/admin/campaigns/task/{task.pk}/change/")
    page.get_by_text("writer-4 has it for").wait_for()
    verb(page, "Release")
    page.get_by_label("Reason").fill("Its host is down")
    page.get_by_label("Agent").fill("writer-9")
    page.get_by_role("button", name="Release now").click()
    page.get_by_text("was released; this is its next attempt").wait_for()
    (now,) = claim_tasks(agent=other, actor=Actor.system("test"))
    assert now.parent_task_id == task.pk

    factories.make_artifact(task=now)
    page.reload()
    verb(page, "Send back")
    page.get_by_label("Comments").fill("The price is wrong")
    page.get_by_role("button", name="Send back now").click()
    page.get_by_text("was sent back to its maker").wait_for()
    last = Task.objects.get(parent_task=now)
    assert last.context["feedback"] == "The price is wrong"
    for number in (1, 2):
        expect(page.get_by_role("link", name=f"Attempt {number}", exact=True)).to_be_visible()
    page.get_by_role("link", name="Attempt 2", exact=True).click()
    page.get_by_text("Sent back: The price is wrong").first.wait_for()
    assert window.wrong == []


def test_failed_tasks_are_retried_from_the_list(visit: Any) -> None:
    campaign = factories.make_campaign()
    tasks = [factories.task_in(TaskStatus.FAILED, campaign=campaign, title=f"Caption {n}") for n in range(2)]
    window = visit(user=factories.make_user(OPERATOR), width=390, height=844)
    page = window.open("/admin/campaigns/task/")
    for task in tasks:
        page.get_by_label(f"Choose {task}").check()
    page.get_by_role("button", name="Retry…").click()
    page.get_by_label("Reason").fill("The model is back")
    page.get_by_role("button", name="Retry now").click()
    page.get_by_role("heading", name="Retry: what was done").wait_for()
    assert Task.objects.filter(parent_task__in=tasks).count() == 2
    assert window.wrong == []


@pytest.mark.parametrize("group", [REVIEWER, AUDITOR])
def test_others_see_neither_button_nor_page(visit: Any, group: str) -> None:
    campaign = factories.make_campaign(name="Meskel launch")
    task = factories.claimed_task(campaign=campaign)
    window = visit(user=factories.make_user(group))
    page = window.page
    expect(page.get_by_role("link", name="Halt everything…")).to_have_count(0)
    for path in (
        "/admin/campaigns/campaign/",
        campaign_page("Meskel launch"),
        f"/admin/campaigns/task/{task.pk}/change/",
    ):
        window.open(path)
        for word in ("Pause…", "Halt…", "Stop…", "Release…"):
            expect(page.get_by_text(word, exact=True)).to_have_count(0)
    assert window.wrong == []
    key = campaign.pk
    for path in (
        "/admin/system/halt/",
        f"/admin/campaigns/campaign/{key}/control/halt/",
        f"/admin/campaigns/campaign/control/halt/?chosen={key}",
        f"/admin/campaigns/task/{task.pk}/operate/release/",
        f"/admin/campaigns/task/operate/release/?chosen={task.pk}",
        f"/admin/campaigns/task/reassign-all/?agent={task.agent_id}",
    ):
        answer = page.goto(window.base + path)
        assert answer.status == 403
        expect(page.locator("body")).to_contain_text("Ask an Administrator for the permission")
    assert PublishRecord.objects.count() == 0


def test_a_campaign_is_made_with_its_rules_by_fields(visit: Any) -> None:
    window = visit(user=factories.make_user(OPERATOR), timezone_id="Africa/Addis_Ababa")
    page = window.open("/admin/campaigns/campaign/add/")
    page.get_by_label("Name").fill("Meskel launch")
    page.get_by_label("Goal").fill("5,000 sign-ups")
    page.get_by_label("tiktok").check()
    page.get_by_label("Other platforms").fill("mastodon, peertube")
    page.get_by_label("Budget cap").fill("1000")
    page.get_by_label("Start (EAT)").fill("2027-01-07T09:00")
    page.get_by_label("Rules for agents").fill("no rate promises\nbe kind")
    page.get_by_label("A judge is enough from").fill("0.92")
    page.get_by_label("Reasons to choose from").fill("wrong price\nno source")
    page.get_by_role("button", name="Save and go on").click()
    page.get_by_label("Rules for agents").wait_for()

    campaign = Campaign.objects.get()
    assert campaign.target_platforms == ["tiktok", "mastodon", "peertube"]
    assert campaign.start_time.isoformat() == "2027-01-07T06:00:00+00:00"
    assert campaign.constraints["rules"] == ["no rate promises", "be kind"]
    assert campaign.constraints["review_policy"]["reasons"] == ["wrong price", "no source"]
    expect(page.get_by_label("Start (EAT)")).to_have_value("2027-01-07T09:00")
    updated = campaign.updated_at
    page.get_by_role("button", name="Save and go on").click()
    page.get_by_label("Rules for agents").wait_for()
    campaign.refresh_from_db()
    assert campaign.updated_at == updated  # nothing was changed, nothing was written
    assert window.wrong == []
