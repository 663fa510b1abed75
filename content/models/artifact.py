"""Artifacts, and the video assets rendered for them."""

import hashlib

import pgtrigger
from django.db import models

from agents.models import Agent
from audit.base import (
    AuditedModel,
    AuditSpec,
    CreatedAtField,
    IdField,
    Sha256Field,
    UpdatedAtField,
    at_least,
    called,
    json_shaped,
    one_of,
    sha256_shaped,
    times_within_reach,
)
from audit.choices import EntityType
from audit.exact_json import ExactJSONField
from audit.triggers import IMMUTABLE, MUTABLE, DefinerGuard, Transitions, refusal
from campaigns.models import Campaign, Task
from content.choices import VIDEO_INITIAL, VIDEO_TRANSITIONS, ArtifactType, VideoStatus


class Artifact(AuditedModel):
    """One version of what a task produced. Never changes: another version is another row."""

    artifact_id = IdField()
    task = models.ForeignKey(Task, models.PROTECT, related_name="artifacts", db_index=False)
    campaign = models.ForeignKey(Campaign, models.PROTECT, related_name="artifacts", db_index=False)
    artifact_type = models.TextField(choices=ArtifactType, help_text="What it is.")
    version = models.IntegerField(help_text="Counts from 1 along a task and its retries.")
    content_ref = models.TextField(help_text="A key in the content store, or an https or s3 reference.")
    metadata = ExactJSONField(null=True, blank=True, help_text="What the maker tells about it.")
    sources = ExactJSONField(null=True, blank=True, help_text="What it rests on.")
    created_at = CreatedAtField()
    content_sha256 = Sha256Field(
        help_text="SHA-256 of what is reviewed and published; of the reference when nobody gave the content's."
    )

    immutable = True
    audit = AuditSpec(EntityType.ARTIFACT, trace="task__trace_id", campaign="campaign_id")

    class Meta:
        db_table = "artifact"
        constraints = [
            one_of("artifact_type", "artifact", ArtifactType),
            at_least("version", "artifact", 1),
            sha256_shaped("content_sha256", "artifact"),
            times_within_reach("artifact", "created_at"),
            json_shaped("metadata", "artifact"),
            json_shaped("sources", "artifact"),
            models.UniqueConstraint(
                fields=["task", "artifact_type", "version"],
                name="artifact_task_id_artifact_type_version_key",
                violation_error_message="This task already has that version.",
            ),
        ]
        indexes = [
            models.Index(fields=["task"], name="idx_artifact_task"),
            models.Index(fields=["campaign"], name="idx_artifact_campaign"),
            models.Index(fields=["artifact_type"], name="idx_artifact_type"),
            models.Index(fields=["created_at", "artifact_id"], name="idx_artifact_created"),
        ]
        triggers = [
            *IMMUTABLE,
            DefinerGuard(
                name="fence",
                operation=pgtrigger.Insert,
                declare=[("begun", "integer"), ("present", "integer"), ("owner", "uuid")],
                func=f"""
                    IF COALESCE(trim(NEW.content_sha256), '') = '' THEN
                        NEW.content_sha256 = encode(sha256(convert_to(NEW.content_ref, 'UTF8')), 'hex');
                    END IF;
                    -- The key share lock makes a halt wait for this artifact, or this artifact see the halt.
                    SELECT t.lease_epoch, c.epoch + s.epoch, t.campaign_id INTO begun, present, owner
                    FROM task t JOIN campaign c ON c.campaign_id = t.campaign_id CROSS JOIN system_control s
                    WHERE t.task_id = NEW.task_id FOR KEY SHARE OF c, s;
                    IF begun < present THEN
                        {refusal("artifact", "epoch_fence", "this work began before a halt and no longer counts")}
                    END IF;
                    IF owner <> NEW.campaign_id
                            AND EXISTS (SELECT FROM campaign WHERE campaign_id = NEW.campaign_id) THEN
                        {refusal("artifact", "campaign_of_task", "an artifact belongs to the campaign of its task")}
                    END IF;
                    RETURN NEW;
                """,
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_artifact_type_display()} v{self.version} of {self.task}"

    @property
    def has_known_content(self) -> bool:
        """False when the hash is only the reference's: nobody can say that what was seen is what is there."""
        return self.content_sha256 != hashlib.sha256(self.content_ref.encode()).hexdigest()


class VideoAsset(AuditedModel):
    """A video on its way from request to rendered file."""

    video_asset_id = IdField()
    agent = models.ForeignKey(Agent, models.PROTECT, related_name="video_assets", db_index=False)
    task = models.ForeignKey(Task, models.PROTECT, related_name="video_assets", db_index=False)
    artifact = models.ForeignKey(
        Artifact, models.PROTECT, null=True, blank=True, related_name="video_assets", db_index=False
    )
    platform = models.TextField(help_text="Where it is to be shown.")
    tier = models.TextField(null=True, blank=True, help_text="The quality that was asked for.")
    character_reference_id = models.TextField(null=True, blank=True, help_text="The look that it keeps.")
    status = models.TextField(choices=VideoStatus, help_text="Where it stands.")
    metadata = ExactJSONField(null=True, blank=True, help_text="Duration, resolution, external_url and the like.")
    created_at = CreatedAtField()
    updated_at = UpdatedAtField()

    audit = AuditSpec(EntityType.VIDEO_ASSET, trace="task__trace_id", campaign="task__campaign_id")

    class Meta:
        db_table = "video_asset"
        constraints = [
            one_of("status", "video_asset", VideoStatus),
            json_shaped("metadata", "video_asset"),
            times_within_reach("video_asset", "created_at", "updated_at"),
        ]
        indexes = [
            models.Index(fields=["agent"], name="idx_video_asset_agent"),
            models.Index(fields=["task"], name="idx_video_asset_task"),
            models.Index(fields=["status"], name="idx_video_asset_status"),
            models.Index(fields=["created_at", "video_asset_id"], name="idx_video_asset_created"),
        ]
        triggers = [*MUTABLE, Transitions(initial=VIDEO_INITIAL, transitions=VIDEO_TRANSITIONS)]

    def __str__(self) -> str:
        return f"{called(self.platform)} video by {self.agent_id}"
