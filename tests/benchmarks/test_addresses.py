"""No page of the console goes unmeasured."""

import pytest
from django.urls import resolve

from benchmarks.addresses import addresses
from tests import factories
from tests.console.world import populate
from tests.e2e import pages

pytestmark = pytest.mark.django_db


def kind(path: str) -> str:
    """The page, whichever row or verb it is for."""
    return resolve(path.partition("?")[0]).view_name


def test_every_page_that_the_browser_tests_visit_is_measured() -> None:
    populate()
    person = factories.make_user(is_superuser=True)
    visited = {kind(path) for source in (pages.own, pages.of_models, pages.adding) for _, path in source()}
    measured = {kind(path) for _, path in addresses(person)}
    missing = sorted(visited - measured)
    assert not missing, f"Add these to benchmarks/addresses.py: {missing}"
