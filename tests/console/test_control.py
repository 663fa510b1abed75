"""An operator pauses, halts, resumes, stops and completes; everybody else is told that they may not."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from audit.context import Actor
from audit.models import AuditLog
from campaigns.choices import CampaignStatus, CampaignVerb, SystemVerb, TaskStatus
from campaigns.models import Campaign, SystemControl, Task
from campaigns.services import claim_tasks, control_campaign, halt_everything
from campaigns.services.consequences import FATES, SYSTEM_FATES, WORDS, consequences
from config.groups import AUDITOR, OPERATOR, REVIEWER
from tests import factories
from tests.factories import make_campaign, make_user, task_in

pytestmark = pytest.mark.django_db


def address(campaign, verb) -> str:
    return reverse("admin:campaigns_campaign_control", args=[campaign.pk, verb])


def page_of(campaign) -> str:
    return reverse("admin:campaigns_campaign_change", args=[campaign.pk])


def text(answer) -> str:
    return answer.content.decode()


@pytest.mark.parametrize(
    ("begun", "verb", "then"),
    [
        ("draft", "activate", CampaignStatus.ACTIVE),
        ("active", "pause", CampaignStatus.PAUSED),
        ("active", "halt", CampaignStatus.PAUSED),
        ("active", "complete", CampaignStatus.COMPLETED),
        ("active", "stop", CampaignStatus.STOPPED),
    ],
)
def test_an_operator_uses_each_verb_with_a_reason(sign_in, begun, verb, then) -> None:
    operator, campaign = sign_in(OPERATOR), make_campaign(status=begun)
    assert address(campaign, verb) in text(operator.get(page_of(campaign)))
    assert "What will happen" in text(operator.get(address(campaign, verb)))

    answer = operator.post(address(campaign, verb), {"reason": "Wrong price"}, follow=True)

    assert answer.redirect_chain[-1][0] == page_of(campaign)
    campaign.refresh_from_db()
    assert (campaign.status, campaign.control_reason, campaign.controlled_by) == (then, "Wrong price", operator.user)
    row = AuditLog.objects.get(entity_id=str(campaign.pk), action=verb)
    assert row.actor_id == f"user:{operator.user.pk}"


def test_a_pause_can_end_by_itself_and_the_banner_says_when(sign_in) -> None:
    operator, campaign = sign_in(OPERATOR), make_campaign()
    until = timezone.now() + timedelta(hours=3)
    given = {"reason": "lunch", "resume_at": f"{until:%Y-%m-%dT%H:%M}"}
    page = text(operator.post(address(campaign, "pause"), given, follow=True))
    campaign.refresh_from_db()
    assert campaign.resume_at == until.replace(second=0, microsecond=0)
    assert "resumes by itself" in page
    assert "lunch" in page
    assert str(operator.user) in page


@pytest.mark.parametrize(
    ("given", "status", "said"),
    [
        ({"reason": " "}, 422, "Say why you pause it"),
        ({"reason": "my reason", "resume_at": "2020-01-01T10:00"}, 422, "has passed already"),
        ({"reason": "my reason", "resume_at": "soon"}, 422, "Write the time to resume"),
        ({"reason": "my reason\0"}, 422, "Null characters"),
    ],
)
def test_a_refusal_is_a_sentence_and_keeps_what_was_typed(sign_in, given, status, said) -> None:
    campaign = make_campaign()
    answer = sign_in(OPERATOR).post(address(campaign, "pause"), given)
    assert answer.status_code == status
    assert said in text(answer)
    assert given["reason"].strip().strip("\0") in text(answer)
    assert Campaign.objects.get().status == CampaignStatus.ACTIVE


def test_what_is_not_possible_now_is_said_with_its_state(sign_in) -> None:
    operator, campaign = sign_in(OPERATOR), make_campaign()
    operator.post(address(campaign, "stop"), {"reason": "over"})
    for answer in (
        operator.get(address(campaign, "resume")),
        operator.post(address(campaign, "resume"), {"reason": "again"}),
    ):
        assert answer.status_code == 409
        assert "is stopped" in text(answer)
    assert "/control/" not in text(operator.get(page_of(campaign)))


def test_a_campaign_with_open_work_does_not_complete(sign_in) -> None:
    campaign = make_campaign()
    task_in(TaskStatus.PENDING, campaign=campaign)
    answer = sign_in(OPERATOR).post(address(campaign, "complete"), {"reason": "done"})
    assert answer.status_code == 409
    assert "still has 1 open task" in text(answer)


@pytest.mark.parametrize("group", [REVIEWER, AUDITOR])
def test_without_the_permission_no_button_and_a_sentence(sign_in, group) -> None:
    client, campaign = sign_in(group), make_campaign()
    assert "/control/" not in text(client.get(page_of(campaign)))
    for verb in CampaignVerb:
        for answer in (client.get(address(campaign, verb)), client.post(address(campaign, verb), {"reason": "x"})):
            assert answer.status_code == 403
            assert "You may not control campaigns" in text(answer)
    assert Campaign.objects.get().status == CampaignStatus.ACTIVE


def test_a_halt_offers_the_pause_instead(sign_in) -> None:
    operator, campaign = sign_in(OPERATOR), make_campaign()
    page = text(operator.get(address(campaign, "halt")))
    assert f'formaction="{address(campaign, "pause")}"' in page
    operator.post(address(campaign, "pause"), {"reason": "let it finish"})
    assert "formaction" not in text(operator.get(address(campaign, "halt")))


@pytest.mark.parametrize("path", ["control/erase/", "control/pause/"])
def test_unknown_verbs_and_campaigns_are_not_found(sign_in, path) -> None:
    key = make_campaign().pk if "erase" in path else "019a0000-0000-7000-8000-000000000000"
    assert sign_in(OPERATOR).get(f"/admin/campaigns/campaign/{key}/{path}").status_code == 404


def test_the_consequences_are_counted() -> None:
    campaign, agent = make_campaign(), factories.make_agent()
    for status in (TaskStatus.IN_PROGRESS, TaskStatus.IN_PROGRESS, TaskStatus.PENDING):
        task_in(status, campaign=campaign, agent=agent)
    factories.waiting_item(campaign=campaign)
    posts = factories.queued_posts(campaign=campaign)
    posts[0].change("claim", lease_id=campaign.pk, lease_expires_at=timezone.now() + timedelta(minutes=5))
    told = {row.what: row.word for row in consequences(campaign, CampaignVerb.HALT)}
    assert told == {
        "2 tasks in progress at 1 agent": "cut off",
        "1 pending task": "wait",
        "1 post queued, 1 due now": "held",
        "1 post with a publisher right now": "may still appear",
        "1 review open": "go on",
    }
    assert Task.objects.filter(status=TaskStatus.IN_PROGRESS).count() == 2  # counted, not done


def test_every_verb_has_its_consequences() -> None:
    assert (set(FATES), set(SYSTEM_FATES)) == (set(CampaignVerb), set(SystemVerb))
    fates = [*FATES.values(), *SYSTEM_FATES.values()]
    assert set().union(*(kinds.keys() for kinds in fates)) == set(WORDS)


def test_a_resume_asks_what_becomes_of_overdue_posts_and_does_it(sign_in) -> None:
    operator, campaign = sign_in(OPERATOR), make_campaign()
    factories.queued_posts(campaign=campaign)
    operator.post(address(campaign, "pause"), {"reason": "lunch"})
    assert "2 posts became overdue meanwhile" in text(operator.get(address(campaign, "resume")))
    unsaid = operator.post(address(campaign, "resume"), {"reason": "back"})
    assert (unsaid.status_code, "2 posts have become overdue" in text(unsaid)) == (422, True)
    odd = operator.post(address(campaign, "resume"), {"reason": "back", "backlog": "burn"})
    assert (odd.status_code, "Choose what becomes of the posts" in text(odd)) == (422, True)
    operator.post(address(campaign, "resume"), {"reason": "back", "backlog": "drop"})
    campaign.refresh_from_db()
    assert campaign.status == CampaignStatus.ACTIVE
    assert set(campaign.publish_records.values_list("status", flat=True)) == {"failed"}


def test_a_campaign_says_what_its_budget_holds_back(sign_in) -> None:
    campaign = make_campaign(budget_cap_etb="10.00")
    factories.make_task(campaign=campaign, reserve_etb="10.00")
    assert "not handed out" not in text(sign_in(OPERATOR).get(page_of(campaign)))
    factories.make_task(campaign=campaign, reserve_etb="10.01")
    page = text(sign_in(OPERATOR).get(page_of(campaign)))
    assert "1 pending task</strong> is not handed out: it would pass the budget cap" in page


# --- Until when a pause lasts -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("preset", "hours"), [("1h", 1), ("4h", 4)])
def test_a_pause_lasts_as_long_as_was_chosen(sign_in, preset, hours) -> None:
    campaign = make_campaign()
    sign_in(OPERATOR).post(address(campaign, "pause"), {"reason": "lunch", "resume_in": preset})
    campaign.refresh_from_db()
    assert abs(campaign.resume_at - timezone.now() - timedelta(hours=hours)) < timedelta(minutes=1)


def test_tomorrow_morning_is_that_of_the_viewer(sign_in) -> None:
    operator, campaign = sign_in(OPERATOR), make_campaign()
    operator.cookies["zone"] = "Africa/Addis_Ababa"
    operator.post(address(campaign, "pause"), {"reason": "night", "resume_in": "tomorrow"})
    campaign.refresh_from_db()
    assert f"{campaign.resume_at:%H:%M}" == "05:00"  # 08:00 in Addis Ababa
    assert timedelta(0) < campaign.resume_at - timezone.now() < timedelta(hours=32)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"resume_in": "1h", "resume_at": "2099-01-01T10:00"}, "not both"),
        ({"resume_in": "someday"}, "Choose when the pause ends"),
    ],
)
def test_an_end_of_the_pause_that_is_unclear_is_asked_again(sign_in, given, said) -> None:
    campaign = make_campaign()
    answer = sign_in(OPERATOR).post(address(campaign, "pause"), {"reason": "x", **given})
    assert (answer.status_code, said in text(answer)) == (422, True)
    assert Campaign.objects.get().status == CampaignStatus.ACTIVE


def test_the_page_says_when_it_was_counted_in_the_viewers_zone(sign_in) -> None:
    operator, campaign = sign_in(OPERATOR), make_campaign()
    operator.cookies["zone"] = "Africa/Addis_Ababa"
    post = factories.queued_posts(campaign=campaign)[0]
    soon = timezone.now() + timedelta(hours=1)
    post.change("test", scheduled_for=soon)
    page = text(operator.get(address(campaign, "halt")))
    assert "counted at" in page
    assert "2 posts queued, 1 of them due before" in page
    assert "EAT" in page
    assert "UTC" not in page


# --- Several at once -----------------------------------------------------------------------------------------------


def many(verb) -> str:
    return reverse("admin:campaigns_campaign_control_many", args=[verb])


def keys(*campaigns) -> dict:
    return {"chosen": [str(campaign.pk) for campaign in campaigns]}


def test_several_are_paused_and_the_impossible_ones_named_and_left_out(sign_in) -> None:
    operator = sign_in(OPERATOR)
    first, second, draft = (make_campaign(name="A"), make_campaign(name="B"), make_campaign(name="C", status="draft"))
    for campaign in (first, second):
        task_in(TaskStatus.PENDING, campaign=campaign)
    assert many("pause") in text(operator.get(reverse("admin:campaigns_campaign_changelist")))

    asked = text(operator.post(many("pause"), keys(first, second, draft)))
    assert "Pause 2 campaigns?" in asked
    assert "2 pending tasks" in asked  # in sum
    assert asked.count("1 pending task<") == 2  # and for each
    assert "it is draft" in asked
    assert f'name="chosen" value="{draft.pk}"' not in asked
    assert Campaign.objects.filter(status="active").count() == 2

    given = {**keys(first, second), "confirmed": "yes", "reason": "Holiday", "resume_in": "4h"}
    report = text(operator.post(many("pause"), given))
    assert report.count("It is paused.") == 2
    for campaign in (first, second):
        campaign.refresh_from_db()
        assert (campaign.status, campaign.control_reason) == (CampaignStatus.PAUSED, "Holiday")
        assert campaign.resume_at is not None
    draft.refresh_from_db()
    assert draft.status == CampaignStatus.DRAFT


def test_one_refusal_stops_no_other_and_is_told(sign_in) -> None:
    operator, good, bad = sign_in(OPERATOR), make_campaign(name="A"), make_campaign(name="B")
    last = make_campaign(name="C")
    task_in(TaskStatus.PENDING, campaign=bad)
    given = {**keys(good, bad, last), "confirmed": "yes", "reason": "Done"}
    report = text(operator.post(many("complete"), given))
    assert report.count("It is completed.") == 2
    assert "still has 1 open task" in report
    assert sorted(Campaign.objects.values_list("name", "status")) == [
        ("A", "completed"),
        ("B", "active"),
        ("C", "completed"),
    ]


def test_counts_are_those_of_the_click(sign_in) -> None:
    """Somebody has halted one in between: the report says so, and it stays halted."""
    operator, first, second = sign_in(OPERATOR), make_campaign(name="A"), make_campaign(name="B")
    operator.post(many("pause"), keys(first, second))
    control_campaign("halt", campaign_id=first.pk, actor=Actor.human(make_user(OPERATOR)), reason="Wrong price")
    report = text(operator.post(many("pause"), {**keys(first, second), "confirmed": "yes", "reason": "Holiday"}))
    assert "is halted; pause is possible only when it is active" in report
    first.refresh_from_db()
    assert (first.state, first.control_reason) == ("halted", "Wrong price")


def test_several_resume_with_one_choice_for_the_backlog(sign_in) -> None:
    operator, paused = sign_in(OPERATOR), [make_campaign(name="A"), make_campaign(name="B")]
    for campaign in paused:
        factories.queued_posts(campaign=campaign)
        operator.post(address(campaign, "pause"), {"reason": "lunch"})
    assert "4 posts became overdue" in text(operator.post(many("resume"), keys(*paused)))
    given = {**keys(*paused), "confirmed": "yes", "reason": "back"}
    unsaid = operator.post(many("resume"), given)
    assert (unsaid.status_code, "Choose what becomes of them" in text(unsaid)) == (422, True)
    assert Campaign.objects.filter(status="paused").count() == 2
    operator.post(many("resume"), {**given, "backlog": "drop"})
    for campaign in paused:
        assert set(campaign.publish_records.values_list("status", flat=True)) == {"failed"}


def test_a_reason_is_asked_once_for_all(sign_in) -> None:
    operator, campaign = sign_in(OPERATOR), make_campaign()
    answer = operator.post(many("stop"), {**keys(campaign), "confirmed": "yes", "reason": "  "})
    assert (answer.status_code, "Say why you stop them" in text(answer)) == (422, True)
    assert Campaign.objects.get().status == CampaignStatus.ACTIVE


def test_when_none_is_possible_there_is_no_button(sign_in) -> None:
    answer = sign_in(OPERATOR).post(many("resume"), keys(make_campaign(name="Running")))
    assert answer.status_code == 409
    assert "None of these campaigns" in text(answer)
    assert "Running" in text(answer)
    assert "Resume now" not in text(answer)


@pytest.mark.parametrize("amount", [0, 201])
def test_nothing_or_too_much_chosen_is_told_on_the_list(sign_in, amount) -> None:
    chosen = [f"019a0000-0000-7000-8000-{n:012}" for n in range(amount)]
    answer = sign_in(OPERATOR).post(many("pause"), {"chosen": chosen}, follow=True)
    assert answer.redirect_chain[-1][0] == reverse("admin:campaigns_campaign_changelist")
    assert ("At most 200" if amount else "Nothing was chosen") in text(answer)


@pytest.mark.parametrize("group", [REVIEWER, AUDITOR])
def test_without_the_permission_there_is_nothing_to_tick(sign_in, group) -> None:
    client, campaign = sign_in(group), make_campaign()
    assert 'name="chosen"' not in text(client.get(reverse("admin:campaigns_campaign_changelist")))
    for verb in CampaignVerb:
        answer = client.post(many(verb), {**keys(campaign), "confirmed": "yes", "reason": "x"})
        assert answer.status_code == 403
    assert Campaign.objects.get().status == CampaignStatus.ACTIVE


def test_the_page_for_many_asks_as_much_as_that_for_two(sign_in) -> None:
    operator, campaigns = sign_in(OPERATOR), [make_campaign() for _ in range(20)]
    for campaign in campaigns:
        task_in(TaskStatus.PENDING, campaign=campaign)
    operator.post(many("halt"), keys(*campaigns[:2]))
    with CaptureQueriesContext(connection) as few:
        operator.post(many("halt"), keys(*campaigns[:2]))
    with CaptureQueriesContext(connection) as more:
        operator.post(many("halt"), keys(*campaigns))
    assert len(more) == len(few)


def test_what_takes_too_long_is_told_and_not_tried(sign_in, monkeypatch) -> None:
    monkeypatch.setattr("campaigns.views.confirm.SECONDS", -1)
    operator, campaign = sign_in(OPERATOR), make_campaign()
    report = text(operator.post(many("pause"), {**keys(campaign), "confirmed": "yes", "reason": "x"}))
    assert "Not tried" in report
    assert Campaign.objects.get().status == CampaignStatus.ACTIVE


# --- Everything -----------------------------------------------------------------------------------------------

HALT, RESUME = "/admin/system/halt/", "/admin/system/resume/"


def test_everything_is_halted_with_the_consequences_first_and_a_banner_after(sign_in, client) -> None:
    operator, reader = sign_in(OPERATOR), sign_in(REVIEWER)
    task = factories.claimed_task()
    task_in(TaskStatus.PENDING, campaign=make_campaign())
    factories.waiting_item()
    assert HALT in text(operator.get("/admin/"))
    page = text(operator.get(HALT))
    for told in ("3 active campaigns", "1 task in progress at 1 agent", "1 pending task", "1 review open"):
        assert told in page
    assert client.get("/readyz").json()["halted_since"] is None
    assert operator.post(HALT, {"reason": " "}).status_code == 422

    answer = operator.post(HALT, {"reason": "Wrong prices everywhere"}, follow=True)

    assert "Everything is halted." in text(answer)
    task.refresh_from_db()
    assert task.status == TaskStatus.FAILED
    assert claim_tasks(agent=task.agent, actor=factories.worker(task)) == []
    for page in ("/admin/", reverse("admin:campaigns_campaign_changelist"), "/admin/search/"):
        shown = text(reader.get(page))
        assert "Wrong prices everywhere" in shown
        assert RESUME not in shown  # a reviewer may not
        assert RESUME in text(operator.get(page))
    again = operator.post(HALT, {"reason": "again"})
    assert (again.status_code, "halted already" in text(again)) == (409, True)

    ready = client.get("/readyz")
    told = ready.json()
    assert ready.status_code in (200, 503)  # months and migrations decide, and not the halt
    assert all(answer == "ok" for answer in told["checks"].values()) == (ready.status_code == 200)
    assert told["halted_since"] is not None
    assert any("everything is halted" in warning for warning in told["warnings"])
    assert "Wrong prices" not in ready.content.decode()
    assert str(operator.user) not in ready.content.decode()


@pytest.mark.parametrize(("backlog", "left"), [("publish", {"queued"}), ("spread", {"queued"}), ("drop", {"failed"})])
def test_everything_resumes_with_a_choice_for_the_backlog(sign_in, backlog, left) -> None:
    operator = sign_in(OPERATOR)
    posts = factories.queued_posts()
    paused = make_campaign(name="Paused by itself")
    others = factories.queued_posts(campaign=paused)
    operator.post(address(paused, "pause"), {"reason": "legal"})
    halt_everything(actor=Actor.human(operator.user), reason="Wrong prices")
    page = text(operator.get(RESUME))
    assert "2 posts became overdue meanwhile" in page  # and not those of the paused one
    assert "1 active campaign" in page
    unsaid = operator.post(RESUME, {"reason": "Mended"})
    assert (unsaid.status_code, "have become overdue" in text(unsaid)) == (422, True)

    assert "Everything runs again" in text(operator.post(RESUME, {"reason": "Mended", "backlog": backlog}, follow=True))

    assert not SystemControl.objects.get().halted
    for post in [*posts, *others]:
        post.refresh_from_db()
    assert {post.status for post in posts} == left
    assert {post.status for post in others} == {"queued"}
    scheduled = [post.scheduled_for for post in posts]
    assert (scheduled[0] != scheduled[1]) == (backlog == "spread")
    assert operator.get(RESUME).status_code == 409


@pytest.mark.parametrize("group", [REVIEWER, AUDITOR])
def test_the_switch_for_everything_is_not_everybodys(sign_in, group) -> None:
    client = sign_in(group)
    assert HALT not in text(client.get("/admin/"))
    for answer in (client.get(HALT), client.post(HALT, {"reason": "x"})):
        assert answer.status_code == 403
        assert "campaigns.change_systemcontrol" in text(answer)
    assert not SystemControl.objects.get().halted


def test_there_is_no_third_position_of_the_switch(sign_in) -> None:
    assert sign_in(OPERATOR).get("/admin/system/erase/").status_code == 404
