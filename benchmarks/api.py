"""How fast the API answers, over real HTTP from `manage.py serve`: `python -m benchmarks.api`.

The clients run on the same machine and take their share of it. So each route is also compared with `/healthz`, which
asks no database: what the web server answers at all, to the same clients, in the same round.
"""

import http.client
import json
import os
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.conf import settings
from django.db import connections

from agents.choices import TokenRole
from agents.models import Agent
from agents.services import create_token
from audit.choices import ActorType
from audit.context import Actor
from benchmarks import report, world
from benchmarks.crew import WARM_UP, Work, at_once
from campaigns.services import claim_tasks
from content.choices import ArtifactType
from content.services import submit_artifact

UNLIMITED = {"API_REQUESTS_PER_SECOND": "0", "API_REQUESTS_PER_MINUTE": "0"}  # one token stands for a whole fleet here
JSON, NDJSON = "application/json", "application/x-ndjson"
LEASED, ADDED = b'"lease_id"', b'"accepted": 1000'
Headers = dict[str, str]
Body = Callable[[], tuple[bytes, Headers]]


class Size(NamedTuple):
    finished: int = 100_000
    pending: int = 60_000
    rounds: int = 5
    clients: tuple[int, ...] = (1, 8)
    requests: int = 400  # of all clients together, for each kind of request
    batches: int = 24


QUICK = Size(100, 2_000, 1, (2,), 20, 4)


class Route(NamedTuple):
    method: str
    path: str
    body: Body
    proof: bytes  # what an answer says that did what was asked
    slow: bool = False


@contextmanager
def served() -> Iterator[int]:
    """`manage.py serve` as everybody starts it; gives its port."""
    port = 20_000 + os.getpid() % 20_000
    command = [sys.executable, "manage.py", "serve"]
    child = subprocess.Popen(
        command,
        cwd=settings.BASE_DIR,
        env={**os.environ, **UNLIMITED, "PORT": str(port)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout
        assert "Gatehouse is at" in child.stdout.readline()
        yield port
    finally:
        child.terminate()
        child.communicate()


def routes() -> dict[str, Route]:
    agent = Agent.objects.get(pk=world.AGENT)
    worker, system = Actor(ActorType.WORKER, agent.pk), Actor.system("benchmark")
    _, takes = create_token(name="worker", role=TokenRole.WORKER, agent=agent, actor=system)
    _, counts = create_token(name="collector", role=TokenRole.METRICS, actor=system)
    (task,) = claim_tasks(agent=agent, actor=worker)
    artifact = submit_artifact(task=task, artifact_type=ArtifactType.TEXT, actor=worker, content=b"Three fees.")
    connections.close_all()  # clients are forked, and two processes cannot share one

    def claim(limit: int, *, once: bool = False) -> Body:
        def body() -> tuple[bytes, Headers]:
            key = {"Idempotency-Key": uuid.uuid4().hex} if once else {}
            return json.dumps({"limit": limit}).encode(), headers(takes, JSON) | key

        return body

    def events(kind: str) -> Body:
        def body() -> tuple[bytes, Headers]:
            made = [event(str(artifact.pk)) for _ in range(1_000)]
            lines = "\n".join(json.dumps(each) for each in made)
            text = lines if kind == NDJSON else json.dumps({"events": made})
            return text.encode(), headers(counts, kind)

        return body

    claims, metrics = "/api/v1/tasks/claim", "/api/v1/metrics/events"
    return {
        "/healthz": Route("GET", "/healthz", lambda: (b"", {}), b"ok"),
        "claim of 1": Route("POST", claims, claim(1), LEASED),
        "claim of 1 with an Idempotency-Key": Route("POST", claims, claim(1, once=True), LEASED),
        "claim of 50": Route("POST", claims, claim(50), LEASED),
        "1,000 events as JSON": Route("POST", metrics, events(JSON), ADDED, slow=True),
        "1,000 events as NDJSON": Route("POST", metrics, events(NDJSON), ADDED, slow=True),
    }


def headers(token: str, kind: str) -> Headers:
    return {"Authorization": f"Bearer {token}", "Content-Type": kind}


def event(artifact: str) -> dict[str, Any]:
    return {
        "event_id": str(uuid.uuid4()),
        "artifact_id": artifact,
        "platform": "tiktok",
        "metric_type": "views",
        "increase": 7,
        "observed_at": datetime.now(UTC).isoformat(),
    }


def answered(port: int, route: Route, clients: int, requests: int) -> tuple[float, list[float]]:
    """Requests per second, and the seconds that each one took."""

    def prepare() -> Work:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        bodies = iter([route.body() for _ in range(WARM_UP + requests)])

        def work(times: int) -> list[float]:
            return [ask(connection, route, *next(bodies)) for _ in range(times)]

        return work

    came, took = at_once(clients, requests, prepare)
    each = [seconds for client in came for seconds in client]
    return len(each) / took, each


def ask(connection: http.client.HTTPConnection, route: Route, body: bytes, given: Headers) -> float:
    began = time.perf_counter()
    connection.request(route.method, route.path, body or None, given)
    answer = connection.getresponse()
    text = answer.read()
    took = time.perf_counter() - began
    assert answer.status == 200, text
    assert route.proof in text, text
    return took


def measured(port: int, size: Size, known: dict[str, Route], clients: int) -> list[dict[str, Any]]:
    rates: dict[str, list[float]] = {name: [] for name in known}
    times: dict[str, list[float]] = {name: [] for name in known}
    for turn in range(size.rounds):
        report.say(f"Clients: {clients}, round {turn + 1} of {size.rounds}")
        world.give_back("gatehouse")
        for name, route in known.items():
            rate, each = answered(port, route, clients, (size.batches if route.slow else size.requests) // clients)
            rates[name].append(rate)
            times[name] += each
    return [
        {
            "request": name,
            "clients": clients,
            "requests ÷ /healthz": report.ratios(rates[name], rates["/healthz"]),
            "requests/s": report.spread(rates[name])["median"],
            "half within, ms": statistics.median(times[name]) * 1000,
            "95 % within, ms": statistics.quantiles(times[name], n=20)[-1] * 1000,
        }
        for name in known
    ]


def main() -> None:
    arguments = report.arguments(__doc__)
    size = QUICK if arguments.quick else Size()
    with world.server():
        world.fill("gatehouse", finished=size.finished, pending=size.pending)
        known = routes()
        with served() as port:
            rows = [row for clients in size.clients for row in measured(port, size, known, clients)]
    report.publish({"The API under Gunicorn": rows}, arguments.json)


if __name__ == "__main__":
    main()
