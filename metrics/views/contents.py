"""Which contents made a sum: the best and the worst of a period, and one page after the other of all of them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.http import Http404

from content.models import Artifact, PublishRecord
from content.platforms import post_url
from metrics import reading
from metrics.reading import Compared, Listed
from metrics.views import measure as measures
from metrics.views.chosen import Chosen

SHOWN = 10  # of the best, and of the worst
ON_A_PAGE = 20
CURSOR = re.compile(r"\d{1,25}_[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)  # a sum, and a key
NOTHING = Compared(0, 0, 0)


@dataclass(frozen=True)
class Post:
    record: PublishRecord
    address: str  # where its audience sees it; empty when that is not known


@dataclass(frozen=True)
class Content:
    artifact: Artifact
    posts: Sequence[Post]
    url: str
    total: str
    share: str
    change: str


@dataclass(frozen=True)
class Contents:
    """`more` is the address at which a list goes on; empty at its end."""

    title: str
    rows: Sequence[Content]
    more: str
    of: int = 0  # how many there are, where that was counted


def lists(chosen: Chosen, whole: int) -> list[Contents]:
    """All of them, where they are few; otherwise the best and the worst."""
    best, worst, amount = reading.best_and_worst(chosen.subject.scope, chosen.span, ON_A_PAGE)
    if amount <= ON_A_PAGE:
        return [Contents("Contents, best first", _told(chosen, best, whole), "", amount)]
    shown = {listed.key for listed in best[:SHOWN]}
    worst = [listed for listed in worst if listed.key not in shown][:SHOWN]
    rows = _told(chosen, [*best[:SHOWN], *worst], whole)
    return [
        Contents("Best contents", rows[:SHOWN], chosen.asking(list="best"), amount),
        Contents("Worst contents", rows[SHOWN:], chosen.asking(list="worst"), amount),
    ]


def further(chosen: Chosen, given: Mapping[str, str], whole: int) -> list[Contents]:
    """One list from where the page before has ended."""
    best = given["list"] == "best"
    found = reading.further(
        chosen.subject.scope, chosen.span, best=best, after=_after(given.get("after", "")), most=ON_A_PAGE + 1
    )
    shown = found[:ON_A_PAGE]
    last = shown[-1] if len(found) > ON_A_PAGE else None
    more = chosen.asking(list=given["list"], after=f"{last.total}_{last.key}") if last else ""
    return [Contents(f"Contents, {given['list']} first", _told(chosen, shown, whole), more)]


def posts_by_content(contents: Sequence[UUID], platform: str | None) -> dict[UUID, list[Post]]:
    found: dict[UUID, list[Post]] = {}
    for record in reading.posts_of(contents, platform):
        address = post_url(record.platform, record.platform_post_id) if record.platform_post_id else ""
        found.setdefault(record.artifact_id, []).append(Post(record, address))
    return found


def _told(chosen: Chosen, listed: Sequence[Listed], whole: int) -> list[Content]:
    keys, scope = [each.key for each in listed], chosen.subject.scope
    artifacts, sums = reading.named(keys), reading.compared(scope, chosen.span, keys)
    posts = posts_by_content(keys, scope.get("platform"))
    return [
        Content(
            artifact=artifacts[each.key],
            posts=posts.get(each.key, []),
            url=chosen.page_of("content", each.key),
            total=measures.told(chosen.measure, each.total),
            share=measures.share(each.total, whole),
            change=chosen.change(sums.get(each.key, NOTHING)),
        )
        for each in listed
    ]


def _after(text: str) -> Listed | None:
    if not text:
        return None
    if not CURSOR.fullmatch(text):
        raise Http404("This page of the list does not exist; begin at its first.")
    total, _, key = text.partition("_")
    return Listed(UUID(key), int(total))
