"""The end of somebody's sessions, by an Administrator and by the clock."""

from datetime import timedelta

import pytest
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone

from accounts.models import User
from accounts.services.sessions import end_sessions, forget_ended_sessions
from audit.context import Actor
from audit.errors import NotAllowed
from audit.models import AuditLog
from config.groups import ADMINISTRATOR, OPERATOR, REVIEWER
from tests.factories import make_user

pytestmark = pytest.mark.django_db
BACKEND = "django.contrib.auth.backends.ModelBackend"


def browser_of(person: User) -> Client:
    client = Client()
    client.force_login(person, backend=BACKEND)
    assert is_in(client)
    return client


def is_in(client: Client) -> bool:
    return client.get("/admin/you/").status_code == 200


def test_an_administrator_signs_somebody_out_everywhere() -> None:
    person, other, administrator = make_user(OPERATOR), make_user(REVIEWER), make_user(ADMINISTRATOR)
    lost, desk, stranger, client = map(browser_of, (person, person, other, administrator))
    page = f"/admin/accounts/user/{person.pk}/change/"
    assert "Sign out everywhere" in client.get(page).content.decode()
    told = client.post(f"/admin/accounts/user/{person.pk}/sign_out/", follow=True)
    assert f"{person} is signed out everywhere: 2 sessions." in told.content.decode()
    assert (is_in(lost), is_in(desk), is_in(stranger), is_in(client)) == (False, False, True, True)
    row = AuditLog.objects.get(entity_id=str(person.pk), action="sign_out")
    assert (row.actor_id, row.changes) == (f"user:{administrator.pk}", {"sessions": [2, 0]})
    told = client.post(f"/admin/accounts/user/{person.pk}/sign_out/", follow=True)
    assert f"{person} is signed in nowhere." in told.content.decode()
    browser_of(person)


def test_who_is_switched_on_again_signs_in_again() -> None:
    person, client = make_user(REVIEWER), browser_of(make_user(ADMINISTRATOR))
    theirs = browser_of(person)
    form = {"email": person.email, "display_name": person.display_name}
    groups = [group.pk for group in person.groups.all()]
    page = f"/admin/accounts/user/{person.pk}/change/"
    assert client.post(page, {**form, "groups": groups}).status_code == 302
    assert client.post(page, {**form, "groups": groups, "is_active": "on"}).status_code == 302
    person.refresh_from_db()
    assert person.is_active
    assert not is_in(theirs)


def test_nobody_else_may_and_an_administrator_not_with_a_superuser() -> None:
    root, administrator, operator = make_user(is_superuser=True), make_user(ADMINISTRATOR), make_user(OPERATOR)
    theirs = browser_of(root)
    for person in (administrator, operator):
        path = f"/admin/accounts/user/{root.pk}/sign_out/"
        assert browser_of(person).post(path).status_code == 403
        with pytest.raises(NotAllowed):
            end_sessions(person=root, actor=Actor.human(person))
    assert is_in(theirs)


def test_the_clock_forgets_sessions_that_have_ended() -> None:
    theirs = browser_of(make_user(REVIEWER))
    browser_of(make_user(REVIEWER))
    ended = Session.objects.filter(pk=theirs.session.session_key)
    ended.update(expire_date=timezone.now() - timedelta(seconds=1))
    assert forget_ended_sessions(actor=Actor.system("run_due")) == 1
    assert Session.objects.count() == 1
