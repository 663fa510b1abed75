"""How collectors hand in what they measured."""

import io
from collections.abc import Iterator
from typing import Annotated, Any
from uuid import UUID

from ninja import Router
from ninja.errors import HttpError
from pydantic import Field, Strict, ValidationError, WithJsonSchema

from agents.api import ApiRequest, Bearer, actor_of
from agents.choices import TokenRole
from audit.api import REF, WITHOUT_NUL, Answer, Incoming, Moment
from audit.bodies import MB, accepts, read_json
from audit.errors import Invalid
from content.post_file import LARGEST, LONGEST_ID, Reject
from metrics.choices import MetricType
from metrics.services import Measurement, append_events
from metrics.services.ingest import LONGEST_NAME

router = Router(tags=["metrics"])

JSON, NDJSON = "application/json", "application/x-ndjson"
MOST = 10_000  # events in one request
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


class RejectOut(Answer):
    line: int
    why: str


class Appended(Answer):
    """Each event is in exactly one of the four."""

    accepted: Annotated[int, Field(description="New events.")]
    duplicates: Annotated[int, Field(description="Those that brought nothing new.")]
    corrections: Annotated[int, Field(description="Totals that had fallen; they are kept as such.")]
    rejected: list[RejectOut]


# Anything may stand where an event should: it is rejected by its line, and the others are taken.
BATCH = {
    "type": "object",
    "required": ["events"],
    "additionalProperties": False,
    "properties": {
        "events": {
            "type": "array",
            "minItems": 1,
            "maxItems": MOST,
            "items": {"anyOf": [EventIn.model_json_schema(), {REF: "Json"}]},
        }
    },
}
LINES = {"type": "string", "pattern": r"\S", "description": "One event on each line."}
BODY = {"required": True, "content": {JSON: {"schema": BATCH}, NDJSON: {"schema": LINES}}}


@router.post("metrics/events", response=Appended, auth=Bearer(TokenRole.METRICS), openapi_extra={"requestBody": BODY})
@accepts(JSON, NDJSON, most=16 * MB)
def append_metric_events(request: ApiRequest) -> dict[str, Any]:
    """Append what was measured: up to 10,000 events, as JSON or one on each line (NDJSON).

    Good ones are taken, bad ones are named by their line, counted from 1. Sent again, a batch adds nothing: an event is
    known by its `event_id` and `observed_at`, or, without an id, by all that it says; so give each an id where two of
    the same size may fall on the same instant.

    An `increase` is added as it is. A `total` adds what it has risen above the highest total that its `source` has
    reported of that post, in whatever order they arrive. Use one of the two for each source, or it counts twice.

    Name the post as the platform does (`platform_post_id`), or the artifact (`artifact_id`). An increase by artifact
    needs no published post; a total belongs to one.
    """
    given = _lines(request.body) if request.content_type == NDJSON else _items(request.body)
    read = [_measured(line, event) for line, event in given]
    result = append_events(
        measurements=[each for each in read if isinstance(each, Measurement)], actor=actor_of(request)
    )
    rejects = [each for each in read if isinstance(each, Reject)] + result.rejects
    return {
        "accepted": result.accepted,
        "duplicates": result.duplicates,
        "corrections": result.corrections,
        "rejected": [{"line": each.line, "why": each.reason} for each in sorted(rejects, key=lambda each: each.line)],
    }


def _items(body: bytes) -> list[tuple[int, Any]]:
    batch = read_json(body)
    if not isinstance(batch, dict) or set(batch) != {"events"} or not isinstance(batch["events"], list):
        raise Invalid('Send the events as {"events": [{…}, …]}, and nothing beside them.')
    _check_amount(len(batch["events"]))
    return list(enumerate(batch["events"], 1))


def _lines(body: bytes) -> list[tuple[int, bytes]]:
    """Empty lines are passed over, but counted."""
    lines = [(number, line) for number, line in enumerate(io.BytesIO(body), 1) if line.strip()]
    _check_amount(len(lines))
    return lines


def _check_amount(amount: int) -> None:
    if not 1 <= amount <= MOST:
        raise Invalid(f"Send 1 to {MOST:,} events at once; these are {amount:,}.")


def _measured(line: int, given: Any) -> Measurement | Reject:
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
