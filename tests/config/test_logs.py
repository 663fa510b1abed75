"""Logs for machines: an object a line, whom and what it is about, and no secret in it."""

import io
import json
import logging
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from django.test import Client

from agents.choices import TokenRole
from audit.context import Actor, acting
from config.console import archive
from config.groups import AUDITOR
from config.monitoring.logs import CUT, JsonLines, without_secrets
from tests import factories
from tests.api.conftest import make_token
from tests.console.conftest import sign_in  # noqa: F401 - a fixture
from tests.recovery.conftest import place  # noqa: F401 - a fixture
from tests.recovery.support import environment, first_line, free_port, manage, run

TRACE = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def lines() -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """What was logged since, each line understood by itself."""
    written, root = io.StringIO(), logging.getLogger()
    handler, level = logging.StreamHandler(written), root.level
    handler.setFormatter(JsonLines())
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    access = logging.getLogger("gatehouse.access")
    access.setLevel(logging.INFO)
    yield lambda: [json.loads(line) for line in written.getvalue().splitlines()]
    root.removeHandler(handler)
    root.setLevel(level)
    access.setLevel(logging.NOTSET)


def of_access(lines: Callable[[], list[dict[str, Any]]]) -> dict[str, Any]:
    (line,) = [line for line in lines() if line["logger"] == "gatehouse.access"]
    return line


def test_a_line_tells_who_acts_and_on_which_trace(lines) -> None:
    with acting(Actor.system("run_due"), trace_id=TRACE):
        logging.getLogger("gatehouse.test").warning("Two lines:\n%s", "“ü”", extra={"body": "of a request"})
    (line,) = lines()
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "WARNING",
        "logger": "gatehouse.test",
        "message": "Two lines:\n“ü”",
        "trace_id": TRACE,
        "actor": "run_due",
    }


def test_an_exception_is_text_in_its_line(lines) -> None:
    try:
        raise ValueError("cannot reach postgresql://gatehouse:hunter22@db/x")  # noqa: TRY301
    except ValueError:
        logging.getLogger("gatehouse.test").exception("It failed")
    (line,) = lines()
    assert line["exception"].startswith("Traceback (most recent call last)")
    assert line["exception"].endswith(f"ValueError: cannot reach postgresql://{CUT}@db/x")
    assert "actor" not in line


@pytest.mark.django_db
def test_each_request_of_a_person_is_one_line(lines, sign_in: Callable[..., Client]) -> None:  # noqa: F811
    client = sign_in(AUDITOR)
    answer = client.get("/admin/search/?q=what+they+look+for", headers={"X-Trace-Id": TRACE})
    line = of_access(lines)
    assert line["trace_id"] == answer["X-Trace-Id"] == TRACE
    assert line["actor"] == f"user:{client.user.pk}"  # type: ignore[attr-defined]
    assert (line["method"], line["path"], line["status"]) == ("GET", "/admin/search/", 200)
    assert line["view"] == "admin/search/"
    assert 0 < line["duration_ms"] < 60_000
    assert "look" not in json.dumps(line)


@pytest.mark.django_db
def test_each_request_of_an_agent_names_it(lines) -> None:
    agent = factories.make_agent("writer-9")
    token = make_token(TokenRole.WORKER, agent=agent)
    answer = Client().get("/api/v1/tasks", headers={"Authorization": f"Bearer {token}"})
    line = of_access(lines)
    assert (line["actor"], line["trace_id"], line["status"]) == ("writer-9", answer["X-Trace-Id"], answer.status_code)
    assert token not in json.dumps(lines())


@pytest.mark.django_db
def test_what_is_logged_during_a_request_names_it(
    lines,
    sign_in: Callable[..., Client],  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def breaks(*_: Any) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr(archive.archive_page, "lines", breaks)
    client = sign_in(AUDITOR)
    client.raise_request_exception = False
    assert client.get("/admin/archive/?a=b", headers={"X-Trace-Id": TRACE}).status_code == 500
    (fault,) = [line for line in lines() if line["logger"] == "django.request"]
    assert fault["exception"].endswith("RuntimeError: a fault")
    assert (fault["method"], fault["path"], fault["status"]) == ("GET", "/admin/archive/", 500)
    assert fault["trace_id"] == TRACE
    assert "a=b" not in json.dumps(lines())


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Authorization: Bearer abcdefgh12345678", f"Authorization: Bearer {CUT}"),
        ("with gh_3fK2abc in it", f"with {CUT} in it"),
        ("postgresql://app:pa$$@db:5432/x", f"postgresql://{CUT}@db:5432/x"),
        ("GET /content/WyJh.LmJj:1sXy:zz-_9/media", f"GET /content/{CUT}/media"),
        ("Not Found: /admin/join/MTIzNDU2/cx12ab-9f8e7d6c/", f"Not Found: /admin/join/{CUT}/"),
        ("/admin/password/MTIzNDU2/cx12ab-9f8e7d6c/", f"/admin/password/{CUT}/"),
        ("https://s3.example.org/x?X-Amz-Signature=abc&X=1 failed", f"https://s3.example.org/x?{CUT} failed"),
        ("{'password': 'hunter22', 'a': 1}", "{'password': " + CUT + ", 'a': 1}"),
        ("What now? No more=less.", "What now? No more=less."),
        ("/admin/password/forgotten/", "/admin/password/forgotten/"),
        ("/admin/content/artifact/0199a0c2-0000-7000-8000-000000000000/change/",) * 2,
    ],
)
def test_secrets_are_cut_and_the_rest_is_not(text: str, left: str) -> None:
    assert without_secrets(text) == left


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("LOG_FORMAT", "xml", "must be line or json; it is 'xml'."),
        ("METRICS_TOKEN", "short", "must have 16 characters or more, such as `openssl rand -hex 24` gives."),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_sentence(tmp_path: Path, name: str, value: str, sentence: str) -> None:
    done = run([sys.executable, "manage.py", "check"], environment(tmp_path, **{name: value}))
    assert done.returncode == 2
    assert done.stderr.strip() == f"Gatehouse cannot start: {name} {sentence}"


def test_lines_for_people_stay_as_they_were_without_one_for_each_request(tmp_path: Path) -> None:
    code = "import django, logging; django.setup(); logging.warning('as ever');"
    code += "logging.getLogger('gatehouse.access').info('GET /')"
    done = run([sys.executable, "-c", code], environment(tmp_path, LOG_FORMAT="line"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\d [\d:,]+ WARNING root: as ever\n", done.stderr)


def test_the_web_server_logs_so_and_its_processes_count_together(place: Path) -> None:  # noqa: F811
    """A scrape reaches one of two processes: each tells what both have done. The database is not even set up."""
    port, token = free_port(), "0123456789abcdef-of-the-tests"
    child = manage(place, "serve", PORT=str(port), METRICS_TOKEN=token, LOG_FORMAT="json", TMPDIR=str(place))
    assert f"http://127.0.0.1:{port}/" in first_line(child)

    def asked(path: str, method: str = "GET") -> str:
        address = f"http://127.0.0.1:{port}{path}"
        request = Request(address, method=method, headers={"Authorization": f"Bearer {token}"})
        with urlopen(request, timeout=30) as answer:
            return str(answer.read().decode())

    def healthy() -> float:
        counted = r'request_seconds_count{method="HEAD",status="2xx",view="healthz"} (\S+)'
        (found,) = re.findall(counted, asked("/metrics"))
        return float(found)

    for _ in range(10):
        asked("/healthz", "HEAD")
    assert {healthy() for _ in range(6)} == {10}
    (directory,) = place.glob("gatehouse-metrics-*")
    child.terminate()
    _, err = child.communicate(timeout=60)
    assert not directory.exists()
    lines = [json.loads(line) for line in err.splitlines()]
    missing = [line for line in lines if line["logger"] == "config.monitoring.figures"]
    assert missing[0]["message"].startswith("/metrics goes without tasks: connection failed")
    assert (missing[0]["path"], len(missing[0]["trace_id"])) == ("/metrics", 32)
    assert token not in err
