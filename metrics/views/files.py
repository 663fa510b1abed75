"""What a page of metrics shows, as a file: its buckets, or its contents with their sums; as CSV or Parquet.

Written while it is sent, some contents at a time, and only after the log has it who took what.
"""

import io
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from django.http import Http404, HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone

from audit.admin.export import csv_answer, record_export
from metrics import reading
from metrics.choices import MetricType
from metrics.views.chosen import Chosen
from metrics.views.contents import NOTHING, posts_by_content
from metrics.views.curve import curve

MOMENT = pa.timestamp("us", tz="UTC")
BUCKETS = pa.schema(
    [
        ("begins", MOMENT),
        ("ends", MOMENT),
        *((kind.value, pa.int64()) for kind in MetricType),
        *((f"{kind.value}_before", pa.int64()) for kind in MetricType),
    ]
)
CONTENTS = pa.schema(
    [
        *((name, pa.string()) for name in ("content_id", "title", "version", "campaign_id", "campaign", "agent_id")),
        *((name, pa.string()) for name in ("posts", "addresses", "trace_id", "measure")),
        ("begins", MOMENT),
        ("ends", MOMENT),
        *((name, pa.int64()) for name in ("sum", "compared", "before")),
    ]
)
LARGEST = 2**63 - 1


def file(request: HttpRequest, chosen: Chosen, wanted: str) -> HttpResponseBase:
    """`wanted` is `buckets` or `contents`, and `csv` or `parquet`."""
    what, _, form = wanted.partition(".")
    if what not in FILES or form not in ("csv", "parquet"):
        raise Http404("There is no such file of metrics.")
    schema, rows = FILES[what]
    taken = reading.table(chosen.subject.scope, chosen.period.by_hour, contents=what == "contents")._meta.db_table
    query = f"{request.path}?{request.GET.urlencode()}"
    if form == "csv":
        return csv_answer(request, f"metrics-{what}", taken, list(schema.names), rows(chosen), query)
    record_export(request, taken, query=query)
    answer = StreamingHttpResponse(parquet(schema, rows(chosen)), content_type="application/vnd.apache.parquet")
    name = f"metrics-{what}-{timezone.localtime():%Y-%m-%d-%H%M}.parquet"
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer


def parquet(schema: pa.Schema, rows: Iterable[list[Any]]) -> Iterator[bytes]:
    """A row group for each page of rows, sent as soon as it is written."""
    sink = io.BytesIO()
    whole = iter(rows)
    with pq.ParquetWriter(_Passing(sink), schema, compression="zstd") as writer:
        while page := list(islice(whole, reading.PAGE)):
            columns = zip(zip(*page, strict=True), schema.types, strict=True)
            writer.write_table(pa.Table.from_arrays([pa.array(*column) for column in columns], schema=schema))
            yield _taken(sink)
    yield _taken(sink)


class _Passing(io.RawIOBase):
    """A file that only goes forward: what was written may be taken away behind it."""

    def __init__(self, sink: io.BytesIO) -> None:
        self.sink, self.position = sink, 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.position

    def write(self, data: Any) -> int:
        amount = self.sink.write(data)
        self.position += amount
        return amount


def _taken(sink: io.BytesIO) -> bytes:
    content = sink.getvalue()
    sink.seek(0)
    sink.truncate()
    return content


def _buckets(chosen: Chosen) -> Iterator[list[Any]]:
    found = curve(chosen, reading.points(chosen.subject.scope, chosen.span))
    for place, bucket in enumerate(chosen.period.buckets):
        sums = [sums[kind][place] for sums in (found.sums, found.before) for kind in MetricType]
        yield [bucket.start, bucket.end, *map(_fitting, sums)]


def _contents(chosen: Chosen) -> Iterator[list[Any]]:
    if chosen.subject.kind == "content":
        listed = [[reading.Listed(chosen.subject.key, 0)]]
        return chain.from_iterable(_told(chosen, page) for page in listed)
    return chain.from_iterable(_told(chosen, page) for page in reading.all_contents(chosen.subject.scope, chosen.span))


def _told(chosen: Chosen, page: list[reading.Listed]) -> Iterator[list[Any]]:
    keys, scope, period = [each.key for each in page], chosen.subject.scope, chosen.period
    artifacts, sums = reading.named(keys), reading.compared(scope, chosen.span, keys)
    posts = posts_by_content(keys, scope.get("platform"))
    for key in keys:
        artifact, found = artifacts[key], sums.get(key, NOTHING)
        out = posts.get(key, [])
        yield [
            *(str(key), str(artifact.task), str(artifact.version), str(artifact.campaign_id), str(artifact.campaign)),
            artifact.task.agent_id,
            " ".join(f"{post.record.platform}:{post.record.platform_post_id or ''}" for post in out),
            " ".join(post.address for post in out if post.address),
            *(artifact.task.trace_id, chosen.measure.value, period.start, period.end),
            *map(_fitting, (found.total, found.now, found.before)),
        ]


def _fitting(value: int) -> int:
    """Sums of sums may pass what a column of integers holds; nobody has as many views."""
    return min(value, LARGEST)


FILES: dict[str, tuple[pa.Schema, Callable[[Chosen], Iterator[list[Any]]]]] = {
    "buckets": (BUCKETS, _buckets),
    "contents": (CONTENTS, _contents),
}
