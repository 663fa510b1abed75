"""What is measured, and the states of an archived month."""

from django.db.models import TextChoices


class MetricType(TextChoices):
    VIEWS = "views", "views"
    LIKES = "likes", "likes"
    COMMENTS = "comments", "comments"
    SHARES = "shares", "shares"
    WATCH_TIME_SECONDS = "watch_time_seconds", "watch time (s)"


class IngestState(TextChoices):
    RUNNING = "running", "running"
    DONE = "done", "done"


INGEST_INITIAL = {IngestState.RUNNING}
# An input that was read to its end may be read again, for the rows that were rejected.
INGEST_TRANSITIONS = {IngestState.RUNNING: {IngestState.DONE}, IngestState.DONE: {IngestState.RUNNING}}


class ArchiveState(TextChoices):
    EXPORTING = "exporting", "exporting"
    VERIFIED = "verified", "verified"
    DETACHED = "detached", "detached"
    DROPPED = "dropped", "dropped"
    RESTORED = "restored", "restored"


# Begun and not at its end: the rows are in PostgreSQL still, or in a table beside.
UNFINISHED = {ArchiveState.EXPORTING, ArchiveState.VERIFIED, ArchiveState.DETACHED}
ARCHIVE_INITIAL = {ArchiveState.EXPORTING}
ARCHIVE_TRANSITIONS = {
    ArchiveState.EXPORTING: {ArchiveState.VERIFIED},
    ArchiveState.VERIFIED: {ArchiveState.DETACHED},
    ArchiveState.DETACHED: {ArchiveState.DROPPED},
    ArchiveState.DROPPED: {ArchiveState.RESTORED},
    # What was brought back can be written to again, and so leaves anew.
    ArchiveState.RESTORED: {ArchiveState.DROPPED, ArchiveState.EXPORTING},
}
