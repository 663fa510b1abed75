"""What happens to an agent: suspended, reactivated, retired; and to a token: made, shown once, and ended."""

import hashlib
import secrets
from datetime import datetime, timedelta
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from agents.choices import AGENT_TRANSITIONS, VERB_TO, AgentStatus, AgentVerb, TokenRole
from agents.models import Agent, ApiToken, IdempotencyKey
from audit.base import LAST_INSTANT, new_id
from audit.choices import EntityType
from audit.context import Actor, acting
from audit.errors import Conflict, Invalid, written
from audit.models import AuditLog

PREFIX = 12  # characters that are kept: gh_ and nine that tell tokens apart, of 43
ENTROPY = 32  # bytes
KEYS_KEPT = timedelta(hours=24)
OVERLAP = timedelta(hours=24)  # how long a token lives on beside the one that takes its place
LONGEST_OVERLAP = timedelta(days=30)
ROTATE = "rotate"  # as the audit log calls it
PERMISSION = "agents.change_agent"


def suspend_agent(*, agent_id: str, actor: Actor, reason: str) -> Agent:
    """It is given no more work until it is reactivated; what it has in hand it may finish."""
    return control_agent(AgentVerb.SUSPEND, agent_id=agent_id, actor=actor, reason=reason)


def reactivate_agent(*, agent_id: str, actor: Actor, reason: str) -> Agent:
    """It is given work again."""
    return control_agent(AgentVerb.REACTIVATE, agent_id=agent_id, actor=actor, reason=reason)


def retire_agent(*, agent_id: str, actor: Actor, reason: str) -> Agent:
    """It is given no more work, for good; what it has in hand it may finish."""
    return control_agent(AgentVerb.RETIRE, agent_id=agent_id, actor=actor, reason=reason)


@transaction.atomic
def control_agent(verb: AgentVerb, *, agent_id: str, actor: Actor, reason: str) -> Agent:
    """The verb by its name. Why it was done is kept in the log: the agent's row has no place for it.

    A claim that began before counts: work in progress may finish, and nothing is taken from anybody.
    """
    actor.require(PERMISSION, to=f"{verb} agents")
    reason = written(reason, f"Say why you {verb} it; whoever looks at this agent will ask.")
    now, then = Agent.objects.filter(pk=agent_id).first(), VERB_TO[verb]
    if now is None:
        raise Invalid(f"There is no agent “{agent_id}”.")
    from_here = [status for status, following in AGENT_TRANSITIONS.items() if then in following]
    with acting(actor, reason=reason):
        changed = Agent.objects.filter(pk=agent_id, status__in=from_here).change(verb, status=then)
    if changed:
        return changed[0]
    now.refresh_from_db()
    words = " or ".join(str(status.label) for status in from_here)
    raise Conflict(f"Agent “{now}” is {now.get_status_display()}; {verb} is possible only when it is {words}.")


def possible_verbs(agent: Agent) -> list[AgentVerb]:
    """What can be done to the agent as it stands."""
    return [verb for verb in AgentVerb if VERB_TO[verb] in AGENT_TRANSITIONS[AgentStatus(agent.status)]]


@transaction.atomic
def create_token(
    *,
    name: str,
    role: str,
    agent: Agent | None = None,
    expires_at: datetime | None = None,
    token_id: UUID | None = None,
    actor: Actor,
) -> tuple[ApiToken, str]:
    """Make a token; returns it with its text, which is kept nowhere and can be shown this once.

    `token_id` names the request: asked again with the same one (a page that is loaded again sends its form again), it
    makes no second token.
    """
    actor.require("agents.add_apitoken", to="make tokens")
    name = name.strip()
    _check(name, role, agent, expires_at)
    key, text = token_id or new_id(), f"gh_{secrets.token_urlsafe(ENTROPY)}"
    try:
        with transaction.atomic(), acting(actor):
            token = ApiToken.objects.create(
                api_token_id=key,
                name=name,
                role=role,
                agent=agent,
                prefix=text[:PREFIX],
                token_sha256=token_hash(text),
                expires_at=expires_at,
            )
    except IntegrityError:
        made = ApiToken.objects.filter(pk=key).first()
        if made is None:
            raise
        raise Conflict(
            f"This has made the token “{made}” already, and that was shown then: nothing was made now. "
            "Revoke it if nobody kept it, and begin anew for another."
        ) from None
    return token, text


@transaction.atomic
def rotate_token(
    *,
    token_id: UUID,
    overlap: timedelta = OVERLAP,
    expires_at: datetime | None = None,
    new_token_id: UUID | None = None,
    actor: Actor,
) -> tuple[ApiToken, ApiToken, str]:
    """A new token in the place of this one, which lives on for `overlap` and then ends by itself.

    Returns the old one, the new one and its text, which is shown this once. Without an overlap the old one is revoked:
    so it is where it has leaked. The new one gets the same name, role and agent, and lives for as long as the old one
    was made for, unless `expires_at` says otherwise.
    """
    actor.require("agents.change_apitoken", to="replace tokens")
    old = ApiToken.objects.select_for_update(of=("self",)).filter(pk=token_id).select_related("agent").first()
    if old is None:
        raise Invalid("There is no such token.")
    now = timezone.now()
    if old.revoked_at is not None or (old.expires_at is not None and old.expires_at <= now):
        ended = "was revoked" if old.revoked_at else "has expired"
        raise Conflict(f"Token “{old}” {ended}: there is nothing to replace. Make a new one.")
    if AuditLog.objects.filter(entity_type=EntityType.API_TOKEN, entity_id=str(old.pk), action=ROTATE).exists():
        raise Conflict(
            f"Token “{old}” was replaced already and works until {old.expires_at:%Y-%m-%d %H:%M} UTC: replace the one "
            "that took its place, or make a new one."
        )
    if not timedelta(0) <= overlap <= LONGEST_OVERLAP:
        raise Invalid(f"The old token may live on for {LONGEST_OVERLAP.days} days at most; beyond that, make another.")
    with acting(actor, reason=f"In the place of {old}"):
        new, text = create_token(
            name=old.name,
            role=old.role,
            agent=old.agent,
            expires_at=expires_at or lifetime_from(old, now),
            token_id=new_token_id,
            actor=actor,
        )
    with acting(actor, reason=f"{new} takes its place"):
        this, end = ApiToken.objects.filter(pk=old.pk), now + overlap
        if not overlap:
            this.change("revoke", revoked_at=now)
        elif old.expires_at is None or old.expires_at > end:
            this.change(ROTATE, expires_at=end)
    old.refresh_from_db()
    return old, new, text


def lifetime_from(token: ApiToken, now: datetime) -> datetime | None:
    """When a token ends that is made now and lives for as long as this one was made for; None is never."""
    return now + (token.expires_at - token.created_at) if token.expires_at else None


def token_hash(text: str) -> str:
    """What is kept of a token. Quick on purpose: 256 random bits need no slow hash."""
    return hashlib.sha256(text.encode()).hexdigest()


def _check(name: str, role: str, agent: Agent | None, expires_at: datetime | None) -> None:
    """Each refusal in words that say what to do instead."""
    if not name:
        raise Invalid("Give the token a name: the audit log shows it for whatever the token does.")
    if not name.isprintable():  # NUL, line breaks, half characters: what no log should repeat
        raise Invalid("The name of a token must be one line of characters that can be shown.")
    if role not in TokenRole.values:
        raise Invalid(f"There is no role “{role}”; a token is for one of: {', '.join(TokenRole.values)}.")
    if agent is None and role == TokenRole.JUDGE:
        raise Invalid("A judge's token is bound to its agent: nobody judges their own work. Name the agent.")
    if agent is not None and agent.status == AgentStatus.RETIRED:
        raise Conflict(f"Agent “{agent}” is retired and is given no token.")
    if expires_at is not None and expires_at <= timezone.now():
        raise Invalid("The token would have expired already; choose a time to come.")
    if expires_at is not None and expires_at > LAST_INSTANT:
        raise Invalid("A token expires before the year 9999 ends, or never.")


def revoke_token(*, token_id: UUID, actor: Actor) -> ApiToken:
    """End a token, from now on and for good; whoever comes second is told so."""
    actor.require("agents.change_apitoken", to="revoke tokens")
    with acting(actor):
        revoked = ApiToken.objects.filter(pk=token_id, revoked_at=None).change("revoke", revoked_at=timezone.now())
    if revoked:
        return revoked[0]
    token = ApiToken.objects.filter(pk=token_id).first()
    if token is None:
        raise Invalid("There is no such token.")
    raise Conflict(f"Token “{token}” was revoked already.")


def purge_idempotency_keys(*, actor: Actor) -> int:
    """Forget answers that nobody asks for again; returns how many."""
    purged, _ = IdempotencyKey.objects.filter(created_at__lt=timezone.now() - KEYS_KEPT).delete()
    return purged
