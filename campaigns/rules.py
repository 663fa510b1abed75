"""A campaign's rules as people write them, taken out of the JSON that agents write too, and put back.

What has a field of its own in the form is a part; the rest stays JSON, as it was, in whatever shape somebody gave it.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

POLICY, RULES = "review_policy", "rules"
MINUTES_A_YEAR = 525_600
MOST_REASONS = 9  # as many as there are number keys


class NoPlace(Exception):
    """What is left over has a shape into which the parts cannot be put."""


def _share(value: Any) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool) and 0 <= value <= 1


def _minutes(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MINUTES_A_YEAR


def _lines(value: Any) -> bool:
    """A list of texts that are the same after they were lines of a form."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(line, str) and line.splitlines() == [line] and line == line.strip() for line in value)
        and len(set(value)) == len(value)
    )


def _few_lines(value: Any) -> bool:
    return _lines(value) and len(value) <= MOST_REASONS


# The parts of the policy that have a field, and what each has to be; others are left in the rest.
OF_POLICY: dict[str, Callable[[Any], bool]] = {
    "approve_threshold": _share,
    "blind_share": _share,
    "due_minutes": _minutes,
    "judge_minutes": _minutes,
    "reasons": _few_lines,
}
PARTS = [RULES, *OF_POLICY]


def taken_apart(constraints: Any) -> tuple[dict[str, Any], Any]:
    """The parts that have fields, by name, and what is left."""
    if not isinstance(constraints, dict):
        return {}, constraints
    parts, rest = {}, dict(constraints)
    if _lines(rest.get(RULES)):
        parts[RULES] = rest.pop(RULES)
    if isinstance(policy := rest.get(POLICY), dict):
        found = {name: policy[name] for name, is_well in OF_POLICY.items() if name in policy and is_well(policy[name])}
        left = {name: value for name, value in policy.items() if name not in found}
        parts.update(found)
        rest[POLICY] = left
        if found and not left:
            del rest[POLICY]
    return parts, rest if rest or not parts else None


def put_together(parts: dict[str, Any], rest: Any) -> Any:
    """The other way. Raises NoPlace, with a sentence, when the rest has no place for the parts."""
    if not parts:
        return rest
    if rest is None:
        rest = {}
    if not isinstance(rest, dict):
        raise NoPlace("These are a list, which has no place for the fields above. Make them an object: {…}.")
    whole, policy = dict(rest), {name: value for name, value in parts.items() if name in OF_POLICY}
    if RULES in parts:
        whole[RULES] = parts[RULES]
    if policy:
        before = rest.get(POLICY, {})
        if not isinstance(before, dict):
            raise NoPlace(f"“{POLICY}” here is not an object, so that the fields above have no place. Remove it here.")
        whole[POLICY] = {**before, **policy}
    return whole
