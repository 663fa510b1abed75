"""What every route of the API has in common, whatever it is about: its types, its refusals, its pages."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from http import HTTPStatus
from typing import Annotated, Any, TypeVar
from uuid import UUID

from django.db import models
from django.db.models import QuerySet
from django.http import Http404, HttpResponse
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    Strict,
    WithJsonSchema,
)

from audit import exact_json
from audit.base import FIRST_INSTANT, LAST_INSTANT
from audit.context import TRACE_ID
from audit.errors import Invalid
from audit.keyset import beyond

M = TypeVar("M", bound=models.Model)
R = TypeVar("R")

PROBLEM = "application/problem+json"
LARGEST_INT = 2**31 - 1  # what an integer column holds


class Incoming(BaseModel):
    """What a caller gives. A field that nobody knows is a mistake, and is said to be one."""

    model_config = ConfigDict(extra="forbid")


class Answer(BaseModel):
    """What a caller gets, read from a row or a dict."""

    model_config = ConfigDict(from_attributes=True, use_enum_values=True)


# Types


def _storable(text: str) -> str:
    """PostgreSQL stores no NUL, and nobody can write half of a surrogate pair as UTF-8."""
    if "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("contains a character that cannot be stored (NUL or half of a surrogate pair)")
    return text


def _whole(value: object) -> object:
    """JSON knows one kind of number, and 3.0 is a whole one."""
    if isinstance(value, Decimal) and value == value.to_integral_value():
        return int(value)
    return value


TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


NO_TIME = "must be a time with its zone, such as 2026-05-03T12:00:00Z"


def _moment(value: object) -> datetime:
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str):
        raise ValueError(NO_TIME)  # noqa: TRY004 - what pydantic makes a refusal of
    return _parsed(value)


@lru_cache(10_000)  # batches of measurements say the same times over and over
def _parsed(value: str) -> datetime:
    if not TIME.fullmatch(value):
        raise ValueError(NO_TIME)
    moment = datetime.fromisoformat(value.upper())
    if not FIRST_INSTANT < moment < LAST_INSTANT:
        raise ValueError("lies outside of the calendar")
    return moment.astimezone(UTC)


def utc(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _amount(value: object) -> Decimal:
    if not isinstance(value, str) or not re.fullmatch(MONEY, value, re.ASCII):
        raise ValueError("must be an amount in a text, such as “12.50”")
    return Decimal(value)


def _share(value: object) -> Decimal:
    if not isinstance(value, str) or not re.fullmatch(SHARE, value, re.ASCII):
        raise ValueError("must be a number from 0 to 1 in a text, such as “0.925”")
    return Decimal(value)


WITHOUT_NUL = r"^[^\u0000]*$"
MONEY = r"^[0-9]{1,10}(\.[0-9]{1,2})?$"
SHARE = r"^(0(\.[0-9]{1,3})?|1(\.0{1,3})?)$"
SHA256 = "^[0-9a-f]{64}$"
TRACE = f"^{TRACE_ID.pattern}$"
PLAIN = PlainSerializer(str, return_type=str)

# Texts have a length; say a shorter one with `Annotated[Text, Field(max_length=…)]`.
# The length stands first: behind the validator it would be counted in “items”.
LongText = Annotated[
    str, Field(max_length=2 * 2**20, json_schema_extra={"pattern": WITHOUT_NUL}), AfterValidator(_storable)
]
Text = Annotated[str, Field(max_length=20_000, json_schema_extra={"pattern": WITHOUT_NUL}), AfterValidator(_storable)]
Name = Annotated[
    str, Field(min_length=1, max_length=500, json_schema_extra={"pattern": WITHOUT_NUL}), AfterValidator(_storable)
]
Whole = Annotated[int, Strict(), BeforeValidator(_whole), Field(ge=-LARGEST_INT, le=LARGEST_INT)]
Flag = Annotated[bool, Strict()]
Moment = Annotated[
    datetime,
    BeforeValidator(_moment),
    PlainSerializer(utc, return_type=str),
    # The first and the last years are left out, because their ends depend on the zone.
    WithJsonSchema({"type": "string", "format": "date-time", "pattern": "^(?!000|9999)"}),
]
Sha256 = Annotated[str, Field(pattern=SHA256)]
TraceId = Annotated[str, Field(pattern=TRACE)]
# Decimals travel as texts, in both directions: half of the world's JSON readers make floats of numbers.
Amount = Annotated[Decimal, BeforeValidator(_amount), WithJsonSchema({"type": "string", "pattern": MONEY})]
Share = Annotated[Decimal, BeforeValidator(_share), WithJsonSchema({"type": "string", "pattern": SHARE})]
Money = Annotated[Decimal, PLAIN, WithJsonSchema({"type": "string", "pattern": MONEY})]
Fraction = Annotated[Decimal, PLAIN, WithJsonSchema({"type": "string", "pattern": SHARE})]
# Any JSON, as the parser lets it in; the schema says so for those who make requests of it.
JSON_SCHEMA = {
    "anyOf": [
        {"type": "null"},
        {"type": "boolean"},
        {"type": "number"},
        {"type": "string", "pattern": WITHOUT_NUL},
        {"type": "array", "items": {"$ref": "#/components/schemas/Json"}},
        {"$ref": "#/components/schemas/JsonObject"},
    ]
}
JSON_OBJECT_SCHEMA = {
    "type": "object",
    "propertyNames": {"pattern": WITHOUT_NUL},
    "additionalProperties": {"$ref": "#/components/schemas/Json"},
}
# Pydantic follows each $ref that it meets; these are components that it does not know, put in later.
REF = "x-ref"
Json = Annotated[Any, WithJsonSchema({REF: "Json"})]
JsonObject = Annotated[dict[str, Any], WithJsonSchema({REF: "JsonObject"})]
JsonArray = Annotated[list[Any], WithJsonSchema({"type": "array", "items": {REF: "Json"}})]


def exactly_one(*groups: Sequence[str]) -> dict[str, Any]:
    """What the description says of fields of which one group is given, as a model's `json_schema_extra`."""
    given, left_out = {"not": {"type": "null"}}, {"type": "null"}
    names = [name for group in groups for name in group]
    return {
        "oneOf": [
            {"required": [*group], "properties": {name: given if name in group else left_out for name in names}}
            for group in groups
        ]
    }


# Refusals


def problem(
    status: int, detail: str, errors: Sequence[Mapping[str, str]] = (), headers: Mapping[str, str] | None = None
) -> HttpResponse:
    """A refusal as RFC 9457 wants it, with a sentence for whoever reads the log of the caller."""
    told: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    if errors:
        told["errors"] = list(errors)
    body = exact_json.dumps(told, ensure_ascii=False)
    answer = HttpResponse(body, status=status, content_type=PROBLEM, headers=headers)
    answer._has_been_logged = True  # type: ignore[attr-defined]  # a refusal is an answer; faults are logged elsewhere
    return answer


def found(row: R | None, sentence: str) -> R:
    """The row, or a 404 with the sentence."""
    if row is None:
        raise Http404(sentence)
    return row


# Pages


CALENDAR, MICROSECOND = datetime(1, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
CURSOR_LENGTH = 47
CURSOR = "^[0-3][0-9a-f]{46}$"  # to the year 9134


class Paging(Incoming):
    """The end of every list's query."""

    limit: Annotated[int, Field(ge=1, le=200, description="How many at most.")] = 50
    after: (
        Annotated[str, Field(description="`next` of the page before.", json_schema_extra={"pattern": CURSOR})] | None
    ) = None

    def given(self) -> dict[str, Any]:
        """What the caller wants the rows to be, as the arguments of `filter`."""
        return self.model_dump(exclude={"limit", "after"}, exclude_none=True)


def page(rows: QuerySet[M], paging: Paging) -> tuple[list[M], str | None]:
    """The next rows, oldest first, and the cursor of the page after; None on the last one.

    By key and never by number: the thousandth page costs what the first one does.
    """
    key = ("created_at", rows.model._meta.pk.name)
    if paging.after is not None:
        rows = beyond(rows, key, list(_read_cursor(paging.after)), older=False)
    got = list(rows.order_by(*key)[: paging.limit + 1])
    shown = got[: paging.limit]
    return shown, _cursor(shown[-1]) if len(got) > len(shown) else None


def _cursor(row: models.Model) -> str:
    """Microseconds since the year 1, and the key: 15 and 32 hex digits."""
    moment: datetime = row.created_at  # type: ignore[attr-defined]
    return f"{(moment - CALENDAR) // MICROSECOND:015x}{row.pk.hex}"


def _read_cursor(text: str) -> tuple[datetime, UUID]:
    try:
        if len(text) == CURSOR_LENGTH:
            return CALENDAR + int(text[:15], 16) * MICROSECOND, UUID(text[15:])
    except (ValueError, OverflowError):
        pass
    raise Invalid("This cursor was not given by this API: `after` takes the `next` of the page before, as it is.")
