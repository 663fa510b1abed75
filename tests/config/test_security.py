"""What a production start is by itself: HTTPS, cookies, hosts, proxies, headers; and how long a session lasts."""

import json
import re
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings, settings
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import reverse

from config.groups import REVIEWER
from config.security import SEEN_EVERY, caller
from tests.factories import PASSWORD, make_user
from tests.recovery.support import CHECKOUT, environment, run
from tests.servers import taking_posts

ASVS = CHECKOUT / "docs" / "asvs.md"
SECRET = "4f8c0d6b2e9a4717b5d3c1f0a8e69274c5b3d1f0e8a69274"
OLD_SECRET = "b1946ac92492d2347c6235b4d2611184a5e1c0d3f2b49687"
PRODUCTION = {
    "DATABASE_URL": "postgresql://gatehouse_app:x@127.0.0.1:1/gatehouse",
    "SECRET_KEY": SECRET + "-and-some-more",
    "CONSOLE_URL": "https://gatehouse.example.org",
    "TRUSTED_PROXIES": "1",
    "ENVIRONMENT": "production",
}
SETTINGS = (
    "import json, django; django.setup(); from django.conf import settings; "
    "print(json.dumps({name: getattr(settings, name) for name in NAMES}))"
)


def as_process(place: Path, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Nothing of ours is in the variables but what is given."""
    ours = {"ALLOWED_HOSTS", "CSRF_TRUSTED_ORIGINS", "HSTS_SECONDS", "HSTS_SUBDOMAINS", "DEBUG"}
    plain = {name: value for name, value in environment(place).items() if name not in ours}
    return run([sys.executable, *command], {**plain, **PRODUCTION, **variables})


def settings_of(place: Path, *names: str, **variables: str) -> dict[str, Any]:
    done = as_process(place, "-c", f"NAMES = {names!r}; {SETTINGS}", **variables)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


# --- As a process ----------------------------------------------------------------------------------------------------


def test_the_deployment_check_finds_nothing(tmp_path: Path) -> None:
    done = as_process(tmp_path, "manage.py", "check", "--deploy", "--fail-level", "WARNING")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "System check identified no issues (1 silenced).\n"


def test_it_finds_what_is_missing(tmp_path: Path) -> None:
    """A proxy that nobody has named, a short key, and DEBUG are warned of: the check looks at what is really set."""
    weak = {"TRUSTED_PROXIES": "0", "SECRET_KEY": "short", "DEBUG": "true"}
    done = as_process(tmp_path, "manage.py", "check", "--deploy", "--fail-level", "WARNING", **weak)
    assert done.returncode == 1
    assert set(re.findall(r"security\.(W\d+)\)", done.stderr)) == {"W008", "W009", "W018"}


def test_all_of_it_follows_from_the_console_s_address(tmp_path: Path) -> None:
    found = settings_of(
        tmp_path,
        "ALLOWED_HOSTS",
        "CSRF_TRUSTED_ORIGINS",
        "SECURE_HSTS_SECONDS",
        "SECURE_HSTS_INCLUDE_SUBDOMAINS",
        "SECURE_HSTS_PRELOAD",
        "SECURE_SSL_REDIRECT",
        "SECURE_PROXY_SSL_HEADER",
        "SESSION_COOKIE_SECURE",
        "CSRF_COOKIE_SECURE",
        "SESSION_COOKIE_NAME",
        "CSRF_COOKIE_NAME",
        "MESSAGE_STORAGE",
        CONSOLE_URL="https://gatehouse.example.org:8443/below/",
    )
    assert found == {
        "ALLOWED_HOSTS": ["localhost", "127.0.0.1", "[::1]", "gatehouse.example.org"],
        "CSRF_TRUSTED_ORIGINS": ["https://gatehouse.example.org:8443"],
        "SECURE_HSTS_SECONDS": 31_536_000,
        "SECURE_HSTS_INCLUDE_SUBDOMAINS": True,
        "SECURE_HSTS_PRELOAD": False,
        "SECURE_SSL_REDIRECT": True,
        "SECURE_PROXY_SSL_HEADER": ["HTTP_X_FORWARDED_PROTO", "https"],
        "SESSION_COOKIE_SECURE": True,
        "CSRF_COOKIE_SECURE": True,
        "SESSION_COOKIE_NAME": "__Host-sessionid",
        "CSRF_COOKIE_NAME": "__Host-csrftoken",
        "MESSAGE_STORAGE": "config.security.HostMessages",
    }


def test_each_of_it_can_be_said_otherwise(tmp_path: Path) -> None:
    told = {"ALLOWED_HOSTS": "a.example.org,b.example.org", "CSRF_TRUSTED_ORIGINS": "https://a.example.org"}
    more = {"HSTS_SECONDS": "0", "HSTS_SUBDOMAINS": "false", "SECRET_KEY_FALLBACKS": OLD_SECRET}
    names = ["ALLOWED_HOSTS", "CSRF_TRUSTED_ORIGINS", "SECURE_HSTS_SECONDS", "SECURE_HSTS_INCLUDE_SUBDOMAINS"]
    assert list(settings_of(tmp_path, *names, "SECRET_KEY_FALLBACKS", **told, **more).values()) == [
        ["a.example.org", "b.example.org"],
        ["https://a.example.org"],
        0,
        False,
        [OLD_SECRET],
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [("HSTS_SECONDS", "a year"), ("TRUSTED_PROXIES", "all")],
)
def test_what_is_mistyped_is_a_sentence(tmp_path: Path, name: str, value: str) -> None:
    done = as_process(tmp_path, "manage.py", "check", **{name: value})
    assert done.returncode == 2
    assert done.stderr.startswith(f"Gatehouse cannot start: {name} must be ")
    assert "Traceback" not in done.stderr


# --- Which way a request came ----------------------------------------------------------------------------------------


@pytest.fixture
def https(settings: LazySettings) -> None:
    settings.ALLOWED_HOSTS = ["gatehouse.example.org"]
    settings.TRUSTED_PROXIES = 1
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    settings.SECURE_SSL_REDIRECT = settings.SESSION_COOKIE_SECURE = settings.CSRF_COOKIE_SECURE = True
    settings.SECURE_HSTS_SECONDS, settings.SECURE_HSTS_INCLUDE_SUBDOMAINS = 31_536_000, True
    settings.SESSION_COOKIE_NAME, settings.CSRF_COOKIE_NAME = "__Host-sessionid", "__Host-csrftoken"
    settings.MESSAGE_STORAGE = "config.security.HostMessages"


def visitor(scheme: str = "https") -> Client:
    return Client(headers={"Host": "gatehouse.example.org", "X-Forwarded-Proto": scheme})


@pytest.mark.django_db
def test_people_are_sent_to_https_and_told_to_stay_there(https: None) -> None:
    answer = visitor("http").get("/admin/login/")
    assert (answer.status_code, answer["Location"]) == (301, "https://gatehouse.example.org/admin/login/")
    page = visitor().get("/admin/login/")
    assert page["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains"
    assert set(page.cookies) == {"__Host-csrftoken"}
    client, person = visitor(), make_user(REVIEWER)
    client.post("/admin/login/", {"username": person.email, "password": PASSWORD})
    client.post("/admin/you/", {"display_name": "x", "review_due": "none", "review_overdue": "none"})
    assert set(client.cookies) == {"__Host-csrftoken", "__Host-sessionid", "__Host-messages"}
    for cookie in client.cookies.values():
        assert (cookie["secure"], cookie["path"], cookie["domain"]) == (True, "/", "")
        assert (cookie["httponly"], cookie["samesite"]) == (True, "Lax")


def test_a_program_that_sends_its_token_in_the_clear_is_refused(https: None) -> None:
    answer = visitor("http").get("/api/v1/campaigns", headers={"Authorization": "Bearer gh_x"})
    assert answer.status_code == 403
    assert "have it rotated" in answer.json()["detail"]


@pytest.mark.django_db
def test_what_asks_from_inside_is_answered_as_it_comes(https: None) -> None:
    assert visitor("http").get("/healthz").status_code == 200
    assert visitor("http").get("/readyz").status_code in {200, 503}


@pytest.mark.django_db
@pytest.mark.parametrize("host", ["evil.example.org", "gatehouse.example.org.evil.org", "gatehouse.example.org@evil"])
def test_another_host_is_not_served(https: None, host: str) -> None:
    assert visitor().get("/admin/login/", headers={"Host": host}).status_code == 400
    assert visitor().get("/admin/login/", headers={"X-Forwarded-Host": host}).status_code == 200


FORWARDED = "203.0.113.9, 198.51.100.7"


@pytest.mark.parametrize(
    ("proxies", "header", "found"),
    [
        (0, FORWARDED, "10.0.0.1"),  # nobody is trusted
        (1, FORWARDED, "198.51.100.7"),  # what stands before it may be the caller's invention
        (2, FORWARDED, "203.0.113.9"),
        (3, FORWARDED, "10.0.0.1"),  # it did not come through all of them
        (1, "", "10.0.0.1"),
        (1, "nonsense", "10.0.0.1"),
        (1, "2001:DB8::1", "2001:db8::1"),
    ],
)
def test_whose_address_it_is(settings: LazySettings, proxies: int, header: str, found: str) -> None:
    settings.TRUSTED_PROXIES = proxies
    assert caller({"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": header}) == found


# --- Headers ---------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(
    "path", ["/admin/login/", "/admin/", "/api/v1/campaigns", "/api/v1/docs", "/healthz", "/nothing"]
)
def test_every_answer_tells_browsers_what_not_to_do(path: str) -> None:
    answer = Client().get(path)
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["X-Frame-Options"] == "DENY"
    assert answer["Referrer-Policy"] == "same-origin"
    assert answer["Cross-Origin-Opener-Policy"] == "same-origin"
    assert "camera=()" in answer["Permissions-Policy"]
    policy = answer["Content-Security-Policy"]
    for told in ("default-src 'self'", "object-src 'none'", "base-uri 'none'", "frame-ancestors 'none'"):
        assert told in policy
    assert "unsafe" not in policy
    assert "Access-Control-Allow-Origin" not in answer


@pytest.mark.django_db
@pytest.mark.parametrize("elsewhere", ["https://evil.example.org/", "//evil.example.org/", "/\\evil.example.org"])
def test_signing_in_leads_to_no_other_host(elsewhere: str) -> None:
    person = make_user(REVIEWER)
    person.set_password("correct horse battery")
    person.save()
    form = {"username": person.email, "password": "correct horse battery", "next": elsewhere}
    answer = Client().post("/admin/login/", form)
    assert (answer.status_code, answer["Location"]) == (302, reverse("admin:index"))


@pytest.mark.django_db
def test_pages_of_the_console_are_not_stored() -> None:
    person, client = make_user(REVIEWER), Client()
    assert "no-store" in client.get("/admin/login/")["Cache-Control"]
    client.force_login(person, backend="django.contrib.auth.backends.ModelBackend")
    for path in (reverse("admin:index"), reverse("admin:you"), reverse("admin:campaigns_campaign_changelist")):
        assert "no-store" in client.get(path)["Cache-Control"], path


@pytest.mark.django_db
@pytest.mark.parametrize(
    "path",
    [
        "/.git/config",
        "/static/",
        "/static/../manage.py",
        "/static/%2e%2e/manage.py",
        "/manage.py",
        "/.gatehouse/",
        "/.env",
    ],
)
def test_what_is_no_address_is_not_served(path: str) -> None:
    assert Client().get(path).status_code == 404


def test_trace_is_answered_by_nobody() -> None:
    """The method that repeats a request with its headers."""
    answer = Client().trace("/healthz", headers={"Authorization": "Bearer gh_secret"})
    assert answer.status_code == 405
    assert b"gh_secret" not in answer.content


# --- Sessions --------------------------------------------------------------------------------------------------------


@pytest.fixture
def signed_in(db: None) -> Client:
    client = Client()
    client.force_login(make_user(REVIEWER), backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.fixture
def later(signed_in: Client) -> Callable[..., None]:
    """Makes the session older than it is, instead of waiting."""

    def older(**seconds: float) -> None:
        session = signed_in.session
        session.update({name: time.time() - ago for name, ago in seconds.items()})
        session.save()

    return older


def is_in(client: Client, **headers: str) -> bool:
    return bool(client.get(reverse("admin:you"), headers=headers).status_code == 200)


def test_an_hour_without_its_person_ends_a_session(signed_in: Client, later: Callable[..., None]) -> None:
    later(seen=settings.SESSION_IDLE_SECONDS - 60)
    assert is_in(signed_in)  # and that counts
    assert is_in(signed_in)
    later(seen=settings.SESSION_IDLE_SECONDS + 1)
    key = signed_in.session.session_key
    answer = signed_in.get(reverse("admin:you"))
    assert (answer.status_code, answer["Clear-Site-Data"]) == (302, '"cache", "storage"')
    assert not Session.objects.filter(pk=key).exists()


def test_a_window_that_only_refreshes_itself_does_not_keep_it(signed_in: Client, later: Callable[..., None]) -> None:
    later(seen=settings.SESSION_IDLE_SECONDS - 60)
    before = signed_in.session["seen"]
    assert is_in(signed_in, **{"HX-Request": "true"})
    assert signed_in.session["seen"] == before


def test_twelve_hours_end_it_in_any_case(signed_in: Client, later: Callable[..., None]) -> None:
    later(began=settings.SESSION_MOST_SECONDS + 1)
    assert not is_in(signed_in)


def test_a_session_of_before_is_given_its_time(signed_in: Client) -> None:
    session = signed_in.session
    del session["began"], session["seen"]
    session.save()
    assert is_in(signed_in)
    assert time.time() - signed_in.session["began"] < SEEN_EVERY


def test_not_every_page_is_a_write(signed_in: Client) -> None:
    signed_in.get(reverse("admin:you"))
    before = signed_in.session["seen"]
    signed_in.get(reverse("admin:you"))
    assert signed_in.session["seen"] == before


def test_signing_in_begins_another_session_and_a_new_password_ends_all_others(db: None) -> None:
    person, password, chosen = make_user(REVIEWER), "correct horse battery", "staple the horse again"
    person.set_password(password)
    person.save()
    clients = Client(), Client()
    for client in clients:
        client.get("/admin/login/")
        planted = client.session  # as whoever plants a key in a browser would have it
        planted["x"] = "planted"
        planted.save()
        client.cookies[settings.SESSION_COOKIE_NAME] = planted.session_key
        client.post("/admin/login/", {"username": person.email, "password": password})
        assert client.session.session_key != planted.session_key
        assert is_in(client)
    here, elsewhere = clients
    form = {"old_password": password, "new_password1": chosen, "new_password2": chosen}
    assert here.post(reverse("admin:password_change"), form).status_code == 302
    assert is_in(here)
    assert not is_in(elsewhere)


def test_switching_an_account_off_ends_its_sessions_and_signing_out_ends_this_one(signed_in: Client) -> None:
    other = Client()
    person = make_user(REVIEWER)
    other.force_login(person, backend="django.contrib.auth.backends.ModelBackend")
    key = other.cookies[settings.SESSION_COOKIE_NAME].value
    assert other.get(reverse("admin:logout")).status_code == 405
    assert other.post(reverse("admin:logout"))["Clear-Site-Data"] == '"cache", "storage"'
    other.cookies[settings.SESSION_COOKIE_NAME] = key  # kept by somebody
    assert not is_in(other)
    other.force_login(person, backend="django.contrib.auth.backends.ModelBackend")
    person.is_active = False
    person.save()
    assert not is_in(other)


# --- What is installed -----------------------------------------------------------------------------------------------


def test_the_lock_names_no_index_but_pypi() -> None:
    locked = tomllib.loads((CHECKOUT / "uv.lock").read_text())["package"]
    sources = {source for package in locked for source in package["source"].items()} - {
        ("virtual", "."),
        ("editable", "."),
    }
    assert sources == {("registry", "https://pypi.org/simple")}
    hosts = {re.match(r"https://[^/]+/", file["url"])[0] for package in locked for file in package.get("wheels", [])}
    assert hosts == {"https://files.pythonhosted.org/"}


LOCKED = f"django==4.2.0 --hash=sha256:{'a' * 64}\n"


@pytest.fixture
def advisories() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A service of advisories here, and what it knows of every package."""
    known: list[dict[str, Any]] = []
    with taking_posts(lambda _: json.dumps({"vulns": known}).encode()) as address:
        yield f"http://{address}/v1/query", known


def audited(place: Path, address: str, locked: str = LOCKED) -> tuple[int, str]:
    (place / "locked.txt").write_text(locked)
    asked = ["-r", str(place / "locked.txt"), "--vulnerability-service", "osv", "--osv-url", address]
    done = run([sys.executable, ".ci/audit.py", *asked], environment(place))
    return done.returncode, done.stdout


def test_a_known_vulnerability_fails_the_build_and_silence_does_not(
    tmp_path: Path, advisories: tuple[str, list[dict[str, Any]]]
) -> None:
    address, known = advisories
    assert audited(tmp_path, address) == (0, "No known vulnerability in 1 packages.\n")
    mended = {"ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "4.2.1"}]}]}
    package = {"package": {"name": "django", "ecosystem": "PyPI"}, **mended}
    known.append({"id": "PYSEC-1", "summary": "Bad.", "aliases": [], "affected": [package]})
    assert audited(tmp_path, address) == (1, "django 4.2.0: PYSEC-1, mended in 4.2.1\n")
    assert audited(tmp_path, "http://127.0.0.1:1/") == (0, "NOT AUDITED: the service of advisories did not answer.\n")
    assert audited(tmp_path, address, "django==\n")[0] == 2


# --- What the documents say -------------------------------------------------------------------------------------------


def test_the_table_names_each_requirement_once_and_what_shows_it_is_there() -> None:
    """ASVS 5.0.0 has 253 requirements of levels 1 and 2."""
    rows = re.findall(r"^\| ([\d., ]+) \| .+ \| (holds|\*\*does not\*\*|n/a) \| (.+) \|$", ASVS.read_text(), re.M)
    named = [number for numbers, _, _ in rows for number in numbers.split(", ")]
    assert len(named) == len(set(named)) == 253
    counted = {
        state: sum(len(numbers.split(", ")) for numbers, found, _ in rows if found == state) for _, state, _ in rows
    }
    told = f"**{counted['holds']} hold, {counted['**does not**']} do not, {counted['n/a']} are of things that Gatehouse"
    assert told in ASVS.read_text()


@pytest.mark.parametrize("document", ["docs/asvs.md", "docs/security.md", "SECURITY.md"])
def test_every_file_and_test_that_is_named_exists(document: str) -> None:
    named = re.findall(r"`([\w./-]+\.(?:py|md|js|toml|txt|lock|html))(?:::(\w+))?`", (CHECKOUT / document).read_text())
    assert named
    for path, test in named:
        assert (CHECKOUT / path).is_file(), path
        assert not test or f"def {test}(" in (CHECKOUT / path).read_text(), f"{path}::{test}"
