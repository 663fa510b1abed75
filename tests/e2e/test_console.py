"""The console in a real browser: every page quiet, the two great deeds by click, hostile content harmless."""

from typing import Any

import pytest
from playwright.sync_api import expect

from agents.models import ApiToken
from campaigns.models import Campaign
from config.groups import ADMINISTRATOR, OPERATOR, REVIEWER
from content.choices import Decision, ReviewItemStatus
from content.models import PublishRecord, ReviewItem
from tests import factories
from tests.console.world import populate
from tests.e2e import pages
from tests.e2e.barriers import what_axe_finds

FORMS = [(1440, "light"), (1440, "dark"), (390, "light"), (390, "dark")]
DRAWN = ("metrics", "judges", "trace", "review-")  # charts, scales, time lines


@pytest.mark.timeout(900)  # a hundred pages
def test_every_page_is_quiet_and_open_to_everybody(visit: Any) -> None:
    """No error, no CSP violation, no request to elsewhere, nothing wider than the window; and axe finds nothing.

    Each is loaded once, opened all the way, and looked at as on a desk and as on a phone at night; what has colours
    and widths of its own, in all four forms.
    """
    populate()
    window = visit()
    window.sign_in(factories.make_user(ADMINISTRATOR, is_superuser=True))
    wrong = []
    for name, path in [*pages.own(), *pages.of_models(), *pages.adding()]:
        page = window.open(path)
        expect(page.locator("h1"), name).to_have_count(1)
        page.evaluate("document.querySelectorAll('details').forEach((closed) => { closed.open = true; })")
        for width, scheme in FORMS if name.startswith(DRAWN) else FORMS[::3]:
            page.set_viewport_size({"width": width, "height": 900})
            page.emulate_media(color_scheme=scheme)
            if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                wrong.append(f"{name}: wider than {width}")
            wrong += [f"{name} ({width} {scheme}): {found}" for found in what_axe_finds(page)]
        wrong += [f"{name}: {told}" for told in window.wrong]
        window.wrong.clear()
    assert not wrong, "\n".join(wrong)
    assert window.elsewhere == []


def test_a_reviewer_approves_by_click_and_takes_it_back(visit: Any) -> None:
    item = factories.waiting_item(title="Reel: 3 fees to avoid")
    window = visit(user=factories.make_user(REVIEWER))
    page = window.page
    page.get_by_role("link", name="Review desk").click()
    page.get_by_role("link", name="Reel: 3 fees to avoid").click()
    page.get_by_label("Reasons").fill("Read it; fine.")
    page.get_by_role("button", name="Approve").click()

    page.get_by_text("Approved “Reel: 3 fees to avoid”").wait_for()
    assert PublishRecord.objects.filter(artifact=item.artifact).count() == 2

    page.get_by_role("button", name="Take it back").click()
    page.get_by_text("It waits for a person again").wait_for()
    assert ReviewItem.objects.get().status == ReviewItemStatus.OPEN
    assert window.wrong == []


@pytest.mark.parametrize(("button", "decision"), [("Reject", Decision.REJECT), ("Escalate", Decision.ESCALATE)])
def test_a_reviewer_rejects_and_escalates_with_reasons(visit: Any, button: str, decision: str) -> None:
    item = factories.waiting_item()
    window = visit(user=factories.make_user(REVIEWER))
    page = window.open(f"/admin/content/reviewitem/{item.pk}/change/")
    page.get_by_role("button", name=button).click()
    page.get_by_text("Say why you").wait_for()
    page.get_by_label("Reasons").fill("The price is wrong.")
    page.get_by_role("button", name=button).click()
    page.get_by_role("status").or_(page.locator(".messagelist")).first.wait_for()
    assert ReviewItem.objects.get(pk=item.pk).decision.decision == decision


def test_what_was_typed_survives_a_session_that_ended(visit: Any) -> None:
    item, reviewer = factories.waiting_item(), factories.make_user(REVIEWER)
    window = visit(user=reviewer)
    page = window.open(f"/admin/content/reviewitem/{item.pk}/change/")
    page.get_by_label("Reasons").fill("The price is wrong.")
    page.context.clear_cookies(name="sessionid")
    page.get_by_role("button", name="Reject").click()
    page.get_by_label("E-mail").fill(reviewer.email)
    page.get_by_label("Password").fill(factories.PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name="Reject").wait_for()
    expect(page.get_by_label("Reasons")).to_have_value("The price is wrong.")
    page.reload()
    expect(page.get_by_label("Reasons")).to_have_value("")


def test_two_clicks_send_a_decision_once(visit: Any) -> None:
    item = factories.waiting_item()
    window = visit(user=factories.make_user(REVIEWER))
    page = window.open(f"/admin/content/reviewitem/{item.pk}/change/")
    page.get_by_role("button", name="Approve").dblclick()
    page.get_by_text("Approved “").wait_for()
    assert window.wrong == []


def test_an_operator_halts_or_pauses_instead_by_click(visit: Any) -> None:
    campaign = factories.make_campaign(name="Meskel launch")
    factories.claimed_task(campaign=campaign)
    window = visit(user=factories.make_user(OPERATOR))
    page = window.page
    page.get_by_role("link", name="Campaigns", exact=True).click()
    page.get_by_role("link", name="Meskel launch").click()
    page.get_by_role("link", name="Halt…").click()
    expect(page.get_by_text("1 task in progress at 1 agent")).to_be_visible()
    page.get_by_label("Reason").fill("Wrong price in the second reel")
    page.get_by_role("button", name="Pause instead: let running work finish").click()

    page.get_by_text("“Meskel launch” is paused.").wait_for()
    expect(page.get_by_text("Wrong price in the second reel").first).to_be_visible()
    assert Campaign.objects.get().state == "paused"

    page.get_by_role("link", name="Resume…").click()
    page.get_by_label("Reason").fill("Mended")
    page.get_by_role("button", name="Resume now").click()
    page.get_by_text("is active again").wait_for()
    assert window.wrong == []


def make_token(window: Any) -> str:
    page = window.open("/admin/agents/apitoken/add/")
    page.get_by_label("Name").fill("the press")
    page.get_by_label("Role").select_option("worker")
    page.get_by_role("button", name="Make the token").click()
    page.get_by_text("only time that the token is shown").wait_for()
    return str(page.locator("#token").inner_text())


def test_a_token_is_copied_by_click_and_gone_when_the_page_is_loaded_again(visit: Any) -> None:
    window = visit(user=factories.make_user(ADMINISTRATOR))
    page, text = window.page, make_token(window)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    for number, expected in ((0, text), (1, f"curl -H 'Authorization: Bearer {text}' {window.base}/api/v1/campaigns")):
        page.get_by_role("button", name="Copy", exact=True).first.click()
        page.get_by_role("button", name="Copied").nth(number).wait_for()
        assert page.evaluate("navigator.clipboard.readText()") == expected

    page.reload()

    page.get_by_role("heading", name="the press (gh_").wait_for()
    assert text not in page.content()
    page.go_back()
    assert text not in page.content()
    assert ApiToken.objects.count() == 1
    assert window.wrong == []


def test_without_a_clipboard_the_token_is_left_selected(visit: Any) -> None:
    window = visit(user=factories.make_user(ADMINISTRATOR))
    text = make_token(window)
    window.page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(); }")
    window.page.get_by_role("button", name="Copy", exact=True).first.click()
    window.page.get_by_role("button", name="Selected: press Ctrl-C").wait_for()
    assert window.page.evaluate("getSelection().toString()") == text


def test_without_scripts_too_the_page_of_a_token_loaded_again_makes_no_second_one(visit: Any) -> None:
    window = visit(user=factories.make_user(ADMINISTRATOR), java_script_enabled=False)
    text = make_token(window)
    window.page.reload()
    window.page.get_by_text("has made the token “the press (gh_").wait_for()
    assert text not in window.page.content()
    assert ApiToken.objects.count() == 1


def test_the_browser_does_not_send_a_verb_without_a_reason(visit: Any) -> None:
    campaign = factories.make_campaign()
    window = visit(user=factories.make_user(OPERATOR))
    page = window.open(f"/admin/campaigns/campaign/{campaign.pk}/control/stop/")
    page.get_by_role("button", name="Stop now").click()
    expect(page.get_by_label("Reason")).to_be_focused()
    assert Campaign.objects.get().state == "active"


def test_a_task_is_planned_with_the_pickers(visit: Any) -> None:
    """The fields that look up campaigns and agents while one types, under the strict policy."""
    campaign, agent = factories.make_campaign(name="Meskel launch"), factories.make_agent("writer-4")
    operator = factories.make_user(OPERATOR)
    window = visit(user=operator)
    page = window.open("/admin/campaigns/task/add/")
    for label, typed, found in (("Campaign", "Mesk", "Meskel launch"), ("Agent", "writer", "writer-4")):
        field = page.get_by_role("combobox", name=label)
        field.press_sequentially(typed)
        suggested = f"#{field.get_attribute('list')} option[value='{found}']"
        page.locator(suggested).wait_for(state="attached")
        field.fill(found)
    page.get_by_label("Task type").select_option("draft_post")
    page.get_by_label("Priority").select_option("high")
    page.get_by_label("Context").fill('{"brief": "three fees"}')
    page.get_by_role("button", name="Save", exact=True).click()
    page.locator(".messagelist .success").wait_for()
    (task,) = campaign.tasks.all()
    assert (task.agent, task.created_by) == (agent, operator)
    assert window.wrong == []


@pytest.mark.parametrize("width", [1440, 390])
def test_long_words_break_and_turn_nothing_around(visit: Any, width: int) -> None:
    word = "Donaudampfschifffahrt" * 20
    campaign = factories.make_campaign(name=word, goal=word, target_platforms=[word])
    agent = factories.make_agent("evil", display_name=word)
    given = {"campaign": campaign, "agent": agent, "policy_hits": [word], "sources": [word], "reasons": [word]}
    item = factories.waiting_item(**given, title=word, content=word.encode())
    window = visit(user=factories.make_user(ADMINISTRATOR), width=width)
    paths = ["", "content/reviewitem/", "campaigns/campaign/", "search/?q=Donau", f"trace/{item.task.trace_id}/"]
    paths += [f"content/reviewitem/{item.pk}/change/", f"campaigns/campaign/{campaign.pk}/control/halt/"]
    wide = "document.documentElement.scrollWidth > innerWidth + 1"
    assert [path for path in paths if window.open(f"/admin/{path}").evaluate(wide)] == []


def test_the_pickers_are_named_by_their_labels(visit: Any) -> None:
    window = visit(user=factories.make_user(OPERATOR))
    page = window.open("/admin/campaigns/task/add/")
    page.get_by_role("combobox", name="Campaign").wait_for()
    expect(page.get_by_role("combobox", name="Agent")).to_be_visible()


HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>{{ 191|add:191 }}\"'><svg/onload=alert(3)>"


def test_what_hostile_agents_write_does_nothing(visit: Any) -> None:
    campaign = factories.make_campaign(name=f"N {HOSTILE}", goal=HOSTILE, target_platforms=[HOSTILE])
    agent = factories.make_agent("evil", display_name=HOSTILE)
    made: dict[str, Any] = {
        "campaign": campaign,
        "agent": agent,
        "title": HOSTILE,
        "context": {HOSTILE: HOSTILE},
        "content": HOSTILE.encode(),
        "metadata": {HOSTILE: [HOSTILE]},
        "sources": [HOSTILE, {"title": HOSTILE, "url": "javascript:alert(4)"}, "javascript:alert(5)"],
        "reasons": [HOSTILE],
        "policy_hits": [HOSTILE, {HOSTILE: HOSTILE}],
    }
    item = factories.waiting_item(**made)
    outside = factories.waiting_item(
        campaign=campaign, agent=agent, content_ref="javascript:alert(6)", content_sha256="a" * 64
    )
    window = visit(user=factories.make_user(ADMINISTRATOR))
    rows = [
        f"content/reviewitem/{item.pk}/change/",
        f"content/reviewitem/{outside.pk}/change/",
        f"content/artifact/{item.artifact_id}/change/",
        f"campaigns/task/{item.task_id}/change/",
        f"campaigns/campaign/{campaign.pk}/change/",
        f"campaigns/campaign/{campaign.pk}/control/halt/",
        "agents/agent/evil/change/",
        f"trace/{item.task.trace_id}/",
        "search/?q=onerror",
        "",
    ]
    lists = ["content/reviewitem/", "content/artifact/", "campaigns/task/", "campaigns/campaign/", "audit/auditlog/"]
    for path in [*rows, *lists]:
        page = window.open(f"/admin/{path}")
        page.wait_for_timeout(50)
        expect(page.locator("a[href^='javascript:' i], img[onerror], svg[onload]"), path).to_have_count(0)
        assert " 382 " not in page.locator("main").inner_text(), path
    assert window.dialogs == []
    assert window.wrong == []
    assert window.elsewhere == []


def test_the_menu_opens_on_a_narrow_screen(visit: Any) -> None:
    window = visit(user=factories.make_user(REVIEWER), width=390, height=844)
    page = window.page
    expect(page.get_by_role("link", name="Audit", exact=True)).to_be_hidden()
    page.get_by_role("button", name="Menu").click()
    page.get_by_role("link", name="Audit", exact=True).click()
    expect(page.locator("h1")).to_have_text("Audit")


def test_the_keyboard_reaches_the_search(visit: Any) -> None:
    factories.make_campaign(name="Meskel launch")
    page = visit(user=factories.make_user(REVIEWER)).page
    page.keyboard.press("/")
    page.keyboard.type("mesk")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Search for “mesk”").wait_for()
    expect(page.get_by_role("link", name="Meskel launch")).to_be_visible()


def test_the_theme_is_changed_and_kept(visit: Any) -> None:
    page = visit(user=factories.make_user(REVIEWER)).page
    ground = "getComputedStyle(document.body).backgroundColor"
    before = page.evaluate(ground)
    page.locator(".theme-toggle").click()
    after = page.evaluate(ground)
    assert after != before
    page.reload()
    assert page.evaluate(ground) == after
