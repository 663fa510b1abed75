"""`query_archive "SELECT …"`: one query over hot and archived months together."""

import csv
import os
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import chain, islice
from typing import Any, TextIO

import pyarrow as pa
from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit import exact_json
from audit.errors import Refused
from metrics.services.archive_query import query

SHOWN = 1000  # rows of a table: its columns are as wide as their widest text
WIDEST = 60
Rows = Iterator[list[Any]]


class Command(BaseCommand):
    help = (
        "Answer a query over metric_event and audit_log, archived months included (DuckDB's SQL). Both have the "
        "columns year and month besides their own. Only reads."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("query", help='such as "SELECT platform, sum(metric_value) FROM metric_event GROUP BY 1"')
        parser.add_argument("--format", choices=FORMATS, default="table", help="csv and json give every row")
        parser.add_argument("--cold-only", action="store_true", help="only months that have left the database")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with query(options["query"], cold_only=options["cold_only"]) as answer:
                FORMATS[options["format"]](self.stdout, answer.schema.names, _rows(answer))
        except BrokenPipeError:  # `| head` has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)
        except Refused as refusal:
            raise CommandError(refusal.sentence) from None


def _rows(answer: pa.RecordBatchReader) -> Rows:
    for batch in answer:
        yield from map(list, zip(*(column.to_pylist() for column in batch.columns), strict=True))


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat() if value.tzinfo else value.isoformat()
    return exact_json.dumps(value) if isinstance(value, dict | list | bool) else str(value)


def _table(out: TextIO, names: list[str], rows: Rows) -> None:
    found = [[_short(_text(value)) for value in row] for row in islice(rows, SHOWN)]
    widths = [max(map(len, column)) for column in zip(names, *found, strict=True)]
    for line in chain([names, ["-" * width for width in widths]], found):
        out.write("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())
    more = next(rows, None) is not None
    out.write(f"({len(found):,} rows{' and more: --format csv gives them all' if more else ''})")


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= WIDEST else f"{line[: WIDEST - 1]}…"


def _csv(out: TextIO, names: list[str], rows: Rows) -> None:
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([_text(value) for value in row] for row in rows)


def _json(out: TextIO, names: list[str], rows: Rows) -> None:
    """One array; written row by row."""
    before = "["
    for row in rows:
        told = {
            name: _text(value) if isinstance(value, datetime) else value for name, value in zip(names, row, strict=True)
        }
        out.write(f"{before}{exact_json.dumps(told)}", ending="")  # type: ignore[call-arg]
        before = ",\n"
    out.write("[]" if before == "[" else "]")


FORMATS: dict[str, Callable[[Any, list[str], Rows], None]] = {"table": _table, "csv": _csv, "json": _json}
