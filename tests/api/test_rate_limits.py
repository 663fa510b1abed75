"""One token cannot ask without end, and wrong ones not either; nobody else waits for that."""

import logging
from collections.abc import Callable

import pytest
from django.conf import LazySettings
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from agents import limits
from agents.models import IdempotencyKey
from tests.api.conftest import Machine
from tests.api.test_frame import is_problem

pytestmark = pytest.mark.django_db
NOON = 1_800_000_000.0  # a moment at which a second and a minute of the clock begin


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets the time that the limits see: seconds after the minute began."""

    class Clock:
        now = NOON

        def time(self) -> float:
            return self.now

    clock = Clock()
    monkeypatch.setattr(limits, "time", clock)
    return lambda seconds: setattr(clock, "now", NOON + seconds)


def test_a_burst_is_refused_until_the_next_second(machine, clock, settings: LazySettings) -> None:
    settings.API_REQUESTS_PER_SECOND = 3
    worker, other = machine(name="the press"), machine()
    assert [worker.get("campaigns").status_code for _ in range(3)] == [200] * 3
    answer = worker.get("campaigns")
    assert is_problem(answer, 429)
    assert answer["Retry-After"] == "1"
    assert answer.json()["detail"] == "The token “the press” asks more than 3 times a second; wait a little."
    assert other.get("campaigns").status_code == 200
    clock(1)
    assert worker.get("campaigns").status_code == 200


def test_what_is_sustained_is_refused_until_the_next_minute(machine, clock, settings: LazySettings) -> None:
    settings.API_REQUESTS_PER_MINUTE = 5
    worker = machine()
    for second in range(5):
        clock(10 * second)
        assert worker.get("campaigns").status_code == 200
    answer = worker.get("campaigns")
    assert (answer.status_code, answer["Retry-After"]) == (429, "20")
    clock(60)
    assert worker.get("campaigns").status_code == 200


def test_a_refused_post_does_nothing_and_keeps_no_key(machine, clock, settings: LazySettings) -> None:
    settings.API_REQUESTS_PER_SECOND = 1
    worker = machine()
    worker.get("campaigns")
    assert worker.post("tasks/claim", {}, key="one").status_code == 429
    assert not IdempotencyKey.objects.exists()
    clock(1)
    assert worker.post("tasks/claim", {}, key="one").status_code != 429


def test_nothing_is_the_limit_that_is_off(machine, clock, settings: LazySettings) -> None:
    settings.API_REQUESTS_PER_SECOND = settings.API_REQUESTS_PER_MINUTE = 0
    worker = machine()
    assert {worker.get("campaigns").status_code for _ in range(10)} == {200}


def test_counting_asks_nothing_of_the_database(machine, settings: LazySettings) -> None:
    def queries(worker: Machine) -> int:
        worker.get("campaigns")
        with CaptureQueriesContext(connection) as asked:
            worker.get("campaigns")
        return len(asked)

    counted = queries(machine())
    settings.API_REQUESTS_PER_SECOND = settings.API_REQUESTS_PER_MINUTE = 0
    assert queries(machine()) == counted


def test_wrong_tokens_are_told_to_wait_and_right_ones_are_not(
    machine, clock, settings: LazySettings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.API_WRONG_TOKENS_PER_MINUTE = 3
    with caplog.at_level(logging.WARNING, "agents.limits"):
        answers = [Machine(f"gh_{number}").get("campaigns") for number in range(5)]
    assert [answer.status_code for answer in answers] == [401] * 3 + [429] * 2
    assert answers[-1]["Retry-After"] == "60"
    assert [record.getMessage() for record in caplog.records] == ["More than 3 wrong tokens in a minute from 127.0.0.1"]
    assert machine().get("campaigns").status_code == 200
    elsewhere = Client().get("/api/v1/campaigns", headers={"Authorization": "Bearer gh_x"}, REMOTE_ADDR="10.0.0.9")
    assert elsewhere.status_code == 401


def test_a_count_that_is_forgotten_lets_in(machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "add", lambda *_: cache.clear())
    assert machine().get("campaigns").status_code == 200
