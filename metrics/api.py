"""How collectors hand in what they measured."""

import hashlib
import io
from collections.abc import Sequence
from typing import Annotated, Any

from ninja import Router
from pydantic import Field

from agents.api import ApiRequest, Bearer, actor_of
from agents.choices import TokenRole
from audit.api import REF, Answer
from audit.bodies import MB, accepts, read_json
from audit.errors import Invalid
from content.post_file import Reject
from metrics.events import EventIn, all_measured, measured
from metrics.services import Measurement, append_events
from metrics.services.ingest import Columns
from metrics.services.inputs import json_at_once

router = Router(tags=["metrics"])

JSON, NDJSON = "application/json", "application/x-ndjson"
MOST = 10_000  # events in one request


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
    read: Sequence[Measurement | Columns | Reject] | None
    if request.content_type == NDJSON:
        lines = _lines(request.body)
        found = json_at_once(request.body, 0)
        read = [found] if found else [measured(line, event) for line, event in lines]
    else:
        read = all_measured(request.body)
        if read is None:
            read = [measured(line, event) for line, event in _items(request.body)]
        else:
            _check_amount(len(read))
    result = append_events(
        measurements=[each for each in read if not isinstance(each, Reject)],
        actor=actor_of(request),
        inputs_hash=hashlib.sha256(request.body).hexdigest(),
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
