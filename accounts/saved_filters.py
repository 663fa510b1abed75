"""Filters of lists that a person has given a name: an address to come back to, on the list that it belongs to."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from django.contrib import messages
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import Resolver404, resolve
from django.views.decorators.http import require_POST

from accounts.models import User
from audit.errors import Conflict, Invalid, Refused, written

MOST = 20  # of one list
LONGEST = 60, 2000  # characters of a name, and of a query


@dataclass(frozen=True)
class SavedFilter:
    name: str
    query: str

    @property
    def url(self) -> str:
        return f"?{self.query}"

    def says(self, query: str) -> bool:
        """Whether it chooses what the query does, in whatever order."""
        return sorted(parse_qsl(self.query)) == sorted(parse_qsl(query))


def saved_on(person: Any, path: str) -> list[SavedFilter]:
    """The person's filters of the list at `path`, by name."""
    named = person.saved_filters.get(path, {}) if isinstance(getattr(person, "saved_filters", None), dict) else {}
    return [SavedFilter(name, query) for name, query in sorted(named.items())]


def save_filter(*, person: User, path: str, name: str, query: str) -> None:
    """Name the filter; a name that exists on this list means the new filter from now on."""
    name = " ".join(written(name, "Give the filter a name.").split())
    if len(name) > LONGEST[0] or len(query) > LONGEST[1] or not query:
        raise Invalid("A filter has a name of at most 60 characters, and chooses something.")
    named = _of(person, path)
    if len(named | {name: query}) > MOST:
        raise Conflict(f"This list has {MOST} saved filters of yours already; forget one first.")
    _keep(person, path, named | {name: query})


def forget_filter(*, person: User, path: str, name: str) -> None:
    named = _of(person, path)
    named.pop(name, None)
    _keep(person, path, named)


def _of(person: User, path: str) -> dict[str, str]:
    return {each.name: each.query for each in saved_on(person, path)}


def _keep(person: User, path: str, named: dict[str, str]) -> None:
    others = {place: filters for place, filters in person.saved_filters.items() if place != path}
    person.saved_filters = others | ({path: named} if named else {})
    person.save()


@require_POST
def saved_filter(request: HttpRequest) -> HttpResponse:
    """The form on every list: `name` and `query` are saved, or what `forget` names is not any more."""
    assert isinstance(request.user, User)
    path, query, forget = (request.POST.get(name, "") for name in ("path", "query", "forget"))
    if not _is_list(path):
        raise BadRequest("This is not a list of the console.")
    try:
        if forget:
            forget_filter(person=request.user, path=path, name=forget)
            messages.success(request, f"The filter “{forget}” is forgotten.")
        else:
            save_filter(person=request.user, path=path, name=request.POST.get("name", ""), query=query)
            messages.success(request, "The filter is saved; it stands above the list from now on.")
    except Refused as refusal:
        messages.warning(request, refusal.sentence)
    return HttpResponseRedirect(f"{path}?{query}" if query else path)


def _is_list(path: str) -> bool:
    """Nobody is led elsewhere by a form."""
    try:
        return (resolve(path).url_name or "").endswith("_changelist")
    except Resolver404:
        return False
