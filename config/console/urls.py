"""The pages of the console that are not lists or forms of one model, each under its name in the admin site."""

from collections.abc import Callable
from typing import Any

from django.urls import URLPattern, path

from accounts.saved_filters import saved_filter
from audit.views import trace
from config.console.search import search


def pages(guarded: Callable[..., Any]) -> list[URLPattern]:
    """`guarded` lets in who has signed in; each page asks for its own permission."""
    return [
        path("search/", guarded(search), name="search"),
        path("saved-filter/", guarded(saved_filter), name="saved_filter"),
        path("trace/<str:trace_id>/", guarded(trace), name="trace"),
    ]
