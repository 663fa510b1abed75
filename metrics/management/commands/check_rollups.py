"""`check_rollups`: the sums agree with the events, hot and cold; `--repair` mends those that do not."""

import json
from collections.abc import Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit.context import Actor
from metrics.management.showing import in_sentences, month
from metrics.partitions import Month
from metrics.services.rollup_repair import check
from metrics.services.rollups import SHOWN, Checked, months_to_check
from metrics.services.running_totals import Shortfall, counters_too_high

ACTOR = Actor.system("check_rollups")
OWNED = "Only the owner of the schema may mend sums."


class Command(BaseCommand):
    help = "Compare the sums by hour and day with the events, hot and archived. Exits with 1 when they differ."

    def add_arguments(self, parser: CommandParser) -> None:
        which = parser.add_mutually_exclusive_group()
        which.add_argument(
            "--month", type=month, action="append", metavar="YYYY-MM", help="only this month; repeatable"
        )
        which.add_argument("--since", type=month, metavar="YYYY-MM", help="only this month and later ones")
        parser.add_argument("--repair", action="store_true", help="mend what differs (as the owner of the schema)")
        parser.add_argument("--json", action="store_true", help="one JSON object instead of sentences")

    def handle(self, *args: Any, **options: Any) -> None:
        self.as_json = options["json"]
        found: list[Checked] = []
        everything = not options["month"] and not options["since"]
        with in_sentences(OWNED):
            for checked in check(_months(options), repair_as=ACTOR if options["repair"] else None):
                found.append(checked)
                if not self.as_json:
                    self._say(checked)
            # Running totals are of no month: only all of them together can be compared.
            amount, shortfalls = counters_too_high() if everything else (0, [])
        self._end(found, amount, shortfalls)

    def _say(self, checked: Checked) -> None:
        for difference in checked.shown:
            self.stdout.write(str(difference))
        parts = [f"{amount:,} rows of {table} differ" for table, amount in checked.different.items()]
        if checked.mended:
            parts.append(f"{checked.mended:,} mended")
        if checked.problem:
            parts.append(checked.problem)
        self.stdout.write(
            f"{checked.month} ({checked.where}): {_events(checked)}{'; '.join(parts) or 'all sums agree'}"
        )

    def _end(self, found: Sequence[Checked], amount: int, shortfalls: Sequence[Shortfall]) -> None:
        differences = sum(checked.differences for checked in found)
        mended = sum(checked.mended for checked in found)
        problems = [checked for checked in found if checked.problem]
        if self.as_json:
            self.stdout.write(json.dumps(_told(found, amount, shortfalls), indent=1))
        else:
            for shortfall in shortfalls:
                self.stdout.write(str(shortfall))
        wrong = []
        if differences > mended:
            wrong.append(
                f"{differences - mended:,} sums differ from their events (the first {SHOWN} are above); "
                "--repair mends them"
            )
        if problems:
            wrong.append(f"{', '.join(str(checked.month) for checked in problems)} could not be checked or mended")
        if amount:
            wrong.append(f"of {amount:,} posts, running totals are higher than all that their events add up to")
        if wrong:
            raise CommandError(f"{'; '.join(wrong)}.")
        if not self.as_json:
            events, say = sum(checked.events for checked in found), f"{mended:,} sums were mended. " if mended else ""
            self.stdout.write(f"{say}All sums of {len(found)} months agree with {events:,} events.")


def _months(options: dict[str, Any]) -> list[Month]:
    if options["month"]:
        return sorted(set(options["month"]))
    return [each for each in months_to_check() if not options["since"] or each >= options["since"]]


def _events(checked: Checked) -> str:
    return "" if checked.problem and not checked.events else f"{checked.events:,} events, "


def _told(found: Sequence[Checked], amount: int, shortfalls: Sequence[Shortfall]) -> dict[str, Any]:
    return {
        "agrees": all(
            checked.agrees or (checked.differences == checked.mended and not checked.problem) for checked in found
        )
        and not amount,
        "months": [
            {
                "month": str(checked.month),
                "where": checked.where,
                "events": checked.events,
                "different": checked.different,
                "mended": checked.mended,
                "problem": checked.problem,
            }
            for checked in found
        ],
        "differences": [
            {"table": each.table, "key": each.key, "expected": _plain(each.expected), "found": _plain(each.found)}
            for checked in found
            for each in checked.shown
        ],
        "posts_with_too_few_events": amount,
        "posts": [vars(shortfall) for shortfall in shortfalls],
    }


def _plain(measures: dict[str, Any] | None) -> dict[str, Any] | None:
    if measures is None:
        return None
    return {**measures, "last_observed_at": measures["last_observed_at"].isoformat()}
