"""How templates show values: the same small pieces that the lists use."""

import re
from datetime import datetime
from typing import Any

from django import template
from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from audit.admin import cells

register = template.Library()
SPELT = {" etb": " (ETB)", " sha256": " SHA-256", " id<": "<", " id:": "", ">Email": ">E-mail"}
LONG = 2000  # characters of a text; what is longer scrolls within its place
ABBREVIATIONS = re.compile("|".join(map(re.escape, SPELT)))
register.filter("relative", cells.when)
register.filter("json_block", cells.json_block)
register.filter("page_link", cells.link)
register.filter("page_url", cells.admin_url)
register.filter("code", cells.code)
register.filter("trace_link", cells.trace_link)


@register.filter
def exact(moment: datetime) -> str:
    return cells.exact(moment)


@register.filter
def clock(moment: datetime) -> str:
    return cells.clock(moment)


@register.simple_tag
def export_url(cl: Any) -> str:
    """Where the list, as it is filtered now, is taken as a file."""
    return f"export/{cl.get_query_string(remove=['p', 'o', 'all', 'older', 'newer'])}".removesuffix("?")


@register.simple_tag
def zone() -> str:
    """The viewer's zone, for the labels of fields that ask for a time."""
    return cells.zone()


@register.simple_tag
def badge(word: object, colour: str = "neutral") -> SafeString:
    return cells.badge(word, colour)


@register.filter
def contents(field: Any) -> str:
    """A read-only field of a form page, in the clothes of its kind; `field` is Django's AdminReadonlyField."""
    name, row, model_admin = field.field["field"], field.form.instance, field.model_admin
    try:
        column = row._meta.get_field(name)
    except FieldDoesNotExist:
        return str(field.contents())
    if not column.concrete:
        return str(field.contents())
    value = None if row._state.adding else getattr(row, name)
    if name in getattr(model_admin, "badges", {}):
        return cells.state(row, name, model_admin.badges[name])
    shown = _by_kind(column, value, row)
    return shown if shown is not None else str(field.contents())


@register.filter
def plain_label(tag: str) -> str:
    """A label made of a column's name, with the abbreviations as people write them."""
    return mark_safe(ABBREVIATIONS.sub(lambda found: SPELT[found[0]], tag))  # noqa: S308  (Django's own label tag)


def _by_kind(column: models.Field[Any, Any], value: Any, row: models.Model) -> str | None:
    """None leaves it to Django."""
    if value in (None, ""):
        return cells.EMPTY
    if isinstance(column, models.BooleanField):
        return "yes" if value else "no"
    if column.name == "trace_id":
        return cells.trace_link(value, value)
    if isinstance(column, models.JSONField):
        return cells.json_block(value, cells.value_url(row, column.name))
    if isinstance(column, models.DateTimeField):
        return format_html("{} · {}", cells.when(value), cells.exact(value))
    if isinstance(column, models.UUIDField) or column.name.endswith("sha256"):
        return cells.code(value)
    if isinstance(column, (models.DecimalField, models.IntegerField)) and not column.choices:
        return f"{value:,}"
    if isinstance(value, str) and len(value) > LONG and not column.choices:
        return cells.text_block(value, cells.value_url(row, column.name))
    return None
