"""A number of the control room, and where it leads."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.urls import reverse
from django.utils.http import urlencode


@dataclass(frozen=True)
class Figure:
    word: str
    number: int
    url: str
    colour: str = "neutral"  # of the number, when there is one to look at


@dataclass(frozen=True)
class Card:
    """One of the large numbers on top."""

    key: str
    title: str
    number: int
    url: str
    says: str
    alarm: str = ""  # what is wrong, in words
    alarm_url: str = ""
    colour: str = "warn"


def listed(model: str, **filters: Any) -> str:
    """The list of a model, narrowed to just the rows that were counted."""
    told = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in filters.items()}
    return reverse(f"admin:{model}_changelist") + (f"?{urlencode(told)}" if told else "")
