"""The page on which an operator suspends, reactivates or retires an agent: consequences first, then the reason.

It lies above the agents' own app, because what a verb means is said in tasks and posts.
"""

from dataclasses import dataclass
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.http import urlencode

from agents.choices import VERB_COLOUR, AgentStatus, AgentVerb, TokenRole
from agents.models import Agent, ApiToken
from agents.services import PERMISSION, control_agent, possible_verbs
from audit.admin.cells import admin_url
from audit.choices import EntityType
from audit.context import Actor
from audit.errors import Refused
from audit.models import AuditLog
from campaigns.choices import TaskStatus
from campaigns.models import Task
from content.models import PublishRecord

COUNTED = 1000  # rows of a kind that are counted at most
LEASED = 200  # posts in publishers' hands that are looked at
DONE = {
    AgentVerb.SUSPEND: "“{agent}” is suspended.",
    AgentVerb.REACTIVATE: "“{agent}” is active again.",
    AgentVerb.RETIRE: "“{agent}” is retired for good.",
}
NOTE = {
    AgentVerb.SUSPEND: "It is given no more work until somebody reactivates it. What it has in hand it may finish.",
    AgentVerb.REACTIVATE: "It is given work again, from its next question on.",
    AgentVerb.RETIRE: "This is final: a retired agent is never given work again.",
}
STAYS = "they stay its own: reassign them, or nobody does them"


@dataclass(frozen=True)
class Consequence:
    what: str
    url: str
    word: str
    colour: str
    meaning: str


def control(request: HttpRequest, key: str, verb: str) -> HttpResponse:
    if not request.user.has_perm(PERMISSION):
        raise PermissionDenied(f"You may not suspend agents. Ask an Administrator for the permission “{PERMISSION}”.")
    agent = _find(unquote(key))
    if verb not in AgentVerb.values:
        raise Http404("Nothing of that name can be done to an agent.")
    chosen, reason = AgentVerb(verb), request.POST.get("reason", "")
    if request.method != "POST":
        return _page(request, agent, chosen)
    try:
        changed = control_agent(chosen, agent_id=agent.pk, actor=Actor.human(request.user), reason=reason)
    except Refused as refusal:
        return _page(request, _find(agent.pk), chosen, refusal=refusal.sentence, status=refusal.status)
    messages.success(request, DONE[chosen].format(agent=changed))
    return HttpResponseRedirect(admin_url(changed))


def _find(key: str) -> Agent:
    agent = Agent.objects.select_related("campaign").filter(pk=key).first()
    if agent is None:
        raise Http404("There is no such agent.")
    return agent


def _page(request: HttpRequest, agent: Agent, verb: AgentVerb, *, refusal: str = "", status: int = 200) -> HttpResponse:
    is_possible = verb in possible_verbs(agent)
    if not is_possible and not refusal:
        refusal, status = f"Agent “{agent}” is {agent.get_status_display()}; it cannot be changed in this way now.", 409
    context = {
        **admin.site.each_context(request),
        "title": f"{verb.label} “{agent}”?",
        "agent": agent,
        "verb": verb,
        "danger": VERB_COLOUR.get(verb) == "bad",
        "note": NOTE[verb],
        "possible": is_possible,
        "rows": consequences(agent, verb) if is_possible else [],
        "typed": request.POST.get("reason", ""),
        "refusal": refusal,
    }
    return TemplateResponse(request, "admin/agents/control.html", context, status=status)


def consequences(agent: Agent, verb: AgentVerb) -> list[Consequence]:
    """What the agent has and what waits for it, and what becomes of each; in a fixed number of queries."""
    returns, retires = verb == AgentVerb.REACTIVATE, verb == AgentVerb.RETIRE
    was_active = agent.status == AgentStatus.ACTIVE
    finish = ("go on", "good", "nothing changes for them") if returns else MAY_FINISH
    waits = ("start", "good", "it can claim them at once where their campaign runs") if returns else NOT_HANDED_OUT
    rows = [
        _of_tasks(agent, TaskStatus.IN_PROGRESS, "task in progress", "tasks in progress", finish),
        _of_tasks(agent, TaskStatus.PENDING, "pending task", "pending tasks", STRANDED if retires else waits),
        _of_tasks(agent, TaskStatus.REVIEW, "task in review", "tasks in review", IN_REVIEW[returns or not was_active]),
        _posts(agent),
        _tokens(agent, verb),
    ]
    return [row for row in rows if row is not None]


MAY_FINISH = ("may finish", "good", "results still count; its heartbeat tells it to come to an end")
NOT_HANDED_OUT = ("wait", "warn", "they are not handed out until it is reactivated; they can be reassigned")
STRANDED = ("stranded", "bad", STAYS)
IN_REVIEW = {
    False: ("go on", "good", "people decide; what is rejected waits for it as a new try"),
    True: ("go on", "good", "people decide as before"),
}


def _many(amount: int, one: str, several: str) -> str:
    told = f"{COUNTED:,} and more" if amount > COUNTED else f"{amount:,}"
    return f"{told} {one if amount == 1 else several}"


def _of_tasks(
    agent: Agent, status: TaskStatus, one: str, several: str, fate: tuple[str, str, str]
) -> Consequence | None:
    amount = Task.objects.filter(agent=agent, status=status, deleted_at=None)[: COUNTED + 1].count()
    query = urlencode({"agent__exact": agent.pk, "status__exact": status.value})
    url = f"{reverse('admin:campaigns_task_changelist')}?{query}"
    return Consequence(_many(amount, one, several), url, *fate) if amount else None


def _posts(agent: Agent) -> Consequence | None:
    """Posts that it has in hand: the log knows who claimed a post, and posts in hand are few."""
    leased = PublishRecord.objects.filter(lease_expires_at__isnull=False).values_list("pk", "claimed_at")[:LEASED]
    since = {str(key): claimed_at for key, claimed_at in leased}
    claims = AuditLog.objects.filter(
        entity_type=EntityType.PUBLISH_RECORD, entity_id__in=since, action="claim", actor_id=agent.pk
    )
    mine = {key for key, moment in claims.values_list("entity_id", "created_at") if moment >= since[key]}
    if not mine:
        return None
    told = ("may finish", "info", "it may still publish them; what it does not report is held until somebody looks")
    return Consequence(_many(len(mine), "post", "posts") + " in its hands", reverse("admin:publishing"), *told)


def _tokens(agent: Agent, verb: AgentVerb) -> Consequence | None:
    tokens = list(ApiToken.objects.filter(agent=agent, revoked_at=None)[: COUNTED + 1])
    if not tokens:
        return None
    told: tuple[Any, Any, Any] = ("stay valid", "neutral", "so that it can finish; for a leaked one, revoke it instead")
    if verb == AgentVerb.RETIRE:
        told = ("stay valid", "warn", "so that it can finish; an Administrator revokes them afterwards")
    elif any(token.role == TokenRole.PLANNER for token in tokens):
        told = ("stay valid", "warn", "it can still plan tasks for others; revoke its token to stop that")
    url = f"{reverse('admin:agents_apitoken_changelist')}?{urlencode({'agent__exact': agent.pk})}"
    return Consequence(_many(len(tokens), "token", "tokens") + " bound to it", url, *told)
