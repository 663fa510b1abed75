"""The way in and the way out: tokens, traces, bodies, addresses, and what every refusal looks like."""

import json
import socket
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import User
from agents.choices import TokenRole
from agents.models import Agent, ApiToken
from audit.api import Answer, Incoming
from audit.models import AuditLog
from config.api import api
from tests import factories
from tests.api.conftest import Machine, make_token

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.doors")]
TRACE = "0af7651916cd43dd8448eb211c80319c"
NESTED = 60


def is_problem(answer: Any, status: int) -> bool:
    told = json.loads(answer.content)
    return (
        answer.status_code == told["status"] == status
        and answer["Content-Type"] == "application/problem+json"
        and told["type"] == "about:blank"
        and bool(told["title"])
        and told["detail"].endswith(".")
        and bool(answer["X-Trace-Id"])
    )


# Tokens


@pytest.mark.parametrize("given", ["", "Bearer", "Bearer ", "Basic eDp5", "gh_x", "Bearer gh_unknown", "Bearer ä\x7f"])
def test_without_a_valid_token_nobody_is_let_in(client, given) -> None:
    for answer in (
        client.post("/api/v1/who", headers={"Authorization": given}),
        client.post("/api/v1/planners-only", headers={"Authorization": given}),
    ):
        assert is_problem(answer, 401)
        assert answer["WWW-Authenticate"] == "Bearer"


def test_a_token_that_is_revoked_or_has_expired_is_told_so(machine) -> None:
    revoked, expired = machine(name="first"), machine(name="second")
    ApiToken.objects.filter(name="first").change("revoke", revoked_at=timezone.now())
    ApiToken.objects.filter(name="second").change("update", expires_at=timezone.now() - timedelta(seconds=1))
    for caller, word in ((revoked, "revoked"), (expired, "expired")):
        answer = caller.post("kinds")
        assert is_problem(answer, 401)
        assert word in answer.json()["detail"]


def test_a_role_reaches_its_routes_and_a_refusal_names_both_roles(machine) -> None:
    assert machine(TokenRole.PLANNER).post("planners-only").status_code == 200
    assert machine(TokenRole.JUDGE).post("planners-only").status_code == 200
    answer = machine(TokenRole.METRICS, name="collector").post("planners-only")
    assert is_problem(answer, 403)
    for word in ("planner", "judge", "metrics collector", "collector"):
        assert word in answer.json()["detail"]


def test_a_session_of_the_console_opens_nothing_and_none_is_made(client) -> None:
    client.force_login(factories.make_user(is_superuser=True), backend="django.contrib.auth.backends.ModelBackend")
    answer = client.post("/api/v1/who", {"agent_id": "x"}, content_type="application/json")
    assert is_problem(answer, 401)
    assert not answer.cookies


def test_no_form_token_is_asked_for(machine) -> None:
    caller = machine()
    caller.client = Client(enforce_csrf_checks=True)
    assert caller.post("kinds").status_code == 200
    assert is_problem(caller.client.post("/api/v1/nowhere"), 404)


def test_a_token_is_marked_as_seen_once_a_minute_without_an_audit_row(machine) -> None:
    caller = machine()
    rows = AuditLog.objects.count()
    caller.post("kinds")
    seen = ApiToken.objects.get().last_used_at
    assert timezone.now() - seen < timedelta(seconds=10)
    caller.post("kinds")
    assert ApiToken.objects.get().last_used_at == seen
    ApiToken._base_manager.update(last_used_at=seen - timedelta(seconds=61))
    caller.post("kinds")
    assert ApiToken.objects.get().last_used_at >= seen
    assert AuditLog.objects.count() == rows


@pytest.mark.parametrize(
    ("role", "actor"),
    [
        (TokenRole.PLANNER, "planner"),
        (TokenRole.WORKER, "worker"),
        (TokenRole.JUDGE, "judge"),
        (TokenRole.PUBLISHER, "worker"),
        (TokenRole.METRICS, "system"),
    ],
)
def test_who_acts_is_the_token_and_its_agent(machine, role, actor) -> None:
    agent = factories.make_agent("one")
    told = machine(role, agent, name="its name").post("who").json()
    assert told["actor"] == [actor, "one"]
    assert told["context"][:3] == [actor, "one", "its name"]


def test_a_token_without_an_agent_names_one_and_a_bound_one_acts_as_its_own_only(machine) -> None:
    one = factories.make_agent("one")
    factories.make_agent("two")
    free, bound = machine(name="free"), machine(agent=one)
    told = free.post("who", {"agent_id": "two"}).json()
    assert told["actor"] == ["worker", "two"]
    assert told["context"][:3] == ["worker", "free", "free"]
    assert is_problem(free.post("who"), 422)
    assert is_problem(free.post("who", {"agent_id": "three"}), 404)
    assert bound.post("who").json()["agent"] == bound.post("who", {"agent_id": "one"}).json()["agent"] == "one"
    assert is_problem(bound.post("who", {"agent_id": "two"}), 403)


# Traces


PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


@pytest.mark.parametrize(
    ("given", "trace"),
    [
        ({"X-Trace-Id": TRACE}, TRACE),
        ({"traceparent": PARENT}, TRACE),
        ({"traceparent": f"cc-{TRACE}-b7ad6b7169203331-01-later"}, TRACE),
        ({"X-Trace-Id": TRACE, "traceparent": PARENT.replace("0af7", "1111")}, TRACE),
        ({"X-Trace-Id": "nonsense", "traceparent": PARENT}, TRACE),
        ({}, None),
        ({"X-Trace-Id": TRACE.upper()}, None),
        ({"X-Trace-Id": "0" * 32}, None),
        ({"traceparent": f"ff-{TRACE}-b7ad6b7169203331-01"}, None),
        ({"traceparent": f"00-{TRACE}-{'0' * 16}-01"}, None),
        ({"traceparent": f"00-{'0' * 32}-b7ad6b7169203331-01"}, None),
        ({"traceparent": TRACE}, None),
    ],
)
def test_a_trace_is_taken_over_and_every_answer_names_it(machine, given, trace) -> None:
    answer = machine(agent=factories.make_agent()).post("who", **given)
    told = answer.json()
    assert told["given"] == trace
    assert answer["X-Trace-Id"] == told["context"][3]
    assert answer["traceparent"].split("-")[1] == answer["X-Trace-Id"]
    assert trace is None or answer["X-Trace-Id"] == trace
    assert machine().get("nowhere", **given)["X-Trace-Id"]


# Bodies


@pytest.mark.parametrize(
    "context",
    [
        '{"n": 0.1234567890123456789012345678901234567890}',
        '{"n": 1e1000}',
        '{"n": -1E-1000}',
        '{"n": ' + "9" * 1000 + "}",
        '{"text": "\U0001f600 \\ud83d\\ude00"}',
        '{"a": 1, "a": 2}',
        '{"a": ' * (NESTED - 2) + "1" + "}" * (NESTED - 2),
    ],
)
def test_json_comes_through_to_the_last_digit(machine, context) -> None:
    answer = machine().post("kinds", raw=b'{"context": %s}' % context.encode())
    assert answer.status_code == 200
    parse = {"parse_float": lambda text: text.upper(), "parse_int": lambda text: text}
    if "e" not in context.lower() or "text" in context:
        assert json.loads(answer.content, **parse)["context"] == json.loads(context, **parse)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 422),
        (b"{", 400),
        (b'{"context": {}} x', 400),
        (b"[]", 422),
        (b"null", 422),
        (b'"text"', 422),
        (b"\xff\xfe{\x00}\x00", 400),
        ("{}".encode("utf-16"), 400),
        (b"\xef\xbb\xbf{}", 400),
        (b'{"text": "\xe4"}', 400),
        (b'{"context": {"n": NaN}}', 400),
        (b'{"context": {"n": Infinity}}', 400),
        (b'{"context": {"n": -Infinity}}', 400),
        (b'{"context": {"n": 1e1001}}', 422),
        (b'{"context": {"n": 1e-99999999999999999999}}', 422),
        (b'{"context": {"n": %s}}' % (b"9" * 1001), 422),
        (b'{"context": {"n": %s}}' % (b"9" * 5000), 422),
        (b'{"context": {"n": 0.%s}}' % (b"9" * 1001), 422),
        (b'{"text": "\\u0000"}', 422),
        (b'{"context": {"deep": ["\\u0000"]}}', 422),
        (b'{"context": {"\\u0000": 1}}', 422),
        (b'{"text": "\\ud800"}', 422),
        (b'{"context": {"\\udfff": 1}}', 422),
        (b'{"context": ' + b"[" * 61 + b"]" * 61 + b"}", 422),
        (b'{"context": ' + b'{"a":' * 61 + b"1" + b"}" * 62, 422),
        (b"[" * 100_000, 422),
        (b'{"a":' * 100_000, 422),
        (b'{"unknown": 1}', 422),
        (b'{"text": 1}', 422),
        (b'{"text": "12345678901"}', 422),
        (b'{"number": "1"}', 422),
        (b'{"number": true}', 422),
        (b'{"number": 1.5}', 422),
        (b'{"number": 101.0}', 422),
        (b'{"number": 1e999}', 422),
        (b'{"number": 0}', 422),
        (b'{"number": 99999999999999999999}', 422),
        (b'{"flag": 1}', 422),
        (b'{"flag": "true"}', 422),
        (b'{"amount": 1}', 422),
        (b'{"amount": 1.5}', 422),
        (b'{"amount": "1.555"}', 422),
        (b'{"amount": "-1"}', 422),
        (b'{"amount": "1e3"}', 422),
        (b'{"amount": "NaN"}', 422),
        (b'{"amount": "12345678901"}', 422),
        (b'{"amount": "1\\n"}', 422),
        (b'{"share": 0.5}', 422),
        (b'{"share": "1.001"}', 422),
        (b'{"share": "0.5555"}', 422),
        (b'{"at": "2026-05-03T12:00:00"}', 422),
        (b'{"at": "2026-05-03"}', 422),
        (b'{"at": 1700000000}', 422),
        (b'{"at": "1700000000"}', 422),
        (b'{"at": "0001-01-01T00:00:00+14:00"}', 422),
        (b'{"at": "9999-12-31T23:59:59-14:00"}', 422),
        (b'{"at": "10000-01-01T00:00:00Z"}', 422),
        (b'{"at": "2026-13-03T12:00:00Z"}', 422),
        (b'{"key": "x"}', 422),
        (b'{"context": []}', 422),
    ],
)
def test_a_body_that_cannot_be_used_is_refused_with_a_sentence(machine, body, status) -> None:
    assert is_problem(machine().post("kinds", raw=body), status)


def test_each_mistake_of_a_body_is_named_with_its_place(machine) -> None:
    told = machine().post("kinds", {"number": 0, "at": "soon", "more": 1}).json()
    assert {error["where"] for error in told["errors"]} == {"body.number", "body.at", "body.more"}
    assert all(error["what"] for error in told["errors"])
    assert "body.number" in told["detail"]


def test_times_are_answered_in_utc_and_decimals_as_texts(machine) -> None:
    given = {"at": "2026-05-03T15:00:00.123456789+03:00", "amount": "12.50", "share": "0.925"}
    told = machine().post("kinds", given).json()
    assert told["at"] == "2026-05-03T12:00:00.123456Z"


def test_a_whole_number_may_be_written_with_a_fraction_of_nothing(machine) -> None:
    assert machine().post("kinds", raw=b'{"number": 3.0}').json()["number"] == 3


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/json", 200),
        ("application/json; charset=UTF-8", 200),
        ("APPLICATION/JSON", 200),
        ("application/json; charset=latin-1", 415),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=x", 415),
        ("", 415),
    ],
)
def test_a_body_of_another_kind_is_refused(machine, kind, status) -> None:
    answer = machine().post("kinds", {}, content_type=kind)
    assert answer.status_code == status
    assert status == 200 or is_problem(answer, status)


def test_a_body_that_is_too_large_is_refused_unread(machine) -> None:
    caller = machine()
    just = b'{"text": "' + b" " * (2 * 1024 * 1024 - 12) + b'"}'
    assert is_problem(caller.post("kinds", raw=just), 422)
    assert is_problem(caller.post("kinds", raw=just + b" "), 413)
    headers = {"Authorization": f"Bearer {caller.token}"}
    claimed = caller.client.post(
        "/api/v1/upload", b"", content_type="multipart/form-data; boundary=x", headers=headers, CONTENT_LENGTH=2**40
    )
    assert is_problem(claimed, 413)


def test_a_body_without_a_length_is_refused(machine) -> None:
    assert is_problem(machine().post("kinds", **{"Transfer-Encoding": "chunked"}), 411)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("head", "says"),
    [("POST /api/v1/kinds", b" 400 "), ("POST /api/v1/kinds?\x80", b" 400 "), ("POST /api/v1/\x80", b" 404 ")],
)
def test_what_no_client_sends_is_refused_too(live_server, head, says) -> None:
    """A body that ends before its length, and addresses in another encoding."""
    lines = [head + " HTTP/1.1", "Host: localhost", f"Authorization: Bearer {make_token()}"]
    lines += ["Content-Type: application/json", "Content-Length: 50", "", "{}"]
    with socket.create_connection((live_server.thread.host, live_server.thread.port)) as line:
        line.sendall("\r\n".join(lines).encode("latin-1"))
        line.shutdown(socket.SHUT_WR)
        answer = line.makefile("rb").read()
    assert says in answer.splitlines()[0]
    assert b"application/problem+json" in answer


@pytest.mark.parametrize("body", [b"", b"--x\r\n", b"--x--", b"\x00" * 100, b"--x\r\nContent-Disposition: form-data"])
def test_a_broken_upload_is_refused(machine, body) -> None:
    answer = machine().post("upload", raw=body, content_type="multipart/form-data; boundary=x")
    assert answer.status_code in {400, 422}
    assert is_problem(answer, answer.status_code)
    assert machine().post("upload", raw=body, content_type="multipart/form-data").status_code in {400, 422}


# Addresses


@pytest.mark.parametrize("query", ["x=1", "%ff=1", "a=%00", "a=%ff"])
def test_what_an_address_should_not_say_is_refused(machine, query) -> None:
    answer = machine().post(f"kinds?{query}")
    assert is_problem(answer, 422 if query == "x=1" else 400)


@pytest.mark.parametrize("path", ["nowhere", "kinds/", "kinds/x", "../v2/x", "kinds%00", "%ff", "who//"])
@pytest.mark.parametrize("method", ["get", "post", "put", "delete", "options"])
def test_what_is_not_there_is_a_problem_and_never_a_redirect(client, path, method) -> None:
    answer = getattr(client, method)(f"/api/v1/{path}")
    assert is_problem(answer, 404)


@pytest.mark.parametrize("method", ["get", "put", "patch", "delete", "options", "trace"])
def test_another_method_is_told_which_there_is(client, settings, method) -> None:
    settings.DEBUG = True  # where Django would raise for a POST that it should redirect
    answer = getattr(client, method)("/api/v1/kinds")
    assert is_problem(answer, 405)
    assert answer["Allow"] == "POST"


@pytest.mark.urls("config.urls")
def test_a_host_that_is_not_ours_is_a_problem_too(client) -> None:
    answer = client.get("/api/v1/kinds", headers={"Host": "evil.example"})
    assert answer.status_code == 400
    assert answer["Content-Type"] == "application/problem+json"
    assert client.get("/nowhere", headers={"Host": "evil.example"})["Content-Type"].startswith("text/html")


def test_answers_are_not_kept_on_the_way(machine) -> None:
    assert machine().post("kinds")["Cache-Control"] == "no-store"
    assert machine().get("nowhere")["Cache-Control"] == "no-store"


# The database's refusals


@pytest.mark.parametrize(
    ("rule", "status", "says"),
    [
        ("check", 422, "status must be one of"),
        ("unique", 409, "contradicts"),
        ("reference", 404, "does not exist"),
        ("trigger", 409, "retired"),
        ("number", 422, "larger"),
        ("lock", 503, "try again"),
        ("mistake", 500, "trace"),
    ],
)
def test_what_the_database_refuses_is_told_in_words(machine, rule, status, says) -> None:
    Agent.objects.create(agent_id="y", status="active")
    answer = machine().post(f"rules/{rule}")
    assert is_problem(answer, status)
    detail = answer.json()["detail"]
    assert says in detail
    assert not any(word in detail for word in ("INSERT", "SELECT", "relation", "violates", "psycopg"))


def test_people_are_no_actors_of_the_api(machine) -> None:
    """An operation of a token leaves audit rows of the token, though a person is signed in in the same browser."""
    caller = machine(name="its name")
    person: User = factories.make_user()
    caller.client.force_login(person, backend="django.contrib.auth.backends.ModelBackend")
    caller.post("agents", {"agent_id": "made"}, **{"X-Trace-Id": TRACE})
    row = AuditLog.objects.get(entity_type="agent", entity_id="made")
    assert (row.actor_type, row.actor_id, row.tool_name, row.trace_id) == ("worker", "its name", "its name", TRACE)


# Its description


@pytest.mark.urls("config.urls")
def test_the_description_needs_no_token_and_declares_what_can_happen(client) -> None:
    told = client.get("/api/v1/openapi.json").json()
    assert told["openapi"] == "3.1.0"
    assert told["components"]["securitySchemes"]["Bearer"] == {"type": "http", "scheme": "bearer"}
    for path, methods in told["paths"].items():
        for method, operation in methods.items():
            answers = operation["responses"]
            wanted = {"400", "401", "403", "404", "409", "411", "413", "415", "422"} if method == "post" else {"401"}
            assert wanted <= answers.keys(), path
            assert operation["description"], path
            assert operation["security"][0]["Bearer"], path
            problems = [answer for status, answer in answers.items() if status >= "400"]
            assert all(list(answer["content"]) == ["application/problem+json"] for answer in problems), path


@pytest.mark.urls("config.urls")
def test_every_reference_of_the_description_leads_somewhere(client) -> None:
    text = client.get("/api/v1/openapi.json").content.decode()
    told = json.loads(text)
    names = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert names <= told["components"]["schemas"].keys()
    assert "x-ref" not in text


def test_no_two_schemas_have_one_name() -> None:
    """In the description they would be one."""
    names = [kind.__name__ for base in (Incoming, Answer) for kind in _below(base) if "tests." not in kind.__module__]
    assert sorted(names) == sorted(set(names))


def _below(kind: type) -> set[type]:
    return {kind}.union(*(_below(each) for each in kind.__subclasses__()))


@pytest.mark.urls("config.urls")
def test_the_docs_show_every_operation_to_everybody_with_nothing_inline(client) -> None:
    assert client.get("/api/v1/", follow=True).status_code == 200
    answer = client.get("/api/v1/docs")
    page = answer.content.decode()
    assert answer.status_code == 200
    assert "default-src 'self'" in answer["Content-Security-Policy"]
    for operations in api.described["paths"].values():
        for operation in operations.values():
            assert f'id="{operation["operationId"]}"' in page
    for inline in ("<style", " style=", " onclick=", "<script>"):
        assert inline not in page
    assert is_problem(client.post("/api/v1/docs"), 405)


@pytest.mark.urls("config.urls")
def test_every_operation_goes_through_the_door() -> None:
    """Whoever adds a route gets tokens, limits and Idempotency-Key without asking."""
    for router in api._get_bound_routers():
        for view in router.path_operations.values():
            for operation in view.operations:
                assert operation.run.__closure__, operation.path
                stranger = Machine("gh_x")
                path = operation.path.replace("{", "").replace("}", "")
                answer = stranger.post(path) if "POST" in operation.methods else stranger.get(path)
                assert answer.status_code == 401, operation.path


def test_tokens_are_made_by_the_service_that_people_use() -> None:
    assert make_token(TokenRole.PLANNER).startswith("gh_")
