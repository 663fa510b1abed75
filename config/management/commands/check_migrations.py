"""`check_migrations`: may these migrations be applied beside the version that is running?"""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections
from django.db.migrations import Migration
from django.db.migrations.exceptions import AmbiguityError
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader

from config.management.commands.migrate import require_owner
from config.migration_rules import Checked, Refusal, check

USING = "migrator"
LONGEST_STATEMENT = 150


class Command(BaseCommand):
    help = "Refuse migrations that would lock or break a version that is running. Exits with 1 when it refuses one."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "migrations", nargs="*", metavar="app.name", help="these, applied or not; without, all that are not applied"
        )
        parser.add_argument("--json", action="store_true", help="one JSON object instead of sentences")

    def handle(self, *args: Any, **options: Any) -> None:
        require_owner(USING)
        executor = MigrationExecutor(connections[USING])
        first = not executor.loader.applied_migrations
        wanted = named(executor.loader, options["migrations"]) if options["migrations"] else pending(executor)
        checked = [] if first and not options["migrations"] else list(check(wanted, executor.loader, USING))
        refused = [one for one in checked if not one.ok]
        if options["json"]:
            told = {"first_installation": first, "ok": not refused, "migrations": [as_json(one) for one in checked]}
            self.stdout.write(json.dumps(told, indent=2, ensure_ascii=False))
        elif not checked:
            empty = "This database is empty: a first installation needs no check, nobody uses it yet."
            self.stdout.write(empty if first else "Nothing to check: every migration is applied.")
        else:
            for one in checked:
                self.say(one)
        if refused:
            raise CommandError(
                f"{len(refused)} of {len(checked)} migrations must not be applied while another version runs. "
                "docs/operating.md, “Upgrading”, says how it is done in steps."
            )

    def say(self, checked: Checked) -> None:
        self.stdout.write(f"{checked.migration}: {'may be applied' if checked.ok else 'refused'}")
        for refusal in checked.refusals:
            self.stdout.write(f"  {short(refusal)}")
            said = f"Reviewed: {refusal.reviewed}" if refusal.reviewed else refusal.sentence
            self.stdout.write(f"    {said} [{refusal.rule}]")
        for rule in checked.unused:
            self.stdout.write(f"  Its exception to {rule} excuses nothing: take it out of `reviewed`.")


def pending(executor: MigrationExecutor) -> list[Migration]:
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return [migration for migration, _ in plan]


def named(loader: MigrationLoader, names: list[str]) -> list[Migration]:
    found = []
    for name in names:
        app, _, prefix = name.partition(".")
        try:
            found.append(loader.get_migration_by_prefix(app, prefix))
        except (KeyError, LookupError):
            raise CommandError(f"There is no migration “{name}”; write app.name, as in metrics.0001.") from None
        except AmbiguityError as problem:  # the prefix fits several
            raise CommandError(str(problem)) from None
    return found


def short(refusal: Refusal) -> str:
    text = refusal.statement
    return text if len(text) <= LONGEST_STATEMENT else f"{text[:LONGEST_STATEMENT]}…"


def as_json(checked: Checked) -> dict[str, Any]:
    refusals = [{key: value for key, value in vars(one).items() if key != "migration"} for one in checked.refusals]
    return {**vars(checked), "ok": checked.ok, "refusals": refusals}
