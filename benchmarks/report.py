"""Measurements as a table for people and as JSON for programs."""

import argparse
import json
import os
import statistics
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def arguments(about: str | None) -> argparse.Namespace:
    return parser(about).parse_args()


def parser(about: str | None) -> argparse.ArgumentParser:
    """What every benchmark can be told."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="tiny worlds: shows that it runs, measures nothing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there too")
    return parser


def spread(values: Sequence[float]) -> dict[str, float]:
    """The middle of the rounds, and how far they lie apart."""
    return {"median": statistics.median(values), "lowest": min(values), "highest": max(values)}


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, float]:
    """Round by round: what the machine did meanwhile, it did to both."""
    return spread([a / b for a, b in zip(ours, theirs, strict=True)])


def shown(value: Any) -> str:
    if isinstance(value, dict):
        return f"{value['median']:.2f} ({value['lowest']:.2f}–{value['highest']:.2f})"
    return f"{value:,.0f}" if isinstance(value, float) else str(value)


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A Markdown table that is legible as plain text too."""
    cells = [list(rows[0]), *([shown(value) for value in row.values()] for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in cells
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def say(what: str) -> None:
    """Where a long run is, for whoever waits for it."""
    sys.stderr.write(f"{what}\n")


def publish(sections: Mapping[str, Sequence[Mapping[str, Any]]], path: Path | None) -> None:
    """Print every section; write them all as JSON where a path is given."""
    for title, rows in sections.items():
        print(f"\n{title}\n\n{table(rows)}", flush=True)
    if path:
        about = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "cores": os.cpu_count()}
        path.write_text(json.dumps({**about, **sections}, indent=2) + "\n")
