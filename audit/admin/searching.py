"""Searching lists of a million rows by names that are kept in other tables.

A condition over several tables at once is answered by no index: PostgreSQL would join all rows and look at each. So the
names are looked up first, in their own tables, and the list is then asked for the rows that refer to what was found.
Of a name that fits very many, the newest count, and the list says so.
"""

from django.db.models import Field, Model, Q, QuerySet
from django.utils.text import smart_split, unescape_string_literal

MOST = 500  # rows of another table that one word stands for
MOST_WORDS = 8
QUOTES = "\"'"


def words(text: str) -> list[str]:
    """What stands in quotes is one word."""
    return [unescape_string_literal(bit) if _is_quoted(bit) else bit for bit in list(smart_split(text))[:MOST_WORDS]]


def _is_quoted(bit: str) -> bool:
    return len(bit) > 1 and bit[0] == bit[-1] and bit[0] in QUOTES


class Search:
    """`wanted` are the rows in which each word is found in one of the columns; `is_cut` when a name fits too many.

    A path with = before it holds ids, of which one is given as it is. `within` narrows other tables to the rows that
    can be meant at all.
    """

    def __init__(self, model: type[Model], paths: list[str], within: dict[type[Model], Q] | None = None) -> None:
        self.model, self.paths, self.within, self.is_cut = model, paths, within or {}, False

    def wanted(self, text: str) -> Q:
        found = Q()
        for word in words(text):
            anywhere = Q(pk__in=[])
            for path in self.paths:
                anywhere |= self._in_column(self.model, path.removeprefix("="), word, exact=path.startswith("="))
            found &= anywhere
        return found

    def _in_column(self, model: type[Model], path: str, word: str, *, exact: bool) -> Q:
        step, _, rest = path.partition("__")
        if not rest:
            return Q(**{step if exact else f"{step}__icontains": word})
        field = model._meta.get_field(step)
        other: type[Model] = field.related_model  # type: ignore[assignment]
        named = self._in_column(other, rest, word, exact=exact) & self.within.get(other, Q())
        rows = other._default_manager.filter(named)
        if isinstance(field, Field):
            return Q(**{f"{step}__in": self._newest(rows, "pk")})
        # A reverse relation: the rows themselves say to which of ours they belong.
        return Q(pk__in=self._newest(rows, field.field.attname))

    def _newest(self, rows: "QuerySet[Model]", column: str) -> list[object]:
        found = list(rows.order_by("-pk").values_list(column, flat=True)[: MOST + 1])
        self.is_cut |= len(found) > MOST
        return found[:MOST]
