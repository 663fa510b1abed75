"""Decisions on artifacts, and the items that wait for a person to take one."""

import pgtrigger
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone

from accounts.models import PersonKey, User
from agents.models import Agent
from audit.base import (
    AuditedModel,
    AuditedQuerySet,
    AuditSpec,
    CreatedAtField,
    IdField,
    Sha256Field,
    UpdatedAtField,
    called,
    json_shaped,
    one_of,
    sha256_shaped,
    times_within_reach,
)
from audit.choices import EntityType
from audit.context import TRACE_ID
from audit.exact_json import ExactJSONField
from audit.triggers import IMMUTABLE, MUTABLE, DefinerGuard, Transitions, refusal
from campaigns.models import Campaign, Task
from content.choices import (
    REVIEW_ITEM_INITIAL,
    REVIEW_ITEM_TRANSITIONS,
    Decision,
    NextAction,
    ReviewerType,
    ReviewItemStatus,
    ReviewReason,
)
from content.models.artifact import Artifact


class ReviewDecision(AuditedModel):
    """What a judge or a person decided about exactly this content. Never changes."""

    review_id = IdField()
    task = models.ForeignKey(Task, models.PROTECT, related_name="decisions", db_index=False)
    artifact = models.ForeignKey(Artifact, models.PROTECT, related_name="decisions", db_index=False)
    decision = models.TextField(choices=Decision, help_text="What was decided.")
    confidence_score = models.DecimalField(
        max_digits=4, decimal_places=3, help_text="From 0 to 1; a person's decision has 1.000."
    )
    reasons = ExactJSONField(help_text="Why.")
    policy_hits = ExactJSONField(null=True, blank=True, help_text="The policies that it touches.")
    next_action = models.TextField(choices=NextAction, help_text="What follows.")
    reviewer_type = models.TextField(choices=ReviewerType, help_text="Who decided.")
    reviewer_id = models.TextField(null=True, blank=True, help_text="user:<id>, or the judge's agent.")
    created_at = CreatedAtField()
    artifact_sha256 = Sha256Field(help_text="The content that was seen.")
    trace_id = models.TextField(validators=[RegexValidator(TRACE_ID)], help_text="The task's trace.")

    immutable = True
    audit = AuditSpec(EntityType.REVIEW_DECISION, trace="trace_id", campaign="task__campaign_id")

    class Meta:
        db_table = "review_decision"
        constraints = [
            one_of("decision", "review_decision", Decision),
            models.CheckConstraint(
                name="review_decision_confidence_score_check",
                condition=Q(confidence_score__gte=0, confidence_score__lte=1),
                violation_error_message="confidence_score must be between 0 and 1.",
            ),
            json_shaped("reasons", "review_decision"),
            json_shaped("policy_hits", "review_decision"),
            one_of("next_action", "review_decision", NextAction),
            sha256_shaped("artifact_sha256", "review_decision"),
            times_within_reach("review_decision", "created_at"),
            one_of("reviewer_type", "review_decision", ReviewerType),
        ]
        indexes = [
            models.Index(fields=["task"], name="idx_review_task"),
            models.Index(fields=["artifact"], name="idx_review_artifact"),
            models.Index(fields=["decision"], name="idx_review_decision"),
            models.Index(fields=["reviewer_type"], name="idx_review_reviewer_type"),
            # The newest decisions: the list of them, and how often people agree with judges of late.
            models.Index(fields=["created_at", "review_id"], name="idx_review_created"),
            # Who decided what: a person today, and what they can still take back; a judge when somebody searches.
            models.Index(fields=["reviewer_id", "created_at"], name="idx_review_person"),
        ]
        triggers = [
            *IMMUTABLE,
            DefinerGuard(
                name="binding",
                operation=pgtrigger.Insert,
                declare=[("seen", "record"), ("maker", "record")],
                func=f"""
                    SELECT content_sha256, task_id INTO seen FROM artifact WHERE artifact_id = NEW.artifact_id;
                    SELECT t.trace_id, t.agent_id, t.created_by, a.owner_id INTO maker
                    FROM task t JOIN agent a ON a.agent_id = t.agent_id WHERE t.task_id = NEW.task_id;
                    IF COALESCE(trim(NEW.artifact_sha256), '') = '' THEN
                        -- An unknown artifact or task is left to the foreign keys, which say so by name.
                        NEW.artifact_sha256 = COALESCE(seen.content_sha256, repeat('0', 64));
                    ELSIF NEW.artifact_sha256 <> seen.content_sha256 THEN
                        {refusal("review_decision", "artifact_sha256_match", "this is not the content that was made")}
                    END IF;
                    IF seen.task_id <> NEW.task_id AND maker.trace_id IS NOT NULL THEN
                        {refusal("review_decision", "task_of_artifact", "a decision is on the task of its artifact")}
                    END IF;
                    NEW.trace_id = COALESCE(maker.trace_id, repeat('0', 32));
                    IF NEW.decision = 'approve' AND NEW.reviewer_id IN (
                            maker.agent_id, 'user:' || maker.created_by, 'user:' || maker.owner_id) THEN
                        {refusal("review_decision", "not_by_maker", "nobody approves what they made")}
                    END IF;
                    RETURN NEW;
                """,
            ),
        ]

    def __str__(self) -> str:
        return called(f"{self.decision} by {self.reviewer_id or self.reviewer_type}")


class ReviewItemQuerySet(AuditedQuerySet["ReviewItem"]):
    def open(self) -> "ReviewItemQuerySet":
        return self.filter(status=ReviewItemStatus.OPEN)

    def free_for(self, person: User) -> "ReviewItemQuerySet":
        """What nobody else holds."""
        held = Q(claimed_by__isnull=False, claimed_until__gt=Now()) & ~Q(claimed_by=person)
        return self.exclude(held)

    def withdraw(self, action: str) -> "list[ReviewItem]":
        return self.open().change(action, status=ReviewItemStatus.WITHDRAWN, claimed_by=None, claimed_until=None)


class ReviewItem(AuditedModel):
    """An artifact that waits for a person, from the moment it is put before people until it is settled."""

    review_item_id = IdField()
    artifact = models.ForeignKey(Artifact, models.PROTECT, related_name="review_items", db_index=False)
    task = models.ForeignKey(Task, models.PROTECT, related_name="review_items", db_index=False)
    campaign = models.ForeignKey(Campaign, models.PROTECT, related_name="review_items", db_index=False)
    reason = models.TextField(choices=ReviewReason, help_text="Why it waits for a person.")
    status = models.TextField(choices=ReviewItemStatus, default=ReviewItemStatus.OPEN, db_default=ReviewItemStatus.OPEN)
    risk = models.DecimalField(
        max_digits=4, decimal_places=3, default=0, db_default=0, help_text="From 0 to 1; the riskiest is shown first."
    )
    opened_at = models.DateTimeField(default=timezone.now, help_text="Since when it waits.")
    due_at = models.DateTimeField(null=True, blank=True, help_text="When somebody should have decided.")
    overdue_at = models.DateTimeField(null=True, blank=True, editable=False, help_text="When it was found overdue.")
    claimed_by = PersonKey("claimed_by", "Who is looking at it.")
    claimed_until = models.DateTimeField(null=True, blank=True, help_text="When that claim ends by itself.")
    decision = models.ForeignKey(
        ReviewDecision, models.PROTECT, null=True, blank=True, related_name="review_items", db_index=False
    )
    level = models.SmallIntegerField(
        default=1, db_default=1, help_text="2: escalated to another person; 3: to the Administrators."
    )
    undone_at = models.DateTimeField(null=True, blank=True, help_text="When the decision was taken back.")
    undone_by = PersonKey("undone_by", "Who took it back.")
    version = models.IntegerField(default=0, db_default=0, help_text="Grows with each change; a stale form is told.")
    created_at = CreatedAtField()
    updated_at = UpdatedAtField()

    audit = AuditSpec(
        EntityType.REVIEW_ITEM,
        trace="task__trace_id",
        campaign="campaign_id",
        # Renewed every minute while somebody reads: who claimed it, and who let it go, is told once.
        ignore=frozenset({"updated_at", "claimed_until"}),
    )
    objects = ReviewItemQuerySet.as_manager()  # type: ignore[misc]

    class Meta:
        db_table = "review_item"
        permissions = [
            ("decide_reviewitem", "Can approve, reject and escalate what waits for a person"),
            ("decide_escalation", "Can decide what was escalated to the Administrators"),
        ]
        constraints = [
            one_of("reason", "review_item", ReviewReason),
            one_of("status", "review_item", ReviewItemStatus),
            models.CheckConstraint(name="review_item_risk_check", condition=Q(risk__gte=0, risk__lte=1)),
            models.CheckConstraint(name="review_item_level_check", condition=Q(level__in=[1, 2, 3])),
            models.UniqueConstraint(
                fields=["artifact"],
                condition=Q(status=ReviewItemStatus.OPEN),
                name="review_item_one_open_key",
                violation_error_message="This artifact already waits for a person.",
            ),
        ]
        indexes = [
            # The queue: what is open, riskiest first, then by deadline.
            models.Index(
                F("risk").desc(), F("due_at"), name="idx_review_item_open", condition=Q(status=ReviewItemStatus.OPEN)
            ),
            # What waits, and what is overdue, counted by reason and age.
            models.Index(
                fields=["due_at", "reason", "opened_at"],
                name="idx_review_item_waiting",
                condition=Q(status=ReviewItemStatus.OPEN),
            ),
            models.Index(fields=["task"], name="idx_review_item_task"),
            models.Index(fields=["campaign", "status"], name="idx_review_item_campaign"),
        ]
        triggers = [*MUTABLE, Transitions(initial=REVIEW_ITEM_INITIAL, transitions=REVIEW_ITEM_TRANSITIONS)]

    def __str__(self) -> str:
        return str(self.artifact)

    @property
    def is_open(self) -> bool:
        return self.status == ReviewItemStatus.OPEN

    def held_by_other(self, person: User) -> bool:
        """Whether somebody else is looking at it now."""
        until = self.claimed_until
        return until is not None and until > timezone.now() and self.claimed_by_id not in (None, person.pk)

    @property
    def is_overdue(self) -> bool:
        return self.is_open and self.due_at is not None and self.due_at < timezone.now()


class JudgeLease(AuditedModel):
    """Which judge has an artifact to judge, and until when; one row for each artifact that was ever handed out."""

    judge_lease_id = IdField()
    artifact = models.OneToOneField(Artifact, models.PROTECT, related_name="judge_lease", db_index=False)
    agent = models.ForeignKey(Agent, models.PROTECT, related_name="judge_leases", db_index=False)
    lease_id = models.UUIDField(help_text="Held by the judge that has it.")
    lease_expires_at = models.DateTimeField(help_text="When another judge may have it.")
    lease_epoch = models.IntegerField(help_text="The epoch (campaign's and system's) in which it began.")
    created_at = CreatedAtField()
    updated_at = UpdatedAtField()

    audit = AuditSpec(EntityType.JUDGE_LEASE, trace="artifact__task__trace_id", campaign="artifact__campaign_id")

    class Meta:
        db_table = "judge_lease"
        constraints = [times_within_reach("judge_lease", "lease_expires_at", "created_at", "updated_at")]
        triggers = MUTABLE

    def __str__(self) -> str:
        return f"{self.agent_id} judges {self.artifact_id}"
