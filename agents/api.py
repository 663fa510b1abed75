"""The way into the API: who is asking, once only, and with patience."""

import re
import socket
import threading
import time
from collections.abc import Callable
from functools import partial, wraps
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse
from ninja.errors import AuthenticationError, HttpError
from ninja.security.http import HttpAuthBase

from agents.authentication import BadToken, authenticate
from agents.choices import TokenRole
from agents.limits import count_request, count_wrong_token
from agents.models import Agent, ApiToken, IdempotencyKey
from audit.api import PROBLEM, found, problem
from audit.bodies import Accepted, check_query, fingerprint, read_body
from audit.choices import ActorType
from audit.context import Actor, acting
from audit.errors import Invalid, NotAllowed

ACTOR_TYPE = {
    TokenRole.PLANNER: ActorType.PLANNER,
    TokenRole.WORKER: ActorType.WORKER,
    TokenRole.JUDGE: ActorType.JUDGE,
    TokenRole.PUBLISHER: ActorType.WORKER,
    TokenRole.METRICS: ActorType.SYSTEM,
}


class ApiRequest(HttpRequest):
    """A request as operations get it."""

    auth: ApiToken
    given_trace_id: str | None  # the trace that the caller named, if any
    token: ApiToken | None
    last_try: bool


# Who is asking


class Bearer(HttpAuthBase):
    """Lets in tokens of the given roles; of every role when none is given."""

    openapi_scheme = "bearer"

    def __init__(self, *roles: TokenRole) -> None:
        super().__init__()
        self.roles = roles or tuple(TokenRole)

    def __call__(self, request: HttpRequest) -> ApiToken:
        token = token_of(request)
        if token.role not in self.roles:
            wanted = " or ".join(role.label for role in self.roles)
            raise NotAllowed(
                f"This is for tokens of the role {wanted}; “{token.name}” has the role {token.get_role_display()}."
            )
        return token


def token_of(request: Any) -> ApiToken:
    """The token that the request carries; looked up once, and anew for each try of one that waits."""
    if getattr(request, "token", None) is None:
        scheme, _, given = request.headers.get("Authorization", "").strip().partition(" ")
        if scheme.lower() != "bearer" or not given.strip():
            raise AuthenticationError(message="Send your token: “Authorization: Bearer gh_…”.")
        try:
            request.token = authenticate(given.strip())
        except BadToken as refusal:
            count_wrong_token(request.META["REMOTE_ADDR"])
            raise AuthenticationError(message=str(refusal)) from None
    token: ApiToken = request.token
    return token


def agent_of(request: ApiRequest, agent_id: str | None = None) -> Agent:
    """The agent as which this request acts: the token's, or the one that it names where the token has none."""
    bound = request.auth.agent
    if bound is None:
        if agent_id is None:
            raise Invalid(f"Say which agent acts (agent_id): the token “{request.auth.name}” belongs to none.")
        return found(Agent.objects.filter(pk=agent_id).first(), f"There is no agent “{agent_id}”.")
    if agent_id not in (None, bound.pk):
        raise NotAllowed(f"The token “{request.auth.name}” acts as “{bound.pk}” only, not as “{agent_id}”.")
    return bound


def actor_of(request: ApiRequest, agent: Agent | None = None) -> Actor:
    """Who does what this request does, as the audit log names it."""
    token = request.auth
    return Actor(ACTOR_TYPE[TokenRole(token.role)], agent.pk if agent else token.agent_id or token.name)


def as_token(view: Callable[..., Any]) -> Callable[..., Any]:
    """Everything that an operation changes is done by the token that asked for it."""

    @wraps(view)
    def act(request: ApiRequest, **given: Any) -> Any:
        with acting(actor_of(request), tool_name=request.auth.name):
            return view(request, **given)

    return act


# What every request passes


def door(run: Any) -> Callable[..., HttpResponse]:
    """Around every operation: nothing of a stranger's is read, and what was asked before is not done again."""
    operation = run.__self__
    known = {name for model in operation.models if _source(model) == "query" for name in model.__ninja_flatten_map__}
    accepted = getattr(operation.view_func, "accepted", Accepted())

    @wraps(run)
    def enter(request: Any, **path: Any) -> HttpResponse:
        try:
            count_request(token_of(request))
            check_query(request, known)
            if request.method != "POST":
                return run(request, **path)  # type: ignore[no-any-return]
            read_body(request, accepted)
            return patiently(partial(once, request, partial(run, request, **path)), request)
        except Exception as refusal:
            return operation.api.on_exception(request, refusal)  # type: ignore[no-any-return]

    return enter


def _source(model: Any) -> str:
    return str(model.__ninja_param_source__)


# Once


KEY = re.compile(r"[!-~]{1,255}")


def once(request: Any, run: Callable[[], HttpResponse]) -> HttpResponse:
    """The answer to a request that names itself by `Idempotency-Key`, given once and then repeated.

    Key, answer and effect commit together. A refusal is an answer too: what it had changed goes, the key stays.
    The lock ends with the transaction, so that a crash leaves no request that runs for ever.
    """
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return run()
    if not KEY.fullmatch(key):
        raise HttpError(400, "An Idempotency-Key has 1 to 255 visible ASCII characters.")
    token, asked = token_of(request), fingerprint(request)
    with transaction.atomic():
        if not _is_ours(token, key):
            running = "The request with this Idempotency-Key is still running; ask again in a moment."
            return problem(409, running, headers={"Retry-After": "1"})
        if kept := IdempotencyKey.objects.filter(api_token=token, key=key).first():
            return _again(kept, asked)
        with transaction.atomic():
            answer = run()
            if answer.status_code >= 400 and not getattr(answer, "keeps_changes", False):
                transaction.set_rollback(True)
        if answer.status_code < 500 and answer.status_code != 401:
            IdempotencyKey.objects.create(
                api_token=token,
                key=key,
                request_sha256=asked,
                status=answer.status_code,
                answer=answer.content.decode(),
            )
    return answer


def _is_ours(token: ApiToken, key: str) -> bool:
    with connection.cursor() as cursor:
        name = f"idempotency_key {token.pk} {key}"
        cursor.execute("SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))", [name])
        return bool(cursor.fetchone()[0])


def _again(kept: IdempotencyKey, asked: str) -> HttpResponse:
    if kept.request_sha256 != asked:
        raise Invalid("This Idempotency-Key was used for another request; name each request anew.")
    kind = PROBLEM if kept.status >= 400 else "application/json; charset=utf-8"
    replayed = {"Idempotent-Replayed": "true"}
    answer = HttpResponse(kept.answer, status=kept.status, content_type=kind, headers=replayed)
    answer._has_been_logged = True  # type: ignore[attr-defined]  # as `problem` says
    return answer


# With patience


FIRST_PAUSE, LONGEST_PAUSE = 0.5, 1.0  # seconds between two tries
waiters = threading.BoundedSemaphore(settings.API_WAITERS)


class NothingYet(BaseException):
    """An operation had nothing to give and may try again. No error, so that nothing on the way answers for it."""

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds


def patient(view: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """For claims: while all lists of the answer are empty, it is tried again for the `wait` seconds of the body."""

    @wraps(view)
    def ask(request: ApiRequest, body: Any, **path: Any) -> dict[str, Any]:
        given = view(request, body=body, **path)
        if body.wait and not request.last_try and not any(given.values()):
            raise NothingYet(body.wait)
        return given

    return ask


def patiently(attempt: Callable[[], HttpResponse], request: Any) -> HttpResponse:
    """Tries until there is something or the time is over, and holds no connection while it waits.

    Each waiter keeps a thread busy, so that there is a cap; who comes when it is reached has an answer at once.
    """
    request.last_try = False
    try:
        return attempt()
    except NothingYet as nothing:
        ends = time.monotonic() + nothing.seconds
    if not waiters.acquire(blocking=False):
        request.last_try = True
        answer = attempt()
        answer["Retry-After"] = "1"
        return answer
    try:
        return _wait(attempt, request, ends)
    finally:
        waiters.release()


def _wait(attempt: Callable[[], HttpResponse], request: Any, ends: float) -> HttpResponse:
    pause = FIRST_PAUSE
    while True:
        connection.close()
        time.sleep(max(0, min(pause, ends - time.monotonic())))
        if _has_left(request):
            return problem(408, "The caller has left.")
        request.token = None  # it may have been revoked meanwhile
        request.last_try = time.monotonic() >= ends
        try:
            return attempt()
        except NothingYet:
            pause = min(pause * 1.2, LONGEST_PAUSE)


def _has_left(request: HttpRequest) -> bool:
    """Whether the caller has closed the connection, where Gunicorn lets us see it: work is not handed to nobody."""
    line = request.META.get("gunicorn.socket")
    if not isinstance(line, socket.socket):
        return False
    try:
        return line.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except (BlockingIOError, ValueError):  # nothing to read, as it should be; or encrypted, and so not to be known
        return False
    except OSError:
        return True
