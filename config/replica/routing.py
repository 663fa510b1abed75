"""Who reads from the replica: pages of this list that only look, and nothing else.

Decisions, forms, the review desk and the API are on no list, so they read where they write. Of the pages that are
listed, what says who somebody is, what they may and whether everything is halted is read from the primary all the same.
"""

from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS
from django.db.models import Model
from django.db.models.signals import post_save
from django.http import HttpRequest, HttpResponse
from django.urls import ResolverMatch

from audit.signals import rows_changed
from config.middleware import API
from config.replica import ALIAS
from config.replica.watch import MOST_SECONDS, watch

# In the admin site, by their names there.
PAGES = {
    *("index", "control_room", "search", "agents", "publishing", "publishing_part", "archive"),
    *("metrics", "metrics_campaign", "metrics_content", "metrics_agent", "metrics_platform"),
    *("trace", "trace_file"),
}
OF_MODELS = ("_changelist", "_export")
# Where people take what they decide on. Nor the page of the judges, whose counts are kept for what is decided on them.
NOT_THERE = {"content_reviewitem_changelist"}
# What is read there: of other apps, who somebody is and what they may, never; and not whether everything is halted.
APPS = {"agents", "audit", "campaigns", "content", "metrics"}
BUT_NOT = {"agents.apitoken", "agents.idempotencykey", "campaigns.systemcontrol"}

SAFE = {"GET", "HEAD"}
# While a browser has this, its person reads from the primary: they have just changed something, and the replica may be
# used while it is up to MOST_SECONDS old. A little longer, since browsers count whole seconds.
WROTE = "wrote"
WROTE_SECONDS = MOST_SECONDS + 2


@dataclass
class Visit:
    """What one request does."""

    reads_there: bool = False
    wrote: bool = False


_visit: ContextVar[Visit | None] = ContextVar("visit", default=None)


def is_listed(found: ResolverMatch) -> bool:
    name = found.url_name or ""
    return found.namespaces == ["admin"] and name not in NOT_THERE and (name in PAGES or name.endswith(OF_MODELS))


class Router:
    def db_for_read(self, model: type[Model], **hints: Any) -> str | None:
        visit = _visit.get()
        if visit is None or not visit.reads_there:
            return _never_there(hints)
        there = model._meta.app_label in APPS and model._meta.label_lower not in BUT_NOT
        return ALIAS if there else DEFAULT_DB_ALIAS

    def db_for_write(self, model: type[Model], **hints: Any) -> str | None:
        return _never_there(hints)

    def allow_relation(self, one: Model, other: Model, **hints: Any) -> bool | None:
        """They are rows of one database, wherever they were read."""
        aliases = {one._state.db, other._state.db}
        return True if ALIAS in aliases and aliases <= {ALIAS, DEFAULT_DB_ALIAS, None} else None

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        return False if db == ALIAS else None


def _never_there(hints: dict[str, Any]) -> str | None:
    """Django would go on where the row came from."""
    instance = hints.get("instance")
    return DEFAULT_DB_ALIAS if instance is not None and instance._state.db == ALIAS else None


class ReplicaMiddleware:
    """The innermost of all: sessions, people and their second factor are known before, and kept after."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        post_save.connect(_noted, dispatch_uid="replica:saved")
        rows_changed.connect(_noted, dispatch_uid="replica:changed")
        watch.begin()

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path.startswith(API):
            return self.get_response(request)
        visit = Visit()
        around = _visit.set(visit)
        try:
            response = self.get_response(request)
        finally:
            _visit.reset(around)
        if response.streaming and visit.reads_there:
            response.streaming_content = _as(visit, response.streaming_content)  # type: ignore[attr-defined]
        if visit.wrote or request.method not in SAFE:
            secure = bool(settings.SESSION_COOKIE_SECURE)
            response.set_cookie(WROTE, "1", max_age=WROTE_SECONDS, secure=secure, httponly=True, samesite="Lax")
        return response

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> None:
        visit, found = _visit.get(), request.resolver_match
        if visit is not None and found is not None and request.method in SAFE and WROTE not in request.COOKIES:
            visit.reads_there = is_listed(found) and watch.usable()


def _noted(**_: Any) -> None:
    visit = _visit.get()
    if visit is not None:
        visit.wrote = True


def _as(visit: Visit, content: Iterable[bytes]) -> Iterator[bytes]:
    """A file is made while it is sent, after the request; each of its parts is read as the page was."""
    parts = iter(content)
    try:
        while True:
            around = _visit.set(visit)
            try:
                part = next(parts)
            except StopIteration:
                return
            finally:
                _visit.reset(around)
            yield part
    finally:
        if hasattr(parts, "close"):
            parts.close()
