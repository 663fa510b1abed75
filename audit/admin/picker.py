"""A field that finds a row by what people call it: a line to type in, with suggestions that the server gives.

It is the browser's own list of suggestions, which a keyboard and a screen reader know, and a tenth of the weight of
what Django's admin brings for it. Without scripts the name is typed to its end.
"""

from collections.abc import Sequence
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import ForeignKey, Model, Q, QuerySet
from django.forms.widgets import Script
from django.urls import reverse
from django.utils.html import format_html

SAME_NAME = "Several are called so; write the key of the one you mean, from the address of its page."


class Picker(forms.TextInput):
    """`source` is the foreign key; its form's address for suggestions is that of Django's own pickers."""

    def __init__(self, source: "ForeignKey[Any, Any]", attrs: dict[str, Any] | None = None) -> None:
        super().__init__({"autocomplete": "off", "placeholder": "Type to find it", **(attrs or {})})
        self.source = source

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> Any:
        options = self.source.model._meta
        asked = f"app_label={options.app_label}&model_name={options.model_name}&field_name={self.source.name}"
        found = f"{(attrs or {}).get('id', name)}_found"
        given = {**(attrs or {}), "list": found, "data-suggest": f"{reverse('admin:autocomplete')}?{asked}"}
        return format_html('{}<datalist id="{}"></datalist>', super().render(name, value, given, renderer), found)

    @property
    def media(self) -> forms.Media:
        return forms.Media(js=[Script("console/picker.js", defer=True)])  # type: ignore[list-item]


class PickField(forms.ModelChoiceField[Any]):
    """Takes a key, or what `names` (columns) hold; shows the first of them that is not empty."""

    def __init__(self, *, source: "ForeignKey[Any, Any]", names: Sequence[str], **options: Any) -> None:
        self.names = names
        super().__init__(**{**options, "widget": Picker(source)})

    def prepare_value(self, value: Any) -> Any:
        """As people call it; by its key where others are called so too."""
        row = value if isinstance(value, Model) else self._by_key(value)
        if row is None:
            return value
        called = next((str(text) for name in self.names if (text := getattr(row, name))), "")
        return called if len(self._called(called)) == 1 else str(row.pk)

    def to_python(self, value: Any) -> Any:
        text = value.strip() if isinstance(value, str) else value
        if text in self.empty_values:
            return None
        if isinstance(text, str) and (not text.isprintable() or "\x00" in text):
            raise ValidationError(self.error_messages["invalid_choice"], code="invalid_choice")
        if (row := self._by_key(text)) is not None:
            return row
        found = self._called(text)
        if len(found) == 1:
            return found[0]
        raise ValidationError(SAME_NAME if found else f"Nothing is called “{text}” here; choose one that is suggested.")

    def has_changed(self, initial: Any, data: Any) -> bool:
        return str(self.prepare_value(initial) or "") != str(data or "").strip()

    def _rows(self) -> QuerySet[Any]:
        assert self.queryset is not None
        return self.queryset

    def _called(self, text: Any) -> list[Any]:
        """Two at most, which is one too many."""
        wanted = Q()
        for name in self.names:
            wanted |= Q(**{name: text})
        return list(self._rows().filter(wanted)[:2])

    def _by_key(self, value: Any) -> Any:
        if value in self.empty_values:
            return None
        try:
            return self._rows().filter(pk=value).first()
        except (ValidationError, ValueError, TypeError):
            return None
