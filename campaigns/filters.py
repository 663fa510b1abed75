"""Filters that the lists of every room above share."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from audit.admin.filters import RecentFilter
from campaigns.models import Campaign


class CampaignFilter(RecentFilter):
    title = "campaign"
    parameter_name = "campaign"
    source = Campaign


class PlatformFilter(admin.SimpleListFilter):
    """A platform's name, from what campaigns aim at: asking the posts or the events would read them all."""

    title = "platform"
    parameter_name = "platform"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        aims = Campaign.objects.order_by("-created_at").only("target_platforms")[:200]
        names = sorted({platform for campaign in aims for platform in campaign.platforms})
        return [(name, name) for name in names[:20]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(platform=self.value()) if self.value() else queryset
