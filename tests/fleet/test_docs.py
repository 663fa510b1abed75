"""docs/agent-api.md is true: its commands are run in order, and every answer that it shows is the answer that came."""

import json
import re
import shutil
from typing import Any

import pytest

from config.api import api
from tests.fleet.conftest import Gatehouse
from tests.recovery.support import CHECKOUT

PAGE = CHECKOUT / "docs" / "agent-api.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
ENDS = "\x1e"  # said after each block
ANY = "…"


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("jq")), reason="the page needs curl and jq")
def test_the_commands_of_the_page_do_what_it_says(demo: Gatehouse) -> None:
    commands = [text for kind, text in BLOCKS if kind == "bash"]
    script = "".join(f"{text}\nprintf '{ENDS}'\n" for text in commands)
    told = demo.run("bash", "-euo", "pipefail", "-c", script).split(ENDS)
    run = -1
    for kind, text in BLOCKS:
        run += kind == "bash"
        if kind == "text":
            assert told[run].strip() == text.strip()
        elif kind == "json":
            shown, came = json.loads(text), json.loads(told[run].strip().splitlines()[-1])
            assert is_shown(shown, came), (shown, came)
    assert run + 2 == len(told)


def is_shown(shown: Any, came: Any) -> bool:
    """Whether the page shows what came: a text with … stands for any, a key … for the other keys."""
    if isinstance(shown, str) and ANY in shown:
        return isinstance(came, str)
    if isinstance(shown, dict):
        keys = shown.keys() - {ANY}
        whole = keys <= came.keys() if ANY in shown else keys == came.keys()
        return whole and all(is_shown(shown[key], came[key]) for key in keys)
    if isinstance(shown, list):
        return len(shown) == len(came) and all(map(is_shown, shown, came))
    return bool(shown == came)


def test_the_forty_lines_are_those_of_the_page() -> None:
    code = (CHECKOUT / "examples" / "agent.py").read_text()
    assert [text for kind, text in BLOCKS if kind == "python"] == [code]
    assert len([line for line in code.splitlines() if line.strip()]) <= 40


def test_the_forty_lines_publish_a_post(demo: Gatehouse) -> None:
    roles = {"planner": "planner-1", "worker": "writer-4", "judge": "judge-2", "publisher": "publisher-1"}
    tokens = {
        role.upper(): demo.manage("create_token", "forty lines", "--role", role, "--agent", agent).strip()
        for role, agent in roles.items()
    }
    tokens["METRICS"] = demo.manage("create_token", "forty lines", "--role", "metrics").strip()
    told = demo.python("examples/agent.py", GATEHOUSE=f"{demo.url}/api/v1", **tokens)
    *_, last, measured = told.splitlines()
    published, post_id, content = last.split(" ", 2)
    assert (published, content) == ("published", "Slowly now: the second cup.")
    assert "'accepted': 1" in measured
    ((status,),) = demo.query(f"SELECT status FROM publish_record WHERE platform_post_id = '{post_id}'")
    assert status == "published"


ROW = re.compile(r"^\|[^|]*\| (`(?:GET|POST) [^|]*) \|([^|]*)\|[^|]*\|$", re.MULTILINE)
ON_EVERY_LIST = {"limit", "after"}


def test_the_table_of_routes_is_that_of_the_api() -> None:
    """Every route with all that it takes, and nothing else."""
    told = {
        route: set(re.findall(r"`\??(\w+)`", takes))
        for routes, takes in ROW.findall(PAGE.read_text())
        for route in re.findall(r"`([^`]+)`", routes)
    }
    schema = api.get_openapi_schema()
    assert told == {
        f"{method.upper()} {path.removeprefix('/api/v1/')}": takes(operation, schema["components"]["schemas"])
        for path, operations in schema["paths"].items()
        for method, operation in operations.items()
    }


def takes(operation: dict[str, Any], components: dict[str, Any]) -> set[str]:
    query = {parameter["name"] for parameter in operation.get("parameters", []) if parameter["in"] == "query"}
    names = query - ON_EVERY_LIST
    for content in operation.get("requestBody", {}).get("content", {}).values():
        schema = content["schema"]
        if "$ref" in schema:
            schema = components[schema["$ref"].rpartition("/")[2]]
        names |= set(schema.get("properties", {}))
    return names
