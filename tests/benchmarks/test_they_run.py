"""The benchmarks still run; how fast anything is, no test says."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("module", "sections"), [("benchmarks.claims", 4), ("benchmarks.api", 1), ("benchmarks.pages", 1)]
)
def test_a_quick_run_measures_everything_and_leaves_nothing(tmp_path: Path, module: str, sections: int) -> None:
    results = tmp_path / "results.json"
    command = [sys.executable, "-m", module, "--quick", "--json", str(results)]
    before = set(Path("/tmp").glob("gatehouse-benchmark-*"))
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    measured = json.loads(results.read_text())
    tables = [value for value in measured.values() if isinstance(value, list)]
    assert len(tables) == sections
    assert all(tables)
    assert done.stdout.count("|---") >= sections
    assert set(Path("/tmp").glob("gatehouse-benchmark-*")) <= before
