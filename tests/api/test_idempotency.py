"""A request that names itself is done once, whatever happens on the way."""

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.db import connection, connections
from django.utils import timezone

from agents.choices import TokenRole
from agents.models import Agent, IdempotencyKey
from audit.models import AuditLog
from tests.api import doors
from tests.api.conftest import Machine, make_token
from tests.concurrency import PATIENCE

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.doors")]


def test_the_same_request_has_the_same_answer_and_one_effect(machine) -> None:
    caller = machine()
    first = caller.post("agents", {"agent_id": "a"}, key="k")
    again = caller.post("agents", {"agent_id": "a"}, key="k")
    assert (first.status_code, again.status_code) == (200, 200)
    assert again.content == first.content
    assert again["Content-Type"] == first["Content-Type"]
    assert again["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first
    assert again["X-Trace-Id"] != first["X-Trace-Id"]
    assert AuditLog.objects.filter(entity_type="agent", entity_id="a").count() == 1


def test_without_a_key_each_request_is_another(machine) -> None:
    caller = machine()
    assert caller.post("agents", {"agent_id": "a"}).status_code == 200
    assert caller.post("agents", {"agent_id": "a"}).status_code == 409
    assert not IdempotencyKey.objects.exists()


@pytest.mark.parametrize(
    ("path", "body"), [("agents", {"agent_id": "b"}), ("who", {"agent_id": "a"}), ("agents?x=1", {"agent_id": "a"})]
)
def test_the_same_key_for_another_request_is_refused(machine, path, body) -> None:
    caller = machine()
    caller.post("agents", {"agent_id": "a"}, key="k")
    other = caller.post(path, body, key="k")
    assert other.status_code == 422
    assert not Agent.objects.filter(pk="b").exists()


def test_keys_belong_to_their_token(machine) -> None:
    assert machine().post("agents", {"agent_id": "a"}, key="k").status_code == 200
    assert machine().post("agents", {"agent_id": "b"}, key="k").status_code == 200


@pytest.mark.parametrize("key", ["", " ", "ä", "a b", "x" * 256, "a\x7f"])
def test_a_key_is_of_visible_ascii(machine, key) -> None:
    answer = machine().post("agents", {"agent_id": "a"}, **{"Idempotency-Key": key})
    assert answer.status_code == 400
    assert not Agent.objects.exists()


def test_a_refusal_is_kept_and_what_it_had_changed_is_not(machine) -> None:
    caller = machine()
    first = caller.post("agents", {"agent_id": "a", "then": "refuse"}, key="k")
    again = caller.post("agents", {"agent_id": "a", "then": "refuse"}, key="k")
    assert (first.status_code, again.status_code) == (409, 409)
    assert again.json() == first.json()
    assert again["Content-Type"] == "application/problem+json"
    assert again["Idempotent-Replayed"] == "true"
    assert not Agent.objects.exists()
    assert not AuditLog.objects.filter(entity_type="agent").exists()


def test_what_a_refusal_keeps_as_evidence_stays_with_the_key(machine) -> None:
    assert machine().post("agents", {"agent_id": "a", "then": "too late"}, key="k").status_code == 409
    assert Agent.objects.filter(pk="a").exists()
    assert IdempotencyKey.objects.get().status == 409


def test_a_malformed_body_is_an_answer_too(machine) -> None:
    caller = machine()
    assert caller.post("agents", {"agent": "a"}, key="k").status_code == 422
    assert caller.post("agents", {"agent": "a"}, key="k")["Idempotent-Replayed"] == "true"


def test_a_fault_is_not_kept_and_leaves_nothing(machine) -> None:
    caller = machine()
    broken = caller.post("agents", {"agent_id": "a", "then": "break"}, key="k")
    assert broken.status_code == 500
    assert broken["X-Trace-Id"] in broken.json()["detail"]
    assert not Agent.objects.exists()
    assert not IdempotencyKey.objects.exists()


@pytest.mark.parametrize("rule", ["check", "unique", "reference", "trigger", "number", "mistake", "lock"])
def test_what_the_database_refuses_leaves_a_usable_transaction(machine, rule) -> None:
    caller = machine()
    first = caller.post(f"rules/{rule}", key="k")
    assert first.status_code < 500 or not IdempotencyKey.objects.exists()
    assert caller.post(f"rules/{rule}", key="k").status_code == first.status_code


def test_who_is_not_let_in_leaves_no_key(machine) -> None:
    stranger = Machine("gh_nobody")
    assert stranger.post("agents", {"agent_id": "a"}, key="k").status_code == 401
    assert not IdempotencyKey.objects.exists()


def test_uploads_are_the_same_when_their_parts_are(machine) -> None:
    caller = machine()

    def upload(content: bytes, note: str = "n") -> Any:
        form = {"note": note, "file": SimpleUploadedFile("f.bin", content)}
        headers = {"Authorization": f"Bearer {caller.token}", "Idempotency-Key": "k"}
        return caller.client.post("/api/v1/upload", form, headers=headers)

    large = b"x" * 3_000_000  # more than is kept in memory
    first = upload(large)
    assert first.json() == {"size": 3_000_000, "note": "n", "times": "n"}
    assert upload(large)["Idempotent-Replayed"] == "true"
    assert upload(large[:-1] + b"y").status_code == 422
    assert upload(large, "m").status_code == 422


@pytest.mark.django_db(transaction=True)
def test_a_lost_connection_leaves_nothing_and_the_next_try_works() -> None:
    caller = Machine(make_token(TokenRole.WORKER))
    lost = caller.post("agents", {"agent_id": "a", "then": "lose the connection"}, key="k")
    assert lost.status_code == 503
    assert lost["Retry-After"] == "1"
    connection.close()
    assert not Agent.objects.exists()
    assert not IdempotencyKey.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_while_a_request_runs_the_same_one_is_told_so_and_afterwards_gets_its_answer() -> None:
    caller, body = Machine(make_token(TokenRole.WORKER)), {"agent_id": "a", "then": "wait"}
    doors.begun.clear()
    doors.go_on.clear()
    answers: list[Any] = []

    def run() -> None:
        try:
            answers.append(caller.post("agents", body, key="k"))
        finally:
            connections.close_all()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert doors.begun.wait(PATIENCE)
    running = caller.post("agents", body, key="k")
    other = caller.post("agents", {"agent_id": "b"}, key="another")
    doors.go_on.set()
    thread.join(PATIENCE)
    assert (running.status_code, other.status_code) == (409, 200)
    assert "still running" in running.json()["detail"]
    again = caller.post("agents", body, key="k")
    assert again.content == answers[0].content
    assert again["Idempotent-Replayed"] == "true"


@pytest.mark.django_db(transaction=True)
def test_of_many_at_once_one_is_done_and_the_others_are_told_so_or_get_its_answer() -> None:
    caller, answers = Machine(make_token(TokenRole.WORKER)), []

    def run() -> None:
        try:
            answers.append(caller.post("agents", {"agent_id": "a"}, key="k"))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, daemon=True) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    done = [answer for answer in answers if answer.status_code == 200]
    assert len(answers) == 8
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert len({answer.content for answer in done}) == 1
    assert sum("Idempotent-Replayed" not in answer for answer in done) == 1
    assert Agent.objects.count() == 1


def test_an_answer_is_forgotten_after_a_day_and_not_before(machine) -> None:
    caller = machine()
    caller.post("agents", {"agent_id": "a"}, key="young")
    young = IdempotencyKey.objects.get()
    for name, hours in (("a day", 23.9), ("more than a day", 24.1)):
        IdempotencyKey.objects.create(
            api_token_id=young.api_token_id,
            key=name,
            request_sha256=young.request_sha256,
            status=200,
            answer="{}",
            created_at=timezone.now() - timedelta(hours=hours),
        )
    call_command("run_due")
    assert set(IdempotencyKey.objects.values_list("key", flat=True)) == {"young", "a day"}
