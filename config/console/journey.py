"""How far a trace has come: planned, claimed, made, judged, decided, queued, published, measured.

Read from the trace's own audit rows, and not from the tables: so it tells what happened, and when, and by which row one
knows it. What was passed over (nobody had to be asked) and what is still to come are told too.
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
class Journey:
    stages: list[Stage]
    about: list[tuple[str, list[Thing]]]  # by kind
    ended: str  # how its newest task stands when that ended without success


def journey(trace_id: str, person: Any, shown: set[UUID]) -> Journey:
    """`shown` are the rows on this page: their steps are led to within it, and others by the page that begins there."""
    rows = _rows(trace_id)
    first: dict[str, tuple[UUID, datetime]] = {}
    for row in rows:
        for word, _, recognises in STAGES:
            if word not in first and recognises(row):
                first[word] = (row.audit_id, row.created_at)
    if measured := _measured(trace_id):
        first[MEASURED] = measured
    return Journey(_stages(first, shown), _about(rows, person), _end(rows))


def _rows(trace_id: str) -> list[Told]:
    found = (
        AuditLog.objects.filter(trace_id=trace_id)
        .exclude(entity_type=EntityType.METRIC_EVENT)
        .annotate(status=KT("changes__status__1"))
        .order_by(*KEY)
        .values_list("audit_id", "created_at", "entity_type", "entity_id", "actor_type", "action", "status")
    )
    return [Told(*row) for row in found[:MOST]]


def _measured(trace_id: str) -> tuple[UUID, datetime] | None:
    events = AuditLog.objects.filter(trace_id=trace_id, entity_type=EntityType.METRIC_EVENT)
    return events.order_by(*KEY).values_list("audit_id", "created_at").first()


def _stages(first: dict[str, tuple[UUID, datetime]], shown: set[UUID]) -> list[Stage]:
    words = [word for word, _, _ in STAGES] + [MEASURED]
    missed = {word: why for word, why, _ in STAGES}
    reached = [place for place, word in enumerate(words) if word in first]
    furthest = max(reached, default=-1)
    stages, before = [], None
    for place, word in enumerate(words):
        if word not in first:
            why = (missed.get(word) or "not on record") if place < furthest else "not yet"
            stages.append(Stage(word, None, why, ""))
            continue
        key, moment = first[word]
        stages.append(Stage(word, moment, _pause(moment, before), _link(key, moment, shown)))
        before = moment
    return stages


def _pause(moment: datetime, before: datetime | None) -> str:
    if before is None:
        return ""
    length = moment - before
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
