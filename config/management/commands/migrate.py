"""`migrate`, as the owner of the schema."""

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.core.management.commands import migrate
from django.db import OperationalError, connections


class Command(migrate.Command):
    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.set_defaults(database="migrator")

    def handle(self, *args: Any, **options: Any) -> None:
        require_owner(options["database"])
        super().handle(*args, **options)


def require_owner(using: str = "migrator") -> None:
    """Refuse in a sentence when the connection may not change the schema."""
    connection = connections[using]
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT current_user, has_schema_privilege('public', 'CREATE') AND COALESCE("
                " (SELECT pg_has_role(relowner, 'USAGE') FROM pg_class"
                "  WHERE oid = to_regclass('public.django_migrations')), true)"
            )
            user, may = cursor.fetchone()
    except OperationalError as error:
        raise CommandError(
            f"The database of MIGRATOR_DATABASE_URL (or DATABASE_URL) cannot be reached: {error}"
        ) from None
    if not may:
        raise CommandError(
            f"{user} may not change the schema. Set MIGRATOR_DATABASE_URL to a login that owns it; DATABASE_URL can "
            "stay what the web processes use."
        )
