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


def measured(line: int, given: Any) -> Measurement | Reject:
    """The event on that line, or why there is none; a line of NDJSON is still to be read."""
    try:
        event = EventIn.model_validate(read_json(given) if isinstance(given, bytes) else given)
        return Measurement(line=line, **vars(event))
    except ValidationError as mistake:
        return Reject(line, "; ".join(_told(mistake)))
    except (HttpError, Invalid) as mistake:
        return Reject(line, str(mistake).replace("The body", "The line", 1))


def _told(mistake: ValidationError) -> Iterator[str]:
    for error in mistake.errors(include_url=False, include_context=False, include_input=False)[:MOST_SAID]:
        if not error["loc"]:
            yield "an event is a JSON object"
        else:
            yield f"{str(error['loc'][0])[:80]}: {error['msg'].removeprefix('Value error, ')}"
