"""Lists that are too long to be counted, sorted or joined: what they still do, and what they say when they do not."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from audit.admin import paging, searching
from campaigns.models import Task
from config.groups import AUDITOR
from tests import factories

pytestmark = pytest.mark.django_db
TASKS, ARTIFACTS, POSTS = "/admin/campaigns/task/", "/admin/content/artifact/", "/admin/content/publishrecord/"


def titles(answer) -> list[str]:
    return [row.title for row in answer.context["cl"].result_list]


@pytest.fixture
def few(monkeypatch) -> int:
    monkeypatch.setattr(paging, "MOST", 3)
    return 3


def test_a_list_is_counted_up_to_a_bound_and_says_so(sign_in, few) -> None:
    campaign = factories.make_campaign()
    for number in range(few):
        factories.make_task(campaign=campaign, title=f"{number}")
    auditor = sign_in(AUDITOR)
    assert "more than" not in auditor.get(TASKS).content.decode()
    for number in range(few):
        factories.make_task(campaign=campaign, title=f"more {number}")
    with CaptureQueriesContext(connection) as asked:
        answer = auditor.get(TASKS)
    assert "more than 3 tasks" in answer.content.decode()
    counts = [query["sql"] for query in asked if "COUNT(" in query["sql"] and 'FROM "task"' in query["sql"]]
    assert counts
    assert all("LIMIT 4" in count for count in counts)


def test_a_list_is_sorted_by_columns_only_while_it_is_short(sign_in, few) -> None:
    auditor = sign_in(AUDITOR)
    for title, attempt in (("b", 2), ("a", 1), ("c", 3)):
        factories.make_task(title=title, attempt=attempt)
    answer = auditor.get(TASKS)
    assert 'class="sortable' in answer.content.decode()
    by_tries = f"{TASKS}?o={list(answer.context['cl'].list_display).index('tries')}"
    assert titles(auditor.get(by_tries)) == ["a", "b", "c"]
    factories.make_task(title="d", attempt=0)
    answer = auditor.get(by_tries)
    assert titles(answer) == ["d", "c", "a", "b"]  # the newest first, whatever was asked
    assert 'class="sortable' not in answer.content.decode()


def test_words_are_found_in_the_tables_that_a_row_refers_to(sign_in) -> None:
    auditor = sign_in(AUDITOR)
    meskel = factories.make_campaign(name="Meskel launch")
    writer = factories.make_agent("writer-4", display_name="The night writer")
    mine = factories.make_task(campaign=meskel, title="The bonfire is ready")
    hers = factories.make_task(agent=writer, title="Flowers")
    both = factories.make_task(agent=writer, campaign=meskel, title="Who comes")

    def found(words: str) -> set[str]:
        return set(titles(auditor.get(TASKS, {"q": words})))

    assert found("meskel") == {mine.title, both.title}
    assert found("NIGHT") == {hers.title, both.title}
    assert found("meskel night") == {both.title}
    assert found('"fire is"') == {mine.title}
    assert found("'") == found("nobody") == set()


def test_what_was_made_and_posted_is_found_by_title_and_post_id(sign_in) -> None:
    auditor = sign_in(AUDITOR)
    post = factories.published_post("7291", title="The bonfire is ready")
    factories.published_post("8302", title="Flowers")
    for words in ("bonfire", "7291", str(post.artifact.task.trace_id)):
        for path in (ARTIFACTS, POSTS):
            rows = auditor.get(path, {"q": words}).context["cl"].result_list
            assert {getattr(row, "artifact", row).pk for row in rows} == {post.artifact_id}, (words, path)
    assert not auditor.get(POSTS, {"q": "729"}).context["cl"].result_list  # an id is given as it is


def test_a_name_that_fits_very_many_stands_for_the_newest_and_says_so(sign_in, monkeypatch) -> None:
    monkeypatch.setattr(searching, "MOST", 2)
    auditor = sign_in(AUDITOR)
    artifacts = [factories.make_artifact(title="The bonfire is ready") for _ in range(3)]
    answer = auditor.get(ARTIFACTS, {"q": "bonfire"})
    assert {row.pk for row in answer.context["cl"].result_list} == {row.pk for row in artifacts[1:]}
    assert "there are older ones" in answer.content.decode()
    assert "there are older ones" not in auditor.get(TASKS, {"q": "bonfire"}).content.decode()  # its own column


def test_words_of_a_title_are_found_by_an_index() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
    assert "idx_task_title" in Task.objects.filter(title__icontains="bonfire").explain()
