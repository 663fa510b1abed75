"""What a page of metrics is about: everything, or one campaign, artifact, agent or platform."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib.admin.utils import quote, unquote
from django.http import Http404
from django.urls import reverse

from agents.models import Agent
from audit.admin.cells import admin_url
from campaigns.models import Campaign
from content.models import Artifact

LONGEST = 255  # characters of a name that stands in an address
# By which other columns the sums of a page are told apart; what is one and the same on all of it is left out.
TOLD_APART = {
    "": ("platform", "campaign_id", "agent_id"),
    "campaign": ("platform", "agent_id"),
    "content": ("platform",),
    "agent": ("platform", "campaign_id"),
    "platform": ("campaign_id", "agent_id"),
}


@dataclass(frozen=True)
class Subject:
    """`kind` is empty for everything; `row` is what the key names, where that is a row."""

    kind: str
    key: Any = None
    name: str = ""
    row: Any = None

    @property
    def scope(self) -> dict[str, Any]:
        """The columns of the sums that belong to it."""
        if not self.kind:
            return {}
        return {"platform" if self.kind == "platform" else f"{self.kind}_id": self.key}

    @property
    def told_apart(self) -> tuple[str, ...]:
        return TOLD_APART[self.kind]

    @property
    def page(self) -> str:
        """The page of the campaign, the artifact or the agent itself."""
        return admin_url(self.row) if self.row else ""


def page_of(kind: str, key: Any = None) -> str:
    """Where its metrics are; empty for a name that no address can carry, as plain SQL may write one."""
    if not kind:
        return reverse("admin:metrics")
    text = str(key)
    if not text.strip(".") or len(text) > LONGEST:
        return ""
    return reverse(f"admin:metrics_{kind}", args=[key if isinstance(key, UUID) else quote(text)])


def everything() -> Subject:
    return Subject("")


def of_campaign(key: UUID) -> Subject:
    row = Campaign.objects.filter(pk=key).only("name").first()
    return Subject("campaign", key, str(_there(row, "campaign")), row)


def of_content(key: UUID) -> Subject:
    rows = Artifact.objects.select_related("task__agent", "campaign").filter(pk=key)
    row = _there(rows.defer("metadata", "sources", "task__context").first(), "artifact")
    return Subject("content", key, str(row.task), row)


def of_agent(key: str) -> Subject:
    row = Agent.objects.filter(pk=unquote(key)).only("display_name").first()
    return Subject("agent", unquote(key), str(_there(row, "agent")), row)


def of_platform(key: str) -> Subject:
    """Nobody keeps a list of platforms: one of which nothing is known has an empty page."""
    return Subject("platform", unquote(key), unquote(key))


def _there(row: Any, what: str) -> Any:
    if row is None:
        raise Http404(f"There is no such {what}.")
    return row
