"""Filters of the review queue and of posts."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest

from campaigns.filters import PlatformFilter
from content.choices import ArtifactType, Hold, PublishStatus, ReviewItemStatus
from content.models import VideoAsset

ALL = "all"


class QueueFilter(admin.SimpleListFilter):
    """What waits comes first, so that the list is a queue until somebody asks for more."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("decided", "decided"), ("withdrawn", "withdrawn"), (ALL, "all")]

    def choices(self, changelist: ChangeList) -> Any:
        waiting, *others = super().choices(changelist)
        return [{**waiting, "display": "waiting"}, *others]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == ALL:
            return queryset
        known = self.value() in ReviewItemStatus.values
        return queryset.filter(status=self.value() if known else ReviewItemStatus.OPEN)


class TypeFilter(admin.SimpleListFilter):
    title = "type"
    parameter_name = "type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(value, str(label)) for value, label in ArtifactType.choices]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(artifact__artifact_type=self.value()) if self.value() else queryset


class TargetFilter(PlatformFilter):
    """Items by where they would go: the platforms of their campaign."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(campaign__target_platforms__contains=[self.value()]) if self.value() else queryset


class HoldFilter(admin.SimpleListFilter):
    """Only a queued post is held, and queued posts are found by an index."""

    title = "hold"
    parameter_name = "hold"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(value, str(label)) for value, label in Hold.choices]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(status=PublishStatus.QUEUED, hold=self.value()) if self.value() else queryset


class TierFilter(admin.SimpleListFilter):
    """Tiers by the names that agents give them: those of the newest videos, since asking all would read them all."""

    title = "tier"
    parameter_name = "tier"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        newest = VideoAsset.objects.order_by("-created_at").values_list("tier", flat=True)[:200]
        return [(name, name) for name in sorted({tier for tier in newest if tier})[:20]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(tier=self.value()) if self.value() else queryset
