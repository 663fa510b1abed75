"""`ingest_metrics FILE`: measurements of a file or of standard input become metric events."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, InterfaceError

from audit.context import Actor
from audit.errors import Refused
from content.management.commands.adopt_posts import platform_name
from content.post_file import Reject
from content.progress import Progress
from metrics.management.showing import sentence_of
from metrics.services.files import Counted, NothingTaken, Rejects, ingest_input
from metrics.services.inputs import Format, HowToRead

ACTOR = Actor.system("ingest_metrics")
TOLD = 20  # rejects that are printed; the file has all of them
ENDINGS = {".ndjson": Format.NDJSON, ".jsonl": Format.NDJSON, ".parquet": Format.PARQUET}


class Command(BaseCommand):
    help = (
        "Turn the measurements of a file into metric events. Safe to run again: what is known adds nothing, and a run"
        " that was killed goes on where it was."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", help="CSV, NDJSON or Parquet; - is standard input")
        parser.add_argument("--format", choices=list(Format), help="when the name does not tell (CSV otherwise)")
        parser.add_argument("--platform", type=platform_name, help="of rows that name none, such as youtube")
        parser.add_argument("--source", default="file", help="who measured, for rows that do not say (file)")
        parser.add_argument(
            "--cumulative",
            action="store_true",
            help="the numbers of columns such as views and likes are running totals, and not increases",
        )
        parser.add_argument("--strict", action="store_true", help="take all rows or none")
        parser.add_argument("--rejects", type=Path, help="where rows go that cannot be taken (FILE.rejects.csv)")
        parser.add_argument("--json", action="store_true", help="print the result as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        name = options["file"]
        path = Path(name)
        how = HowToRead(
            format=Format(options["format"] or ENDINGS.get(path.suffix.lower(), Format.CSV)),
            platform=options["platform"] or "",
            source=options["source"],
            cumulative=options["cumulative"],
        )
        rejects_path = options["rejects"] or (path.with_name(f"{path.name}.rejects.csv") if path.is_file() else None)
        if rejects_path and rejects_path.exists() and path.exists() and rejects_path.samefile(path):
            raise CommandError(f"{path} is the file itself; rejects need another (--rejects).")
        told, taken = 0, 0
        try:
            with _opened(name) as stream, Progress("ingesting", stream) as progress:

                def tell(reject: Reject) -> None:
                    nonlocal told
                    told += 1
                    if told <= TOLD or rejects_path is None:
                        progress.line(str(reject))

                def report(position: int, size: int | None, so_far: Counted) -> None:
                    nonlocal taken
                    taken = so_far.accepted
                    progress.at(f"{taken:,} events", position)

                counted = ingest_input(
                    stream=stream,
                    name=os.fsencode(name).decode(errors="backslashreplace"),
                    how=how,
                    actor=ACTOR,
                    rejects=Rejects(rejects_path, tell),
                    strict=options["strict"],
                    report=report,
                )
        except OSError as error:
            raise CommandError(f"{error.filename or name} cannot be read or written: {error.strerror}.") from None
        except NothingTaken as refusal:
            raise CommandError(f"{refusal.sentence} {_where(rejects_path)}") from None
        except Refused as refusal:
            raise CommandError(refusal.sentence) from None
        except (DatabaseError, InterfaceError) as error:
            if options["strict"] or not taken:
                raise  # manage.py says what the database lacks
            raise CommandError(
                f"{taken:,} events are in; run it again, and it goes on from there. {sentence_of(error)}"
            ) from None
        self._tell(counted, rejects_path, options["json"])

    def _tell(self, counted: Counted, rejects_path: Path | None, as_json: bool) -> None:
        if as_json:
            file = str(rejects_path) if rejects_path and counted.rejected else None
            self.stdout.write(json.dumps({**asdict(counted), "rejects": file}))
        else:
            self.stdout.write(
                f"Read {counted.row_count:,} rows, added {counted.accepted:,} events;"
                f" {counted.duplicates:,} measurements brought nothing new,"
                f" {counted.corrections:,} totals had fallen, {counted.rejected:,} rejected."
            )
        if counted.rejected:
            raise CommandError(f"{counted.rejected:,} rows were rejected; {_where(rejects_path)}")


def _where(rejects_path: Path | None) -> str:
    return f"{rejects_path} has each with its line and the reason." if rejects_path else "the lines above say why."


@contextmanager
def _opened(name: str) -> Iterator[BinaryIO]:
    if name == "-":
        yield sys.stdin.buffer
    else:
        with open(name, "rb") as stream:
            yield stream
