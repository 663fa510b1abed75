import datetime
import re

import django.core.validators
import django.db.models.deletion
import django.db.models.functions.comparison
import django.db.models.lookups
import django.utils.timezone
import pgtrigger.compiler
import pgtrigger.migrations
from django.conf import settings
from django.db import migrations, models

import audit.base
import audit.exact_json
import audit.triggers


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("agents", "0002_agent_links"),
        ("campaigns", "0001_campaign_and_task"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Artifact",
            fields=[
                (
                    "artifact_id",
                    models.UUIDField(
                        db_default=audit.base.UUIDv7(),
                        default=audit.base.new_id,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                (
                    "task",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="artifacts",
                        to="campaigns.task",
                    ),
                ),
                (
                    "campaign",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="artifacts",
                        to="campaigns.campaign",
                    ),
                ),
                (
                    "artifact_type",
                    models.TextField(
                        choices=[
                            ("text", "text"),
                            ("image", "image"),
                            ("video", "video"),
                            ("plan", "plan"),
                            ("metrics_batch", "metrics batch"),
                        ],
                        help_text="What it is.",
                    ),
                ),
                ("version", models.IntegerField(help_text="Counts from 1 along a task and its retries.")),
                ("content_ref", models.TextField(help_text="A key in the content store, or an https or s3 reference.")),
                (
                    "metadata",
                    audit.exact_json.ExactJSONField(
                        blank=True,
                        decoder=audit.exact_json.ExactDecoder,
                        encoder=audit.exact_json.ExactEncoder,
                        help_text="What the maker tells about it.",
                        null=True,
                    ),
                ),
                (
                    "sources",
                    audit.exact_json.ExactJSONField(
                        blank=True,
                        decoder=audit.exact_json.ExactDecoder,
                        encoder=audit.exact_json.ExactEncoder,
                        help_text="What it rests on.",
                        null=True,
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=audit.base.SQLNow(), editable=False, help_text="When the row was written."
                    ),
                ),
                (
                    "content_sha256",
                    audit.base.Sha256Field(
                        help_text="SHA-256 of what is reviewed and published; of the reference when nobody gave the content's.",
                        max_length=64,
                    ),
                ),
            ],
            options={
                "db_table": "artifact",
                "indexes": [
                    models.Index(fields=["task"], name="idx_artifact_task"),
                    models.Index(fields=["campaign"], name="idx_artifact_campaign"),
                    models.Index(fields=["artifact_type"], name="idx_artifact_type"),
                    models.Index(fields=["created_at", "artifact_id"], name="idx_artifact_created"),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("artifact_type__in", ["text", "image", "video", "plan", "metrics_batch"])),
                        name="artifact_artifact_type_check",
                        violation_error_message="artifact_type must be one of: text, image, video, plan, metrics_batch.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("version__gte", 1)),
                        name="artifact_version_check",
                        violation_error_message="version must be 1 or more.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("content_sha256__regex", "^[0-9a-f]{64}$")),
                        name="artifact_content_sha256_check",
                        violation_error_message="content_sha256 must be 64 lowercase hex digits.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("created_at__isnull", True),
                            (
                                "created_at__range",
                                (
                                    datetime.datetime(1, 1, 2, 0, 0, tzinfo=datetime.UTC),
                                    datetime.datetime(9999, 12, 30, 0, 0, tzinfo=datetime.UTC),
                                ),
                            ),
                            _connector="OR",
                        ),
                        name="artifact_times_check",
                        violation_error_message="A time lies outside of the calendar.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            django.db.models.lookups.In(
                                audit.base.JSONShape(models.F("metadata")), ["object", "array"]
                            ),
                            audit.base.JSONIsShallow(models.F("metadata")),
                        ),
                        name="artifact_metadata_check",
                        violation_error_message="metadata must be a JSON object or array.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            django.db.models.lookups.In(audit.base.JSONShape(models.F("sources")), ["object", "array"]),
                            audit.base.JSONIsShallow(models.F("sources")),
                        ),
                        name="artifact_sources_check",
                        violation_error_message="sources must be a JSON object or array.",
                    ),
                    models.UniqueConstraint(
                        fields=("task", "artifact_type", "version"),
                        name="artifact_task_id_artifact_type_version_key",
                        violation_error_message="This task already has that version.",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="JudgeLease",
            fields=[
                (
                    "judge_lease_id",
                    models.UUIDField(
                        db_default=audit.base.UUIDv7(),
                        default=audit.base.new_id,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                (
                    "artifact",
                    models.OneToOneField(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="judge_lease",
                        to="content.artifact",
                    ),
                ),
                (
                    "agent",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="judge_leases",
                        to="agents.agent",
                    ),
                ),
                ("lease_id", models.UUIDField(help_text="Held by the judge that has it.")),
                ("lease_expires_at", models.DateTimeField(help_text="When another judge may have it.")),
                (
                    "lease_epoch",
                    models.IntegerField(help_text="The epoch (campaign's and system's) in which it began."),
                ),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=audit.base.SQLNow(), editable=False, help_text="When the row was written."
                    ),
                ),
                (
                    "updated_at",
                    models.DateTimeField(
                        db_default=audit.base.SQLNow(), editable=False, help_text="When the row last changed."
                    ),
                ),
            ],
            options={
                "db_table": "judge_lease",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("lease_expires_at__isnull", True),
                                (
                                    "lease_expires_at__range",
                                    (
                                        datetime.datetime(1, 1, 2, 0, 0, tzinfo=datetime.UTC),
                                        datetime.datetime(9999, 12, 30, 0, 0, tzinfo=datetime.UTC),
                                    ),
                                ),
                                _connector="OR",
                            ),
                            models.Q(
                                ("created_at__isnull", True),
                                (
                                    "created_at__range",
                                    (
                                        datetime.datetime(1, 1, 2, 0, 0, tzinfo=datetime.UTC),
                                        datetime.datetime(9999, 12, 30, 0, 0, tzinfo=datetime.UTC),
                                    ),
                                ),
                                _connector="OR",
                            ),
                            models.Q(
                                ("updated_at__isnull", True),
                                (
                                    "updated_at__range",
                                    (
                                        datetime.datetime(1, 1, 2, 0, 0, tzinfo=datetime.UTC),
                                        datetime.datetime(9999, 12, 30, 0, 0, tzinfo=datetime.UTC),
                                    ),
                                ),
                                _connector="OR",
                            ),
                        ),
                        name="judge_lease_times_check",
                        violation_error_message="A time lies outside of the calendar.",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="ReviewDecision",
            fields=[
                (
                    "review_id",
                    models.UUIDField(
                        db_default=audit.base.UUIDv7(),
                        default=audit.base.new_id,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                (
                    "task",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="decisions",
                        to="campaigns.task",
                    ),
                ),
                (
                    "artifact",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="decisions",
                        to="content.artifact",
                    ),
                ),
                (
                    "decision",
                    models.TextField(
                        choices=[("approve", "approve"), ("reject", "reject"), ("escalate", "escalate")],
                        help_text="What was decided.",
                    ),
                ),
                (
                    "confidence_score",
                    models.DecimalField(
                        decimal_places=3, help_text="From 0 to 1; a person's decision has 1.000.", max_digits=4
                    ),
                ),
                (
                    "reasons",
                    audit.exact_json.ExactJSONField(
                        decoder=audit.exact_json.ExactDecoder, encoder=audit.exact_json.ExactEncoder, help_text="Why."
                    ),
                ),
                (
                    "policy_hits",
                    audit.exact_json.ExactJSONField(
                        blank=True,
                        decoder=audit.exact_json.ExactDecoder,
                        encoder=audit.exact_json.ExactEncoder,
                        help_text="The policies that it touches.",
                        null=True,
                    ),
                ),
                (
                    "next_action",
                    models.TextField(
                        choices=[("publish", "publish"), ("retry", "retry"), ("human_review", "review by a person")],
                        help_text="What follows.",
                    ),
                ),
                (
                    "reviewer_type",
                    models.TextField(choices=[("judge", "judge"), ("human", "person")], help_text="Who decided."),
                ),
                ("reviewer_id", models.TextField(blank=True, help_text="user:<id>, or the judge's agent.", null=True)),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=audit.base.SQLNow(), editable=False, help_text="When the row was written."
                    ),
                ),
                ("artifact_sha256", audit.base.Sha256Field(help_text="The content that was seen.", max_length=64)),
                (
                    "trace_id",
                    models.TextField(
                        help_text="The task's trace.",
                        validators=[django.core.validators.RegexValidator(re.compile("[0-9a-f]{32}"))],
                    ),
                ),
            ],
            options={
                "db_table": "review_decision",
                "indexes": [
                    models.Index(fields=["task"], name="idx_review_task"),
                    models.Index(fields=["artifact"], name="idx_review_artifact"),
                    models.Index(fields=["decision"], name="idx_review_decision"),
                    models.Index(fields=["reviewer_type"], name="idx_review_reviewer_type"),
                    models.Index(fields=["created_at", "review_id"], name="idx_review_created"),
                    models.Index(fields=["reviewer_id", "created_at"], name="idx_review_person"),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("decision__in", ["approve", "reject", "escalate"])),
                        name="review_decision_decision_check",
                        violation_error_message="decision must be one of: approve, reject, escalate.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("confidence_score__gte", 0), ("confidence_score__lte", 1)),
                        name="review_decision_confidence_score_check",
                        violation_error_message="confidence_score must be between 0 and 1.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            django.db.models.lookups.In(audit.base.JSONShape(models.F("reasons")), ["object", "array"]),
                            audit.base.JSONIsShallow(models.F("reasons")),
                        ),
                        name="review_decision_reasons_check",
                        violation_error_message="reasons must be a JSON object or array.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            django.db.models.lookups.In(
                                audit.base.JSONShape(models.F("policy_hits")), ["object", "array"]
                            ),
                            audit.base.JSONIsShallow(models.F("policy_hits")),
                        ),
                        name="review_decision_policy_hits_check",
                        violation_error_message="policy_hits must be a JSON object or array.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("next_action__in", ["publish", "retry", "human_review"])),
                        name="review_decision_next_action_check",
                        violation_error_message="next_action must be one of: publish, retry, human_review.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("artifact_sha256__regex", "^[0-9a-f]{64}$")),
                        name="review_decision_artifact_sha256_check",
                        violation_error_message="artifact_sha256 must be 64 lowercase hex digits.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("created_at__isnull", True),
                            (
                                "created_at__range",
                                (
                                    datetime.datetime(1, 1, 2, 0, 0, tzinfo=datetime.UTC),
                                    datetime.datetime(9999, 12, 30, 0, 0, tzinfo=datetime.UTC),
                                ),
                            ),
                            _connector="OR",
                        ),
                        name="review_decision_times_check",
                        violation_error_message="A time lies outside of the calendar.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("reviewer_type__in", ["judge", "human"])),
                        name="review_decision_reviewer_type_check",
                        violation_error_message="reviewer_type must be one of: judge, human.",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="PublishRecord",
            fields=[
                (
                    "publish_id",
                    models.UUIDField(
                        db_default=audit.base.UUIDv7(),
                        default=audit.base.new_id,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                (
                    "campaign",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="publish_records",
                        to="campaigns.campaign",
                    ),
                ),
                (
                    "artifact",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="publish_records",
                        to="content.artifact",
                    ),
                ),
                ("platform", models.TextField(help_text="Where it goes.")),
                ("platform_post_id", models.TextField(blank=True, help_text="What the platform calls it.", null=True)),
                (
                    "disclosure_level",
                    models.TextField(
                        choices=[
                            ("automated", "made by an agent"),
                            ("assisted", "made with an agent's help"),
                            ("none", "not disclosed"),
                        ],
                        help_text="What the audience is told of its making.",
                    ),
                ),
                (
                    "status",
                    models.TextField(
                        choices=[("queued", "queued"), ("published", "published"), ("failed", "failed")],
                        help_text="Where it stands.",
                    ),
                ),
                ("published_at", models.DateTimeField(blank=True, help_text="When it appeared.", null=True)),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=audit.base.SQLNow(), editable=False, help_text="When the row was written."
                    ),
                ),
                (
                    "updated_at",
                    models.DateTimeField(
                        db_default=audit.base.SQLNow(), editable=False, help_text="When the row last changed."
                    ),
                ),
                (
                    "decision",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        help_text="The approval that allows it. Without one it is never handed to a publisher.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="publish_records",
                        to="content.reviewdecision",
                    ),
                ),
                (
                    "adopted",
                    models.BooleanField(db_default=False, default=False, help_text="Was out before Gatehouse met it."),
                ),
                (
                    "content_sha256",
                    audit.base.Sha256Field(help_text="The content that may be posted, and no other.", max_length=64),
                ),
                (
                    "scheduled_for",
                    models.DateTimeField(blank=True, help_text="Leaves no earlier than this.", null=True),
                ),
                (
                    "hold",
                    models.TextField(
                        blank=True,
                        choices=[
                            ("operator", "held by an operator"),
                            ("campaign", "held with its campaign"),
                            ("outcome_unknown", "outcome unknown"),
                        ],
                        help_text="Why it does not leave.",
                        null=True,
                    ),
                ),
                ("error", models.TextField(blank=True, help_text="Why it failed.", null=True)),
                (
                    "attempt",
                    models.IntegerField(
                        db_default=0, default=0, help_text="0 for the first try; a retry is a new row."
                    ),
                ),
                (
                    "lease_id",
                    models.UUIDField(
                        blank=True, editable=False, help_text="Held by the publisher that has it.", null=True
                    ),
                ),
                (
                    "lease_expires_at",
                    models.DateTimeField(blank=True, editable=False, help_text="When its lease ends.", null=True),
                ),
                (
                    "lease_epoch",
                    models.IntegerField(
                        blank=True, editable=False, help_text="The epoch in which it began.", null=True
                    ),
                ),
                (
                    "claimed_at",
                    models.DateTimeField(blank=True, editable=False, help_text="When it was handed out.", null=True),
                ),
            ],
            options={
                "db_table": "publish_record",
                "permissions": [
                    (
                        "settle_publishrecord",
                        "Can settle posts whose outcome is unknown, hold posts, and queue failed ones again",
                    )
                ],
                "indexes": [
                    models.Index(fields=["campaign"], name="idx_publish_campaign"),
                    models.Index(fields=["platform"], name="idx_publish_platform"),
                    models.Index(fields=["status"], name="idx_publish_status"),
                    models.Index(fields=["published_at"], name="idx_publish_time"),
                    models.Index(fields=["artifact"], name="idx_publish_artifact"),
                    models.Index(fields=["created_at", "publish_id"], name="idx_publish_created"),
                    models.Index(
                        condition=models.Q(("platform_post_id__isnull", False)),
                        fields=["platform_post_id"],
                        name="idx_publish_post",
                    ),
                    models.Index(
                        condition=models.Q(("adopted", True)),
                        fields=["created_at", "publish_id"],
                        name="idx_publish_adopted",
                    ),
                    models.Index(
                        condition=models.Q(("status__in", ["published", "failed"])),
                        fields=["campaign", "status"],
                        name="idx_publish_settled",
                    ),
                    models.Index(
                        models.F("platform"),
                        models.F("campaign_id"),
                        django.db.models.functions.comparison.Coalesce("scheduled_for", "created_at"),
                        condition=models.Q(("hold", None), ("status", "queued")),
                        name="idx_publish_queued",
                    ),
                    models.Index(
                        condition=models.Q(("lease_expires_at__isnull", False)),
                        fields=["lease_expires_at"],
                        name="idx_publish_lease",
                    ),
                    models.Index(
                        condition=models.Q(("hold", "outcome_unknown"), ("status", "queued")),
                        fields=["updated_at"],
                        name="idx_publish_unknown",
                    ),
                    models.Index(
                        condition=models.Q(("status", "failed")), fields=["updated_at"], name="idx_publish_failed"
                    ),
                    models.Index(
                        condition=models.Q(("platform_post_id__isnull", False), ("status", "failed")),
                        fields=["platform_post_id"],
                        name="idx_publish_evidence",
                    ),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("disclosure_level__in", ["automated", "assisted", "none"])),
                        name="publish_record_disclosure_level_check",
                        violation_error_message="disclosure_level must be one of: automated, assisted, none.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("status__in", ["queued", "published", "failed"])),
                        name="publish_record_status_check",
                        violation_error_message="status must be one of: queued, published, failed.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("hold__in", ["operator", "campaign", "outcome_unknown"])),
                        name="publish_record_hold_check",
                        violation_error_message="hold must be one of: operator, campaign, outcome_unknown.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("attempt__gte", 0)),
                        name="publish_record_attempt_check",
                        violation_error_message="attempt must be 0 or more.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("content_sha256__regex", "^[0-9a-f]{64}$")),
                        name="publish_record_content_sha256_check",
                        violation_error_message="content_sha256 must be 64 lowercase hex digits.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("created_at__isnull", True),
                                (
                                    "created_at__range",
                                    (
                                        datetime.datetime(1, 1, 2, 0, 0, tzinfo=datetime.UTC),
                                        datetime.datetime(9999, 12, 30, 0, 0, tzinfo=datetime.UTC),
                                    ),
                                ),
                                _connector="OR",
                            ),
                            models.Q(
                                ("updated_at__isnull", True),
                                (
                                    "updated_at__range",
                                    (
                                        datetime.datetime(1, 1, 2, 0, 0, tzinfo=datetime.UTC),
                                        datetime.datetime(9999, 12, 30, 0, 0, tzinfo=datetime.UTC),
                                    ),
                                ),
                                _connector="OR",
                            ),
                            models.Q(
                                ("published_at__isnull", True),
                                (
                                    "published_at__range",
                                    (
                                        datetime.datetime(1, 1, 2, 0, 0, tzinfo=datetime.UTC),
                                        datetime.datetime(9999, 12, 30, 0, 0, tzinfo=datetime.UTC),
                                    ),
                                ),
                                _connector="OR",
                            ),
                            models.Q(
                                ("scheduled_for__isnull", True),
                                (
                                    "scheduled_for__range",
                                    (
                                        datetime.datetime(1, 1, 2, 0, 0, tzinfo=datetime.UTC),
                                        datetime.datetime(9999, 12, 30, 0, 0, tzinfo=datetime.UTC),
                                    ),
                                ),
                                _connector="OR",
                            ),
                            models.Q(
                                ("lease_expires_at__isnull", True),
                                (
                                    "lease_expires_at__range",
                                    (
                                        datetime.datetime(1, 1, 2, 0, 0, tzinfo=datetime.UTC),
                                        datetime.datetime(9999, 12, 30, 0, 0, tzinfo=datetime.UTC),
                                    ),
                                ),
                                _connector="OR",
                            ),
                            models.Q(
                                ("claimed_at__isnull", True),
                                (
                                    "claimed_at__range",
                                    (
                                        datetime.datetime(1, 1, 2, 0, 0, tzinfo=datetime.UTC),
                                        datetime.datetime(9999, 12, 30, 0, 0, tzinfo=datetime.UTC),
                                    ),
                                ),
                                _connector="OR",
                            ),
                        ),
                        name="publish_record_times_check",
                        violation_error_message="A time lies outside of the calendar.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("lease_expires_at", None), ("lease_id", None)),
                            models.Q(
                                ("lease_expires_at__isnull", False), ("lease_id__isnull", False), ("status", "queued")
                            ),
                            _connector="OR",
                        ),
                        name="publish_record_lease_check",
                        violation_error_message="A lease exists only while a post is queued.",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("status", "failed"), _negated=True),
                        fields=("artifact", "platform"),
                        name="publish_record_live_key",
                        violation_error_message="This artifact is already queued or published on that platform.",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(
                            ("platform_post_id__isnull", False), models.Q(("status", "failed"), _negated=True)
                        ),
                        fields=("platform", "platform_post_id"),
                        name="publish_record_platform_post_key",
                        violation_error_message="Another record already has that post of that platform.",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="ReviewItem",
            fields=[
                (
                    "review_item_id",
                    models.UUIDField(
                        db_default=audit.base.UUIDv7(),
                        default=audit.base.new_id,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                (
                    "artifact",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="review_items",
                        to="content.artifact",
                    ),
                ),
                (
                    "task",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="review_items",
                        to="campaigns.task",
                    ),
                ),
                (
                    "campaign",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="review_items",
                        to="campaigns.campaign",
                    ),
                ),
                (
                    "reason",
                    models.TextField(
                        choices=[
                            ("escalated", "escalated"),
                            ("low_confidence", "judge unsure"),
                            ("policy_hit", "policy hit"),
                            ("no_judge", "no judge in time"),
                            ("blind_sample", "routine check"),
                        ],
                        help_text="Why it waits for a person.",
                    ),
                ),
                (
                    "status",
                    models.TextField(
                        choices=[("open", "open"), ("decided", "decided"), ("withdrawn", "withdrawn")],
                        db_default="open",
                        default="open",
                    ),
                ),
                (
                    "risk",
                    models.DecimalField(
                        db_default=0,
                        decimal_places=3,
                        default=0,
                        help_text="From 0 to 1; the riskiest is shown first.",
                        max_digits=4,
                    ),
                ),
                (
                    "opened_at",
                    models.DateTimeField(default=django.utils.timezone.now, help_text="Since when it waits."),
                ),
                ("due_at", models.DateTimeField(blank=True, help_text="When somebody should have decided.", null=True)),
                (
                    "overdue_at",
                    models.DateTimeField(blank=True, editable=False, help_text="When it was found overdue.", null=True),
                ),
                (
                    "claimed_by",
                    models.ForeignKey(
                        blank=True,
                        db_column="claimed_by",
                        db_index=False,
                        help_text="Who is looking at it.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "claimed_until",
                    models.DateTimeField(blank=True, help_text="When that claim ends by itself.", null=True),
                ),
                (
                    "decision",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="review_items",
                        to="content.reviewdecision",
                    ),
                ),
                (
                    "level",
                    models.SmallIntegerField(
                        db_default=1, default=1, help_text="2: escalated to another person; 3: to the Administrators."
                    ),
                ),
                (
                    "undone_at",
                    models.DateTimeField(blank=True, help_text="When the decision was taken back.", null=True),
                ),
                (
                    "undone_by",
                    models.ForeignKey(
                        blank=True,
                        db_column="undone_by",
                        db_index=False,
                        help_text="Who took it back.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "version",
                    models.IntegerField(
                        db_default=0, default=0, help_text="Grows with each change; a stale form is told."
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=audit.base.SQLNow(), editable=False, help_text="When the row was written."
                    ),
                ),
                (
                    "updated_at",
                    models.DateTimeField(
                        db_default=audit.base.SQLNow(), editable=False, help_text="When the row last changed."
                    ),
                ),
            ],
            options={
                "db_table": "review_item",
                "permissions": [
                    ("decide_reviewitem", "Can approve, reject and escalate what waits for a person"),
                    ("decide_escalation", "Can decide what was escalated to the Administrators"),
                ],
                "indexes": [
                    models.Index(
                        models.OrderBy(models.F("risk"), descending=True),
                        models.F("due_at"),
                        condition=models.Q(("status", "open")),
                        name="idx_review_item_open",
                    ),
                    models.Index(
                        condition=models.Q(("status", "open")),
                        fields=["due_at", "reason", "opened_at"],
                        name="idx_review_item_waiting",
                    ),
                    models.Index(fields=["task"], name="idx_review_item_task"),
                    models.Index(fields=["campaign", "status"], name="idx_review_item_campaign"),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("reason__in", ["escalated", "low_confidence", "policy_hit", "no_judge", "blind_sample"])
                        ),
                        name="review_item_reason_check",
                        violation_error_message="reason must be one of: escalated, low_confidence, policy_hit, no_judge, blind_sample.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("status__in", ["open", "decided", "withdrawn"])),
                        name="review_item_status_check",
                        violation_error_message="status must be one of: open, decided, withdrawn.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("risk__gte", 0), ("risk__lte", 1)), name="review_item_risk_check"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("level__in", [1, 2, 3])), name="review_item_level_check"
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("status", "open")),
                        fields=("artifact",),
                        name="review_item_one_open_key",
                        violation_error_message="This artifact already waits for a person.",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="VideoAsset",
            fields=[
                (
                    "video_asset_id",
                    models.UUIDField(
                        db_default=audit.base.UUIDv7(),
                        default=audit.base.new_id,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                (
                    "agent",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="video_assets",
                        to="agents.agent",
                    ),
                ),
                (
                    "task",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="video_assets",
                        to="campaigns.task",
                    ),
                ),
                (
                    "artifact",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="video_assets",
                        to="content.artifact",
                    ),
                ),
                ("platform", models.TextField(help_text="Where it is to be shown.")),
                ("tier", models.TextField(blank=True, help_text="The quality that was asked for.", null=True)),
                (
                    "character_reference_id",
                    models.TextField(blank=True, help_text="The look that it keeps.", null=True),
                ),
                (
                    "status",
                    models.TextField(
                        choices=[
                            ("pending", "pending"),
                            ("rendering", "rendering"),
                            ("ready", "ready"),
                            ("failed", "failed"),
                            ("archived", "archived"),
                        ],
                        help_text="Where it stands.",
                    ),
                ),
                (
                    "metadata",
                    audit.exact_json.ExactJSONField(
                        blank=True,
                        decoder=audit.exact_json.ExactDecoder,
                        encoder=audit.exact_json.ExactEncoder,
                        help_text="Duration, resolution, external_url and the like.",
                        null=True,
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=audit.base.SQLNow(), editable=False, help_text="When the row was written."
                    ),
                ),
                (
                    "updated_at",
                    models.DateTimeField(
                        db_default=audit.base.SQLNow(), editable=False, help_text="When the row last changed."
                    ),
                ),
            ],
            options={
                "db_table": "video_asset",
                "indexes": [
                    models.Index(fields=["agent"], name="idx_video_asset_agent"),
                    models.Index(fields=["task"], name="idx_video_asset_task"),
                    models.Index(fields=["status"], name="idx_video_asset_status"),
                    models.Index(fields=["created_at", "video_asset_id"], name="idx_video_asset_created"),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("status__in", ["pending", "rendering", "ready", "failed", "archived"])),
                        name="video_asset_status_check",
                        violation_error_message="status must be one of: pending, rendering, ready, failed, archived.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            django.db.models.lookups.In(
                                audit.base.JSONShape(models.F("metadata")), ["object", "array"]
                            ),
                            audit.base.JSONIsShallow(models.F("metadata")),
                        ),
                        name="video_asset_metadata_check",
                        violation_error_message="metadata must be a JSON object or array.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("created_at__isnull", True),
                                (
                                    "created_at__range",
                                    (
                                        datetime.datetime(1, 1, 2, 0, 0, tzinfo=datetime.UTC),
                                        datetime.datetime(9999, 12, 30, 0, 0, tzinfo=datetime.UTC),
                                    ),
                                ),
                                _connector="OR",
                            ),
                            models.Q(
                                ("updated_at__isnull", True),
                                (
                                    "updated_at__range",
                                    (
                                        datetime.datetime(1, 1, 2, 0, 0, tzinfo=datetime.UTC),
                                        datetime.datetime(9999, 12, 30, 0, 0, tzinfo=datetime.UTC),
                                    ),
                                ),
                                _connector="OR",
                            ),
                        ),
                        name="video_asset_times_check",
                        violation_error_message="A time lies outside of the calendar.",
                    ),
                ],
            },
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="artifact",
            trigger=pgtrigger.compiler.Trigger(
                name="immutable",
                sql=audit.triggers.GuardSql(
                    func="RAISE EXCEPTION 'rows of artifact never change' USING ERRCODE = 'check_violation', TABLE = 'artifact', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'artifact_immutable';",
                    hash="33b1ddbc3f51cc71a3c71ad61515c39cdb6e0c4b",
                    ignore_func_name="SET search_path = public, pg_temp",
                    operation="UPDATE",
                    pgid="pgtrigger_immutable_c7da0",
                    table="artifact",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="artifact",
            trigger=pgtrigger.compiler.Trigger(
                name="no_delete",
                sql=audit.triggers.GuardSql(
                    func="RAISE EXCEPTION 'rows of artifact are never deleted' USING ERRCODE = 'check_violation', TABLE = 'artifact', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'artifact_no_delete';",
                    hash="8cc34c13ab11cbcf85e619e77428b2ee13c26924",
                    ignore_func_name="SET search_path = public, pg_temp",
                    operation="DELETE",
                    pgid="pgtrigger_no_delete_28d5a",
                    table="artifact",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="artifact",
            trigger=pgtrigger.compiler.Trigger(
                name="no_truncate",
                sql=audit.triggers.GuardSql(
                    func="\n            IF NOT EXISTS (\n                SELECT FROM pg_database\n                WHERE datname = current_database() AND shobj_description(oid, 'pg_database') = 'Gatehouse test database: may be emptied'\n            ) THEN\n                RAISE EXCEPTION 'artifact is never truncated' USING ERRCODE = 'check_violation', TABLE = 'artifact', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'artifact_no_truncate';\n            END IF;\n            RETURN NULL;\n        ",
                    hash="8226a9299ae28cfaa940ca51deadbf33b277324b",
                    ignore_func_name="SET search_path = public, pg_temp",
                    level="STATEMENT",
                    operation="TRUNCATE",
                    pgid="pgtrigger_no_truncate_4d4f6",
                    table="artifact",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="artifact",
            trigger=pgtrigger.compiler.Trigger(
                name="audit_insert",
                sql=audit.triggers.GuardSql(
                    func="\n            IF current_user = 'gatehouse_app' THEN\n                RETURN NULL;\n            END IF;\n            INSERT INTO audit_log (trace_id, actor_type, actor_id, entity_type, entity_id, action, tool_name, severity,\n                                   campaign_id, changes, created_at)\n            SELECT n_task.trace_id, 'system', 'sql:' || session_user, 'artifact', n.artifact_id::text, 'create', 'sql',\n                   'info', n.campaign_id, c.changes, clock_timestamp()\n            FROM new_rows n LEFT JOIN \"task\" n_task ON n_task.task_id = n.task_id\n            CROSS JOIN LATERAL (SELECT audit_changes('{}'::jsonb, to_jsonb(n), ARRAY[]::text[], ARRAY['updated_at']::text[]) AS changes) c\n            WHERE c.changes IS NOT NULL;\n            RETURN NULL;\n        ",
                    hash="9aad3f395933d21c3cf645d0e8741e144ec2c602",
                    ignore_func_name="SET search_path = public, pg_temp",
                    level="STATEMENT",
                    operation="INSERT",
                    pgid="pgtrigger_audit_insert_9ce09",
                    referencing="REFERENCING NEW TABLE AS new_rows ",
                    table="artifact",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="artifact",
            trigger=pgtrigger.compiler.Trigger(
                name="fence",
                sql=audit.triggers.GuardSql(
                    declare="DECLARE begun integer; present integer; owner uuid;",
                    func="\n                    IF COALESCE(trim(NEW.content_sha256), '') = '' THEN\n                        NEW.content_sha256 = encode(sha256(convert_to(NEW.content_ref, 'UTF8')), 'hex');\n                    END IF;\n                    -- The key share lock makes a halt wait for this artifact, or this artifact see the halt.\n                    SELECT t.lease_epoch, c.epoch + s.epoch, t.campaign_id INTO begun, present, owner\n                    FROM task t JOIN campaign c ON c.campaign_id = t.campaign_id CROSS JOIN system_control s\n                    WHERE t.task_id = NEW.task_id FOR KEY SHARE OF c, s;\n                    IF begun < present THEN\n                        RAISE EXCEPTION 'this work began before a halt and no longer counts' USING ERRCODE = 'check_violation', TABLE = 'artifact', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'artifact_epoch_fence';\n                    END IF;\n                    IF owner <> NEW.campaign_id\n                            AND EXISTS (SELECT FROM campaign WHERE campaign_id = NEW.campaign_id) THEN\n                        RAISE EXCEPTION 'an artifact belongs to the campaign of its task' USING ERRCODE = 'check_violation', TABLE = 'artifact', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'artifact_campaign_of_task';\n                    END IF;\n                    RETURN NEW;\n                ",
                    hash="4944d96b4cb6b994f0ac26e809c82a8f24a3490b",
                    ignore_func_name="SECURITY DEFINER SET search_path = public, pg_temp",
                    operation="INSERT",
                    pgid="pgtrigger_fence_e6553",
                    table="artifact",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="judgelease",
            trigger=pgtrigger.compiler.Trigger(
                name="touch",
                sql=audit.triggers.GuardSql(
                    func="\n            IF NEW.judge_lease_id IS DISTINCT FROM OLD.judge_lease_id THEN\n                RAISE EXCEPTION 'the key of a judge_lease never changes' USING ERRCODE = 'check_violation', TABLE = 'judge_lease', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'judge_lease_key_readonly';\n            END IF;\n            IF NEW.created_at IS DISTINCT FROM OLD.created_at THEN\n                RAISE EXCEPTION 'when a judge_lease was written never changes' USING ERRCODE = 'check_violation', TABLE = 'judge_lease', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'judge_lease_created_at_readonly';\n            END IF;\n            NEW.updated_at = now();\n            RETURN NEW;\n        ",
                    hash="72db07255f0e78837261e107cb0f4940f223d032",
                    ignore_func_name="SET search_path = public, pg_temp",
                    operation="UPDATE",
                    pgid="pgtrigger_touch_02f72",
                    table="judge_lease",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="judgelease",
            trigger=pgtrigger.compiler.Trigger(
                name="no_delete",
                sql=audit.triggers.GuardSql(
                    func="RAISE EXCEPTION 'rows of judge_lease are never deleted' USING ERRCODE = 'check_violation', TABLE = 'judge_lease', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'judge_lease_no_delete';",
                    hash="ce922e2a9f3d259085150db23b3e28047507ed3c",
                    ignore_func_name="SET search_path = public, pg_temp",
                    operation="DELETE",
                    pgid="pgtrigger_no_delete_19be4",
                    table="judge_lease",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="judgelease",
            trigger=pgtrigger.compiler.Trigger(
                name="no_truncate",
                sql=audit.triggers.GuardSql(
                    func="\n            IF NOT EXISTS (\n                SELECT FROM pg_database\n                WHERE datname = current_database() AND shobj_description(oid, 'pg_database') = 'Gatehouse test database: may be emptied'\n            ) THEN\n                RAISE EXCEPTION 'judge_lease is never truncated' USING ERRCODE = 'check_violation', TABLE = 'judge_lease', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'judge_lease_no_truncate';\n            END IF;\n            RETURN NULL;\n        ",
                    hash="38e74e2133ed858ee890d4f5e3943c58efc45f9c",
                    ignore_func_name="SET search_path = public, pg_temp",
                    level="STATEMENT",
                    operation="TRUNCATE",
                    pgid="pgtrigger_no_truncate_877df",
                    table="judge_lease",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="judgelease",
            trigger=pgtrigger.compiler.Trigger(
                name="audit_insert",
                sql=audit.triggers.GuardSql(
                    func="\n            IF current_user = 'gatehouse_app' THEN\n                RETURN NULL;\n            END IF;\n            INSERT INTO audit_log (trace_id, actor_type, actor_id, entity_type, entity_id, action, tool_name, severity,\n                                   campaign_id, changes, created_at)\n            SELECT n_artifact_task.trace_id, 'system', 'sql:' || session_user, 'judge_lease', n.judge_lease_id::text, 'create', 'sql',\n                   'info', n_artifact.campaign_id, c.changes, clock_timestamp()\n            FROM new_rows n LEFT JOIN \"artifact\" n_artifact ON n_artifact.artifact_id = n.artifact_id LEFT JOIN \"task\" n_artifact_task ON n_artifact_task.task_id = n_artifact.task_id\n            CROSS JOIN LATERAL (SELECT audit_changes('{}'::jsonb, to_jsonb(n), ARRAY[]::text[], ARRAY['updated_at']::text[]) AS changes) c\n            WHERE c.changes IS NOT NULL;\n            RETURN NULL;\n        ",
                    hash="eb276494dc37e5543cb045145477eab89e5449ce",
                    ignore_func_name="SET search_path = public, pg_temp",
                    level="STATEMENT",
                    operation="INSERT",
                    pgid="pgtrigger_audit_insert_9b3d6",
                    referencing="REFERENCING NEW TABLE AS new_rows ",
                    table="judge_lease",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="judgelease",
            trigger=pgtrigger.compiler.Trigger(
                name="audit_update",
                sql=audit.triggers.GuardSql(
                    func="\n            IF current_user = 'gatehouse_app' THEN\n                RETURN NULL;\n            END IF;\n            INSERT INTO audit_log (trace_id, actor_type, actor_id, entity_type, entity_id, action, tool_name, severity,\n                                   campaign_id, changes, created_at)\n            SELECT n_artifact_task.trace_id, 'system', 'sql:' || session_user, 'judge_lease', n.judge_lease_id::text, 'update', 'sql',\n                   'info', n_artifact.campaign_id, c.changes, clock_timestamp()\n            FROM new_rows n JOIN old_rows o ON o.judge_lease_id = n.judge_lease_id LEFT JOIN \"artifact\" n_artifact ON n_artifact.artifact_id = n.artifact_id LEFT JOIN \"task\" n_artifact_task ON n_artifact_task.task_id = n_artifact.task_id\n            CROSS JOIN LATERAL (SELECT audit_changes(to_jsonb(o), to_jsonb(n), ARRAY[]::text[], ARRAY['updated_at']::text[]) AS changes) c\n            WHERE c.changes IS NOT NULL;\n            RETURN NULL;\n        ",
                    hash="e5827808dde4943515036303a098629b44c2764f",
                    ignore_func_name="SET search_path = public, pg_temp",
                    level="STATEMENT",
                    operation="UPDATE",
                    pgid="pgtrigger_audit_update_89931",
                    referencing="REFERENCING OLD TABLE AS old_rows  NEW TABLE AS new_rows ",
                    table="judge_lease",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="reviewdecision",
            trigger=pgtrigger.compiler.Trigger(
                name="immutable",
                sql=audit.triggers.GuardSql(
                    func="RAISE EXCEPTION 'rows of review_decision never change' USING ERRCODE = 'check_violation', TABLE = 'review_decision', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'review_decision_immutable';",
                    hash="0747b7ac7f6bc0ef44a32508c2ae09ed7b67c0ee",
                    ignore_func_name="SET search_path = public, pg_temp",
                    operation="UPDATE",
                    pgid="pgtrigger_immutable_9b567",
                    table="review_decision",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="reviewdecision",
            trigger=pgtrigger.compiler.Trigger(
                name="no_delete",
                sql=audit.triggers.GuardSql(
                    func="RAISE EXCEPTION 'rows of review_decision are never deleted' USING ERRCODE = 'check_violation', TABLE = 'review_decision', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'review_decision_no_delete';",
                    hash="f83ad03892efab2d0a52c45704277455b09f359b",
                    ignore_func_name="SET search_path = public, pg_temp",
                    operation="DELETE",
                    pgid="pgtrigger_no_delete_da4ba",
                    table="review_decision",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="reviewdecision",
            trigger=pgtrigger.compiler.Trigger(
                name="no_truncate",
                sql=audit.triggers.GuardSql(
                    func="\n            IF NOT EXISTS (\n                SELECT FROM pg_database\n                WHERE datname = current_database() AND shobj_description(oid, 'pg_database') = 'Gatehouse test database: may be emptied'\n            ) THEN\n                RAISE EXCEPTION 'review_decision is never truncated' USING ERRCODE = 'check_violation', TABLE = 'review_decision', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'review_decision_no_truncate';\n            END IF;\n            RETURN NULL;\n        ",
                    hash="3a6d0f23e4b24c039677d73e9fd18ae0a1555eb3",
                    ignore_func_name="SET search_path = public, pg_temp",
                    level="STATEMENT",
                    operation="TRUNCATE",
                    pgid="pgtrigger_no_truncate_15715",
                    table="review_decision",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="reviewdecision",
            trigger=pgtrigger.compiler.Trigger(
                name="audit_insert",
                sql=audit.triggers.GuardSql(
                    func="\n            IF current_user = 'gatehouse_app' THEN\n                RETURN NULL;\n            END IF;\n            INSERT INTO audit_log (trace_id, actor_type, actor_id, entity_type, entity_id, action, tool_name, severity,\n                                   campaign_id, changes, created_at)\n            SELECT n.trace_id, 'system', 'sql:' || session_user, 'review_decision', n.review_id::text, 'create', 'sql',\n                   'info', n_task.campaign_id, c.changes, clock_timestamp()\n            FROM new_rows n LEFT JOIN \"task\" n_task ON n_task.task_id = n.task_id\n            CROSS JOIN LATERAL (SELECT audit_changes('{}'::jsonb, to_jsonb(n), ARRAY[]::text[], ARRAY['updated_at']::text[]) AS changes) c\n            WHERE c.changes IS NOT NULL;\n            RETURN NULL;\n        ",
                    hash="cee6bd2234e45790ae21163e0e1d07638180089f",
                    ignore_func_name="SET search_path = public, pg_temp",
                    level="STATEMENT",
                    operation="INSERT",
                    pgid="pgtrigger_audit_insert_28acf",
                    referencing="REFERENCING NEW TABLE AS new_rows ",
                    table="review_decision",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="reviewdecision",
            trigger=pgtrigger.compiler.Trigger(
                name="binding",
                sql=audit.triggers.GuardSql(
                    declare="DECLARE seen record; maker record;",
                    func="\n                    SELECT content_sha256, task_id INTO seen FROM artifact WHERE artifact_id = NEW.artifact_id;\n                    SELECT t.trace_id, t.agent_id, t.created_by, a.owner_id INTO maker\n                    FROM task t JOIN agent a ON a.agent_id = t.agent_id WHERE t.task_id = NEW.task_id;\n                    IF COALESCE(trim(NEW.artifact_sha256), '') = '' THEN\n                        -- An unknown artifact or task is left to the foreign keys, which say so by name.\n                        NEW.artifact_sha256 = COALESCE(seen.content_sha256, repeat('0', 64));\n                    ELSIF NEW.artifact_sha256 <> seen.content_sha256 THEN\n                        RAISE EXCEPTION 'this is not the content that was made' USING ERRCODE = 'check_violation', TABLE = 'review_decision', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'review_decision_artifact_sha256_match';\n                    END IF;\n                    IF seen.task_id <> NEW.task_id AND maker.trace_id IS NOT NULL THEN\n                        RAISE EXCEPTION 'a decision is on the task of its artifact' USING ERRCODE = 'check_violation', TABLE = 'review_decision', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'review_decision_task_of_artifact';\n                    END IF;\n                    NEW.trace_id = COALESCE(maker.trace_id, repeat('0', 32));\n                    IF NEW.decision = 'approve' AND NEW.reviewer_id IN (\n                            maker.agent_id, 'user:' || maker.created_by, 'user:' || maker.owner_id) THEN\n                        RAISE EXCEPTION 'nobody approves what they made' USING ERRCODE = 'check_violation', TABLE = 'review_decision', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'review_decision_not_by_maker';\n                    END IF;\n                    RETURN NEW;\n                ",
                    hash="f91c9b847bb755a83dae8b5027508563a67ae205",
                    ignore_func_name="SECURITY DEFINER SET search_path = public, pg_temp",
                    operation="INSERT",
                    pgid="pgtrigger_binding_95265",
                    table="review_decision",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="publishrecord",
            trigger=pgtrigger.compiler.Trigger(
                name="touch",
                sql=audit.triggers.GuardSql(
                    func="\n            IF NEW.publish_id IS DISTINCT FROM OLD.publish_id THEN\n                RAISE EXCEPTION 'the key of a publish_record never changes' USING ERRCODE = 'check_violation', TABLE = 'publish_record', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'publish_record_key_readonly';\n            END IF;\n            IF NEW.created_at IS DISTINCT FROM OLD.created_at THEN\n                RAISE EXCEPTION 'when a publish_record was written never changes' USING ERRCODE = 'check_violation', TABLE = 'publish_record', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'publish_record_created_at_readonly';\n            END IF;\n            NEW.updated_at = now();\n            RETURN NEW;\n        ",
                    hash="82806fbbddf3bd679aae3ca9740754c9c6d9fd5b",
                    ignore_func_name="SET search_path = public, pg_temp",
                    operation="UPDATE",
                    pgid="pgtrigger_touch_fdbfb",
                    table="publish_record",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="publishrecord",
            trigger=pgtrigger.compiler.Trigger(
                name="no_delete",
                sql=audit.triggers.GuardSql(
                    func="RAISE EXCEPTION 'rows of publish_record are never deleted' USING ERRCODE = 'check_violation', TABLE = 'publish_record', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'publish_record_no_delete';",
                    hash="7503539a0ed0010c509101f20db4cb8f9640cdb2",
                    ignore_func_name="SET search_path = public, pg_temp",
                    operation="DELETE",
                    pgid="pgtrigger_no_delete_9922a",
                    table="publish_record",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="publishrecord",
            trigger=pgtrigger.compiler.Trigger(
                name="no_truncate",
                sql=audit.triggers.GuardSql(
                    func="\n            IF NOT EXISTS (\n                SELECT FROM pg_database\n                WHERE datname = current_database() AND shobj_description(oid, 'pg_database') = 'Gatehouse test database: may be emptied'\n            ) THEN\n                RAISE EXCEPTION 'publish_record is never truncated' USING ERRCODE = 'check_violation', TABLE = 'publish_record', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'publish_record_no_truncate';\n            END IF;\n            RETURN NULL;\n        ",
                    hash="42636a74845b74c079f5eb8e6da1aedb4845659e",
                    ignore_func_name="SET search_path = public, pg_temp",
                    level="STATEMENT",
                    operation="TRUNCATE",
                    pgid="pgtrigger_no_truncate_c7597",
                    table="publish_record",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="publishrecord",
            trigger=pgtrigger.compiler.Trigger(
                name="audit_insert",
                sql=audit.triggers.GuardSql(
                    func="\n            IF current_user = 'gatehouse_app' THEN\n                RETURN NULL;\n            END IF;\n            INSERT INTO audit_log (trace_id, actor_type, actor_id, entity_type, entity_id, action, tool_name, severity,\n                                   campaign_id, changes, created_at)\n            SELECT n_artifact_task.trace_id, 'system', 'sql:' || session_user, 'publish_record', n.publish_id::text, 'create', 'sql',\n                   'info', n.campaign_id, c.changes, clock_timestamp()\n            FROM new_rows n LEFT JOIN \"artifact\" n_artifact ON n_artifact.artifact_id = n.artifact_id LEFT JOIN \"task\" n_artifact_task ON n_artifact_task.task_id = n_artifact.task_id\n            CROSS JOIN LATERAL (SELECT audit_changes('{}'::jsonb, to_jsonb(n), ARRAY[]::text[], ARRAY['updated_at']::text[]) AS changes) c\n            WHERE c.changes IS NOT NULL;\n            RETURN NULL;\n        ",
                    hash="24a03cd644bc2b0bb3336124a5c2a3fc6895d914",
                    ignore_func_name="SET search_path = public, pg_temp",
                    level="STATEMENT",
                    operation="INSERT",
                    pgid="pgtrigger_audit_insert_3b728",
                    referencing="REFERENCING NEW TABLE AS new_rows ",
                    table="publish_record",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="publishrecord",
            trigger=pgtrigger.compiler.Trigger(
                name="audit_update",
                sql=audit.triggers.GuardSql(
                    func="\n            IF current_user = 'gatehouse_app' THEN\n                RETURN NULL;\n            END IF;\n            INSERT INTO audit_log (trace_id, actor_type, actor_id, entity_type, entity_id, action, tool_name, severity,\n                                   campaign_id, changes, created_at)\n            SELECT n_artifact_task.trace_id, 'system', 'sql:' || session_user, 'publish_record', n.publish_id::text, 'update', 'sql',\n                   'info', n.campaign_id, c.changes, clock_timestamp()\n            FROM new_rows n JOIN old_rows o ON o.publish_id = n.publish_id LEFT JOIN \"artifact\" n_artifact ON n_artifact.artifact_id = n.artifact_id LEFT JOIN \"task\" n_artifact_task ON n_artifact_task.task_id = n_artifact.task_id\n            CROSS JOIN LATERAL (SELECT audit_changes(to_jsonb(o), to_jsonb(n), ARRAY[]::text[], ARRAY['updated_at']::text[]) AS changes) c\n            WHERE c.changes IS NOT NULL;\n            RETURN NULL;\n        ",
                    hash="9c5bde60b3753f630e6f3aefb145a76b63f1eadc",
                    ignore_func_name="SET search_path = public, pg_temp",
                    level="STATEMENT",
                    operation="UPDATE",
                    pgid="pgtrigger_audit_update_74a6b",
                    referencing="REFERENCING OLD TABLE AS old_rows  NEW TABLE AS new_rows ",
                    table="publish_record",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="publishrecord",
            trigger=pgtrigger.compiler.Trigger(
                name="transition",
                sql=audit.triggers.GuardSql(
                    func="\n            IF NEW.status IS NULL OR NOT NEW.status = ANY (ARRAY['failed', 'published', 'queued']::text[]) THEN\n                RETURN NEW;\n            END IF;\n            IF TG_OP = 'INSERT' THEN\n                IF NOT NEW.status = ANY (ARRAY['queued']::text[]) THEN\n                    RAISE EXCEPTION 'this publish record does not begin as %', NEW.status USING ERRCODE = 'check_violation', TABLE = 'publish_record', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'publish_record_status_transition';\n                END IF;\n            ELSIF NEW.status <> OLD.status AND NOT OLD.status || '>' || NEW.status = ANY (ARRAY['queued>failed', 'queued>published']::text[]) THEN\n                RAISE EXCEPTION 'this publish record does not go from % to %', OLD.status, NEW.status USING ERRCODE = 'check_violation', TABLE = 'publish_record', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'publish_record_status_transition';\n            END IF;\n            RETURN NEW;\n        ",
                    hash="7ebe5a9ab60c4f07dba82e119e88f7f6b3a6d18b",
                    ignore_func_name="SET search_path = public, pg_temp",
                    operation='INSERT OR UPDATE OF "status"',
                    pgid="pgtrigger_transition_d1184",
                    table="publish_record",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="publishrecord",
            trigger=pgtrigger.compiler.Trigger(
                name="binding",
                sql=audit.triggers.GuardSql(
                    declare="DECLARE made record; allowed boolean;",
                    func="\n                    NEW.lease_epoch = NULL;\n                    SELECT content_sha256, content_ref, campaign_id INTO made\n                    FROM artifact WHERE artifact_id = NEW.artifact_id;\n                    IF COALESCE(trim(NEW.content_sha256), '') = '' THEN\n                        -- An unknown artifact is left to the foreign key, which says so by name.\n                        NEW.content_sha256 = COALESCE(made.content_sha256, repeat('0', 64));\n                    ELSIF NEW.content_sha256 <> made.content_sha256 THEN\n                        RAISE EXCEPTION 'this is not the content that was made' USING ERRCODE = 'check_violation', TABLE = 'publish_record', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'publish_record_content_sha256_match';\n                    END IF;\n                    IF made.campaign_id <> NEW.campaign_id\n                            AND EXISTS (SELECT FROM campaign WHERE campaign_id = NEW.campaign_id) THEN\n                        RAISE EXCEPTION 'a post has its artifact''s campaign' USING ERRCODE = 'check_violation', TABLE = 'publish_record', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'publish_record_campaign_of_artifact';\n                    END IF;\n                    \n    SELECT d.decision = 'approve' AND d.next_action = 'publish' AND d.artifact_id = NEW.artifact_id\n           AND d.artifact_sha256 = NEW.content_sha256\n           AND (SELECT count(*) = 0 OR bool_or(COALESCE(\n                    i.decision_id = d.review_id AND i.status = 'decided' AND i.undone_at IS NULL, false))\n                FROM review_item i WHERE i.artifact_id = NEW.artifact_id)\n    INTO allowed FROM review_decision d WHERE d.review_id = NEW.decision_id;\n\n                    IF NOT allowed OR (allowed AND NEW.content_sha256\n                            = encode(sha256(convert_to(made.content_ref, 'UTF8')), 'hex')) THEN\n                        RAISE EXCEPTION 'that decision does not allow this post' USING ERRCODE = 'check_violation', TABLE = 'publish_record', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'publish_record_decision_allows';\n                    END IF;\n                    RETURN NEW;\n                ",
                    hash="160327ff2787406ef3daa33ed672cc5c6daad1f2",
                    ignore_func_name="SECURITY DEFINER SET search_path = public, pg_temp",
                    operation="INSERT",
                    pgid="pgtrigger_binding_14c2e",
                    table="publish_record",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="publishrecord",
            trigger=pgtrigger.compiler.Trigger(
                name="unknown",
                sql=audit.triggers.GuardSql(
                    func="\n                    IF OLD.hold = 'outcome_unknown' AND NEW.hold IS DISTINCT FROM OLD.hold\n                            AND current_user = 'gatehouse_agent' THEN\n                        RAISE EXCEPTION 'a person says what became of this post' USING ERRCODE = 'check_violation', TABLE = 'publish_record', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'publish_record_outcome_unknown';\n                    END IF;\n                    RETURN NEW;\n                ",
                    hash="9595b6469baaded2370d487e72e3078be538af7c",
                    ignore_func_name="SET search_path = public, pg_temp",
                    operation="UPDATE",
                    pgid="pgtrigger_unknown_8e0ce",
                    table="publish_record",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="publishrecord",
            trigger=pgtrigger.compiler.Trigger(
                name="lease",
                sql=audit.triggers.GuardSql(
                    declare="DECLARE allowed boolean; present integer; runs boolean;",
                    func="\n                    IF (NEW.campaign_id, NEW.artifact_id, NEW.platform, NEW.content_sha256, NEW.decision_id,\n                        NEW.adopted) IS DISTINCT FROM\n                       (OLD.campaign_id, OLD.artifact_id, OLD.platform, OLD.content_sha256, OLD.decision_id,\n                        OLD.adopted) THEN\n                        RAISE EXCEPTION 'what is posted, and where, never changes' USING ERRCODE = 'check_violation', TABLE = 'publish_record', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'publish_record_what_is_fixed';\n                    END IF;\n                    IF OLD.status = 'published' AND (\n                            (OLD.platform_post_id IS NOT NULL\n                             AND NEW.platform_post_id IS DISTINCT FROM OLD.platform_post_id)\n                            OR (OLD.published_at IS NOT NULL\n                                AND NEW.published_at IS DISTINCT FROM OLD.published_at)) THEN\n                        RAISE EXCEPTION 'where and when a post appeared never changes' USING ERRCODE = 'check_violation', TABLE = 'publish_record', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'publish_record_what_is_fixed';\n                    END IF;\n                    IF NEW.lease_epoch IS DISTINCT FROM OLD.lease_epoch THEN\n                        RAISE EXCEPTION 'a post''s epoch is stamped, not written' USING ERRCODE = 'check_violation', TABLE = 'publish_record', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'publish_record_lease_epoch_stamped';\n                    END IF;\n                    IF NEW.lease_id IS DISTINCT FROM OLD.lease_id AND NEW.lease_id IS NOT NULL\n                            AND NEW.hold IS NOT NULL THEN\n                        RAISE EXCEPTION 'a post that is held is not handed out' USING ERRCODE = 'check_violation', TABLE = 'publish_record', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'publish_record_hold';\n                    END IF;\n                    IF NEW.status = 'published' AND OLD.status <> 'published' THEN\n                        SELECT c.epoch + s.epoch INTO present FROM campaign c CROSS JOIN system_control s\n                        WHERE c.campaign_id = NEW.campaign_id FOR KEY SHARE OF c, s;\n                        -- What a halt found in a publisher's hands may be out: a person who looked says so.\n                        IF OLD.lease_epoch < present AND OLD.hold IS DISTINCT FROM 'outcome_unknown' THEN\n                            RAISE EXCEPTION 'this post was handed out before a halt' USING ERRCODE = 'check_violation', TABLE = 'publish_record', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'publish_record_epoch_fence';\n                        END IF;\n                        \n    SELECT d.decision = 'approve' AND d.next_action = 'publish' AND d.artifact_id = NEW.artifact_id\n           AND d.artifact_sha256 = NEW.content_sha256\n           AND (SELECT count(*) = 0 OR bool_or(COALESCE(\n                    i.decision_id = d.review_id AND i.status = 'decided' AND i.undone_at IS NULL, false))\n                FROM review_item i WHERE i.artifact_id = NEW.artifact_id)\n    INTO allowed FROM review_decision d WHERE d.review_id = NEW.decision_id;\n\n                        IF NOT allowed THEN\n                            RAISE EXCEPTION 'the approval was taken back' USING ERRCODE = 'check_violation', TABLE = 'publish_record', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'publish_record_decision_allows';\n                        END IF;\n                    END IF;\n                    IF NEW.lease_id IS NOT NULL AND NEW.lease_id IS DISTINCT FROM OLD.lease_id THEN\n                        SELECT c.epoch + s.epoch, now(), (c.status = 'active' AND c.deleted_at IS NULL AND NOT s.halted\n           AND (c.start_time IS NULL OR c.start_time <= statement_timestamp())\n           AND (c.end_time IS NULL OR c.end_time > statement_timestamp())) INTO NEW.lease_epoch, NEW.claimed_at, runs\n                        FROM campaign c CROSS JOIN system_control s\n                        WHERE c.campaign_id = NEW.campaign_id FOR KEY SHARE OF c, s;\n                        IF NOT runs THEN\n                            RAISE EXCEPTION 'a post leaves only while its campaign runs' USING ERRCODE = 'check_violation', TABLE = 'publish_record', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'publish_record_campaign_runs';\n                        END IF;\n                        IF OLD.lease_id IS NOT NULL AND OLD.lease_expires_at > now() THEN\n                            RAISE EXCEPTION 'another publisher holds this post' USING ERRCODE = 'check_violation', TABLE = 'publish_record', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'publish_record_lease_is_held';\n                        END IF;\n                    ELSIF NEW.status <> OLD.status THEN\n                        NEW.lease_id = NULL;\n                        NEW.lease_expires_at = NULL;\n                    END IF;\n                    RETURN NEW;\n                ",
                    hash="4ff63abe6b29545b06238affbe1841f8101520eb",
                    ignore_func_name="SECURITY DEFINER SET search_path = public, pg_temp",
                    operation="UPDATE",
                    pgid="pgtrigger_lease_9e410",
                    table="publish_record",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="reviewitem",
            trigger=pgtrigger.compiler.Trigger(
                name="touch",
                sql=audit.triggers.GuardSql(
                    func="\n            IF NEW.review_item_id IS DISTINCT FROM OLD.review_item_id THEN\n                RAISE EXCEPTION 'the key of a review_item never changes' USING ERRCODE = 'check_violation', TABLE = 'review_item', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'review_item_key_readonly';\n            END IF;\n            IF NEW.created_at IS DISTINCT FROM OLD.created_at THEN\n                RAISE EXCEPTION 'when a review_item was written never changes' USING ERRCODE = 'check_violation', TABLE = 'review_item', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'review_item_created_at_readonly';\n            END IF;\n            NEW.updated_at = now();\n            RETURN NEW;\n        ",
                    hash="e7deead342306db42d4af03c3c303cc32304c97b",
                    ignore_func_name="SET search_path = public, pg_temp",
                    operation="UPDATE",
                    pgid="pgtrigger_touch_18763",
                    table="review_item",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="reviewitem",
            trigger=pgtrigger.compiler.Trigger(
                name="no_delete",
                sql=audit.triggers.GuardSql(
                    func="RAISE EXCEPTION 'rows of review_item are never deleted' USING ERRCODE = 'check_violation', TABLE = 'review_item', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'review_item_no_delete';",
                    hash="bb83857111d4c470e630a3e799a69bb1ce9bba7f",
                    ignore_func_name="SET search_path = public, pg_temp",
                    operation="DELETE",
                    pgid="pgtrigger_no_delete_abd11",
                    table="review_item",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="reviewitem",
            trigger=pgtrigger.compiler.Trigger(
                name="no_truncate",
                sql=audit.triggers.GuardSql(
                    func="\n            IF NOT EXISTS (\n                SELECT FROM pg_database\n                WHERE datname = current_database() AND shobj_description(oid, 'pg_database') = 'Gatehouse test database: may be emptied'\n            ) THEN\n                RAISE EXCEPTION 'review_item is never truncated' USING ERRCODE = 'check_violation', TABLE = 'review_item', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'review_item_no_truncate';\n            END IF;\n            RETURN NULL;\n        ",
                    hash="f29824abf049e5c69b48bcb4e9c4150536e18fae",
                    ignore_func_name="SET search_path = public, pg_temp",
                    level="STATEMENT",
                    operation="TRUNCATE",
                    pgid="pgtrigger_no_truncate_1d06c",
                    table="review_item",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="reviewitem",
            trigger=pgtrigger.compiler.Trigger(
                name="audit_insert",
                sql=audit.triggers.GuardSql(
                    func="\n            IF current_user = 'gatehouse_app' THEN\n                RETURN NULL;\n            END IF;\n            INSERT INTO audit_log (trace_id, actor_type, actor_id, entity_type, entity_id, action, tool_name, severity,\n                                   campaign_id, changes, created_at)\n            SELECT n_task.trace_id, 'system', 'sql:' || session_user, 'review_item', n.review_item_id::text, 'create', 'sql',\n                   'info', n.campaign_id, c.changes, clock_timestamp()\n            FROM new_rows n LEFT JOIN \"task\" n_task ON n_task.task_id = n.task_id\n            CROSS JOIN LATERAL (SELECT audit_changes('{}'::jsonb, to_jsonb(n), ARRAY[]::text[], ARRAY['claimed_until', 'updated_at']::text[]) AS changes) c\n            WHERE c.changes IS NOT NULL;\n            RETURN NULL;\n        ",
                    hash="35b53ed2c9b80a3e649a26f9a1bd18d9f05fb4b7",
                    ignore_func_name="SET search_path = public, pg_temp",
                    level="STATEMENT",
                    operation="INSERT",
                    pgid="pgtrigger_audit_insert_2c2a4",
                    referencing="REFERENCING NEW TABLE AS new_rows ",
                    table="review_item",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="reviewitem",
            trigger=pgtrigger.compiler.Trigger(
                name="audit_update",
                sql=audit.triggers.GuardSql(
                    func="\n            IF current_user = 'gatehouse_app' THEN\n                RETURN NULL;\n            END IF;\n            INSERT INTO audit_log (trace_id, actor_type, actor_id, entity_type, entity_id, action, tool_name, severity,\n                                   campaign_id, changes, created_at)\n            SELECT n_task.trace_id, 'system', 'sql:' || session_user, 'review_item', n.review_item_id::text, 'update', 'sql',\n                   'info', n.campaign_id, c.changes, clock_timestamp()\n            FROM new_rows n JOIN old_rows o ON o.review_item_id = n.review_item_id LEFT JOIN \"task\" n_task ON n_task.task_id = n.task_id\n            CROSS JOIN LATERAL (SELECT audit_changes(to_jsonb(o), to_jsonb(n), ARRAY[]::text[], ARRAY['claimed_until', 'updated_at']::text[]) AS changes) c\n            WHERE c.changes IS NOT NULL;\n            RETURN NULL;\n        ",
                    hash="3d9e79dcf490a300f0690394888f3f74f0a0baac",
                    ignore_func_name="SET search_path = public, pg_temp",
                    level="STATEMENT",
                    operation="UPDATE",
                    pgid="pgtrigger_audit_update_68780",
                    referencing="REFERENCING OLD TABLE AS old_rows  NEW TABLE AS new_rows ",
                    table="review_item",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="reviewitem",
            trigger=pgtrigger.compiler.Trigger(
                name="transition",
                sql=audit.triggers.GuardSql(
                    func="\n            IF NEW.status IS NULL OR NOT NEW.status = ANY (ARRAY['decided', 'open', 'withdrawn']::text[]) THEN\n                RETURN NEW;\n            END IF;\n            IF TG_OP = 'INSERT' THEN\n                IF NOT NEW.status = ANY (ARRAY['open']::text[]) THEN\n                    RAISE EXCEPTION 'this review item does not begin as %', NEW.status USING ERRCODE = 'check_violation', TABLE = 'review_item', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'review_item_status_transition';\n                END IF;\n            ELSIF NEW.status <> OLD.status AND NOT OLD.status || '>' || NEW.status = ANY (ARRAY['decided>open', 'open>decided', 'open>withdrawn']::text[]) THEN\n                RAISE EXCEPTION 'this review item does not go from % to %', OLD.status, NEW.status USING ERRCODE = 'check_violation', TABLE = 'review_item', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'review_item_status_transition';\n            END IF;\n            RETURN NEW;\n        ",
                    hash="2c4eb1920bd5168c828f0f4c74cb2d768cb68146",
                    ignore_func_name="SET search_path = public, pg_temp",
                    operation='INSERT OR UPDATE OF "status"',
                    pgid="pgtrigger_transition_b1628",
                    table="review_item",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="videoasset",
            trigger=pgtrigger.compiler.Trigger(
                name="touch",
                sql=audit.triggers.GuardSql(
                    func="\n            IF NEW.video_asset_id IS DISTINCT FROM OLD.video_asset_id THEN\n                RAISE EXCEPTION 'the key of a video_asset never changes' USING ERRCODE = 'check_violation', TABLE = 'video_asset', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'video_asset_key_readonly';\n            END IF;\n            IF NEW.created_at IS DISTINCT FROM OLD.created_at THEN\n                RAISE EXCEPTION 'when a video_asset was written never changes' USING ERRCODE = 'check_violation', TABLE = 'video_asset', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'video_asset_created_at_readonly';\n            END IF;\n            NEW.updated_at = now();\n            RETURN NEW;\n        ",
                    hash="8da443a65a6eff309dac8794e16fc37243c40dab",
                    ignore_func_name="SET search_path = public, pg_temp",
                    operation="UPDATE",
                    pgid="pgtrigger_touch_5d54a",
                    table="video_asset",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="videoasset",
            trigger=pgtrigger.compiler.Trigger(
                name="no_delete",
                sql=audit.triggers.GuardSql(
                    func="RAISE EXCEPTION 'rows of video_asset are never deleted' USING ERRCODE = 'check_violation', TABLE = 'video_asset', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'video_asset_no_delete';",
                    hash="f5d74c7fd83505caeec0705da39d9ae4a8a80918",
                    ignore_func_name="SET search_path = public, pg_temp",
                    operation="DELETE",
                    pgid="pgtrigger_no_delete_5ace1",
                    table="video_asset",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="videoasset",
            trigger=pgtrigger.compiler.Trigger(
                name="no_truncate",
                sql=audit.triggers.GuardSql(
                    func="\n            IF NOT EXISTS (\n                SELECT FROM pg_database\n                WHERE datname = current_database() AND shobj_description(oid, 'pg_database') = 'Gatehouse test database: may be emptied'\n            ) THEN\n                RAISE EXCEPTION 'video_asset is never truncated' USING ERRCODE = 'check_violation', TABLE = 'video_asset', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'video_asset_no_truncate';\n            END IF;\n            RETURN NULL;\n        ",
                    hash="89004dada7ebcbd21c8bcb3fd09f936cc3ce580d",
                    ignore_func_name="SET search_path = public, pg_temp",
                    level="STATEMENT",
                    operation="TRUNCATE",
                    pgid="pgtrigger_no_truncate_b2f60",
                    table="video_asset",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="videoasset",
            trigger=pgtrigger.compiler.Trigger(
                name="audit_insert",
                sql=audit.triggers.GuardSql(
                    func="\n            IF current_user = 'gatehouse_app' THEN\n                RETURN NULL;\n            END IF;\n            INSERT INTO audit_log (trace_id, actor_type, actor_id, entity_type, entity_id, action, tool_name, severity,\n                                   campaign_id, changes, created_at)\n            SELECT n_task.trace_id, 'system', 'sql:' || session_user, 'video_asset', n.video_asset_id::text, 'create', 'sql',\n                   'info', n_task.campaign_id, c.changes, clock_timestamp()\n            FROM new_rows n LEFT JOIN \"task\" n_task ON n_task.task_id = n.task_id\n            CROSS JOIN LATERAL (SELECT audit_changes('{}'::jsonb, to_jsonb(n), ARRAY[]::text[], ARRAY['updated_at']::text[]) AS changes) c\n            WHERE c.changes IS NOT NULL;\n            RETURN NULL;\n        ",
                    hash="e496c904277a1299a5ca26544fa7f96b4c306230",
                    ignore_func_name="SET search_path = public, pg_temp",
                    level="STATEMENT",
                    operation="INSERT",
                    pgid="pgtrigger_audit_insert_7dc8b",
                    referencing="REFERENCING NEW TABLE AS new_rows ",
                    table="video_asset",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="videoasset",
            trigger=pgtrigger.compiler.Trigger(
                name="audit_update",
                sql=audit.triggers.GuardSql(
                    func="\n            IF current_user = 'gatehouse_app' THEN\n                RETURN NULL;\n            END IF;\n            INSERT INTO audit_log (trace_id, actor_type, actor_id, entity_type, entity_id, action, tool_name, severity,\n                                   campaign_id, changes, created_at)\n            SELECT n_task.trace_id, 'system', 'sql:' || session_user, 'video_asset', n.video_asset_id::text, 'update', 'sql',\n                   'info', n_task.campaign_id, c.changes, clock_timestamp()\n            FROM new_rows n JOIN old_rows o ON o.video_asset_id = n.video_asset_id LEFT JOIN \"task\" n_task ON n_task.task_id = n.task_id\n            CROSS JOIN LATERAL (SELECT audit_changes(to_jsonb(o), to_jsonb(n), ARRAY[]::text[], ARRAY['updated_at']::text[]) AS changes) c\n            WHERE c.changes IS NOT NULL;\n            RETURN NULL;\n        ",
                    hash="ce132c74f4e1b84dcdd8da3eb8309ea9f643a510",
                    ignore_func_name="SET search_path = public, pg_temp",
                    level="STATEMENT",
                    operation="UPDATE",
                    pgid="pgtrigger_audit_update_0c2fb",
                    referencing="REFERENCING OLD TABLE AS old_rows  NEW TABLE AS new_rows ",
                    table="video_asset",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="videoasset",
            trigger=pgtrigger.compiler.Trigger(
                name="transition",
                sql=audit.triggers.GuardSql(
                    func="\n            IF NEW.status IS NULL OR NOT NEW.status = ANY (ARRAY['archived', 'failed', 'pending', 'ready', 'rendering']::text[]) THEN\n                RETURN NEW;\n            END IF;\n            IF TG_OP = 'INSERT' THEN\n                IF NOT NEW.status = ANY (ARRAY['pending']::text[]) THEN\n                    RAISE EXCEPTION 'this video asset does not begin as %', NEW.status USING ERRCODE = 'check_violation', TABLE = 'video_asset', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'video_asset_status_transition';\n                END IF;\n            ELSIF NEW.status <> OLD.status AND NOT OLD.status || '>' || NEW.status = ANY (ARRAY['pending>failed', 'pending>rendering', 'ready>archived', 'rendering>failed', 'rendering>ready']::text[]) THEN\n                RAISE EXCEPTION 'this video asset does not go from % to %', OLD.status, NEW.status USING ERRCODE = 'check_violation', TABLE = 'video_asset', SCHEMA = TG_TABLE_SCHEMA, CONSTRAINT = 'video_asset_status_transition';\n            END IF;\n            RETURN NEW;\n        ",
                    hash="98443551deb05458be7ab68c632a99d6959f18cd",
                    ignore_func_name="SET search_path = public, pg_temp",
                    operation='INSERT OR UPDATE OF "status"',
                    pgid="pgtrigger_transition_abc36",
                    table="video_asset",
                    when="BEFORE",
                ),
            ),
        ),
    ]
