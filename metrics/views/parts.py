"""What a sum is made of: by platform, by campaign, by agent."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agents.models import Agent
from audit.base import called
from campaigns.models import Campaign
from metrics import reading
from metrics.views import measure as measures
from metrics.views.chosen import Chosen
from metrics.views.contents import NOTHING, Post, posts_by_content

TITLES = {"platform": "By platform", "campaign_id": "By campaign", "agent_id": "By agent"}


@dataclass(frozen=True)
class Row:
    name: str
    url: str
    total: str
    share: str
    change: str
    post: Post | None = None


@dataclass(frozen=True)
class Breakdown:
    title: str
    rows: Sequence[Row]
    others: int  # that are not shown


def breakdowns(chosen: Chosen, whole: int) -> list[Breakdown]:
    columns = chosen.subject.told_apart
    found = reading.parts(chosen.subject.scope, chosen.span, columns)
    if chosen.subject.kind == "content":
        return [_posts(chosen, found, whole)]
    names = _names(found)
    shown = []
    for column in columns:
        own = [part for part in found if part.column == column and (part.sums.total or part.sums.before)]
        rows = [_row(chosen, part, names.get((column, part.key), str(part.key)), whole) for part in own]
        others = max((part.among for part in own), default=0) - len(own) if len(own) == reading.PARTS else 0
        shown.append(Breakdown(TITLES[column], rows, others))
    return shown


def _row(chosen: Chosen, part: reading.Part, name: str, whole: int, post: Post | None = None) -> Row:
    return Row(
        name=name,
        url=chosen.page_of(part.column.removesuffix("_id"), part.key),
        total=measures.told(chosen.measure, part.sums.total),
        share=measures.share(part.sums.total, whole),
        change=chosen.change(part.sums),
        post=post,
    )


def _names(parts: Sequence[reading.Part]) -> dict[tuple[str, Any], str]:
    campaigns = [part.key for part in parts if part.column == "campaign_id"]
    agents = [part.key for part in parts if part.column == "agent_id"]
    found: dict[tuple[str, Any], str] = {}
    for campaign in Campaign.objects.filter(pk__in=campaigns).only("name"):
        found["campaign_id", campaign.pk] = str(campaign)
    for agent in Agent.objects.filter(pk__in=agents).only("display_name"):
        found["agent_id", agent.pk] = str(agent)
    return {**found, **{("platform", part.key): called(part.key) for part in parts if part.column == "platform"}}


def _posts(chosen: Chosen, parts: Sequence[reading.Part], whole: int) -> Breakdown:
    """Of one content: each platform with its post, also where nothing was measured."""
    posts = {
        post.record.platform: post for post in posts_by_content([chosen.subject.key], None).get(chosen.subject.key, [])
    }
    known = {part.key: part for part in parts}
    unseen = [reading.Part("platform", name, NOTHING, len(posts)) for name in posts if name not in known]
    rows = [_row(chosen, part, called(part.key), whole, posts.get(part.key)) for part in [*parts, *unseen]]
    return Breakdown("Its posts", rows, max((part.among for part in parts), default=0) - len(parts))
