"""How far a trace has come: planned, claimed, made, judged, decided, queued, published, measured.

Read from the trace's own audit rows, and not from the tables: so it tells what happened, and when, and by which row one
knows it. What was passed over (nobody had to be asked) and what is still to come are told too. Measurements come in
batches that have traces of their own: what was measured is told by the sums of the trace's contents.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models.fields.json import KT

from audit.admin.cells import duration
from audit.admin.entries import Thing, named
from audit.choices import ActorType, EntityType
from audit.models import AuditLog
from audit.trace import KEY
from campaigns.choices import TaskStatus
from content.choices import PublishStatus
from content.models import Artifact
from metrics.choices import MetricType
from metrics.reading import measured_on
from metrics.reading import named as contents_named
from metrics.views import PERMISSION as SEE_METRICS
from metrics.views import measure
from metrics.views.period import whole_days

MOST = 2000  # rows of a trace that are read for its journey, without its measurements
NAMED = 6  # things of a kind
ABOUT = [
    EntityType.TASK,
    EntityType.ARTIFACT,
    EntityType.REVIEW_DECISION,
    EntityType.REVIEW_ITEM,
    EntityType.PUBLISH_RECORD,
]


@dataclass(frozen=True)
class Told:
    """What the journey needs of an audit row; `status` is the one that the row led to."""

    audit_id: UUID
    created_at: datetime
    entity_type: str
    entity_id: str
    actor_type: str
    action: str
    status: str | None


Recognises = Callable[[Told], bool]
STAGES: list[tuple[str, str, Recognises]] = [
    ("planned", "", lambda row: row.entity_type == EntityType.TASK and row.action == "create"),
    ("claimed", "", lambda row: row.entity_type == EntityType.TASK and row.status == TaskStatus.IN_PROGRESS),
    ("made", "nothing was made", lambda row: row.entity_type == EntityType.ARTIFACT),
    (
        "judged",
        "no judge was asked",
        lambda row: row.entity_type == EntityType.REVIEW_DECISION and row.actor_type == ActorType.JUDGE,
    ),
    (
        "decided",
        "no person was asked",
        lambda row: row.entity_type == EntityType.REVIEW_DECISION and row.actor_type == ActorType.HUMAN,
    ),
    (
        "queued",
        "",
        lambda row: row.entity_type == EntityType.PUBLISH_RECORD and row.status == PublishStatus.QUEUED,
    ),
    (
        "published",
        "",
        lambda row: row.entity_type == EntityType.PUBLISH_RECORD and row.status == PublishStatus.PUBLISHED,
    ),
]
MEASURED = "measured"


@dataclass(frozen=True)
class Stage:
    """`says` is what one reads under the word: when it was reached, or why it was not."""

    word: str
    at: datetime | None
    says: str
    link: str  # to its step; empty when there is none


@dataclass(frozen=True)
class Content:
    """What a content has gathered since it came out."""

    artifact: Artifact
    sums: list[tuple[str, str]]  # in words: of what, how much


@dataclass(frozen=True)
class Measurements:
    first: datetime
    last: datetime
    contents: list[Content]
    query: str  # of the pages of metrics, for all of that time


@dataclass(frozen=True)
class Journey:
    stages: list[Stage]
    about: list[tuple[str, list[Thing]]]  # by kind
    ended: str  # how its newest task stands when that ended without success
    measured: Measurements | None


def journey(trace_id: str, person: Any, shown: set[UUID]) -> Journey:
    """`shown` are the rows on this page: their steps are led to within it, and others by the page that begins there."""
    rows = _rows(trace_id)
    first: dict[str, tuple[UUID, datetime]] = {}
    for row in rows:
        for word, _, recognises in STAGES:
            if word not in first and recognises(row):
                first[word] = (row.audit_id, row.created_at)
    measured = _measured(trace_id) if person.has_perm(SEE_METRICS) else None
    stages = _stages(first, shown, measured.first if measured else None)
    return Journey(stages, _about(rows, person), _end(rows), measured)


def _rows(trace_id: str) -> list[Told]:
    found = (
        AuditLog.objects.filter(trace_id=trace_id)
        .exclude(entity_type=EntityType.METRIC_EVENT)
        .annotate(status=KT("changes__status__1"))
        .order_by(*KEY)
        .values_list("audit_id", "created_at", "entity_type", "entity_id", "actor_type", "action", "status")
    )
    return [Told(*row) for row in found[:MOST]]


def _measured(trace_id: str) -> Measurements | None:
    found = measured_on(trace_id)
    if found is None:
        return None
    artifacts = contents_named([key for key, _ in found.sums])
    contents = [Content(artifacts[key], _in_words(sums)) for key, sums in found.sums]
    return Measurements(found.first, found.last, contents, whole_days(found.first, found.last))


def _in_words(sums: dict[str, int]) -> list[tuple[str, str]]:
    return [(measure.words(kind), measure.told(kind, sums[kind])) for kind in MetricType if kind in sums]


def _stages(first: dict[str, tuple[UUID, datetime]], shown: set[UUID], measured_at: datetime | None) -> list[Stage]:
    reached = {word: (moment, _link(key, moment, shown)) for word, (key, moment) in first.items()}
    if measured_at:
        reached[MEASURED] = (measured_at, f"#{MEASURED}")
    words = [word for word, _, _ in STAGES] + [MEASURED]
    missed = {word: why for word, why, _ in STAGES}
    furthest = max((place for place, word in enumerate(words) if word in reached), default=-1)
    stages, before = [], None
    for place, word in enumerate(words):
        if word not in reached:
            why = (missed.get(word) or "not on record") if place < furthest else "not yet"
            stages.append(Stage(word, None, why, ""))
            continue
        moment, link = reached[word]
        stages.append(Stage(word, moment, _pause(moment, before), link))
        before = moment
    return stages


def _pause(moment: datetime, before: datetime | None) -> str:
    if before is None:
        return ""
    length = moment - before
    if length <= -timedelta(seconds=1):  # what is told here was observed before it was known here
        return f"{duration(length)} earlier"
    return f"after {duration(length)}" if length >= timedelta(seconds=1) else "at once"


def _link(key: UUID, moment: datetime, shown: set[UUID]) -> str:
    if key in shown:
        return f"#step-{key}"
    just_before = f"{(moment - timedelta(microseconds=1)).isoformat()}_{UUID(int=0)}".replace("+", "%2B")
    return f"?after={just_before}#step-{key}"


def _about(rows: list[Told], person: Any) -> list[tuple[str, list[Thing]]]:
    """The task, the artifact, the decision and the post, newest first, each with its page."""
    ids: dict[str, list[str]] = {kind: [] for kind in ABOUT}
    for row in reversed(rows):
        if row.entity_type in ids and row.entity_id not in ids[row.entity_type]:
            ids[row.entity_type].append(row.entity_id)
    told = named({kind: set(keys[:NAMED]) for kind, keys in ids.items() if keys}, person)
    by_kind = []
    for kind in ABOUT:
        things = [told[kind, key] for key in ids[kind][:NAMED] if (kind, key) in told]
        if things:
            by_kind.append((str(kind.label), things))
    return by_kind


def _end(rows: list[Told]) -> str:
    statuses = [row for row in rows if row.entity_type == EntityType.TASK and row.status]
    return "its last try failed" if statuses and statuses[-1].status == TaskStatus.FAILED else ""
