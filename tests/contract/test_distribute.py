"""The dry run of docs/scaling/distribute.sql: the keys that tables distributed by campaign would need can be had."""

from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.conf import settings

from tests.conftest import TEST_DATABASE, administrator
from tests.factories import published_post

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "migrator"]),
    pytest.mark.skipif(not settings.EMBEDDED, reason="the dry run needs a superuser"),
]

SCRIPT = Path(__file__).parents[2] / "docs" / "scaling" / "distribute.sql"
DISTRIBUTED = {
    *("task", "artifact", "review_decision", "review_item", "publish_record", "video_asset", "judge_lease"),
    *("metric_event", "metric_rollup", "metric_rollup_daily", "metric_rollup_campaign", "metric_counter"),
    *("metric_correction", "audit_log"),
}
REFERENCES = """
    SELECT conrelid::regclass::text, confrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE contype = 'f' AND conparentid = 0 AND connamespace = 'public'::regnamespace
"""
UNIQUE = """
    SELECT pg_get_indexdef(indexrelid) FROM pg_index JOIN pg_class ON pg_class.oid = indrelid
    WHERE indisunique AND NOT relispartition AND relname = ANY (%s)
"""


def references(connection: psycopg.Connection[Any]) -> dict[tuple[str, str], list[str]]:
    found: dict[tuple[str, str], list[str]] = {}
    for child, parent, definition in connection.execute(REFERENCES).fetchall():
        found.setdefault((child, parent), []).append(definition)
    return found


def test_every_key_of_a_distributed_table_can_carry_its_campaign() -> None:
    published_post()
    with administrator(TEST_DATABASE) as connection, connection.transaction(force_rollback=True):
        before = references(connection)
        connection.execute(SCRIPT.read_text())
        keys = [definition for (definition,) in connection.execute(UNIQUE, [list(DISTRIBUTED)]).fetchall()]
        assert len(keys) > len(DISTRIBUTED)
        assert [key for key in keys if "campaign_id" not in key] == []
        after = references(connection)
        counts = {pair: len(definitions) for pair, definitions in after.items()}
        assert counts == {pair: len(those) for pair, those in before.items() if pair != ("agent", "campaign")}
        inside = [text for pair, texts in after.items() if DISTRIBUTED.issuperset(pair) for text in texts]
        assert [text for text in inside if not text.startswith("FOREIGN KEY (campaign_id, ")] == []
        for table in DISTRIBUTED:
            (lost,) = connection.execute(f"SELECT count(*) FROM {table} WHERE campaign_id IS NULL").fetchone() or (0,)
            assert lost == 0, table
