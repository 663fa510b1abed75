"""Pictures of the console: the main pages in each run; with `SCREENSHOTS=folder` all of them in four forms, to see."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import factories
from tests.console.world import populate
from tests.e2e import pages

FOLDER = os.environ.get("SCREENSHOTS", "")
SIZES = {"wide": (1440, 900), "narrow": (390, 844)}
FORMS = [(size, scheme) for size in SIZES for scheme in ("light", "dark")] if FOLDER else [("narrow", "dark")]
MAIN = {"control-room", "review-waiting", "campaign-meskel", "control-halt", "trace"}  # with the login, six


def to_take() -> Iterator[tuple[str, str]]:
    for name, path in [*pages.own(), *pages.of_models(), *pages.adding()]:
        if name in MAIN or FOLDER:
            yield name, path


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("size", "scheme"), FORMS)
def test_pictures(visit, tmp_path: Path, size: str, scheme: str) -> None:
    populate()
    folder = Path(FOLDER or tmp_path) / f"{size}-{scheme}"
    folder.mkdir(parents=True, exist_ok=True)
    width, height = SIZES[size]
    window = visit(width=width, height=height, color_scheme=scheme)
    window.open("/admin/login/").screenshot(path=folder / "login.png")
    window.sign_in(factories.make_user("Administrator", display_name="Hanna Tesfaye"))
    names = {"login"}
    for name, path in to_take():
        window.open(path).screenshot(path=folder / f"{name}.png", full_page=True)
        names.add(name)
    assert names >= MAIN
    assert {path.stem for path in folder.glob("*.png")} >= names
    assert not window.wrong
