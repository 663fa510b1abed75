"""The archive is read again, file by file, and each receipt told what came of it."""

from django.utils import timezone

from audit.context import Actor, acting
from audit.errors import Conflict
from metrics.choices import ArchiveState
from metrics.models import MetricArchive
from metrics.partitions import Month
from metrics.services.archive_columns import Checks, columns_of_checks, different, merged
from metrics.services.archive_files import checks_of_file
from metrics.services.archive_receipts import USING, change
from metrics.services.archive_store import FileProblem, Store, StoreProblem, columns_of, files_of
from metrics.services.watching import SILENT, Watch


def verify_archives(
    *, actor: Actor, table: str | None = None, month: Month | None = None, watch: Watch = SILENT
) -> tuple[int, list[str]]:
    """How many archives are whole, and a sentence for each that is not."""
    receipts = MetricArchive.objects.using(USING).exclude(state=ArchiveState.EXPORTING)
    if table:
        receipts = receipts.filter(table_name=table)
    if month:
        receipts = receipts.filter(range_start=month.start)
    whole, problems = 0, []
    with acting(actor):
        for receipt in receipts.order_by("table_name", "range_start"):
            problem = verify(receipt, watch)
            if problem is None:
                whole += 1
                watch.done(str(receipt), "whole", rows=receipt.row_count, bytes=receipt.byte_count)
            else:
                problems.append(problem)
                watch.done(str(receipt), "problem", problem=problem)
    return whole, problems


def verify(receipt: MetricArchive, watch: Watch = SILENT) -> str | None:
    """Reads the files of one receipt, and writes down what was found; returns the problem, if there is one."""
    watch.begin(f"reading {receipt}", receipt.row_count)
    try:
        _read(receipt, watch)
        problem = None
    except StoreProblem as found:
        problem = found.sentence
    try:
        if problem is None:
            change(receipt, "verify", verified_at=timezone.now(), problem=None)
        elif problem != receipt.problem:
            change(receipt, "verify", problem=problem)
    except Conflict:
        return None  # the month is being archived anew at this moment, and with that read back
    return problem


def _read(receipt: MetricArchive, watch: Watch) -> None:
    store, rows, found = Store(), 0, Checks()
    columns = columns_of_checks(columns_of(receipt))
    for file in files_of(receipt):
        size, sha256 = store.sha256(file.path)
        if (size, sha256) != (file.bytes, file.sha256):
            what = f"it has {size:,} bytes instead of {file.bytes:,}" if size != file.bytes else "its SHA-256 differs"
            raise FileProblem(f"{store.shown(file.path)} is not what was written: {what}.")
        in_file, checks = checks_of_file(store, file, columns, watch)
        rows, found = rows + in_file, merged(found, checks)
    wrong = different(found, columns_of(receipt))
    if rows != receipt.row_count or wrong:
        raise FileProblem(
            f"The files of {receipt} are whole, but hold something else than their receipt says: "
            f"{', '.join(['rows'] * (rows != receipt.row_count) + wrong)}."
        )
