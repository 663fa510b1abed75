"""Foreign keys and indexes as the specifications' DDL would make them.

Django's defaults differ in three ways that the contract does not allow: foreign keys are deferrable (a violation would
show at the commit instead of at the statement), their names are hashes, and every text key gets a second index for
LIKE. Mending this here covers each table, today's and tomorrow's; mending it in every migration would be forgotten.
"""

from typing import Any

from django.db.backends.ddl_references import Statement
from django.db.backends.postgresql.schema import DatabaseSchemaEditor as PostgreSQLSchemaEditor
from django.db.models import Field, Model

from audit.keys import SetCheckedForeignKey


class DatabaseSchemaEditor(PostgreSQLSchemaEditor):
    sql_create_fk = (
        "ALTER TABLE %(table)s ADD CONSTRAINT %(name)s FOREIGN KEY (%(column)s) REFERENCES %(to_table)s (%(to_column)s)"
    )
    sql_create_column_inline_fk = "CONSTRAINT %(name)s REFERENCES %(to_table)s(%(to_column)s)"
    sql_delete_fk = "ALTER TABLE %(table)s DROP CONSTRAINT %(name)s"

    def _fk_constraint_name(self, model: type[Model], field: Field[Any, Any], suffix: str) -> str:
        """The name that PostgreSQL itself would derive: `task_campaign_id_fkey`."""
        return self.quote_name(f"{model._meta.db_table}_{field.column}_fkey")

    def _create_fk_sql(self, model: type[Model], field: Field[Any, Any], suffix: str) -> Statement:
        statement: Statement = super()._create_fk_sql(model, field, suffix)  # type: ignore[misc]
        if isinstance(field, SetCheckedForeignKey):
            statement.template += " NOT ENFORCED"
        return statement

    def add_field(self, model: type[Model], field: Field[Any, Any]) -> None:
        """A key may also be written beside its column."""
        if isinstance(field, SetCheckedForeignKey):
            inline = self.sql_create_column_inline_fk
            self.sql_create_column_inline_fk = f"{inline} NOT ENFORCED"
            try:
                super().add_field(model, field)
            finally:
                self.sql_create_column_inline_fk = inline
        else:
            super().add_field(model, field)

    def _create_like_index_sql(self, model: type[Model], field: Field[Any, Any]) -> Statement | None:
        return None
