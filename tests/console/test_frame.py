"""What surrounds every page: the policy, the way in, the ways that lead nowhere, the search, the trace."""

import pytest
from django.conf import settings as project
from django.urls import reverse

from audit import trace as trace_module
from audit.admin.entries import Entry
from audit.models import AuditLog
from config.groups import AUDITOR, OPERATOR, REVIEWER
from tests import factories
from tests.console.test_large_tables import entries
from tests.factories import PASSWORD, make_user

pytestmark = pytest.mark.django_db
POLICY = {
    "default-src 'self'",
    "object-src 'none'",
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'",
}


def text(answer) -> str:
    return answer.content.decode()


@pytest.mark.parametrize(
    "path", ["/admin/login/", "/admin/", "/nowhere/", "/admin/nowhere/", "/healthz", "/admin/?q=%00"]
)
def test_every_answer_carries_the_policy(sign_in, client, path) -> None:
    for browser in (client, sign_in(REVIEWER)):
        answer = browser.get(path)
        assert set(answer["Content-Security-Policy"].split("; ")) == POLICY
        assert answer["X-Frame-Options"] == "DENY"


def test_no_page_has_anything_inline(world, sign_in) -> None:
    client = sign_in(OPERATOR)
    for path in (
        "/admin/",
        "/admin/campaigns/campaign/",
        "/admin/campaigns/task/add/",
        "/admin/campaigns/campaign/add/",
    ):
        page = text(client.get(path))
        assert "<style" not in page
        assert " style=" not in page
        assert " onclick=" not in page
        assert "<script>" not in page


def test_one_signs_in_by_e_mail_and_out_again(client) -> None:
    person = make_user(REVIEWER)
    assert "E-mail" in text(client.get("/admin/login/"))
    wrong = client.post("/admin/login/", {"username": person.email, "password": "wrong"})
    assert 'class="errornote"' in text(wrong)
    given = {"username": f" {person.email.capitalize()}", "password": PASSWORD, "next": "/admin/content/reviewitem/"}
    assert client.post("/admin/login/", given)["Location"] == "/admin/content/reviewitem/"
    assert "Signed out" in text(client.post("/admin/logout/"))
    assert client.get("/admin/").status_code == 302


def test_too_many_wrong_passwords_lock_the_door_for_a_while(client) -> None:
    person = make_user(REVIEWER)
    for _ in range(project.AXES_FAILURE_LIMIT):
        answer = client.post("/admin/login/", {"username": person.email, "password": "wrong"})
    assert answer.status_code == 429
    assert "Wait a little" in text(answer)
    answer = client.post("/admin/login/", {"username": person.email, "password": PASSWORD})
    assert answer.status_code == 429


def test_whoever_was_switched_off_stays_out(client) -> None:
    person = make_user(REVIEWER, is_active=False)
    answer = client.post("/admin/login/", {"username": person.email, "password": PASSWORD})
    assert answer.status_code == 200
    assert client.get("/admin/").status_code == 302


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/nowhere/", 404, "Not here"),
        ("/admin/trace/xyz/", 404, "is not a trace"),
        (f"/admin/trace/{'A' * 32}/", 404, "is not a trace"),
        (f"/admin/trace/{'f' * 32}/", 404, "Nothing is known of trace"),
        ("/admin/accounts/user/", 403, "You may not open this page"),
        ("/admin/?q=%00", 400, "cannot be read"),
    ],
)
def test_ways_that_lead_nowhere_are_said_in_words(sign_in, path, status, said) -> None:
    answer = sign_in(REVIEWER).get(path)
    assert answer.status_code == status
    assert said in text(answer)


def test_a_form_without_its_token_is_not_accepted() -> None:
    from django.test import Client

    answer = Client(enforce_csrf_checks=True).post("/admin/login/", {"username": "a", "password": "b"})
    assert answer.status_code == 403
    assert "Not accepted" in text(answer)


def test_the_broken_pages_need_nothing(settings) -> None:
    from django.template.loader import render_to_string

    assert "Something broke" in render_to_string("500.html")
    assert "The database does not answer" in render_to_string("503.html")


def test_the_sidebar_has_only_places_where_one_may_go(sign_in) -> None:
    reviewer, auditor = text(sign_in(REVIEWER).get("/admin/")), text(sign_in(AUDITOR).get("/admin/"))
    assert "Review desk" in reviewer
    assert "People" not in reviewer
    assert "People" in auditor


def test_the_sidebar_counts_what_waits(sign_in) -> None:
    factories.waiting_item()
    post = factories.queued_posts()[0]
    post.change("update", hold="outcome_unknown")
    page = text(sign_in(REVIEWER).get("/admin/"))
    assert "1 waiting" in page
    assert "1 outcome unknown" in page


def test_a_trace_tells_everything_in_order(sign_in) -> None:
    person = make_user(REVIEWER, display_name="Dawit Haile")
    item = factories.decided_item(person=person, title="Thread")
    page = sign_in(AUDITOR).get(reverse("admin:trace", args=[item.task.trace_id]))
    told = [step.first.row.action for step in page.context["page"].steps]
    assert told[:5] == ["create", "claim", "give", "submit", "complete"]
    assert told[-1] == "queue"
    assert "Dawit Haile" in text(page)
    assert "<del>in_progress</del>" in text(page)
    assert reverse("admin:content_reviewitem_change", args=[item.pk]) in text(page)


def test_metric_events_of_a_trace_are_told_by_their_sums(sign_in) -> None:
    post = factories.published_post()
    factories.make_events(post, amount=51)
    page = sign_in(AUDITOR).get(reverse("admin:trace", args=[post.artifact.task.trace_id]))
    assert '<strong class="num">510</strong> views' in text(page)


def test_audit_rows_of_metric_events_in_a_row_are_told_as_one(sign_in) -> None:
    """As those are who insert events one by one, with plain SQL."""
    told = {"metric_type": [None, "views"], "metric_value": [None, 10], "platform": [None, "tiktok"]}
    entries(51, trace_id="ab" * 16, entity_type="metric_event", action="create", changes=told)
    page = sign_in(AUDITOR).get(reverse("admin:trace", args=["ab" * 16]))
    assert "51 metric events" in text(page)
    assert "views +10 on tiktok" in text(page)


def test_a_long_trace_goes_on_on_the_next_page(sign_in, monkeypatch) -> None:
    monkeypatch.setattr(trace_module, "PAGE", 10)
    entries(25, trace_id="ab" * 16)
    auditor, link, seen = sign_in(AUDITOR), reverse("admin:trace", args=["ab" * 16]), []
    path = link
    while path:
        page = auditor.get(path).context["page"]
        seen += [step.first.row.pk for step in page.steps]
        path = f"{link}?after={page.next_cursor.replace('+', '%2B')}" if page.next_cursor else ""
    assert seen == list(
        AuditLog.objects.filter(trace_id="ab" * 16).order_by("created_at", "audit_id").values_list("pk", flat=True)
    )
    assert auditor.get(f"{link}?after=nonsense").status_code == 404


def test_a_heavy_trace_is_cut_into_light_pages_and_loses_no_row(sign_in) -> None:
    """What agents store may be large; a page of the trace is not."""
    entries(300, trace_id="ef" * 16, changes={"context": [None, {"brief": "w" * 50_000}]})
    auditor, found, after = sign_in(AUDITOR), [], ""
    while after is not None:
        answer = auditor.get(f"/admin/trace/{'ef' * 16}/", {"after": after} if after else {})
        assert len(answer.content) < 220_000
        found.append(answer.context["page"].rows)
        after = answer.context["page"].next_cursor or None
    assert sum(found) == 300
    assert len(found) > 1


def test_the_newest_entries_are_not_drowned_by_metric_events(sign_in) -> None:
    post = factories.published_post()
    factories.make_events(post, amount=30)
    page = text(sign_in(AUDITOR).get("/admin/"))
    assert "30 metric events" in page
    assert "published" in page


def test_the_trace_needs_its_permission(sign_in) -> None:
    answer = sign_in().get(f"/admin/trace/{'a' * 32}/")
    assert answer.status_code == 403
    assert "You may not read the audit log" in text(answer)


def test_a_trace_with_odd_rows_from_plain_sql_still_shows(sign_in) -> None:
    entries(
        1,
        trace_id="cd" * 16,
        changes=["not", "a", "dict"],
        entity_type="artifact",
        actor_id="user:nobody",
        actor_type="human",
    )
    entries(1, trace_id="cd" * 16, changes={"a": "not a pair", "b": [None, {"x": [1, {"y": None}]}]}, actor_id=None)
    answer = sign_in(AUDITOR).get(reverse("admin:trace", args=["cd" * 16]))
    assert answer.status_code == 200
    assert sign_in(AUDITOR).get("/admin/audit/auditlog/").status_code == 200


@pytest.mark.parametrize(
    ("verb", "said"),
    [("claim", "claimed"), ("give", "was given"), ("expire", "ended the lost lease of"), ("stop", "stopped")],
)
def test_verbs_read_as_what_has_happened(verb, said) -> None:
    assert Entry(AuditLog(action=verb), actor="", entity="", url="", campaign=None).did == said
