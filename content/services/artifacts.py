"""Content comes in: stored under its own hash, and bound to the task that made it."""

import hashlib
from typing import Any

from django.core.files.base import ContentFile, File
from django.core.files.storage import default_storage
from django.db import connection, transaction

from audit.context import Actor, acting
from audit.errors import Invalid
from campaigns.models import Task
from campaigns.services.locks import share_campaign
from campaigns.services.tasks import leased, lost
from content.models import Artifact


def store_content(content: bytes | File[bytes]) -> tuple[str, str]:
    """Keep the content under its SHA-256; returns (reference, hash). The same content twice is one file.

    Nothing that was written halfway is taken for the whole: then the content is kept under another name.
    """
    file = ContentFile(content) if isinstance(content, bytes) else content
    digest = _sha256(file)
    reference = f"sha256/{digest[:2]}/{digest}"
    if default_storage.exists(reference):
        with default_storage.open(reference) as kept:
            if _sha256(kept) == digest:
                return reference, digest
    return default_storage.save(reference, file), digest


def _sha256(file: File[bytes]) -> str:
    sha256 = hashlib.sha256()
    for chunk in file.chunks():
        sha256.update(chunk)
    return sha256.hexdigest()


@transaction.atomic
def submit_artifact(
    *,
    task: Task,
    artifact_type: str,
    actor: Actor,
    content: bytes | File[bytes] | None = None,
    content_ref: str = "",
    content_sha256: str = "",
    metadata: Any = None,
    sources: Any = None,
) -> Artifact:
    """What a worker made for a task in progress: the content, or a reference and the SHA-256 of what is there."""
    if (content is None) == (not content_ref):
        raise Invalid("Give either the content or a reference to it.")
    if not leased(task).exists():
        raise lost(task)
    if content is not None:  # before the locks: a slow upload keeps no operator waiting
        content_ref, content_sha256 = store_content(content)
    share_campaign(task.campaign_id)
    locked = leased(task).select_for_update(of=("self",)).select_related("agent").first()
    if locked is None:
        raise lost(task)
    with acting(actor):
        (artifact,) = Artifact.objects.create_all(
            [
                Artifact(
                    task=locked,
                    campaign_id=locked.campaign_id,
                    artifact_type=artifact_type,
                    version=_next_version(locked, artifact_type),
                    content_ref=content_ref,
                    content_sha256=content_sha256 or hashlib.sha256(content_ref.encode()).hexdigest(),
                    metadata=metadata,
                    sources=sources,
                )
            ],
            action="submit",
        )
    return artifact


def _next_version(task: Task, artifact_type: str) -> int:
    """Versions go on along a task's earlier attempts, so that a retry of version 2 is version 3."""
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH RECURSIVE tries AS (SELECT task_id, parent_task_id, attempt FROM task WHERE task_id = %s"
            " UNION SELECT t.task_id, t.parent_task_id, t.attempt FROM task t JOIN tries a"
            # The parent of a first try is not an earlier one, but what asked for it.
            " ON t.task_id = a.parent_task_id AND a.attempt > 0)"
            " SELECT COALESCE(max(version), 0) + 1 FROM artifact JOIN tries USING (task_id) WHERE artifact_type = %s",
            [task.pk, artifact_type],
        )
        (version,) = cursor.fetchone()
    return int(version)
