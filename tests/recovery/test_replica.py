"""Two real servers: pages that only look are read from the second, decisions never are, and its loss hurts nobody."""

import http.cookiejar
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import pytest

from config import embedded
from config.embedded_home import as_server_user, prepare_home, server_user
from config.replica.watch import MOST_SECONDS, PATIENCE
from tests.recovery.support import (
    CHECKOUT,
    end_started,
    environment,
    free_port,
    holder,
    query,
    run,
    send,
    server_processes,
    soon,
    started,
)
from tests.recovery.test_settings import refusal

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")

TOKEN = "0123456789abcdef-of-the-replica-tests"
EMAIL, PASSWORD = "abebe@example.org", "a long password of this test"
SEED = f"""
import django
django.setup()
from accounts.models import User
from campaigns.models import Campaign
User.objects.create_superuser({EMAIL!r}, {PASSWORD!r}, display_name="Abebe")
given = {{"goal": "Sell it.", "target_platforms": ["tiktok"], "budget_cap_etb": 1, "status": "active"}}
for name in ("Coffee", "Honey"):
    Campaign.objects.create(name=name, **given)
"""
NAMED = re.compile(r'(?:FROM|JOIN|INTO|UPDATE)\s+"?(\w+)')
TABLES = "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace"
CANCELLED = re.compile(r"The primary answers what the read replica did not: .*conflict with recovery")
CAMPAIGNS = "campaigns/campaign/"
PAUSED = f"{CAMPAIGNS}?status__exact=paused"
LISTS = {  # and the table that each reads
    CAMPAIGNS: "campaign",
    "campaigns/task/": "task",
    "content/artifact/": "artifact",
    "audit/auditlog/": "audit_log",
    "metrics/metricevent/": "metric_event",
    "": "campaign",
    "fleet/": "task",
    "metrics/": "metric_rollup_campaign",
}
# Who somebody is, what they may, and what is for them alone.
NO_COPY = {"django_session", "auth_permission", "auth_group", "notification"}
OF_THE_PERSON = {"api_token", "user", "user_groups", "user_user_permissions", "otp_totp_totpdevice", "saved_filter"}
FROM_THE_PRIMARY = NO_COPY | OF_THE_PERSON | {"system_control"}


@dataclass
class House:
    place: Path
    standby: Path
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self.place.parent / "web.log"

    def warnings(self) -> list[str]:
        with urllib.request.urlopen(f"{self.url}/readyz", timeout=20) as answer:  # an error if it is not ready
            text = answer.read().decode()
        return re.findall(r'"(the read replica [^"]*)"', text)

    def figures(self) -> dict[str, float]:
        asked = urllib.request.Request(f"{self.url}/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
        with urllib.request.urlopen(asked, timeout=20) as answer:
            lines = answer.read().decode().splitlines()
        return {line.split()[0]: float(line.split()[1]) for line in lines if line.startswith("gatehouse_replica")}

    def is_used(self) -> bool:
        return not self.warnings()


class Browser:
    """Somebody who has signed in; cookies are kept as long as the server says."""

    def __init__(self, house: House) -> None:
        self.house, self.cookies = house, http.cookiejar.CookieJar()
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.cookies))
        self.post("login/", username=EMAIL, password=PASSWORD, next="/admin/password_change/")

    @classmethod
    def like(cls, other: "Browser") -> "Browser":
        made = cls.__new__(cls)
        made.house, made.opener = other.house, urllib.request.build_opener()
        made.opener.addheaders = [("Cookie", "; ".join(f"{each.name}={each.value}" for each in other.cookies))]
        return made

    def get(self, path: str = "") -> str:
        with self.opener.open(f"{self.house.url}/admin/{path}", timeout=60) as answer:
            assert answer.status == 200
            return str(answer.read().decode())

    def post(self, path: str, **fields: str) -> str:
        page = self.get(path)
        fields |= dict(re.findall(r'name="(csrfmiddlewaretoken)" value="([^"]+)"', page))
        asked = urllib.request.Request(f"{self.house.url}/admin/{path}", data=urlencode(fields).encode())
        with self.opener.open(asked, timeout=60) as answer:
            assert "/login/" not in answer.url
            return str(answer.read().decode())

    def forget(self) -> None:
        """As if the time were over in which they read what they wrote."""
        for cookie in [cookie for cookie in self.cookies if cookie.name == "wrote"]:
            self.cookies.clear(cookie.domain, cookie.path, cookie.name)


def copy(place: Path, standby: Path) -> None:
    """A standby as an operator makes one."""
    prepare_home(standby)
    data = standby / "pgdata"
    data.mkdir(mode=0o700)
    if os.geteuid() == 0:
        os.chown(data, *server_user(standby))
    program = [*as_server_user(standby), str(embedded.programs() / "pg_basebackup")]
    primary = embedded.url("postgres", "postgres", place)
    given = ["-D", str(data), "--write-recovery-conf", "--checkpoint=fast", "--no-sync", "--dbname", primary]
    done = run([*program, *given], embedded.server_environment(), place=Path("/"))
    assert done.returncode == 0, done.stderr
    holder(standby)


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    parent = Path(tempfile.mkdtemp(prefix="gatehouse replica "))
    parent.chmod(0o755)
    made, before = House(parent / "home", parent / "standby", free_port()), len(started)
    try:
        holder(made.place)
        variables = environment(made.place, METRICS_TOKEN=TOKEN)
        for command in (["manage.py", "setup"], ["-c", SEED]):
            done = run([sys.executable, *command], variables)
            assert done.returncode == 0, done.stderr
        copy(made.place, made.standby)
        variables["DATABASE_REPLICA_URL"] = embedded.url("gatehouse_app", home=made.standby)
        serve(made, variables)
        yield made
    finally:
        end_started(before)
        for home in (made.standby, made.place):
            send(server_processes(home), signal.SIGCONT)
            embedded.stop(home)
        shutil.rmtree(parent)


def serve(house: House, variables: dict[str, str]) -> None:
    """One web process, so that what one request sees of the replica the next does too."""
    command = [sys.executable, "-W", "ignore:No directory at:UserWarning", "-m", "gunicorn", "--no-control-socket"]
    command += ["--config", "python:config.gunicorn", "--bind", f"127.0.0.1:{house.port}", "--log-level", "warning"]
    command += ["--worker-class", "gthread", "--workers=1", "--threads=24", "config.wsgi"]
    with house.log.open("ab") as stream:
        started.append(
            subprocess.Popen(
                command,
                cwd=CHECKOUT,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
                text=True,
            )
        )
    assert soon(lambda: answers(house), 60), house.log.read_text()


def answers(house: House) -> bool:
    try:
        return house.is_used()
    except OSError:
        return False


@pytest.fixture
def browser(house: House) -> Browser:
    """Somebody who has not changed anything lately, and a replica that is up to date."""
    made = Browser(house)
    made.forget()
    assert soon(house.is_used, 30), house.warnings()
    return made


@contextmanager
def asked(*places: Path) -> Iterator[list[set[str]]]:
    """The tables that were read or written on each of these servers meanwhile."""
    for place in places:
        query(place, "SELECT pg_stat_statements_reset()")
    tables = {name for (name,) in query(places[0], TABLES)}
    found: list[set[str]] = []
    yield found
    for place in places:
        texts = query(place, "SELECT query FROM pg_stat_statements")
        found.append({name for (text,) in texts for name in NAMED.findall(text)} & tables)


def test_pages_that_only_look_are_read_there(house: House, browser: Browser) -> None:
    for path, table in LISTS.items():
        with asked(house.place, house.standby) as found:
            browser.get(path)
        primary, standby = found
        assert table in standby, (path, standby)
        assert not primary - FROM_THE_PRIMARY, (path, primary)
        assert not standby & NO_COPY, (path, standby)
        assert "system_control" in primary, path  # whether everything is halted, which every page says


def test_a_file_is_read_there_and_that_somebody_took_it_is_written(house: House, browser: Browser) -> None:
    with asked(house.place, house.standby) as found:
        assert "Coffee" in browser.get("campaigns/campaign/export/")
    primary, standby = found
    assert "campaign" in standby
    assert primary - FROM_THE_PRIMARY == {"audit_log"}


def test_what_decides_is_never_read_there(house: House, browser: Browser) -> None:
    key = query(house.place, "SELECT campaign_id FROM campaign WHERE name = 'Honey'")[0][0]
    row = f"campaigns/campaign/{key}"
    with asked(house.standby) as found:
        for path in (f"{row}/change/", f"{row}/control/pause/", "system/halt/", "content/reviewitem/", "you/"):
            browser.get(path)
        browser.post(f"{row}/control/pause/", reason="To see where it is read.")
        for path in LISTS:
            browser.get(path)  # they have just changed something
        urllib.request.urlopen(f"{house.url}/readyz", timeout=20)
    assert found == [set()]
    assert query(house.place, "SELECT status FROM campaign WHERE name = 'Honey'") == [("paused",)]


def test_people_see_what_they_wrote_and_nobody_sees_what_is_old(house: House, browser: Browser) -> None:
    other = Browser(house)
    other.forget()
    key = query(house.place, "SELECT campaign_id FROM campaign WHERE name = 'Coffee'")[0][0]
    query(house.standby, "SELECT pg_wal_replay_pause()")
    try:
        assert "Coffee" not in other.get(PAUSED)
        browser.post(f"campaigns/campaign/{key}/control/pause/", reason="To be seen at once.")
        assert "Coffee" in browser.get(PAUSED)
        # Read there, where it is not known yet; on a machine that took seconds until here, nobody reads there any more.
        assert "Coffee" not in other.get(PAUSED) or house.warnings()
        assert soon(lambda: "Coffee" in other.get(PAUSED), MOST_SECONDS + 10)
        assert soon(house.warnings)
        assert re.fullmatch(
            r"the read replica is \d+ seconds behind: pages are read from the primary", *house.warnings()
        )
        assert house.figures()["gatehouse_replica_used"] == 0
        assert house.figures()["gatehouse_replica_lag_seconds"] > MOST_SECONDS
    finally:
        query(house.standby, "SELECT pg_wal_replay_resume()")
    assert soon(house.is_used)
    assert house.figures()["gatehouse_replica_used"] == 1
    assert house.figures()["gatehouse_replica_lag_seconds"] < MOST_SECONDS


def test_a_standby_that_is_killed_hurts_nobody(house: House, browser: Browser) -> None:
    with under_load(house, browser) as waits:
        send(server_processes(house.standby), signal.SIGKILL)
        assert soon(house.warnings)
        assert house.warnings() == ["the read replica does not answer: pages are read from the primary"]
        assert house.figures() == {"gatehouse_replica_used": 0, "gatehouse_replica_lag_seconds": float("inf")}
        assert soon(lambda: not server_processes(house.standby))
    assert max(waits) < 5
    holder(house.standby)
    assert soon(house.is_used)
    with asked(house.standby) as found:
        browser.get(CAMPAIGNS)
    assert "campaign" in found[0]


def test_a_standby_that_is_frozen_keeps_nobody_waiting_for_long(house: House, browser: Browser) -> None:
    try:
        with under_load(house, browser) as waits:
            send(server_processes(house.standby), signal.SIGSTOP)
            assert soon(house.warnings)
        assert max(waits) < 2 * PATIENCE + 5
    finally:
        send(server_processes(house.standby), signal.SIGCONT)
    assert soon(house.is_used)


def test_a_statement_that_replay_cancels_is_answered(house: House, browser: Browser) -> None:
    """What the primary locks is taken from under those who read it on the standby."""

    def cancelled() -> bool:
        query(house.place, "BEGIN; LOCK TABLE campaign, task, audit_log IN ACCESS EXCLUSIVE MODE; COMMIT")
        return CANCELLED.search(house.log.read_text()) is not None

    query(house.standby, "ALTER SYSTEM SET max_standby_streaming_delay = 0")
    query(house.standby, "SELECT pg_reload_conf()")
    try:
        with under_load(house, browser):
            assert soon(cancelled, 60)
    finally:
        query(house.standby, "ALTER SYSTEM RESET max_standby_streaming_delay")
        query(house.standby, "SELECT pg_reload_conf()")


def test_a_standby_that_became_a_primary_is_left_and_so_is_one_that_follows_it(house: House, browser: Browser) -> None:
    other = house.standby.with_name("other")
    try:
        query(house.standby, "SELECT pg_promote()")
        assert soon(house.warnings)
        assert house.warnings() == ["the read replica is no standby: pages are read from the primary"]
        with asked(house.standby) as found:
            browser.get(CAMPAIGNS)
        assert found == [set()]
        embedded.stop(house.standby)
        house.standby.rename(other)
        holder(other)
        copy(other, house.standby)  # with the same history until now, and another from now on
        told = (
            "the read replica does not follow the server of DATABASE_URL, or not yet: pages are read from the primary"
        )
        assert soon(lambda: house.warnings() == [told])
    finally:
        for home in (house.standby, other):
            embedded.stop(home)
            shutil.rmtree(home, ignore_errors=True)
        copy(house.place, house.standby)
    assert soon(house.is_used)


def test_an_address_that_is_none_is_told(house: House) -> None:
    told = refusal(house.place, "check", DATABASE_REPLICA_URL="mysql://someone@host/name")
    assert "DATABASE_REPLICA_URL must begin with postgresql://" in told


@contextmanager
def under_load(house: House, browser: Browser, people: int = 4) -> Iterator[list[float]]:
    """People who look at lists without a pause, before, while and after something happens; none may see an error."""
    waits: list[float] = []
    troubles: list[str] = []
    ends = threading.Event()

    def look() -> None:
        own = Browser.like(browser)
        while not ends.is_set():
            for path in LISTS:
                began = time.monotonic()
                try:
                    own.get(path)
                except (OSError, AssertionError) as problem:
                    troubles.append(f"{path}: {problem}")
                waits.append(time.monotonic() - began)

    threads = [threading.Thread(target=look) for _ in range(people)]
    for thread in threads:
        thread.start()
    try:
        assert soon(lambda: len(waits) >= 2 * people, 60)
        yield waits
        seen = len(waits)
        assert soon(lambda: len(waits) >= seen + 2 * people, 60)
    finally:
        ends.set()
        for thread in threads:
            thread.join()
    assert troubles == []
