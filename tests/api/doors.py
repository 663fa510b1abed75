"""Doors that no deployment has: each behaves in the one way that a test needs, behind the real way in."""

import threading
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from django.db import connection
from django.urls import path, re_path
from ninja import File, Form, Router, UploadedFile
from pydantic import Field

from agents.api import ApiRequest, Bearer, actor_of, agent_of, patient
from agents.choices import AgentStatus, TokenRole
from agents.models import Agent
from audit.api import Amount, Flag, Incoming, JsonObject, Moment, Name, Share, Text, Whole
from audit.bodies import MB, MULTIPART, accepts
from audit.context import current
from audit.errors import Conflict, TooLate
from campaigns.api.schemas import TaskOut
from campaigns.choices import TaskType
from campaigns.models import Campaign, Task
from campaigns.services import claim_tasks, create_task
from config.api import assemble
from config.api_errors import nothing_here
from tests.concurrency import PATIENCE

router = Router(tags=["test"])
begun, go_on = threading.Event(), threading.Event()


class AgentIn(Incoming):
    agent_id: Name
    then: str = ""


class Kinds(Incoming):
    text: Annotated[Text, Field(max_length=10)] = ""
    number: Annotated[Whole, Field(ge=1, le=100)] = 1
    flag: Flag = False
    amount: Amount = Decimal(0)
    share: Share = Decimal(0)
    at: Moment | None = None
    key: UUID | None = None
    context: JsonObject = {}


class ClaimIn(Incoming):
    agent_id: Name | None = None
    wait: Annotated[Whole, Field(ge=0, le=30)] = 0


class PlanIn(Incoming):
    campaign_id: UUID
    agent_id: Name


def outcome(then: str) -> None:
    if then == "refuse":
        raise Conflict("Not now.")
    if then == "too late":
        raise TooLate("Too late, but it is kept.")
    if then == "break":
        raise RuntimeError("a fault")
    if then == "lose the connection":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    if then == "wait":
        begun.set()
        assert go_on.wait(PATIENCE)


@router.post("agents")
def make_agent(request: ApiRequest, body: AgentIn) -> dict[str, Any]:
    agent = Agent.objects.create(agent_id=body.agent_id, status=AgentStatus.ACTIVE)
    outcome(body.then)
    return {"agent_id": agent.pk, "created_at": agent.created_at}


@router.post("kinds")
def kinds(request: ApiRequest, body: Kinds) -> dict[str, Any]:
    return body.model_dump()


@router.post("who")
def who(request: ApiRequest, body: ClaimIn) -> dict[str, Any]:
    agent, context = agent_of(request, body.agent_id), current()
    actor = actor_of(request, agent)
    return {
        "agent": agent.pk,
        "actor": [actor.type, actor.id],
        "context": [context.actor.type, context.actor.id, context.tool_name, context.trace_id],
        "given": request.given_trace_id,
    }


@router.post("planners-only", auth=Bearer(TokenRole.PLANNER, TokenRole.JUDGE))
def planners_only(request: ApiRequest) -> dict[str, Any]:
    return {}


@router.post("plan", response={201: TaskOut})
def plan(request: ApiRequest, body: PlanIn) -> Task:
    return create_task(
        campaign=Campaign.objects.get(pk=body.campaign_id),
        agent=Agent.objects.get(pk=body.agent_id),
        task_type=TaskType.DRAFT_POST,
        context={},
        actor=actor_of(request),
    )


@router.post("claim")
@patient
def claim(request: ApiRequest, body: ClaimIn) -> dict[str, Any]:
    agent = agent_of(request, body.agent_id)
    return {"tasks": [task.pk for task in claim_tasks(agent=agent, actor=actor_of(request, agent))]}


@router.post("upload")
@accepts(MULTIPART, most=4 * MB)
def upload(request: ApiRequest, file: File[UploadedFile], note: Form[str]) -> dict[str, Any]:
    return {"size": file.size, "note": note, "times": Agent.objects.create(agent_id=note, status="active").pk}


RULES = {
    "check": "INSERT INTO agent (agent_id, status) VALUES ('x', 'asleep')",
    "unique": "INSERT INTO agent (agent_id, status) VALUES ('x', 'active'), ('x', 'active')",
    "reference": "INSERT INTO agent (agent_id, status, campaign_id) VALUES ('x', 'active', gen_random_uuid())",
    "trigger": "INSERT INTO agent (agent_id, status) VALUES ('x', 'retired')",
    "number": "SELECT 99999999999::int",
    "lock": "SET LOCAL statement_timeout = 1; SELECT pg_sleep(1)",
    "mistake": "SELECT nonsense",
}


@router.post("rules/{rule}")
def break_rule(request: ApiRequest, rule: str) -> dict[str, Any]:
    with connection.cursor() as cursor:
        cursor.execute(RULES[rule])
    return {}


urlpatterns = [path("api/v1/", assemble([router], "doors").urls), re_path("^api(?:/|$)", nothing_here)]
