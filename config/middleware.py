"""What a request brings to the audit log: who, on which trace, through which door."""

import re
import secrets
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from accounts.choices import known_zones, zone_of_browser
from audit.api import PROBLEM, problem
from audit.context import TRACE_ID, Actor, acting, new_trace_id

API = "/api/"
NO_TRACE = "0" * 32
# version, trace, span, flags; later versions may add more after them (W3C Trace Context, 3.2).
TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")


class TraceMiddleware:
    """Everything that a request changes is done by its person, on one trace; the answer names that trace."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = given_trace(request)
        trace_id = given or new_trace_id()
        request.given_trace_id = given  # type: ignore[attr-defined]
        if request.path.startswith(API):
            # Who acts is known once the token is: a session of the console has no say here.
            with acting(trace_id=trace_id, tool_name="api"):
                response = _as_api(self.get_response(request))
        else:
            # An anonymous request changes nothing but its own session, which is not audited.
            actor = Actor.human(request.user) if request.user.is_authenticated else None
            with acting(actor, trace_id=trace_id, tool_name="console"):
                response = self.get_response(request)
        response["X-Trace-Id"] = trace_id
        response["traceparent"] = f"00-{trace_id}-{secrets.token_hex(8)}-01"
        return response


class ZoneMiddleware:
    """Times are shown, and read from forms, in the zone of whoever looks: as they chose, or as their browser says."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path.startswith(API) or not request.user.is_authenticated:
            return self.get_response(request)
        with timezone.override(zone_of(request)):
            response = self.get_response(request)
            if hasattr(response, "render") and not getattr(response, "is_rendered", True):
                response.render()  # while the zone still holds
            return response


def zone_of(request: HttpRequest) -> ZoneInfo | None:
    """None is the project's own zone, UTC: for those of whom nothing is known, and for names that nobody knows."""
    named = getattr(request.user, "time_zone", "") or zone_of_browser(request)
    return ZoneInfo(named) if named in known_zones() else None


def given_trace(request: HttpRequest) -> str | None:
    """The trace that the caller is on. A malformed one is no reason to refuse its work: it is on a new one then."""
    own = request.headers.get("X-Trace-Id", "")
    standard = TRACEPARENT.fullmatch(request.headers.get("traceparent", ""))
    named = own if TRACE_ID.fullmatch(own) else standard[1] if standard else NO_TRACE
    return None if named == NO_TRACE else named


def _as_api(response: Any) -> HttpResponse:
    """Nothing of it is to be kept on the way; and where Django answers for itself, it says so as the API does."""
    response.setdefault("Cache-Control", "no-store")
    if response.status_code == 405 and response["Content-Type"] != PROBLEM:
        allowed = response["Allow"]
        told = {"Allow": allowed, "Cache-Control": "no-store"}
        return problem(405, f"This address takes {allowed} only.", headers=told)
    kept: HttpResponse = response
    return kept
