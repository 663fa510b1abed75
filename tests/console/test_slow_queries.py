"""The page of slow queries: what takes long, escaped and without passwords, and what is missing where it is empty."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.urls import reverse

from config.groups import ADMINISTRATOR, AUDITOR, OPERATOR, REVIEWER
from config.monitoring import statements

pytestmark = pytest.mark.django_db
URL = "/admin/slow-queries/"


@pytest.fixture(autouse=True)
def _all(monkeypatch: pytest.MonkeyPatch) -> None:
    """What other tests have kept busy does not crowd out what these do. (Names do not tell statements apart.)"""
    monkeypatch.setattr(statements, "MOST", 10_000)


def plain(answer: Any) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", answer.content.decode()).split())


def test_it_shows_what_takes_long_and_nothing_else(sign_in: Callable[..., Any], connect: Callable[..., Any]) -> None:
    with connection.cursor() as cursor:
        cursor.execute('SELECT 7 AS "<b>quick"')
    agent = connect("gatehouse_agent")  # another's statement: its text is seen all the same
    agent.execute('SELECT pg_sleep(0.12), 1 AS "<b>slow"')
    answer = sign_in(ADMINISTRATOR).get(URL)
    assert reverse("admin:slow_queries") == URL
    assert answer.status_code == 200
    assert "&lt;b&gt;slow" in answer.content.decode()
    assert "<b>slow" not in answer.content.decode()
    assert "quick" not in plain(answer)
    (found,) = [each for each in answer.context["statements"] if "<b>slow" in each.query]
    assert (found.calls, found.role) == (1, "gatehouse_agent")
    assert 100 < found.mean <= found.total < 60_000
    assert 0 < found.share <= 100
    assert re.search(r"1 calls \d+ ms on average 0\.\d s together [\d.]+ % of all time", plain(answer))


def test_long_ones_are_cut_and_what_names_a_password_is_not_shown(connect: Callable[..., Any]) -> None:
    agent = connect("gatehouse_agent")
    agent.execute(f"SELECT pg_sleep(0.12) AS long, {', '.join(f'{n} AS column_{n}' for n in range(100))}")
    agent.execute("SELECT pg_sleep(0.12), now() AS password")
    told = [each.query for each in statements.slow()]
    assert [len(query) for query in told if "AS long" in query] == [statements.LONGEST + 1]
    assert not [query for query in told if "AS password" in query]
    assert "(not shown: it names a password)" in told


def test_counts_for_alerts_pass_over_what_ran_once(connect: Callable[..., Any]) -> None:
    before = statements.counted()
    agent = connect("gatehouse_agent", autocommit=True)
    agent.execute("SELECT pg_sleep(0.12), 1, 2 AS once")
    after = statements.counted()
    assert after.slow == before.slow
    for _ in range(statements.OFTEN):
        agent.execute("SELECT pg_sleep(0.101), 1, 2, 3 AS often")
    assert statements.counted().slow == before.slow + 1
    assert statements.counted().slowest > 0.1


@pytest.mark.parametrize("group", [REVIEWER, OPERATOR, AUDITOR, ""])
def test_only_administrators_see_it(group: str, sign_in: Callable[..., Any]) -> None:
    answer = sign_in(group).get(URL)
    assert answer.status_code == 403
    assert statements.EXTENSION not in plain(answer)
    assert "Slow queries" not in plain(sign_in(group).get("/admin/"))


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("EXTENSION", "nowhere", "This database has no nowhere: as its superuser, run CREATE EXTENSION nowhere."),
        ("RIGHT", "pg_monitor", "superuser, run GRANT pg_monitor TO gatehouse_migrator."),
    ],
)
def test_what_is_missing_is_a_sentence_on_the_page(
    name: str, value: str, sentence: str, sign_in: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statements, name, value)
    answer = sign_in(ADMINISTRATOR).get(URL)
    assert answer.status_code == 200
    assert sentence in plain(answer)
    assert "No statement is slow" not in plain(answer)


def test_the_right_is_to_read_and_no_more() -> None:
    """The owner alone has it, and does not hand it on."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT member::regrole::text, admin_option, inherit_option, set_option FROM pg_auth_members"
            " WHERE roleid = %s::regrole ORDER BY 1",
            [statements.RIGHT],
        )
        found = [row for row in cursor.fetchall() if row[0].startswith("gatehouse_")]
    assert found == [("gatehouse_migrator", False, True, False)]
