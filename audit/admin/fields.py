"""What forms ask: JSON that the database will take, text on one line, and a refusal that came from below."""

import json
from decimal import Decimal
from typing import Any, NoReturn, TypeVar

from django import forms
from django.core.exceptions import ValidationError
from django.db import models

from audit import exact_json
from audit.admin.cells import pretty

M = TypeVar("M", bound=models.Model)


def _no_such_number(name: str) -> NoReturn:
    raise ValidationError(f"JSON has no {name}; leave it out, or write null.")


def _fraction(text: str) -> Decimal:
    """PostgreSQL keeps a thousand digits too, but nobody means them."""
    number = Decimal(text)
    if abs(number.adjusted()) > MAX_EXPONENT:
        raise ValueError(text)
    return number


def _whole(text: str) -> int:
    if len(text) > MAX_EXPONENT:
        raise ValueError(text)
    return int(text)


MAX_DEPTH = 64
MAX_EXPONENT = 308  # as far as most languages' numbers go
NESTED = "This JSON is nested too deeply, or has a number that is too long."


def storable(value: object) -> None:
    """Refuse what JSON allows and PostgreSQL's jsonb does not: NUL, half characters, numbers without end."""
    if _depth(value) > MAX_DEPTH:
        raise ValidationError(NESTED)
    try:
        text = exact_json.dumps(value, ensure_ascii=False, allow_nan=False)
        text.encode()
    except ValueError as problem:  # a lone surrogate, or a number that became infinite
        raise ValidationError("This contains a character or a number that cannot be stored.") from problem
    if "\\u0000" in text.replace("\\\\", ""):
        raise ValidationError("This contains a character that cannot be stored (NUL).")


def _depth(value: object) -> int:
    depth, level = 0, [value]
    while level and depth <= MAX_DEPTH:
        depth += 1
        inner = [item.values() if isinstance(item, dict) else item for item in level if isinstance(item, (dict, list))]
        level = [item for items in inner for item in items]
    return depth


class JSONField(forms.JSONField):
    """JSON as an object or a list, shown indented; a mistake is said in words with its line."""

    empty_values = [None, ""]  # an empty object is an answer
    widget = forms.Textarea(attrs={"class": "vLargeTextField json", "rows": 6, "spellcheck": "false"})

    def to_python(self, value: Any) -> Any:
        if self.disabled or value in self.empty_values or isinstance(value, (dict, list)):
            return super().to_python(value)
        try:
            parsed = exact_json.loads(value, parse_int=int, parse_float=_fraction, parse_constant=_no_such_number)
        except json.JSONDecodeError as problem:
            raise ValidationError(f"This is not JSON: {problem.msg} (line {problem.lineno}).") from None
        except (RecursionError, ValueError):
            raise ValidationError(NESTED) from None
        if not isinstance(parsed, (dict, list)):
            raise ValidationError("Write an object {…} or a list […].")
        storable(parsed)
        return parsed

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, forms.fields.InvalidJSONInput):
            return value
        return value if value is None or isinstance(value, str) else pretty(value)

    def bound_data(self, data: Any, initial: Any) -> Any:
        return initial if self.disabled else data

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return not exact_json.same(self.to_python(data), initial)
        except ValidationError:
            return True


class Moment(forms.DateTimeInput):
    """The browser's own picker for a date and a time, in UTC."""

    input_type = "datetime-local"

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        super().__init__(attrs, format="%Y-%m-%dT%H:%M")


class ConsoleForm(forms.ModelForm[M]):
    """A model's form that can also show why the database, or a service, said no."""

    refusal = ""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "label_suffix": ""})

    def _get_validation_exclusions(self) -> set[str]:
        """Leave empty JSON to the database: Django takes a missing value for JSON's null, and {} for no value."""
        columns = self._meta.model._meta.get_fields()
        empty = {field.name for field in columns if isinstance(field, models.JSONField) and self._is_empty(field.name)}
        exclusions: set[str] = super()._get_validation_exclusions()  # type: ignore[misc]
        return exclusions | empty

    def _is_empty(self, name: str) -> bool:
        return name in self.cleaned_data and not self.cleaned_data[name]

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        if self.refusal:
            self.add_error(None, self.refusal)
        return cleaned
