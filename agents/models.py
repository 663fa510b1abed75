"""The agents, and the tokens that they carry.

A lower room than campaigns, so that the campaign an agent belongs to is named by a string.
"""

from collections.abc import Sequence

from django.conf import settings
from django.db import models

from agents.choices import AGENT_INITIAL, AGENT_TRANSITIONS, AgentStatus, TokenRole
from audit.base import (
    AuditedModel,
    AuditedQuerySet,
    AuditSpec,
    CreatedAtField,
    IdField,
    Sha256Field,
    UpdatedAtField,
    called,
    one_of,
    times_within_reach,
)
from audit.choices import EntityType
from audit.triggers import MUTABLE, Transitions


class AgentQuerySet(AuditedQuerySet["Agent"]):
    def select_for_update(
        self, nowait: bool = False, skip_locked: bool = False, of: Sequence[str] = (), no_key: bool = True
    ) -> "AgentQuerySet":
        """Beside those who hold its key: a busy fleet, which plans for it and measures, would keep a verb waiting."""
        return super().select_for_update(nowait, skip_locked, of, no_key)


class Agent(AuditedModel):
    """An autonomous agent under its natural key, as its makers call it."""

    agent_id = models.TextField(primary_key=True, help_text="The agent's own name, such as writer-4. Never changes.")
    display_name = models.TextField(null=True, blank=True, help_text="What people call it.")
    persona_ref = models.TextField(null=True, blank=True, help_text="Where its persona is described (soul.md).")
    status = models.TextField(choices=AgentStatus, help_text="Only active agents are given work.")
    created_at = CreatedAtField()
    updated_at = UpdatedAtField()
    character_reference_id = models.TextField(null=True, blank=True, help_text="The look it keeps across videos.")
    campaign = models.ForeignKey(
        "campaigns.Campaign",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="agents",
        db_index=False,
        help_text="The one campaign it belongs to; empty when it serves several.",
    )
    agent_group = models.TextField(null=True, blank=True, help_text="A name for agents that are compared together.")
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="owned_agents",
        db_index=False,
        help_text="The person who answers for it, and who therefore approves none of its work.",
    )

    audit = AuditSpec(EntityType.AGENT, campaign="campaign_id")
    objects = AgentQuerySet.as_manager()  # type: ignore[misc]

    class Meta:
        db_table = "agent"
        constraints = [one_of("status", "agent", AgentStatus), times_within_reach("agent", "created_at", "updated_at")]
        indexes = [models.Index(fields=["campaign"], name="idx_agent_campaign")]
        triggers = [*MUTABLE, Transitions(initial=AGENT_INITIAL, transitions=AGENT_TRANSITIONS)]

    def __str__(self) -> str:
        return called(self.display_name or self.agent_id)


class ApiToken(AuditedModel):
    """A bearer token. Only its prefix and SHA-256 are kept; the token itself is shown once, when it is made."""

    api_token_id = IdField()
    name = models.TextField(help_text="What carries it; the audit log shows this name.")
    role = models.TextField(choices=TokenRole, help_text="The routes it reaches.")
    agent = models.ForeignKey(
        Agent, models.PROTECT, null=True, blank=True, db_index=False, help_text="The one agent it may act as, if any."
    )
    prefix = models.CharField(max_length=12, help_text="The first characters, to recognise it by.")
    token_sha256 = models.CharField(max_length=64, unique=True, editable=False, help_text="SHA-256 of the token.")
    expires_at = models.DateTimeField(null=True, blank=True, help_text="When it stops working; empty: never.")
    revoked_at = models.DateTimeField(null=True, blank=True, help_text="When somebody ended it.")
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False, help_text="When it was last seen.")
    created_at = CreatedAtField()
    updated_at = UpdatedAtField()

    audit = AuditSpec(
        EntityType.API_TOKEN,
        redact=frozenset({"token_sha256"}),
        ignore=frozenset({"updated_at", "last_used_at"}),
    )

    class Meta:
        db_table = "api_token"
        verbose_name = "API token"
        constraints = [
            one_of("role", "api_token", TokenRole),
            models.CheckConstraint(
                name="api_token_agent_id_check",
                condition=~models.Q(role=TokenRole.JUDGE) | models.Q(agent__isnull=False),
                violation_error_message="A judge's token is bound to its agent: nobody judges their own work.",
            ),
            times_within_reach("api_token", "expires_at", "revoked_at", "last_used_at"),
        ]
        triggers = MUTABLE

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"


class IdempotencyKey(models.Model):
    """The answer to a request that named itself, so that asking again gives the same answer and does nothing.

    Written in the transaction of the request's effect: one is never there without the other. Purged after 24 hours.
    """

    idempotency_key_id = IdField()
    api_token = models.ForeignKey(ApiToken, models.PROTECT, related_name="+", db_index=False)
    key = models.TextField(help_text="As the caller named the request.")
    request_sha256 = Sha256Field(help_text="SHA-256 of method, path and body: the same key is for the same request.")
    status = models.SmallIntegerField(help_text="The HTTP status of the answer.")
    answer = models.TextField(help_text="The body of the answer.")
    created_at = CreatedAtField()

    class Meta:
        db_table = "idempotency_key"
        constraints = [
            models.UniqueConstraint(fields=["api_token", "key"], name="idempotency_key_api_token_id_key_key")
        ]
        indexes = [models.Index(fields=["created_at"], name="idx_idempotency_key_created")]

    def __str__(self) -> str:
        return self.key
