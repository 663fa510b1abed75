"""Pictures of the console to look at: `SCREENSHOTS=folder python -m pytest tests/e2e/test_screenshots.py`."""

import os
from pathlib import Path

import pytest

from tests import factories
from tests.console.world import populate
from tests.e2e import pages

FOLDER = os.environ.get("SCREENSHOTS", "")
SIZES = {"wide": (1440, 900), "narrow": (390, 844)}

pytestmark = pytest.mark.skipif(not FOLDER, reason="asked for by SCREENSHOTS=folder")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_pictures(visit, size: str, scheme: str) -> None:
    populate()
    folder = Path(FOLDER) / f"{size}-{scheme}"
    folder.mkdir(parents=True, exist_ok=True)
    width, height = SIZES[size]
    window = visit(width=width, height=height, color_scheme=scheme)
    window.open("/admin/login/").screenshot(path=folder / "login.png")
    window.sign_in(factories.make_user("Administrator", display_name="Hanna Tesfaye"))
    for name, path in [*pages.own(), *pages.of_models(), *pages.adding()]:
        if not name.startswith("axes"):
            window.open(path).screenshot(path=folder / f"{name}.png", full_page=True)
