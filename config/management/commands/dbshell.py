"""`dbshell`, as the owner of the schema."""

from django.core.management.base import CommandParser
from django.core.management.commands import dbshell


class Command(dbshell.Command):
    help = (
        "Opens psql as the owner of the schema, whose statements leave audit rows; those of gatehouse_app (--database "
        "default) leave none by themselves, because there the application writes them."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.set_defaults(database="migrator")
