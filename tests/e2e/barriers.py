"""What somebody with a screen reader, a keyboard alone or weak eyes would stumble over."""

from typing import Any

from axe_playwright_python.sync_playwright import Axe

# Of long lists the first rows: the others are like them. Frames of agents' content run no scripts, so not this one.
CONTEXT = {"exclude": [["tbody tr:nth-child(n+9)"], ["ul.rows > li:nth-child(n+9)"]]}
OPTIONS = {"resultTypes": ["violations"], "iframes": False}


def what_axe_finds(page: Any) -> list[str]:
    """Each with its place."""
    found = Axe().run(page, context=CONTEXT, options=OPTIONS).response["violations"]
    return [f"{rule['id']}: {node['html'][:120]}" for rule in found for node in rule["nodes"][:3]]
