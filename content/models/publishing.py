"""Posts: what leaves for a platform, and what is already out."""

from datetime import datetime, timedelta

import pgtrigger
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Coalesce

from audit.base import (
    AuditedModel,
    AuditedQuerySet,
    AuditSpec,
    CreatedAtField,
    IdField,
    Sha256Field,
    UpdatedAtField,
    at_least,
    called,
    one_of,
    sha256_shaped,
    times_within_reach,
)
from audit.choices import EntityType
from audit.triggers import MUTABLE, DefinerGuard, Guard, Transitions, refusal
from campaigns.choices import TaskStatus
from campaigns.models import RUNS, Campaign
from content.choices import PUBLISH_INITIAL, PUBLISH_TRANSITIONS, DisclosureLevel, Hold, PublishStatus
from content.models.artifact import Artifact
from content.models.review import ReviewDecision

# A decision allows a post when it approves exactly this content for publishing and has not been taken back. Where
# people were asked, only what one of their items says now counts: not what they took back, nor what they replaced.
DECISION_ALLOWS = """
    SELECT d.decision = 'approve' AND d.next_action = 'publish' AND d.artifact_id = NEW.artifact_id
           AND d.artifact_sha256 = NEW.content_sha256
           AND (SELECT count(*) = 0 OR bool_or(COALESCE(
                    i.decision_id = d.review_id AND i.status = 'decided' AND i.undone_at IS NULL, false))
                FROM review_item i WHERE i.artifact_id = NEW.artifact_id)
    INTO allowed FROM review_decision d WHERE d.review_id = NEW.decision_id;
"""


MOST_STEPS = 60  # in which many posts are spread over a time


class PublishRecordQuerySet(AuditedQuerySet["PublishRecord"]):
    def live(self) -> "PublishRecordQuerySet":
        return self.exclude(status=PublishStatus.FAILED)

    def queued(self) -> "PublishRecordQuerySet":
        return self.filter(status=PublishStatus.QUEUED)

    def overdue(self, now: datetime) -> "PublishRecordQuerySet":
        """What would leave at once if its campaign ran."""
        return self.queued().filter(
            Q(scheduled_for=None) | Q(scheduled_for__lte=now),
            hold=None,
            lease_id=None,
            decision__isnull=False,
            artifact__task__status=TaskStatus.DONE,
        )

    def spread(self, action: str, start: datetime, period: timedelta) -> None:
        """Let them leave one after the other, evenly over `period`, those that were due first going first."""
        keys = list(self.order_by(Coalesce("scheduled_for", "created_at"), "publish_id").values_list("pk", flat=True))
        steps = min(len(keys), MOST_STEPS)
        for step in range(steps):
            together = keys[step * len(keys) // steps : (step + 1) * len(keys) // steps]
            self.filter(pk__in=together).change(action, scheduled_for=start + period * step / steps)

    def mark_unknown(self, action: str, why: str) -> "list[PublishRecord]":
        """What a publisher holds right now may still appear: a person has to look before anything is tried again."""
        return (
            self.queued()
            .filter(lease_id__isnull=False)
            .change(action, hold=Hold.OUTCOME_UNKNOWN, error=why, lease_id=None, lease_expires_at=None)
        )

    def drop(self, action: str, error: str) -> "list[PublishRecord]":
        """Queued posts that will not leave; those whose outcome is unknown stay for a person to settle."""
        waiting = self.queued().exclude(hold=Hold.OUTCOME_UNKNOWN)
        return waiting.change(action, status=PublishStatus.FAILED, error=error)


class PublishRecord(AuditedModel):
    """One artifact on one platform: queued, published or failed."""

    publish_id = IdField()
    campaign = models.ForeignKey(Campaign, models.PROTECT, related_name="publish_records", db_index=False)
    artifact = models.ForeignKey(Artifact, models.PROTECT, related_name="publish_records", db_index=False)
    platform = models.TextField(help_text="Where it goes.")
    platform_post_id = models.TextField(null=True, blank=True, help_text="What the platform calls it.")
    disclosure_level = models.TextField(choices=DisclosureLevel, help_text="What the audience is told of its making.")
    status = models.TextField(choices=PublishStatus, help_text="Where it stands.")
    published_at = models.DateTimeField(null=True, blank=True, help_text="When it appeared.")
    created_at = CreatedAtField()
    updated_at = UpdatedAtField()
    decision = models.ForeignKey(
        ReviewDecision,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="publish_records",
        db_index=False,
        help_text="The approval that allows it. Without one it is never handed to a publisher.",
    )
    adopted = models.BooleanField(default=False, db_default=False, help_text="Was out before Gatehouse met it.")
    content_sha256 = Sha256Field(help_text="The content that may be posted, and no other.")
    scheduled_for = models.DateTimeField(null=True, blank=True, help_text="Leaves no earlier than this.")
    hold = models.TextField(choices=Hold, null=True, blank=True, help_text="Why it does not leave.")
    error = models.TextField(null=True, blank=True, help_text="Why it failed.")
    attempt = models.IntegerField(default=0, db_default=0, help_text="0 for the first try; a retry is a new row.")
    lease_id = models.UUIDField(null=True, blank=True, editable=False, help_text="Held by the publisher that has it.")
    lease_expires_at = models.DateTimeField(null=True, blank=True, editable=False, help_text="When its lease ends.")
    lease_epoch = models.IntegerField(null=True, blank=True, editable=False, help_text="The epoch in which it began.")
    claimed_at = models.DateTimeField(null=True, blank=True, editable=False, help_text="When it was handed out.")

    audit = AuditSpec(EntityType.PUBLISH_RECORD, trace="artifact__task__trace_id", campaign="campaign_id")
    objects = PublishRecordQuerySet.as_manager()  # type: ignore[misc]

    class Meta:
        db_table = "publish_record"
        permissions = [
            (
                "settle_publishrecord",
                "Can settle posts whose outcome is unknown, hold posts, and queue failed ones again",
            )
        ]
        constraints = [
            one_of("disclosure_level", "publish_record", DisclosureLevel),
            one_of("status", "publish_record", PublishStatus),
            one_of("hold", "publish_record", Hold),
            at_least("attempt", "publish_record", 0),
            sha256_shaped("content_sha256", "publish_record"),
            times_within_reach(
                "publish_record",
                *("created_at", "updated_at", "published_at", "scheduled_for", "lease_expires_at", "claimed_at"),
            ),
            models.CheckConstraint(
                name="publish_record_lease_check",
                condition=Q(lease_id=None, lease_expires_at=None)
                | Q(lease_id__isnull=False, lease_expires_at__isnull=False, status=PublishStatus.QUEUED),
                violation_error_message="A lease exists only while a post is queued.",
            ),
            models.UniqueConstraint(
                fields=["artifact", "platform"],
                condition=~Q(status=PublishStatus.FAILED),
                name="publish_record_live_key",
                violation_error_message="This artifact is already queued or published on that platform.",
            ),
            models.UniqueConstraint(
                fields=["platform", "platform_post_id"],
                # A failed try may keep the id that its publisher told too late; it is no claim on the post.
                condition=Q(platform_post_id__isnull=False) & ~Q(status=PublishStatus.FAILED),
                name="publish_record_platform_post_key",
                violation_error_message="Another record already has that post of that platform.",
            ),
        ]
        indexes = [
            models.Index(fields=["campaign"], name="idx_publish_campaign"),
            models.Index(fields=["platform"], name="idx_publish_platform"),
            models.Index(fields=["status"], name="idx_publish_status"),
            models.Index(fields=["published_at"], name="idx_publish_time"),
            models.Index(fields=["artifact"], name="idx_publish_artifact"),
            models.Index(fields=["created_at", "publish_id"], name="idx_publish_created"),
            # A post by the id that people paste, without its platform; and the few that were adopted.
            models.Index(
                fields=["platform_post_id"], name="idx_publish_post", condition=Q(platform_post_id__isnull=False)
            ),
            models.Index(fields=["created_at", "publish_id"], name="idx_publish_adopted", condition=Q(adopted=True)),
            # What became of a campaign's posts, counted on its page. No claim touches it.
            models.Index(
                fields=["campaign", "status"],
                name="idx_publish_settled",
                condition=Q(status__in=[PublishStatus.PUBLISHED, PublishStatus.FAILED]),
            ),
            # What a publisher is handed next, campaign by campaign.
            models.Index(
                F("platform"),
                F("campaign_id"),
                Coalesce("scheduled_for", "created_at"),
                name="idx_publish_queued",
                condition=Q(status=PublishStatus.QUEUED, hold=None),
            ),
            models.Index(
                fields=["lease_expires_at"], name="idx_publish_lease", condition=Q(lease_expires_at__isnull=False)
            ),
            # What wants a person: counted on every page of the console.
            models.Index(
                fields=["updated_at"],
                name="idx_publish_unknown",
                condition=Q(status=PublishStatus.QUEUED, hold=Hold.OUTCOME_UNKNOWN),
            ),
            models.Index(fields=["updated_at"], name="idx_publish_failed", condition=Q(status=PublishStatus.FAILED)),
            # The ids that failed tries keep as evidence, for whoever searches by one.
            models.Index(
                fields=["platform_post_id"],
                name="idx_publish_evidence",
                condition=Q(status=PublishStatus.FAILED, platform_post_id__isnull=False),
            ),
        ]
        triggers = [
            *MUTABLE,
            Transitions(initial=PUBLISH_INITIAL, transitions=PUBLISH_TRANSITIONS),
            DefinerGuard(
                name="binding",
                operation=pgtrigger.Insert,
                declare=[("made", "record"), ("allowed", "boolean")],
                func=f"""
                    NEW.lease_epoch = NULL;
                    SELECT content_sha256, content_ref, campaign_id INTO made
                    FROM artifact WHERE artifact_id = NEW.artifact_id;
                    IF COALESCE(trim(NEW.content_sha256), '') = '' THEN
                        -- An unknown artifact is left to the foreign key, which says so by name.
                        NEW.content_sha256 = COALESCE(made.content_sha256, repeat('0', 64));
                    ELSIF NEW.content_sha256 <> made.content_sha256 THEN
                        {refusal("publish_record", "content_sha256_match", "this is not the content that was made")}
                    END IF;
                    IF made.campaign_id <> NEW.campaign_id
                            AND EXISTS (SELECT FROM campaign WHERE campaign_id = NEW.campaign_id) THEN
                        {refusal("publish_record", "campaign_of_artifact", "a post has its artifact''s campaign")}
                    END IF;
                    {DECISION_ALLOWS}
                    IF NOT allowed OR (allowed AND NEW.content_sha256
                            = encode(sha256(convert_to(made.content_ref, 'UTF8')), 'hex')) THEN
                        {refusal("publish_record", "decision_allows", "that decision does not allow this post")}
                    END IF;
                    RETURN NEW;
                """,
            ),
            Guard(
                name="unknown",
                operation=pgtrigger.Update,
                func=f"""
                    IF OLD.hold = 'outcome_unknown' AND NEW.hold IS DISTINCT FROM OLD.hold
                            AND current_user = 'gatehouse_agent' THEN
                        {refusal("publish_record", "outcome_unknown", "a person says what became of this post")}
                    END IF;
                    RETURN NEW;
                """,
            ),
            DefinerGuard(
                name="lease",
                operation=pgtrigger.Update,
                declare=[("allowed", "boolean"), ("present", "integer"), ("runs", "boolean")],
                func=f"""
                    IF (NEW.campaign_id, NEW.artifact_id, NEW.platform, NEW.content_sha256, NEW.decision_id,
                        NEW.adopted) IS DISTINCT FROM
                       (OLD.campaign_id, OLD.artifact_id, OLD.platform, OLD.content_sha256, OLD.decision_id,
                        OLD.adopted) THEN
                        {refusal("publish_record", "what_is_fixed", "what is posted, and where, never changes")}
                    END IF;
                    IF OLD.status = 'published' AND (
                            (OLD.platform_post_id IS NOT NULL
                             AND NEW.platform_post_id IS DISTINCT FROM OLD.platform_post_id)
                            OR (OLD.published_at IS NOT NULL
                                AND NEW.published_at IS DISTINCT FROM OLD.published_at)) THEN
                        {refusal("publish_record", "what_is_fixed", "where and when a post appeared never changes")}
                    END IF;
                    IF NEW.lease_epoch IS DISTINCT FROM OLD.lease_epoch THEN
                        {refusal("publish_record", "lease_epoch_stamped", "a post''s epoch is stamped, not written")}
                    END IF;
                    IF NEW.lease_id IS DISTINCT FROM OLD.lease_id AND NEW.lease_id IS NOT NULL
                            AND NEW.hold IS NOT NULL THEN
                        {refusal("publish_record", "hold", "a post that is held is not handed out")}
                    END IF;
                    IF NEW.status = 'published' AND OLD.status <> 'published' THEN
                        SELECT c.epoch + s.epoch INTO present FROM campaign c CROSS JOIN system_control s
                        WHERE c.campaign_id = NEW.campaign_id FOR KEY SHARE OF c, s;
                        -- What a halt found in a publisher's hands may be out: a person who looked says so.
                        IF OLD.lease_epoch < present AND OLD.hold IS DISTINCT FROM 'outcome_unknown' THEN
                            {refusal("publish_record", "epoch_fence", "this post was handed out before a halt")}
                        END IF;
                        {DECISION_ALLOWS}
                        IF NOT allowed THEN
                            {refusal("publish_record", "decision_allows", "the approval was taken back")}
                        END IF;
                    END IF;
                    IF NEW.lease_id IS NOT NULL AND NEW.lease_id IS DISTINCT FROM OLD.lease_id THEN
                        SELECT c.epoch + s.epoch, now(), {RUNS} INTO NEW.lease_epoch, NEW.claimed_at, runs
                        FROM campaign c CROSS JOIN system_control s
                        WHERE c.campaign_id = NEW.campaign_id FOR KEY SHARE OF c, s;
                        IF NOT runs THEN
                            {refusal("publish_record", "campaign_runs", "a post leaves only while its campaign runs")}
                        END IF;
                        IF OLD.lease_id IS NOT NULL AND OLD.lease_expires_at > now() THEN
                            {refusal("publish_record", "lease_is_held", "another publisher holds this post")}
                        END IF;
                    ELSIF NEW.status <> OLD.status THEN
                        NEW.lease_id = NULL;
                        NEW.lease_expires_at = NULL;
                    END IF;
                    RETURN NEW;
                """,
            ),
        ]

    def __str__(self) -> str:
        return called(f"{self.platform} {self.platform_post_id or self.get_status_display()}")
