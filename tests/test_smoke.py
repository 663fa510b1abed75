import pytest
from django.db import connection


@pytest.mark.django_db
def test_tests_run_as_the_application() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        assert cursor.fetchone() == ("gatehouse_app",)


def test_agents_connect(connect) -> None:
    assert connect("gatehouse_agent").execute("SELECT current_user, count(*) FROM task").fetchone() == (
        "gatehouse_agent",
        0,
    )
