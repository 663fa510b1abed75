"""The database engine: Django's own, but for how it writes constraints and indexes."""

from django.db.backends.postgresql.base import DatabaseWrapper as PostgreSQLWrapper

from config.postgresql.schema import DatabaseSchemaEditor


class DatabaseWrapper(PostgreSQLWrapper):
    SchemaEditorClass = DatabaseSchemaEditor
