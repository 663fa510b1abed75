"""Who waits for work gets it when it comes, and holds nothing while there is none."""

import socket
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, connections
from django.utils import timezone

from agents import api
from agents.choices import TokenRole
from agents.models import Agent, ApiToken, IdempotencyKey
from tests import factories
from tests.api.conftest import Machine, make_token
from tests.concurrency import PATIENCE
from tests.recovery.support import soon

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.api.doors")]


@pytest.fixture
def agent(transactional_db: None) -> Agent:
    return factories.make_agent("writer-1")


@pytest.fixture
def caller(agent: Agent) -> Machine:
    return Machine(make_token(TokenRole.WORKER, agent))


def aside(work: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    """`work` in a thread of its own, and the list that gets its result."""
    results: list[Any] = []

    def run() -> None:
        try:
            results.append(work())
        finally:
            connections.close_all()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, results


def other_connections() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
        return int(cursor.fetchone()[0])


def test_work_that_comes_while_somebody_waits_is_handed_out(caller, agent) -> None:
    thread, results = aside(lambda: caller.post("claim", {"wait": 10}))
    time.sleep(0.3)
    task = factories.make_task(agent=agent)
    begun = time.monotonic()
    thread.join(PATIENCE)
    assert results[0].json() == {"tasks": [str(task.pk)]}
    assert time.monotonic() - begun < 5


def test_nothing_is_held_between_two_tries(caller, agent) -> None:
    before = other_connections()
    thread, results = aside(lambda: caller.post("claim", {"wait": 2}))
    seen = []
    while thread.is_alive():
        seen.append(other_connections() - before)
        time.sleep(0.02)
    assert results[0].json() == {"tasks": []}
    assert seen.count(0) > len(seen) / 2


def test_an_empty_answer_comes_when_the_time_is_over(caller) -> None:
    begun = time.monotonic()
    answer = caller.post("claim", {"wait": 1})
    assert answer.json() == {"tasks": []}
    assert 1 <= time.monotonic() - begun < 5


def test_who_does_not_wait_has_an_answer_at_once(caller) -> None:
    begun = time.monotonic()
    assert caller.post("claim").json() == {"tasks": []}
    assert time.monotonic() - begun < 2


def test_who_waits_under_a_key_has_the_last_answer_kept(caller, agent) -> None:
    thread, results = aside(lambda: caller.post("claim", {"wait": 10}, key="k"))
    time.sleep(0.3)
    assert not IdempotencyKey.objects.exists()
    task = factories.make_task(agent=agent)
    thread.join(PATIENCE)
    again = caller.post("claim", {"wait": 10}, key="k")
    assert results[0].json() == again.json() == {"tasks": [str(task.pk)]}
    assert again["Idempotent-Replayed"] == "true"
    assert caller.post("claim", {"wait": 1}, key="l").json() == {"tasks": []}
    assert caller.post("claim", {"wait": 1}, key="l")["Idempotent-Replayed"] == "true"


def test_when_all_places_are_taken_the_answer_comes_at_once(caller, monkeypatch) -> None:
    places = threading.BoundedSemaphore(1)
    monkeypatch.setattr(api, "waiters", places)
    thread, results = aside(lambda: caller.post("claim", {"wait": 5}))
    assert soon(lambda: places._value == 0)
    begun = time.monotonic()
    second = caller.post("claim", {"wait": 20})
    assert time.monotonic() - begun < 5
    assert second.json() == {"tasks": []}
    assert second["Retry-After"] == "1"
    thread.join(PATIENCE)
    assert "Retry-After" not in results[0]
    assert caller.post("claim", {"wait": 1}).status_code == 200


def test_a_token_that_is_revoked_meanwhile_gets_no_work(caller, agent) -> None:
    thread, results = aside(lambda: caller.post("claim", {"wait": 10}))
    time.sleep(0.3)
    ApiToken.objects.all().change("revoke", revoked_at=timezone.now() - timedelta(seconds=1))
    thread.join(PATIENCE)
    assert results[0].status_code == 401


def test_a_caller_who_has_left_is_handed_nothing(caller, agent) -> None:
    ours, theirs = socket.socketpair()
    headers = {"Authorization": f"Bearer {caller.token}"}
    with ours:
        thread, results = aside(
            lambda: caller.client.post(
                "/api/v1/claim",
                {"wait": 10},
                content_type="application/json",
                headers=headers,
                **{"gunicorn.socket": ours},
            )
        )
        time.sleep(0.3)
        theirs.close()
        task = factories.make_task(agent=agent)
        thread.join(PATIENCE)
    assert results[0].status_code == 408
    task.refresh_from_db()
    assert task.status == "pending"


def test_a_caller_who_is_still_there_is_handed_the_work(caller, agent) -> None:
    ours, theirs = socket.socketpair()
    headers = {"Authorization": f"Bearer {caller.token}"}
    with ours, theirs:
        thread, results = aside(
            lambda: caller.client.post(
                "/api/v1/claim",
                {"wait": 10},
                content_type="application/json",
                headers=headers,
                **{"gunicorn.socket": ours},
            )
        )
        time.sleep(0.3)
        task = factories.make_task(agent=agent)
        thread.join(PATIENCE)
    assert results[0].json() == {"tasks": [str(task.pk)]}
