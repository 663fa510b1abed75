"""One trace in order: every audit row from the plan to the latest metric, a page at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any
from uuid import UUID

from django.utils.html import escape

from audit.admin.cells import duration
from audit.admin.entries import Entry, read
from audit.choices import EntityType
from audit.keyset import beyond
from audit.leases import without_leases
from audit.models import AuditLog
from audit.seals import SEALED

PAGE = 500  # rows
KEY = ("created_at", "audit_id")
LONG = 120  # characters; what is longer is folded
LONGEST = 2000  # characters of a value; the entry's own page has the rest
WEIGHT = 120_000  # characters of a page, about; a page that is heavier ends earlier
ROW, CHANGE, EVENT = 700, 60, 60  # characters of markup


@dataclass(frozen=True)
class Change:
    """One column of a change; `before` is None for what is new."""

    column: str
    before: str | None
    after: str

    @property
    def is_long(self) -> bool:
        return len(self.before or "") + len(self.after) > LONG


@dataclass(frozen=True)
class Step:
    """A row of the trace, or a run of metric events that are told as one."""

    entries: list[Entry]
    since: timedelta | None  # since the step before; None for the first
    changes: list[Change] = field(default_factory=list)

    @property
    def first(self) -> Entry:
        return self.entries[0]

    @property
    def is_run(self) -> bool:
        return len(self.entries) > 1

    @property
    def pause(self) -> str:
        if self.since is None:
            return ""
        return f"+{duration(self.since)}" if self.since >= timedelta(seconds=1) else "at once"

    def measured(self) -> list[str]:
        """What each event of a run said, in a few words."""
        return [_measurement(entry.row.changes or {}) for entry in self.entries]


@dataclass(frozen=True)
class Page:
    steps: list[Step]
    rows: int
    next_cursor: str  # empty on the last page

    @property
    def broken(self) -> int:
        """Rows whose hash is not that of their changes."""
        return sum(entry.row.sealed is False for step in self.steps for entry in step.entries)  # type: ignore[attr-defined]


def rows_of(trace_id: str) -> Iterator[AuditLog]:
    """Every row of a trace, oldest first, read page by page."""
    rows, last = AuditLog.objects.filter(trace_id=trace_id).order_by(*KEY), None
    while True:
        page = list((beyond(rows, KEY, [last.created_at, last.audit_id], older=False) if last else rows)[:PAGE])
        yield from map(without_leases, page)
        if len(page) < PAGE:
            return
        last = page[-1]


def read_trace(trace_id: str, person: Any, after: tuple[datetime, UUID] | None = None) -> Page:
    rows = AuditLog.objects.filter(trace_id=trace_id)
    if after:
        rows = beyond(rows, KEY, list(after), older=False)
    found = list(rows.annotate(sealed=SEALED).order_by(*KEY)[: PAGE + 1])
    shown = _light([without_leases(row) for row in found[:PAGE]])
    last = shown[-1] if len(found) > len(shown) else None
    cursor = f"{last.created_at.isoformat()}_{last.audit_id}" if last else ""
    return Page(list(_steps(read(shown, person), after[0] if after else None)), len(shown), cursor)


def _light(rows: Sequence[AuditLog]) -> Sequence[AuditLog]:
    """As many of the first rows as a page carries; at least one."""
    weight, before = 0, ""
    for place, row in enumerate(rows):
        in_a_run = before == row.entity_type == EntityType.METRIC_EVENT
        weight, before = weight + (EVENT if in_a_run else _weight(row)), row.entity_type
        if weight > WEIGHT and place:
            return rows[:place]
    return rows


def _weight(row: AuditLog) -> int:
    said = sum(CHANGE + len(escape(change.before or "")) + len(escape(change.after)) for change in changes_of(row))
    return ROW + len(escape(row.output_summary or "")) + said


def _steps(read_rows: list[Entry], before: datetime | None) -> Iterator[Step]:
    """Consecutive metric events become one step; everything else is a step of its own."""
    for is_event, run in groupby(read_rows, lambda entry: entry.row.entity_type == EntityType.METRIC_EVENT):
        entries = list(run)
        for group in [entries] if is_event else [[entry] for entry in entries]:
            moment = group[0].row.created_at
            yield Step(group, moment - before if before else None, changes_of(group[0].row))
            before = group[-1].row.created_at


def changes_of(row: AuditLog) -> list[Change]:
    """The columns that say something: empty values of a new row, and the redaction's version, do not."""
    told = row.changes if isinstance(row.changes, dict) else {}
    pairs = {column: pair for column, pair in told.items() if isinstance(pair, list) and len(pair) == 2}
    return [
        Change(column, None if before is None else _cut(_text(before)), _cut(_text(after)))
        for column, (before, after) in pairs.items()
        if not (before is None and after in (None, "", [], {}))
    ]


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}… (all of it on the page of this entry)"


def _text(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    return _json(value)


def _json(value: Any) -> str:
    from audit.admin.cells import pretty

    return pretty(value) if isinstance(value, dict) else ", ".join(map(_text, value)) if _flat(value) else pretty(value)


def _flat(value: Any) -> bool:
    return isinstance(value, list) and not any(isinstance(item, (dict, list)) for item in value)


def _measurement(changes: dict[str, Any]) -> str:
    def now(column: str) -> Any:
        pair = changes.get(column)
        return pair[1] if isinstance(pair, list) and len(pair) == 2 else "?"

    return f"{now('metric_type')} +{now('metric_value')} on {now('platform')}"
