"""What the page of the archive shows: every month of each table, where it is, and what happens to it next."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby

from django.db import connection
from django.template.defaultfilters import filesizeformat
from django.utils.text import capfirst

from audit.admin.cells import duration
from audit.admin.charts import short
from metrics.choices import UNFINISHED, ArchiveState, IngestState
from metrics.models import MetricArchive, MetricIngest
from metrics.partitions import TABLES, Month, PartitionedTable, months, months_to_archive, this_month
from metrics.services.archive_receipts import due
from metrics.services.whereabouts import IN_FILES

RECEIPTS, INPUTS = 24, 20  # that the page shows; the lists have the others
LEAVING = {ArchiveState.EXPORTING, ArchiveState.VERIFIED}
STUCK_AFTER = timedelta(hours=1)  # a receipt that has not moved for so long
STOPPED_AFTER = timedelta(minutes=10)  # an input of which no batch has come in for so long

LEAVES = """
    SELECT p.relname, substring(pg_get_expr(c.relpartbound, c.oid) FROM 'FROM \\(''(\\d{4}-\\d{2})'),
           c.reltuples, pg_total_relation_size(c.oid), pg_relation_size(c.oid) = 0
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_class p ON p.oid = i.inhparent
    WHERE p.oid = ANY (SELECT name::regclass FROM unnest(%s::text[]) name)"""


@dataclass(frozen=True)
class Leaf:
    rows: float  # PostgreSQL's estimate; -1 where it has never looked
    bytes: int
    is_empty: bool  # and always was: rows are never deleted


@dataclass(frozen=True)
class Cell:
    """A month on the time line. `word` says where it is, whatever the colours are."""

    month: Month
    word: str
    colour: str
    size: str = ""
    rows: str = ""
    receipt: MetricArchive | None = None

    @property
    def name(self) -> str:
        return f"{self.month.start:%b}"


@dataclass(frozen=True)
class Trouble:
    sentence: str
    what_to_do: str


@dataclass(frozen=True)
class Line:
    """All months of a table."""

    table: PartitionedTable
    cells: list[Cell]
    troubles: list[Trouble]
    due: list[Month]  # what archive_metrics takes next
    next_due: tuple[Month, datetime] | None
    hot: str
    cold: str

    @property
    def title(self) -> str:
        return str(capfirst(str(self.table.model._meta.verbose_name_plural)))

    @property
    def years(self) -> list[tuple[int, list[Cell], range]]:
        """The newest year first, as one looks for it; each with the months that come before its first."""
        found = [(year, list(cells)) for year, cells in groupby(self.cells, key=lambda cell: cell.month.year)]
        return [(year, cells, range(1, cells[0].month.month)) for year, cells in reversed(found)]


@dataclass(frozen=True)
class Receipt:
    row: MetricArchive
    bytes_a_row: str
    is_stuck: bool


@dataclass(frozen=True)
class Input:
    row: MetricIngest
    word: str
    colour: str
    advice: str = ""


@dataclass
class Known:
    """What the lines are drawn from: one question each, however many months there are."""

    leaves: dict[str, dict[Month, Leaf]] = field(default_factory=dict)
    receipts: dict[str, dict[Month, MetricArchive]] = field(default_factory=dict)

    @classmethod
    def now(cls) -> "Known":
        known = cls({table.name: {} for table in TABLES}, {table.name: {} for table in TABLES})
        with connection.cursor() as cursor:
            cursor.execute(LEAVES, [[table.name for table in TABLES]])
            for name, month, *told in cursor.fetchall():
                if month:
                    known.leaves[name][Month(int(month[:4]), int(month[5:]))] = Leaf(*told)
        for receipt in MetricArchive.objects.defer("files").order_by("-range_start", "table_name"):
            known.receipts.setdefault(receipt.table_name, {})[Month.of(receipt.range_start)] = receipt
        return known


def lines(known: Known, now: datetime) -> list[Line]:
    return [_line(table, known.leaves[table.name], known.receipts[table.name], now) for table in TABLES]


def _line(
    table: PartitionedTable, leaves: Mapping[Month, Leaf], receipts: Mapping[Month, MetricArchive], now: datetime
) -> Line:
    there = leaves.keys() | receipts.keys() | {this_month()}
    last = max(*there, this_month().plus(table.ahead))
    cells = [_cell(month, leaves.get(month), receipts.get(month)) for month in months(min(there), last)]
    cold = [receipt for month, receipt in receipts.items() if month not in leaves and receipt.state in IN_FILES]
    hot_size = filesizeformat(sum(leaf.bytes for leaf in leaves.values()))
    cold_size = filesizeformat(sum(receipt.byte_count for receipt in cold))
    return Line(
        table,
        cells,
        list(_troubles(table, cells, receipts, now)),
        _due(table, leaves, receipts, now),
        _next_due(table, leaves, now),
        f"{len(leaves)} months in the database, {hot_size}",
        f"{len(cold)} archived, {short(sum(receipt.row_count for receipt in cold))} rows, {cold_size}" if cold else "",
    )


def _due(
    table: PartitionedTable, leaves: Mapping[Month, Leaf], receipts: Mapping[Month, MetricArchive], now: datetime
) -> list[Month]:
    """As `archive_metrics --dry-run` says it."""
    old = months_to_archive(table, table.retention_days) if table.retention_days else []
    return due(receipts.values(), [month for month in old if month in leaves and not leaves[month].is_empty], now)


def _next_due(table: PartitionedTable, leaves: Mapping[Month, Leaf], now: datetime) -> tuple[Month, datetime] | None:
    if not table.retention_days:
        return None
    kept = timedelta(days=table.retention_days)
    full = sorted(month for month, leaf in leaves.items() if not leaf.is_empty)
    later = [(month, month.plus(1).start + kept) for month in full]
    return next(((month, leaves_at) for month, leaves_at in later if leaves_at > now), None)


def _cell(month: Month, leaf: Leaf | None, receipt: MetricArchive | None) -> Cell:
    if leaf is None:
        return _absent(month, receipt)
    rows = "empty" if leaf.is_empty else f"{short(leaf.rows)} rows" if leaf.rows > 0 else ""
    size = filesizeformat(leaf.bytes)
    if receipt is not None and receipt.state in LEAVING:
        return Cell(month, "leaving", "warn", size, rows, receipt)
    if receipt is not None and receipt.state != ArchiveState.RESTORED:
        return Cell(month, "attached", "bad", size, rows, receipt)
    if month > this_month():
        return Cell(month, "ahead", "neutral")
    if receipt is not None:
        return Cell(month, "restored", "good", size, rows, receipt)
    return Cell(month, "hot", "good", size, rows)


def _absent(month: Month, receipt: MetricArchive | None) -> Cell:
    if receipt is None:
        return Cell(month, "missing", "bad")
    if receipt.state not in IN_FILES:
        return Cell(month, "lost", "bad", receipt=receipt)
    word, colour = ("damaged", "bad") if receipt.problem else ("cold", "info")
    return Cell(month, word, colour, filesizeformat(receipt.byte_count), f"{short(receipt.row_count)} rows", receipt)


def _troubles(
    table: PartitionedTable, cells: Sequence[Cell], receipts: Mapping[Month, MetricArchive], now: datetime
) -> Iterator[Trouble]:
    """What somebody has to do, a sentence each."""
    missing = [cell.month for cell in cells if cell.word == "missing"]
    behind = [month for month in missing if month < this_month().plus(-1)]
    if ahead := [month for month in missing if month not in behind]:
        yield Trouble(f"{table.name} has no month {_told(ahead)}: what falls there is refused.", "rotate_partitions")
    if behind:
        # Only events are measured in hindsight; months of the log lie behind us, and nothing can be written there.
        remedy = f"rotate_partitions --from {behind[0]}" if table is TABLES[0] else ""
        yield Trouble(
            f"{table.name} has a gap: {_told(behind)} is in no partition and has no receipt. Nobody intends that: if "
            "rows were there, bring them back from a backup.",
            remedy,
        )
    for month, receipt in sorted(receipts.items()):
        cell = next((cell for cell in cells if cell.month == month), None)
        if receipt.problem:
            yield Trouble(
                f"The archive of {receipt} is not whole: {receipt.problem}", f"verify_archives --month {month}"
            )
        if cell and cell.word == "lost":
            yield Trouble(f"{receipt} is neither in the database nor in files, and its receipt does not say why.", "")
        if cell and cell.word == "attached":
            yield Trouble(f"{receipt} is in the database although its receipt says otherwise.", "")
        if stuck(receipt, now):
            yield Trouble(
                f"The archive of {receipt} stands at “{receipt.get_state_display()}” "
                f"since {duration(now - receipt.updated_at)}: it goes on where it stopped.",
                "archive_metrics",
            )


def _told(found: Sequence[Month]) -> str:
    return f"{found[0]}" if len(found) == 1 else f"{found[0]} to {found[-1]} ({len(found)} months)"


def stuck(receipt: MetricArchive, now: datetime) -> bool:
    return receipt.state in UNFINISHED and now - receipt.updated_at > STUCK_AFTER


def receipts(known: Known, now: datetime) -> tuple[list[Receipt], int]:
    """The newest, and how many there are."""
    everything = [receipt for of_table in known.receipts.values() for receipt in of_table.values()]
    newest = sorted(everything, key=lambda receipt: (receipt.range_start, receipt.table_name), reverse=True)
    shown = [
        Receipt(row, f"{row.byte_count / row.row_count:.1f}" if row.row_count else "", stuck(row, now))
        for row in newest[:RECEIPTS]
    ]
    return shown, len(everything)


def inputs(now: datetime) -> list[Input]:
    """What was read last, the newest first: somebody wants to know whether yesterday's file went in."""
    return [_input(row, now) for row in MetricIngest.objects.order_by("-updated_at")[:INPUTS]]


def _input(row: MetricIngest, now: datetime) -> Input:
    if row.state == IngestState.RUNNING:
        if now - row.updated_at > STOPPED_AFTER:
            return Input(row, "stopped", "bad", "run the same command again: it goes on where it stopped")
        return Input(row, "running", "info")
    if row.rejected:
        return Input(row, "done, with rejects", "warn", "the rejects file says why, line by line")
    return Input(row, "done", "good")
