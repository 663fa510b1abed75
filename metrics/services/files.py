"""Whole inputs become metric events, piece by piece; each piece commits together with how far it has come."""

import csv
import io
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import BinaryIO, TypeVar

from django.db import IntegrityError, OperationalError, transaction

from audit.context import Actor
from audit.errors import Conflict, Refused, sqlstate
from content.post_file import Reject
from metrics.choices import IngestState
from metrics.models import MetricIngest
from metrics.services.ingest import BatchResult, Columns, Measurement, append_events
from metrics.services.inputs import Changed, HowToRead, Input, Piece

TRIES = 4
WORTH_ANOTHER_TRY = {"40P01", "23514"}  # SQLSTATE: deadlock; a month that closed after we looked
T = TypeVar("T")
Report = Callable[[int, int | None, "Counted"], None]


@dataclass
class Counted:
    """What became of the rows; a row of several measures counts once, and each of its measures once."""

    row_count: int = 0
    accepted: int = 0
    duplicates: int = 0
    corrections: int = 0
    rejected: int = 0

    def add(self, rows: int, result: BatchResult, rejects: list[Reject]) -> None:
        self.row_count += rows
        self.accepted += result.accepted
        self.duplicates += result.duplicates
        self.corrections += result.corrections
        self.rejected += len(rejects)


class Rejects:
    """The file of rows that could not be taken, with line and reason; made when there is one.

    What a killed run wrote behind its last commit is cut off again.
    """

    def __init__(self, path: Path | None, tell: Callable[[Reject], None]) -> None:
        self.path, self.tell, self.size = path, tell, 0

    def go_on_from(self, size: int) -> None:
        self.size = 0
        if self.path and self.path.is_file():
            self.size = min(size, self.path.stat().st_size)
            os.truncate(self.path, self.size)
            if not self.size:
                self.path.unlink()

    def write(self, rejects: Iterable[Reject], piece: Piece | None) -> None:
        """On the disk when this returns: the commit that counts them comes next."""
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        for reject in rejects:
            self.tell(reject)
            writer.writerow((reject.line, reject.reason, piece.row(reject.line) if piece else ""))
        if self.path and text.tell():
            heading = "" if self.size else "line,reason,row\r\n"
            with self.path.open("ab") as file:
                file.write((heading + text.getvalue()).encode())
                file.flush()
                if self.path.is_file():  # and no terminal, no /dev/null
                    os.fsync(file.fileno())
                self.size = file.tell()


class NothingTaken(Refused):
    """A strict run met rows that cannot be taken."""


def ingest_input(
    *,
    stream: BinaryIO,
    name: str,
    how: HowToRead,
    actor: Actor,
    rejects: Rejects,
    strict: bool = False,
    report: Report = lambda position, size, counted: None,
) -> Counted:
    """Take in a file or stream, of any size, in bounded memory; returns what became of it.

    A run that was killed goes on where its last commit was when it is started again: the input is known by its
    beginning, and what comes before that place must be the same bytes. An input that was read to its end is read anew,
    so that rows that were rejected then can be taken now; the others are known.

    `strict` takes all or nothing, in one transaction; raises NothingTaken. `report` hears of each piece: position,
    size (None for a pipe) and what was counted so far. Raises Invalid for what is no such file, Conflict when another
    run reads the same input.
    """
    with closing(Input(stream, how)) as given:
        if strict:
            return _all_or_nothing(given, actor, rejects, report)
        return _piece_by_piece(given, name, actor, rejects, report)


def _piece_by_piece(given: Input, name: str, actor: Actor, rejects: Rejects, report: Report) -> Counted:
    ingest = _begin(given, name, actor)
    try:
        pieces = given.pieces(position=ingest.position, line=ingest.line, digest=ingest.sha256)
        return _take(ingest, given, pieces, actor, rejects, report)
    except Changed:
        _start_again(ingest, actor, name)
        if not given.rewind():
            raise Conflict(
                f"{name} begins like an input that was interrupted, and then differs from it. Nothing of it was taken;"
                " send it once more, and it is read from its beginning."
            ) from None
    return _take(ingest, given, given.pieces(), actor, rejects, report)


def _take(
    ingest: MetricIngest,
    given: Input,
    pieces: Iterator[Piece],
    actor: Actor,
    rejects: Rejects,
    report: Report,
) -> Counted:
    with transaction.atomic():
        _hold(ingest)
        rejects.go_on_from(ingest.rejects_bytes)
    counted = Counted(**{each.name: getattr(ingest, each.name) for each in fields(Counted)})
    for piece in ahead(pieces):
        counted = _take_piece(ingest, piece, counted, actor, rejects)
        report(piece.position, given.size, counted)
    MetricIngest.objects.filter(pk=ingest.pk).update(state=IngestState.DONE)
    return counted


def _take_piece(ingest: MetricIngest, piece: Piece, so_far: Counted, actor: Actor, rejects: Rejects) -> Counted:
    """Again when a month was closed just now, or when plain SQL held what we wanted and wanted what we held."""
    for left in reversed(range(TRIES)):
        counted = replace(so_far)
        try:
            with transaction.atomic():
                _hold(ingest)
                rejects.go_on_from(ingest.rejects_bytes)
                result = append_events(measurements=piece.measurements, actor=actor, inputs_hash=piece.sha256)
                bad = sorted(piece.rejects + result.rejects, key=lambda reject: reject.line)
                rejects.write(bad, piece)
                counted.add(piece.row_count, result, bad)
                _save(ingest, counted, piece, rejects.size)
        except (IntegrityError, OperationalError) as error:
            if not left or sqlstate(error) not in WORTH_ANOTHER_TRY:
                raise
        else:
            return counted
    raise AssertionError("unreachable")


def _all_or_nothing(given: Input, actor: Actor, rejects: Rejects, report: Report) -> Counted:
    counted, last = Counted(), ""

    def measurements() -> Iterator[Measurement | Columns]:
        nonlocal last
        for piece in ahead(given.pieces()):
            counted.add(piece.row_count, BatchResult(0, 0, 0, []), piece.rejects)
            rejects.write(piece.rejects, piece)
            last = piece.sha256
            yield from piece.measurements
            report(piece.position, given.size, counted)

    rejects.go_on_from(0)
    with transaction.atomic():
        result = append_events(measurements=measurements(), actor=actor, inputs_hash=lambda: last)
        rejects.write(result.rejects, None)
        counted.add(0, result, result.rejects)
        if counted.rejected:
            raise NothingTaken(f"{counted.rejected:,} rows cannot be taken, so nothing was (--strict).")
    return counted


# How far an input has come


def _begin(given: Input, name: str, actor: Actor) -> MetricIngest:
    """Where to go on: at the beginning, unless a run of this input was cut short."""
    with transaction.atomic():
        ingest, is_new = MetricIngest.objects.get_or_create(
            head_sha256=given.identity, defaults={**_FROM_THE_START, "name": name, "created_by": str(actor.id)}
        )
        if not is_new and ingest.state == IngestState.DONE:
            _start_again(ingest, actor, name)
    return ingest


def _start_again(ingest: MetricIngest, actor: Actor, name: str) -> None:
    MetricIngest.objects.filter(pk=ingest.pk).update(**_FROM_THE_START, name=name, created_by=str(actor.id))
    ingest.refresh_from_db()


_FROM_THE_START = {
    "state": IngestState.RUNNING,
    "sha256": "0" * 64,
    **dict.fromkeys(("position", "line", "rejects_bytes", *(each.name for each in fields(Counted))), 0),
}


def _hold(ingest: MetricIngest) -> None:
    """Two runs of one input would count its rows twice, in the row that tells people how many there were."""
    now = MetricIngest.objects.select_for_update().get(pk=ingest.pk)
    if (now.position, now.state) != (ingest.position, IngestState.RUNNING):
        raise Conflict(f"Another run reads {ingest.name} too, and has come to line {now.line:,}; this one stops.")


def _save(ingest: MetricIngest, counted: Counted, piece: Piece, rejects_bytes: int) -> None:
    ingest.position, ingest.line, ingest.sha256 = piece.position, piece.line, piece.sha256
    ingest.rejects_bytes = rejects_bytes
    for each in fields(Counted):
        setattr(ingest, each.name, getattr(counted, each.name))
    ingest.save()


def ahead(items: Iterator[T]) -> Iterator[T]:
    """The next one is read while PostgreSQL works on this one."""
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = reader.submit(next, items, None)
            yield item
