"""A setting that cannot be used ends the start with one sentence that names it."""

from pathlib import Path

import pytest

from config import embedded
from tests.recovery.support import FAST, manage, query

ELSEWHERE = {"SECRET_KEY": "a long random text for this test only"}
NOBODY_LISTENS = "postgresql://someone@127.0.0.1:1/gatehouse"


def refusal(place: Path, *arguments: str, **variables: str) -> str:
    """The one line that the command leaves behind."""
    child = manage(place, *arguments, **variables)
    out, err = child.communicate(timeout=60)
    assert child.returncode not in (0, None)
    assert "Traceback" not in out + err
    lines = err.strip().splitlines()
    assert len(lines) == 1, err
    return lines[0]


@pytest.mark.parametrize("command", ["setup", "serve", "check"])
@pytest.mark.parametrize("value", ["abc", "99999", "0", "-1"])
def test_port(place: Path, command: str, value: str) -> None:
    assert "PORT must be a port number" in refusal(place, command, PORT=value)


@pytest.mark.parametrize("value", ["nonsense", "mysql://someone@host/name", "postgresql://host", "postgresql://h:x/n"])
def test_database_url_that_is_none(place: Path, value: str) -> None:
    assert "DATABASE_URL" in refusal(place, "setup", **ELSEWHERE, DATABASE_URL=value)


def test_server_that_does_not_answer(place: Path) -> None:
    assert "DATABASE_URL cannot be used" in refusal(place, "setup", **ELSEWHERE, DATABASE_URL=NOBODY_LISTENS)


def test_migrator_that_does_not_answer(place: Path) -> None:
    variables = {**ELSEWHERE, "DATABASE_URL": NOBODY_LISTENS, "MIGRATOR_DATABASE_URL": NOBODY_LISTENS}
    assert "MIGRATOR_DATABASE_URL cannot be used" in refusal(place, "setup", **variables)


@pytest.mark.parametrize("value", ["-100", "-1", "soon", "1.5"])
def test_undo_time(place: Path, value: str) -> None:
    told = refusal(place, "check", REVIEW_UNDO_SECONDS=value)
    assert "REVIEW_UNDO_SECONDS must be a whole number of seconds, 0 or more" in told


def test_a_mail_server_wants_the_address_that_links_lead_to(place: Path) -> None:
    assert "CONSOLE_URL must be set where EMAIL_HOST is" in refusal(place, "check", EMAIL_HOST="mail.example.org")
    both = {"EMAIL_HOST": "x", "CONSOLE_URL": "https://x", "EMAIL_USE_TLS": "true", "EMAIL_USE_SSL": "true"}
    assert "exclude each other" in refusal(place, "check", **both)


def test_secret_key_is_asked_for_where_the_database_is_configured(place: Path) -> None:
    assert "SECRET_KEY" in refusal(place, "setup", SECRET_KEY="", DATABASE_URL=NOBODY_LISTENS)


def test_migrator_is_asked_for_when_the_login_owns_nothing(place: Path) -> None:
    with embedded.running(place, FAST):
        query(place, "CREATE ROLE gatehouse_app LOGIN")
        address = embedded.url("gatehouse_app", home=place)
        assert "MIGRATOR_DATABASE_URL" in refusal(place, "setup", **ELSEWHERE, DATABASE_URL=address)


def test_home_that_may_not_be_written() -> None:
    """Below /proc not even root makes a directory."""
    assert "GATEHOUSE_HOME" in refusal(Path("/proc/gatehouse"), "setup")


def test_home_below_a_file(place: Path) -> None:
    place.parent.joinpath("file").touch()
    assert "GATEHOUSE_HOME" in refusal(place.parent / "file" / "home", "setup")
