"""What people choose for themselves: it is theirs, it is audited, and it takes effect."""

from datetime import UTC, datetime

import pytest
from django.test import Client

from accounts.choices import Channel, NotificationType, known_zones
from accounts.models import User
from audit.models import AuditLog
from config.groups import ADMINISTRATOR, AUDITOR, OPERATOR, REVIEWER
from tests import factories
from tests.factories import PASSWORD

pytestmark = pytest.mark.django_db
YOU = "/admin/you/"


def browser_of(person: User, **cookies: str) -> Client:
    client = Client()
    client.force_login(person, backend="django.contrib.auth.backends.ModelBackend")
    for name, value in cookies.items():
        client.cookies[name] = value
    return client


def types_on(client: Client) -> set[str]:
    return {field.name for field in client.get(YOU).context["form"].choices()}


@pytest.mark.parametrize(
    ("group", "types"),
    [
        (REVIEWER, {"review_due", "review_overdue"}),
        (OPERATOR, {"publish_failed", "publish_unknown", "campaign_halted", "archive_failed"}),
        (AUDITOR, set()),
        (ADMINISTRATOR, set(NotificationType.values)),
        ("", set()),
    ],
)
def test_one_chooses_for_what_one_can_act_on(group, types) -> None:
    client = browser_of(factories.make_user(group))
    assert types_on(client) == types
    assert ("your groups only look" in client.get(YOU).content.decode()) is not types


def test_what_is_chosen_is_kept_and_audited() -> None:
    person = factories.make_user(REVIEWER, notify_by={"campaign_halted": "none"})
    given = {"display_name": "Dawit", "time_zone": "Africa/Addis_Ababa"}
    channels = {"review_due": "none", "review_overdue": "console"}
    answer = browser_of(person).post(YOU, given | channels)
    assert answer["Location"] == YOU
    person.refresh_from_db()
    assert (person.display_name, person.time_zone) == ("Dawit", "Africa/Addis_Ababa")
    assert person.notify_by == {"campaign_halted": "none", **channels}
    row = AuditLog.objects.filter(entity_id=str(person.pk), action="update").latest("created_at")
    assert row.actor_id == f"user:{person.pk}"
    assert row.changes["time_zone"] == ["", "Africa/Addis_Ababa"]
    assert row.changes["notify_by"] == [{"campaign_halted": "none"}, person.notify_by]


@pytest.mark.parametrize(
    "given",
    [
        {"time_zone": "Mars/Olympus"},
        {"review_due": "pigeon"},
        {"review_due": ""},
        {"display_name": "x" * 101},
        {"display_name": "a\0b"},
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_saved(given) -> None:
    person = factories.make_user(REVIEWER, display_name="Dawit")
    whole = {"display_name": "Other", "time_zone": "", "review_due": "none", "review_overdue": "none"}
    answer = browser_of(person).post(YOU, whole | given)
    assert answer.status_code == 200
    assert "Nothing was saved" in answer.content.decode()
    person.refresh_from_db()
    assert (person.display_name, person.notify_by) == ("Dawit", {})


def test_nobody_changes_their_groups_or_address_here() -> None:
    person = factories.make_user(REVIEWER)
    given = {"display_name": "x", "time_zone": "", "review_due": "none", "review_overdue": "none"}
    browser_of(person).post(YOU, {**given, "is_superuser": "on", "email": "x@example.org", "groups": "1"})
    fresh = User.objects.get(pk=person.pk)
    assert (fresh.is_superuser, fresh.email) == (False, person.email)


def test_times_are_shown_in_the_chosen_zone_and_otherwise_as_the_browser_says() -> None:
    person = factories.make_user(REVIEWER, last_login=datetime(2026, 5, 1, 12, tzinfo=UTC))
    client = browser_of(person, zone="Asia/Kolkata")
    page = client.get(YOU).content.decode()
    assert "as the browser says (Asia/Kolkata)" in page
    assert "IST" in client.get("/admin/").content.decode()
    person.time_zone = "Africa/Addis_Ababa"
    person.save()
    page = client.get("/admin/").content.decode()
    assert "EAT" in page
    assert "IST" not in page
    assert '<option value="Africa/Addis_Ababa" selected>' in client.get(YOU).content.decode()


def test_the_browser_says_its_zone_by_https_under_a_name_that_no_other_host_can_set() -> None:
    client = browser_of(factories.make_user(REVIEWER), zone="Europe/Berlin")
    client.cookies["__Host-zone"] = "Asia/Kolkata"
    assert "as the browser says (Asia/Kolkata)" in client.get(YOU).content.decode()


@pytest.mark.parametrize("cookie", ["", "<script>", "Mars/Olympus"])
def test_a_browser_that_says_nonsense_is_not_quoted(cookie) -> None:
    page = browser_of(factories.make_user(), zone=cookie).get(YOU).content.decode()
    assert ">as the browser says</option>" in page
    assert "Olympus" not in page


def test_every_zone_that_can_be_chosen_is_known_and_the_page_is_light() -> None:
    client = browser_of(factories.make_user(ADMINISTRATOR))
    answer = client.get(YOU)
    zones = {value for value, _ in answer.context["form"].fields["time_zone"].choices} - {""}
    assert zones <= known_zones()
    assert {"UTC", "Africa/Addis_Ababa", "Europe/Berlin"} <= zones
    assert len(answer.content) < 100_000


def test_a_zone_that_is_no_longer_known_is_still_shown() -> None:
    person = factories.make_user(time_zone="Old/Zone")
    assert '<option value="Old/Zone" selected>' in browser_of(person).get(YOU).content.decode()


@pytest.mark.parametrize("chosen", [None, [], {"review_due": 7}, {"review_due": {}}])
def test_what_plain_sql_wrote_into_the_choices_breaks_nothing(chosen) -> None:
    person = User(notify_by=chosen)
    assert person.channel(NotificationType.REVIEW_DUE) == Channel.CONSOLE


def test_the_name_in_the_sidebar_leads_to_the_settings() -> None:
    person = factories.make_user(display_name="Dawit Haile")
    page = browser_of(person).get("/admin/").content.decode()
    assert '<a class="name" href="/admin/you/">Dawit Haile' in page


def test_a_changed_password_leads_back_to_the_settings() -> None:
    client, new = browser_of(factories.make_user()), "another long phrase"
    given = {"old_password": PASSWORD, "new_password1": new, "new_password2": new}
    answer = client.post("/admin/password_change/", given, follow=True)
    assert answer.request["PATH_INFO"] == YOU
    assert "Your password is changed" in answer.content.decode()
