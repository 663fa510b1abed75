"""Leases in the audit log: whoever knows one holds it, so that no page, no file and no answer tells it."""

from audit.choices import EntityType
from audit.models import AuditLog

SECRET = {"lease_id"}


def without_leases(row: AuditLog) -> AuditLog:
    """For showing, never for saving. A context is recorded under the lease that it was given with."""
    if isinstance(row.changes, dict):
        row.changes = {column: told for column, told in row.changes.items() if column not in SECRET}
    if row.entity_type == EntityType.CONTEXT_SNAPSHOT:
        row.entity_id = None  # type: ignore[assignment]
    return row
