"""Nothing that an agent writes runs, leads away, covers a button or makes a page heavy: on every page."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.staticfiles import finders
from django.urls import reverse
from playwright.sync_api import expect

from config.groups import ADMINISTRATOR, REVIEWER
from content.models import Artifact, ReviewDecision, ReviewItem
from tests import factories
from tests.console.world import populate
from tests.e2e import hostile, pages

pytestmark = pytest.mark.skipif(
    not settings.EMBEDDED, reason="Rows are rewritten past the triggers, as only the embedded server's superuser may."
)
HEAVIEST = 250 * 1024  # bytes of a page with its stylesheets and scripts
# Whatever else is rewritten, these are: what agents fill in every day.
FILLED = {
    *("agent.agent_group", "agent.display_name", "agent.persona_ref", "campaign.target_platforms"),
    *("task.title", "task.context", "task.error", "video_asset.metadata", "audit_log.changes"),
    *("artifact.metadata", "artifact.sources", "review_decision.reasons", "review_decision.policy_hits"),
    *("publish_record.error", "publish_record.platform_post_id"),
}
# What a hostile text would have made, had it been taken for markup.
MADE = (
    "script:not([src]), style, base, meta[http-equiv='refresh' i], [onerror], [onload], [onclick], [style*='fixed'],"
    " a[href^='javascript:' i], a[href^='data:' i], form[action*='evil'], iframe[src*='evil'], link[href*='evil'],"
    " iframe:not([sandbox=''])"
)
PARTS = """() => [...document.querySelectorAll("link[rel=stylesheet], script[src]")].map(
    (part) => new URL(part.href || part.src).pathname)"""
COVERED = """() => {
    const wrong = [];
    const buttons = [...document.querySelectorAll("main button, main .button, main input[type=submit], main textarea")];
    for (const button of buttons.filter((each) => each.checkVisibility()).slice(0, 40)) {
        button.scrollIntoView({ block: "center" });
        const box = button.getBoundingClientRect();
        if (!box.width || !box.height) continue;
        const [x, y] = [box.left + Math.min(box.width / 2, 40), box.top + Math.min(box.height / 2, 12)];
        const found = document.elementFromPoint(x, y);
        if (!button.contains(found) && !found?.closest("label")?.contains(button)) {
            wrong.push(`${button.textContent.trim().slice(0, 40)} is under ${found && found.outerHTML.slice(0, 80)}`);
        }
    }
    return wrong;
}"""


def addresses() -> list[tuple[str, str]]:
    """Every page of the console, and those of all artifacts, decisions and items: each has another kind of content."""
    return [*pages.own(), *pages.of_models(), *pages.adding(), *rows()]


def rows() -> Iterator[tuple[str, str]]:
    for model in (Artifact, ReviewDecision, ReviewItem):
        for row in model.objects.order_by("pk")[:12]:
            name = model._meta.model_name
            yield f"{name}-{row.pk}", reverse(f"admin:content_{name}_change", args=[row.pk])


@pytest.mark.timeout(900)  # a hundred pages
@pytest.mark.parametrize(("text", "width"), [("markup", 1440), ("odd", 390), ("large", 1440)])
def test_what_hostile_agents_write_does_nothing(visit: Any, text: str, width: int) -> None:
    populate()
    to_visit = addresses()
    window = visit(width=width)
    window.sign_in(factories.make_user(ADMINISTRATOR, is_superuser=True))
    poisoned = hostile.poison(text)
    assert poisoned >= FILLED

    wrong = []
    for name, path in to_visit:
        response = window.page.goto(window.base + path)
        wrong += [f"{name}: {said}" for said in judged(window, response)]
    window.page.wait_for_timeout(300)
    assert not wrong, "\n".join(wrong)
    assert window.dialogs == []


def judged(window: Any, response: Any) -> Iterator[str]:
    page, here = window.page, window.page.url
    if response.status >= 500:
        yield f"answers {response.status}"
        return
    page.wait_for_timeout(20)
    if page.url != here:
        yield f"went to {page.url}"
    if made := page.evaluate("(made) => [...document.querySelectorAll(made)].map((each) => each.outerHTML)", MADE):
        yield f"has {made[0][:120]}"
    if " 382 " in page.title() + page.locator("body").inner_text():
        yield "takes a text for a template"
    if page.evaluate("document.documentElement.scrollWidth > innerWidth + 1"):
        yield f"is {page.evaluate('document.documentElement.scrollWidth')} wide"
    weight = len(response.body()) + sum(map(size_of, page.evaluate(PARTS)))
    if weight > HEAVIEST:
        yield f"weighs {weight // 1024} KB, {len(response.body()) // 1024} of them HTML"
    yield from page.evaluate(COVERED)
    refused = f"status of {response.status} " if response.status >= 400 else "-"  # the browser notes that too
    yield from (f"reports {told}" for told in window.wrong if refused not in told)
    yield from (f"asks {url}" for url in window.elsewhere)
    window.wrong.clear()
    window.elsewhere.clear()


def size_of(path: str) -> int:
    found = finders.find(path.removeprefix("/static/"))
    return Path(found).stat().st_size if found else 0


@pytest.mark.parametrize("number", range(len(hostile.hostile_contents(""))))
def test_what_is_in_the_frame_stays_in_it(visit: Any, number: int) -> None:
    """Every hostile content under every type, in the frame and alone in a window."""
    content = hostile.hostile_contents(hostile.MARKUP)[number]
    metadata = {"format": "markdown"} if number == 1 else {"content_type": "text/html"}
    made = [
        factories.make_artifact(content=content, artifact_type=kind, metadata=metadata)
        for kind in ("text", "image", "video", "plan", "metrics_batch")
    ]
    window = visit(user=factories.make_user(REVIEWER))
    page = window.page
    for artifact in made:
        window.open(reverse("admin:content_artifact_change", args=[artifact.pk]))
        inner = page.frames[1]
        inner.wait_for_load_state()
        assert inner.url.startswith(f"{window.base}/content/")
        assert len(page.frames) == 2
        window.open(reverse("admin:content_artifact_alone", args=[artifact.pk]))
        assert page.url.startswith(f"{window.base}/content/")
        expect(page.locator(MADE.replace(", iframe:not([sandbox=''])", ", iframe"))).to_have_count(0)
    page.wait_for_timeout(200)
    assert window.dialogs == []
    assert window.elsewhere == []
    assert window.wrong == []
