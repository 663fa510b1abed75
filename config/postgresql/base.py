"""The database engine: Django's own, but for how it writes constraints and indexes, and which psql it calls."""

from django.db.backends.postgresql.base import DatabaseWrapper as PostgreSQLWrapper
from django.db.backends.postgresql.client import DatabaseClient as PostgreSQLClient

from config import embedded
from config.postgresql.schema import DatabaseSchemaEditor


def _psql() -> str:
    """The one that came with the embedded server: of the right version, and there without an installation."""
    try:
        return str(embedded.programs() / "psql")
    except embedded.ServerProblem:
        return "psql"


class DatabaseClient(PostgreSQLClient):
    executable_name = _psql()


class DatabaseWrapper(PostgreSQLWrapper):
    SchemaEditorClass = DatabaseSchemaEditor
    client_class = DatabaseClient
