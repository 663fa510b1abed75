"""Inserts with only the specified columns succeed; each violation is refused with its SQLSTATE and its name."""

from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.contract import spec
from tests.contract.rows import (
    CONTENT,
    Row,
    Sql,
    advance,
    column,
    complete,
    count,
    insert,
    key_of,
    leased,
    refused,
    update,
    write,
)
from tests.contract.spec import TABLES

EACH_TABLE = pytest.mark.parametrize("table", TABLES)
GENERATED = {"campaign", "task", "artifact", "review_decision", "publish_record", "metric_event", "video_asset"}


@EACH_TABLE
def test_only_specified_columns_are_needed(sql: Sql, table: str) -> None:
    row = complete(sql, table)
    assert set(row) <= set(TABLES[table].columns)
    stored = write(sql, table, row)
    assert {name: stored[name] for name in row} == row


@EACH_TABLE
def test_all_specified_columns_are_kept_as_given(sql: Sql, table: str) -> None:
    """Also those that have a default: a writer may bring its own ids and its own clock."""
    stored = insert(sql, table)
    given = {name: stored[name] for name in TABLES[table].columns}
    again = {name: value for name, value in given.items() if name != key_of(table)}
    again |= {"version": 2} if table == "artifact" else {"platform": "tiktok"} if table == "publish_record" else {}
    key = f"other-{uuid4()}" if table == "agent" else uuid4()
    kept = write(sql, table, {key_of(table): key, **again})
    assert {name: kept[name] for name in TABLES[table].columns} == {key_of(table): key, **again}


@pytest.mark.parametrize("table", sorted(GENERATED | {"audit_log"}))
def test_an_id_is_a_uuid_of_version_7_when_none_is_given(sql: Sql, table: str) -> None:
    stored = insert(sql, table, **{key_of(table): ...})
    assert stored[key_of(table)].version == 7


@EACH_TABLE
def test_defaults_are_in_the_database(sql: Sql, table: str) -> None:
    stored = insert(sql, table)
    assert stored.get("created_at", stored.get("ingested_at")) == column(sql, "SELECT now()")[0]
    for name, value in {"attempt": 0, "max_attempts": 3, "epoch": 0, "reserved_etb": 0, "adopted": False}.items():
        assert stored.get(name, value) == value
    for name, what in TABLES[table].added_columns.items():
        assert what.null or stored[name] is not None


# --- NOT NULL --------------------------------------------------------------------------------------------------------

# Without its key PostgreSQL finds no month for a row, and says that first.
PARTITION_KEYS = {(name, table.partition_key) for name, table in TABLES.items()}
REQUIRED = [
    (table, name)
    for table, specified in TABLES.items()
    for name, what in specified.all_columns.items()
    if not what.null and not what.filled
]


@pytest.mark.parametrize(("table", "name"), sorted(set(REQUIRED) - PARTITION_KEYS))
def test_null_is_refused(sql: Sql, table: str, name: str) -> None:
    row = complete(sql, table, **{name: None})
    with refused(sql, "23502", column=name):
        write(sql, table, row)


@pytest.mark.parametrize(
    ("table", "name"), [pair for pair in REQUIRED if not TABLES[pair[0]].all_columns[pair[1]].default]
)
def test_leaving_a_required_column_out_is_refused(sql: Sql, table: str, name: str) -> None:
    row = complete(sql, table)
    del row[name]
    expected = {"sqlstate": "23514"} if (table, name) in PARTITION_KEYS else {"sqlstate": "23502", "column": name}
    with refused(sql, **expected):  # type: ignore[arg-type]
        write(sql, table, row)


@pytest.mark.parametrize("table", sorted(spec.PARTITIONED_TABLES))
def test_a_row_without_its_month_is_refused(sql: Sql, table: str) -> None:
    key = TABLES[table].partition_key
    assert key
    for outside in (None, "1999-12-31T23:59:59Z", "2999-01-01T00:00:00Z"):
        with refused(sql, "23514"):
            insert(sql, table, **{key: outside})


# --- CHECK -----------------------------------------------------------------------------------------------------------

NO_OBJECT = "a text"
VIOLATIONS: list[tuple[str, str, Row]] = [
    ("campaign", "budget_cap_etb", {"budget_cap_etb": Decimal("-0.01")}),
    ("campaign", "status", {"status": "archived"}),
    ("campaign", "status", {"status": "Draft"}),
    ("campaign", "status", {"status": ""}),
    ("campaign", "target_platforms", {"target_platforms": NO_OBJECT}),
    ("campaign", "constraints", {"constraints": NO_OBJECT}),
    ("campaign", "budget", {"reserved_etb": Decimal("600.00"), "spent_etb": Decimal("400.01")}),
    ("campaign", "budget", {"reserved_etb": Decimal("-0.01")}),
    ("campaign", "budget", {"spent_etb": Decimal("-0.01")}),
    ("campaign", "halted_at", {"halted_at": "2026-01-01T00:00:00Z"}),
    ("agent", "status", {"status": "deleted"}),
    ("task", "task_type", {"task_type": "make_coffee"}),
    ("task", "priority", {"priority": "urgent"}),
    ("task", "status", {"status": "waiting"}),
    ("task", "attempt", {"attempt": -1}),
    ("task", "max_attempts", {"max_attempts": -1}),
    ("task", "reserve_etb", {"reserve_etb": Decimal("-0.01")}),
    ("task", "cost_etb", {"cost_etb": Decimal("-0.01")}),
    ("task", "context", {"context": NO_OBJECT}),
    ("task", "trace_id", {"trace_id": "not-a-trace"}),
    ("task", "trace_id", {"trace_id": uuid4().hex.upper() + "A"}),
    ("task", "trace_id", {"trace_id": "0" * 31 + "F"}),
    ("task", "trace_id", {"trace_id": "a" * 32 + "\n"}),
    ("task", "lease", leased()),
    ("artifact", "artifact_type", {"artifact_type": "audio"}),
    ("artifact", "version", {"version": 0}),
    ("artifact", "version", {"version": -1}),
    ("artifact", "metadata", {"metadata": NO_OBJECT}),
    ("artifact", "sources", {"sources": NO_OBJECT}),
    ("review_decision", "decision", {"decision": "maybe"}),
    ("review_decision", "confidence_score", {"confidence_score": Decimal("1.001")}),
    ("review_decision", "confidence_score", {"confidence_score": Decimal("-0.001")}),
    ("review_decision", "confidence_score", {"confidence_score": Decimal("NaN")}),
    ("review_decision", "reasons", {"reasons": NO_OBJECT}),
    ("review_decision", "policy_hits", {"policy_hits": NO_OBJECT}),
    ("review_decision", "next_action", {"next_action": "wait"}),
    ("review_decision", "reviewer_type", {"reviewer_type": "machine"}),
    ("publish_record", "disclosure_level", {"disclosure_level": "hidden"}),
    ("publish_record", "status", {"status": "scheduled"}),
    ("publish_record", "hold", {"hold": "mood"}),
    ("publish_record", "attempt", {"attempt": -1}),
    ("publish_record", "lease", {"lease_id": uuid4()}),
    ("metric_event", "metric_type", {"metric_type": "loves"}),
    ("metric_event", "metric_value", {"metric_value": -1}),
    ("audit_log", "actor_type", {"actor_type": "robot"}),
    ("audit_log", "entity_type", {"entity_type": "coffee"}),
    ("audit_log", "severity", {"severity": "fatal"}),
    ("video_asset", "status", {"status": "lost"}),
    ("video_asset", "metadata", {"metadata": NO_OBJECT}),
]
OWN_VIOLATIONS: list[tuple[str, str, Row]] = [
    ("system_control", "one_row", {"system_control_id": 2}),
    ("api_token", "role", {"role": "superuser"}),
    ("api_token", "agent_id", {"role": "judge"}),
    ("api_token", "times", {"expires_at": "infinity"}),
    ("judge_lease", "times", {"lease_expires_at": "infinity"}),
    ("task", "times", {"completed_at": "infinity"}),
    ("review_item", "reason", {"reason": "bored"}),
    ("review_item", "status", {"status": "lost"}),
    ("review_item", "risk", {"risk": Decimal("1.001")}),
    ("review_item", "risk", {"risk": Decimal("-0.001")}),
    ("review_item", "level", {"level": 4}),
    ("user", "notify_by", {"notify_by": NO_OBJECT}),
    ("user", "saved_filters", {"saved_filters": NO_OBJECT}),
    ("notification", "type", {"type": "gossip"}),
    ("notification", "payload_json", {"payload_json": NO_OBJECT}),
    ("metric_archive", "state", {"state": "lost"}),
    ("metric_event", "times", {"ingested_at": "infinity"}),
    ("campaign", "times", {"updated_at": "infinity"}),
    ("task", "times", {"updated_at": "-infinity"}),
    ("publish_record", "times", {"updated_at": "infinity"}),
    ("task", "context", {"context": "[" * 65 + "]" * 65}),
    ("task", "parent_task_id", dict.fromkeys(("task_id", "parent_task_id"), uuid4())),
    ("campaign", "times", {"start_time": "infinity"}),
    ("campaign", "times", {"end_time": "-infinity"}),
    ("campaign", "times", {"start_time": "0044-03-15 00:00:00+00 BC"}),
    ("agent", "times", {"created_at": "infinity"}),
    ("task", "times", {"not_before": "infinity"}),
    ("artifact", "times", {"created_at": "infinity"}),
    ("review_decision", "times", {"created_at": "-infinity"}),
    ("publish_record", "times", {"scheduled_for": "infinity"}),
    ("video_asset", "times", {"created_at": "infinity"}),
    ("artifact", "content_sha256", {"content_sha256": "Z" * 64}),
    # Of an artifact that is known, another hash is refused by the binding before the check looks at it.
    ("review_decision", "artifact_sha256", {"artifact_id": uuid4(), "artifact_sha256": "Z" * 64}),
    ("publish_record", "content_sha256", {"artifact_id": uuid4(), "content_sha256": "Z" * 64}),
    ("metric_archive", "files", {"files": NO_OBJECT}),
    ("metric_archive", "row_count", {"row_count": -1}),
    ("metric_archive", "byte_count", {"byte_count": -1}),
    *((table, "metric_type", {"metric_type": "loves"}) for table in sorted(spec.DERIVED_TABLES)),
    ("metric_ingest", "state", {"state": "asleep"}),
    ("metric_ingest", "position", {"position": -1}),
    ("metric_counter", "metric_type", {"metric_type": "loves"}),
    ("metric_counter", "highest_total", {"highest_total": -1}),
    ("metric_counter", "last_total", {"last_total": -1}),
    ("metric_counter", "first_total", {"first_total": -1}),
    ("metric_correction", "metric_type", {"metric_type": "loves"}),
    ("metric_correction", "falls", {"to_total": 7}),
]


def violate(sql: Sql, table: str, check: str, given: Row) -> None:
    row = complete(sql, table, **given)
    for name in {name for name, value in given.items() if value == NO_OBJECT}:
        row[name] = f'"{NO_OBJECT}"'  # a bare JSON text
    with refused(sql, "23514", f"{table}_{check}_check"):
        write(sql, table, row)


@pytest.mark.parametrize(("table", "check", "given"), VIOLATIONS)
def test_check_refuses_by_name(sql: Sql, table: str, check: str, given: Row) -> None:
    violate(sql, table, check, given)


@pytest.mark.parametrize(("table", "check", "given"), OWN_VIOLATIONS)
def test_check_of_gatehouses_own_tables_refuses_by_name(owner: Sql, table: str, check: str, given: Row) -> None:
    violate(owner, table, check, given)


def test_every_check_is_violated_above(agent: Sql) -> None:
    found = column(
        agent,
        "SELECT conname FROM pg_constraint JOIN pg_class c ON c.oid = conrelid"
        " WHERE contype = 'c' AND NOT relispartition AND relname = ANY (%s)",
        list(spec.DOMAIN_TABLES),
    )
    assert {f"{table}_{check}_check" for table, check, _ in VIOLATIONS + OWN_VIOLATIONS} == set(found)


@pytest.mark.parametrize("table", [name for name, machine in spec.MACHINES.items() if machine.agents_write_it])
def test_update_to_a_status_that_does_not_exist_names_the_check(sql: Sql, table: str) -> None:
    key = insert(sql, table)[key_of(table)]
    with refused(sql, "23514", f"{table}_status_check"):
        update(sql, table, key, status="nowhere")


@pytest.mark.parametrize(
    ("table", "given"),
    [
        ("campaign", {"budget_cap_etb": Decimal(0)}),
        ("campaign", {"reserved_etb": Decimal("600.00"), "spent_etb": Decimal("400.00")}),
        ("task", {"attempt": 0, "max_attempts": 0}),
        ("review_decision", {"confidence_score": Decimal(0)}),
        ("review_decision", {"confidence_score": Decimal(1)}),
        ("metric_event", {"metric_value": 0}),
        ("metric_event", {"metric_value": 2**63 - 1}),
    ],
)
def test_the_bounds_themselves_are_allowed(sql: Sql, table: str, given: Row) -> None:
    stored = insert(sql, table, **given)
    assert {name: stored[name] for name in given} == given


# --- Unknown parents -------------------------------------------------------------------------------------------------

UNKNOWN = UUID(int=7)
PARENTS = [
    (table, name, parent)
    for table, specified in TABLES.items()
    for name, parent in {**specified.parents, **specified.added_parents}.items()
]


@pytest.mark.parametrize(("table", "name", "parent"), PARENTS)
def test_unknown_parent_is_refused_by_name(sql: Sql, table: str, name: str, parent: str) -> None:
    row = complete(sql, table, **{name: "nobody" if parent == "agent" else UNKNOWN})
    with refused(sql, "23503", f"{table}_{name}_fkey"):
        write(sql, table, row)


@pytest.mark.parametrize(
    ("table", "name"),
    [
        ("campaign", "controlled_by"),
        ("agent", "campaign_id"),
        ("agent", "owner_id"),
        ("task", "campaign_id"),
        ("task", "agent_id"),
        ("task", "parent_task_id"),
        ("task", "created_by"),
        ("video_asset", "agent_id"),
        ("video_asset", "task_id"),
        ("video_asset", "artifact_id"),
    ],
)
def test_update_to_an_unknown_parent_is_refused_by_name(sql: Sql, table: str, name: str) -> None:
    key = insert(sql, table)[key_of(table)]
    with refused(sql, "23503", f"{table}_{name}_fkey"):
        update(sql, table, key, **{name: "nobody" if name == "agent_id" else UNKNOWN})


@pytest.mark.parametrize("table", ["review_decision", "publish_record"])
@pytest.mark.parametrize("sha", [None, "", CONTENT])
def test_unknown_artifact_is_refused_by_name_whatever_hash_is_claimed(sql: Sql, table: str, sha: str | None) -> None:
    """A trigger looks at the artifact first; what is not there is left to the foreign key."""
    claim = {"review_decision": "artifact_sha256", "publish_record": "content_sha256"}[table]
    row = complete(sql, table, artifact_id=UNKNOWN, **{claim: sha})
    with refused(sql, "23503", f"{table}_artifact_id_fkey"):
        write(sql, table, row)


def test_unknown_parents_show_at_the_statement_even_when_deferral_is_asked_for(sql: Sql) -> None:
    sql.execute("SET CONSTRAINTS ALL DEFERRED")
    row = complete(sql, "task", campaign_id=UNKNOWN)
    with refused(sql, "23503", "task_campaign_id_fkey"):
        write(sql, "task", row)


def test_unknown_parents_of_gatehouses_own_tables(owner: Sql) -> None:
    for table, name in owner.execute(
        "SELECT c.relname, a.attname FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid"
        " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (k.conkey)"
        " WHERE k.contype = 'f' AND c.relname = ANY (%s)",
        [[*(spec.OWN_TABLES - spec.DERIVED_TABLES), *spec.PURGED_TABLES]],
    ).fetchall():
        if table == "system_control":
            with refused(owner, "23503", f"{table}_{name}_fkey"):
                update(owner, table, 1, **{name: UNKNOWN})
            continue
        row = complete(owner, table, **{name: "nobody" if name == "agent_id" else UNKNOWN})
        with refused(owner, "23503", f"{table}_{name}_fkey"):
            write(owner, table, row)


# --- Uniqueness ------------------------------------------------------------------------------------------------------


@EACH_TABLE
def test_second_row_with_the_same_key_is_refused(sql: Sql, table: str) -> None:
    stored = insert(sql, table)
    repeated = {name: stored[name] for name in TABLES[table].key}
    with refused(sql, "23505", f"{table}_pkey"):
        insert(sql, table, **repeated)


def test_duplicate_artifact_version_is_refused(sql: Sql) -> None:
    first = insert(sql, "artifact", version=2)
    same = {name: first[name] for name in ("task_id", "artifact_type", "version")}
    with refused(sql, "23505", "artifact_task_id_artifact_type_version_key"):
        insert(sql, "artifact", **same)
    for different in ({"version": 3}, {"artifact_type": "image"}, {"task_id": insert(sql, "task")["task_id"]}):
        insert(sql, "artifact", **{**same, **different})


def test_duplicate_tasks_are_allowed_for_retries(sql: Sql) -> None:
    first = insert(sql, "task")
    same = {name: first[name] for name in ("campaign_id", "agent_id", "task_type", "priority", "context")}
    again = insert(sql, "task", **same, attempt=1, parent_task_id=first["task_id"])
    assert again["parent_task_id"] == first["task_id"]


def test_an_artifact_is_posted_once_per_platform_among_those_not_failed(sql: Sql) -> None:
    first = insert(sql, "publish_record")
    same = {name: first[name] for name in ("artifact_id", "platform")}
    with refused(sql, "23505", "publish_record_live_key"):
        insert(sql, "publish_record", **same)
    insert(sql, "publish_record", **{**same, "platform": "tiktok"})
    advance(sql, "publish_record", first["publish_id"], "failed")
    second = insert(sql, "publish_record", **same, attempt=1)
    advance(sql, "publish_record", second["publish_id"], "published")
    with refused(sql, "23505", "publish_record_live_key"):
        insert(sql, "publish_record", **same)


def test_a_post_of_a_platform_belongs_to_one_record(sql: Sql) -> None:
    insert(sql, "publish_record", platform_post_id="yt-1")
    with refused(sql, "23505", "publish_record_platform_post_key"):
        insert(sql, "publish_record", platform_post_id="yt-1")
    insert(sql, "publish_record", platform="tiktok", platform_post_id="yt-1")
    insert(sql, "publish_record"), insert(sql, "publish_record")


@pytest.mark.parametrize(
    ("table", "name", "columns"),
    [
        ("user", "user_email_key", ("email",)),
        ("api_token", "api_token_token_sha256_key", ("token_sha256",)),
        ("idempotency_key", "idempotency_key_api_token_id_key_key", ("api_token_id", "key")),
        ("judge_lease", "judge_lease_artifact_id_key", ("artifact_id",)),
        ("notification", "notification_one_unread_key", ("user_id", "type", "about")),
        ("review_item", "review_item_one_open_key", ("artifact_id",)),
        ("metric_archive", "metric_archive_month_key", ("table_name", "range_start")),
        ("metric_counter", "metric_counter_key", ("publish_id", "metric_type", "source")),
        ("metric_correction", "metric_correction_key", ("publish_id", "metric_type", "source", "observed_at")),
        ("metric_ingest", "metric_ingest_head_sha256_key", ("head_sha256",)),
        *(
            (table, f"{table}_pkey", ("campaign_id", *content, "agent_id", "platform", "metric_type", "bucket"))
            for table, content in (
                ("metric_rollup", ("content_id",)),
                ("metric_rollup_daily", ("content_id",)),
                ("metric_rollup_campaign", ()),
            )
        ),
    ],
)
def test_uniqueness_of_gatehouses_own_tables(owner: Sql, table: str, name: str, columns: tuple[str, ...]) -> None:
    stored = insert(owner, table)
    with refused(owner, "23505", name):
        insert(owner, table, **{column: stored[column] for column in columns})


def test_every_uniqueness_is_violated_above(agent: Sql) -> None:
    found = column(
        agent,
        "SELECT indexrelid::regclass::text FROM pg_index JOIN pg_class c ON c.oid = indrelid"
        " WHERE indisunique AND NOT indisprimary AND NOT relispartition AND relname = ANY (%s)",
        [*spec.DOMAIN_TABLES, *spec.PURGED_TABLES],
    )
    assert set(found) == {
        "artifact_task_id_artifact_type_version_key",
        "publish_record_live_key",
        "publish_record_platform_post_key",
        "user_email_key",
        "api_token_token_sha256_key",
        "idempotency_key_api_token_id_key_key",
        "judge_lease_artifact_id_key",
        "notification_one_unread_key",
        "review_item_one_open_key",
        "metric_archive_month_key",
        "metric_counter_key",
        "metric_correction_key",
        "metric_ingest_head_sha256_key",
    }


def test_a_statement_that_is_refused_leaves_nothing(sql: Sql) -> None:
    good, bad = complete(sql, "campaign"), complete(sql, "campaign", status="archived")
    before: Any = count(sql, "audit_log")
    with refused(sql, "23514", "campaign_status_check"):
        sql.execute(
            "INSERT INTO campaign (campaign_id, name, goal, target_platforms, budget_cap_etb, status) VALUES"
            " (%s, 'a', 'a', '[]', 1, %s), (%s, 'b', 'b', '[]', 1, %s)",
            [good["campaign_id"], good["status"], bad["campaign_id"], bad["status"]],
        )
    assert count(sql, "campaign", campaign_id=good["campaign_id"]) == 0
    assert count(sql, "audit_log") == before
