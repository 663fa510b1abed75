"""`ingest_metrics FILE --platform youtube --cumulative`: observed running totals become metric events."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit.context import Actor
from audit.errors import Invalid, Refused
from content.management.commands.adopt_posts import platform_name
from content.post_file import Record, in_batches, moment, post_id, read_records, total, usable
from content.progress import Progress
from metrics.choices import MetricType
from metrics.services import Measurement, append_events

BATCH = 5000  # rows in one transaction: beyond a thousand, larger ones gain little
COLUMNS = ("platform_post_id", "observed_at")
ACTOR = Actor.system("ingest_metrics")


class Command(BaseCommand):
    help = "Turn the running totals of a file (views, likes, comments, …) into metric events. Safe to run again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="CSV with platform_post_id, observed_at and columns of totals")
        parser.add_argument("--platform", required=True, type=platform_name, help="such as youtube")
        parser.add_argument(
            "--cumulative",
            action="store_true",
            required=True,
            help="the numbers are running totals (no others are known)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        path, platform = options["file"], options["platform"]
        rows, events, corrections, rejected = 0, 0, 0, 0
        try:
            with path.open("rb") as stream, Progress("ingesting", stream) as progress:
                for batch in in_batches(read_records(stream, COLUMNS), BATCH):
                    measurements, rejects = usable(batch, lambda record: measured(record, platform))
                    result = append_events(measurements=measurements, actor=ACTOR)
                    rejects = sorted(rejects + result.rejects, key=lambda reject: reject.line)
                    rows, events = rows + len(batch), events + result.accepted
                    corrections, rejected = corrections + result.corrections, rejected + len(rejects)
                    for reject in rejects:
                        progress.line(str(reject))
                    progress.at(f"{events:,} events")
        except OSError as error:
            raise CommandError(f"{path} cannot be read: {error.strerror}.") from None
        except Refused as refusal:
            raise CommandError(refusal.sentence) from None
        self.stdout.write(
            f"Read {rows:,} rows, added {events:,} events; {corrections:,} totals had fallen, {rejected:,} rejected."
        )
        if rejected:
            raise CommandError(f"{rejected:,} rows were rejected; the lines above say why.")


def measured(record: Record, platform: str) -> list[Measurement]:
    """One measurement for each total in the row; an empty cell is a total that the platform does not tell."""
    post, when = post_id(record), moment(record, "observed_at")
    totals = {metric: total(record, metric) for metric in MetricType}
    found = [
        Measurement(
            line=record.line,
            platform=platform,
            metric_type=metric,
            observed_at=when,
            source="file",
            platform_post_id=post,
            total=value,
        )
        for metric, value in totals.items()
        if value is not None
    ]
    if not found:
        raise Invalid(f"no totals; the columns are called {', '.join(MetricType.values)}.")
    return found
