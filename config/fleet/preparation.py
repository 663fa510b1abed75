"""What a fleet needs before it can work: agents, tokens, and campaigns to work for."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from agents.choices import AgentStatus, TokenRole
from agents.models import Agent, ApiToken
from agents.services import create_token, revoke_token
from audit.context import Actor, acting
from audit.errors import Conflict, Invalid
from campaigns.choices import CAMPAIGN_FINAL, CampaignStatus
from campaigns.models import Campaign

ACTOR = Actor.system("simulate_fleet")
PLATFORMS = ["agora", "plaza"]  # of the simulation; no post of anybody else's has them for its aim
CAMPAIGNS = {
    "Fleet exercise: morning": "Tell the town what the morning brings. Made up, to watch a fleet at work.",
    "Fleet exercise: night": "Tell the town what the night brings. Made up, to watch a fleet at work.",
}
BUDGET = 9_000_000  # birr
TOKENS_LAST = timedelta(days=7)


@dataclass
class Prepared:
    campaigns: list[Campaign]
    platforms: list[str]
    writers: list[str]
    members: list[tuple[TokenRole, str]] = field(default_factory=list)  # role and token of each
    tokens: list[ApiToken] = field(default_factory=list)

    def revoke(self) -> None:
        """Nobody needs them any more; one that somebody else has revoked is no reason to complain."""
        for token in self.tokens:
            with suppress(Conflict):
                revoke_token(token_id=token.pk, actor=ACTOR)


@transaction.atomic
def prepare(*, crew: Mapping[TokenRole, int], campaign_ids: Sequence[UUID]) -> Prepared:
    """Agents and campaigns are there for good; tokens are new ones for each fleet.

    Two workers share an agent, so that they reach for the same tasks.
    """
    campaigns = _given(campaign_ids) if campaign_ids else [_exercise(*about) for about in CAMPAIGNS.items()]
    writers = [_agent(f"fleet-writer-{n + 1}") for n in range(max(1, crew[TokenRole.WORKER] // 2))]
    platforms = sorted({platform for campaign in campaigns for platform in campaign.platforms})
    prepared = Prepared(campaigns, platforms, [agent.pk for agent in writers])
    for role, amount in crew.items():
        for n in range(amount):
            agent = writers[n % len(writers)] if role == TokenRole.WORKER else _agent(f"fleet-{role}-{n + 1}")
            token, text = create_token(
                name=f"fleet {role} {n + 1}",
                role=role,
                agent=agent,
                expires_at=timezone.now() + TOKENS_LAST,
                actor=ACTOR,
            )
            prepared.members.append((role, text))
            prepared.tokens.append(token)
    return prepared


def _agent(agent_id: str) -> Agent:
    with acting(ACTOR):
        name = agent_id.replace("-", " ").capitalize()
        agent, _ = Agent.objects.get_or_create(
            agent_id=agent_id, defaults={"display_name": name, "status": AgentStatus.ACTIVE, "agent_group": "fleet"}
        )
    return agent


def _given(campaign_ids: Sequence[UUID]) -> list[Campaign]:
    found = Campaign.objects.filter(deleted_at=None).in_bulk(campaign_ids)
    for campaign_id in campaign_ids:
        if campaign_id not in found:
            raise Invalid(f"There is no campaign {campaign_id}.")
        if not found[campaign_id].platforms:
            raise Invalid(f"Campaign “{found[campaign_id]}” has no platform to post to.")
    return list(found.values())


def _exercise(name: str, goal: str) -> Campaign:
    """The one of an earlier fleet while it has not ended, or a new one."""
    earlier = Campaign.objects.filter(name=name, deleted_at=None).exclude(status__in=CAMPAIGN_FINAL).first()
    if earlier is not None:
        return earlier
    with acting(ACTOR):
        return Campaign.objects.create(
            name=name,
            goal=goal,
            target_platforms=PLATFORMS,
            budget_cap_etb=BUDGET,
            status=CampaignStatus.ACTIVE,
            constraints={"review_policy": {"approve_threshold": 0.85, "blind_share": 0.05, "judge_minutes": 30}},
        )
