"""What a request brings to the audit log: who, on which trace, through which door."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from audit.context import TRACE_ID, Actor, acting, new_trace_id


class TraceMiddleware:
    """Everything that a request changes is done by its person, on one trace; the answer names that trace."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.headers.get("X-Trace-Id", "")
        trace_id = given if TRACE_ID.fullmatch(given) else new_trace_id()
        # An anonymous request changes nothing but its own session, which is not audited.
        actor = Actor.human(request.user) if request.user.is_authenticated else None
        with acting(actor, trace_id=trace_id, tool_name="console"):
            response = self.get_response(request)
        response["X-Trace-Id"] = trace_id
        return response
