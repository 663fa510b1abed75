"""Answers that cost more than a page may: kept for some seconds, in each process for itself.

Not for permissions and not for the switch: only for numbers, and the page says when they were read.
"""

from collections.abc import Callable
from typing import TypeVar, cast

from django.conf import settings
from django.core.cache import cache

T = TypeVar("T")


def kept(name: str, seconds: int, answer: Callable[[], T]) -> T:
    """The answer, at most `seconds` old; asked anew each time where CONTROL_ROOM_KEEPS is off, as in the tests."""
    if not settings.CONTROL_ROOM_KEEPS:
        return answer()
    return cast(T, cache.get_or_set(f"control-room:{name}", answer, seconds))
