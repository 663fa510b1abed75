"""Tokens: made with their rules, shown once, kept as a prefix and a hash, ended once."""

import hashlib
import re
import uuid
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from agents.choices import TokenRole
from agents.models import Agent, ApiToken
from agents.services import create_token, revoke_token
from audit.context import Actor
from audit.errors import Conflict, Invalid, NotAllowed
from audit.models import AuditLog
from config.groups import ADMINISTRATOR, AUDITOR, GROUPS, OPERATOR, REVIEWER
from tests.concurrency import one_then_other, together
from tests.factories import make_agent, make_user

ACTOR = Actor.system("test")
ADD = "/admin/agents/apitoken/add/"
SHAPE = re.compile(r"gh_[\w-]{43}")  # 43 characters of 6 bits: 32 bytes
AUTHOR = Actor.system("create_token")

pytestmark = pytest.mark.django_db


@pytest.fixture
def administrator() -> Client:
    client = Client()
    client.force_login(make_user(ADMINISTRATOR), backend="django.contrib.auth.backends.ModelBackend")
    return client


def made(**fields: Any) -> ApiToken:
    return create_token(**({"name": "writers", "role": "worker", "actor": ACTOR} | fields))[0]


def form_of(client: Client, **given: Any) -> dict[str, Any]:
    """What a browser sends after the form was filled in."""
    page = client.get(ADD).content.decode()
    (key,) = re.findall(r'name="token_id" value="([0-9a-f-]{36})"', page)
    return {"token_id": key, "name": "writers", "role": "worker", "agent": "", "expires_at": "", **given}


def everything_stored() -> str:
    """Each text, number and JSON of every table where a token could have been left, sessions included."""
    tables = ["api_token", "audit_log", "cron_job", "idempotency_key", "django_admin_log"]
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(f'SELECT to_jsonb(t)::text FROM "{table}" t' for table in tables))
        rows = "\n".join(row for (row,) in cursor.fetchall())
    return rows + "\n".join(str(session.get_decoded()) for session in Session.objects.all())


# --- Made ------------------------------------------------------------------------------------------------------------


def test_a_token_is_kept_as_prefix_and_hash_only() -> None:
    token, text = create_token(name=" writers ", role="worker", actor=ACTOR)
    assert SHAPE.fullmatch(text)
    token.refresh_from_db()
    assert (token.name, token.role, token.agent, token.expires_at) == ("writers", "worker", None, None)
    assert (token.prefix, token.token_sha256) == (text[:12], hashlib.sha256(text.encode()).hexdigest())
    stored = everything_stored()
    assert token.prefix in stored
    assert text not in stored
    assert text[12:] not in stored


def test_the_audit_row_tells_who_made_it_and_not_its_hash() -> None:
    token, _ = create_token(name="writers", role="worker", actor=AUTHOR)
    row = AuditLog.objects.get(entity_type="api_token", entity_id=str(token.pk))
    assert (row.action, row.actor_type, row.actor_id) == ("create", "system", "create_token")
    assert row.changes["token_sha256"] == ["[redacted]", "[redacted]"]
    assert token.token_sha256 not in str(row.changes)


def test_tokens_are_told_apart_by_their_prefix() -> None:
    tokens = [create_token(name="same", role="judge", agent=agent, actor=ACTOR) for agent in [make_agent()] * 50]
    assert len({token.prefix for token, _ in tokens}) == len({text for _, text in tokens}) == 50


@pytest.mark.parametrize("role", TokenRole.values)
def test_every_role_has_tokens_bound_to_an_agent_or_to_none(role: str) -> None:
    agent = make_agent()
    assert made(role=role, agent=agent).agent == agent
    if role != TokenRole.JUDGE:
        assert made(role=role).agent is None


@pytest.mark.parametrize(
    ("given", "kind", "said"),
    [
        ({"name": "  "}, Invalid, "Give the token a name"),
        ({"name": "a\0b"}, Invalid, "characters that can be shown"),
        ({"name": "two\nlines"}, Invalid, "characters that can be shown"),
        ({"name": "half \udc80"}, Invalid, "characters that can be shown"),
        ({"role": "superuser"}, Invalid, "There is no role “superuser”; a token is for one of: planner, worker"),
        ({"role": "judge"}, Invalid, "judge's token is bound to its agent"),
        ({"expires_at": datetime(2020, 1, 1, tzinfo=UTC)}, Invalid, "would have expired already"),
        ({"expires_at": datetime.max.replace(tzinfo=UTC)}, Invalid, "before the year 9999 ends"),
    ],
)
def test_what_cannot_be_is_refused_in_words(given: dict[str, Any], kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=re.escape(said)):
        made(**given)
    assert not ApiToken.objects.exists()


def test_a_retired_agent_is_given_no_token() -> None:
    agent = make_agent("writer-4")
    suspended = make_agent("writer-5", status="suspended")
    agent = agent.change("update", status="retired")
    with pytest.raises(Conflict, match="Agent “writer-4” is retired"):
        made(agent=agent)
    assert made(agent=suspended).agent == suspended


def test_the_database_too_wants_judges_bound() -> None:
    with pytest.raises(IntegrityError, match="api_token_agent_id_check"), transaction.atomic():
        ApiToken.objects.create(name="j", role="judge", prefix="gh_", token_sha256="0" * 64)


@pytest.mark.parametrize("group", [REVIEWER, OPERATOR, AUDITOR, ADMINISTRATOR])
def test_people_need_the_permissions(group: str) -> None:
    actor, token = Actor.human(make_user(group)), made()
    if group == ADMINISTRATOR:
        assert {"agents.add_apitoken", "agents.change_apitoken"} <= set(GROUPS[group])
        made(actor=actor)
        revoke_token(token_id=token.pk, actor=actor)
        return
    with pytest.raises(NotAllowed, match="You may not make tokens"):
        made(actor=actor)
    with pytest.raises(NotAllowed, match="You may not revoke tokens"):
        revoke_token(token_id=token.pk, actor=actor)
    token.refresh_from_db()
    assert (token.revoked_at, ApiToken.objects.count()) == (None, 1)


# --- Ended -----------------------------------------------------------------------------------------------------------


def test_a_token_is_revoked_once() -> None:
    token = made()
    before = timezone.now()
    assert before <= revoke_token(token_id=token.pk, actor=ACTOR).revoked_at <= timezone.now()
    with pytest.raises(Conflict, match=f"Token “writers \\({re.escape(token.prefix)}…\\)” was revoked already"):
        revoke_token(token_id=token.pk, actor=ACTOR)
    assert AuditLog.objects.filter(entity_id=str(token.pk), action="revoke").count() == 1
    with pytest.raises(Invalid, match="no such token"):
        revoke_token(token_id=uuid.uuid4(), actor=ACTOR)


@pytest.mark.django_db(transaction=True)
def test_of_two_who_revoke_one_is_told_that_it_was_done() -> None:
    token = made()

    def revoke() -> ApiToken:
        return revoke_token(token_id=token.pk, actor=ACTOR)

    first, second = one_then_other(revoke, revoke)
    assert isinstance(first, ApiToken)
    assert isinstance(second, Conflict)
    row = ApiToken.objects.get()
    assert row.revoked_at == first.revoked_at
    assert AuditLog.objects.filter(entity_id=str(token.pk), action="revoke").count() == 1


@pytest.mark.django_db(transaction=True)
def test_of_many_who_revoke_at_once_one_does() -> None:
    token = made()
    told = together(*[lambda: revoke_token(token_id=token.pk, actor=ACTOR)] * 6)
    assert sorted(type(each).__name__ for each in told) == ["ApiToken", *["Conflict"] * 5]


@pytest.mark.django_db(transaction=True)
def test_a_form_sent_twice_at_once_makes_one_token() -> None:
    key = uuid.uuid4()
    told = together(*[lambda: create_token(name="writers", role="worker", token_id=key, actor=ACTOR)] * 4)
    assert sorted(type(each).__name__ for each in told) == [*["Conflict"] * 3, "tuple"]
    assert ApiToken.objects.count() == 1
    assert AuditLog.objects.filter(entity_type="api_token").count() == 1


# --- The console -----------------------------------------------------------------------------------------------------


def test_an_administrator_makes_a_token_and_sees_it_once(
    administrator: Client, caplog: pytest.LogCaptureFixture
) -> None:
    agent, until = make_agent("writer-4"), timezone.now() + timedelta(days=90)
    given = form_of(administrator, agent="writer-4", expires_at=f"{until:%Y-%m-%dT%H:%M}")

    answer = administrator.post(ADD, given)

    page = answer.content.decode()
    (text,) = set(SHAPE.findall(page))
    assert answer.status_code == 200
    assert "no-store" in answer["Cache-Control"]
    assert f"curl -H 'Authorization: Bearer {text}' http://testserver/api/v1/campaigns" in page
    assert "<b>Replace…</b>" in page
    token = ApiToken.objects.get()
    assert (token.name, token.role, token.agent) == ("writers", "worker", agent)
    assert token.expires_at == until.replace(second=0, microsecond=0)
    assert token.token_sha256 == hashlib.sha256(text.encode()).hexdigest()
    row = AuditLog.objects.get(entity_id=str(token.pk))
    assert (row.actor_type, row.tool_name) == ("human", "console")

    own = reverse("admin:agents_apitoken_change", args=[token.pk])
    assert own in page
    for path in (own, "/admin/agents/apitoken/", ADD, "/admin/", "/admin/audit/auditlog/"):
        later = administrator.get(path)
        assert later.status_code == 200
        assert text not in later.content.decode()
    assert text not in everything_stored() + caplog.text + str(answer.headers) + str(answer.cookies)


def test_the_page_loaded_again_makes_no_second_token_and_shows_none(administrator: Client) -> None:
    given = form_of(administrator)
    administrator.post(ADD, given)
    again = administrator.post(ADD, given)
    page = again.content.decode()
    assert "has made the token “writers (gh_" in page
    assert not SHAPE.findall(page)
    assert ApiToken.objects.count() == 1
    administrator.post(ADD, form_of(administrator))  # the form anew is another token
    assert ApiToken.objects.count() == 2


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"name": ""}, "This field is required"),
        ({"name": "a\0b"}, "Null characters"),
        ({"role": ""}, "This field is required"),
        ({"role": "root"}, "Select a valid choice"),
        ({"role": "judge"}, "A judge&#x27;s token is bound to its agent"),
        ({"agent": "nobody"}, "Nothing is called “nobody” here"),
        ({"agent": "old-one"}, "Agent “old-one” is retired"),
        ({"expires_at": "2020-01-01T10:00"}, "would have expired already"),
        ({"expires_at": "9999-12-31T23:00"}, "before the year 9999 ends"),
        ({"token_id": "not a key"}, "1 field needs another look"),
    ],
)
def test_the_form_refuses_in_words_and_keeps_what_was_typed(
    administrator: Client, given: dict[str, Any], said: str
) -> None:
    make_agent("old-one").change("update", status="retired")
    typed = form_of(administrator, **{"name": "typed"} | given)
    answer = administrator.post(ADD, typed)
    page = answer.content.decode()
    assert answer.status_code == 200
    assert said in page
    assert "gh_" not in page
    assert not ApiToken.objects.exists()
    if given.keys() & {"role", "agent", "expires_at"}:
        assert 'value="typed"' in page
        right = typed | {"role": "worker", "agent": "", "expires_at": ""}
        assert SHAPE.search(administrator.post(ADD, right).content.decode())  # the same form, put right


@pytest.mark.parametrize("group", [REVIEWER, OPERATOR, AUDITOR, ""])
def test_nobody_else_makes_or_revokes_tokens_here(group: str) -> None:
    token, client = made(), Client()
    client.force_login(make_user(group), backend="django.contrib.auth.backends.ModelBackend")
    revoke = reverse("admin:agents_apitoken_revoke", args=[token.pk])
    given = {"token_id": uuid.uuid4(), "name": "mine", "role": "worker"}
    answers = [client.get(ADD), client.post(ADD, given), client.get(revoke), client.post(revoke)]
    assert [answer.status_code for answer in answers] == [403] * 4
    listed = client.get("/admin/agents/apitoken/")
    assert listed.status_code == (200 if group == AUDITOR else 403)
    assert "New API token" not in listed.content.decode()
    assert not ApiToken.objects.exclude(pk=token.pk, revoked_at=None).exists()


def test_a_token_is_revoked_once_at_the_console_too(administrator: Client) -> None:
    token = made()
    revoke = reverse("admin:agents_apitoken_revoke", args=[token.pk])
    page = reverse("admin:agents_apitoken_change", args=[token.pk])
    assert revoke in administrator.get(page).content.decode()
    assert "turned away" in administrator.get(revoke).content.decode()
    assert "is revoked." in administrator.post(revoke, follow=True).content.decode()
    assert "was revoked already." in administrator.post(revoke, follow=True).content.decode()
    assert revoke not in administrator.get(page).content.decode()
    assert AuditLog.objects.filter(entity_id=str(token.pk), action="revoke").count() == 1


# --- The command -----------------------------------------------------------------------------------------------------


def run(*arguments: str) -> tuple[str, str]:
    out, err = StringIO(), StringIO()
    call_command("create_token", *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def test_the_command_prints_the_token_alone() -> None:
    make_agent("writer-4")
    out, err = run("the press", "--role", "worker", "--agent", "writer-4", "--expires", "90d")
    assert SHAPE.fullmatch(out.removesuffix("\n"))
    token = ApiToken.objects.get()
    assert token.token_sha256 == hashlib.sha256(out.strip().encode()).hexdigest()
    assert (token.name, token.role, token.agent_id) == ("the press", "worker", "writer-4")
    assert abs(token.expires_at - timezone.now() - timedelta(days=90)) < timedelta(minutes=1)
    assert f"Made “the press ({token.prefix}…)” for the role worker; it acts as writer-4 alone and expires" in err
    assert out.strip() not in err + everything_stored()
    assert AuditLog.objects.get(entity_id=str(token.pk)).actor_id == "create_token"


def test_the_command_takes_a_day_as_the_end() -> None:
    _, err = run("planner", "--role", "planner", "--expires", "2999-01-31")
    assert ApiToken.objects.get().expires_at == datetime(2999, 1, 31, tzinfo=UTC)
    assert "is bound to no agent and expires 2999-01-31 00:00 UTC" in err
    assert "never expires" in run("planner", "--role", "planner")[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["x", "--role", "boss"], "There is no role “boss”"),
        (["x", "--role", "judge"], "A judge's token is bound to its agent"),
        (["", "--role", "worker"], "Give the token a name"),
        (["a\0b", "--role", "worker"], "characters that can be shown"),
        (["x", "--role", "worker", "--agent", "nobody"], "There is no agent “nobody”."),
        (["x", "--role", "worker", "--agent", "a\0b"], "There is no agent"),
        (["x", "--role", "worker", "--agent", "\udc80"], "There is no agent"),
        (["x", "--role", "worker", "--agent", "old-one"], "is retired"),
        (["x", "--role", "worker", "--expires", "soon"], "is written like 90d or 2027-01-31; 'soon' is neither."),
        (["x", "--role", "worker", "--expires", "2020-02-31"], "is written like"),
        (["x", "--role", "worker", "--expires", "2020-01-31"], "would have expired already"),
        (["x", "--role", "worker", "--expires", "0d"], "would have expired already"),
        (["x", "--role", "worker", "--expires", "9999999999d"], "is written like"),
        (["x", "--role", "worker", "--expires", "9999-12-31"], "before the year 9999 ends"),
    ],
)
def test_the_command_refuses_in_one_sentence(arguments: list[str], said: str) -> None:
    make_agent("old-one").change("update", status="retired")
    with pytest.raises(CommandError, match=re.escape(said)):
        run(*arguments)
    assert not ApiToken.objects.exists()
    assert Agent.objects.count() == 1
