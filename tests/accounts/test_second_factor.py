"""The second factor: nothing of the console is reached without it, no code works twice, and the log tells of it."""

import json
import re
from binascii import unhexlify
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import set_script_prefix
from django.utils import timezone
from django_otp.oath import totp
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice

from accounts.models import User
from accounts.services import second_factor
from audit.context import Actor
from audit.errors import Conflict, Invalid, NotAllowed
from audit.models import AuditLog
from config.groups import ADMINISTRATOR, AUDITOR, OPERATOR, REVIEWER
from tests import factories
from tests.concurrency import together
from tests.factories import PASSWORD

pytestmark = pytest.mark.django_db
CODE_PAGE, BEGIN = "/admin/you/second-factor/code/", "/admin/you/second-factor/"


def code_of(secret: str, steps: int = 0) -> str:
    """What the authenticator shows; `steps` of half a minute from now."""
    return f"{totp(unhexlify(secret), t0=-30 * steps):06}"


def with_factor(group: str = REVIEWER, **fields) -> tuple[User, str, list[str]]:
    person, secret = factories.make_user(group, **fields), second_factor.new_secret()
    given = {"person": person, "secret": secret, "code": code_of(secret, -1), "actor": Actor.human(person)}
    _, codes = second_factor.turn_on(**given)
    return person, secret, codes


def check(person: User, code: str) -> object:
    return second_factor.check_code(person=person, code=code, actor=Actor.human(person))


def signed_in_by_password(person: User) -> Client:
    client = Client()
    given = {"username": person.email, "password": PASSWORD, "next": "/admin/content/reviewitem/?reason=x"}
    assert client.post("/admin/login/", given)["Location"] == given["next"]
    return client


def told(person: User) -> list[dict]:
    rows = AuditLog.objects.filter(entity_type="user", entity_id=str(person.pk)).order_by("created_at", "audit_id")
    return [row.changes for row in rows if {"second_factor", "recovery_codes"} & row.changes.keys()]


# --- Half signed in --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    ["/admin/", "/admin/campaigns/task/", "/admin/you/", "/admin/nowhere/", "/admin/password_change/", BEGIN],
)
def test_a_password_alone_reaches_nothing_but_the_question_for_the_code(path) -> None:
    person, _, _ = with_factor(is_superuser=True)
    client = signed_in_by_password(person)
    for answer in (client.get(path), client.post(path)):
        assert answer.status_code == 302
        assert answer["Location"].startswith(f"{CODE_PAGE}?next=%2Fadmin%2F")
    assert client.get(CODE_PAGE).status_code == 200
    assert client.post("/admin/logout/").status_code == 200
    assert client.get("/admin/")["Location"].startswith("/admin/login/")


def test_the_question_tells_nothing_of_the_console() -> None:
    factories.make_campaign(name="Meskel launch")
    person, _, _ = with_factor()
    page = signed_in_by_password(person).get(CODE_PAGE).content.decode()
    assert "Review desk" not in page
    assert 'id="places"' not in page


def test_the_code_lets_in_and_leads_to_where_one_was_going() -> None:
    person, secret, _ = with_factor()
    client = signed_in_by_password(person)
    question = client.get("/admin/content/reviewitem/?reason=x")["Location"]
    key = client.session.session_key
    answer = client.post(question, {"code": code_of(secret)[:3] + " " + code_of(secret)[3:]})
    assert answer["Location"] == "/admin/content/reviewitem/?reason=x"
    assert client.session.session_key != key
    assert client.get("/admin/").status_code == 200
    assert client.get(CODE_PAGE)["Location"] == "/admin/"


@pytest.mark.parametrize("next_page", ["https://evil.example.org/", "//evil.example.org", "javascript:alert(1)"])
def test_the_way_back_leads_nowhere_else(next_page) -> None:
    person, secret, _ = with_factor()
    client = signed_in_by_password(person)
    assert client.post(CODE_PAGE, {"code": code_of(secret), "next": next_page})["Location"] == "/admin/"


def test_a_session_that_was_there_before_is_asked_too() -> None:
    person = factories.make_user(REVIEWER)
    elsewhere = signed_in_by_password(person)
    assert elsewhere.get("/admin/").status_code == 200
    secret = second_factor.new_secret()
    second_factor.turn_on(person=person, secret=secret, code=code_of(secret), actor=Actor.human(person))
    assert elsewhere.get("/admin/")["Location"].startswith(CODE_PAGE)


def test_a_fragment_is_led_to_the_question_as_a_page() -> None:
    person, _, _ = with_factor()
    client = signed_in_by_password(person)
    headers = {"HX-Request": "true", "HX-Current-URL": "http://testserver/admin/content/reviewitem/?reason=x"}
    answer = client.get("/admin/", headers=headers)
    assert answer.status_code == 200
    assert answer["HX-Redirect"] == f"{CODE_PAGE}?next=%2Fadmin%2Fcontent%2Freviewitem%2F%3Freason%3Dx"
    assert answer.content == b""


def test_the_api_and_the_probes_know_nothing_of_it() -> None:
    person, _, _ = with_factor()
    client = signed_in_by_password(person)
    assert client.get("/healthz").status_code == 200
    assert client.get("/api/v1/campaigns").status_code == 401


# --- Codes -----------------------------------------------------------------------------------------------------------


def test_a_code_works_once() -> None:
    person, secret, _ = with_factor()
    code = code_of(secret)
    assert isinstance(check(person, code), TOTPDevice)
    with pytest.raises(Invalid, match="wrong, was used already"):
        check(person, code)


def test_the_code_that_turned_it_on_does_not_sign_in() -> None:
    person, secret = factories.make_user(), second_factor.new_secret()
    code = code_of(secret)
    second_factor.turn_on(person=person, secret=secret, code=code, actor=Actor.human(person))
    with pytest.raises(Invalid):
        check(person, code)


@pytest.mark.parametrize("code", ["", "000000", "abcdef", "12345", "1234567", "٠٠٠٠٠٠", "x" * 20, "-" * 6])
def test_anything_else_is_refused_in_words(code) -> None:
    person, secret, _ = with_factor()
    if code == code_of(secret):
        return
    with pytest.raises(Invalid):
        check(person, code)


def test_guessing_is_slowed_down_more_and_more_and_a_right_code_waits_too() -> None:
    person, secret, codes = with_factor()
    wrong = f"{(int(code_of(secret)) + 7) % 1_000_000:06}"
    with pytest.raises(Invalid, match="wrong"):
        check(person, wrong)
    with pytest.raises(Invalid, match="Too many wrong codes"):
        check(person, code_of(secret))
    assert TOTPDevice.objects.get().throttling_failure_count == 1
    assert isinstance(check(person, codes[0]), StaticDevice)  # which is guessed, and slowed down, alone
    past = timezone.now() - timedelta(seconds=2)
    TOTPDevice.objects.update(throttling_failure_timestamp=past)
    assert isinstance(check(person, code_of(secret)), TOTPDevice)
    assert TOTPDevice.objects.get().throttling_failure_count == 0


def test_wrong_codes_count_where_it_would_be_turned_off_too() -> None:
    person, secret, _ = with_factor()
    wrong = f"{(int(code_of(secret)) + 7) % 1_000_000:06}"
    with pytest.raises(Invalid):
        second_factor.turn_off(person=person, code=wrong, actor=Actor.human(person))
    assert TOTPDevice.objects.get().throttling_failure_count == 1


def test_a_recovery_code_works_once_and_the_log_counts_them() -> None:
    person, _, codes = with_factor()
    assert len(set(codes)) == 10
    client = signed_in_by_password(person)
    assert client.post(CODE_PAGE, {"code": second_factor.on_paper(codes[3]).upper()}).status_code == 302
    assert client.get("/admin/").status_code == 200
    again = signed_in_by_password(person)
    page = again.post(CODE_PAGE, {"code": codes[3]})
    assert "This code is wrong, was used already" in page.content.decode()
    assert told(person)[-1] == {"recovery_codes": [10, 9]}


def test_whoever_has_few_recovery_codes_left_is_told() -> None:
    person, _, codes = with_factor()
    StaticToken.objects.exclude(token__in=codes[:2]).delete()
    client = signed_in_by_password(person)
    client.post(CODE_PAGE, {"code": codes[0]})
    assert "1 recovery code is left." in client.get("/admin/").content.decode()
    assert StaticToken.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_code_is_not_accepted_twice_at_once() -> None:
    person, secret, codes = with_factor()
    for code in (code_of(secret), codes[0]):
        outcomes = together(*[lambda code=code: check(person, code)] * 4)
        assert sum(not isinstance(outcome, Invalid) for outcome in outcomes) == 1


@pytest.mark.django_db(transaction=True)
def test_it_is_turned_on_once() -> None:
    person, secret = factories.make_user(), second_factor.new_secret()
    given = {"person": person, "secret": secret, "code": code_of(secret), "actor": Actor.human(person)}
    outcomes = together(*[lambda: second_factor.turn_on(**given)] * 3)
    assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == 2
    assert (TOTPDevice.objects.count(), StaticToken.objects.count()) == (1, 10)


# --- Set up, renewed, turned off, reset ------------------------------------------------------------------------------


def secret_on(page: str) -> str:
    from base64 import b32decode

    (text,) = re.findall(r'id="secret">([A-Z2-7 ]+)<', page)
    return b32decode(text.replace(" ", "")).hex()


def test_one_sets_it_up_and_keeps_the_codes() -> None:
    person = factories.make_user(REVIEWER)
    client = signed_in_by_password(person)
    page = client.get(BEGIN).content.decode()
    assert "<svg" in page
    assert " style=" not in page
    assert "data:" not in page
    secret = secret_on(page)
    assert secret_on(client.get(BEGIN).content.decode()) == secret
    assert "does not fit" in client.post(BEGIN, {"code": "x", "password": PASSWORD}).content.decode()
    given = {"code": code_of(secret), "password": "not it"}
    assert "This is not your password." in client.post(BEGIN, given).content.decode()
    assert not TOTPDevice.objects.exists()

    made = client.post(BEGIN, given | {"password": PASSWORD}).content.decode()
    (listed,) = re.findall(r'<pre class="once codes"[^>]*>([^<]*)</pre>', made)
    shown = [second_factor.plain(code) for code in listed.split()]
    assert sorted(shown) == sorted(StaticToken.objects.values_list("token", flat=True))
    assert client.get("/admin/").status_code == 200  # this session has shown it
    assert client.post(BEGIN, {"code": code_of(secret)})["Location"] == "/admin/you/"
    assert told(person) == [{"second_factor": ["off", "on"]}]
    assert secret not in json.dumps(dict(client.session))


def test_nothing_secret_is_in_the_log() -> None:
    _, secret, codes = with_factor()
    everything = json.dumps([row.changes for row in AuditLog.objects.all()])
    assert secret not in everything
    assert not [code for code in codes if code in everything]


def test_another_session_is_given_another_secret() -> None:
    person = factories.make_user(REVIEWER)
    first, second = (signed_in_by_password(person).get(BEGIN).content.decode() for _ in range(2))
    assert secret_on(first) != secret_on(second)


def test_new_recovery_codes_end_the_old_ones_and_want_a_code() -> None:
    person, secret, codes = with_factor()
    client = signed_in_by_password(person)
    client.post(CODE_PAGE, {"code": codes[0]})
    path = "/admin/you/second-factor/codes/"
    assert "wrong" in client.post(path, {"code": codes[0]}).content.decode()
    StaticDevice.objects.update(throttling_failure_count=0)
    page = client.post(path, {"code": code_of(secret)}).content.decode()
    kept = set(StaticToken.objects.values_list("token", flat=True))
    assert len(kept) == 10
    assert not kept & set(codes)
    assert all(second_factor.on_paper(code) in page for code in kept)
    assert told(person)[-1] == {"recovery_codes": [9, 10]}


def test_turning_it_off_wants_a_code_and_ends_all_other_sessions() -> None:
    person, secret, codes = with_factor()
    client, elsewhere = signed_in_by_password(person), signed_in_by_password(person)
    client.post(CODE_PAGE, {"code": codes[0]})
    path = "/admin/you/second-factor/off/"
    assert client.get(path).status_code == 200
    assert client.post(path, {"code": "000"}).status_code == 200
    assert TOTPDevice.objects.exists()
    assert client.post(path, {"code": code_of(secret)})["Location"] == "/admin/you/"
    assert not TOTPDevice.objects.exists()
    assert not StaticToken.objects.exists()
    assert told(person)[-1] == {"second_factor": ["on", "off"]}
    assert client.get("/admin/").status_code == 200
    assert elsewhere.get("/admin/")["Location"].startswith("/admin/login/")
    assert signed_in_by_password(person).get("/admin/").status_code == 200
    assert client.get(path)["Location"] == "/admin/you/"


def test_an_administrator_resets_anothers_and_the_log_says_who() -> None:
    person, _, _ = with_factor()
    administrator = factories.make_user(ADMINISTRATOR)
    client = signed_in_by_password(administrator)
    page = client.get(f"/admin/accounts/user/{person.pk}/change/").content.decode()
    assert "Reset second factor…" in page
    path = f"/admin/accounts/user/{person.pk}/reset/"
    assert client.get(path).status_code == 200
    assert TOTPDevice.objects.exists()
    client.post(path)
    assert not TOTPDevice.objects.exists()
    row = AuditLog.objects.get(entity_id=str(person.pk), action="reset")
    assert (row.actor_id, row.changes) == (f"user:{administrator.pk}", {"second_factor": ["on", "off"]})
    assert client.post(path).status_code == 302  # said, and nothing more
    assert AuditLog.objects.filter(action="reset").count() == 1


@pytest.mark.parametrize("group", [REVIEWER, OPERATOR, AUDITOR])
def test_nobody_else_resets_it(group) -> None:
    person, _, _ = with_factor()
    client = signed_in_by_password(factories.make_user(group))
    assert client.post(f"/admin/accounts/user/{person.pk}/reset/").status_code == 403
    with pytest.raises(NotAllowed):
        second_factor.reset_second_factor(person=person, actor=Actor.human(factories.make_user(group)))
    assert TOTPDevice.objects.exists()


def test_an_administrator_does_not_reset_a_superusers() -> None:
    root, _, _ = with_factor(is_superuser=True)
    administrator = factories.make_user(ADMINISTRATOR)
    assert signed_in_by_password(administrator).post(f"/admin/accounts/user/{root.pk}/reset/").status_code == 403
    with pytest.raises(NotAllowed, match="superuser"):
        second_factor.reset_second_factor(person=root, actor=Actor.human(administrator))


# --- Required --------------------------------------------------------------------------------------------------------


def test_whose_group_requires_it_is_led_to_set_it_up_first(settings) -> None:
    settings.REQUIRE_SECOND_FACTOR = [OPERATOR, ADMINISTRATOR]
    for person in (factories.make_user(OPERATOR), factories.make_user("", is_superuser=True)):
        client = signed_in_by_password(person)
        answer = client.get("/admin/campaigns/campaign/")
        assert answer["Location"] == f"{BEGIN}?next=%2Fadmin%2Fcampaigns%2Fcampaign%2F"
        page = client.get(answer["Location"]).content.decode()
        assert "a password alone is not enough" in page
        assert 'id="places"' not in page
        given = {"code": code_of(secret_on(page)), "password": PASSWORD}
        made = client.post(answer["Location"], given).content.decode()
        assert 'href="/admin/campaigns/campaign/"' in made
        assert client.get("/admin/campaigns/campaign/").status_code == 200
    assert signed_in_by_password(factories.make_user(REVIEWER)).get("/admin/").status_code == 200


def test_who_turns_off_what_is_required_sets_up_another(settings) -> None:
    settings.REQUIRE_SECOND_FACTOR = [REVIEWER]
    person, secret, codes = with_factor()
    client = signed_in_by_password(person)
    client.post(CODE_PAGE, {"code": codes[0]})
    client.post("/admin/you/second-factor/off/", {"code": code_of(secret)})
    assert client.get("/admin/")["Location"].startswith(f"{BEGIN}?")


def test_a_group_that_nobody_knows_is_said_where_one_looks_for_trouble(settings) -> None:
    settings.REQUIRE_SECOND_FACTOR = [OPERATOR, "Operators"]
    warnings = Client().get("/readyz").json()["warnings"]
    assert "REQUIRE_SECOND_FACTOR names “Operators”, which is no group here" in warnings


# --- Ways round it ---------------------------------------------------------------------------------------------------


def test_nobody_resets_their_own_without_a_code() -> None:
    """An open session of an Administrator is not enough to take the second factor off."""
    person, secret, _ = with_factor(ADMINISTRATOR)
    client = signed_in_by_password(person)
    client.post(CODE_PAGE, {"code": code_of(secret)})
    page = client.post(f"/admin/accounts/user/{person.pk}/reset/", follow=True).content.decode()
    assert "turned off in your settings, with a code" in page
    assert second_factor.has_second_factor(person)


def test_it_is_asked_under_a_prefix_too(settings) -> None:
    settings.FORCE_SCRIPT_NAME = "/gatehouse"
    person, _, _ = with_factor()
    client = Client()
    client.force_login(person, backend="django.contrib.auth.backends.ModelBackend")
    set_script_prefix("/gatehouse/")  # what a server does, and the client of tests does not
    try:
        answer = client.get("/admin/content/reviewitem/")
    finally:
        set_script_prefix("/")
    assert answer["Location"] == f"/gatehouse{CODE_PAGE}?next=%2Fgatehouse%2Fadmin%2Fcontent%2Freviewitem%2F"


@pytest.mark.parametrize("path", ["/%61dmin/", "/admin//", "/admin/./you/", "/admin/%2e%2e/admin/", "/Admin/"])
@pytest.mark.parametrize("method", ["get", "head", "options", "put"])
def test_no_spelling_and_no_method_leads_round_it(path, method) -> None:
    person, _, _ = with_factor(is_superuser=True)
    answer = getattr(signed_in_by_password(person), method)(path)
    assert answer.status_code in {302, 404}
    assert answer.status_code == 404 or answer["Location"].startswith(CODE_PAGE)


def test_a_forged_fragment_leads_nowhere_else() -> None:
    person, _, _ = with_factor()
    headers = {"HX-Request": "true", "HX-Current-URL": "https://evil.example.org/admin/"}
    assert signed_in_by_password(person).get("/admin/", headers=headers)["HX-Redirect"] == CODE_PAGE


def test_a_session_of_before_the_password_and_of_before_the_code_is_worth_nothing() -> None:
    person, secret, _ = with_factor()
    client = Client()
    client.get("/admin/login/")
    client.post("/admin/login/", {"username": person.email, "password": PASSWORD})
    half = client.session.session_key
    client.post(CODE_PAGE, {"code": code_of(secret)})
    assert client.session.session_key != half
    thief = Client()
    thief.cookies["sessionid"] = half
    assert thief.get("/admin/")["Location"].startswith("/admin/login/")
    whole = client.session.session_key
    client.post("/admin/logout/")
    thief.cookies["sessionid"] = whole
    assert thief.get("/admin/")["Location"].startswith("/admin/login/")
