"""Lists of tables that are too large to count: pages by key instead of by number, and an estimate instead of a count.

A page begins where the last one ended, by a row comparison that an index answers; nothing is counted and no row is
skipped, so that the thousandth page costs what the first one does.
"""

from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import MultipleObjectsReturned, ValidationError
from django.core.paginator import Paginator
from django.db import connection, models
from django.db.models import QuerySet
from django.http import HttpRequest

from audit.admin.base import ReadOnlyAdmin
from audit.keyset import beyond, columns

M = TypeVar("M", bound=models.Model)
OLDER, NEWER = "older", "newer"


def estimate(table: str) -> int:
    """How many rows a partitioned table has, as the planner knows it: the sum of its leaves'."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT COALESCE(sum(GREATEST(c.reltuples, 0)), 0)::bigint FROM pg_inherits i"
            " JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = %s::regclass",
            [table],
        )
        (rows,) = cursor.fetchone()
    return int(rows)


class KeysetChangeList(ChangeList):
    keyset = True
    model_admin: "KeysetAdmin[Any]"

    def get_filters_params(self, params: Any = None) -> dict[str, Any]:
        found: dict[str, Any] = super().get_filters_params(params)
        return {name: value for name, value in found.items() if name not in (OLDER, NEWER)}

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        return [f"-{name}" for name in self.model_admin.key(request)]

    def get_results(self, request: HttpRequest) -> None:
        key = self.model_admin.key(request)
        older, newer = request.GET.get(OLDER), request.GET.get(NEWER)
        rows, more = self._page(self.queryset, key, older or newer, backwards=bool(newer and not older))
        self.result_list = self.model_admin.prepare(request, rows)
        self.result_count = len(rows)
        self.full_result_count = None
        self.can_show_all = self.multi_page = False
        self.show_full_result_count = self.show_admin_actions = False
        self.paginator = Paginator(rows, self.list_per_page)
        self.older_url = self._url(OLDER, rows[-1], key) if rows and (more or newer) else ""
        self.newer_url = self._url(NEWER, rows[0], key) if rows and (older or (newer and more)) else ""
        self.first_url = self.get_query_string(remove=[OLDER, NEWER]) if older or newer else ""
        narrowed = self.query or self.get_filters_params()
        self.estimate = None if narrowed else max(estimate(self.opts.db_table), self.result_count)

    def _page(
        self, queryset: QuerySet[Any], key: tuple[str, ...], cursor: str | None, *, backwards: bool
    ) -> tuple[list[Any], bool]:
        """The rows of this page, newest first, and whether there are more in the direction of travel."""
        if cursor:
            queryset = beyond(queryset, key, self._values(key, cursor), older=not backwards)
        if backwards:
            queryset = queryset.reverse()
        found = list(queryset[: self.list_per_page + 1])
        more = len(found) > self.list_per_page
        rows = found[: self.list_per_page]
        return (rows[::-1] if backwards else rows), more

    def _values(self, key: tuple[str, ...], cursor: str) -> list[Any]:
        parts = cursor.split("_")
        if len(parts) != len(key):
            raise IncorrectLookupParameters(cursor)
        try:
            return [field.to_python(part) for field, part in zip(columns(self.model, key), parts, strict=True)]
        except (ValidationError, ValueError) as problem:
            raise IncorrectLookupParameters(problem) from problem

    def _url(self, direction: str, row: models.Model, key: tuple[str, ...]) -> str:
        values: list[datetime | UUID] = [getattr(row, name) for name in key]
        cursor = "_".join(value.isoformat() if isinstance(value, datetime) else str(value) for value in values)
        url: str = self.get_query_string({direction: cursor}, [OLDER, NEWER])
        return url


class KeysetAdmin(ReadOnlyAdmin[M]):
    """`keyset` is the order, newest first; its last column is unique and its first has an index."""

    keyset: tuple[str, ...]
    sortable_by = ()

    def key(self, request: HttpRequest) -> tuple[str, ...]:
        return self.keyset

    def export_key(self, request: HttpRequest) -> tuple[str, ...]:
        return self.key(request)

    def prepare(self, request: HttpRequest, rows: list[M]) -> list[M]:
        """Add to the rows of one page what their columns show; a fixed number of queries for all of them."""
        return rows

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> M | None:
        """One row of that id: two months can hold the same one, when plain SQL wrote it twice."""
        try:
            return super().get_object(request, object_id, from_field)
        except MultipleObjectsReturned:
            key = self.opts.get_field(from_field) if from_field else self.opts.pk
            return self.get_queryset(request).filter(**{key.name: object_id}).first()

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return KeysetChangeList
