"""Whatever an agent writes into its rows, an operator can stop the campaign, and its page can be read."""

import psycopg
import pytest
from django.db import connection

from audit.context import Actor
from audit.exact_json import dumps, loads
from campaigns.choices import CampaignVerb, TaskStatus
from campaigns.models import Task
from campaigns.services import control_campaign
from config.groups import OPERATOR
from tests.conftest import address
from tests.factories import claimed_task, make_user

pytestmark = pytest.mark.django_db(transaction=True)

NESTED = "[" * 5000 + "]" * 5000


def agent_writes(statement: str, *values: object) -> None:
    with psycopg.connect(**address("migrator")) as sql:
        sql.execute("SET ROLE gatehouse_agent")
        sql.execute(statement, values)


@pytest.mark.parametrize("verb", [CampaignVerb.HALT, CampaignVerb.STOP])
@pytest.mark.parametrize(
    "change",
    [
        """context = '{"n": 1e5000}'""",
        "context = ('{\"n\": ' || repeat('9', 5000) || '}')::jsonb",
        "max_attempts = 2147483647, attempt = 2147483646",
        "title = repeat('x', 100000)",
    ],
)
def test_an_operator_gets_through(verb: CampaignVerb, change: str) -> None:
    task = claimed_task()
    agent_writes(f"UPDATE task SET {change} WHERE task_id = %s", task.pk)
    control_campaign(verb, campaign_id=task.campaign_id, actor=Actor.human(make_user(OPERATOR)), reason="Strange.")
    assert Task.objects.get(pk=task.pk).status == TaskStatus.FAILED


@pytest.mark.parametrize("column", ["context", "not_before", "created_at", "updated_at", "claimed_at"])
def test_what_nobody_could_read_is_refused(column: str) -> None:
    task = claimed_task()
    value = NESTED if column == "context" else "infinity"
    if column == "updated_at":  # an UPDATE stamps it; an INSERT brings its own
        statement = (
            "INSERT INTO task (campaign_id, agent_id, task_type, priority, status, context, updated_at)"
            " SELECT campaign_id, agent_id, task_type, priority, 'pending', context, %s FROM task WHERE task_id = %s"
        )
    else:
        statement = f"UPDATE task SET {column} = %s WHERE task_id = %s"
    with pytest.raises(psycopg.errors.CheckViolation):
        agent_writes(statement, value, task.pk)


def test_every_time_that_an_agent_may_write_lies_within_reach() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid"
            " WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND a.atttypid = 'timestamptz'::regtype"
            " AND has_column_privilege('gatehouse_agent', c.oid, a.attnum, 'INSERT')"
            " AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = c.oid"
            "                 AND k.conname = c.relname || '_times_check' AND a.attnum = ANY (k.conkey))"
        )
        # Their months bound these two; the log is not read by its other columns.
        assert set(cursor.fetchall()) == {("metric_event", "observed_at"), ("audit_log", "created_at")}


@pytest.mark.parametrize("text", ["9" * 5000, "1e5000", "-" + "9" * 5000])
def test_numbers_of_any_length_are_read_and_written(text: str) -> None:
    assert loads(dumps(loads(text))) == loads(text)
