"""Nothing that opens a door is in what the house leaves behind: its logs, its audit, its reports of errors, `ps`.

Both kinds of logs at once, each of a real server at which somebody does all that has to do with secrets.
"""

import http.cookiejar
import json
import re
import secrets
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from config import embedded
from tests.recovery.support import FAST, environment, first_line, free_port, manage, python, query, run, soon
from tests.recovery.test_settings import ELSEWHERE
from tests.servers import keeping_posts

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
PERSON = "keeper@example.org"
SET_UP = f"""
import io, sys, django
django.setup()
from django.core.management import call_command
from accounts.models import User
call_command("setup", stdout=io.StringIO())
User.objects.create_superuser({PERSON!r}, sys.stdin.readline().strip())
"""


class Visitor:
    """A browser and a program at one server. What they send or are given and must not be seen is in `hidden`."""

    def __init__(self, port: int, password: str) -> None:
        self.origin, self.password = f"http://127.0.0.1:{port}", password
        self.jar = http.cookiejar.CookieJar()
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.jar))
        self.hidden = {"password": password}

    def ask(self, path: str, form: dict[str, str] | None = None, bearer: str = "", body: bytes | None = None) -> str:
        headers = {"Referer": self.origin} | ({"Authorization": f"Bearer {bearer}"} if bearer else {})
        if form is not None:
            body = urllib.parse.urlencode(form).encode()
        if form is None and body is not None:
            headers["Content-Type"] = "application/json"
        opener = urllib.request.build_opener() if bearer else self.opener
        try:
            with opener.open(urllib.request.Request(self.origin + path, body, headers), timeout=60) as answer:
                return f"{answer.status} {answer.read().decode()}"
        except urllib.error.HTTPError as error:
            return f"{error.code} {error.read().decode()}"

    def hide(self, **values: str) -> None:
        for name, value in values.items():
            assert len(value) > 8, name
            self.hidden[name] = value

    def form(self, path: str, **given: str) -> str:
        page = self.ask(path)
        fields = dict(re.findall(r'name="(csrfmiddlewaretoken|token_id)" value="([^"]+)"', page))
        self.hide(csrf=fields["csrfmiddlewaretoken"])
        return self.ask(path, fields | given)

    def sign_in(self) -> None:
        self.hide(wrong_password=secrets.token_urlsafe(12))
        assert "No account here" in self.form("/admin/login/", username=PERSON, password=self.hidden["wrong_password"])
        assert self.form("/admin/login/", username=PERSON, password=self.password).startswith("200")
        self.hide(**{f"cookie {cookie.name}": cookie.value or "" for cookie in self.jar})
        assert "cookie sessionid" in self.hidden

    def make_token(self) -> None:
        made = self.form("/admin/agents/apitoken/add/", name="keeper", role="worker", agent="", expires_at_0="")
        (text,) = set(re.findall(r"gh_[\w-]{43}", made))
        self.hide(token=text, rest_of_token=text[12:])

    def use_tokens(self, metrics_token: str) -> None:
        text = self.hidden["token"]
        self.hide(wrong_token=f"gh_{secrets.token_urlsafe(32)}", wrong_metrics_token=secrets.token_urlsafe(20))
        assert self.ask("/api/v1/campaigns", bearer=text).startswith("200")
        assert self.ask("/api/v1/campaigns", bearer=self.hidden["wrong_token"]).startswith("401")
        assert self.ask(f"/api/v1/campaigns?token={text}", bearer=text).startswith("422")  # as some would send it
        wrong = json.dumps({"token": text, "wait": 0}).encode()
        assert self.ask("/api/v1/tasks/claim", bearer=text, body=wrong).startswith("422")
        self.metrics = self.ask("/metrics", bearer=metrics_token)
        assert self.metrics.startswith("200")
        assert self.ask("/metrics", bearer=self.hidden["wrong_metrics_token"]).startswith("401")

    def forget_password(self, mail: Path) -> None:
        before = set(mail.glob("*"))
        assert self.form("/admin/password/forgotten/", email=PERSON).startswith("200")
        assert soon(lambda: set(mail.glob("*")) - before)
        (message,) = set(mail.glob("*")) - before
        assert soon(lambda: "/admin/password/" in message.read_text())
        (link,) = re.findall(r"/admin/password/\S+", message.read_text().replace("=\n", ""))
        self.hide(link=link.rstrip("/").rpartition("/")[2])
        assert self.ask(link).startswith("200")
        assert self.ask(f"{link.rstrip('/')}x/").startswith("200")  # one that is wrong: a page that says so

    def meet_a_fault(self) -> None:
        text = self.hidden["token"]
        assert self.ask(f"/api/v1/campaigns?after={text}", bearer=text).startswith(("422", "500"))
        assert self.ask("/api/v1/campaigns", bearer=text).startswith("500")
        assert self.ask("/admin/campaigns/campaign/").startswith("500")


@pytest.fixture
def reports() -> Iterator[tuple[str, list[bytes]]]:
    """The address to which errors are reported, and what arrives there."""
    with keeping_posts() as (address, received):
        yield f"{address}/1", received


def command_lines() -> str:
    """What `ps` shows to everybody on the machine."""
    told = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            told.append(entry.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return "\n".join(told)


def logs(place: Path) -> list[Path]:
    """Those of PostgreSQL; e-mails are kept in files of that name too."""
    return [file for file in place.rglob("*.log") if file.parent.name != "mail"]


def test_no_secret_is_left_behind(place: Path, reports: tuple[str, list[bytes]]) -> None:
    address, received = reports
    password = secrets.token_urlsafe(18)
    configured = {name: secrets.token_hex(32) for name in ("SECRET_KEY", "SECRET_KEY_FALLBACKS", "METRICS_TOKEN")}
    configured["EMAIL_HOST_PASSWORD"] = secrets.token_hex(16)
    reporter = secrets.token_hex(16)
    left: dict[str, str] = {}
    with embedded.running(place, FAST):
        maker = python(place, SET_UP)
        assert maker.communicate(password, timeout=120)[1] == ""
        assert maker.returncode == 0
        servers: dict[str, tuple[subprocess.Popen[str], Visitor]] = {}
        for form in ("json", "line"):
            port = free_port()
            variables = {**configured, "SENTRY_DSN": f"http://{reporter}@{address}", "LOG_FORMAT": form}
            child = manage(place, "serve", PORT=str(port), **variables)
            servers[form] = child, Visitor(port, password)
        for child, visitor in servers.values():
            first_line(child)
            visitor.sign_in()
            visitor.make_token()
            visitor.use_tokens(configured["METRICS_TOKEN"])
            visitor.forget_password(place / "mail")
        query(place, "ALTER TABLE campaign RENAME COLUMN goal TO gone")
        for _, visitor in servers.values():
            visitor.meet_a_fault()
        left["ps"] = command_lines()
        assert soon(lambda: sum(b'"exception"' in body for body in received) >= 4)
        for form, (child, visitor) in servers.items():
            child.terminate()
            said, errors = child.communicate(timeout=60)
            left[f"what {form} says"] = said + errors
            left[f"metrics {form}"] = visitor.metrics
            assert "UndefinedColumn" in errors
        tables = ["audit_log", "api_token", "idempotency_key", "axes_accessattempt", "axes_accesslog", "cron_job"]
        union = " UNION ALL ".join(f"SELECT to_jsonb(t)::text FROM {table} t" for table in tables)
        left["tables"] = "\n".join(row for (row,) in query(place, union))
        left["PostgreSQL's log"] = "\n".join(file.read_text(errors="replace") for file in logs(place))
    left["reports"] = b"\n".join(received).decode()
    hidden = dict(configured)
    for form, (_, visitor) in servers.items():
        hidden |= {f"{name} ({form})": value for name, value in visitor.hidden.items()}
    found = [(place_, name) for place_, text in left.items() for name, value in hidden.items() if value in text]
    assert found == []
    assert reporter not in "".join(text for place_, text in left.items() if place_ != "reports")
    assert "keeper" in left["tables"]  # it was looked at where things are
    assert all(left.values())


@pytest.mark.parametrize("form", ["json", "line"])
def test_a_database_that_is_not_there_is_named_without_its_password(place: Path, form: str) -> None:
    password = secrets.token_hex(12)
    address = f"postgresql://gatehouse_app:{password}@127.0.0.1:1/gatehouse"
    variables = environment(place, **ELSEWHERE, DATABASE_URL=address, LOG_FORMAT=form)
    done = run([sys.executable, "manage.py", "run_due"], variables)
    assert done.returncode == 1
    assert "connection failed" in done.stderr
    assert password not in done.stdout + done.stderr
