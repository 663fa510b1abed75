"""What the pages that ask before they do have in common, and the report of what is done to one after the other."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from audit.admin.refusals import sentence
from audit.errors import Invalid, Refused

AT_ONCE = 200  # rows that are chosen together
SECONDS = 20  # that the browser waits for a report; what was not reached by then is told, and can be chosen again


def demand(request: HttpRequest, permission: str, to: str) -> None:
    if not request.user.has_perm(permission):
        raise PermissionDenied(f"You may not {to}. Ask an Administrator for the permission “{permission}”.")


def page(request: HttpRequest, template: str, status: int = 200, **context: Any) -> HttpResponse:
    path = f"admin/campaigns/{template}.html"
    return TemplateResponse(request, path, {**admin.site.each_context(request), **context}, status=status)


def first_error(form: forms.Form) -> str:
    said = (str(error) for errors in form.errors.values() for error in errors)
    return next(said, "This form came empty; fill it in.")


def chosen(request: HttpRequest) -> list[UUID]:
    """The keys of the rows that were chosen in a list. Raises Invalid when there are none, or too many."""
    given = (request.POST if request.method == "POST" else request.GET).getlist("chosen")
    try:
        keys = list(dict.fromkeys(UUID(key) for key in given))
    except ValueError:
        raise Invalid("This form is damaged; choose in the list anew.") from None
    if not keys:
        raise Invalid("Nothing was chosen. Tick the boxes at the beginning of the rows first.")
    if len(keys) > AT_ONCE:
        raise Invalid(f"At most {AT_ONCE} at once; you have chosen {len(keys)}.")
    return keys


@dataclass(frozen=True)
class Result:
    """What became of one of several."""

    row: Any
    done: bool
    told: str


def one_after_other(rows: Iterable[Any], do: Callable[[Any], str]) -> list[Result]:
    """Do it to each, in a transaction of its own; a refusal of one stops no other. `do` returns what to tell."""
    deadline, results = time.monotonic() + SECONDS, []
    for row in rows:
        if time.monotonic() > deadline:
            results.append(Result(row, False, "Not tried: the others took too long. Choose it again."))
            continue
        try:
            results.append(Result(row, True, do(row)))
        except (Refused, DatabaseError) as refusal:
            results.append(Result(row, False, sentence(refusal)))
    return results
