"""One JSON object a line, for what collects logs: who did it, on which trace, during which request.

Only what is named here is told: a record may carry anything, a whole request with its body and headers too. What is in
the texts is passed through `without_secrets`, since messages of libraries repeat addresses.
"""

import logging
import re
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from pythonjsonlogger.json import JsonFormatter

from audit.context import NOBODY, current

TOLD = ("view", "duration_ms")  # of what a record brings; the others below come from where the line is written
# Method and path of the request that this thread is at.
under_way: ContextVar[dict[str, Any] | None] = ContextVar("under_way", default=None)
CUT = "[cut]"
SECRETS = [
    (re.compile(r"(?i)(\b(?:bearer|basic|token)\s+)[\w.~+/=:-]{8,}"), rf"\1{CUT}"),
    (re.compile(r"\bgh_\w+"), CUT),  # tokens of the API
    (re.compile(r"(\b[a-z][a-z0-9+]*://)[^\s/@'\"]+@"), rf"\1{CUT}@"),  # name and password in an address
    (
        re.compile(r"(?i)(\b(?:password|passwd|secret|token|api_?key|sessionid|csrftoken)['\"]?\s*[=:]\s*)[^\s,;&)}]+"),
        rf"\1{CUT}",
    ),
    (re.compile(r"((?<!/admin)/content/)[\w.~:=-]+"), rf"\1{CUT}"),  # what a frame shows is signed into its address
    (re.compile(r"(/admin/(?:join|password)/)(?!forgotten|chosen)[\w.~:=-]+/[\w.~:=-]+"), rf"\1{CUT}"),
    (re.compile(r"(?<=[\w/])\?[^\s'\"<>?]*=[^\s'\"<>]*"), f"?{CUT}"),  # queries of addresses
]


def without_secrets(text: str) -> str:
    for pattern, left in SECRETS:
        text = pattern.sub(left, text)
    return text


class PlainLines(logging.Formatter):
    """For people; a stack and what a library says of an address are no more public here than in JSON."""

    def format(self, record: logging.LogRecord) -> str:
        return without_secrets(super().format(record))


class JsonLines(JsonFormatter):
    """With the library's way of writing anything as JSON, and our own choice of what is written."""

    def __init__(self) -> None:
        super().__init__(json_ensure_ascii=False)

    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        context, given = current(), record.__dict__
        request = under_way.get() or getattr(given.get("request"), "told", {})
        actor = context.actor.id if context.actor is not NOBODY.actor else None
        told = {
            "time": datetime.fromtimestamp(record.created, tz=UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.message or None,
            "trace_id": request.get("trace_id") or context.trace_id,
            "actor": request.get("actor") or actor,
            "method": request.get("method"),
            "path": request.get("path"),
            "status": given.get("status", given.get("status_code")),
            **{name: given.get(name) for name in TOLD},
            "exception": message_dict.get("exc_info"),
            "stack": message_dict.get("stack_info"),
        }
        for name, value in told.items():
            if value is not None:
                log_data[name] = without_secrets(value) if isinstance(value, str) else value
