"""Who may do what, table by table. The matrix is written by hand; what is not in it is refused with 42501."""

from collections.abc import Callable

import pytest

from tests.contract import spec
from tests.contract.conftest import AGENT, APP, OWNER, READONLY
from tests.contract.rows import Sql, column, insert, one, refused
from tests.contract.test_permanence import LEAVES, current_leaf, do

Connect = Callable[..., Sql]

READ, APPEND, CHANGE, NOTHING = {"SELECT"}, {"SELECT", "INSERT"}, {"SELECT", "INSERT", "UPDATE"}, set[str]()
ALL = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER", "MAINTAIN")

AGENTS_MAY = {
    "campaign": CHANGE,
    "agent": CHANGE,
    "task": CHANGE,
    "video_asset": CHANGE,
    "publish_record": CHANGE,
    "artifact": APPEND,
    "review_decision": APPEND,
    "metric_event": APPEND,
    "audit_log": APPEND,
    "system_control": READ,
    "review_item": READ,
    **dict.fromkeys(spec.DERIVED_TABLES, READ),
    "metric_ingest": READ,
    "metric_counter": READ,
    "metric_correction": READ,
    "metric_archive": READ,
    "judge_lease": READ,
    "cron_job": READ,
    "notification": NOTHING,
    "user": NOTHING,
    "api_token": NOTHING,
    "idempotency_key": NOTHING,
}
APP_MAY = {table: APPEND if table in spec.IMMUTABLE_TABLES else CHANGE for table in spec.DOMAIN_TABLES}
APP_MAY |= {table: {*CHANGE, "DELETE"} for table in spec.PURGED_TABLES}
APP_MAY |= dict.fromkeys(spec.DERIVED_TABLES, READ)
PRIVATE = {"api_token", "user", "idempotency_key", "notification"}
READONLY_MAY = {table: NOTHING if table in PRIVATE else READ for table in APP_MAY}
MAY = {AGENT: AGENTS_MAY, APP: APP_MAY, READONLY: READONLY_MAY}
EACH = [(role, table) for role, tables in MAY.items() for table in sorted(tables)]


@pytest.mark.parametrize(("role", "table"), EACH)
def test_granted_is_exactly_what_is_needed(owner: Sql, role: str, table: str) -> None:
    granted = column(
        owner, "SELECT p FROM unnest(%s::text[]) p WHERE has_table_privilege(%s, %s, p)", list(ALL), role, f'"{table}"'
    )
    assert set(granted) == MAY[role][table]


@pytest.mark.parametrize(("role", "table"), EACH)
def test_the_rest_is_refused(connect: Connect, role: str, table: str) -> None:
    sql = connect(role)
    for verb in ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE"):
        if verb not in MAY[role][table]:
            with refused(sql, "42501"):
                sql.execute(do(verb, table))


@pytest.mark.parametrize("role", [AGENT, APP, READONLY])
@pytest.mark.parametrize("table", sorted(spec.PARTITIONED_TABLES))
def test_months_are_reached_only_through_their_table(connect: Connect, role: str, table: str) -> None:
    sql = connect(role)
    leaf = current_leaf(sql, table)
    for verb in ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE"):
        with refused(sql, "42501"):
            sql.execute(do(verb, leaf))


def test_months_have_no_grants_of_their_own(owner: Sql) -> None:
    for leaf in column(owner, LEAVES, sorted(spec.PARTITIONED_TABLES)):
        granted = column(
            owner,
            "SELECT DISTINCT grantee::regrole::text FROM pg_class, aclexplode(relacl) WHERE oid = %s::regclass",
            leaf,
        )
        assert set(granted) <= {OWNER}


@pytest.mark.parametrize("role", [AGENT, APP, READONLY])
def test_nobody_but_the_owner_changes_the_schema(connect: Connect, role: str) -> None:
    sql = connect(role)
    for statement in (
        "CREATE TABLE mine (id int)",
        "CREATE SCHEMA mine",
        "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "ALTER TABLE task DROP CONSTRAINT task_status_check",
        "ALTER TABLE task ADD COLUMN mine int",
        "DROP TABLE task CASCADE",
        "CREATE TRIGGER mine BEFORE INSERT ON task EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "CREATE RULE mine AS ON INSERT TO task DO INSTEAD NOTHING",
        "ALTER TABLE metric_event DETACH PARTITION " + current_leaf(sql, "metric_event"),
    ):
        with refused(sql, "42501"):
            sql.execute(statement)  # type: ignore[arg-type]


@pytest.mark.parametrize("role", [AGENT, APP, READONLY])
def test_roles_have_no_attributes_and_own_nothing(owner: Sql, role: str) -> None:
    attributes = owner.execute(
        "SELECT rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls FROM pg_roles WHERE rolname = %s",
        [role],
    ).fetchone()
    assert attributes == (False,) * 5
    assert one(owner, "SELECT count(*) FROM pg_class WHERE relowner = %s::regrole", role) == 0
    assert one(owner, "SELECT count(*) FROM pg_auth_members WHERE member = %s::regrole", role) == 0


@pytest.mark.parametrize("role", [AGENT, APP, READONLY])
def test_everybody_reads_the_version_of_the_schema(connect: Connect, role: str) -> None:
    assert one(connect(role), "SELECT count(*) FROM schema_migrations") > 0


def test_readers_see_what_was_written(owner: Sql) -> None:
    key = insert(owner, "campaign")["campaign_id"]
    owner.execute("SET ROLE gatehouse_readonly")
    assert one(owner, "SELECT name FROM campaign WHERE campaign_id = %s", key)
