from collections.abc import Iterator

import pytest
from django.core.cache import cache


@pytest.fixture(autouse=True)
def nobody_has_asked_yet() -> Iterator[None]:
    """How often links were asked for is counted in the cache of the process, which outlives a test."""
    cache.clear()
    yield
    cache.clear()
