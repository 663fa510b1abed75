"""The benchmarks still run; how fast anything is, no test says."""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.recovery.support import run


@pytest.fixture
def place() -> Iterator[Path]:
    """Where benchmarks put what is theirs: an unprivileged server may go there too (pytest's own are 0700)."""
    made = Path(tempfile.mkdtemp(prefix="gatehouse benchmarks "))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.mark.parametrize(
    ("module", "sections", "options"),
    [
        ("benchmarks.claims", 4, ()),
        ("benchmarks.api", 1, ()),
        ("benchmarks.archive", 2, ()),
        ("benchmarks.backup", 2, ()),
        ("benchmarks.ingest", 3, ()),
        ("benchmarks.pages", 1, ("--only", "campaign")),  # test_addresses knows that none is missing
    ],
)
def test_a_quick_run_measures_what_it_should_and_leaves_nothing(
    tmp_path: Path, place: Path, module: str, sections: int, options: tuple[str, ...]
) -> None:
    results = tmp_path / "results.json"
    command = [sys.executable, "-m", module, "--quick", "--json", str(results), *options]
    done = run(command, {**os.environ, "TMPDIR": str(place)}, seconds=240)
    assert done.returncode == 0, done.stderr
    measured = json.loads(results.read_text())
    tables = [value for value in measured.values() if isinstance(value, list)]
    assert len(tables) == sections
    assert all(tables)
    assert done.stdout.count("|---") >= sections
    assert list(place.iterdir()) == []
