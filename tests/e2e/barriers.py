"""What somebody with a screen reader, a keyboard alone or weak eyes would stumble over."""

from typing import Any

from axe_playwright_python.sync_playwright import Axe

# Frames of agents' content run no scripts, and so not this one.
OPTIONS = {"resultTypes": ["violations"], "iframes": False}


def what_axe_finds(page: Any) -> list[str]:
    """Each with its place."""
    found = Axe().run(page, options=OPTIONS).response["violations"]
    return [f"{rule['id']}: {node['html'][:120]}" for rule in found for node in rule["nodes"][:3]]
