"""Every page of every registered model, with rows in it, for each kind of person."""

import re
from urllib.parse import urlencode

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.utils import quote
from django.urls import reverse

from config.groups import ADMINISTRATOR, AUDITOR, OPERATOR, REVIEWER
from content.models import ReviewDecision

GROUPS = [REVIEWER, OPERATOR, AUDITOR, ADMINISTRATOR]
OURS = {"accounts", "agents", "audit", "campaigns", "content", "metrics"}
# Tables with an add page, and who has it.
ADDABLE = {
    "campaigns.campaign": {OPERATOR, ADMINISTRATOR},
    "campaigns.task": {OPERATOR, ADMINISTRATOR},
    "agents.agent": {OPERATOR, ADMINISTRATOR},
    "agents.apitoken": {ADMINISTRATOR},
    "accounts.user": {ADMINISTRATOR},
    "auth.group": {ADMINISTRATOR},
}
PEOPLE = {"accounts.user", "auth.group", "agents.apitoken"}
MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label_lower)
QUERIES = [
    "",
    "Meskel",
    "nothing like it",
    "%_\\'\"",
    "7291846372910001",
    "0" * 32,
    "019a0000-0000-7000-8000-000000000000",
]


def may_view(label: str, group: str) -> bool:
    if label.startswith("axes."):
        return group == ADMINISTRATOR and label in {"axes.accessattempt", "axes.accesslog"}
    return label not in PEOPLE or group in {AUDITOR, ADMINISTRATOR}


def address(model, page, *args):
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


# Answers to requests, which are nobody's to read; heartbeats, which the control room shows; leases, for an hour.
WITHOUT_PAGES = {"agents.idempotencykey", "audit.cronjob", "content.judgelease", "accounts.notification"}
# Shown on the pages Archive and Metrics.
WITHOUT_PAGES |= {
    "metrics.metricingest",
    "metrics.metricrollup",
    "metrics.metricrollupdaily",
    "metrics.metricrollupcampaign",
}


@pytest.fixture
def world(standing_world: None, db: None) -> None:
    """Made once for all of this module."""


def test_every_model_of_ours_is_registered() -> None:
    ours = {model for model in apps.get_models() if model._meta.app_label in OURS}
    unseen = {model._meta.label_lower for model in ours - set(admin.site._registry)}
    assert unseen <= WITHOUT_PAGES


@pytest.mark.parametrize("group", GROUPS)
def test_lists_searches_and_pages_of_rows(world, sign_in, group) -> None:
    client = sign_in(group)
    wrong = []
    for model in MODELS:
        seen = may_view(model._meta.label_lower, group)
        row = model._default_manager.first()
        assert row is not None, f"{model._meta.label} has no row to look at"
        adds = group in ADDABLE.get(model._meta.label_lower, ())
        expected = [(address(model, "change", quote(row.pk)), seen), (address(model, "add"), adds)]
        expected += [(f"{address(model, 'changelist')}?{urlencode({'q': query})}", seen) for query in QUERIES]
        expected += [(address(model, "delete", quote(row.pk)), False)]
        for page, allowed in expected:
            status = client.get(page).status_code
            wrong += [] if status == (200 if allowed else 403) else [(page, status)]
    assert wrong == []


def test_each_row_of_a_list_leads_to_its_own_page(world, sign_in) -> None:
    """And not to another's: a link within a link ends the outer one."""
    client, wrong = sign_in(ADMINISTRATOR), []
    for model in MODELS:
        if may_view(model._meta.label_lower, ADMINISTRATOR):
            page = client.get(address(model, "changelist")).content.decode()
            wrong += [(model._meta.label, found) for found in re.findall(r"<a [^>]*><a ", page)]
    assert wrong == []


def test_a_row_that_is_only_read_shows_every_column(world, sign_in) -> None:
    decision = ReviewDecision.objects.first()
    page = sign_in(AUDITOR).get(address(ReviewDecision, "change", decision.pk)).content.decode()
    assert "field-created_at" in page
    assert "field-review_id" not in page


def test_a_superuser_sees_the_pages_of_axes_too(world, sign_in) -> None:
    from tests.factories import make_user

    client = sign_in(user=make_user(is_superuser=True))
    for model in MODELS:
        row = model._default_manager.first()
        for page in (address(model, "changelist"), address(model, "change", quote(row.pk))):
            assert client.get(page).status_code == 200, page


@pytest.mark.parametrize("group", GROUPS)
def test_every_filter_of_every_list(world, sign_in, group) -> None:
    client = sign_in(group)
    for model in MODELS:
        if not may_view(model._meta.label_lower, group):
            continue
        first = client.get(address(model, "changelist"))
        links = {
            choice["query_string"]
            for spec in first.context["cl"].filter_specs
            for choice in spec.choices(first.context["cl"])
        }
        for link in sorted(links):
            answer = client.get(address(model, "changelist") + link)
            assert answer.status_code == 200, (model, link)


def test_nobody_gets_in_without_signing_in(client, db) -> None:
    for model in MODELS:
        answer = client.get(address(model, "changelist"))
        assert answer.status_code == 302
        assert answer["Location"].startswith("/admin/login/")


def test_somebody_without_a_group_is_told_what_to_do(sign_in) -> None:
    answer = sign_in().get("/admin/")
    assert answer.status_code == 200
    assert "Ask an Administrator" in answer.content.decode()


@pytest.mark.parametrize("group", GROUPS)
def test_the_control_room_links_only_where_one_may_go(world, sign_in, group) -> None:
    client = sign_in(group)
    body = client.get("/admin/").content.decode()
    links = set(re.findall(r'href="(/admin/[^"]*)"', body))
    assert len(links) > 15
    for link in links:
        answer = client.get(link.replace("&amp;", "&"))
        assert answer.status_code == 200, link


@pytest.mark.parametrize(
    "path", ["?q=%00", "?status=%00", "%00/change/", "?older=%00", "?older=2020_x", "?o=99.x&p=-4"]
)
@pytest.mark.parametrize("model", ["audit/auditlog", "metrics/metricevent", "agents/agent", "campaigns/task"])
def test_damaged_addresses_are_no_accident(world, sign_in, model, path) -> None:
    answer = sign_in(ADMINISTRATOR).get(f"/admin/{model}/{path}", follow=True)
    assert answer.status_code in {200, 400, 404}
