"""With SENTRY_DSN an error is reported, to a real server here: its stack and trace, and none of what was sent."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.recovery.support import environment, run
from tests.servers import keeping_posts

TRACE = "0123456789abcdef0123456789abcdef"
BREAKS = f"""
from config.wsgi import application
from config import health

def breaks():
    written_by_a_person = "hunter22"
    raise RuntimeError("cannot reach postgresql://app:" + written_by_a_person + "@db/x")

health.CHECKS = {{"all": breaks}}
import io
told = {{"HTTP_X_TRACE_ID": "{TRACE}", "HTTP_AUTHORIZATION": "Bearer gh_hunter22", "HTTP_COOKIE": "theme=hunter22"}}
asked = {{"REQUEST_METHOD": "GET", "PATH_INFO": "/readyz", "QUERY_STRING": "q=hunter22", "SERVER_NAME": "localhost"}}
server = {{"SERVER_PORT": "80", "wsgi.url_scheme": "http", "wsgi.input": io.BytesIO()}}
b"".join(application({{**told, **asked, **server}}, lambda status, headers: print(status)))
import sentry_sdk
sentry_sdk.flush(20)
"""


@pytest.fixture
def receiver() -> Iterator[tuple[str, list[bytes]]]:
    """The address of a server that keeps what it is sent."""
    with keeping_posts() as (address, received):
        yield f"http://key@{address}/1", received


def test_a_fault_is_reported_with_its_trace_and_without_secrets(
    tmp_path: Path, receiver: tuple[str, list[bytes]]
) -> None:
    dsn, received = receiver
    done = run([sys.executable, "-c", BREAKS], environment(tmp_path, SENTRY_DSN=dsn, ENVIRONMENT="staging"))
    assert done.stdout.strip() == "500 Internal Server Error", done.stderr
    (event,) = [json.loads(line) for envelope in received for line in envelope.splitlines() if b'"exception"' in line]
    (fault,) = event["exception"]["values"]
    assert (fault["type"], fault["value"]) == ("RuntimeError", "cannot reach postgresql://[cut]@db/x")
    assert fault["stacktrace"]["frames"][-1]["function"] == "breaks"
    assert event["tags"] == {"trace_id": TRACE}
    assert event["environment"] == "staging"
    assert event["request"] == {"method": "GET", "url": "http://localhost/readyz"}
    assert b"hunter22" not in b"".join(received)


def test_without_it_the_library_is_not_even_loaded(tmp_path: Path) -> None:
    code = "import sys, django; django.setup(); print('sentry_sdk' in sys.modules)"
    assert run([sys.executable, "-c", code], environment(tmp_path, SENTRY_DSN="")).stdout.strip() == "False"


def test_what_is_no_address_is_a_sentence_that_does_not_repeat_it(tmp_path: Path) -> None:
    done = run([sys.executable, "manage.py", "check"], environment(tmp_path, SENTRY_DSN="hunter22"))
    assert done.returncode == 2
    told = "Gatehouse cannot start: SENTRY_DSN must be an address such as https://key@errors.example.org/1."
    assert done.stderr.strip() == told
