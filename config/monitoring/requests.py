"""How long each request took, by the pattern of its address: measured once, told to `/metrics` and to the log.

Every web process measures for itself, and a scrape reaches any one of them. So they write into small files of one
directory (prometheus-client's multiprocess mode, begun by `config/gunicorn.py`), and whoever is asked adds them up: no
write to the database for a request that had none, and no counter that falls because another process answered.
"""

import logging
import os
import time
from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.multiprocess import MultiProcessCollector

from agents.api import actor_of
from audit.context import Actor
from config.middleware import API
from config.monitoring.logs import under_way

log = logging.getLogger("gatehouse.access")

METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
NO_VIEW = "none"  # an address that leads nowhere: what strangers try must not make a series each
PROBES = {"healthz", "readyz", "metrics"}
registry = CollectorRegistry()
SECONDS = Histogram(
    "gatehouse_request_seconds",
    "How long requests took, by the pattern of their address. A claim that waits for work (wait=) takes that long.",
    ["view", "method", "status"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 30),
    registry=registry,
)


def of_all_processes() -> CollectorRegistry:
    """The times of every web process; where there is one alone, its own."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return registry
    together = CollectorRegistry()
    MultiProcessCollector(together)  # type: ignore[no-untyped-call]
    return together


class WatchMiddleware:
    """Around all others, so that what they take is in it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        began = time.perf_counter()
        told: dict[str, Any] = {"method": request.method, "path": request.path}
        request.told = told  # type: ignore[attr-defined]  # for what Django logs when this has ended
        around = under_way.set(told)
        try:
            response = self.get_response(request)
            seconds = time.perf_counter() - began
            SECONDS.labels(view_of(request), _method(request), f"{response.status_code // 100}xx").observe(seconds)
            told |= {"trace_id": response.get("X-Trace-Id"), "actor": _actor(request)}
            _tell(request, response, told, seconds)
        finally:
            under_way.reset(around)
        return response


def view_of(request: HttpRequest) -> str:
    """The pattern and never the address, which names people's things and has no end of values."""
    return request.resolver_match.route if request.resolver_match else NO_VIEW


def _method(request: HttpRequest) -> str:
    return request.method if request.method in METHODS else "other"  # anybody may invent one


def _tell(request: HttpRequest, response: HttpResponse, told: dict[str, Any], seconds: float) -> None:
    if not log.isEnabledFor(logging.INFO):
        return
    extra = {
        **told,
        "view": view_of(request),
        "status": response.status_code,
        "duration_ms": round(seconds * 1000, 1),
    }
    level = logging.DEBUG if view_of(request) in PROBES and response.status_code < 400 else logging.INFO
    log.log(level, "%s %s %s", told["method"], told["path"], response.status_code, extra=extra)


def _actor(request: HttpRequest) -> str | None:
    """As the audit log names whoever asked; the context in which they acted has ended by now."""
    if getattr(request, "auth", None) is not None:
        return actor_of(request).id  # type: ignore[arg-type]
    user = getattr(request, "user", None)
    if request.path.startswith(API) or user is None or not user.is_authenticated:
        return None
    return Actor.human(user).id
