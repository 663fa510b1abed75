"""Lists that may be long: counted and sorted up to a bound, since a million rows take longer than a page may."""

from typing import Any

from django.contrib.admin.views.main import ORDER_VAR, ChangeList
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property

MOST = 5_000  # rows that are counted, and that one can turn the pages to; searching and filters find the others


def count_up_to(rows: "QuerySet[Any]", most: int) -> int:
    """How many rows there are; `most` + 1 stands for all that is more."""
    return rows.order_by()[: most + 1].count()


class BoundedPaginator(Paginator):  # type: ignore[type-arg]
    @cached_property
    def found(self) -> int:
        rows = self.object_list
        return count_up_to(rows, MOST) if isinstance(rows, QuerySet) else len(rows)

    @property
    def is_cut(self) -> bool:
        """There are more rows than pages lead to."""
        return self.found > MOST

    @cached_property
    def count(self) -> int:
        return min(self.found, MOST)


class BoundedChangeList(ChangeList):
    """Of more rows than are counted, the order is the list's own, which an index has; fewer can be sorted."""

    search_is_cut = False

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> "QuerySet[Any]":
        rows = super().get_queryset(request, exclude_parameters)
        self.search_is_cut = getattr(request, "search_is_cut", False)
        if ORDER_VAR in self.params and count_up_to(rows, MOST) > MOST:
            rows = rows.order_by(*self.model_admin.get_ordering(request), "-pk")
        return rows

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        if getattr(self.paginator, "is_cut", False):
            self.sortable_by = ()
