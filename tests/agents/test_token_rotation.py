"""A token is replaced while both work; the old one ends by itself, or at once where it has leaked."""

import re
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from agents.authentication import BadToken, authenticate
from agents.models import ApiToken
from agents.services import create_token, revoke_token, rotate_token
from audit.context import Actor
from audit.errors import Conflict, Invalid, NotAllowed
from audit.models import AuditLog
from config.groups import ADMINISTRATOR, AUDITOR, OPERATOR
from tests.agents.test_tokens import SHAPE, everything_stored, made
from tests.concurrency import together
from tests.factories import make_agent, make_user

ACTOR = Actor.system("test")
MINUTE = timedelta(minutes=1)

pytestmark = pytest.mark.django_db


@pytest.fixture
def administrator() -> Client:
    client = Client()
    client.force_login(make_user(ADMINISTRATOR), backend="django.contrib.auth.backends.ModelBackend")
    return client


def rotated(token: ApiToken, **given: Any) -> tuple[ApiToken, ApiToken, str]:
    return rotate_token(**({"token_id": token.pk, "actor": ACTOR} | given))


def test_both_work_for_a_day_and_then_the_new_one_alone() -> None:
    agent = make_agent("writer-4")
    first, text = create_token(name="writers", role="worker", agent=agent, actor=ACTOR)
    old, new, new_text = rotated(first)
    assert (new.name, new.role, new.agent, new.expires_at) == ("writers", "worker", agent, None)
    assert abs(old.expires_at - timezone.now() - timedelta(hours=24)) < MINUTE
    assert (authenticate(text).pk, authenticate(new_text).pk) == (old.pk, new.pk)
    ApiToken._base_manager.filter(pk=old.pk).update(expires_at=timezone.now())
    with pytest.raises(BadToken, match="has expired"):
        authenticate(text)
    assert authenticate(new_text).pk == new.pk


def test_where_it_has_leaked_the_old_one_ends_at_once() -> None:
    first, text = create_token(name="writers", role="worker", actor=ACTOR)
    old, _, new_text = rotated(first, overlap=timedelta(0))
    assert old.revoked_at is not None
    with pytest.raises(BadToken, match="was revoked"):
        authenticate(text)
    assert authenticate(new_text)


def test_an_old_one_that_ends_sooner_is_not_given_more_time() -> None:
    soon = timezone.now() + timedelta(hours=1)
    old, new, _ = rotated(made(expires_at=soon))
    assert old.expires_at == soon
    assert abs(new.expires_at - soon) < MINUTE  # as long as the old one was made for


def test_it_lives_as_long_as_the_old_one_was_made_for_or_as_is_said() -> None:
    _, new, _ = rotated(made(expires_at=timezone.now() + timedelta(days=90)))
    assert abs(new.expires_at - timezone.now() - timedelta(days=90)) < MINUTE
    wanted = timezone.now() + timedelta(days=5)
    assert rotated(made(), expires_at=wanted)[1].expires_at == wanted


def test_the_audit_log_tells_both_and_the_secret_is_nowhere() -> None:
    old, new, text = rotated(made())
    rows = {row.action: row for row in AuditLog.objects.filter(entity_id__in=[str(old.pk), str(new.pk)])}
    assert rows["rotate"].entity_id == str(old.pk)
    assert rows["rotate"].output_summary == f"{new} takes its place"
    assert list(rows["rotate"].changes) == ["expires_at"]
    assert AuditLog.objects.get(entity_id=str(new.pk)).output_summary == f"In the place of {old}"
    stored = everything_stored()
    assert text not in stored
    assert text[12:] not in stored


@pytest.mark.parametrize("how", ["revoked", "expired"])
def test_one_that_has_ended_is_not_replaced(how: str) -> None:
    token = made()
    if how == "revoked":
        revoke_token(token_id=token.pk, actor=ACTOR)
    else:
        ApiToken._base_manager.filter(pk=token.pk).update(expires_at=timezone.now())
    with pytest.raises(Conflict, match="Make a new one"):
        rotated(token)
    assert ApiToken.objects.count() == 1


def test_what_cannot_be_is_refused() -> None:
    token = made()
    with pytest.raises(Invalid, match="30 days at most"):
        rotated(token, overlap=timedelta(days=31))
    with pytest.raises(Invalid, match="30 days at most"):
        rotated(token, overlap=timedelta(seconds=-1))
    with pytest.raises(NotAllowed):
        rotated(token, actor=Actor.human(make_user(OPERATOR)))
    assert ApiToken.objects.get().expires_at is None


@pytest.mark.django_db(transaction=True)
def test_of_two_at_once_one_is_told_so() -> None:
    token = made()
    outcomes = together(*[lambda: rotated(token)] * 2)
    assert sorted(isinstance(outcome, Conflict) for outcome in outcomes) == [False, True]
    assert ApiToken.objects.count() == 2


def test_one_that_was_replaced_is_not_replaced_again() -> None:
    """The second would live for as long as the first has left."""
    old, new, _ = rotated(made())
    with pytest.raises(Conflict, match="was replaced already and works until"):
        rotated(old)
    assert rotated(new)[1].expires_at is None


# --- The console -----------------------------------------------------------------------------------------------------


def form_of(client: Client, token: ApiToken, overlap: str) -> dict[str, str]:
    page = client.get(reverse("admin:agents_apitoken_rotate", args=[token.pk])).content.decode()
    (key,) = re.findall(r'name="token_id" value="([0-9a-f-]{36})"', page)
    return {"token_id": key, "overlap": overlap}


def test_the_console_shows_the_new_one_once(administrator: Client) -> None:
    token = made()
    address = reverse("admin:agents_apitoken_rotate", args=[token.pk])
    assert address in administrator.get(reverse("admin:agents_apitoken_change", args=[token.pk])).content.decode()
    form = form_of(administrator, token, "7d")
    answer = administrator.post(address, form)
    (text,) = set(SHAPE.findall(answer.content.decode()))
    assert "no-store" in answer["Cache-Control"]
    assert "It was never used" in answer.content.decode()
    assert authenticate(text).name == token.name
    token.refresh_from_db()
    assert abs(token.expires_at - timezone.now() - timedelta(days=7)) < MINUTE
    again = administrator.post(address, form)  # the page, loaded again
    assert "already" in again.content.decode()
    assert not SHAPE.search(again.content.decode())
    assert ApiToken.objects.count() == 2


def test_the_console_revokes_one_that_leaked(administrator: Client) -> None:
    token = made()
    address = reverse("admin:agents_apitoken_rotate", args=[token.pk])
    assert "is revoked" in administrator.post(address, form_of(administrator, token, "0")).content.decode()
    assert (
        "Make a new one" in administrator.post(address, {"token_id": str(token.pk), "overlap": "1h"}).content.decode()
    )
    assert address not in administrator.get(reverse("admin:agents_apitoken_change", args=[token.pk])).content.decode()


def test_an_auditor_sees_tokens_and_replaces_none() -> None:
    token, client = made(), Client()
    client.force_login(make_user(AUDITOR), backend="django.contrib.auth.backends.ModelBackend")
    assert client.post(reverse("admin:agents_apitoken_rotate", args=[token.pk])).status_code == 403
    assert ApiToken.objects.count() == 1


# --- The command -----------------------------------------------------------------------------------------------------


def test_the_command_prints_the_new_one_alone() -> None:
    token, out, err = made(), StringIO(), StringIO()
    call_command("rotate_token", token.prefix, "--overlap", "30m", "--expires", "90d", stdout=out, stderr=err)
    assert SHAPE.fullmatch(out.getvalue().removesuffix("\n"))
    new = authenticate(out.getvalue().strip())
    assert abs(new.expires_at - timezone.now() - timedelta(days=90)) < MINUTE
    token.refresh_from_db()
    assert abs(token.expires_at - timezone.now() - timedelta(minutes=30)) < MINUTE
    assert out.getvalue().strip() not in err.getvalue()
    assert "it was last used: never" in err.getvalue()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["gh_nothing"], "write its first 12 characters"),
        (["a\0b"], "write its first 12 characters"),
        (["", "--overlap", "0"], "write its first 12 characters"),
        (["PREFIX", "--overlap", "soon"], "'soon' is none of them"),
        (["PREFIX", "--overlap", "99999d"], "30 days at most"),
        (["PREFIX", "--expires", "2020-01-31"], "would have expired already"),
    ],
)
def test_the_command_refuses_in_one_sentence(arguments: list[str], said: str) -> None:
    token = made()
    with pytest.raises(CommandError, match=re.escape(said)):
        call_command("rotate_token", *[token.prefix if each == "PREFIX" else each for each in arguments])
    assert ApiToken.objects.get().expires_at is None
