"""Metric events, and what is kept beside them: sums by the hour, running totals, receipts of what was archived."""

from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import Q

from agents.models import Agent
from audit.base import (
    AuditedModel,
    AuditSpec,
    CreatedAtField,
    IdField,
    Sha256Field,
    SQLNow,
    UpdatedAtField,
    at_least,
    called,
    json_shaped,
    one_of,
    times_within_reach,
)
from audit.choices import EntityType
from audit.exact_json import ExactJSONField
from audit.keys import SetCheckedForeignKey
from audit.triggers import BOOKKEEPING, IMMUTABLE, MUTABLE, NoDelete, NoTruncate, NoUpdate, Transitions
from campaigns.models import Campaign
from content.models import Artifact, PublishRecord
from metrics.choices import (
    ARCHIVE_INITIAL,
    ARCHIVE_TRANSITIONS,
    INGEST_INITIAL,
    INGEST_TRANSITIONS,
    ArchiveState,
    IngestState,
    MetricType,
)
from metrics.triggers import Arrived


class MetricEvent(AuditedModel):
    """One measurement. Never changes; partitioned by the month in which it was observed."""

    event_id = IdField()
    campaign = SetCheckedForeignKey(Campaign, models.PROTECT, related_name="+", db_index=False)
    agent = SetCheckedForeignKey(Agent, models.PROTECT, related_name="+", db_index=False)
    content = SetCheckedForeignKey(Artifact, models.PROTECT, related_name="+", db_index=False)
    platform = models.TextField(help_text="Where it was measured.")
    metric_type = models.TextField(choices=MetricType, help_text="What was measured.")
    metric_value = models.BigIntegerField(help_text="The increase since the last measurement.")
    observed_at = models.DateTimeField(help_text="When the platform said so; decides the month.")
    ingested_at = models.DateTimeField(db_default=SQLNow(), editable=False, help_text="When it came in.")
    source = models.TextField(help_text="Who measured.")

    immutable = True
    audit = AuditSpec(EntityType.METRIC_EVENT, trace="content__task__trace_id", campaign="campaign_id")

    class Meta:
        db_table = "metric_event"
        constraints = [
            one_of("metric_type", "metric_event", MetricType),
            at_least("metric_value", "metric_event", 0),
            times_within_reach("metric_event", "ingested_at"),
        ]
        indexes = [
            models.Index(fields=["campaign", "observed_at"], name="idx_metric_campaign_time"),
            models.Index(fields=["content", "observed_at"], name="idx_metric_content_time"),
            models.Index(fields=["platform", "metric_type", "observed_at"], name="idx_metric_platform_type_time"),
        ]
        triggers = [*IMMUTABLE, Arrived()]

    def __str__(self) -> str:
        return called(f"+{self.metric_value} {self.get_metric_type_display()} on {self.platform}")


class Rollup(models.Model):
    """Events summed by the hour or the day, so that a curve never reads the raw events.

    Written by the trigger on metric_event alone: nobody but the owner has the right to write here. Their key is what
    they are the sums of: an id of their own, and its index, would cost a third of bringing them up to date.
    """

    campaign = SetCheckedForeignKey(Campaign, models.PROTECT, related_name="+", db_index=False)
    agent = SetCheckedForeignKey(Agent, models.PROTECT, related_name="+", db_index=False)
    platform = models.TextField(help_text="Where it was measured.")
    metric_type = models.TextField(choices=MetricType, help_text="What was measured.")
    sum = models.BigIntegerField(help_text="All increases.")
    count = models.BigIntegerField(help_text="How many events.")
    max = models.BigIntegerField(help_text="The largest increase.")
    last_observed_at = models.DateTimeField(help_text="The newest of them.")
    updated_at = UpdatedAtField()

    derived = True

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.sum} {self.get_metric_type_display()}"


class MetricRollup(Rollup):
    """By the hour and content."""

    pk = models.CompositePrimaryKey("content", "platform", "metric_type", "bucket", "agent", "campaign")
    bucket = models.DateTimeField(help_text="The beginning of the hour (UTC).")
    content = SetCheckedForeignKey(Artifact, models.PROTECT, related_name="+", db_index=False)

    class Meta:
        db_table = "metric_rollup"
        constraints = [
            one_of("metric_type", "metric_rollup", MetricType),
        ]
        indexes = [
            models.Index(fields=["campaign", "metric_type", "bucket"], name="idx_rollup_campaign_time"),
            # The newest hours of all campaigns lie together, since they come in together.
            BrinIndex(fields=["bucket"], name="idx_rollup_bucket", pages_per_range=16, autosummarize=True),
        ]
        triggers = [NoDelete(), NoTruncate()]


class MetricRollupDaily(Rollup):
    """By the day and content: what did best in a month reads thirty rows of each post, and not 720."""

    pk = models.CompositePrimaryKey("campaign", "metric_type", "bucket", "content", "platform", "agent")
    bucket = models.DateTimeField(help_text="The beginning of the day (UTC).")
    content = SetCheckedForeignKey(Artifact, models.PROTECT, related_name="+", db_index=False)

    class Meta:
        db_table = "metric_rollup_daily"
        constraints = [
            one_of("metric_type", "metric_rollup_daily", MetricType),
        ]
        triggers = [NoDelete(), NoTruncate()]


class MetricRollupCampaign(Rollup):
    """By the day, all contents together: a curve of a campaign, an agent or a platform, however many posts it has."""

    pk = models.CompositePrimaryKey("metric_type", "bucket", "campaign", "agent", "platform")
    bucket = models.DateTimeField(help_text="The beginning of the day (UTC).")

    class Meta:
        db_table = "metric_rollup_campaign"
        constraints = [
            one_of("metric_type", "metric_rollup_campaign", MetricType),
        ]
        triggers = [NoDelete(), NoTruncate()]


class MetricCounter(models.Model):
    """How far a post's running total has come: the highest seen is the sum of all its increases.

    Whose it is stands here too, so that the first totals of a year are added up without a look at their posts.
    """

    metric_counter_id = IdField()
    publish = models.ForeignKey(PublishRecord, models.PROTECT, related_name="counters", db_index=False)
    campaign = models.ForeignKey(Campaign, models.PROTECT, related_name="+", db_index=False)
    agent = models.ForeignKey(Agent, models.PROTECT, related_name="+", db_index=False)
    platform = models.TextField(help_text="Where it was measured.")
    metric_type = models.TextField(choices=MetricType, help_text="What is counted.")
    source = models.TextField(help_text="Who counts.")
    highest_total = models.BigIntegerField(help_text="The highest total ever reported.")
    last_total = models.BigIntegerField(help_text="The total of the newest observation.")
    last_observed_at = models.DateTimeField(help_text="When that was.")
    first_total = models.BigIntegerField(help_text="What it began with: counted, and left out of comparisons.")
    first_observed_at = models.DateTimeField(help_text="When that was observed.")
    updated_at = UpdatedAtField()

    class Meta:
        db_table = "metric_counter"
        constraints = [
            one_of("metric_type", "metric_counter", MetricType),
            at_least("highest_total", "metric_counter", 0),
            at_least("last_total", "metric_counter", 0),
            at_least("first_total", "metric_counter", 0),
            models.UniqueConstraint(fields=["publish", "metric_type", "source"], name="metric_counter_key"),
        ]
        indexes = [
            models.Index(fields=["metric_type", "first_observed_at"], include=["first_total"], name="idx_counter_first")
        ]
        triggers = BOOKKEEPING

    def __str__(self) -> str:
        return f"{self.highest_total} {self.get_metric_type_display()}"


class MetricCorrection(models.Model):
    """A total that fell: platforms take counts back, and the sums say so here instead of going negative."""

    metric_correction_id = IdField()
    publish = models.ForeignKey(PublishRecord, models.PROTECT, related_name="corrections", db_index=False)
    metric_type = models.TextField(choices=MetricType, help_text="What is counted.")
    source = models.TextField(help_text="Who counts.")
    from_total = models.BigIntegerField(help_text="The total before.")
    to_total = models.BigIntegerField(help_text="The lower total after.")
    observed_at = models.DateTimeField(help_text="When the lower total was reported.")
    created_at = CreatedAtField()

    immutable = True

    class Meta:
        db_table = "metric_correction"
        constraints = [
            one_of("metric_type", "metric_correction", MetricType),
            models.CheckConstraint(
                name="metric_correction_falls_check", condition=Q(to_total__lt=models.F("from_total"))
            ),
            models.UniqueConstraint(
                fields=["publish", "metric_type", "source", "observed_at"], name="metric_correction_key"
            ),
        ]
        triggers = [NoUpdate(), NoDelete(), NoTruncate()]

    def __str__(self) -> str:
        return f"{self.get_metric_type_display()} fell from {self.from_total} to {self.to_total}"


class MetricIngest(models.Model):
    """How far an input has been taken in, so that a run that was killed goes on from there."""

    metric_ingest_id = IdField()
    head_sha256 = Sha256Field(unique=True, help_text="Of its beginning and of how it is read: which input it is.")
    name = models.TextField(help_text="Where it was read from.")
    state = models.TextField(choices=IngestState, help_text="Whether its end was reached.")
    position = models.BigIntegerField(help_text="Bytes (Parquet: rows) that were taken in.")
    sha256 = Sha256Field(help_text="Of the input up to there.")
    line = models.BigIntegerField(help_text="Lines up to there.")
    rejects_bytes = models.BigIntegerField(help_text="Size of the rejects file up to there.")
    row_count = models.BigIntegerField(help_text="Rows that were read.")
    accepted = models.BigIntegerField(help_text="New events.")
    duplicates = models.BigIntegerField(help_text="Measurements that brought nothing new.")
    corrections = models.BigIntegerField(help_text="Totals that had fallen.")
    rejected = models.BigIntegerField(help_text="Rows that could not be taken.")
    created_by = models.TextField(help_text="Who ran it.")
    created_at = CreatedAtField()
    updated_at = UpdatedAtField()

    class Meta:
        db_table = "metric_ingest"
        constraints = [
            one_of("state", "metric_ingest", IngestState),
            at_least("position", "metric_ingest", 0),
        ]
        indexes = [models.Index(fields=["-updated_at"], name="idx_ingest_updated")]
        triggers = [
            *BOOKKEEPING,
            Transitions(initial=INGEST_INITIAL, transitions=INGEST_TRANSITIONS, column="state"),
        ]

    def __str__(self) -> str:
        return called(self.name)


class MetricArchive(AuditedModel):
    """The receipt of a month that left the hot store. A month with a receipt is closed."""

    metric_archive_id = IdField()
    table_name = models.TextField(help_text="metric_event or audit_log.")
    range_start = models.DateTimeField(help_text="The first instant of the month (UTC).")
    range_end = models.DateTimeField(help_text="The first instant of the next.")
    row_count = models.BigIntegerField(help_text="Rows in the month.")
    byte_count = models.BigIntegerField(help_text="Bytes in all files.")
    files = ExactJSONField(help_text="Each file with its SHA-256.")
    schema_fingerprint = models.TextField(help_text="Which columns they have.")
    state = models.TextField(choices=ArchiveState, help_text="How far it has come.")
    created_by = models.TextField(help_text="Who ran it.")
    verified_at = models.DateTimeField(null=True, help_text="When its files were last read back and found whole.")
    problem = models.TextField(null=True, help_text="What was wrong with them; empty when nothing was.")
    created_at = CreatedAtField()
    updated_at = UpdatedAtField()

    audit = AuditSpec(EntityType.METRIC_ARCHIVE)

    class Meta:
        db_table = "metric_archive"
        constraints = [
            one_of("state", "metric_archive", ArchiveState),
            json_shaped("files", "metric_archive"),
            at_least("row_count", "metric_archive", 0),
            at_least("byte_count", "metric_archive", 0),
            models.UniqueConstraint(fields=["table_name", "range_start"], name="metric_archive_month_key"),
        ]
        triggers = [*MUTABLE, Transitions(initial=ARCHIVE_INITIAL, transitions=ARCHIVE_TRANSITIONS, column="state")]

    def __str__(self) -> str:
        return f"{self.table_name} {self.range_start:%Y-%m}"
