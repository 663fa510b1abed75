"""The versions of what a task makes, along its tries, and what became of each."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from accounts.models import User
from campaigns.models import Task
from content.blind import seen_by
from content.choices import PUBLISHABLE
from content.diff import Diff, word_diff
from content.models import Artifact, PublishRecord, ReviewDecision
from content.shown import Shown, Source, shown, sources

MOST = 50  # versions of one piece of work, and decisions or posts of one artifact, that a page tells of
PERSON = "user:"


@dataclass(frozen=True)
class Reviewed:
    decision: ReviewDecision
    by: str


@dataclass(frozen=True)
class History:
    """An artifact as its own page shows it."""

    shown: Shown
    sources: list[Source]
    versions: list[Artifact]  # newest first, this one among them
    diff: Diff | None  # against the version that was asked for, or the one before
    decisions: list[Reviewed]
    posts: list[PublishRecord]
    may_be_posted: bool


def history(artifact: Artifact, person: Any, against: str = "") -> History:
    """As this person may see it."""
    versions = all_versions(artifact)
    older = next((each for each in versions if str(each.pk) == against), None) or before(artifact, versions)
    return History(
        shown=shown(artifact),
        sources=sources(artifact),
        versions=versions,
        diff=word_diff(older, artifact) if older else None,
        decisions=_reviewed(artifact, person),
        posts=list(artifact.publish_records.order_by("-created_at")[:MOST]),
        may_be_posted=artifact.artifact_type in PUBLISHABLE,
    )


def before(artifact: Artifact, versions: list[Artifact]) -> Artifact | None:
    return next((each for each in versions if each.version < artifact.version), None)


def all_versions(artifact: Artifact) -> list[Artifact]:
    """Of its type, by all tries of its task, newest first."""
    tries = _tries(artifact.task)
    found = Artifact.objects.filter(task__in=tries, artifact_type=artifact.artifact_type)
    return list(found.select_related("task").order_by("-version", "-created_at")[:MOST])


def _tries(task: Task) -> list[UUID]:
    """The tasks that are tries of the same work: they share the first of them, and the trace."""
    rows = Task.objects.filter(trace_id=task.trace_id).values_list("pk", "parent_task", "attempt")[:1000]
    # The parent of a first try is not an earlier one, but what asked for it.
    parents = {key: parent for key, parent, attempt in rows if attempt > 0}
    return [key for key, _, _ in rows if _first(key, parents) == _first(task.pk, parents)] or [task.pk]


def _first(key: UUID, parents: dict[UUID, UUID | None]) -> UUID:
    seen = {key}
    while (parent := parents.get(key)) and parent not in seen:
        seen.add(parent)
        key = parent
    return key


def _reviewed(artifact: Artifact, person: Any) -> list[Reviewed]:
    decisions = list(seen_by(person, artifact.decisions.all()).order_by("-created_at")[:MOST])
    names = people_named({decision.reviewer_id or "" for decision in decisions})
    return [Reviewed(row, names.get(row.reviewer_id or "", row.reviewer_id or "a judge")) for row in decisions]


def people_named(handles: set[str]) -> dict[str, str]:
    """The names behind `user:<id>`, in one query; plain SQL may have written anything behind the colon."""
    keys = [key for handle in handles if handle.startswith(PERSON) and (key := _uuid(handle.removeprefix(PERSON)))]
    return {f"{PERSON}{person.pk}": str(person) for person in User.objects.filter(pk__in=keys)} if keys else {}


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
