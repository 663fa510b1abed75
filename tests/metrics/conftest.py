from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.metrics.months import no_old_months


@pytest.fixture
def store(tmp_path: Path, settings: Any) -> Iterator[Path]:
    """An archive in a directory with a space in its name; old months that the test made are gone afterwards."""
    place = tmp_path / "the archive"
    settings.ARCHIVE_URL = place.as_uri()
    with no_old_months():
        yield place
