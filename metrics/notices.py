"""What operators are told of the archive: a month that is stuck on its way out, files that are not whole, a job that
failed."""

from datetime import datetime, timedelta

from django.db.models import F, Q
from django.urls import reverse
from django.utils.http import urlencode

from accounts.choices import NotificationType
from accounts.services.notifications import Notice
from audit.admin.cells import admin_url
from audit.models import CronJob
from campaigns.services.control import SYSTEM_PERMISSION
from metrics.choices import UNFINISHED
from metrics.models import MetricArchive

JOBS = ("archive_metrics", "rotate_partitions", "verify_archives")
MOST = 20  # notices of archives that are not whole
STUCK_AFTER = timedelta(hours=3)  # longer than any step of a month takes


def archive_notices(now: datetime) -> list[Notice]:
    failed = CronJob.objects.filter(name__in=JOBS, failed_at__isnull=False)
    failed = failed.filter(Q(succeeded_at=None) | Q(succeeded_at__lt=F("failed_at"))).order_by("name")
    return [*_stuck(now), *_damaged(), *map(_failed, failed)]


def _damaged() -> list[Notice]:
    """One for each: their files may be the only copy."""
    return [
        Notice(
            type=NotificationType.ARCHIVE_FAILED,
            about=f"files of {receipt}",
            permission=SYSTEM_PERMISSION,
            title=f"The archive of {receipt} is not whole: {receipt.problem}",
            url=admin_url(receipt),
            happened_at=receipt.updated_at,
        )
        for receipt in MetricArchive.objects.filter(problem__isnull=False).order_by("range_start")[:MOST]
    ]


def _failed(job: CronJob) -> Notice:
    return Notice(
        type=NotificationType.ARCHIVE_FAILED,
        about=job.name,
        permission=SYSTEM_PERMISSION,
        title=f"{job.name} failed: {job.said}" if job.said else f"{job.name} failed",
        url=f"{reverse('admin:index')}#jobs",
        happened_at=job.failed_at or job.started_at,
    )


def _stuck(now: datetime) -> list[Notice]:
    """One notice for all of them: they are months, and never many."""
    late = {"state__in": UNFINISHED, "updated_at__lt": now - STUCK_AFTER}
    months = list(MetricArchive.objects.filter(**late).order_by("updated_at"))
    if not months:
        return []
    states = ",".join(sorted({month.state for month in months}))
    exactly = urlencode({"state__in": states, "updated_at__lte": months[-1].updated_at.isoformat()})
    many = f"{reverse('admin:metrics_metricarchive_changelist')}?{exactly}"
    one = f"The archive of {months[0]} is stuck at “{months[0].get_state_display()}”"
    return [
        Notice(
            type=NotificationType.ARCHIVE_FAILED,
            about="metric_archive",
            permission=SYSTEM_PERMISSION,
            title=one if len(months) == 1 else f"The archives of {len(months)} months are stuck",
            url=admin_url(months[0]) if len(months) == 1 else many,
            amount=len(months),
            happened_at=months[-1].updated_at + STUCK_AFTER,
            since=months[0].updated_at,
        )
    ]
