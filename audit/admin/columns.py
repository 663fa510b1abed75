"""Columns of lists. Each makes the function that Django's `list_display` wants, with its title and its ordering.

The function's name becomes the cell's class: `…_number` is aligned to the right by the stylesheet.
"""

from collections.abc import Callable, Mapping
from typing import Any

from django.contrib import admin
from django.db import models

from audit.admin import cells
from audit.base import called

Column = Callable[[Any], str]


def column(name: str, title: str, show: Callable[[Any], str], ordering: Any = None) -> Column:
    def shown(row: models.Model) -> str:
        return show(row)

    shown.__name__ = name
    return admin.display(description=title, ordering=ordering)(shown)


def badge(field: str, colours: Mapping[Any, str], title: str = "") -> Column:
    return column(f"{field}_badge", title or field, lambda row: cells.state(row, field, colours), field)


def when(field: str, title: str = "") -> Column:
    return column(
        f"{field}_when", title or field.removesuffix("_at"), lambda row: cells.when(getattr(row, field)), field
    )


def number(field: str, title: str = "") -> Column:
    return column(f"{field}_number", title or words(field), lambda row: cells.number(getattr(row, field)), field)


def link(field: str, title: str = "") -> Column:
    """The row that a foreign key names; put the key into `list_select_related`."""
    return column(f"{field}_link", title or words(field), lambda row: cells.link(getattr(row, field)), field)


def text(field: str, title: str = "") -> Column:
    """The row that a foreign key names, for the first column: that leads to the row’s own page, and not elsewhere."""
    return column(f"{field}_text", title or words(field), lambda row: str(getattr(row, field)), field)


def short(field: str) -> Column:
    """A text as far as one reads it in a list: agents write some, of any length."""
    return column(field, words(field), lambda row: called(getattr(row, field) or "") or cells.EMPTY, field)


def trace(path: Callable[[Any], str] = lambda row: str(row.trace_id)) -> Column:
    return column("trace_link", "trace", lambda row: cells.trace_link(path(row)))


def words(field: str) -> str:
    return field.replace("_", " ")
