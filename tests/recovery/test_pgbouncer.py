"""The web processes behind a real PgBouncer in transaction mode, with fewer connections to PostgreSQL than clients.

The classical failure there is state that one client leaves in a session and the next one finds: a role, a person, a
trace. So people and agents work at the same time, and each row of the audit log has to name who did it. Then PgBouncer
is killed under load: what was acknowledged is there, once, and what was not was told so.
"""

import gzip
import http.cookiejar
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode
from uuid import uuid4

import psycopg
import pytest

from config import embedded
from config.embedded_home import server_user
from tests.recovery.support import (
    CHECKOUT,
    end_started,
    environment,
    free_port,
    holder,
    kill_group,
    leave,
    popen,
    query,
    run,
    soon,
    started,
)

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux") or not (PROGRAM or os.environ.get("CI")),
    reason="PgBouncer is not installed (apt install pgbouncer)",
)

POOL = 4  # connections to PostgreSQL; the web processes have two workers with twelve threads each
REVIEWERS, ITEMS, WRITERS, THEIR_TASKS = 3, 12, 4, 4
PLANNED, BATCHES, AT_ONCE = 12, 10, 40  # of each planner, of each collector, rows of a batch
PASSWORD = "a long password of this test"
DESK = "content/reviewitem/"
# The settings that a deployment has, but for where static files are collected: the checkout stays as it is.
SETTINGS = """
from pathlib import Path
from config.settings import *
STATIC_ROOT = Path(__file__).parent / "static"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
"""
SEED = f"""
import django, json
django.setup()
from agents.services import create_token
from audit.context import Actor
from tests import factories
from config.groups import OPERATOR, REVIEWER

def token(name, role, agent=None):
    return create_token(name=name, role=role, agent=agent, actor=Actor.system("test"))[1]

campaign, other = factories.make_campaign(name="Coffee"), factories.make_campaign(name="Honey")
people = [factories.make_user(REVIEWER, email=f"r{{n}}@example.org", password={PASSWORD!r}) for n in range({REVIEWERS})]
operator = factories.make_user(OPERATOR, email="operator@example.org", password={PASSWORD!r})
items = [factories.waiting_item(campaign=campaign) for n in range({ITEMS})]
writers = [factories.make_agent(f"pooled-writer-{{n}}") for n in range({WRITERS})]
tasks = [factories.make_task(campaign=campaign, agent=w) for w in writers for _ in range({THEIR_TASKS})]
judges = [factories.make_agent(f"pooled-judge-{{n}}") for n in range(2)]
print(json.dumps({{
    "campaign": str(campaign.pk), "other": str(other.pk), "operator": str(operator.pk),
    "people": [str(each.pk) for each in people], "artifact": str(items[0].artifact_id),
    "planners": [token(f"planner {{n}}", "planner", factories.make_agent(f"pooled-planner-{{n}}")) for n in range(2)],
    "writers": [token(f"writer {{n}}", "worker", writer) for n, writer in enumerate(writers)],
    "judges": [token(f"judge {{n}}", "judge", judge) for n, judge in enumerate(judges)],
    "collectors": [token(f"collector {{n}}", "metrics") for n in range(2)],
}}))
"""


@dataclass
class Answer:
    status: int
    body: bytes
    headers: Any
    url: str = ""

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()


@dataclass
class House:
    """PostgreSQL, PgBouncer and Gunicorn, as in a deployment; the owner of the schema goes around PgBouncer."""

    place: Path
    port: int = field(default_factory=free_port)
    seeds: dict[str, Any] = field(default_factory=dict)
    pooler: "subprocess.Popen[str] | None" = None

    @property
    def parent(self) -> Path:
        return self.place.parent

    def variables(self) -> dict[str, str]:
        (self.parent / "key").write_text("a long random text for this test only\n")
        pooled = f"postgresql://gatehouse_app@{quote(str(self.parent / 'pool'), safe='')}:6432/gatehouse"
        direct = embedded.url(embedded.MIGRATOR, home=self.place)
        given = {"DATABASE_URL": pooled, "MIGRATOR_DATABASE_URL": direct, "SECRET_KEY_FILE": str(self.parent / "key")}
        path = os.pathsep.join([str(self.parent), str(CHECKOUT)])
        return environment(self.place, **given, DJANGO_SETTINGS_MODULE="pooled_settings", PYTHONPATH=path)

    def start_pooler(self) -> None:
        """As the user of the server, who alone may reach its socket."""
        assert PROGRAM, "PgBouncer is not installed"
        directory, owner = self.parent / "pool", server_user(self.place)
        directory.mkdir(exist_ok=True)
        (directory / "users").write_text('"gatehouse_app" ""\n')
        settings = [
            "[databases]",
            f"gatehouse = host={embedded.socket_dir(self.place)} port={embedded.PORT}",
            "[pgbouncer]",
            "pool_mode = transaction",
            f"default_pool_size = {POOL}",
            "max_client_conn = 200",
            "listen_addr =",
            "listen_port = 6432",
            f"unix_socket_dir = {directory}",
            "auth_type = trust",
            f"auth_file = {directory / 'users'}",
            "server_login_retry = 1",
            f"logfile = {directory / 'log'}",
        ]
        (directory / "pgbouncer.ini").write_text("\n".join(settings) + "\n")
        command = [PROGRAM, "--quiet", str(directory / "pgbouncer.ini")]
        if os.geteuid() == 0:
            os.chown(directory, *owner)
            command = ["setpriv", f"--reuid={owner[0]}", f"--regid={owner[1]}", "--clear-groups", *command]
        self.pooler = popen(command, environment(self.place))
        assert soon(self.pooler_answers, 20), (directory / "log").read_text()

    def pooler_answers(self) -> bool:
        try:
            psycopg.connect(f"host={self.parent / 'pool'} port=6432 user=gatehouse_app dbname=gatehouse").close()
        except psycopg.Error:
            return False
        return True

    def serve(self) -> None:
        command = [sys.executable, "-m", "gunicorn", "--config", "python:config.gunicorn", "--no-control-socket"]
        command += ["--bind", f"127.0.0.1:{self.port}", "--worker-class", "gthread", "--workers=2", "--threads=12"]
        log = self.parent / "web.log"
        with log.open("w") as stream:
            child = subprocess.Popen(
                [*command, "--log-level=warning", "config.wsgi"],
                cwd=CHECKOUT,
                env=self.variables(),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
                text=True,
            )
        started.append(child)
        assert soon(self.is_ready, 60), log.read_text()

    def is_ready(self) -> bool:
        try:
            return Caller(self).ask("/readyz").status == 200
        except OSError:
            return False


class Caller:
    """Whoever speaks HTTP. An answer of any status is an answer; no answer is an OSError."""

    def __init__(self, house: House, token: str = "") -> None:
        self.house, self.token, self.cookies = house, token, http.cookiejar.CookieJar()
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.cookies))

    def ask(self, path: str, body: bytes | None = None, **headers: str) -> Answer:
        request = urllib.request.Request(f"http://127.0.0.1:{self.house.port}{path}", body, headers)
        try:
            with self.opener.open(request, timeout=60) as answer:
                return Answer(answer.status, answer.read(), answer.headers, answer.url)
        except urllib.error.HTTPError as answer:
            return Answer(answer.code, answer.read(), answer.headers)

    def post(self, path: str, body: Any, *, trace_id: str = "", key: str = "") -> Answer:
        named = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        named |= {"Idempotency-Key": key} if key else {}
        return self.ask(
            f"/api/v1/{path}", json.dumps(body).encode(), **named, **({"X-Trace-Id": trace_id} if trace_id else {})
        )

    def verb(self, path: str, body: Any, **given: str) -> Any:
        answer = self.post(path, body, **given)
        assert answer.status in {200, 201}, answer.text
        return answer.json

    def form(self, path: str, **fields: Any) -> Answer:
        page = self.ask(f"/admin/{path}")
        return self.send(page, f"/admin/{path}", **fields) if page.status == 200 else page

    def send(self, page: Answer, path: str, **fields: Any) -> Answer:
        """A page's form, as a browser sends it."""
        found = re.findall(r'name="(csrfmiddlewaretoken|seen_version|seen_sha256)" value="([^"]+)"', page.text)
        return self.ask(path, urlencode(dict(found) | fields).encode())

    def sign_in(self, email: str) -> "Caller":
        answer = self.form("login/", username=email, password=PASSWORD, next="/admin/")
        assert answer.status == 200, answer.text
        assert "/login/" not in answer.url
        return self


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    parent = Path(tempfile.mkdtemp(prefix="gatehouse-pool-"))
    parent.chmod(0o755)
    made, before = House(parent / "home"), len(started)
    try:
        holder(made.place)
        (parent / "pooled_settings.py").write_text(SETTINGS)
        static = popen([sys.executable, "manage.py", "collectstatic", "--no-input", "--verbosity=0"], made.variables())
        done = run([sys.executable, "manage.py", "setup"], environment(made.place))
        assert done.returncode == 0, done.stderr
        made.start_pooler()
        done = run([sys.executable, "-c", SEED], made.variables())
        assert done.returncode == 0, done.stderr
        made.seeds = json.loads(done.stdout)
        leave(static)
        made.serve()
        yield made
    finally:
        end_started(before)
        embedded.stop(made.place)
        shutil.rmtree(parent)


@dataclass
class Done:
    """What was acknowledged: which action on which thing, by whom, and on which trace where that is known."""

    action: str
    entity: str
    actor: str
    trace_id: str = ""


def plan(house: House, number: int) -> list[Done]:
    caller, done = Caller(house, house.seeds["planners"][number]), []
    for n in range(PLANNED):
        trace_id = uuid4().hex
        task = {"campaign_id": house.seeds["campaign"], "agent_id": "pooled-writer-0", "task_type": "draft_post"}
        task |= {"title": f"Planned {number}-{n}", "context": {}, "not_before": "2099-01-01T00:00:00Z"}
        made = caller.verb("tasks", task, trace_id=trace_id)
        done.append(Done("create", made["task_id"], f"pooled-planner-{number}", trace_id))
    return done


def write(house: House, number: int) -> list[Done]:
    caller, done, agent = Caller(house, house.seeds["writers"][number]), list[Done](), f"pooled-writer-{number}"
    while len(done) < 3 * THEIR_TASKS:
        for task in caller.verb("tasks/claim", {"wait": 5})["tasks"]:
            path, lease = f"tasks/{task['task_id']}", {"lease_id": task["lease_id"]}
            text = {"artifact_type": "text", "text": f"By {agent}: {task['task_id']}"}
            made = caller.verb(f"{path}/artifacts", lease | text)
            caller.verb(f"{path}/complete", lease)
            done += [Done("claim", task["task_id"], agent), Done("submit", made["artifact_id"], agent)]
            done.append(Done("complete", task["task_id"], agent))
    return done


def judge(house: House, number: int, over: threading.Event) -> list[Done]:
    caller, done, agent = Caller(house, house.seeds["judges"][number]), list[Done](), f"pooled-judge-{number}"
    while not over.is_set():
        for made in caller.verb("artifacts/claim", {"wait": 1})["artifacts"]:
            verdict = {"lease_id": made["lease_id"], "decision": "approve", "confidence": "0.950", "reasons": [agent]}
            given = caller.verb(f"artifacts/{made['artifact_id']}/decision", verdict)
            done.append(Done("create", given["review_id"], agent))
    return done


def measurements(house: House, value: int) -> dict[str, Any]:
    row = {"artifact_id": house.seeds["artifact"], "platform": "tiktok", "metric_type": "likes", "increase": value}
    row["observed_at"] = datetime.now(UTC).isoformat()
    return {"events": [row | {"event_id": str(uuid4()), "source": "api"} for _ in range(AT_ONCE)]}


def collect(house: House, number: int) -> list[Done]:
    """Each collector's values are its own, so that the sum tells whose are missing."""
    caller = Caller(house, house.seeds["collectors"][number])
    for _ in range(BATCHES):
        taken = caller.verb("metrics/events", measurements(house, 1000**number))
        assert taken["accepted"] == AT_ONCE, taken
    return []


def review(house: House, number: int) -> list[Done]:
    """One item after the other as the desk hands them out, until nothing waits."""
    caller, done = Caller(house).sign_in(f"r{number}@example.org"), []
    page = caller.ask(f"/admin/{DESK}")
    page = caller.send(page, f"/admin/{DESK}next/")
    while found := re.search(rf"/admin/{DESK}([0-9a-f-]+)/change/", page.url):
        page = caller.send(page, found[0], decision="approve", reasons=f"Read by r{number}.")
        assert page.status == 200, told(page)
        done.append(Done("approve", found[1], f"user:{house.seeds['people'][number]}"))
    assert "Nothing waits here" in page.text, told(page)
    return done


def told(answer: Answer) -> str:
    """What the page says of a refusal, without the page around it."""
    return (
        " ".join(re.findall(r'class="(?:refusal|errornote|error)[^>]*>(.*?)</', answer.text, re.DOTALL)) or answer.text
    )


def operate(house: House) -> list[Done]:
    caller, done = Caller(house).sign_in("operator@example.org"), []
    for verb in ("pause", "resume", "halt", "resume") * 2:
        path = f"campaigns/campaign/{house.seeds['other']}/control/{verb}/"
        assert caller.form(path, reason=f"To {verb}.").status == 200
        done.append(Done(verb, house.seeds["other"], f"user:{house.seeds['operator']}"))
    return done


def test_everybody_at_once_on_four_connections(house: House) -> None:
    """Each acknowledged verb has left one row, of whoever did it, and on its own trace."""
    begun = query(house.place, "SELECT clock_timestamp()::text")[0][0]
    before, over, connections = sums(house), threading.Event(), set[int]()
    with ThreadPoolExecutor(30) as pool:
        jobs = [pool.submit(plan, house, n) for n in range(2)]
        jobs += [pool.submit(write, house, n) for n in range(WRITERS)]
        jobs += [pool.submit(collect, house, n) for n in range(2)]
        jobs += [pool.submit(review, house, n) for n in range(REVIEWERS)]
        jobs.append(pool.submit(operate, house))
        judges = [pool.submit(judge, house, n, over) for n in range(2)]
        try:
            while not all(job.done() for job in jobs):
                connections.add(len(used(house)))
                time.sleep(0.05)
        finally:
            over.set()
        done = [each for job in [*jobs, *judges] for each in job.result()]
    assert max(connections) <= POOL < len(jobs)
    assert len(done) >= 2 * PLANNED + 3 * WRITERS * THEIR_TASKS + ITEMS + 8
    rows = query(
        house.place,
        f"SELECT action, entity_id, actor_id, trace_id FROM audit_log WHERE created_at >= '{begun}'"
        " AND entity_type <> 'metric_event'",
    )
    for each, times in Counter((one.action, one.entity, one.actor) for one in done).items():
        assert sum(row[:3] == each for row in rows) == times, each
    acted = {(one.action, one.entity): one for one in done}
    for action, entity, actor, trace_id in rows:
        if one := acted.get((action, entity)):
            assert (actor, trace_id) == (one.actor, one.trace_id or trace_id)
    amount, total = (now - then for now, then in zip(sums(house), before, strict=True))
    assert (amount, total) == (2 * BATCHES * AT_ONCE, BATCHES * AT_ONCE * 1001)


def used(house: House) -> list[Any]:
    """The connections that PgBouncer has to PostgreSQL at this moment."""
    return query(house.place, "SELECT pid FROM pg_stat_activity WHERE usename = 'gatehouse_app'")


def sums(house: House) -> tuple[int, int]:
    """Of what the measurements of this test were; what the factories have made is older."""
    ((amount, total),) = query(
        house.place, "SELECT count(*), coalesce(sum(metric_value), 0)::bigint FROM metric_event WHERE source = 'api'"
    )
    return amount, total


def test_pgbouncer_is_killed_under_load(house: House) -> None:
    before, over = sums(house), threading.Event()
    with ThreadPoolExecutor(12) as pool:
        planners = [pool.submit(planned_until, house, n, over) for n in range(2)]
        collectors = [pool.submit(collected_until, house, n, over) for n in range(2)]
        callers = [Caller(house).sign_in(f"r{n}@example.org") for n in range(2)]
        looking = [pool.submit(looked_until, caller, over) for caller in callers]
        try:
            for _ in range(3):
                time.sleep(0.7)  # some work is under way
                assert house.pooler is not None
                kill_group(house.pooler)
                time.sleep(0.5)  # and meets nobody
                house.start_pooler()
                assert soon(house.is_ready, 30)
        finally:
            time.sleep(0.5)
            over.set()
        acknowledged = [title for job in planners for title in job.result()]
        batches = sum(job.result() for job in collectors)
        refusals = Counter(status for job in looking for status in job.result())
    found = Counter(title for (title,) in query(house.place, "SELECT title FROM task WHERE title LIKE 'Kept %'"))
    assert set(acknowledged) <= set(found)
    assert set(found.values()) == {1}
    amount, _ = sums(house)
    assert amount - before[0] == batches * AT_ONCE
    assert refusals[200]
    assert refusals[503], "nobody met a PgBouncer that was gone"
    assert soon(lambda: Caller(house).sign_in("r0@example.org").ask("/admin/").status == 200, 20)


def until_taken(post: Callable[[], Answer]) -> Answer:
    """Sent again with the same key, as the documentation says, until it is acknowledged; refusals are sentences."""
    for _ in range(600):
        try:
            answer = post()
        except OSError:
            answer = Answer(0, b"", {})
        if answer.status in {200, 201}:
            return answer
        assert answer.status in {0, 409, 429, 503}, answer.text
        assert not answer.status or answer.json["detail"].endswith("."), answer.text
        time.sleep(0.05)
    raise AssertionError("never taken")


def planned_until(house: House, number: int, over: threading.Event) -> list[str]:
    caller, titles = Caller(house, house.seeds["planners"][number]), []
    while not over.is_set():
        title, key = f"Kept {number}-{len(titles)}", uuid4().hex
        task = {"campaign_id": house.seeds["campaign"], "agent_id": "pooled-writer-0", "task_type": "draft_post"}
        body = task | {"title": title, "context": {}, "not_before": "2099-01-01T00:00:00Z"}
        until_taken(lambda body=body, key=key: caller.post("tasks", body, key=key))
        titles.append(title)
    return titles


def collected_until(house: House, number: int, over: threading.Event) -> int:
    caller, batches = Caller(house, house.seeds["collectors"][number]), 0
    while not over.is_set():
        body, key = measurements(house, 1), uuid4().hex
        until_taken(lambda body=body, key=key: caller.post("metrics/events", body, key=key))
        batches += 1
    return batches


def looked_until(caller: Caller, over: threading.Event) -> list[int]:
    """Somebody who looks at pages: without PgBouncer they are told so."""
    seen = list[int]()
    while not over.is_set():
        answer = caller.ask(f"/admin/{DESK}")
        seen.append(answer.status)
        assert answer.status in {200, 503}, answer.text
        assert "Traceback" not in answer.text
        assert answer.status == 200 or "The database does not answer" in answer.text
        time.sleep(0.05)
    return seen


def test_static_files_have_hashes_and_are_compressed(house: House) -> None:
    page = Caller(house).ask("/admin/login/").text
    names = re.findall(r'"(/static/[^"]+\.[0-9a-f]{12}\.css)"', page)
    assert names, page
    answer = Caller(house).ask(names[0], **{"Accept-Encoding": "gzip"})
    assert answer.headers["Content-Encoding"] == "gzip"
    assert "immutable" in answer.headers["Cache-Control"]
    assert b"{" in gzip.decompress(answer.body)
