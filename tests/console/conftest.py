from collections.abc import Callable

import pytest
from django.test import Client

from accounts.models import User
from tests import factories
from tests.console.world import populate


@pytest.fixture
def world(db: None) -> None:
    populate()


@pytest.fixture
def sign_in(db: None) -> Callable[..., Client]:
    """A browser in which somebody of the group has signed in; `client.user` is that person."""

    def client_for(group: str = "", user: User | None = None) -> Client:
        client = Client()
        client.user = user or factories.make_user(group)  # type: ignore[attr-defined]
        client.force_login(client.user, backend="django.contrib.auth.backends.ModelBackend")  # type: ignore[attr-defined]
        return client

    return client_for
