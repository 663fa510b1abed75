"""A machine with a token, and the whole way from its request to its answer."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client

from agents.choices import TokenRole
from agents.models import Agent
from agents.services import create_token
from audit.context import Actor
from tests import factories

SYSTEM = Actor.system("test")


def make_token(role: str = TokenRole.WORKER, agent: Agent | None = None, **given: Any) -> str:
    """A token's text; a judge's has an agent in any case."""
    if role == TokenRole.JUDGE and agent is None:
        agent = factories.make_judge()
    name = given.pop("name", f"{role} token {next(factories.number)}")
    return create_token(name=name, role=role, agent=agent, actor=SYSTEM, **given)[1]


class Machine:
    """A caller with a token. Paths are those after /api/v1/; bodies are JSON."""

    def __init__(self, token: str = "") -> None:
        self.token = token
        self.client = Client(raise_request_exception=False)

    def get(self, path: str, query: Any = None, **headers: str) -> HttpResponse:
        return self.client.get(f"/api/v1/{path}", query or {}, headers=self._headers(headers))

    def post(self, path: str, body: Any = None, *, key: str = "", raw: bytes | None = None, **headers: str) -> Any:
        content = raw if raw is not None else json.dumps(body if body is not None else {}).encode()
        kind = headers.pop("content_type", "application/json")
        named = self._headers(headers | ({"Idempotency-Key": key} if key else {}))
        return self.client.post(f"/api/v1/{path}", content, content_type=kind, headers=named)

    def _headers(self, given: dict[str, str]) -> dict[str, str]:
        return ({"Authorization": f"Bearer {self.token}"} if self.token else {}) | given


@pytest.fixture
def machine(db: None) -> Callable[..., Machine]:
    def machine_with(role: str = TokenRole.WORKER, agent: Agent | None = None, **given: Any) -> Machine:
        return Machine(make_token(role, agent, **given))

    return machine_with
