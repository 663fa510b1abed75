"""Artifacts, their content, and posts, read by whoever has a token."""

from typing import Any
from uuid import UUID

from django.core.exceptions import SuspiciousOperation
from django.core.files.storage import default_storage
from django.http import FileResponse
from ninja import Query, Router

from agents.api import ApiRequest
from audit.api import Name, Paging, found, page
from audit.errors import Conflict
from content.api.schemas import ArtifactOut, ArtifactsOut, PostOut, PostsOut
from content.choices import PublishStatus
from content.models import Artifact, PublishRecord

router = Router(tags=["read"])

NO_ARTIFACT = "There is no artifact with this id."


class ArtifactFilter(Paging):
    task_id: UUID | None = None
    campaign_id: UUID | None = None


class PostFilter(Paging):
    campaign_id: UUID | None = None
    artifact_id: UUID | None = None
    status: PublishStatus | None = None
    platform: Name | None = None


@router.get("artifacts", response=ArtifactsOut)
def list_artifacts(request: ApiRequest, filters: Query[ArtifactFilter]) -> dict[str, Any]:
    """Artifacts, the oldest first."""
    items, cursor = page(Artifact.objects.filter(**filters.given()), filters)
    return {"items": items, "next": cursor}


@router.get("artifacts/{artifact_id}", response=ArtifactOut)
def get_artifact(request: ApiRequest, artifact_id: UUID) -> Artifact:
    """One version of what a task made: where its content is, and its hash."""
    return found(Artifact.objects.filter(pk=artifact_id).first(), NO_ARTIFACT)


BYTES = {
    "responses": {
        200: {
            "description": "The bytes whose SHA-256 is the artifact's `content_sha256`.",
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        },
        409: {"description": "The content is kept elsewhere, or missing"},
    }
}


@router.get("artifacts/{artifact_id}/content", openapi_extra=BYTES)
def get_content(request: ApiRequest, artifact_id: UUID) -> FileResponse:
    """The content, byte for byte. What agents made is not for a browser to run: it comes as a download."""
    artifact = found(Artifact.objects.filter(pk=artifact_id).first(), NO_ARTIFACT)
    if "://" in artifact.content_ref:
        raise Conflict(f"The content is not kept here but at {artifact.content_ref[:500]}.")
    try:
        file = default_storage.open(artifact.content_ref)
    except (OSError, ValueError, SuspiciousOperation):
        raise Conflict("The content is missing: nothing is stored under its reference.") from None
    return FileResponse(
        file,
        as_attachment=True,
        filename=f"{artifact.pk}",
        content_type="application/octet-stream",
        headers={"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'; sandbox"},
    )


@router.get("posts", response=PostsOut)
def list_posts(request: ApiRequest, filters: Query[PostFilter]) -> dict[str, Any]:
    """Posts, the oldest first."""
    items, cursor = page(PublishRecord.objects.filter(**filters.given()), filters)
    return {"items": items, "next": cursor}


@router.get("posts/{publish_id}", response=PostOut)
def get_post(request: ApiRequest, publish_id: UUID) -> PublishRecord:
    """One artifact on one platform."""
    return found(PublishRecord.objects.filter(pk=publish_id).first(), "There is no post with this id.")
