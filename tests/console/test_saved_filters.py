"""Filters that a person names: on the list that they belong to, for that person alone."""

import pytest
from django.urls import reverse

from accounts.models import User
from accounts.saved_filters import MOST
from config.groups import OPERATOR, REVIEWER
from tests import factories

pytestmark = pytest.mark.django_db
TASKS, SAVE = "/admin/campaigns/task/", "/admin/saved-filter/"
QUERY = "status__exact=failed&q=Caption"


def page(client, address: str) -> str:
    answer = client.get(address)
    assert answer.status_code == 200
    return answer.content.decode()


def save(client, name: str = "Failed captions", path: str = TASKS, query: str = QUERY):
    return client.post(SAVE, {"name": name, "path": path, "query": query}, follow=True)


def test_a_filter_is_named_used_and_forgotten(sign_in) -> None:
    factories.make_task(title="Caption")
    client, other = sign_in(OPERATOR), sign_in(OPERATOR)
    assert "Save this filter" not in page(client, TASKS)
    assert "Save this filter" in page(client, f"{TASKS}?{QUERY}")
    assert "Failed captions" in save(client).content.decode()
    assert "status__exact=failed&amp;q=Caption" in page(client, TASKS)
    assert "Failed captions" not in page(client, reverse("admin:campaigns_campaign_changelist"))
    assert "Failed captions" not in page(other, TASKS)
    assert 'aria-current="true">Failed captions' in page(client, f"{TASKS}?{QUERY}")

    client.post(SAVE, {"forget": "Failed captions", "path": TASKS}, follow=True)
    assert "Failed captions" not in page(client, TASKS)
    assert User.objects.get(pk=client.user.pk).saved_filters == {}


def test_the_same_name_means_the_newer_filter(sign_in) -> None:
    client = sign_in(REVIEWER)
    save(client)
    save(client, query="status__exact=done")
    assert User.objects.get(pk=client.user.pk).saved_filters == {TASKS: {"Failed captions": "status__exact=done"}}


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": " "},
        {"name": "x" * 61},
        {"name": "NUL\x00"},
        {"query": ""},
        {"query": "q=" + "x" * 2000},
        {"path": "https://elsewhere.example/"},
        {"path": "//elsewhere.example/"},
        {"path": "/admin/"},
    ],
)
def test_what_is_no_filter_of_a_list_is_refused_in_words(sign_in, wrong) -> None:
    client = sign_in(REVIEWER)
    answer = client.post(SAVE, {"name": "a", "path": TASKS, "query": "q=a"} | wrong)
    assert answer.status_code in (302, 400)
    assert "elsewhere" not in answer.headers.get("Location", "")
    assert User.objects.get(pk=client.user.pk).saved_filters == {}


def test_there_is_an_end_to_how_many(sign_in) -> None:
    client = sign_in(REVIEWER)
    for number in range(MOST):
        save(client, name=f"Filter {number}")
    assert "forget one first" in save(client, name="One more").content.decode()


def test_only_a_form_saves(sign_in) -> None:
    assert sign_in(REVIEWER).get(SAVE).status_code == 405
