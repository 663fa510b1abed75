"""Filters for lists whose obvious filter would read a whole table."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Model, QuerySet
from django.http import HttpRequest


class RecentFilter(admin.SimpleListFilter):
    """A foreign key by the newest few of its rows, and the chosen one; the search finds the others."""

    shown = 12
    source: type[Model]
    newest = "-created_at"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        rows = self.source._default_manager.order_by(self.newest)
        found = {str(row.pk): str(row) for row in rows[: self.shown]}
        chosen = self.value()
        if chosen and chosen not in found:
            found |= {str(row.pk): str(row) for row in self._chosen(chosen)}
        return list(found.items())

    def _chosen(self, key: str) -> list[Model]:
        try:
            return list(self.source._default_manager.filter(pk=key))
        except (ValidationError, ValueError):
            return []

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        key = self.value()
        if not key:
            return queryset
        return queryset.filter(**{str(self.parameter_name): key}) if self._chosen(key) else queryset.none()
