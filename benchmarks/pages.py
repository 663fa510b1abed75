"""How fast each page of the console is, over real HTTP: `BENCHMARK_HOME=/var/tmp/large python -m benchmarks.pages`.

The database is one that `benchmarks.fill` has made; without BENCHMARK_HOME a small one is made and removed. Each page
is measured next to the bare page (`benchmarks.bare`), in each round, by somebody of the Administrators; its ratio is
the middle of the rounds. Exit status 1 tells of pages above the bounds.
"""

import http.client
import logging
import os
import re
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from django.conf import settings
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from tqdm import tqdm

from accounts.models import User
from benchmarks import HOME, KEPT, fill, report
from benchmarks.addresses import addresses
from benchmarks.bare import BARE
from config import embedded
from config.groups import ADMINISTRATOR
from config.management.commands.serve import end, gunicorn_command, wait_until_ready

MOST_TIMES, MOST_KB = 10, 250
ROUNDS, WARM_UP = 7, 40
SLOW = 3  # seconds, from which two rounds are enough to know
SMALL = 0.01
OPTIONS = {"autovacuum": "off"}  # it does not begin in the middle
ANSWERS = {200, 302, 409}  # a search that finds one thing leads to it; what cannot be done now says why
LOADED = re.compile(rb"""<(?:link|script)[^>]*\s(?:href|src)="(/static/[^"]+\.(?:css|js)[^"]*)\"""")
BACKEND = "django.contrib.auth.backends.ModelBackend"


class Answer(NamedTuple):
    status: int
    body: bytes
    seconds: float


class Reader:
    """Somebody who has signed in, on one connection, as a browser keeps it."""

    def __init__(self, port: int, cookie: str) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
        self.headers = {"Cookie": cookie, "Accept": "text/html"}
        self.sizes: dict[str, int] = {}

    def get(self, path: str) -> Answer:
        began = time.perf_counter()
        self.connection.request("GET", path, headers=self.headers)
        response = self.connection.getresponse()
        body = response.read()
        return Answer(response.status, body, time.perf_counter() - began)

    def weight(self, page: bytes) -> int:
        """Bytes of the page with its stylesheets and scripts, none of them compressed."""
        loaded = {path.decode() for path in LOADED.findall(page)}
        for path in loaded - self.sizes.keys():
            self.sizes[path] = len(self.get(path).body)
        return len(page) + sum(self.sizes[path] for path in loaded)


@contextmanager
def served() -> Iterator[int]:
    """The web server as `manage.py serve` starts it, with the bare page and without the clock; gives its port."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        child = subprocess.Popen(
            [*gunicorn_command(listener), "benchmarks.bare"],
            cwd=settings.BASE_DIR,
            env={**os.environ, "BENCHMARK_HOME": str(HOME)},
            pass_fds=[listener.fileno()],
        )
        try:
            wait_until_ready(child, listener)
            yield listener.getsockname()[1]
        finally:
            end(child)


def signed_in() -> tuple[User, Client]:
    person = User.objects.filter(groups__name=ADMINISTRATOR, is_active=True).order_by("created_at").last()
    assert person is not None
    client = Client(SERVER_NAME="127.0.0.1", raise_request_exception=False)
    client.force_login(person, backend=BACKEND)
    return person, client


def questions(client: Client, path: str) -> int:
    """How many queries a page asks, counted here and not over HTTP."""
    with CaptureQueriesContext(connection) as asked:
        client.get(path)
    return len(asked)


def measure(reader: Reader, client: Client, name: str, path: str, rounds: int) -> dict[str, Any]:
    first = reader.get(path)  # warms its templates and the database's memory
    rounds = min(rounds, 2) if first.seconds > SLOW else rounds
    bare, page = [], []
    for _ in range(rounds):
        bare.append(reader.get(BARE).seconds)
        page.append(reader.get(path).seconds)
    return {
        "page": name,
        "status": first.status,
        "queries": questions(client, path),
        "html": len(first.body) / 1024,
        "weight": reader.weight(first.body) / 1024,
        "first": first.seconds,
        "seconds": statistics.median(page),
        "ratio": report.ratios(page, bare)["median"],
    }


def judged(row: dict[str, Any]) -> str:
    """What is wrong with a page, in words; empty when nothing is."""
    wrong = [f"status {row['status']}"] if row["status"] not in ANSWERS else []
    wrong += [f"over {MOST_TIMES} times"] if row["ratio"] > MOST_TIMES else []
    wrong += [f"over {MOST_KB} KB"] if row["weight"] > MOST_KB else []
    return ", ".join(wrong)


def shown(row: dict[str, Any]) -> dict[str, str]:
    return {
        "page": row["page"],
        "queries": str(row["queries"]),
        "KB of HTML": f"{row['html']:.0f}",
        "with css and js": f"{row['weight']:.0f}",
        "first, ms": f"{row['first'] * 1000:,.0f}",
        "ms": f"{row['seconds'] * 1000:,.0f}",
        "÷ bare page": f"{row['ratio']:.1f}",
        "": judged(row),
    }


def run(only: str, rounds: int) -> list[dict[str, Any]]:
    logging.disable(logging.INFO)
    person, client = signed_in()
    pages = [("the bare page", BARE), *addresses(person)]
    pages = [(name, path) for name, path in pages if only in name]
    with served() as port:
        reader = Reader(port, f"sessionid={client.cookies['sessionid'].value}")
        for _ in range(WARM_UP):
            reader.get(BARE)
        rows = []
        for name, path in tqdm(pages, unit=" page", disable=None):
            rows.append(measure(reader, client, name, path, rounds))
            if not sys.stderr.isatty():
                report.say("  ".join(shown(rows[-1]).values()))
        return rows


def main() -> None:
    parser = report.parser(__doc__)
    parser.add_argument("--only", default="", metavar="WORDS", help="pages with these words in their name")
    given = parser.parse_args()
    if not KEPT:
        with fill.server():
            fill.fill(SMALL / 5 if given.quick else SMALL)
    with embedded.running(HOME, options=OPTIONS):
        rows: Sequence[dict[str, Any]] = run(given.only, 1 if given.quick else ROUNDS)
    report.publish({"Pages of the console": [shown(row) for row in rows]}, given.json)
    wrong = [row for row in rows if judged(row)]
    if wrong and not given.quick:
        sys.exit(1)


if __name__ == "__main__":
    main()
