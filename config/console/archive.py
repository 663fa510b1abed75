"""The page of the archive: which months are in the database and which in files, if these are whole, what is next."""

from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from config.health import heartbeats
from metrics import archive_page
from metrics.archive_page import Line
from metrics.services.archive_store import Store, StoreProblem

MAY_SEE = "metrics.view_metricarchive"
MAY_SEE_INPUTS = "metrics.view_metricevent"
# What runs over the months; those that have never run are told too.
JOBS = ("rotate_partitions", "archive_metrics", "verify_archives")


@require_safe
def archive(request: HttpRequest) -> HttpResponse:
    if not request.user.has_perm(MAY_SEE):
        raise PermissionDenied(f"You may not see the archive. Ask an Administrator for the permission “{MAY_SEE}”.")
    now, known = timezone.now(), archive_page.Known.now()
    lines, (receipts, amount) = archive_page.lines(known, now), archive_page.receipts(known, now)
    beats = {beat.name: beat for beat in heartbeats(now)}
    context = {
        **admin.site.each_context(request),
        "title": "Archive",
        "where": _where(),
        "lines": lines,
        "jobs": [(name, beats.get(name)) for name in JOBS],
        "receipts": receipts,
        "more_receipts": amount - len(receipts),
        "inputs": archive_page.inputs(now) if request.user.has_perm(MAY_SEE_INPUTS) else None,
        "commands": _commands(lines),
    }
    return TemplateResponse(request, "admin/archive.html", context)


def _where() -> str:
    """Where the files lie, without the keys that the address may hold."""
    try:
        return str(Store())
    except StoreProblem as problem:
        return problem.sentence


def _commands(lines: list[Line]) -> list[tuple[str, str]]:
    """What each does, and how it is called; with a month that it could be called for."""
    cold = [cell.month for cell in lines[0].cells if cell.word in {"cold", "damaged"}]
    month = cold[-1] if cold else lines[0].cells[0].month
    return [
        ("Make the months ahead", "manage.py rotate_partitions"),
        ("Say what would be archived", "manage.py archive_metrics --dry-run"),
        (f"Archive what is older than {settings.METRIC_RETENTION_DAYS} days", "manage.py archive_metrics"),
        ("Read every file again and compare", "manage.py verify_archives"),
        ("Bring a month back", f"manage.py restore_metrics --month {month}"),
        ("Compare the sums with the events", "manage.py check_rollups"),
        (
            "Ask hot and cold together",
            f'manage.py query_archive "SELECT metric_type, sum(metric_value) FROM metric_event'
            f' WHERE year = {month.year} AND month = {month.month} GROUP BY ALL"',
        ),
    ]
