"""Schemathesis on the whole API with every check on: what the description promises is what the server does."""

import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from agents import api as doors
from agents.choices import TokenRole
from config.api import api
from tests import factories
from tests.api.conftest import make_token
from tests.recovery.support import run

# One seed, so that a change is blamed for what it did; another now and then finds more.
SEED = os.environ.get("SCHEMATHESIS_SEED", "1")
SECONDS = 60  # a budget for what is drawn at random; what is derived from the description is run in any case


def configuration(tokens: dict[str, str]) -> str:
    """Each operation with a token of a role that reaches it."""
    lines = []
    for methods in api.described["paths"].values():
        for operation in methods.values():
            (role, *_) = operation["security"][0]["Bearer"]
            lines += [
                "[[operations]]",
                f'include-operation-id = "{operation["operationId"]}"',
                f'headers = {{ Authorization = "Bearer {tokens[role]}" }}',
            ]
    return "\n".join(lines)


@pytest.mark.django_db(transaction=True)
def test_schemathesis_finds_nothing(live_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doors, "waiters", threading.BoundedSemaphore(0))  # nobody waits for work that never comes
    agents = {role: factories.make_agent() for role in TokenRole}
    factories.published_post()
    factories.queued_posts()
    factories.waiting_item()
    factories.claimed_task(agent=agents[TokenRole.WORKER])
    factories.make_task(agent=agents[TokenRole.WORKER])
    tokens = {str(role): make_token(role, agent) for role, agent in agents.items()}
    settings = tmp_path / "schemathesis.toml"
    settings.write_text(configuration(tokens))
    described = tmp_path / "openapi.json"
    described.write_text(json.dumps(api.described))
    done = run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", settings, "run", described),
            *("--url", live_server.url, "--checks", "all", "--max-time", str(SECONDS), "--workers", "1"),
            *("--continue-on-failure", "--no-color", "--generation-database", "none", "--seed", SEED),
        ],
        os.environ,
        seconds=4 * SECONDS,
        place=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
