"""What somebody looks at: of what, which measure, when; and the addresses of the same for another one of these."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.http import urlencode

from audit.admin.charts import change, compared
from metrics.choices import MetricType
from metrics.reading import Compared, Span
from metrics.views.measure import USUAL
from metrics.views.period import Period
from metrics.views.subject import Subject, page_of


@dataclass(frozen=True)
class Chosen:
    subject: Subject
    measure: MetricType
    period: Period

    @property
    def span(self) -> Span:
        period = self.period
        return Span(
            measure=self.measure.value,
            start=period.start,
            end=period.end,
            before=period.before,
            over=period.over,
            by_hour=period.by_hour,
        )

    @property
    def now(self) -> datetime:
        return self.period.now

    @property
    def query(self) -> str:
        return self.asking()

    def asking(self, *, period: str = "", measure: str = "", **more: Any) -> str:
        """The query of an address: this one's, but for what is given."""
        named = measure or self.measure.value
        told = urlencode({**({} if named == USUAL.value else {"measure": named}), **more})
        return "?" + "&".join(filter(None, [period or self.period.query, told]))

    def page_of(self, kind: str, key: Any = None) -> str:
        """The metrics of something else, as they are looked at here."""
        page = page_of(kind, key)
        return page and page + self.query

    def compared(self, sums: Compared) -> str:
        """In words."""
        return compared(sums.now, sums.before, self.period.words) if self._has_begun else "not over yet"

    def change(self, sums: Compared) -> str:
        """In a column that says with what it is compared."""
        return change(sums.now, sums.before) if self._has_begun else "–"

    @property
    def _has_begun(self) -> bool:
        """Whether there is anything yet that can be compared."""
        return self.period.over > self.period.start
