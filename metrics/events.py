"""An event as collectors write it in JSON: of a request, or of a line in a file."""

from collections.abc import Iterator
from typing import Annotated, Any
from uuid import UUID

from ninja.errors import HttpError
from pydantic import Field, Strict, ValidationError, WithJsonSchema

from audit.api import WITHOUT_NUL, Incoming, Moment
from audit.bodies import read_json
from audit.errors import Invalid
from content.post_file import LARGEST, LONGEST_ID, Reject
from metrics.choices import MetricType
from metrics.services.ingest import LONGEST_NAME, Measurement

MOST_SAID = 5  # mistakes of one event

Count = Annotated[int, Strict(), Field(ge=0, le=LARGEST)]
# What cannot be stored, read_json has refused; the pattern says so in the description.
ShortName = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME, json_schema_extra={"pattern": WITHOUT_NUL})]
PostId = Annotated[str, Field(min_length=1, max_length=LONGEST_ID, json_schema_extra={"pattern": WITHOUT_NUL})]


class EventIn(Incoming):
    """Give either `artifact_id` or `platform_post_id`, and either `increase` or `total`."""

    event_id: Annotated[UUID | None, Field(description="The same id and time are the same event.")] = None
    platform: ShortName
    artifact_id: UUID | None = None
    platform_post_id: PostId | None = None
    metric_type: Annotated[MetricType, WithJsonSchema({"type": "string", "enum": MetricType.values})]
    increase: Annotated[Count | None, Field(description="What came since the last measurement.")] = None
    total: Annotated[Count | None, Field(description="A running total, as platforms show it.")] = None
    observed_at: Moment
    source: Annotated[ShortName, Field(description="Who measured; each source counts by itself.")] = "api"


_quickly = EventIn.__pydantic_validator__.validate_json


def measured(line: int, given: Any) -> Measurement | Reject:
    """The event on that line, or why there is none; a line of NDJSON is still to be read."""
    if isinstance(given, bytes) and b"\\u" not in given:  # which may hide what cannot be stored
        try:
            return _measurement(line, _quickly(given))
        except ValidationError:
            pass  # what is wrong is said in the words of the careful way
    try:
        return _measurement(line, EventIn.model_validate(read_json(given) if isinstance(given, bytes) else given))
    except ValidationError as mistake:
        return Reject(line, "; ".join(_told(mistake)))
    except (HttpError, Invalid) as mistake:
        return Reject(line, str(mistake).replace("The body", "The line", 1))


def _measurement(line: int, event: EventIn) -> Measurement:
    return Measurement(
        line,
        event.platform,
        event.metric_type,
        event.observed_at,
        event.source,
        event.platform_post_id,
        event.artifact_id,
        event.increase,
        event.total,
        event.event_id,
    )


def _told(mistake: ValidationError) -> Iterator[str]:
    for error in mistake.errors(include_url=False, include_context=False, include_input=False)[:MOST_SAID]:
        if not error["loc"]:
            yield "an event is a JSON object"
        else:
            yield f"{str(error['loc'][0])[:80]}: {error['msg'].removeprefix('Value error, ')}"


class BatchIn(Incoming):
    events: list[EventIn]


_batch_quickly = BatchIn.__pydantic_validator__.validate_json


def all_measured(body: bytes) -> list[Measurement] | None:
    """The events of `{"events": […]}` when all of them are good; None when each must be looked at by itself."""
    if b"\\u" in body:
        return None
    try:
        batch = _batch_quickly(body)
    except ValidationError:
        return None
    return [_measurement(line, event) for line, event in enumerate(batch.events, 1)]
