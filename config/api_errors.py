"""What becomes of every error on its way to a machine: a problem document with a sentence, and never a stack trace."""

import logging
import re
import sys
from collections.abc import Callable
from typing import Any

from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.db import DatabaseError, DataError, Error, IntegrityError, InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.http.multipartparser import MultiPartParserError
from django.template import loader
from django.views import defaults
from django.views.decorators.csrf import csrf_exempt
from ninja.errors import AuthenticationError, HttpError, ValidationError

from agents.limits import TooMany
from audit.api import problem
from audit.base import rule_in_words
from audit.context import current
from audit.errors import Refused, sqlstate
from config.middleware import API

log = logging.getLogger(__name__)

NOTHING_HERE = "There is nothing at this address."
UNIQUE, FOREIGN_KEY = "23505", "23503"


def _refused(request: HttpRequest, refusal: Refused) -> HttpResponse:
    answer = problem(refusal.status, refusal.sentence)
    answer.keeps_changes = refusal.keeps  # type: ignore[attr-defined]
    return answer


def _invalid(request: HttpRequest, mistake: ValidationError) -> HttpResponse:
    errors = [{"where": _where(each["loc"]), "what": _what(each)} for each in mistake.errors[:100]]
    first = errors[0]
    return problem(422, f"This cannot be used: {first['where']}: {first['what']}.", errors)


def _where(place: Any) -> str:
    """`body.events.3.source`; the name of the function's parameter says nothing to the caller."""
    parts = [str(part) for part in place]
    if len(parts) > 1 and parts[0] in {"body", "query"} and parts[1] in {"body", "filters"}:
        del parts[1]
    return ".".join(parts)[:300]


def _what(error: Any) -> str:
    return re.sub(r"^Value error, ", "", str(error["msg"]))


def _http(request: HttpRequest, error: HttpError) -> HttpResponse:
    cause = error.__cause__  # the parser's own words, where the library says only that it failed
    if isinstance(cause, Refused):
        return _refused(request, cause)
    if isinstance(cause, HttpError):
        error = cause
    return problem(error.status_code, str(error))


def _stranger(request: HttpRequest, error: AuthenticationError) -> HttpResponse:
    return problem(401, str(error), headers={"WWW-Authenticate": "Bearer"})


def _too_many(request: HttpRequest, refusal: TooMany) -> HttpResponse:
    return problem(429, str(refusal), headers={"Retry-After": str(refusal.seconds)})


def _missing(request: HttpRequest, error: Http404) -> HttpResponse:
    return problem(404, str(error) if error.args and isinstance(error.args[0], str) else NOTHING_HERE)


def _suspicious(request: HttpRequest, error: Exception) -> HttpResponse:
    if isinstance(error, RequestDataTooBig):
        return problem(413, "A field of the form is too large; send what is long as a file.")
    return problem(400, "The request is malformed.")


def _unavailable(request: HttpRequest, error: Error) -> HttpResponse:
    log.warning("%s %s, trace %s: %s", request.method, request.path, current().trace_id, error)
    return problem(503, "The database is busy or does not answer; try again.", headers={"Retry-After": "1"})


def _unusable(request: HttpRequest, error: DatabaseError) -> HttpResponse:
    return problem(422, "A value is larger than what can be stored, or of another kind.")


def _broken_rule(request: HttpRequest, error: IntegrityError) -> HttpResponse:
    """A rule that the database holds: in the words of the constraint or trigger, never of the statement."""
    report, state = getattr(error.__cause__, "diag", None), sqlstate(error)
    if rule := rule_in_words(error):
        return problem(409 if state == UNIQUE else 422, rule)
    if state == FOREIGN_KEY:
        return problem(404, "It names something that does not exist.")
    if getattr(report, "source_function", None) == "exec_stmt_raise" and (said := report.message_primary):  # type: ignore[union-attr]
        return problem(409, f"{said[0].upper()}{said[1:]}.")
    return problem(409, "It contradicts what is there already.")


def _fault(request: HttpRequest, error: Exception) -> HttpResponse:
    trace_id = current().trace_id
    log.error("%s %s failed, trace %s", request.method, request.path, trace_id, exc_info=error)
    return problem(500, f"Something broke, by a fault of Gatehouse. Whoever runs it finds it by the trace {trace_id}.")


ERRORS: dict[type[Exception], Callable[[HttpRequest, Any], HttpResponse]] = {
    Exception: _fault,
    Refused: _refused,
    ValidationError: _invalid,
    HttpError: _http,
    AuthenticationError: _stranger,
    TooMany: _too_many,
    Http404: _missing,
    SuspiciousOperation: _suspicious,
    MultiPartParserError: _suspicious,
    OperationalError: _unavailable,
    InterfaceError: _unavailable,
    DataError: _unusable,
    IntegrityError: _broken_rule,
}


# Where no operation is reached


@csrf_exempt
def nothing_here(request: HttpRequest) -> HttpResponse:
    return problem(404, NOTHING_HERE)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's own refusals, such as of a host that it does not serve."""
    if request.path.startswith(API):
        return problem(400, "The request is malformed, or not for this host.")
    return defaults.bad_request(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """Django names only the request, but asks while the error is being handled; a database that is away is no fault."""
    machine, error = request.path.startswith(API), sys.exception()
    if isinstance(error, OperationalError | InterfaceError):
        if machine:
            return _unavailable(request, error)
        page = loader.get_template("503.html").render()
        return HttpResponse(page, status=503, headers={"Retry-After": "1"})
    return problem(500, "Something broke, by a fault of Gatehouse.") if machine else defaults.server_error(request)
