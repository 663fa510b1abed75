"""The acceptance scenarios of the specification of campaigns, agents, tasks and video assets, by their names.

Its tables are ours in the singular, its `id` is `<table>_id`, `goal_description` is `goal` and `soul_md_path` is
`persona_ref`; what the core specification requires besides is added. Each runs as an agent and as the owner.
"""

from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.contract.rows import Row, Sql, column, insert, one, refused, write

CONTEXT = {
    "goal_description": "ቡና: ten posts about the harvest",
    "persona_constraints": ["warm", "never political", {"languages": ["am", "en"], "formal": False}],
    "required_resources": {
        "urls": ["https://example.org/?a=1&b=2"],
        "budget": 12.50,
        "limit": None,
        "empty": {},
        "no": [],
    },
}
METADATA = {"duration": 12.5, "resolution": "1080x1920", "external_url": "https://cdn.example/v/1.mp4"}


def campaign_row(**given: Any) -> Row:
    required_by_core = {"target_platforms": ["youtube"], "budget_cap_etb": Decimal("100.00")}
    return {
        "campaign_id": uuid4(),
        "name": "Harvest",
        "goal": "Ten posts",
        "status": "active",
        **required_by_core,
        **given,
    }


def agent_row(campaign_id: UUID | None, **given: Any) -> Row:
    attributes = {"persona_ref": "personas/amara/soul.md", "character_reference_id": "amara-v2"}
    return {"agent_id": f"amara-{uuid4()}", **attributes, "campaign_id": campaign_id, "status": "active", **given}


def task_row(campaign_id: UUID, agent_id: str, **given: Any) -> Row:
    asked = {"task_type": "generate_media", "priority": "medium", "status": "pending", "context": CONTEXT}
    return {"task_id": uuid4(), "campaign_id": campaign_id, "agent_id": agent_id, **asked, **given}


def video_row(agent_id: str, task_id: UUID, /, **given: Any) -> Row:
    asked = {"platform": "tiktok", "tier": "premium", "character_reference_id": "amara-v2", "status": "pending"}
    return {"video_asset_id": uuid4(), "agent_id": agent_id, "task_id": task_id, **asked, "metadata": METADATA, **given}


class Family:
    """One campaign, one agent of it, one task of both, one video asset of these."""

    def __init__(self, sql: Sql) -> None:
        self.campaign = write(sql, "campaign", campaign_row())
        self.agent = write(sql, "agent", agent_row(self.campaign["campaign_id"]))
        self.task = write(sql, "task", task_row(self.campaign["campaign_id"], self.agent["agent_id"]))
        self.video = write(sql, "video_asset", video_row(self.agent["agent_id"], self.task["task_id"]))


def keeps(sql: Sql, table: str, row: Row) -> None:
    """The row can be retrieved by its id, each attribute as it was given."""
    write(sql, table, row)
    key = next(iter(row))
    cursor = sql.execute(f"SELECT {', '.join(row)} FROM {table} WHERE {key} = %s", [row[key]])
    assert cursor.fetchall() == [tuple(row.values())]


def test_story_1_scenario_1_a_campaign_is_stored_and_retrieved_by_id(sql: Sql) -> None:
    stamps = {"created_at": one(sql, "SELECT now() - interval '1 day'"), "updated_at": one(sql, "SELECT now()")}
    keeps(sql, "campaign", campaign_row(**stamps))


def test_story_1_scenario_2_an_agent_is_stored_and_found_by_its_campaign(sql: Sql) -> None:
    campaign_id = write(sql, "campaign", campaign_row())["campaign_id"]
    agent = agent_row(campaign_id)
    keeps(sql, "agent", agent)
    assert column(sql, "SELECT agent_id FROM agent WHERE campaign_id = %s", campaign_id) == [agent["agent_id"]]
    with refused(sql, "23503", "agent_campaign_id_fkey"):
        write(sql, "agent", agent_row(uuid4()))


def test_story_1_scenario_3_a_task_is_stored_and_its_campaign_enforced(sql: Sql) -> None:
    family = Family(sql)
    agent_id = family.agent["agent_id"]
    keeps(sql, "task", task_row(family.campaign["campaign_id"], agent_id, created_at=one(sql, "SELECT now()")))
    with refused(sql, "23503", "task_campaign_id_fkey"):
        write(sql, "task", task_row(uuid4(), agent_id))


def test_story_1_scenario_4_a_video_asset_is_stored_and_its_agent_and_task_enforced(sql: Sql) -> None:
    family = Family(sql)
    agent_id, task_id = family.agent["agent_id"], family.task["task_id"]
    keeps(sql, "video_asset", video_row(agent_id, task_id, created_at=one(sql, "SELECT now()")))
    with refused(sql, "23503", "video_asset_agent_id_fkey"):
        write(sql, "video_asset", video_row("nobody", task_id))
    with refused(sql, "23503", "video_asset_task_id_fkey"):
        write(sql, "video_asset", video_row(agent_id, uuid4()))


@pytest.mark.parametrize(("name", "unknown"), [("agent_id", "nobody"), ("task_id", UUID(int=1))])
def test_story_2_scenario_1_a_video_asset_of_an_unknown_agent_or_task_is_rejected(
    sql: Sql, name: str, unknown: object
) -> None:
    family = Family(sql)
    row = video_row(family.agent["agent_id"], family.task["task_id"], **{name: unknown})
    with refused(sql, "23503", f"video_asset_{name}_fkey"):
        write(sql, "video_asset", row)


def test_story_2_scenario_2_an_agent_of_an_unknown_campaign_is_rejected(sql: Sql) -> None:
    with refused(sql, "23503", "agent_campaign_id_fkey"):
        write(sql, "agent", agent_row(UUID(int=1)))


def test_story_2_scenario_3_a_task_of_an_unknown_campaign_is_rejected(sql: Sql) -> None:
    agent_id = write(sql, "agent", agent_row(None))["agent_id"]
    with refused(sql, "23503", "task_campaign_id_fkey"):
        write(sql, "task", task_row(UUID(int=1), agent_id))


@pytest.mark.parametrize("through", ["task", "agent"])
def test_story_2_scenario_4_all_video_assets_of_a_campaign(sql: Sql, through: str) -> None:
    family, _another = Family(sql), Family(sql)
    second = write(sql, "video_asset", video_row(family.agent["agent_id"], family.task["task_id"]))
    found = column(
        sql,
        f"SELECT video_asset_id FROM campaign JOIN {through} USING (campaign_id)"
        f" JOIN video_asset USING ({through}_id) WHERE campaign.campaign_id = %s",
        family.campaign["campaign_id"],
    )
    assert sorted(found) == sorted([family.video["video_asset_id"], second["video_asset_id"]])


def test_story_3_scenario_1_the_context_of_a_task_is_read_back_without_loss(sql: Sql) -> None:
    assert Family(sql).task["context"] == CONTEXT


def test_story_3_scenario_2_the_metadata_of_a_video_asset_are_read_back_without_loss(sql: Sql) -> None:
    assert Family(sql).video["metadata"] == METADATA


@pytest.mark.parametrize(
    "given", [{"a": 1}, {"b": {"c": [1, {"d": None}]}}, {}, [], [1, "two", {"three": 3}], {"": ""}]
)
def test_story_3_scenario_3_different_keys_are_accepted(sql: Sql, given: Any) -> None:
    assert insert(sql, "task", context=given)["context"] == given
    assert insert(sql, "video_asset", metadata=given)["metadata"] == given


@pytest.mark.parametrize(
    ("question", "index"),
    [
        ("SELECT * FROM task WHERE campaign_id = uuidv7()", "idx_task_campaign"),
        ("SELECT * FROM agent WHERE campaign_id = uuidv7()", "idx_agent_campaign"),
        ("SELECT * FROM video_asset WHERE agent_id = 'amara'", "idx_video_asset_agent"),
        ("SELECT * FROM video_asset WHERE task_id = uuidv7()", "idx_video_asset_task"),
    ],
)
def test_success_criterion_3_relationships_are_queried_without_full_scans(sql: Sql, question: str, index: str) -> None:
    sql.execute("SET LOCAL enable_seqscan = off")
    plan = "\n".join(column(sql, f"EXPLAIN {question.replace('uuidv7()', repr(str(uuid4())))}"))
    assert index in plan


def test_edge_case_a_campaign_with_agents_and_tasks_is_retained(owner: Sql) -> None:
    """The rule for deletion is explicit: nothing is deleted, and nothing is nullified."""
    family = Family(owner)
    with refused(owner, "23514", "campaign_no_delete"):
        owner.execute("DELETE FROM campaign WHERE campaign_id = %s", [family.campaign["campaign_id"]])
