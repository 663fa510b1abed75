"""A list as a file: every row that its filters find, newest first, however many there are.

The rows are read page by page, each by its own short query, so that neither memory nor a transaction grows with them.
"""

import csv
from collections.abc import Callable, Iterator
from typing import Any

from django.db import models
from django.db.models import QuerySet
from django.http import HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone

from audit import exact_json
from audit.choices import EntityType
from audit.keyset import beyond
from audit.receivers import record

ROWS = 1000  # of a page
SECRET = {"password", "token", "token_sha256", "lease_id"}  # what nobody takes home
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # and in full width
BYTE_ORDER_MARK = "\ufeff"  # without it, spreadsheets take Amharic for Latin letters


class _Echo:
    """What a CSV writer writes to, when each line is wanted as it is made."""

    def write(self, line: str) -> str:
        return line


def csv_answer(
    request: HttpRequest, name: str, table: str, header: list[str], rows: Iterator[list[Any]], query: str = ""
) -> HttpResponseBase:
    """The rows as a file that is sent while it is made. That somebody took it is on record before its first line."""
    record_export(request, table, query=query)
    writer = csv.writer(_Echo())
    lines = (str(writer.writerow(map(plain, row))) for row in rows)

    def content() -> Iterator[str]:
        yield BYTE_ORDER_MARK + str(writer.writerow(header))
        yield from lines

    answer = StreamingHttpResponse(content(), content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="{name}-{timezone.localtime():%Y-%m-%d-%H%M}.csv"'
    return answer


def record_export(request: HttpRequest, table: str, action: str = "export", query: str = "") -> None:
    """One audit row for what was taken out of the console, with the query that chose it: `query`, or the address's."""
    record(EntityType.LIST, table, action, {"query": [None, query or request.GET.urlencode()]})


def plain(value: Any) -> object:
    """A value as a spreadsheet may have it: what agents wrote never begins a formula there."""
    if isinstance(value, (dict, list)):
        value = exact_json.dumps(value, ensure_ascii=False)
    if isinstance(value, str) and value.startswith(FORMULA):
        return f"'{value}"
    return value.isoformat() if hasattr(value, "isoformat") else value


def columns_of(model: type[models.Model], related: list[str]) -> tuple[list[str], list[str]]:
    """The header, and the attributes behind it: the table's columns, with the names of what foreign keys mean."""
    header: list[str] = []
    attributes: list[str] = []
    for field in model._meta.concrete_fields:
        if field.name in SECRET:
            continue
        header.append(str(field.column))
        attributes.append(field.attname)
        if field.is_relation and field.name in related:
            header.append(f"{field.column}_name" if field.column == field.name else field.name)
            attributes.append(field.name)
    return header, attributes


def rows_of(
    queryset: QuerySet[Any], key: tuple[str, ...], attributes: list[str], told: Callable[[Any], Any] = lambda row: row
) -> Iterator[list[Any]]:
    """Every row of the queryset as `told` tells it, by descending `key`, whose last column is unique."""
    ordered, values = queryset.order_by(*(f"-{name}" for name in key)), None
    while True:
        page = beyond(ordered, key, values, older=True) if values else ordered
        rows = list(page[:ROWS])
        for row in map(told, rows):
            yield [_value(row, name) for name in attributes]
        if len(rows) < ROWS:
            return
        values = [getattr(rows[-1], name) for name in key]


def _value(row: models.Model, name: str) -> Any:
    value = getattr(row, name)
    return str(value) if isinstance(value, models.Model) else value
