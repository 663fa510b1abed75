"""JSON without loss: what a writer gave is what a reader gets, to the last digit.

The standard library reads every fraction as a binary float, which has 17 digits. Numbers with a fraction are Decimals
here, and are written as they are.
"""

import json
import re
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import simplejson
from django.db import models

LONGEST_INT = 4000  # digits; Python refuses to read longer ones as int
_TRAILING_ZEROS = re.compile(r"(\.\d+?)0+(?=[+-]|$)")


def whole_number(text: str) -> int | Decimal:
    return int(text) if len(text) <= LONGEST_INT else Decimal(text)


def _default(value: object) -> str:
    if isinstance(value, datetime) and value.microsecond:
        return _TRAILING_ZEROS.sub(r"\1", value.isoformat())  # as PostgreSQL writes it
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


def dumps(value: object, **options: Any) -> str:
    return simplejson.dumps(value, use_decimal=True, default=_default, **options)


def pieces(value: object) -> Iterator[str]:
    """The same, indented, piece by piece: whoever wants the beginning need not wait for the end."""
    return iter(ExactEncoder(indent=2, ensure_ascii=False, use_decimal=True).iterencode(value))


def loads(text: str, **options: Any) -> Any:
    return json.loads(text, **{"parse_float": Decimal, "parse_int": whole_number, **options})


def same(one: object, other: object) -> bool:
    """Equal as JSON knows it: 1 is not true, whatever Python says."""
    return dumps(one, sort_keys=True) == dumps(other, sort_keys=True)


class ExactEncoder(simplejson.JSONEncoder):
    def default(self, o: object) -> str:
        return _default(o)


class ExactDecoder(json.JSONDecoder):
    def __init__(self, **options: Any) -> None:
        super().__init__(**{"parse_float": Decimal, "parse_int": whole_number, **options})


class ExactJSONField(models.JSONField[Any, Any]):
    def __init__(self, **options: Any) -> None:
        super().__init__(**{"encoder": ExactEncoder, "decoder": ExactDecoder, **options})
