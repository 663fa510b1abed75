"""The API's assembly: its routers and its description."""

from collections.abc import Iterable
from functools import cached_property
from typing import Any, cast

from django.http import HttpRequest
from ninja import NinjaAPI, Router
from ninja.operation import PathView
from ninja.renderers import BaseRenderer

from agents.api import Bearer, as_token, door
from audit import exact_json
from audit.api import JSON_OBJECT_SCHEMA, JSON_SCHEMA, PROBLEM, REF
from audit.api_traces import router as traces
from audit.bodies import ExactParser
from campaigns.api.planner import router as planner
from campaigns.api.readers import router as campaigns
from campaigns.api.worker import router as worker
from config.api_errors import ERRORS
from content.api.judge import router as judge
from content.api.publisher import router as publisher
from content.api.readers import router as content
from content.api.worker import router as hand_in
from metrics.api import router as metrics

ROUTERS = [
    planner,
    worker,
    hand_in,
    judge,
    publisher,
    campaigns,
    content,
    metrics,
    traces,
]

ABOUT = """
Every request carries a bearer token, and a token reaches the routes of its role; readers are open to all of them.

**Trace.** `X-Trace-Id` (32 hex digits) or W3C `traceparent` puts what a request does on that trace; every answer
names its trace in both.

**Safe to call again.** A POST with an `Idempotency-Key` (1 to 255 visible ASCII characters) is done once: the same
key and request get the same answer for 24 hours (`Idempotent-Replayed: true`), another request with that key gets 422,
and one that is still running 409.

**Numbers.** Decimals are texts in both directions. Times carry their zone, and are answered in UTC.

**Lists** go from the oldest to the newest; `next` of an answer is `after` of the next request, and null at the end.

**Limits.** A token that asks far more than a fleet does gets 429, and `Retry-After` says for how many seconds to wait.

**Errors** are problem documents (RFC 9457) with a sentence in `detail`.
"""


class ExactRenderer(BaseRenderer):
    media_type = "application/json"

    def render(self, request: HttpRequest, data: Any, *, response_status: int) -> str:
        return exact_json.dumps(data, ensure_ascii=False)


class Api(NinjaAPI):
    @cached_property
    def described(self) -> dict[str, Any]:
        """The OpenAPI document: what the operations say, and what they all have in common."""
        told = super().get_openapi_schema()
        schemas = told["components"]["schemas"]
        schemas |= {"Json": JSON_SCHEMA, "JsonObject": JSON_OBJECT_SCHEMA, "Problem": PROBLEM_SCHEMA}
        roles = self._roles()
        for path, operations in told["paths"].items():
            for method, operation in operations.items():
                operation["summary"] = operation["summary"].capitalize()
                operation["security"] = [{"Bearer": roles[operation["operationId"]]}]
                for parameter in operation.get("parameters", []):
                    parameter["schema"] = _without_null(parameter["schema"])
                operation["responses"] |= _refusals(path, method, operation)
                for status, answer in operation["responses"].items():
                    answer["headers"] = HEADERS
                    if int(status) >= 400:
                        answer["content"] = {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}
        described: dict[str, Any] = _spelled(told)
        return described

    def _roles(self) -> dict[str, list[str]]:
        """The roles that reach each operation; OpenAPI 3.1 lists them where OAuth has its scopes."""
        return {
            self.get_openapi_operation_id(operation): [
                str(role) for role in cast(Bearer, operation.auth_callbacks[0]).roles
            ]
            for router in self._get_bound_routers()
            for view in router.path_operations.values()
            for operation in view.operations
        }

    def get_openapi_schema(self, **_: Any) -> Any:
        return self.described

    def get_openapi_operation_id(self, operation: Any) -> str:
        return f"{operation.view_func.__module__.rpartition('.')[2]}_{operation.view_func.__name__}"


PROBLEM_SCHEMA = {
    "type": "object",
    "title": "Problem",
    "description": "Why a request was refused (RFC 9457).",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "A sentence that says what to do."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["where", "what"],
                "properties": {"where": {"type": "string"}, "what": {"type": "string"}},
            },
        },
    },
}
HEADERS = {
    "X-Trace-Id": {"schema": {"type": "string", "pattern": "^[0-9a-f]{32}$"}},
    "traceparent": {"schema": {"type": "string"}},
}
REFUSALS = {
    400: "Not JSON, not UTF-8, or a malformed header",
    401: "No valid token",
    403: "Another role's route, another's agent, or not sent by https",
    404: "No such thing",
    408: "The caller left",
    409: "No longer possible, or still running",
    411: "No length of the body",
    413: "The body is too large",
    415: "The body is of another kind",
    422: "Understood, but not usable",
    429: "More than a token may ask, or too many wrong tokens; wait for `Retry-After` seconds",
    500: "A fault of Gatehouse",
    503: "The database does not answer; try again",
}


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """What an address says: a parameter is there or it is not, and never null."""
    kinds = [kind for kind in schema.get("anyOf", []) if kind != {"type": "null"}]
    return kinds[0] if len(kinds) == 1 else schema


BOUNDS = {"ge": "minimum", "le": "maximum"}


def _spelled(told: Any) -> Any:
    """As JSON Schema spells it: references to components of ours, and bounds that stand behind a validator."""
    if isinstance(told, dict):
        if REF in told:
            return {"$ref": f"#/components/schemas/{told[REF]}"}
        return {BOUNDS.get(name, name): _spelled(value) for name, value in told.items()}
    return [_spelled(value) for value in told] if isinstance(told, list) else told


def _refusals(path: str, method: str, operation: dict[str, Any]) -> dict[int, Any]:
    """The problems that an operation can answer, from its shape."""
    possible = {400, 401, 403, 429, 500, 503}
    if operation.get("parameters"):
        possible |= {422}
    if "{" in path:
        possible |= {404}
    if method == "post":
        possible |= {404, 409, 411, 413, 415, 422}
    return {status: {"description": REFUSALS[status]} for status in sorted(possible)}


def assemble(routers: Iterable[Router], namespace: str = "api") -> Api:
    api = Api(
        title="Gatehouse",
        version="1",
        description=ABOUT,
        auth=Bearer(),  # readers are open to every role
        docs_url=None,
        renderer=ExactRenderer(),
        parser=ExactParser(),
        urls_namespace=namespace,
    )
    api.add_decorator(door, mode="view")
    api.add_decorator(as_token)
    for kind, answer in ERRORS.items():
        api.add_exception_handler(kind, answer)
    api.add_router("", _as_one(routers))
    return api


def _as_one(routers: Iterable[Router]) -> Router:
    """One router of many: Django asks the first that has an address, and GET and POST of one are in different files."""
    whole = Router()
    for router in routers:
        for path, view in router.path_operations.items():
            for operation in view.operations:
                operation.tags = operation.tags or router.tags
                whole.path_operations.setdefault(path, PathView()).operations.append(operation)
    return whole


api = assemble(ROUTERS)
