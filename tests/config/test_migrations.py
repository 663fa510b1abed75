"""Migrations are read by people: few, and named after what they bring."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_migrations_are_few_and_well_named() -> None:
    names = [path for path in ROOT.glob("[a-z]*/migrations/*.py") if path.stem != "__init__"]
    assert names
    for path in names:
        assert re.fullmatch(r"\d{4}_[a-z]+(_[a-z]+)*", path.stem), path
        assert not re.search(r"auto|initial|merge", path.stem), path
    assert len(names) <= 12  # until the first release they are rewritten rather than added to
