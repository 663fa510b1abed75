"""Workers hand in what they made."""

from typing import Annotated
from uuid import UUID

from ninja import File, Form, Router
from ninja.errors import HttpError
from ninja.files import UploadedFile
from pydantic import ConfigDict, Field, WithJsonSchema

from agents.api import ApiRequest, actor_of
from audit import exact_json
from audit.api import REF, JsonArray, JsonObject, LongText, Sha256, Text, exactly_one
from audit.bodies import MB, MULTIPART, accepts, read_json
from audit.errors import Invalid
from campaigns.api.worker import WORKER, LeaseIn, held
from content.api.schemas import ArtifactOut
from content.choices import ArtifactType
from content.models import Artifact
from content.services import submit_artifact

router = Router(tags=["work"])

ELSEWHERE = r"^(https|s3)://[^\s\u0000]+$"


class ArtifactIn(LeaseIn):
    """Exactly one of `text`, `json` and `content_ref` (with the SHA-256 of what is there)."""

    model_config = ConfigDict(json_schema_extra=exactly_one(["text"], ["json"], ["content_ref", "content_sha256"]))

    artifact_type: ArtifactType
    text: LongText | None = None
    json_: Annotated[JsonObject | JsonArray | None, Field(alias="json")] = None
    content_ref: Annotated[str, Field(max_length=2000, pattern=ELSEWHERE)] | None = None
    content_sha256: Sha256 | None = None
    metadata: JsonObject | None = None
    sources: JsonObject | JsonArray | None = None


class UploadIn(LeaseIn):
    """The fields beside the file; `metadata` and `sources` are JSON."""

    artifact_type: ArtifactType
    metadata: Annotated[Text, WithJsonSchema({REF: "JsonObject"})] = ""
    sources: Annotated[Text, WithJsonSchema({REF: "JsonObject"})] = ""


@router.post("tasks/{task_id}/artifacts", response={201: ArtifactOut}, auth=WORKER)
@accepts("application/json", most=4 * MB)
def submit(request: ApiRequest, task_id: UUID, body: ArtifactIn) -> Artifact:
    """Hand in what was made, as a text, as JSON, or by reference. The next version, when there is one already."""
    task = held(request, task_id, body.lease_id)
    given = [part for part in (body.text, body.json_, body.content_ref) if part is not None]
    if len(given) != 1:
        raise Invalid("Give exactly one of text, json and content_ref.")
    if (body.content_ref is None) != (body.content_sha256 is None):
        raise Invalid("content_ref and content_sha256 belong together: the hash says what exactly is there.")
    content = None
    if body.text is not None:
        content = body.text.encode()
    elif body.json_ is not None:
        content = exact_json.dumps(body.json_, ensure_ascii=False, indent=2).encode()
    return submit_artifact(
        task=task,
        artifact_type=body.artifact_type,
        actor=actor_of(request, task.agent),
        content=content,
        content_ref=body.content_ref or "",
        content_sha256=body.content_sha256 or "",
        metadata=_shaped(body.metadata, "metadata"),
        sources=_shaped(body.sources, "sources"),
    )


@router.post("tasks/{task_id}/artifacts/upload", response={201: ArtifactOut}, auth=WORKER)
@accepts(MULTIPART, most=512 * MB)
def upload(request: ApiRequest, task_id: UUID, body: Form[UploadIn], file: File[UploadedFile]) -> Artifact:
    """Hand in a file, as multipart/form-data, up to 512 MB."""
    task = held(request, task_id, body.lease_id)
    return submit_artifact(
        task=task,
        artifact_type=body.artifact_type,
        actor=actor_of(request, task.agent),
        content=file,
        metadata=_read(body.metadata, "metadata"),
        sources=_read(body.sources, "sources"),
    )


def _read(text: str | None, name: str) -> object:
    try:
        return None if not text else _shaped(read_json(text.encode()), name)
    except HttpError as refusal:
        raise Invalid(f"{name}: {refusal}") from None


def _shaped(value: object, name: str) -> object:
    if value is not None and not isinstance(value, dict | list):
        raise Invalid(f"{name} is a JSON object or array.")
    return value
