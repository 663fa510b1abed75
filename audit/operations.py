"""The migration operation for a table that is partitioned by month. The months themselves are `metrics.partitions`'."""

from typing import Any

from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations import CreateModel
from django.db.migrations.state import ProjectState


class CreatePartitionedModel(CreateModel):
    """`CreateModel` with `PARTITION BY RANGE`.

    PostgreSQL wants the partition key in the primary key; Django goes on knowing the one column that is unique in
    practice, so the admin, foreign paths and `get(pk=…)` work as anywhere.
    """

    def __init__(self, *args: Any, partition_key: str, **kwargs: Any) -> None:
        self.partition_key = partition_key
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        name, args, kwargs = super().deconstruct()
        return name, list(args), {**kwargs, "partition_key": self.partition_key}

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        key = to_state.apps.get_model(app_label, self.name)._meta.pk
        assert key is not None
        plain = schema_editor.sql_create_table
        schema_editor.sql_create_table = (
            f"CREATE TABLE %(table)s (%(definition)s, PRIMARY KEY ({key.column}, {self.partition_key}))"
            f" PARTITION BY RANGE ({self.partition_key})"
        )
        key.primary_key = False  # only while the column's SQL is written
        try:
            super().database_forwards(app_label, schema_editor, from_state, to_state)
        finally:
            key.primary_key = True
            schema_editor.sql_create_table = plain
