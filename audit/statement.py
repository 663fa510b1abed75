"""Audit rows for verbs that are one SQL statement: they are written by the same statement, as one of its parts."""

from typing import Any

from audit.base import AuditedModel
from audit.context import Actor, current
from audit.triggers import array

COLUMNS = (
    "trace_id, actor_type, actor_id, tool_name, severity, entity_type, entity_id, action, campaign_id, changes,"
    " created_at"
)
ACTOR = "%(actor_type)s, %(actor_id)s, %(tool)s, 'info'"


def actor_parameters(actor: Actor) -> dict[str, Any]:
    """What the parts below take as parameters."""
    return {"actor_type": actor.type, "actor_id": actor.id, "tool": current().tool_name}


def insert_audit(model: type[AuditedModel], action: str, *, trace: str, campaign: str, rows: str) -> str:
    """One audit row for each of `rows`: a FROM clause that has the changed row as jsonb in `before` and `after`.

    `trace` and `campaign` are columns there. A row that is new has NULL before.
    """
    return f"""
        INSERT INTO audit_log ({COLUMNS})
        SELECT {trace}, {ACTOR}, '{model.audit.entity}', after ->> '{model._meta.pk.column}', '{action}', {campaign},
               audit_changes(COALESCE(before, '{{}}'), after, {array(sorted(model.audit.redact))},
                             {array(sorted(model.audit.ignore))}), clock_timestamp()
        FROM {rows}"""
