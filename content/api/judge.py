"""Judges take artifacts in review, and decide."""

from typing import Annotated, Any
from uuid import UUID

from django.db.models import prefetch_related_objects
from ninja import Router
from pydantic import Field

from agents.api import ApiRequest, Bearer, actor_of, agent_of, patient
from agents.choices import TokenRole
from audit.api import Share, Text, found
from campaigns.api.worker import ClaimIn, LeaseIn
from content.api.readers import NO_ARTIFACT
from content.api.schemas import ClaimedArtifactsOut, DecisionOut
from content.choices import ArtifactType, Decision, ReviewReason
from content.models import Artifact, ReviewItem
from content.services import claim_artifacts, decide_artifact

router = Router(tags=["judge"])

JUDGE = Bearer(TokenRole.JUDGE)
Words = Annotated[list[Annotated[Text, Field(max_length=2000)]], Field(max_length=100)]


class ClaimArtifactsIn(ClaimIn):
    types: Annotated[list[ArtifactType], Field(min_length=1)] | None = None


class DecisionIn(LeaseIn):
    decision: Decision
    confidence: Share
    reasons: Words
    policy_hits: Words = []


@router.post("artifacts/claim", response=ClaimedArtifactsOut, auth=JUDGE)
@patient
def claim(request: ApiRequest, body: ClaimArtifactsIn) -> dict[str, Any]:
    """Take artifacts in review that nobody has decided on, none of them the judge's own."""
    judge = agent_of(request)
    leases = claim_artifacts(
        judge=judge,
        actor=actor_of(request, judge),
        types=body.types or ArtifactType.values,
        limit=body.limit,
        lease_seconds=body.lease_seconds,
    )
    prefetch_related_objects(leases, "artifact__task", "artifact__campaign")
    return {"artifacts": [_with_lease(lease.artifact, lease) for lease in leases]}


def _with_lease(artifact: Artifact, lease: Any) -> Any:
    row: Any = artifact
    row.lease_id, row.lease_expires_at = lease.lease_id, lease.lease_expires_at
    return row


@router.post("artifacts/{artifact_id}/decision", response={201: DecisionOut}, auth=JUDGE)
def decide(request: ApiRequest, artifact_id: UUID, body: DecisionIn) -> dict[str, Any]:
    """Decide. What follows is the campaign's review policy: published, tried again, or put before a person."""
    judge = agent_of(request)
    artifact = found(Artifact.objects.select_related("campaign").filter(pk=artifact_id).first(), NO_ARTIFACT)
    decided = decide_artifact(
        artifact=artifact,
        judge=judge,
        decision=body.decision,
        confidence=body.confidence,
        reasons=body.reasons,
        policy_hits=body.policy_hits,
        actor=actor_of(request, judge),
        lease_id=body.lease_id,
    )
    # A routine check is not told to the judge: who knows which are looked at judges those better.
    item = ReviewItem.objects.open().filter(artifact=artifact).exclude(reason=ReviewReason.BLIND_SAMPLE).first()
    return {
        **{name: getattr(decided, name) for name in ("review_id", "artifact_id", "task_id", "decision", "created_at")},
        "confidence": decided.confidence_score,
        "next_action": decided.next_action,
        "review_item": item,
    }
