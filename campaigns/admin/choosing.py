"""Boxes at the beginning of the rows of a list, for the verbs that are used on several at once."""

from collections.abc import Iterable, Mapping
from typing import Any

from django.contrib import admin
from django.db import models
from django.urls import reverse
from django.utils.html import format_html

FORM = "choose"  # the id of the form, below the table, that the boxes belong to


@admin.display(description="chosen")
def chooser(row: models.Model) -> str:
    return format_html(
        '<input type="checkbox" name="chosen" value="{}" form="{}" aria-label="Choose {}">', row.pk, FORM, row
    )


def buttons(page: str, verbs: Iterable[Any], colours: Mapping[Any, str]) -> list[tuple[Any, str, bool]]:
    """(verb, address, whether it is coloured as dangerous) for the bar below the table."""
    return [(verb, reverse(f"admin:{page}", args=[verb]), colours.get(verb) == "bad") for verb in verbs]
