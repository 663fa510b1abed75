"""The control room in a real browser: it refreshes itself and disturbs nobody, and says so when it cannot."""

from typing import Any

import pytest
from playwright.sync_api import expect

from config.groups import ADMINISTRATOR, OPERATOR, REVIEWER
from tests import factories
from tests.console.world import populate

ASK = "document.getElementById('room').dispatchEvent(new Event('refresh'))"


def refresh(page: Any) -> None:
    """What happens every fifteen seconds, at once; returns when the answer is in the page."""
    page.evaluate(
        "new Promise((done) => {"
        ' document.addEventListener("htmx:beforeSwap", () => setTimeout(done), { once: true });'
        f" {ASK}; }})"
    )


def figure(page: Any, card: str) -> Any:
    return page.locator(f"#card-{card} .figure")


def test_it_refreshes_itself_without_a_reload_and_without_disturbing(visit: Any) -> None:
    populate()
    window = visit(user=factories.make_user(ADMINISTRATOR), height=500)
    page = window.page
    before = int(figure(page, "reviews").inner_text())
    page.evaluate("window.sameDocument = true")
    page.locator("#week-table summary").click()
    page.locator("#entries-all").focus()
    page.evaluate("scrollTo(0, 700)")
    page.evaluate("getSelection().selectAllChildren(document.querySelector('#campaigns th a'))")
    selected, top = page.evaluate("getSelection().toString()"), page.evaluate("scrollY")
    assert selected

    factories.waiting_item(title="Reel: news")
    refresh(page)

    expect(figure(page, "reviews")).to_have_text(str(before + 1))
    assert page.evaluate("window.sameDocument")
    assert page.locator("#week-table").evaluate("element => element.open")
    assert page.evaluate("document.activeElement.id") == "entries-all"
    assert page.evaluate("getSelection().toString()") == selected
    assert abs(page.evaluate("scrollY") - top) < 60  # a row more above is no jump
    expect(page.locator("#room [aria-live], #room [role=status], #room [role=alert]")).to_have_count(0)
    assert window.wrong == []


def test_a_link_that_moves_keeps_its_focus_and_its_meaning(visit: Any) -> None:
    factories.make_campaign(name="Older")
    window = visit(user=factories.make_user(OPERATOR))
    page = window.page
    page.get_by_role("link", name="Pause… Older").focus()
    focused = page.evaluate("document.activeElement.href")
    factories.make_campaign(name="Newer")
    refresh(page)
    expect(page.locator("#campaigns tbody th")).to_have_text(["Newer", "Older"])
    assert page.evaluate("document.activeElement.href") == focused
    assert window.wrong == []


def test_it_asks_by_itself_every_fifteen_seconds(visit: Any) -> None:
    page = visit(user=factories.make_user(REVIEWER)).page
    assert page.locator("#room").get_attribute("hx-trigger").startswith("every 15s")
    expect(page.locator("#refreshed")).to_contain_text("refreshed")
    page.clock.install()
    page.reload()
    with page.expect_response("**/admin/control-room/") as answer:
        page.clock.run_for(15_100)
    assert answer.value.status == 200


def test_when_the_session_has_ended_it_says_so(visit: Any) -> None:
    window = visit(user=factories.make_user(REVIEWER))
    page = window.page
    page.context.clear_cookies(name="sessionid")
    page.evaluate(ASK)
    page.get_by_text("you are no longer signed in").wait_for()
    expect(page.locator("#cards")).to_be_visible()
    assert "password" not in page.content().lower()
    assert window.wrong == []


@pytest.mark.parametrize(("failing", "said"), [("abort", "does not answer"), ("fulfill", "met a fault")])
def test_when_the_server_is_away_or_broken_it_says_so_and_recovers(visit: Any, failing: str, said: str) -> None:
    page = visit(user=factories.make_user(REVIEWER)).page
    page.route(
        "**/control-room/", lambda route: route.abort() if failing == "abort" else route.fulfill(status=500, body="x")
    )
    page.evaluate(ASK)
    page.get_by_text(said).wait_for()
    expect(page.get_by_text("These numbers are of")).to_be_visible()
    page.unroute("**/control-room/")
    refresh(page)
    expect(page.locator("#stale")).to_be_hidden()


def test_the_search_leads_to_a_post_by_its_address_with_the_keyboard_alone(visit: Any) -> None:
    factories.published_post("7291846372910001", title="Thread: the ceremony")
    window = visit(user=factories.make_user(REVIEWER))
    page = window.page
    page.keyboard.press("/")
    page.keyboard.insert_text("https://www.tiktok.com/@meskel/video/7291846372910001?is_from=1")
    page.keyboard.press("Enter")
    page.wait_for_url("**/publishrecord/**")
    expect(page.get_by_text("7291846372910001").first).to_be_visible()
    assert window.wrong == []


def test_the_arrows_go_through_what_was_found(visit: Any) -> None:
    for name in ("Meskel one", "Meskel two"):
        factories.make_campaign(name=name)
    page = visit(user=factories.make_user(REVIEWER)).page
    page.keyboard.press("/")
    page.keyboard.type("meskel")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Search for “meskel”").wait_for()
    page.wait_for_load_state()
    for key, focused in (("ArrowDown", "Meskel two"), ("ArrowDown", "Meskel one"), ("ArrowUp", "Meskel two")):
        page.keyboard.press(key)
        assert page.evaluate("document.activeElement.innerText") == focused
    page.keyboard.press("ArrowUp")
    assert page.evaluate("document.activeElement.id") == "find"
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url("**/campaign/**")
    expect(page.locator("h1")).to_have_text("Meskel two")
