from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import Client, TestCase

from accounts.models import User
from tests import factories
from tests.console.world import populate


@pytest.fixture
def world(db: None) -> None:
    populate()


@pytest.fixture(scope="module")
def standing_world(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """The world once for a module, in a transaction around its tests: each begins with it and is rolled back to it.

    Only for modules that want it throughout, and have no test with transactions of its own.
    """
    with django_db_blocker.unblock():
        around = TestCase._enter_atomics()  # type: ignore[attr-defined]
        populate()
    yield
    with django_db_blocker.unblock():
        TestCase._rollback_atomics(around)  # type: ignore[attr-defined]


@pytest.fixture
def sign_in(db: None) -> Callable[..., Client]:
    """A browser in which somebody of the group has signed in; `client.user` is that person."""

    def client_for(group: str = "", user: User | None = None) -> Client:
        client = Client()
        client.user = user or factories.make_user(group)  # type: ignore[attr-defined]
        client.force_login(client.user, backend="django.contrib.auth.backends.ModelBackend")  # type: ignore[attr-defined]
        return client

    return client_for
