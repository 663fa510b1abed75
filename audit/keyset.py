"""Rows by key: where a page ends, the next begins, by a row comparison that an index answers."""

from typing import Any, TypeVar

from django.db import models
from django.db.models import F, Func, QuerySet, Value
from django.db.models.lookups import GreaterThan, GreaterThanOrEqual, LessThan, LessThanOrEqual

M = TypeVar("M", bound=models.Model)


class Row(Func):
    """`(a, b)` in SQL, for comparing two columns at once."""

    template = "(%(expressions)s)"
    output_field = models.TextField()


def columns(model: type[models.Model], key: tuple[str, ...]) -> list[models.Field[Any, Any]]:
    return [field for name in key for field in model._meta.concrete_fields if field.name == name]


def beyond(queryset: QuerySet[M], key: tuple[str, ...], values: list[Any], *, older: bool) -> QuerySet[M]:
    """The rows after `values` in the order of `key`, newest first; or, for `older=False`, those before them."""
    given = [
        Value(value, output_field=field) for value, field in zip(values, columns(queryset.model, key), strict=True)
    ]
    strict, loose = (LessThan, LessThanOrEqual) if older else (GreaterThan, GreaterThanOrEqual)
    if len(key) == 1:
        return queryset.filter(strict(F(key[0]), given[0]))
    # The second condition follows from the first; partitions are pruned by it, and by row comparisons they are not.
    return queryset.filter(strict(Row(*map(F, key)), Row(*given)), loose(F(key[0]), given[0]))
