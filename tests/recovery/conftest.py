import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from config import embedded
from tests.recovery.support import end_started


@pytest.fixture
def place() -> Iterator[Path]:
    """An empty home in a path with a space, where an unprivileged server may go too (pytest's own are 0700)."""
    parent = Path(tempfile.mkdtemp(prefix="gatehouse test "))
    parent.chmod(0o755)
    yield parent / "home"
    end_started()
    embedded.stop(parent / "home")
    shutil.rmtree(parent)
