"""Content comes in: stored under its own hash, and bound to the task that made it."""

import hashlib
from typing import Any

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import connection, transaction

from audit.context import Actor, acting
from audit.errors import Conflict, Invalid
from campaigns.choices import TaskStatus
from campaigns.models import Task
from campaigns.services.locks import share_campaign
from content.models import Artifact


def store_content(content: bytes) -> tuple[str, str]:
    """Keep the bytes under their SHA-256; returns (reference, hash). The same content twice is one file."""
    digest = hashlib.sha256(content).hexdigest()
    reference = f"sha256/{digest[:2]}/{digest}"
    if not default_storage.exists(reference):
        default_storage.save(reference, ContentFile(content))
    return reference, digest


@transaction.atomic
def submit_artifact(
    *,
    task: Task,
    artifact_type: str,
    actor: Actor,
    content: bytes | None = None,
    content_ref: str = "",
    content_sha256: str = "",
    metadata: dict[str, Any] | None = None,
    sources: list[Any] | None = None,
) -> Artifact:
    """What a worker made for a task in progress: the content, or a reference and the SHA-256 of what is there."""
    if (content is None) == (not content_ref):
        raise Invalid("Give either the content or a reference to it.")
    if content is not None:
        content_ref, content_sha256 = store_content(content)
    share_campaign(task.campaign_id)
    locked = Task.objects.select_for_update(of=("self",)).select_related("agent").get(pk=task.pk)
    if locked.status != TaskStatus.IN_PROGRESS or locked.lease_id != task.lease_id:
        raise Conflict(f"Task “{locked}” is {locked.get_status_display()} and no longer yours; nothing was kept.")
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
            "WITH RECURSIVE attempt AS (SELECT task_id, parent_task_id FROM task WHERE task_id = %s"
            " UNION SELECT t.task_id, t.parent_task_id FROM task t JOIN attempt a ON t.task_id = a.parent_task_id)"
            " SELECT COALESCE(max(version), 0) + 1 FROM artifact JOIN attempt USING (task_id) WHERE artifact_type = %s",
            [task.pk, artifact_type],
        )
        (version,) = cursor.fetchone()
    return int(version)
