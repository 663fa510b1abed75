"""People, from the invitation to the second factor, as they meet it in a browser."""

import re
import time
from base64 import b32decode
from binascii import unhexlify
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.core import mail
from django.core.cache import cache
from django_otp.oath import totp
from django_otp.plugins.otp_totp.models import TOTPDevice
from playwright.sync_api import expect

from accounts.models import User
from audit.context import Actor
from config.groups import ADMINISTRATOR, AUDITOR, OPERATOR, REVIEWER
from config.notices import tell_what_waits
from tests import factories

NEW = "another long phrase of theirs"


@pytest.fixture(autouse=True)
def mail_leads_here(settings: Any, live_server: Any) -> Iterator[None]:
    settings.CONSOLE_URL = live_server.url
    cache.clear()
    yield
    cache.clear()


def link_of(amount: int = 1) -> str:
    deadline = time.monotonic() + 60
    while len(mail.outbox) < amount and time.monotonic() < deadline:
        time.sleep(0.02)
    (address,) = re.findall(r"https?://\S+/(?:join|password)/\S+", mail.outbox[amount - 1].body)
    return str(address)


def sign_in(page: Any, email: str, password: str) -> None:
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


def code_for(person: User) -> str:
    """The next code that the authenticator will show: the one of now may have been used."""
    device = TOTPDevice.objects.get(user=person)
    return f"{totp(unhexlify(device.key), t0=-30 if device.last_t >= time.time() // 30 else 0):06}"


def test_an_invited_person_chooses_a_password_and_is_in(visit: Any) -> None:
    window = visit(user=factories.make_user(ADMINISTRATOR, display_name="Hanna Tesfaye"))
    page = window.open("/admin/accounts/user/")
    page.get_by_role("link", name="Invite a person").click()
    page.get_by_label("E-mail").fill("almaz@example.org")
    page.get_by_label("Auditor").check()
    page.get_by_role("button", name="Invite").click()
    page.get_by_text("An invitation is on its way to almaz@example.org.").wait_for()
    expect(page.get_by_text("not yet in")).to_be_visible()

    guest = visit()
    inside = guest.page
    inside.goto(link_of())
    inside.get_by_role("heading", name="Welcome").wait_for()
    inside.get_by_label("Your name").fill("Almaz Abera")
    inside.get_by_label("New password", exact=True).fill(NEW)
    inside.get_by_label("New password confirmation").fill(NEW)
    inside.get_by_role("button", name="Begin").click()
    inside.get_by_text("Your password is set").wait_for()
    inside.get_by_role("link", name="Sign in").click()
    sign_in(inside, "almaz@example.org", NEW)
    inside.get_by_role("link", name="Almaz Abera").first.wait_for()
    expect(inside.get_by_role("link", name="Audit", exact=True)).to_be_visible()
    inside.goto(link_of())
    inside.get_by_role("heading", name="You are in already").wait_for()
    assert window.wrong == guest.wrong == []


def test_a_forgotten_password_is_replaced(visit: Any) -> None:
    person = factories.make_user(REVIEWER)
    window = visit()
    page = window.open("/admin/login/")
    page.get_by_role("link", name="Forgot your password?").click()
    page.get_by_label("E-mail").fill(person.email)
    page.get_by_role("button", name="Send the link").click()
    page.get_by_role("heading", name="Look into your mail").wait_for()
    page.goto(link_of())
    page.get_by_label("New password", exact=True).fill(NEW)
    page.get_by_label("New password confirmation").fill(NEW)
    page.get_by_role("button", name="Set the password").click()
    page.get_by_role("link", name="Sign in").click()
    sign_in(page, person.email, NEW)
    page.get_by_role("heading", name="Control room").wait_for()
    assert window.wrong == []


def set_up(page: Any) -> list[str]:
    """From the settings to the codes on paper, which it returns."""
    page.get_by_role("link", name="Set it up…").click()
    assert page.locator(".qr").bounding_box()["width"] > 100
    secret = page.locator("#secret").inner_text().replace(" ", "")
    page.get_by_label("Your password").fill(factories.PASSWORD)
    page.get_by_label("The six digits").fill(f"{totp(b32decode(secret)):06}")
    page.get_by_role("button", name="Turn it on").click()
    page.get_by_role("heading", name="Your second factor is on").wait_for()
    codes = page.locator("#codes").inner_text().split()
    page.get_by_role("link", name="I have kept them").click()
    return [str(code) for code in codes]


def test_a_second_factor_from_first_to_last(visit: Any) -> None:
    person = factories.make_user(REVIEWER, display_name="Dawit Haile")
    window = visit(user=person)
    page = window.page
    page.get_by_role("link", name="Dawit Haile").click()
    codes = set_up(page)
    assert len(codes) == 10
    page.get_by_text("10 recovery codes left").wait_for()

    for code, wrong_first in ((code_for(person), True), (codes[0], False)):
        page.get_by_role("button", name="Sign out").click()
        window.open("/admin/content/reviewitem/")
        sign_in(page, person.email, factories.PASSWORD)
        page.get_by_role("heading", name="Your code").wait_for()
        window.open("/admin/")
        page.get_by_role("heading", name="Your code").wait_for()
        if wrong_first:
            page.get_by_label("Code").fill("nonsense")
            page.get_by_role("button", name="Go on").click()
            page.get_by_role("alert").get_by_text("This code is wrong").wait_for()
        page.get_by_label("Code").fill(code)
        page.get_by_role("button", name="Go on").click()
        page.get_by_role("heading", name="Control room").wait_for()
        if wrong_first:  # a wrong recovery code makes the next one wait
            person.staticdevice_set.update(throttling_failure_count=0)

    window.open("/admin/you/")
    page.get_by_text("9 recovery codes left").wait_for()
    page.get_by_role("link", name="Turn it off…").click()
    page.get_by_label("A code of your authenticator").fill(codes[1])
    page.get_by_role("button", name="Turn it off").click()
    page.get_by_text("Your second factor is off.").wait_for()
    assert window.wrong == []


def test_who_must_have_one_sets_it_up_before_anything_else(visit: Any, settings: Any) -> None:
    settings.REQUIRE_SECOND_FACTOR = [OPERATOR]
    person = factories.make_user(OPERATOR)
    window = visit()
    page = window.open("/admin/campaigns/campaign/")
    sign_in(page, person.email, factories.PASSWORD)
    page.get_by_role("heading", name="Set up a second factor").wait_for()
    window.open("/admin/publishing/")
    page.get_by_role("heading", name="Set up a second factor").wait_for()
    secret = page.locator("#secret").inner_text().replace(" ", "")
    page.get_by_label("Your password").fill(factories.PASSWORD)
    page.get_by_label("The six digits").fill(f"{totp(b32decode(secret)):06}")
    page.get_by_role("button", name="Turn it on").click()
    page.get_by_role("link", name="I have kept them").click()
    page.wait_for_url("**/admin/publishing/")
    expect(page.get_by_role("heading", name="Publishing")).to_be_visible()
    assert window.wrong == []


def test_one_chooses_a_zone_and_sees_times_in_it(visit: Any) -> None:
    window = visit(user=factories.make_user(REVIEWER), timezone_id="Asia/Kolkata")
    page = window.open("/admin/you/")
    page.get_by_label("Time zone").select_option("Africa/Addis_Ababa")
    page.get_by_label("Reviews overdue").select_option("none")
    page.get_by_role("button", name="Save").click()
    page.get_by_text("Your settings are saved.").wait_for()
    expect(page.get_by_label("Reviews overdue")).to_have_value("none")
    expect(window.open("/admin/").locator("main")).to_contain_text("EAT")
    assert window.wrong == []


def test_a_notification_leads_to_the_thing_and_is_read(visit: Any) -> None:
    reviewer = factories.make_user(REVIEWER)
    item = factories.waiting_item(title="Reel: 3 fees", campaign=factories.make_campaign(name="Meskel launch"))
    item.change("test", due_at=item.opened_at)
    tell_what_waits(actor=Actor.system("run_due"))
    window = visit(user=reviewer)
    page = window.page
    page.get_by_role("link", name="1 new notification").click()
    page.get_by_role("link", name="“Reel: 3 fees” of “Meskel launch” is overdue").click()
    page.wait_for_url(f"**/admin/content/reviewitem/{item.pk}/change/")
    expect(page.get_by_role("link", name="Notifications")).to_be_visible()
    assert window.wrong == []


def test_the_bell_counts_on_while_one_looks_at_the_control_room(visit: Any) -> None:
    reviewer = factories.make_user(REVIEWER)
    window = visit(user=reviewer)
    page = window.page
    bell = page.locator(".bell")
    expect(bell).to_have_text("Notifications")
    item = factories.waiting_item()
    item.change("test", due_at=item.opened_at)
    tell_what_waits(actor=Actor.system("run_due"))
    page.evaluate("document.getElementById('room').dispatchEvent(new Event('refresh'))")
    page.get_by_role("link", name="1 new notification").wait_for()
    expect(bell).to_have_count(1)
    assert window.wrong == []


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (390, "dark")])
def test_pages_that_say_no_are_in_the_same_clothes(visit: Any, width: int, scheme: str) -> None:
    person = factories.make_user(AUDITOR)
    window = visit(user=person, width=width, color_scheme=scheme)
    wide = "document.documentElement.scrollWidth > innerWidth + 1"
    for path, title in (
        ("/admin/nowhere/", "Not here"),
        ("/admin/accounts/user/add/", "Not allowed"),
        ("/admin/?q=%00", "That cannot be read"),
    ):
        page = window.open(path)
        page.get_by_role("heading", name=title).wait_for()
        expect(page.locator("h1")).to_have_count(1)
        assert not page.evaluate(wide)
    page = window.open("/admin/login/")
    window.open("/admin/password/forgotten/")
    window.page.context.clear_cookies(name="csrftoken")
    window.page.get_by_label("E-mail").fill("x@example.org")
    window.page.get_by_role("button", name="Send the link").click()
    window.page.get_by_role("heading", name="Not accepted").wait_for()
    assert Group.objects.filter(user=person).count() == 1
    assert [told for told in window.wrong if "Failed to load resource" not in told] == []
