"""The search: what people have in hand is found, by whoever may see it, and one exact hit leads straight there."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from audit.admin.cells import admin_url
from campaigns.models import Task
from config.console import search
from config.console.search import key_of, post_ids
from config.groups import ADMINISTRATOR, AUDITOR, REVIEWER
from content.models import ReviewItem
from tests import factories

pytestmark = pytest.mark.django_db
SEARCH = "/admin/search/"
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def found(answer) -> dict[str, list[str]]:
    return {section.title: [row.name for row in section.rows] for section in answer.context["sections"]}


def ulid(key) -> str:
    return "".join(CROCKFORD[(key.int >> shift) & 31] for shift in range(125, -1, -5))


@pytest.mark.parametrize(
    ("query", "kind", "name"),
    [("meskel", "Campaigns", "Meskel launch"), ("bonFIRE", "Tasks", "Caption: bonfire"), ("iter-4", "Agents", None)],
)
def test_names_are_found_by_their_parts(sign_in, query, kind, name) -> None:
    campaign = factories.make_campaign(name="Meskel launch")
    factories.make_task(campaign=campaign, title="Caption: bonfire", agent=factories.make_agent("writer-4"))
    answer = sign_in(REVIEWER).get(SEARCH, {"q": query})
    assert found(answer) == {kind: [name or "writer-4"]}


@pytest.mark.parametrize("query", ["7291", "https://www.tiktok.com/@x/video/7291?a=1", "https://youtu.be/?v=7291"])
def test_a_post_is_found_by_its_id_and_by_its_address(sign_in, query) -> None:
    post = factories.published_post("7291")
    assert sign_in(REVIEWER).get(SEARCH, {"q": query})["Location"] == admin_url(post)


def test_the_id_that_a_failed_try_kept_as_evidence_is_found(sign_in) -> None:
    post = factories.claimed_post()
    post.change("fail", status="failed", platform_post_id="7291", error="too late")
    assert sign_in(REVIEWER).get(SEARCH, {"q": "7291"})["Location"] == admin_url(post)


def test_a_post_id_on_two_platforms_is_a_choice(sign_in) -> None:
    one = factories.published_post("7291")
    other = factories.published_post("7291", campaign=factories.make_campaign(target_platforms=["youtube"]))
    answer = sign_in(REVIEWER).get(SEARCH, {"q": "7291"})
    assert sorted(row.url for section in answer.context["sections"] for row in section.rows) == sorted(
        map(admin_url, (one, other))
    )


@pytest.mark.parametrize("spelling", [str, lambda key: key.hex, ulid, lambda key: ulid(key).lower()])
def test_a_key_leads_to_its_record_in_every_spelling(sign_in, spelling) -> None:
    client = sign_in(AUDITOR)
    post = factories.published_post()
    item = factories.waiting_item()
    for row in (post, post.artifact, post.decision, post.artifact.task, post.campaign, item):
        assert client.get(SEARCH, {"q": spelling(row.pk)})["Location"] == admin_url(row), row


def test_a_ulid_is_the_same_128_bits() -> None:
    key = ReviewItem().pk
    assert key_of(ulid(key)) == key
    assert key_of("8" + ulid(key)[1:]) is None  # more than 128 bits
    assert key_of("not a key") is None


def test_a_trace_is_found_by_its_id_its_first_digits_and_its_link(sign_in) -> None:
    client, trace = sign_in(AUDITOR), factories.make_task().trace_id
    page = reverse("admin:trace", args=[trace])
    assert client.get(SEARCH, {"q": trace})["Location"] == page
    assert client.get(SEARCH, {"q": f"http://testserver{page}?after=1"})["Location"] == f"{page}?after=1"
    assert found(client.get(SEARCH, {"q": f"{trace[:8]}…"}))["Traces"] == [trace]


@pytest.mark.parametrize(
    "query",
    ["https://evil.example/admin/", "//evil.example/admin/", "/admin/../evil", "/elsewhere/", "/admin/nowhere/x"],
)
def test_no_pasted_link_leads_elsewhere(sign_in, query) -> None:
    answer = sign_in(ADMINISTRATOR).get(SEARCH, {"q": query})
    assert answer.status_code == 200 or answer["Location"].startswith("/admin/")


def test_people_are_found_by_those_who_may_see_them(sign_in) -> None:
    factories.make_user(display_name="Sara Bekele", email="sara@example.org")
    assert found(sign_in(AUDITOR).get(SEARCH, {"q": "bekele"})) == {"People": ["Sara Bekele"]}
    assert found(sign_in(REVIEWER).get(SEARCH, {"q": "bekele"})) == {}


def test_whoever_may_see_nothing_finds_nothing(sign_in) -> None:
    post = factories.published_post("7291", campaign=factories.make_campaign(name="Meskel launch"))
    client = sign_in()
    for query in ("Meskel", "7291", str(post.pk), post.artifact.task.trace_id):
        assert client.get(SEARCH, {"q": query}).context["sections"] == []


@pytest.mark.parametrize("query", ["", "  ", "%", "_", "'", "https://[broken", "x" * 5000, "日本", "…", "g" * 32])
def test_the_search_takes_anything(sign_in, query) -> None:
    assert sign_in(ADMINISTRATOR).get(SEARCH, {"q": query}).status_code == 200


def test_titles_are_looked_for_among_the_newest_and_the_page_says_so(sign_in, monkeypatch) -> None:
    monkeypatch.setattr(search, "NEWEST", 2)
    for days, title in ((3, "Caption: oldest"), (2, "Caption: older"), (1, "Caption: newest")):
        made = {"title": title, "created_at": timezone.now() - timedelta(days=days), "context": {"brief": "x"}}
        kind = {"task_type": "draft_post", "priority": "low", "status": "pending"}
        Task.objects.create(campaign=factories.make_campaign(), agent=factories.make_agent(), **kind, **made)
    client = sign_in(REVIEWER)
    answer = client.get(SEARCH, {"q": "Caption"})
    assert found(answer)["Tasks"] == ["Caption: newest", "Caption: older"]
    assert "among the newest 2" in answer.content.decode()
    nothing = client.get(SEARCH, {"q": "oldest"})
    assert "Look through all of them" in nothing.content.decode()
    everywhere = client.get(nothing.context["looked"][0].further)
    assert [str(task) for task in everywhere.context["cl"].result_list] == ["Caption: oldest"]


def test_a_search_asks_the_same_however_many_rows_there_are(sign_in) -> None:
    client = sign_in(ADMINISTRATOR)
    factories.published_post("7291", title="Caption")
    with CaptureQueriesContext(connection) as few:
        client.get(SEARCH, {"q": "Caption"})
    for _ in range(4):
        factories.waiting_item(title="Caption: more")
    with CaptureQueriesContext(connection) as many:
        client.get(SEARCH, {"q": "Caption"})
    assert len(many) <= len(few) <= 22


def test_the_parts_of_a_posts_address() -> None:
    assert "7291" in post_ids("https://www.tiktok.com/@x/video/7291?is_from=1")
    assert "abc" in post_ids("https://www.youtube.com/watch?v=abc")
