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
from config.groups import ADMINISTRATOR, AUDITOR, OPERATOR, REVIEWER
from tests.factories import PASSWORD, make_user

pytestmark = pytest.mark.django_db
PAGE = "/admin/you/sessions/"
ON_A_PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Version/18.0 Safari/604.1"
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


def test_people_see_where_they_are_signed_in_and_end_the_others_with_their_password() -> None:
    person, stranger = make_user(AUDITOR), browser_of(make_user(AUDITOR))
    here, lost = Client(), Client(REMOTE_ADDR="192.0.2.7", headers={"user-agent": ON_A_PHONE})
    for client in (here, lost):
        client.post("/admin/login/", {"username": person.email, "password": PASSWORD})
        assert is_in(client)
    page = here.get(PAGE).content.decode()
    assert "Safari on iPhone" in page
    assert "from 192.0.2.7" in page
    assert page.count("this one") == 1

    refused = here.post(PAGE, {"password": "not it"})
    assert "This is not your password." in refused.content.decode()
    assert is_in(lost)

    told = here.post(PAGE, {"password": PASSWORD}, follow=True).content.decode()
    assert "You are signed out everywhere else: 1 session." in told
    assert "Nowhere else." in told
    assert (is_in(here), is_in(lost), is_in(stranger)) == (True, False, True)
    row = AuditLog.objects.get(entity_id=str(person.pk), action="sign_out")
    assert (row.actor_id, row.changes) == (f"user:{person.pk}", {"sessions": [2, 1]})


def test_the_password_is_not_guessed_there_for_ever(settings) -> None:
    settings.AXES_FAILURE_LIMIT = 3
    person = make_user(REVIEWER)
    client = browser_of(person)
    told = [client.post(PAGE, {"password": f"guess {n}"}) for n in range(4)]
    assert told[-1].status_code == 429
    assert client.post(PAGE, {"password": PASSWORD}).status_code == 429


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
