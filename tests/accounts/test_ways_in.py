"""Invitations and forgotten passwords: a link works once, for a time, for one thing, and tells strangers nothing."""

import re
import time
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import Group
from django.core import mail
from django.core.cache import cache
from django.test import Client

from accounts.models import User
from accounts.services.invitations import (
    LinkToken,
    invitation_link,
    invitation_token,
    invite_person,
    reset_token,
    send_invitation,
)
from accounts.views import links
from audit.context import Actor
from audit.errors import Conflict, NotAllowed
from audit.models import AuditLog
from config.groups import ADMINISTRATOR, AUDITOR, OPERATOR, REVIEWER
from tests import factories
from tests.factories import PASSWORD

pytestmark = pytest.mark.django_db(transaction=True)
ADD, FORGOTTEN = "/admin/accounts/user/add/", "/admin/password/forgotten/"
NEW = "another long phrase of theirs"


def administrator() -> Client:
    return browser_of(factories.make_user(ADMINISTRATOR, display_name="Hanna Tesfaye"))


def browser_of(person: User) -> Client:
    client = Client()
    client.force_login(person, backend="django.contrib.auth.backends.ModelBackend")
    return client


def link_in(message: mail.EmailMessage) -> str:
    (address,) = re.findall(r"https?://\S+/(?:join|password)/\S+", message.body)
    return urlsplit(address).path


def mails(amount: int = 1) -> list[mail.EmailMessage]:
    """A link for a password leaves in a thread of its own."""
    deadline = time.monotonic() + 5
    while len(mail.outbox) < amount and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(mail.outbox) == amount
    return mail.outbox


def ask(email: str, client: Client | None = None) -> int:
    return (client or Client()).post(FORGOTTEN, {"email": email}).status_code


def open_link(path: str, client: Client | None = None) -> tuple[Client, str, str]:
    """The browser, the address to which the link led, and the page there."""
    client = client or Client()
    answer = client.get(path, follow=True)
    return client, answer.request["PATH_INFO"], answer.content.decode()


def choose(path: str, **more: str) -> tuple[int, str]:
    client, form, _ = open_link(path)
    answer = client.post(form, {"new_password1": NEW, "new_password2": NEW, **more})
    return answer.status_code, answer.content.decode()


def can_sign_in(email: str, password: str = NEW) -> bool:
    return Client().post("/admin/login/?next=/admin/", {"username": email, "password": password}).status_code == 302


# --- Invitations -----------------------------------------------------------------------------------------------------


def invite(email: str = "New@Example.org", client: Client | None = None) -> User:
    group = Group.objects.get(name=AUDITOR)
    answer = (client or administrator()).post(ADD, {"email": email, "display_name": "New", "groups": [group.pk]})
    assert answer.status_code == 302, answer.content.decode()
    person: User = User.objects.get(email=email.lower())
    assert answer["Location"] == f"/admin/accounts/user/{person.pk}/change/"
    return person


def test_whoever_is_invited_chooses_name_and_password_and_is_in() -> None:
    client = administrator()
    assert "password" not in client.get(ADD).content.decode().split("<main")[1].lower().replace("name and password", "")
    person = invite(client=client)
    assert [group.name for group in person.groups.all()] == [AUDITOR]
    assert person.is_invited
    (message,) = mails()
    assert (message.to, message.subject) == (["new@example.org"], "[Gatehouse] You are invited to Gatehouse")
    assert "Hanna Tesfaye invites you to Gatehouse" in message.body

    stranger, form, page = open_link(link_in(message))
    assert form.endswith("/set-password/")  # the token is in the address no more
    assert 'value="New"' in page
    answer = stranger.post(form, {"display_name": " Almaz ", "new_password1": NEW, "new_password2": NEW})
    assert answer["Location"] == "/admin/password/chosen/"
    assert "Your password is set" in stranger.get(answer["Location"]).content.decode()
    person.refresh_from_db()
    assert (person.display_name, person.is_invited) == ("Almaz", False)
    assert can_sign_in("new@example.org")
    row = AuditLog.objects.filter(entity_id=str(person.pk), changes__has_key="password").latest("created_at")
    assert row.actor_id == f"user:{person.pk}"
    assert row.changes["password"] == ["[redacted]", "[redacted]"]


def test_a_link_that_was_used_says_so_and_what_to_do() -> None:
    invite()
    path = link_in(mails()[0])
    assert choose(path, display_name="Almaz")[0] == 302
    _, _, page = open_link(path)
    assert "You are in already" in page
    assert FORGOTTEN in page


@pytest.mark.parametrize("spoiled", ["older", "cut", "nobody", "switched off", "another's"])
def test_a_link_that_has_ended_says_so_and_what_to_do(spoiled, monkeypatch) -> None:
    person = invite()
    path = link_in(mails()[0])
    if spoiled == "older":
        later = datetime.now() + timedelta(days=7, seconds=5)
        monkeypatch.setattr(LinkToken, "_now", lambda self: later)
    elif spoiled == "cut":
        path = path[:-4] + "/"
    elif spoiled == "nobody":
        path = path.replace(path.split("/")[3], "MDE5")
    elif spoiled == "switched off":
        person.is_active = False
        person.save()
    else:
        other = invite_person(email="other@example.org", groups=[], actor=Actor.system("test"))
        path = path.replace(path.split("/")[4], invitation_link(other).split("/")[-2])
    client, form, page = open_link(path)
    assert "This invitation has ended" in page
    assert "Ask the Administrator" in page
    client.post(form, {"display_name": "x", "new_password1": NEW, "new_password2": NEW})
    person.refresh_from_db()
    assert person.is_invited


def test_an_invitation_lives_for_days_and_a_reset_for_an_hour(monkeypatch) -> None:
    person = factories.make_user()
    invited, reset = invitation_token.make_token(person), reset_token.make_token(person)
    assert not invitation_token.check_token(person, reset)
    assert not reset_token.check_token(person, invited)
    for hours, tokens in ((0.9, [True, True]), (1.1, [True, False]), (167, [True, False]), (169, [False, False])):
        later = datetime.now() + timedelta(hours=hours)
        monkeypatch.setattr(LinkToken, "_now", lambda self, later=later: later)
        assert [invitation_token.check_token(person, invited), reset_token.check_token(person, reset)] == tokens


def test_an_invitation_is_sent_again_and_the_page_says_since_when_it_waits() -> None:
    client = administrator()
    person = invite(client=client)
    page = client.get(f"/admin/accounts/user/{person.pk}/change/").content.decode()
    assert "Invited <time" in page
    assert "not yet in" in page
    assert "invited, not yet in" in client.get("/admin/accounts/user/").content.decode()
    answer = client.post(f"/admin/accounts/user/{person.pk}/invite/", follow=True)
    assert "An invitation is on its way to new@example.org." in answer.content.decode()
    assert choose(link_in(mails(2)[1]), display_name="Almaz")[0] == 302
    rows = AuditLog.objects.filter(entity_id=str(person.pk), action="invite")
    assert rows.count() == 2
    page = client.get(f"/admin/accounts/user/{person.pk}/change/").content.decode()
    assert "not yet in" not in page
    answer = client.post(f"/admin/accounts/user/{person.pk}/invite/", follow=True)
    assert "has a password already" in answer.content.decode()


def test_a_mail_server_that_is_away_leaves_the_account_and_says_so(monkeypatch) -> None:
    def away(*_: object, **__: object) -> None:
        raise ConnectionRefusedError(111, "Connection refused")

    client = administrator()
    with monkeypatch.context() as patch:
        patch.setattr("django.core.mail.EmailMessage.send", away)
        answer = client.post(ADD, {"email": "new@example.org", "display_name": ""}, follow=True)
    assert "no e-mail could be sent: [Errno 111] Connection refused" in answer.content.decode()
    person = User.objects.get(email="new@example.org")
    assert not AuditLog.objects.filter(entity_id=str(person.pk), action="invite").exists()
    client.post(f"/admin/accounts/user/{person.pk}/invite/")
    assert len(mails()) == 1


@pytest.mark.parametrize("email", ["NEW@example.org", "new@EXAMPLE.org"])
def test_nobody_is_invited_twice(email) -> None:
    invite()
    answer = administrator().post(ADD, {"email": email, "display_name": ""})
    assert "already exists" in answer.content.decode()
    assert len(mail.outbox) == 1


@pytest.mark.parametrize("group", [REVIEWER, OPERATOR, AUDITOR, ""])
def test_only_administrators_invite(group) -> None:
    someone = factories.make_user(group)
    client, invited = browser_of(someone), invite_person(email="x@example.org", groups=[], actor=Actor.system("test"))
    assert client.get(ADD).status_code == 403
    with pytest.raises(NotAllowed):
        invite_person(email="y@example.org", groups=[], actor=Actor.human(someone))
    client.post(f"/admin/accounts/user/{invited.pk}/invite/")
    assert mail.outbox == []


def test_who_is_in_or_switched_off_is_not_invited() -> None:
    with pytest.raises(Conflict):
        send_invitation(person=factories.make_user(), actor=Actor.system("test"))
    off = invite_person(email="x@example.org", groups=[], actor=Actor.system("test"))
    off.is_active = False
    off.save()
    with pytest.raises(NotAllowed):
        send_invitation(person=off, actor=Actor.system("test"))


@pytest.mark.parametrize("given", [{"new_password1": "short", "new_password2": "short"}, {"display_name": " "}])
def test_a_bad_password_or_no_name_is_said_and_nothing_happens(given) -> None:
    person = invite()
    status, page = choose(link_in(mails()[0]), **({"display_name": "Almaz"} | given))
    assert status == 200
    assert "errorlist" in page
    person.refresh_from_db()
    assert person.is_invited


# --- Forgotten passwords ---------------------------------------------------------------------------------------------


def test_a_forgotten_password_is_replaced_by_its_person() -> None:
    person = factories.make_user(REVIEWER, email="dawit@example.org")
    session = browser_of(person)
    assert ask(" Dawit@example.org ") == 302
    (message,) = mails()
    assert (message.to, message.subject) == (["dawit@example.org"], "[Gatehouse] A new password for Gatehouse")
    assert choose(link_in(message))[0] == 302
    assert can_sign_in("dawit@example.org")
    assert not can_sign_in("dawit@example.org", PASSWORD)
    assert session.get("/admin/").status_code == 302  # its other sessions have ended
    _, _, page = open_link(link_in(message))
    assert "This link has ended" in page
    assert FORGOTTEN in page


def test_the_answer_is_the_same_whoever_asks_for_whom() -> None:
    factories.make_user(email="known@example.org")
    factories.make_user(email="off@example.org", is_active=False)
    invite_person(email="invited@example.org", groups=[], actor=Actor.system("test"))
    answers = set()
    for name in ("known", "off", "invited", "unknown"):
        answer = Client().post(FORGOTTEN, {"email": f"{name}@example.org"}, follow=True)
        answers.add((answer.status_code, re.sub(r"\s", "", answer.content.decode())))
    assert len(answers) == 1
    assert [message.to for message in mails()] == [["known@example.org"]]


def test_a_link_is_asked_for_three_times_an_hour_for_an_address(monkeypatch) -> None:
    for email in ("known@example.org", "unknown@example.org"):
        assert [ask(email) for _ in range(5)] == [302, 302, 302, 429, 429]
    monkeypatch.setattr(links, "MOST_FROM_HOST", 11)
    assert [ask(f"{n}@example.org") for n in range(3)] == [302, 429, 429]


def test_what_is_no_address_is_said() -> None:
    for email in ("", "x", "a\0b@example.org", f"{'x' * 300}@example.org"):
        answer = Client().post(FORGOTTEN, {"email": email})
        assert answer.status_code == 200
        assert "errorlist" in answer.content.decode()


def test_a_new_password_opens_the_door_that_wrong_ones_had_closed(settings) -> None:
    person = factories.make_user(REVIEWER)
    client = Client()
    for _ in range(settings.AXES_FAILURE_LIMIT):
        answer = client.post("/admin/login/", {"username": person.email, "password": "wrong"})
    assert answer.status_code == 429
    assert FORGOTTEN in answer.content.decode()
    ask(person.email)
    choose(link_in(mails()[0]))
    assert can_sign_in(person.email)


def test_a_reset_leads_round_no_second_factor() -> None:
    from tests.accounts.test_second_factor import CODE_PAGE, with_factor

    person, _, _ = with_factor()
    ask(person.email)
    choose(link_in(mails()[0]))
    client = Client()
    client.post("/admin/login/", {"username": person.email, "password": NEW})
    assert client.get("/admin/")["Location"].startswith(CODE_PAGE)


def test_links_carry_the_address_that_was_set_and_not_the_one_that_was_asked(settings) -> None:
    settings.CONSOLE_URL = "https://gatehouse.example.org"
    settings.ALLOWED_HOSTS = ["*"]
    factories.make_user(email="known@example.org")
    Client(headers={"host": "evil.example.org"}).post(FORGOTTEN, {"email": "known@example.org"})
    (message,) = mails()
    assert "https://gatehouse.example.org/admin/password/" in message.body
    assert "evil" not in message.body


def test_the_pages_say_nothing_to_caches_and_carry_no_token_on() -> None:
    person = factories.make_user()
    ask(person.email)
    answer = Client().get(link_in(mails()[0]))
    assert answer.status_code == 302
    assert "no-store" in answer["Cache-Control"]
    assert answer["Referrer-Policy"] == "same-origin"


def test_ones_own_password_wants_the_old_one_for_administrators_too() -> None:
    person = factories.make_user(ADMINISTRATOR, is_superuser=True)
    client = Client()
    client.force_login(person, backend="django.contrib.auth.backends.ModelBackend")
    given = {"password1": "another long one 99", "password2": "another long one 99", "usable_password": "true"}
    answer = client.post(f"/admin/accounts/user/{person.pk}/password/", given)
    assert answer["Location"] == "/admin/password_change/"
    person.refresh_from_db()
    assert person.check_password(factories.PASSWORD)


def test_many_addresses_do_not_make_a_host_forgotten() -> None:
    """What is refused must leave nothing in a cache that forgets the oldest when it is full."""
    statuses = {Client().post("/admin/password/forgotten/", {"email": f"a{n}@x.org"}).status_code for n in range(31)}
    assert statuses == {302, 429}
    assert cache.get("reset:a30@x.org") is None


@pytest.mark.parametrize("verb", ["change", "password", "reset", "invite"])
def test_an_administrator_changes_nothing_of_a_superuser(verb) -> None:
    person, client = factories.make_user(is_superuser=True), Client()
    client.force_login(factories.make_user(ADMINISTRATOR), backend="django.contrib.auth.backends.ModelBackend")
    before = User.objects.filter(pk=person.pk).values().get()
    given = {
        "email": "mine@x.org",
        "is_active": "",
        "password1": "another long one 99",
        "password2": "another long one 99",
    }
    client.post(f"/admin/accounts/user/{person.pk}/{verb}/", given)
    assert User.objects.filter(pk=person.pk).values().get() == before


def test_no_form_makes_a_superuser() -> None:
    client = Client()
    client.force_login(factories.make_user(ADMINISTRATOR), backend="django.contrib.auth.backends.ModelBackend")
    raised = {"is_superuser": "on", "user_permissions": ["1"], "password": "x", "is_active": "on"}
    client.post("/admin/accounts/user/add/", {"email": "new@x.org", "display_name": "", **raised})
    person = User.objects.get(email="new@x.org")
    client.post(f"/admin/accounts/user/{person.pk}/change/", {"email": "new@x.org", "display_name": "New", **raised})
    client.post("/admin/you/", {"display_name": "Me", "time_zone": "", **raised})
    assert not User.objects.filter(is_superuser=True).exists()
    assert not person.user_permissions.exists()
    person.refresh_from_db()
    assert person.display_name == "New"
    assert person.is_invited
